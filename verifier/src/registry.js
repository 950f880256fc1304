// A registry replayed (docs/spec/registry.md): which keys an authority and its principals had at which place of the log.

import { untrue } from "./bytes.js";
import { readKeyRecord } from "./keys.js";
import { EVENTS } from "./vocabulary.js";

const rule = (what) => untrue("registry-rule", what);
const notEntitled = (what) => untrue("signer-not-entitled", what);

/** The last thing said before a place of the log, of a list of [index, what] in order. */
function before(history, at) {
  let found;
  for (const [index, what] of history) if (index < at) found = what;
  return found;
}

export class Registry {
  constructor(authority) {
    this.authority = authority;
    this.keys = new Map();
    this.principals = new Map();
    this.suspended = [];
    this.signWith = [];
    this.statements = new Set();
    this.founders = [];
    this.size = 0;
  }

  /** Whether a key counts at a place of the log; an ended one counts at the place that ends it. */
  live(key, at) {
    if (!key || !(key.added < at) || key.ended < at) return false;
    if (key.holder !== this.authority && !this.standing(key.holder, at)) return false;
    return key.use === "recovery" || before(this.suspended, at) !== true;
  }

  /** Whether a principal is enrolled, and neither suspended nor revoked. */
  standing(id, at) {
    const principal = this.principals.get(id);
    return principal !== undefined && before(principal.states, at) === "active";
  }

  hasRole(id, roles, at) {
    const principal = this.principals.get(id);
    return roles.some((role) => before(principal.roles.filter(([, [name]]) => name === role), at)?.[1] === true);
  }

  /** Signatures of a statement that must be looked at: by keys named here before the place that can sign, live or not. */
  known(statement, at, brought = []) {
    const found = [];
    for (const { keyid, bytes } of statement.signatures) {
      const key = brought.find(({ id }) => id === keyid) ?? this.keys.get(keyid);
      if (key?.verify && (brought.includes(key) || key.added < at)) found.push({ key, bytes, statement });
    }
    return found;
  }

  /** Signatures to be verified of a principal's statement, once it is known that the principal may say this. */
  entitled(statement, event, at) {
    const { principal } = statement.payload.signer, { roles } = EVENTS[event];
    if (principal === undefined) throw notEntitled("an authority where a principal acts");
    if (!this.standing(principal, at)) throw notEntitled(`${principal} is not enrolled, or suspended or revoked`);
    if (!this.hasRole(principal, roles, at)) throw notEntitled(`${principal} has none of the roles ${roles.join(", ")}`);
    const able = statement.signatures.some(({ keyid }) => {
      const key = this.keys.get(keyid);
      return key?.use === "statement" && key.holder === principal && this.live(key, at);
    });
    if (!able) throw notEntitled(`no live key of ${principal} signed`);
    return this.known(statement, at);
  }

  /** Take the next entry: {looked: signatures that must be right, missing: a key that had to sign and did not}. */
  take({ fields }, statement, index) {
    const { payload } = statement, { event } = fields;
    if (EVENTS[event].chain !== "registry") throw rule(`${event} is no event of a registry`);
    if (payload.signer.authority !== this.authority) throw rule("a statement of another authority");
    if (this.statements.has(statement.id)) throw rule("a statement twice");
    if ((event === "authority.enrolled") !== (this.size === 0) || (this.size === 0 && fields.seq !== 0)) throw rule("a registry begins once, with authority.enrolled");
    const brought = this.brought(payload).map((row) => this.holderFits(readKeyRecord(row)));
    const done = this.size === 0 ? this.found(payload, brought) : this.later(event, payload, statement, brought, index);
    const looked = this.known(statement, index, brought);
    const missing = brought.find(({ id, verify }) => verify && !statement.signatures.some(({ keyid }) => keyid === id));
    if (!looked.some(({ key }) => key.id === fields.actor.key)) throw untrue("statement-mismatch", "actor.key is a key that nobody looked at");
    for (const key of brought) {
      if (this.keys.has(key.id)) throw rule("a public key that is registered already");
    }
    for (const key of brought) this.keys.set(key.id, { ...key, added: index });
    done();
    this.statements.add(statement.id);
    this.size++;
    return { looked, missing: missing?.id };
  }

  /** The keys that a statement brings. */
  brought({ kind, keys, key }) {
    return kind === "enrolment" ? keys : key ? [key] : [];
  }

  /** Keys for login and statements are a principal's, all others the authority's own. */
  holderFits(key) {
    const person = key.use === "login" || key.use === "statement";
    if ((key.holder === this.authority) === person) throw rule(`a key for ${key.use} held by ${key.holder}`);
    return key;
  }

  /** Entry 0: who founds the registry, by the signatures of every key named that can sign. */
  found(payload, brought) {
    if (payload.signer.principal !== undefined || brought.some(({ holder }) => holder !== this.authority)) throw rule("a registry founded by a principal");
    for (const alg of payload.sign_with) {
      if (!brought.some((key) => key.use === "authority" && key.alg === alg)) throw rule(`no authority key of ${alg}`);
    }
    const recovery = brought.filter(({ use }) => use === "recovery");
    if (recovery.length !== 1 || recovery[0].id !== payload.recovery) throw rule("not exactly one recovery key, the one named");
    return () => {
      this.signWith.push([-1, payload.sign_with]);
      this.founders = brought.filter((key) => key.verify).map(({ id }) => id);
    };
  }

  /** Who speaks for the authority: its recovery key, or a live key for each algorithm of sign_with. */
  speaker(statement, at) {
    if (statement.payload.signer.principal !== undefined) throw notEntitled("a principal where the authority acts");
    const signed = statement.signatures.map(({ keyid }) => this.keys.get(keyid)).filter((key) => this.live(key, at));
    if (signed.some(({ use }) => use === "recovery")) return "recovery";
    const all = before(this.signWith, at).every((alg) => signed.some((key) => key.use === "authority" && key.alg === alg));
    if (!all) throw notEntitled("no live key of the authority signed");
    return "authority";
  }

  later(event, payload, statement, brought, index) {
    const speaker = this.speaker(statement, index);
    if (event === "principal.enrolled") return this.enrol(payload, brought, index);
    if (event.startsWith("key.")) return this.changeKey(payload, brought, index, speaker);
    if (event.startsWith("authority.")) return this.changeAuthority(event, payload, index);
    return this.changePrincipal(event, payload, index);
  }

  enrol({ principal }, brought, index) {
    const { id, roles } = principal;
    if (this.principals.has(id)) throw rule("a principal that is enrolled already");
    const uses = brought.map(({ use }) => use).sort().join();
    if (uses !== "login,statement" || brought.some(({ holder }) => holder !== id)) throw rule("not one login and one statement key of the principal");
    return () => this.principals.set(id, { states: [[index, "active"]], roles: roles.map((role) => [index, [role, true]]) });
  }

  changeKey({ action, replaces, revokes }, [key], index, speaker) {
    const ended = this.keys.get(replaces ?? revokes);
    if (key && key.holder !== this.authority) this.standingPrincipal(key.holder);
    if (action !== "add" && (!ended || ended.ended !== undefined)) throw rule("ends a key that is not there or has ended");
    if (action === "rotate" && (key.use !== ended.use || key.holder !== ended.holder)) throw rule("another use or holder");
    const touched = key?.use === "recovery" || ended?.use === "recovery";
    if (touched && (action === "add" || speaker !== "recovery")) throw rule("only the recovery key reaches the recovery key");
    return () => ended && (ended.ended = index);
  }

  changeAuthority(event, payload, index) {
    if (payload.subject.authority !== this.authority) throw rule("about another authority");
    if (event === "authority.changed") return () => this.signWith.push([index, payload.detail.sign_with]);
    return () => this.suspended.push([index, event === "authority.suspended"]);
  }

  /** A principal that is enrolled and was never revoked. */
  standingPrincipal(id) {
    const principal = this.principals.get(id);
    if (!principal || before(principal.states, Infinity) === "revoked") throw rule("about a principal that is not there, or revoked");
    return principal;
  }

  changePrincipal(event, payload, index) {
    const principal = this.standingPrincipal(payload.subject.principal);
    const [subject, change] = event.split(".");
    if (subject === "role") return () => principal.roles.push([index, [payload.detail.role, change === "granted"]]);
    return () => principal.states.push([index, { suspended: "suspended", reinstated: "active", revoked: "revoked" }[change]]);
  }
}
