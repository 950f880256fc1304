// The log's tree, labels, tails and proofs (docs/spec/log.md sections 1 to 4).

import { ascends, concat, decimal, equal, fromUtf8, hex, malformed, unbase64, untrue, utf8 } from "./bytes.js";
import { sha256 } from "./hashes.js";

export const leafHash = (data) => sha256([0], data);
export const nodeHash = (left, right) => sha256([1], left, right);

const BUCKETS = 65536;
const ZERO = new Uint8Array(32);
const domain = (name) => utf8(`rogatory/${name}/v1\0`);
const LEAF = domain("leaf"), FIRST = domain("first"), NEXT = domain("next"), REGISTRY = domain("registry"), TAIL = domain("tail");

export const firstLabel = (origin, handle) => sha256(FIRST, sha256(utf8(origin)), handle);
export const nextLabel = (salt, hash) => sha256(NEXT, salt, hash);
export const commitment = (salt, hash) => sha256(LEAF, salt, hash);
export const registryHandle = (origin, authority) => sha256(REGISTRY, utf8(`${origin}\n${authority}`));
export const entryLeaf = (label, salt, hash) => concat([1], label, commitment(salt, hash));
export const tailLeaf = (root) => concat([2], root);
export const bucketOf = (label) => label[0] * 256 + label[1];

/** Label or tail root of a leaf's data: {tail: bool, value}. */
export function readLeaf(data) {
  if (data.length === 65 && data[0] === 1) return { tail: false, value: data.subarray(1, 33) };
  if (data.length === 33 && data[0] === 2) return { tail: true, value: data.subarray(1) };
  throw malformed("leaf-malformed", "leaf data of another type or length");
}

/** Half of the leaves of a tree, rounded up to a power of two: the largest one below the size. Sizes are BigInt or number. */
function split(size) {
  let half = 1;
  while (half * 2 < size) half *= 2;
  return half;
}

/** A tree that grows leaf by leaf and remembers only the roots of its perfect subtrees. */
export class Growing {
  constructor() {
    this.size = 0;
    this.stack = [];
  }

  add(leaf) {
    for (let left = this.size; left % 2 === 1; left = (left - 1) / 2) leaf = nodeHash(this.stack.pop(), leaf);
    this.stack.push(leaf);
    this.size++;
  }

  root() {
    if (!this.size) return sha256();
    return this.stack.reduceRight((right, left) => nodeHash(left, right));
  }
}

function checkHashes(...hashes) {
  if (hashes.some((hash) => hash.length !== 32)) throw malformed("proof-malformed", "a hash that is not 32 bytes");
}

const mismatch = (what) => untrue("root-mismatch", what);

/** Return only if the leaf hash stands at the index of the tree of this size and root. */
export function checkInclusion(index, size, leaf, path, root) {
  checkHashes(leaf, root, ...path);
  if (!(index >= 0 && index < size)) throw malformed("proof-malformed", "an index outside the tree");
  const turns = [];
  let low = 0, high = size;
  while (high - low > 1) {
    const middle = low + split(high - low);
    turns.push(index < middle);
    if (index < middle) high = middle;
    else low = middle;
  }
  if (turns.length !== path.length) throw malformed("proof-malformed", `${path.length} hashes, ${turns.length} called for`);
  const found = path.reduce((hash, sibling, n) => (turns[turns.length - 1 - n] ? nodeHash(hash, sibling) : nodeHash(sibling, hash)), leaf);
  if (!equal(found, root)) throw mismatch("the inclusion path leads to another root");
}

/** Both roots that a consistency path leads to, by RFC 9162 section 2.1.4.1 read backwards; `whole` as SUBPROOF's b. */
function both(old, size, whole, path, root) {
  const next = () => {
    if (!path.length) throw malformed("proof-malformed", "too few hashes");
    return path.pop();
  };
  if (old === size) {
    const hash = whole ? root : next();
    return [hash, hash];
  }
  const half = split(size), last = next();
  if (old <= half) {
    const [then, now] = both(old, half, whole, path, root);
    return [then, nodeHash(now, last)];
  }
  const [then, now] = both(old - half, size - half, false, path, root);
  return [nodeHash(last, then), nodeHash(last, now)];
}

/** Return only if the tree of the first size and root is the beginning of the second. */
export function checkConsistency(old, size, oldRoot, root, path) {
  checkHashes(oldRoot, root, ...path);
  if (!(old >= 1 && old <= size)) throw malformed("proof-malformed", "sizes that cannot be compared");
  const left = [...path];
  const [then, now] = both(old, size, true, left, oldRoot);
  if (left.length) throw malformed("proof-malformed", "hashes left over");
  if (!equal(then, oldRoot) || !equal(now, root)) throw mismatch("the consistency path leads to another root");
}

/** The file `inclusion`: {size, hashes}. */
export function readBatch(bytes) {
  const refuse = (what) => malformed("batch-malformed", what);
  const lines = fromUtf8(bytes, "batch-malformed").split("\n");
  if (lines.pop() !== "" || lines.shift() !== "rogatory/batch-inclusion/v1" || !lines.length) throw refuse("not a batch proof");
  const size = Number(decimal(lines.shift()));
  return { size, hashes: readHashes(lines, "batch-malformed") };
}

/** Base64 of 32 bytes, a line each. */
export function readHashes(lines, code, spelling = code) {
  return lines.map((line) => {
    const hash = unbase64(line, true, spelling);
    if (hash.length !== 32) throw malformed(code, "a hash that is not 32 bytes");
    return hash;
  });
}

/** Return only if all leaves (Map of index → leaf hash) and all hashes lead to the root. */
export function checkBatch(leaves, size, hashes, root) {
  const indices = [...leaves.keys()].sort((a, b) => a - b);
  checkHashes(root, ...leaves.values());
  if (!indices.length || indices[0] < 0 || indices[indices.length - 1] >= size) throw malformed("batch-malformed", "no index, or one outside the tree");
  let at = 0;
  // Indices first … end − 1 of the sorted list lie in [low, high).
  const climb = (low, high, first, end) => {
    if (first === end) {
      if (at === hashes.length) throw untrue("batch-mismatch", "too few hashes");
      return hashes[at++];
    }
    if (high - low === 1) return leaves.get(low);
    const middle = low + split(high - low);
    let cut = first;
    for (let top = end; cut < top; ) {
      const half = (cut + top) >> 1;
      if (indices[half] < middle) cut = half + 1;
      else top = half;
    }
    const left = climb(low, middle, first, cut);
    return nodeHash(left, climb(middle, high, cut, end));
  };
  const found = climb(0, size, 0, indices.length);
  if (at !== hashes.length) throw untrue("batch-mismatch", "hashes left over");
  if (!equal(found, root)) throw mismatch("the batch proof leads to another root");
}

/** The labels' head, from 32 zero bytes. */
export const bucketHead = (labels) => labels.reduce((head, label) => sha256(TAIL, head, label), ZERO);

/** Return only if the label is not in the log whose tail has this root. */
export function checkAbsence(label, bucket, path, root) {
  if ([label, root, ...bucket, ...path].some((value) => value.length !== 32) || path.length !== 16) {
    throw malformed("tail-malformed", "a tail proof of another shape");
  }
  const place = bucketOf(label);
  try {
    checkInclusion(place, BUCKETS, leafHash(bucketHead(bucket)), path, root);
  } catch {
    throw untrue("tail-mismatch", "the labels do not lead to the tail root");
  }
  if (bucket.some((other) => bucketOf(other) !== place)) throw untrue("label-misplaced", "a label of another bucket");
  const names = bucket.map(hex);
  if (new Set(names).size !== names.length) throw untrue("label-twice", "a label stands in the log twice");
  if (names.includes(hex(label))) throw untrue("label-present", "the label is in the log: something follows");
}

/** All labels of a log as an auditor keeps them: heads of buckets, and the root over them. */
export class Tail {
  constructor() {
    this.levels = [];
    for (let width = BUCKETS, hash = leafHash(ZERO); ; width /= 2, hash = nodeHash(hash, hash)) {
      this.levels.push(new Array(width).fill(hash));
      if (width === 1) break;
    }
    this.heads = new Map();
    this.changed = new Set();
  }

  add(label) {
    const place = bucketOf(label);
    this.heads.set(place, sha256(TAIL, this.heads.get(place) ?? ZERO, label));
    this.changed.add(place);
  }

  root() {
    for (const place of this.changed) this.levels[0][place] = leafHash(this.heads.get(place));
    let dirty = this.changed;
    for (let level = 1; level < this.levels.length; level++) {
      dirty = new Set([...dirty].map((place) => place >> 1));
      const below = this.levels[level - 1];
      for (const place of dirty) this.levels[level][place] = nodeHash(below[2 * place], below[2 * place + 1]);
    }
    this.changed = new Set();
    return this.levels[16][0];
  }
}

/** A proof for indices of a tree that is wholly at hand (docs/spec/log.md section 4); used by vectors alone. */
export function makeBatch(indices, leaves) {
  if (!indices.length || !ascends(indices) || indices.some((n) => n < 0 || n >= leaves.length)) throw malformed("batch-malformed", "indices");
  const found = [];
  const rootOf = (low, high) => (high - low === 1 ? leaves[low] : nodeHash(rootOf(low, low + split(high - low)), rootOf(low + split(high - low), high)));
  const walk = (low, high) => {
    if (!indices.some((n) => n >= low && n < high)) return found.push(rootOf(low, high));
    if (high - low === 1) return 0;
    walk(low, low + split(high - low));
    return walk(low + split(high - low), high);
  };
  walk(0, leaves.length);
  return found;
}
