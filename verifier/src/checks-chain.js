// What a verifier finds in the chains themselves: bodies, order, statements, registries, signers, signatures, rules, labels.

import { equal, hex, NotChecked, Refusal, unhex, untrue } from "./bytes.js";
import { Exchange } from "./exchange.js";
import { firstLabel, nextLabel } from "./merkle.js";
import { join, say } from "./phrases.js";
import { checkMatch } from "./records.js";
import { Registry } from "./registry.js";
import { EVENTS } from "./vocabulary.js";

const ZERO = "0".repeat(64);

/** The same refusal with its place, where it has none yet. */
export function placed(error, place) {
  return error instanceof Refusal ? new Refusal(error.code, error.kind, error.message, { ...place, ...error.place }) : error;
}

export function at(place, action) {
  try {
    return action();
  } catch (error) {
    throw placed(error, place);
  }
}

/** All chains, if every file of theirs was understood, or a reason not to check. */
export function understood(bundle) {
  const chains = [...bundle.chains.values()], broken = chains.filter((chain) => chain.broken).map(({ folder }) => folder || "./");
  if (broken.length) throw new NotChecked(say("reason.lines-unread", { files: broken }));
  return chains;
}

/** The same, if every statement was understood besides. */
export function allUnderstood(bundle) {
  const chains = understood(bundle);
  if (bundle.unreadStatements) throw new NotChecked(say("reason.statements-unread"));
  return chains;
}

/** The exchange's chain, everything in the bundle's chains understood. */
export function needExchange({ bundle }) {
  allUnderstood(bundle);
  if (!bundle.exchange) throw new NotChecked(say("reason.no-exchange"));
  return bundle.exchange;
}

/** The exchange's chain, every entry of it shown. */
export function needWhole(facts) {
  const exchange = needExchange(facts), { length } = exchange.withheld;
  if (length) throw new NotChecked(say("reason.withheld", { count: length }));
  if (!exchange.whole) throw new NotChecked(say("reason.excerpt-chain"));
  return exchange;
}

export function bodies({ bundle }) {
  for (const chain of understood(bundle)) {
    let last = -1;
    for (const entry of chain.entries) {
      const { seq } = entry.fields;
      at(chain.placeOf(entry), () => {
        if (seq <= last) throw untrue("body-mismatch", `entry ${seq} stands after entry ${last}`);
        const leaf = chain.leaf(seq);
        if (!leaf) throw untrue("body-mismatch", `entry ${seq} has no leaf`);
        if (leaf.hash !== entry.hash) throw untrue("body-mismatch", `entry ${seq} hashes to ${entry.hash}, it has leaf ${leaf.hash}`);
      });
      last = seq;
    }
  }
  const withheld = [...bundle.chains.values()].reduce((sum, { withheld: seqs }) => sum + seqs.length, 0);
  return withheld ? say("detail.withheld", { count: withheld }) : "";
}

const KINDS = { "@exchange": "exchange", "@service": "service" };

export function chain({ bundle }) {
  const chains = understood(bundle);
  for (const found of chains) {
    const handle = bundle.handleOf(found.name), kind = KINDS[found.name] ?? "registry";
    const broken = (what) => untrue("chain-broken", what);
    for (const entry of found.entries) at(found.placeOf(entry), () => checkLink(entry, found, handle, bundle.log, kind, broken));
    found.leaves.reduce((last, leaf) => {
      if (leaf.index <= last) throw placed(broken(`index ${leaf.index} of entry ${leaf.seq} after ${last}`), found.placeOfLeaf(leaf));
      return leaf.index;
    }, -1);
  }
  const cut = chains.filter(({ name, whole }) => name !== "@service" && !whole).map(({ name }) => name);
  if (cut.length) throw new NotChecked(say("reason.excerpt", { names: cut }));
}

function checkLink({ fields }, found, handle, log, kind, broken) {
  const wanted = fields.seq === 0 ? ZERO : found.leaf(fields.seq - 1)?.hash;
  if (wanted !== undefined && fields.prev !== wanted) throw broken(`entry ${fields.seq} names predecessor ${fields.prev}, expected ${wanted}`);
  if (fields.chain !== handle) throw broken(`entry ${fields.seq} is of chain ${fields.chain}`);
  if (fields.log !== log) throw broken(`entry ${fields.seq} is of log ${fields.log}`);
  const { chain: home } = EVENTS[fields.event];
  if (home !== kind && !(home === "both" && kind !== "registry")) throw broken(`${fields.event} stands in a chain of kind ${kind}`);
}

/** Entries brought together with the statement that is their own, once: {acts: chain → [act], error, used}. */
function match(facts) {
  const chains = allUnderstood(facts.bundle);
  return (facts.matched ??= matchAll(facts.bundle, chains));
}

function matchAll(bundle, chains) {
  const found = { acts: new Map(), error: undefined, used: new Set() };
  for (const chain of chains) {
    const acts = [];
    found.acts.set(chain.name, acts);
    for (const entry of chain.entries) {
      const named = entry.fields.statement;
      if (!named) continue;
      const place = chain.placeOf(entry);
      try {
        if (found.used.has(named.id)) throw untrue("statement-twice", `statement ${named.id} stands under two entries`);
        const statement = bundle.statements.get(named.id);
        if (!statement) throw untrue("statement-absent", `statement ${named.id} is not in the bundle`);
        checkMatch(entry, statement);
        acts.push({ entry, statement, index: chain.leaf(entry.fields.seq)?.index, place });
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        found.error ??= placed(error, place);
      }
      found.used.add(named.id);
    }
  }
  return found;
}

/** Entries of a chain with the statement that is their own: [{entry, statement, index, place}]. */
export const acts = (facts, name = "@exchange") => match(facts).acts.get(name) ?? [];

export function statements(facts) {
  const { error, used } = match(facts);
  if (error) throw error;
  for (const { id, place } of facts.bundle.statements.values()) {
    if (!used.has(id)) throw placed(untrue("statement-twice", `statement ${id} belongs to no entry`), place);
  }
  return say("detail.statements", { count: used.size });
}

/** Registries replayed, and who signed in the exchange asked of them; once, for all checks. */
export function replay(facts) {
  match(facts);
  return (facts.replayed ??= replayAll(facts));
}

function replayAll(facts) {
  const { bundle } = facts;
  const found = { registries: new Map(), broken: new Map(), unentitled: undefined, unsigned: undefined, strangers: new Set(), concerned: new Set(), looked: [] };
  for (const chain of bundle.registries) replayOne(facts, found, chain);
  if (!bundle.exchange) for (const name of found.registries.keys()) found.concerned.add(name);
  for (const act of acts(facts)) {
    found.concerned.add(act.statement.payload.signer.authority);
    if (["manifest", "grant"].includes(act.statement.kind)) for (const { authority } of act.statement.payload.recipients) found.concerned.add(authority);
    if (act.index !== undefined) ask(found, act);
  }
  return found;
}

/** A registry from seq 0 as far as it is shown without a gap, and up to the first entry that is not allowed. */
function replayOne(facts, found, chain) {
  const registry = new Registry(chain.name), own = new Map(acts(facts, chain.name).map((act) => [act.entry, act]));
  found.registries.set(chain.name, registry);
  for (const [n, entry] of chain.entries.entries()) {
    if (entry.fields.seq !== n) return;
    const act = own.get(entry);
    if (act?.index === undefined) continue;
    try {
      const { looked, missing } = registry.take(entry, act.statement, act.index);
      found.looked.push(...looked.map((signature) => ({ ...signature, place: act.place })));
      if (missing !== undefined) found.unsigned ??= placed(untrue("signature-missing", `${missing} did not sign`), act.place);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      found.broken.set(chain.name, placed(error, act.place));
      return;
    }
  }
}

function ask(found, { entry, statement, index, place }) {
  const { authority } = statement.payload.signer, registry = found.registries.get(authority);
  if (!registry?.size) return void found.strangers.add(authority);
  try {
    found.looked.push(...registry.entitled(statement, entry.fields.event, index).map((signature) => ({ ...signature, place })));
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    found.unentitled ??= placed(error, place);
  }
}

function needWholeRegistries({ bundle }) {
  const partial = bundle.registries.filter((chain) => !chain.whole || chain.withheld.length).map(({ name }) => name);
  if (partial.length) throw new NotChecked(say("reason.registries-partial", { names: partial }));
}

export function registries(facts) {
  const found = replay(facts);
  for (const error of found.broken.values()) throw error;
  needWholeRegistries(facts);
  if (!found.registries.size) throw new NotChecked(say("reason.no-registry"));
  return join(", ", [...found.registries].map(([name, { size }]) => say("detail.registry", { name, count: size })));
}

export function signers(facts) {
  const { bundle, trust } = facts, found = replay(facts), names = [...found.concerned].sort();
  if (found.unentitled) throw found.unentitled;
  if (!trust.given) throw new NotChecked(say("reason.no-trust-founders"));
  for (const [name, { founders }] of found.registries) {
    const pins = trust.pins.get(name), chain = bundle.chains.get(name);
    if (pins && !founders.some((id) => pins.has(id))) {
      throw placed(untrue("pin-mismatch", `no founding key of ${name} is pinned`), chain.entries.length ? chain.placeOf(chain.entries[0]) : {});
    }
  }
  const absent = names.filter((name) => !found.registries.has(name));
  if (absent.length) throw new NotChecked(say("reason.registry-absent", { names: absent }));
  const unpinned = names.filter((name) => !trust.pins.has(name));
  if (unpinned.length) throw new NotChecked(say("reason.unpinned", { names: unpinned }));
  needWholeRegistries(facts);
  if (found.broken.size) throw new NotChecked(say("reason.registries-broke", { names: [...found.broken.keys()].sort() }));
  return say("detail.pinned", { names });
}

export function signatures(facts) {
  const found = replay(facts);
  if (found.unsigned) throw found.unsigned;
  for (const signature of found.looked) at(signature.place, () => facts.verify(signature));
  const unknown = [...new Set([...found.strangers, ...found.broken.keys()])].sort();
  if (unknown.length) throw new NotChecked(say("reason.keys-unknown", { names: unknown, count: found.looked.length }));
  return say("detail.signatures", { count: found.looked.length });
}

export function rules(facts) {
  const exchange = needWhole(facts), { registries: known } = replay(facts);
  const own = new Map(acts(facts).map((act) => [act.entry, act.statement])), state = new Exchange();
  for (const entry of exchange.entries) {
    const statement = own.get(entry), leaf = exchange.leaf(entry.fields.seq);
    if (!leaf || (!statement && entry.fields.statement)) throw new NotChecked(say("reason.no-leaf", { seq: entry.fields.seq }));
    at(exchange.placeOf(entry), () => state.take(entry, statement, leaf.index, known));
  }
  state.checkKnown();
  return say("detail.exchange", { packages: state.packages.size, parties: [...state.parties].sort() });
}

export function labels({ bundle }) {
  for (const found of understood(bundle)) {
    const handle = unhex(bundle.handleOf(found.name));
    found.leaves.forEach((leaf, n) => {
      const before = n && found.leaves[n - 1].seq === leaf.seq - 1 ? found.leaves[n - 1] : undefined;
      if (leaf.seq && !before) return;
      const wanted = leaf.seq ? nextLabel(before.salt, unhex(before.hash)) : firstLabel(bundle.log, handle);
      if (!equal(wanted, leaf.label)) throw placed(untrue("label-broken", `entry ${leaf.seq} bears label ${hex(leaf.label)}, expected ${hex(wanted)}`), found.placeOfLeaf(leaf));
    });
  }
}


