// An exchange replayed (docs/spec/exchange.md): the first entry that the entries before it do not allow is refused.

import { NotChecked, untrue } from "./bytes.js";
import { same } from "./json.js";
import { say } from "./phrases.js";
import { itemsOf } from "./records.js";
import { EVENTS } from "./vocabulary.js";

const rule = (what) => untrue("exchange-rule", what);
const demand = (holds, what) => {
  if (!holds) throw rule(what);
};

export class Exchange {
  constructor() {
    this.parties = new Set();
    this.auditors = new Set();
    this.closed = false;
    this.packages = new Map();
    this.grants = new Map();
    this.downloads = new Map();
    this.statements = new Set();
    this.unknown = new Set();
    this.size = 0;
  }

  /** Take the next entry; the statement is undefined where the service speaks alone. */
  take(entry, statement, index, registries) {
    const { event } = entry.fields;
    demand(["exchange", "both"].includes(EVENTS[event].chain), `${event} stands in an exchange`);
    demand((this.size === 0) === (event === "exchange.opened"), "an exchange begins once, with exchange.opened");
    demand(!this.closed || EVENTS[event].closed, `${event} after the end`);
    if (statement) {
      demand(!this.statements.has(statement.id), "a statement twice");
      checkActor(entry, statement, registries.get(statement.payload.signer.authority));
      this.checkSpeaker(event, statement.payload);
    }
    this[HANDLERS[event] ?? "other"](entry, statement, index, registries);
    if (statement) this.statements.add(statement.id);
    this.size++;
  }

  /** Whatever else is said of a package, save a refused attempt, is said of one that was declared. */
  other({ fields: { event, subject } }) {
    if (event !== "access.denied" && subject?.package !== undefined) this.package_(subject.package);
  }

  checkSpeaker(event, { signer: { authority }, detail }) {
    if (event === "exchange.opened") return demand(detail.parties.includes(authority), "opened by a stranger");
    if (this.parties.has(authority)) return undefined;
    return demand(event === "log.exported" && this.auditors.has(authority), `signed for ${authority}, which is no party`);
  }

  opened(_, { payload: { detail } }) {
    this.parties = new Set(detail.parties);
    this.auditors = new Set(detail.auditors ?? []);
  }

  joined({ fields }, { payload: { detail } }) {
    const { authority } = fields.subject;
    demand(!this.parties.has(authority) && !(detail.as === "auditor" && this.auditors.has(authority)), `${authority} stands in this exchange already`);
    (detail.as === "party" ? this.parties : this.auditors).add(authority);
  }

  ended() {
    this.closed = true;
  }

  package_(id) {
    const found = this.packages.get(id);
    demand(found, `no package ${id}`);
    return found;
  }

  sealed_(id) {
    const found = this.package_(id);
    demand(found.manifest, "the package is not sealed");
    return found;
  }

  declared({ fields }, { payload }) {
    const { package: id } = fields.subject;
    demand(!this.packages.has(id), "a package declared twice");
    demand(payload.detail.recipients.every((name) => this.parties.has(name)), "a package for a stranger");
    const sender = payload.signer.authority;
    this.packages.set(id, { id, sender, items: new Map(), receipts: new Set(), demands: new Set(), stopped: false });
  }

  uploaded({ fields: { subject, noted } }) {
    const found = this.package_(subject.package);
    demand(!found.manifest, "an item after the seal");
    demand(!found.items.has(subject.item), "an item that arrives twice");
    found.items.set(subject.item, noted);
  }

  sealed(entry, { id, payload }, index, registries) {
    const found = this.package_(payload.package);
    demand(found.sender === payload.signer.authority, "sealed by another than declared it");
    demand(!found.manifest, "sealed twice");
    const items = itemsOf(payload);
    demand(new Set(items.map((item) => item.id)).size === items.length, "one id for two items");
    for (const item of items) {
      const noted = found.items.get(item.id);
      demand(noted, `item ${item.id} did not arrive`);
      for (const name of ["size", "part_size", "parts"]) demand(noted[name] === item[name], `item ${item.id} arrived with another ${name}`);
    }
    demand(found.items.size === items.length, "an item stands in the package unsaid");
    this.checkRecipients(payload, index, registries);
    found.manifest = payload;
    found.sealing = entry.hash;
    this.grants.set(id, { payload, of: found, manifest: id, accepted: new Set() });
  }

  /** Recipients are parties, and their keys live encryption keys of the package's kind at this place. */
  checkRecipients({ recipients, sealing }, index, registries) {
    for (const { authority, keys } of recipients) {
      demand(this.parties.has(authority), `${authority} is no party`);
      const registry = registries.get(authority);
      if (!registry) {
        this.unknown.add(authority);
        continue;
      }
      for (const id of keys) {
        const key = registry.keys.get(id);
        demand(key?.use === "encryption" && registry.live(key, index), `${id} is no live encryption key of ${authority}`);
        demand(key.alg === sealing, `${id} is of another kind than ${sealing}`);
      }
    }
  }

  /** The manifest that a statement names, and that its entry is about. */
  named(id, { fields }) {
    const found = this.grants.get(id);
    demand(found && found.manifest === id, `${id} is no manifest`);
    demand(found.of.id === fields.subject.package, "about another package");
    return found;
  }

  granted(entry, { id, payload }, index, registries) {
    const { of } = this.named(payload.manifest, entry);
    const by = payload.signer.authority;
    const holds = [...this.grants.values()].some((grant) => grant.of === of && recipient(grant, by));
    demand(by === of.sender || holds, `${by} holds nothing to grant`);
    const items = new Set(itemsOf(of.manifest).map((item) => item.id));
    demand(payload.items.every((item) => items.has(item.id)), "an item that is not in the manifest");
    demand(payload.sealing === of.manifest.sealing, "another kind of sealing");
    this.checkRecipients(payload, index, registries);
    this.grants.set(id, { payload, of, manifest: payload.manifest, accepted: new Set() });
  }

  accepted({ fields }, { payload }) {
    const grant = this.grants.get(payload.statement);
    demand(grant, "acceptance of no manifest or grant");
    demand(grant.of.id === fields.subject.package, "about another package");
    demand(recipient(grant, payload.signer.authority), "accepted by another than a recipient");
    demand(grant.payload.conditions && same(grant.payload.conditions, payload.conditions), "other conditions than were set");
    grant.accepted.add(payload.signer.authority);
  }

  released({ fields }, { payload: { signer, detail } }) {
    const found = this.sealed_(fields.subject.package);
    const grant = this.grants.get(detail.grant);
    demand(grant, "a release under no grant");
    demand(grant.of === found, "a release of another package");
    demand(!found.stopped, `released after ${found.stopped}`);
    demand(recipient(grant, signer.authority), "released to another than a recipient");
    demand(!grant.payload.conditions || grant.accepted.has(signer.authority), "released before its conditions were accepted");
    const items = new Set((grant.payload.inventory ? itemsOf(grant.payload) : grant.payload.items).map((item) => item.id));
    demand((detail.items ?? []).every((id) => items.has(id)), "released an item that is not granted");
    const { until } = grant.payload;
    demand(until === undefined || until >= fields.time, "released after the grant ended");
  }

  opening({ fields, hash }) {
    const { package: id, item } = fields.subject;
    const found = this.sealed_(id);
    demand(item === undefined || itemsOf(found.manifest).some((row) => row.id === item), "a download of a strange item");
    this.downloads.set(hash, fields.subject);
  }

  closing({ fields: { noted, subject } }) {
    demand(same(this.downloads.get(noted.opened), subject), "the end of a download that did not begin");
    this.downloads.delete(noted.opened);
  }

  answered(entry, { payload }) {
    const { of } = this.named(payload.manifest, entry);
    const by = payload.signer.authority;
    demand([...this.grants.values()].some((grant) => grant.of === of && recipient(grant, by)), "a receipt by another than a recipient");
    demand(!of.receipts.has(by), "two receipts of one authority");
    demand(payload.sealed === of.sealing, "a receipt of another sealing");
    const wanted = new Map(itemsOf(of.manifest).map((item) => [item.id, item]));
    if (payload.outcome === "rejected") demand(payload.reason !== undefined, "rejected without a reason");
    else demand(payload.items.length === wanted.size && payload.items.every((row) => wanted.has(row.id)), "not every item, or another");
    if (payload.outcome === "accepted") demand(payload.items.every((row) => ["sha256", "blake3"].every((name) => row[name] === wanted.get(row.id)[name])), "accepted with other digests");
    of.receipts.add(by);
  }

  stopped({ fields }, { id, payload }) {
    const found = payload.manifest ? this.named(payload.manifest, { fields }).of : this.sealed_(payload.package);
    demand(payload.signer.authority === found.sender, `${fields.event} by another than the sender`);
    if (fields.event !== "package.withdrawn") found.demands.add(id);
    found.stopped = fields.event;
  }

  destroyed({ fields }, { payload }) {
    const found = this.sealed_(payload.package);
    const by = payload.signer.authority;
    demand([...this.grants.values()].some((grant) => grant.of === found && recipient(grant, by)), "destroyed by another than a recipient");
    demand(found.demands.has(payload.answers), "answers no demand of that package");
    found.stopped = fields.event;
  }

  /** What keeps the rules from counting as checked. */
  checkKnown() {
    if (this.unknown.size) throw new NotChecked(say("reason.no-recipient-registry", { names: [...this.unknown].sort() }));
  }
}

/** The key that an entry names is the principal's own, among those that signed and its registry knows. */
function checkActor({ fields }, { signatures, payload }, registry) {
  const own = signatures.map(({ keyid }) => registry?.keys.get(keyid)).filter((key) => key && key.holder === payload.signer.principal);
  if (own.length && !own.some(({ id }) => id === fields.actor.key)) throw untrue("statement-mismatch", "actor.key is no key of that principal");
}

const recipient = (grant, authority) => grant.payload.recipients.some((row) => row.authority === authority);

const HANDLERS = {
  "exchange.opened": "opened",
  "party.added": "joined",
  "exchange.closed": "ended",
  "package.declared": "declared",
  "upload.completed": "uploaded",
  "package.sealed": "sealed",
  "package.withdrawn": "stopped",
  "package.restricted": "stopped",
  "package.recalled": "stopped",
  "package.destroyed": "destroyed",
  "grant.added": "granted",
  "conditions.accepted": "accepted",
  "key.released": "released",
  "download.opened": "opening",
  "download.closed": "closing",
  "receipt.signed": "answered",
};
