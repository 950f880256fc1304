// Single operations on a vector's input, for docs/spec/vectors.md: each returns the output or throws a Refusal.

import { hex, unbase64, unhex, untrue, utf8 } from "./bytes.js";
import { checkEd25519Key, verifyEd25519 } from "./ed25519.js";
import { Exchange } from "./exchange.js";
import { sha256 } from "./hashes.js";
import { readJson } from "./json.js";
import { checkHeader, readKeyRecord } from "./keys.js";
import {
  bucketHead, checkAbsence, checkBatch, checkConsistency, checkInclusion, commitment, firstLabel, Growing, leafHash,
  makeBatch, nextLabel, readBatch, readLeaf, registryHandle, Tail,
} from "./merkle.js";
import {
  checkTlogProof, cosignedSubtree, cosignedText, openCheckpoint, openNote, Policy, readCheckpointText, readEntries,
  readTilePath, readVkey,
} from "./notes.js";
import { checkMatch, checkSignedBy, readEntry, readStatement } from "./records.js";
import { Registry } from "./registry.js";
import { checkMember } from "./schema.js";

const all = (values) => values.map(unhex);
const vkeys = (texts) => texts.map(readVkey);
const verified = ({ key, bytes, statement }) => key.verify(bytes, statement.signed);

/** Take every step of a chain; only the last may be refused. */
function replay(steps, take) {
  steps.forEach((step, n) => {
    try {
      const entry = readEntry(utf8(step.entry));
      const statement = step.envelope === undefined ? undefined : readStatement(utf8(step.envelope));
      if (statement) checkMatch(entry, statement);
      take(entry, statement, step.index);
    } catch (error) {
      if (n + 1 < steps.length) throw new Error(`step ${n}: ${error.message}`);
      throw error;
    }
  });
}

function replayedRegistry({ authority, steps }) {
  const registry = new Registry(authority);
  replay(steps, (entry, statement, index) => {
    const { looked, missing } = registry.take(entry, statement, index);
    looked.forEach(verified);
    if (missing !== undefined) throw untrue("signature-missing", `${missing} did not sign`);
  });
  return registry;
}

const KNOWN = new Map();

function knownRegistry(name, other) {
  if (!KNOWN.has(name)) KNOWN.set(name, replayedRegistry(other(name)));
  return KNOWN.get(name);
}

function replayedExchange(given, other) {
  const registries = new Map(given.registries.map((name) => [other(name).authority, knownRegistry(name, other)]));
  const exchange = new Exchange();
  replay(given.steps, (entry, statement, index) => {
    if (statement) registries.get(statement.payload.signer.authority).entitled(statement, entry.fields.event, index).forEach(verified);
    exchange.take(entry, statement, index, registries);
  });
  exchange.checkKnown();
}

function grownTail(labels) {
  const tail = new Tail();
  for (const label of labels) tail.add(label);
  return hex(tail.root());
}

function grownRoot(leaves) {
  const tree = new Growing();
  for (const leaf of leaves) tree.add(leafHash(leaf));
  return hex(tree.root());
}

/** Operation → what it does with a vector's input; `other` gives the input of another vector of the same kind. */
export const OPERATIONS = {
  "first-label": (given) => hex(firstLabel(given.origin, unhex(given.handle))),
  "next-label": (given) => hex(nextLabel(unhex(given.salt), unhex(given.hash))),
  commitment: (given) => hex(commitment(unhex(given.salt), unhex(given.hash))),
  "registry-handle": (given) => hex(registryHandle(given.origin, given.authority)),
  leaf: (given) => void readLeaf(unhex(given.data)),
  root: (given) => grownRoot(all(given.leaves)),
  "tail-root": (given) => grownTail(all(given.labels)),
  "bucket-head": (given) => hex(bucketHead(all(given.labels))),
  inclusion: (given) => checkInclusion(given.index, given.size, unhex(given.leaf), all(given.path), unhex(given.root)),
  consistency: (given) => checkConsistency(given.size1, given.size2, unhex(given.root1), unhex(given.root2), all(given.path)),
  absence: (given) => checkAbsence(unhex(given.label), all(given.bucket), all(given.path), unhex(given.root)),
  batch: (given) => {
    const { size, hashes } = readBatch(utf8(given.file));
    const leaves = new Map(Object.entries(given.leaves).map(([index, leaf]) => [Number(index), unhex(leaf)]));
    checkBatch(leaves, size, hashes, unhex(given.root));
  },
  "batch-proof": (given) => makeBatch(given.indices, all(given.leaves).map(leafHash)).map(hex),
  "batch-file": (given) => void readBatch(utf8(given.file)),
  ed25519: (given) => verifyEd25519(unhex(given.public), unhex(given.signature), unhex(given.message)),
  "ed25519-key": (given) => checkEd25519Key(unhex(given.public)),
  note: (given) => openNote(utf8(given.note), vkeys(given.keys)).signatures.map(({ vkey, time }) => [vkey.name, time ?? null]),
  vkey: (given) => readVkey(given.text).fullId,
  checkpoint: (given) => void readCheckpointText(given.text),
  "open-checkpoint": (given) => void openCheckpoint(utf8(given.note), given.origin, vkeys(given.log)),
  "cosigned-bytes": (given) =>
    hex(given.type === 4 ? cosignedText(given.time, given.text) : cosignedSubtree(given.cosigner, given.time, readCheckpointText(given.text))),
  proof: (given) =>
    checkTlogProof(utf8(given.proof), given.origin, vkeys(given.log), {
      entry: given.entry === undefined ? undefined : unhex(given.entry),
      leaf: given.leaf === undefined ? undefined : unhex(given.leaf),
    }),
  "tile-path": (given) => readTilePath(given.path),
  entries: (given) => readEntries(unhex(given.data), given.width).map(hex),
  policy: (given) => void new Policy(given.text),
  quorum: (given) => new Policy(given.text).satisfied(new Set(given.keys)),
  time: (given) => {
    const { upper, lower } = new Policy(given.text).times(given.cosignatures);
    return { upper: upper ?? null, lower: lower ?? null };
  },
  canonical: (given) => void readJson(unhex(given.hex)),
  statement: (given) => {
    const { id, hash } = readStatement(utf8(given.envelope));
    return { id, envelope: hash };
  },
  signature: (given) => checkSignedBy(readStatement(utf8(given.envelope)), unbase64(given.key)),
  entry: (given) => ({ hash: readEntry(utf8(given.entry)).hash }),
  match: (given) => checkMatch(readEntry(utf8(given.entry)), readStatement(utf8(given.envelope))),
  key: (given) => {
    checkMember("key", "key", given.record);
    return { id: readKeyRecord(given.record).id };
  },
  registry: (given) => {
    const registry = replayedRegistry(given);
    const live = [...registry.keys.values()].filter((key) => registry.live(key, Infinity)).map(({ id }) => id);
    return { founders: [...registry.founders].sort(), live: live.sort() };
  },
  signers: (given) => replayedRegistry(given.registry).entitled(readStatement(utf8(given.envelope)), given.event, given.at).forEach(verified),
  exchange: replayedExchange,
  header: (given) => checkHeader(utf8(given.header), given.kind, given.count),
};

/** What a vector gives: {found, output}; a header's vector is flat, all others have op and input. */
export function runVector(vector, other) {
  const op = vector.op ?? ("header" in vector && "count" in vector ? "header" : undefined);
  if (!OPERATIONS[op]) return { found: "not here" };
  try {
    return { found: "ok", output: OPERATIONS[op](vector.input ?? vector, other) };
  } catch (error) {
    if (error.code === undefined) return { found: `error: ${error.message}` };
    return { found: error.code };
  }
}
