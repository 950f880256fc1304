// The registry of an authority, checked from the pinned key to the proof that nothing follows, as docs/guide/integrate.md
// demands before anything is sealed to one of its keys. Nothing here is rogatory's code.
import { inflateRawSync } from "node:zlib";
import {
  checkInclusion, checkpointOf, decoded, demand, entryLeaf, hash, hex, leafHash, nodeHash, signatureHolds, splitAt,
  statementOf, unbase64, unhex,
} from "./log.mjs";

const ZERO = "0".repeat(64);

// The files of a ZIP by their names, from its central directory.
function unzipped(data) {
  const end = data.length - 22;
  demand(data.readUInt32LE(end) === 0x06054b50, "no ZIP of this profile");
  const files = new Map();
  let at = data.readUInt32LE(end + 16);
  for (let left = data.readUInt16LE(end + 10); left > 0; left--) {
    const [method, size, name, place] = [data.readUInt16LE(at + 10), data.readUInt32LE(at + 20), data.readUInt16LE(at + 28), data.readUInt32LE(at + 42)];
    const start = place + 30 + data.readUInt16LE(place + 26) + data.readUInt16LE(place + 28);
    const kept = data.subarray(start, start + size);
    files.set(data.subarray(at + 46, at + 46 + name).toString(), method === 8 ? inflateRawSync(kept) : kept);
    at += 46 + name;
  }
  return files;
}

const lines = (data) => data.toString("utf8").split("\n").slice(0, -1);

class Registry {
  constructor(authority) {
    this.authority = authority;
    this.keys = new Map();
    this.ended = new Set();
    this.founders = new Set();
    this.out = new Set();
  }

  live(key) {
    const gone = this.out.has(key.holder) || (this.out.has(this.authority) && key.use !== "recovery");
    return !this.ended.has(key.id) && !gone;
  }

  // The keys that signed a statement; a wrong signature by any key that counts here fails it.
  signers(statement, brought) {
    const known = new Map([...this.keys, ...brought.map((key) => [key.id, key])]);
    const found = statement.signatures.filter(({ keyid }) => known.has(keyid) && known.get(keyid).use !== "encryption");
    for (const signature of found)
      demand(signatureHolds(known.get(signature.keyid), statement, signature), "a signature in a registry is wrong");
    return new Set(found.map(({ keyid }) => keyid));
  }

  apply(event, statement, seq) {
    const { fields } = statement;
    demand(fields.signer.authority === this.authority && !fields.signer.principal, "a registry entry of somebody else");
    const brought = fields.kind === "enrolment" ? fields.keys : fields.key ? [fields.key] : [];
    for (const key of brought) {
      const bytes = key.use === "encryption" ? Buffer.from(key.public) : unbase64(key.public);
      demand(hex(hash(bytes)) === key.id && !this.keys.has(key.id), "a key under another id, or twice");
    }
    const signed = this.signers(statement, brought);
    demand(brought.every((key) => key.use === "encryption" || signed.has(key.id)), "a new key did not sign");
    if (seq === 0) {
      demand(event === "authority.enrolled" && signsWithOne(fields.sign_with), "no founding this script understands");
      brought.forEach((key) => signed.has(key.id) && this.founders.add(key.id));
    } else {
      demand(this.speaks(signed, fields), `the authority did not sign entry ${seq} of its registry`);
    }
    brought.forEach((key) => this.keys.set(key.id, key));
    this.change(event, fields);
  }

  speaks(signed, fields) {
    const mine = [...signed].map((id) => this.keys.get(id)).filter((key) => key && this.live(key));
    const byRecovery = mine.some((key) => key.use === "recovery");
    const ended = this.keys.get(fields.replaces ?? fields.revokes);
    return byRecovery || (ended?.use !== "recovery" && mine.some((key) => key.use === "authority"));
  }

  change(event, fields) {
    const about = fields.subject?.principal ?? this.authority;
    if (event === "key.rotated" || event === "key.revoked") this.ended.add(fields.replaces ?? fields.revokes);
    else if (/\.(suspended|revoked)$/.test(event)) this.out.add(about);
    else if (/\.reinstated$/.test(event)) this.out.delete(about);
    else demand(/^(authority|principal)\.enrolled$|^key\.added$|^role\./.test(event), `an event this script does not know: ${event}`);
  }
}

const signsWithOne = (algorithms) => algorithms.length === 1 && algorithms[0] === "ed25519";

// Section 4 of docs/spec/log.md: one root over many leaves.
function batchRoot(proven, size, hashes) {
  const rest = [...hashes];
  const within = (low, high) => {
    if (![...proven.keys()].some((index) => low <= index && index < high)) {
      demand(rest.length > 0, "hashes are missing");
      return rest.shift();
    }
    if (high - low === 1) return proven.get(low);
    const middle = low + splitAt(high - low);
    const left = within(low, middle);
    return nodeHash(left, within(middle, high));
  };
  const root = within(0, size);
  demand(rest.length === 0, "hashes are left over");
  return root;
}

// Section 3: the label is not in the log.
function checkAbsent(tail, label) {
  const bucket = label.readUInt16BE(0);
  let head = Buffer.alloc(32);
  for (const text of tail.bucket) {
    const other = unhex(text);
    demand(other.length === 32 && other.readUInt16BE(0) === bucket && !other.equals(label), "something follows in the registry");
    head = hash("rogatory/tail/v1\0", head, other);
  }
  demand(tail.path.length === 16 && new Set(tail.bucket).size === tail.bucket.length, "a tail of another shape");
  checkInclusion(bucket, 65536, leafHash(head), tail.path.map(unhex), unhex(tail.root));
}

// Replay the chain, and prove each leaf and the end of it under a checkpoint of the log.
export function checkedRegistry(zip, authority, trust, now) {
  const files = unzipped(zip);
  const at = (name) => files.get(`registry/${authority}/${name}`);
  const said = new Map(lines(files.get("statements.jsonl")).map((line) => [statementOf(line).id, statementOf(line)]));
  const leaves = lines(at("leaves.jsonl")).map(decoded);
  const entries = lines(at("entries.jsonl"));
  const tail = decoded(lines(at("tail.json"))[0] ?? at("tail.json"));
  const point = checkpointOf(files.get("checkpoint"), trust);
  const age = now / 1000 - point.time;
  demand(-trust.skew_s <= age && age <= trust.max_age_s, `the checkpoint over a registry was signed ${age} s ago`);
  demand(entries.length > 0 && entries.length === leaves.length, "entries are missing");
  const handle = hash("rogatory/registry/v1\0", trust.origin, "\n", authority);
  const registry = new Registry(authority);
  const proven = new Map();
  let label = hash("rogatory/first/v1\0", hash(trust.origin), handle);
  let [before, index] = [ZERO, -1];
  entries.forEach((line, seq) => {
    const entry = decoded(line);
    const { index: place, salt } = leaves[seq];
    const fits = entry.seq === seq && entry.prev === before && entry.chain === hex(handle) && entry.log === trust.origin;
    demand(fits && place > index, `entry ${seq} does not continue the registry`);
    const statement = said.get(entry.statement.id);
    demand(statement && entry.statement.envelope === hex(hash(statement.envelope)), "a statement is missing");
    demand(statement.fields.chain === entry.chain && statement.fields.log === entry.log, "a statement of another chain");
    registry.apply(entry.event, statement, seq);
    [before, index] = [hex(hash(line)), place];
    proven.set(index, leafHash(entryLeaf(label, unhex(salt), unhex(before))));
    label = hash("rogatory/next/v1\0", unhex(salt), unhex(before));
  });
  proven.set(point.size - 1, leafHash(Buffer.concat([Buffer.from([2]), unhex(tail.root)])));
  const [form, size, ...hashes] = lines(files.get("inclusion"));
  demand(form === "rogatory/batch-inclusion/v1" && Number(size) === point.size && index < point.size - 1, "another proof");
  demand(batchRoot(proven, point.size, hashes.map(unbase64)).equals(point.root), "the registry is not in the log");
  checkAbsent(tail, label);
  const pins = trust.authorities.find(({ id }) => id === authority)?.keys ?? [];
  demand(pins.some((id) => registry.founders.has(id)), `${authority} is not pinned, or poses as another`);
  return registry;
}

export function encryptionKeys(registry, kind) {
  const found = [...registry.keys.values()].filter((key) => key.use === "encryption" && key.alg === kind && registry.live(key));
  demand(found.length > 0, `${registry.authority} has no live key of kind ${kind}`);
  return found.sort((one, other) => (one.id < other.id ? -1 : 1));
}
