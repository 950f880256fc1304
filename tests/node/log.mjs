// Reading a log from its specification alone: canonical JSON, statements, notes, proofs. Nothing here is rogatory's code.
import { createHash, createPublicKey, verify } from "node:crypto";
import { ml_dsa44 } from "@noble/post-quantum/ml-dsa.js";

export class Refused extends Error {}

export function demand(holds, what) {
  if (!holds) throw new Refused(what);
}

export const hash = (...pieces) => {
  const digest = createHash("sha256");
  for (const piece of pieces) digest.update(Array.isArray(piece) ? Buffer.from(piece) : piece);
  return digest.digest();
};
export const hex = (data) => Buffer.from(data).toString("hex");
export const unhex = (text) => Buffer.from(text, "hex");
export const u64 = (value) => {
  const data = Buffer.alloc(8);
  data.writeBigUInt64BE(BigInt(value));
  return data;
};

export function unbase64(text) {
  const data = Buffer.from(text, "base64");
  demand(data.toString("base64") === text, "base64 in another spelling");
  return data;
}

export function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (typeof value === "object" && value !== null) {
    const names = Object.keys(value).filter((name) => value[name] !== undefined).sort();
    return `{${names.map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`).join(",")}}`;
  }
  demand(["string", "boolean"].includes(typeof value) || Number.isSafeInteger(value), `no canonical JSON: ${value}`);
  return JSON.stringify(value);
}

// JSON.parse takes more than the profile; that the bytes come back from what it understood tells.
export function decoded(data) {
  const text = Buffer.from(data).toString("utf8");
  const value = JSON.parse(text);
  demand(canonical(value) === text, "JSON in another spelling than its canonical one");
  return value;
}

export const paeOf = (type, body) =>
  Buffer.concat([Buffer.from(`DSSEv1 ${Buffer.byteLength(type)} ${type} ${body.length} `), body]);

export function statementOf(envelope) {
  const { payload, payloadType, signatures } = decoded(envelope);
  const body = unbase64(payload);
  const signed = paeOf(payloadType, body);
  const fields = decoded(body);
  demand(payloadType === `application/vnd.rogatory.${fields.kind}.v1+json` && fields.v === 1, "another kind of statement");
  return { id: hex(hash(signed)), envelope, signed, fields, signatures };
}

// Keys as a registry records them: `public` is the SubjectPublicKeyInfo in base64.
export function signatureHolds(record, statement, signature) {
  const spki = unbase64(record.public);
  demand(hex(hash(spki)) === record.id, "a key under another id than its own");
  const key = createPublicKey({ key: spki, format: "der", type: "spki" });
  const [name, how] = record.alg === "es256" ? ["sha256", { key, dsaEncoding: "ieee-p1363" }] : [null, key];
  return verify(name, statement.signed, how, unbase64(signature.sig));
}

function knownKey(vkey) {
  const [, name, id, data] = /^([^+]+)\+([0-9a-f]{8})\+(.+)$/.exec(vkey);
  const key = unbase64(data);
  demand(hex(hash(name, "\n", key).subarray(0, 4)) === id, "a vkey under another id than its own");
  return { name, id, type: key[0], public: key.subarray(1) };
}

function noteHolds(key, signature, text, point) {
  if (key.type === 1) {
    const spki = Buffer.concat([unhex("302a300506032b6570032100"), key.public]);
    return verify(null, text, createPublicKey({ key: spki, format: "der", type: "spki" }), signature);
  }
  demand(key.type === 6, "a log's key of a type that is not known");
  const name = Buffer.from(key.name);
  const origin = Buffer.from(point.origin);
  const subtree = [
    Buffer.from("subtree/v1\n\0"), [name.length], name, signature.subarray(0, 8),
    [origin.length], origin, u64(0), u64(point.size), point.root,
  ];
  return ml_dsa44.verify(signature.subarray(8), Buffer.concat(subtree.map((piece) => Buffer.from(piece))), key.public);
}

// The checkpoint of a note that every key of the log has signed; `time` is the newest that one of them states.
export function checkpointOf(note, trust) {
  demand(/(^|\n)quorum\s+none\s*$/.test(trust.policy), "this script knows no witnesses, and the trust file demands some");
  const end = note.lastIndexOf("\n\n") + 1;
  const text = Buffer.from(note.subarray(0, end));
  const [origin, size, root, rest] = text.toString().split("\n");
  demand(origin === trust.origin && /^(0|[1-9]\d*)$/.test(size) && rest === "", "no checkpoint of this log");
  const point = { origin, size: Number(size), root: unbase64(root), time: 0 };
  const lines = note.subarray(end + 1).toString().split("\n").slice(0, -1);
  demand(trust.log.length > 0, "no key of the log is trusted");
  for (const key of trust.log.map(knownKey)) {
    const said = lines.map((line) => /^— (\S+) (\S+)$/.exec(line)).filter((line) => line?.[1] === key.name);
    const mine = said.map((line) => unbase64(line[2])).filter((data) => hex(data.subarray(0, 4)) === key.id);
    demand(mine.length === 1, `a key of the log has not signed: ${key.id}`);
    demand(noteHolds(key, mine[0].subarray(4), text, point), `a signature of the log is wrong: ${key.id}`);
    if (key.type === 6) point.time = Math.max(point.time, Number(mine[0].readBigUInt64BE(4)));
  }
  return point;
}

export const leafHash = (data) => hash([0], data);
export const nodeHash = (left, right) => hash([1], left, right);
export const entryLeaf = (label, salt, entryHash) =>
  Buffer.concat([Buffer.from([1]), label, hash("rogatory/leaf/v1\0", salt, entryHash)]);

export function splitAt(size) {
  let split = 1;
  while (split * 2 < size) split *= 2;
  return split;
}

export function rootOf(leaves) {
  if (leaves.length === 1) return leafHash(leaves[0]);
  const split = splitAt(leaves.length);
  return nodeHash(rootOf(leaves.slice(0, split)), rootOf(leaves.slice(split)));
}

export function checkInclusion(index, size, leaf, path, root) {
  demand(index < size, "a place outside the tree");
  const rest = [...path];
  const climb = (at, width) => {
    if (width === 1) return leaf;
    const split = splitAt(width);
    const below = at < split ? climb(at, split) : climb(at - split, width - split);
    demand(rest.length > 0, "a path that is too short");
    const beside = rest.shift();
    return at < split ? nodeHash(below, beside) : nodeHash(beside, below);
  };
  demand(climb(index, size).equals(root) && rest.length === 0, "a path leads to another root");
}

// What the service answers to a statement: holds that its entry is that statement's, and in a checkpoint of the log.
export function checkedRecord({ entry, index, proof }, statement, trust) {
  const fields = decoded(entry);
  demand(fields.statement.id === statement.id && fields.chain === statement.fields.chain, "a record of another statement");
  demand(fields.statement.envelope === hex(hash(statement.envelope)), "a record of another envelope");
  const end = proof.indexOf("\n\n");
  const [form, extra, place, ...path] = proof.slice(0, end).split("\n");
  demand(form === "c2sp.org/tlog-proof@v1" && place === `index ${index}`, "no proof of that place");
  const known = unbase64(extra.replace("extra ", ""));
  const point = checkpointOf(Buffer.from(proof.slice(end + 2)), trust);
  const leaf = leafHash(entryLeaf(known.subarray(0, 32), known.subarray(32), hash(entry)));
  checkInclusion(index, point.size, leaf, path.map(unbase64), point.root);
  return { fields, hash: hex(hash(entry)), point };
}
