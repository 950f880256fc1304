// What a verifier finds about the evidence: packing, conditions, digests, headers, the table, items on disk.

import { equal, hex, NotChecked, untrue, utf8 } from "./bytes.js";
import { acts, at, needExchange, needWhole, placed } from "./checks-chain.js";
import { Blake3, Sha256, sha256, sha512 } from "./hashes.js";
import { same, writeJson } from "./json.js";
import { checkHeader, readHeader } from "./keys.js";
import { say } from "./phrases.js";
import { itemsOf } from "./records.js";

export async function packing({ bundle, digest }) {
  const { container, list } = bundle;
  for (const { path, size, sha256: first, sha512: second } of list.files) {
    const damage = (what) => placed(untrue("file-damaged", `${path} ${what}`), { file: path });
    if (bundle.unreadable.has(path)) continue;
    const bytes = await container.read(path);
    if (bytes.length !== size) throw damage("has another size than in the packing list");
    if (container.damaged.has(path)) throw damage("has another checksum than the archive says");
    const found = digest ? await Promise.all([digest("SHA-256", bytes), digest("SHA-512", bytes)]) : [sha256(bytes), sha512(bytes)];
    if (hex(new Uint8Array(found[0])) !== first || hex(new Uint8Array(found[1])) !== second) throw damage("has other digests than in the packing list");
  }
  return say("detail.files", { count: list.files.length });
}

export function canonical({ bundle }) {
  if (bundle.problems.length) throw bundle.problems[0];
  const count = [...bundle.chains.values()].reduce((sum, chain) => sum + chain.entries.length, 0);
  return say("detail.canonical", { entries: count, statements: bundle.statements.size });
}

/** Manifests and grants of the exchange: [{id, payload, place, entry, items}]. */
function grantsOf(facts) {
  return acts(facts)
    .filter(({ statement: { kind } }) => kind === "manifest" || kind === "grant")
    .map(({ statement: { id, kind, payload }, place, entry }) => ({ id, kind, payload, place, entry, items: kind === "manifest" ? itemsOf(payload) : payload.items }));
}

const STOPS = ["package.withdrawn", "package.restricted", "package.recalled", "package.destroyed"];

export function conditions(facts) {
  needWhole(facts);
  const grants = new Map(), accepted = new Set(), stopped = new Set();
  let count = 0;
  for (const { entry: { fields }, statement: { id, kind, payload }, place } of acts(facts)) {
    const by = payload.signer.authority, { event, subject } = fields;
    if (kind === "manifest" || kind === "grant") grants.set(id, payload);
    if (event === "conditions.accepted" && same(grants.get(payload.statement)?.conditions, payload.conditions)) accepted.add(`${by} ${payload.statement}`);
    if (STOPS.includes(event)) stopped.add(subject?.package);
    if (event !== "key.released") continue;
    count++;
    const why = tooEarly(grants.get(payload.detail.grant), accepted.has(`${by} ${payload.detail.grant}`), stopped.has(subject?.package), by, fields);
    if (why) throw placed(untrue("released-early", `key.released at seq ${fields.seq}: ${why}`), place);
  }
  return count ? say("detail.releases", { count }) : say("detail.no-release");
}

function tooEarly(grant, accepted, stopped, by, { time }) {
  if (!grant) return "no manifest or grant before it has the id it names";
  if (!grant.recipients.some(({ authority }) => authority === by)) return `${by} is no recipient`;
  if (grant.conditions && !accepted) return `${by} had not accepted the conditions`;
  if (stopped) return "the package was not to be released any more";
  return grant.until !== undefined && grant.until < time ? "the grant had ended" : undefined;
}

export function digests(facts) {
  const { bundle } = facts, exchange = needExchange(facts), partial = exchange.withheld.length > 0 || !exchange.whole;
  const own = new Map(acts(facts).map((act) => [act.entry, act.statement]));
  const state = { uploads: new Map(), items: new Map(), sealings: new Map(), receipts: 0, partial };
  for (const entry of exchange.entries) at(exchange.placeOf(entry), () => takeDigests(state, entry, own.get(entry)));
  for (const [id, { bytes, place }] of bundle.parts) {
    const rows = [...state.items].filter(([key]) => key.endsWith(` ${id}`)).map(([, item]) => item);
    const fits = rows.some(({ size, part_size: part, parts }) => bytes.length === 32 * Math.ceil(size / part) && hex(sha256(bytes)) === parts);
    if (!fits) throw placed(untrue("digests-differ", `part digests of item ${id} are not a manifest's`), place);
  }
  return say("detail.digests", { items: state.items.size, receipts: state.receipts });
}

function agree(item, other, names) {
  for (const name of names) if (item[name] !== other[name]) throw untrue("digests-differ", `${name} of item ${item.id}: manifest has ${item[name]}, found ${other[name]}`);
}

/** What an entry says of digests, held against what was said before. */
function takeDigests(state, { fields: { event, subject, noted }, hash }, statement) {
  const key = `${subject?.package} ${subject?.item}`;
  if (event === "upload.completed") state.uploads.set(key, noted);
  if (event === "fixity.checked" && state.items.has(key)) agree(state.items.get(key), noted, ["blake3", "sha256", "size"]);
  if (event === "package.sealed" && statement) {
    for (const item of itemsOf(statement.payload)) {
      const place = `${statement.payload.package} ${item.id}`, recorded = state.uploads.get(place);
      if (recorded) agree(item, recorded, ["part_size", "parts", "size"]);
      else if (!state.partial) throw untrue("digests-differ", `item ${item.id} was sealed and its upload is not recorded`);
      state.items.set(place, item);
    }
    state.sealings.set(statement.id, { payload: statement.payload, hash });
  }
  if (event === "receipt.signed" && statement) {
    checkReceipt(statement.payload, state.sealings.get(statement.payload.manifest));
    state.receipts++;
  }
}

function checkReceipt(payload, sealed) {
  if (!sealed) return;
  if (payload.sealed !== sealed.hash) throw untrue("digests-differ", "a receipt of another sealing");
  if (payload.outcome !== "accepted") return;
  const rows = new Map(payload.items.map((row) => [row.id, row])), wanted = itemsOf(sealed.payload);
  if (rows.size !== wanted.length || wanted.some(({ id }) => !rows.has(id))) throw untrue("digests-differ", "an accepting receipt that does not list every item, or another");
  for (const item of wanted) agree(item, rows.get(item.id), ["sha256", "blake3"]);
}

export function headers(facts) {
  const { bundle } = facts, named = new Map();
  needExchange(facts);
  for (const { payload, items } of grantsOf(facts)) {
    const count = payload.recipients.reduce((sum, { keys }) => sum + keys.length, 0);
    for (const { header } of items) named.set(header.sha256, [...(named.get(header.sha256) ?? []), { size: header.size, count, kind: payload.sealing }]);
  }
  for (const [digest, { bytes, place }] of bundle.headers) {
    const wrong = (what) => placed(untrue("header-mismatch", `header ${digest} ${what}`), place);
    if (!named.has(digest)) throw wrong("is named by no manifest or grant");
    for (const { size, count, kind } of named.get(digest)) {
      if (bytes.length !== size || hex(sha256(bytes)) !== digest) throw wrong("has another size or digest");
      at(place, () => checkHeader(bytes, kind, count));
    }
  }
  const missing = [...named.keys()].filter((digest) => !bundle.headers.has(digest));
  if (missing.length) throw new NotChecked(say("reason.headers-missing", { missing: missing.length, count: named.size }));
  return say("detail.headers", { count: named.size });
}

// ---------------------------------------------------------------- the table of an export

const COLUMNS = ["seq", "time", "event", "authority", "principal", "key", "package", "item", "request", "subject", "statement", "envelope", "noted", "nonce", "prev", "sha256"];

function cell(value) {
  const text = value === undefined ? "" : String(value);
  const safe = /^[=+\-@|%\t\r\n]/.test(text) ? `'${text}` : text;
  return `"${safe.replaceAll('"', '""')}"`;
}

function row({ fields, hash }) {
  const { actor, subject = {}, statement = {}, noted } = fields;
  const rest = Object.keys(subject).filter((name) => !["package", "item", "request"].includes(name)).sort();
  return [
    fields.seq, fields.time, fields.event, actor.authority, actor.principal, actor.key, subject.package, subject.item, subject.request,
    rest.map((name) => `${name}=${subject[name]}`).join(" "), statement.id, statement.envelope,
    noted === undefined ? undefined : writeJson(noted), fields.nonce, fields.prev, hash,
  ];
}

export async function table({ bundle }) {
  if (bundle.kind !== "export") throw new NotChecked(say("reason.no-table"));
  const exchange = needExchange({ bundle });
  if (!bundle.has("entries.csv")) throw new NotChecked(say("reason.no-csv"));
  const bytes = await bundle.container.read("entries.csv");
  const wanted = [COLUMNS, ...exchange.entries.map(row)].map((cells) => utf8(`${cells.map(cell).join(",")}\r\n`));
  let offset = 0;
  for (const [n, line] of wanted.entries()) {
    if (!equal(line, bytes.subarray(offset, offset + line.length))) {
      const entry = exchange.entries[n - 1];
      const place = { file: "entries.csv", line: n + 1, offset, ...(entry ? { chain: "@exchange", seq: entry.fields.seq } : {}) };
      throw placed(untrue("file-damaged", `line ${n + 1} of entries.csv does not show its entry`), place);
    }
    offset += line.length;
  }
  if (offset !== bytes.length) throw placed(untrue("file-damaged", "entries.csv goes on after its last entry"), { file: "entries.csv", line: wanted.length + 1, offset });
  return say("detail.lines", { count: exchange.entries.length });
}

// ---------------------------------------------------------------- items on disk

const WINDOW = 16 * 2 ** 20;

/** Hash a body part by part without holding more than a window of it: {parts: [digest], sha256, blake3}. */
async function hashBody(source, start, size, partSize, { digest, progress }) {
  const whole = new Sha256(), tree = new Blake3(), parts = [];
  let part = new Sha256();
  for (let at_ = 0; at_ < size; ) {
    const end = Math.min(size, at_ + WINDOW, (Math.floor(at_ / partSize) + 1) * partSize);
    const bytes = await source.read(start + at_, start + end);
    if (bytes.length !== end - at_) throw new Error("a file changed while it was read");
    // A part that is a window is left to the machine's own SHA-256 meanwhile, where there is one.
    const aside = digest && partSize === WINDOW ? digest("SHA-256", bytes) : undefined;
    whole.update(bytes);
    tree.update(bytes);
    if (!aside) part.update(bytes);
    at_ = end;
    if (aside) parts.push(new Uint8Array(await aside));
    else if (at_ % partSize === 0 || at_ === size) {
      parts.push(part.finish());
      part = new Sha256();
    }
    progress(bytes.length);
  }
  return { parts, sha256: hex(whole.finish()), blake3: hex(tree.finish()) };
}

/** How long the header before a body is; it must be one that was granted for this item. */
async function headerSize(source, granted, differ) {
  const head = await source.read(0, Math.min(source.size, 512 * 1024)), { size } = readHeader(head, false);
  if (!granted.has(hex(sha256(head.subarray(0, size))))) throw differ("has a header that nobody granted for it");
  return size;
}

async function checkItem(name, source, item, granted, sealed, means) {
  const differ = (what, offset) => placed(untrue("item-differs", `${name} ${what}`), { file: name, offset });
  let start = 0;
  try {
    if (name.endsWith(".age")) start = await headerSize(source, granted, differ);
  } catch (error) {
    throw placed(error, { file: name });
  }
  const size = source.size - start;
  const found = await hashBody(source, start, Math.min(size, item.size + 1), item.part_size, means);
  for (let n = 0; sealed && 32 * n < sealed.length; n++) {
    const digest = found.parts[n];
    if (!digest || !equal(digest, sealed.subarray(32 * n, 32 * n + 32))) throw differ(`part ${n + 1} differs from what was sealed`, start + n * item.part_size);
  }
  if (size !== item.size) throw differ(`has ${size} bytes of body, the manifest ${item.size}`);
  if (found.sha256 !== item.sha256 || found.blake3 !== item.blake3) throw differ("has other digests than the manifest");
}

export async function items(facts) {
  const { bundle, given, digest, progress } = facts;
  needExchange(facts);
  if (!given) throw new NotChecked(say("reason.no-directory"));
  const wanted = new Map(), granted = new Map();
  for (const { kind, items: rows } of grantsOf(facts)) {
    for (const item of rows) {
      if (kind === "manifest") wanted.set(item.id, item);
      granted.set(item.id, (granted.get(item.id) ?? new Set()).add(item.header.sha256));
    }
  }
  let missing = 0;
  for (const id of [...wanted.keys()].sort()) {
    const name = [`${id}.age`, id].find((found) => given.has(found));
    if (name === undefined) missing++;
    else await checkItem(name, given.get(name), wanted.get(id), granted.get(id), bundle.parts.get(id)?.bytes, { digest, progress: (bytes) => progress(name, bytes) });
  }
  if (missing) throw new NotChecked(say("reason.items-missing", { missing, count: wanted.size }));
  return say("detail.items", { count: wanted.size });
}
