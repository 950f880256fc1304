// Signed notes, checkpoints, cosignatures, policies, proofs of one entry, tiles (docs/spec/log.md sections 6 to 11).

import { concat, decimal, equal, fromUtf8, hex, malformed, u64, unbase64, unhex, unsupported, untrue, utf8 } from "./bytes.js";
import { checkEd25519Key, verifyEd25519 } from "./ed25519.js";
import { sha256 } from "./hashes.js";
import { checkInclusion, entryLeaf, leafHash, readHashes } from "./merkle.js";
import { MLDSA_KEY_SIZE, verifyMldsa } from "./mldsa.js";

const NAME = /^[!-*,-~]{1,255}$/;
const KEY_SIZES = { 1: 32, 4: 32, 6: MLDSA_KEY_SIZE[44] };

/** A key that signs notes: {name, type, key, id (4 bytes), fullId, text}. */
export function readVkey(text) {
  const refuse = (what) => malformed("vkey-malformed", what);
  const first = text.indexOf("+"), second = text.indexOf("+", first + 1);
  if (first < 0 || second < 0) throw refuse("not a vkey");
  const name = text.slice(0, first), short = text.slice(first + 1, second);
  if (unhex(short).length !== 4) throw malformed("text-malformed", "a key id that is not 4 bytes");
  const spelled = unbase64(text.slice(second + 1));
  if (!spelled.length) throw refuse("a key without type and public key");
  const type = spelled[0], key = spelled.subarray(1);
  const id = sha256(utf8(name), [10], spelled).subarray(0, 4);
  if (hex(id) !== short) throw refuse("the key id is not that of the key");
  if (!(type in KEY_SIZES)) throw unsupported("key-type-unsupported", `a key of type ${type}`);
  if (!NAME.test(name) || key.length !== KEY_SIZES[type]) throw refuse("a name that is none, or a key of another length");
  if (type !== 6) checkEd25519Key(key);
  return { name, type, key, id, fullId: hex(sha256(spelled)), text };
}

/** What a cosigner of type 4 signs. */
export const cosignedText = (time, text) => concat(utf8(`cosignature/v1\ntime ${time}\n`), utf8(text));

/** What a cosigner of type 6 signs. */
export function cosignedSubtree(cosigner, time, { origin, size, root }) {
  const name = utf8(cosigner), log = utf8(origin);
  return concat(utf8("subtree/v1\n\0"), [name.length], name, u64(time), [log.length], log, u64(0), u64(size), root);
}

/** The text of a checkpoint: {origin, size, root}. */
export function readCheckpointText(text) {
  const refuse = (what) => malformed("checkpoint-malformed", what);
  const lines = text.split("\n");
  if (lines.length !== 4 || lines[3] !== "") throw refuse("not three lines");
  if (!NAME.test(lines[0])) throw refuse("not an origin");
  const size = decimal(lines[1]), root = unbase64(lines[2]);
  if (root.length !== 32) throw malformed("text-malformed", "a root that is not 32 bytes");
  return { origin: lines[0], size: Number(size), exact: size, root };
}

/** A note's text and signature lines, nothing verified: {text, lines: [{name, id, signature}]}. */
export function splitNote(bytes) {
  const refuse = (what) => malformed("note-malformed", what);
  if (bytes.length > 2 ** 20) throw refuse("more than 1 MiB");
  const whole = fromUtf8(bytes, "note-malformed");
  // eslint-disable-next-line no-control-regex
  if (/[\x00-\x09\x0b-\x1f\x7f-\x9f]/.test(whole)) throw refuse("a control character");
  const cut = whole.lastIndexOf("\n\n");
  if (cut < 0 || !whole.endsWith("\n") || cut + 2 === whole.length) throw refuse("no blank line before signatures");
  const lines = whole.slice(cut + 2, -1).split("\n").map((line) => {
    const words = line.split(" ");
    const formed = words.length === 3 && words[0] === "\u2014" && NAME.test(words[1]) && /^[A-Za-z0-9+/]+={0,2}$/.test(words[2]);
    if (!formed) throw refuse("not a signature line");
    const found = unbase64(words[2]);
    if (found.length < 5) throw refuse("a signature line without signature");
    return { name: words[1], id: found.subarray(0, 4), signature: found.subarray(4) };
  });
  const names = lines.map((line) => `${line.name} ${hex(line.id)}`);
  if (new Set(names).size !== names.length) throw refuse("two lines of one key");
  return { text: whole.slice(0, cut + 1), lines };
}

/** Return the time of a cosignature, or nothing for a plain signature; only if it is right. */
function verifyLine({ type, name, key }, signature, text) {
  if (type === 1) return verifyEd25519(key, signature, utf8(text));
  if (signature.length < 9) throw malformed("cosignature-malformed", "too short for a time");
  const time = new DataView(signature.buffer, signature.byteOffset, 8).getBigUint64(0);
  if (time === 0n || time >= 1n << 63n) throw malformed("cosignature-malformed", "a time that states nothing");
  const rest = signature.subarray(8), checkpoint = readCheckpointText(text);
  if (type === 4) verifyEd25519(key, rest, cosignedText(time, text));
  else verifyMldsa(44, key, rest, cosignedSubtree(name, time, { ...checkpoint, size: checkpoint.exact }));
  return Number(time);
}

/** Open a note with the keys known: {text, signatures: [{vkey, time?}]}. Any wrong line of a known key refuses it. */
export function openNote(bytes, keys) {
  checkApart(keys);
  const { text, lines } = splitNote(bytes);
  const signatures = [];
  for (const line of lines) {
    for (const vkey of keys) {
      if (vkey.name !== line.name || !equal(vkey.id, line.id)) continue;
      signatures.push({ vkey, time: verifyLine(vkey, line.signature, text) });
    }
  }
  if (!signatures.length) throw untrue("not-signed", "no known key signed the note");
  return { text, signatures };
}

/** Of two known keys of one name and key id nobody can say whose line it is. */
function checkApart(keys) {
  const known = new Map();
  for (const { name, id, text } of keys) {
    const short = `${name} ${hex(id)}`;
    if ((known.get(short) ?? text) !== text) throw malformed("vkey-malformed", `two keys share the name and key id ${short}`);
    known.set(short, text);
  }
}

/** A checkpoint that every key of the log signed, and the other keys' cosignatures: {checkpoint, signatures}. */
export function openCheckpoint(bytes, origin, log, others = []) {
  for (const vkey of log) if (vkey.name !== origin) throw untrue("origin-mismatch", `a key of ${vkey.name}, not ${origin}`);
  if (!log.length) throw untrue("not-signed", "no key of the log is known");
  const { text, signatures } = openNote(bytes, [...log, ...others]);
  const checkpoint = readCheckpointText(text);
  if (checkpoint.origin !== origin) throw untrue("origin-mismatch", `a checkpoint of ${checkpoint.origin}, not ${origin}`);
  for (const vkey of log) {
    if (!signatures.some((found) => found.vkey === vkey)) throw untrue("not-signed", `${vkey.text.slice(0, 60)} did not sign`);
  }
  return { checkpoint, signatures };
}

// ---------------------------------------------------------------- policies

/** A policy: who must have cosigned. */
export class Policy {
  constructor(text) {
    this.log = [];
    this.witnesses = new Map();
    this.groups = new Map();
    this.quorum = undefined;
    this.members = new Set();
    this.keys = new Set();
    // eslint-disable-next-line no-control-regex
    if (utf8(text).length > 2 ** 20 || /[\x00-\x08\x0b-\x1f\x7f-\x9f]/.test(text)) throw this.refuse("too long, or with a control character");
    for (const line of text.split("\n")) {
      const words = line.split(/[ \t]+/).filter((word) => word);
      if (words.length && !words[0].startsWith("#")) this.take(words);
    }
    if (this.quorum === undefined) throw this.refuse("no quorum");
    this.authorities();
  }

  refuse(what) {
    return malformed("policy-malformed", what);
  }

  take([word, ...rest]) {
    if (word === "log" && (rest.length === 1 || rest.length === 2)) this.log.push(this.key(rest[0], [1, 6]));
    else if (word === "witness" && (rest.length === 2 || rest.length === 3)) this.define(this.witnesses, rest[0], () => this.key(rest[1], [4, 6]));
    else if (word === "group" && rest.length >= 3) this.group(rest);
    else if (word === "quorum" && rest.length === 1 && this.quorum === undefined) {
      if (rest[0] !== "none" && !this.defined(rest[0])) throw this.refuse("a quorum that is not defined");
      this.quorum = rest[0];
    } else throw this.refuse(`not a line of a policy: ${word}`);
  }

  key(text, types) {
    const vkey = readVkey(text), name = hex(vkey.key);
    if (!types.includes(vkey.type) || this.keys.has(name)) throw this.refuse("a key of another type, or twice");
    this.keys.add(name);
    return vkey;
  }

  defined(name) {
    return this.witnesses.has(name) || this.groups.has(name);
  }

  define(where, name, make) {
    if (name === "none" || this.defined(name)) throw this.refuse(`${name} is taken`);
    where.set(name, make());
  }

  group([name, count, ...members]) {
    const needed = count === "all" ? members.length : count === "any" ? 1 : /^[1-9][0-9]{0,8}$/.test(count) ? Number(count) : 0;
    if (needed < 1 || needed > members.length) throw this.refuse("a count that cannot be");
    for (const member of members) {
      if (!this.defined(member) || this.members.has(member)) throw this.refuse("a member not defined, or twice");
      this.members.add(member);
    }
    this.define(this.groups, name, () => ({ needed, members }));
  }

  /** A group of witnesses is one authority's keys; higher groups hold groups only; a key name stands in one group. */
  authorities() {
    const homes = new Map();
    for (const [name, { needed, members }] of this.groups) {
      const keys = members.filter((member) => this.witnesses.has(member));
      if (keys.length && (keys.length !== members.length || needed !== 1)) throw this.refuse("a group of keys that is no authority");
      for (const member of keys) {
        const key = this.witnesses.get(member).name;
        if ((homes.get(key) ?? name) !== name) throw this.refuse("one key name in two groups");
        homes.set(key, name);
      }
    }
  }

  /** Not before and not after, in POSIX seconds, of the entry at an index, of checkpoints {size, cosigned}. */
  bounds(index, checkpoints) {
    let before, after;
    for (const { size, cosigned } of [...checkpoints].sort((a, b) => a.size - b.size)) {
      const { upper, lower } = this.times(cosigned);
      if (size <= index) before = lower ?? before;
      else after ??= upper;
    }
    return { before, after };
  }

  get none() {
    return this.quorum === "none";
  }

  /** Whether these full ids satisfy the quorum. */
  satisfied(ids) {
    const holds = (name) => {
      const witness = this.witnesses.get(name);
      if (witness) return ids.has(witness.fullId);
      const { needed, members } = this.groups.get(name);
      return members.filter(holds).length >= needed;
    };
    return !this.none && holds(this.quorum);
  }

  /** The authorities that the quorum counts, by the name of their group or lone key: who cosigned with these keys, who not. */
  who(ids) {
    const yes = [], no = [], pending = this.none ? [] : [this.quorum];
    while (pending.length) {
      const name = pending.pop(), members = this.groups.get(name)?.members ?? [name];
      if (!this.witnesses.has(members[0])) pending.push(...[...members].reverse());
      else (members.some((member) => ids.has(this.witnesses.get(member).fullId)) ? yes : no).push(name);
    }
    return { yes, no };
  }

  /** Smallest time by which the policy was satisfied, and largest from which on it was: {upper, lower} or undefined each. */
  times(cosigned) {
    const all = [...new Set(cosigned.map(([, time]) => time))].sort((a, b) => a - b);
    const with_ = (test) => this.satisfied(new Set(cosigned.filter(([, time]) => test(time)).map(([id]) => id)));
    return {
      upper: all.find((limit) => with_((time) => time <= limit)),
      lower: all.reverse().find((limit) => with_((time) => time >= limit)),
    };
  }
}

// ---------------------------------------------------------------- the proof of one entry, tiles

/** Return only if a `.tlog-proof` proves the entry (or leaf data) in the log of these keys. */
export function checkTlogProof(bytes, origin, log, { entry, leaf }) {
  const refuse = (what) => malformed("tlog-proof-malformed", what);
  const text = fromUtf8(bytes, "tlog-proof-malformed");
  const cut = text.indexOf("\n\n");
  if (cut < 0) throw refuse("no blank line");
  const [head, extra, place, ...hashes] = text.slice(0, cut).split("\n");
  if (head !== "c2sp.org/tlog-proof@v1" || !extra?.startsWith("extra ") || !place?.startsWith("index ")) throw refuse("not a proof");
  const bound = unbase64(extra.slice(6));
  if (bound.length !== 64) throw malformed("text-malformed", "extra data of another length");
  if (hashes.length > 63) throw refuse("too many hashes");
  const index = Number(decimal(place.slice(6)));
  const path = readHashes(hashes, "tlog-proof-malformed", "text-malformed");
  const data = leaf ?? entryLeaf(bound.subarray(0, 32), bound.subarray(32), sha256(entry));
  if (leaf && !equal(leaf.subarray(1, 33), bound.subarray(0, 32))) throw untrue("label-mismatch", "the leaf bears another label");
  const { checkpoint } = openCheckpoint(utf8(text.slice(cut + 2)), origin, log);
  checkInclusion(index, checkpoint.size, leafHash(data), path, checkpoint.root);
}

/** A tile's path: {level (null for entries), n, width}. */
export function readTilePath(path) {
  const found = /^tile\/(entries|[0-9]|[1-5][0-9]|6[0-3])\/((?:x[0-9]{3}\/)*[0-9]{3})(?:\.p\/([1-9][0-9]{0,2}))?$/.exec(path);
  const number = found?.[2].replaceAll(/[x/]/g, "") ?? "";
  const width = found?.[3] === undefined ? 256 : Number(found[3]);
  const canonical = number.length === 3 || !number.startsWith("000");
  if (!found || !canonical || (found[3] !== undefined && width > 255) || number.length > 18) throw malformed("tile-malformed", "no path of a tile");
  return { level: found[1] === "entries" ? null : Number(found[1]), n: Number(number), width };
}

/** The leaf data of an entry bundle of this width. */
export function readEntries(bytes, width) {
  const found = [];
  let at = 0;
  while (at + 2 <= bytes.length && found.length < width) {
    const length = bytes[at] * 256 + bytes[at + 1];
    if (at + 2 + length > bytes.length) break;
    found.push(bytes.subarray(at + 2, at + 2 + length));
    at += 2 + length;
  }
  if (found.length !== width || at !== bytes.length) throw malformed("tile-malformed", "not as many entries as the tile is wide");
  return found;
}
