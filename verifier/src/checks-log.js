// What a verifier finds in the log: inclusion, its signatures, quorum, one history, completeness, time.

import { hex, instant, NotChecked, Refusal, unhex, untrue } from "./bytes.js";
import { acts, allUnderstood, at, placed, understood } from "./checks-chain.js";
import { checkAbsence, checkBatch, checkConsistency, entryLeaf, Growing, leafHash, nextLabel, readLeaf, Tail, tailLeaf } from "./merkle.js";
import { openCheckpoint, readEntries } from "./notes.js";
import { lastWord } from "./checks-succession.js";
import { join, say } from "./phrases.js";

function needCheckpoint({ bundle }) {
  if (!bundle.checkpoint) throw new NotChecked(say("reason.checkpoint-unread"));
  return bundle.checkpoint;
}

export function inclusion(facts) {
  const { bundle } = facts, chains = understood(bundle), { root, size: wanted } = needCheckpoint(facts);
  if (!bundle.inclusion) throw new NotChecked(say("reason.inclusion-unread"));
  const { size, hashes } = bundle.inclusion;
  if (size !== wanted) throw untrue("size-mismatch", `the proof is of size ${size}, the checkpoint of ${wanted}`);
  const leaves = new Map(), twice = (index) => untrue("index-twice", `two leaves at ${index}`);
  const tail = chains.find((chain) => chain.tail)?.tail;
  if (tail) leaves.set(size - 1, leafHash(tailLeaf(tail.root)));
  for (const chain of chains) {
    for (const leaf of chain.leaves) {
      if (leaves.has(leaf.index)) throw twice(leaf.index);
      leaves.set(leaf.index, leafHash(entryLeaf(leaf.label, leaf.salt, unhex(leaf.hash))));
    }
  }
  checkBatch(leaves, size, hashes, root);
  return say("detail.leaves", { count: leaves.size, size });
}

/** Keys whose cosignatures mean something to the reader, beside the log's own. */
export const cosigners = ({ policy, auditors }) => [...new Map([...policy.witnesses.values(), ...(auditors?.witnesses.values() ?? [])].map((vkey) => [vkey.text, vkey])).values()];

export function log(facts) {
  const { trust } = facts, checkpoint = needCheckpoint(facts);
  if (!trust.given) throw new NotChecked(say("reason.no-trust-log"));
  if (checkpoint.origin !== trust.origin) throw untrue("origin-mismatch", `a checkpoint of ${checkpoint.origin}, the trust file speaks of ${trust.origin}`);
  facts.opened = openCheckpoint(checkpoint.bytes, trust.origin, trust.log, cosigners(trust));
  facts.cosigned = [{ size: checkpoint.size, cosigned: cosignedBy(facts.opened) }];
  return say("detail.log-keys", { count: trust.log.length, origin: trust.origin });
}

/** Refuse to look at what only a signed checkpoint means. */
function signedLog(facts, why) {
  const { trust, opened } = facts;
  needCheckpoint(facts);
  if (!trust.given) throw new NotChecked(say(why));
  if (!opened) throw new NotChecked(say("reason.log-unproven"));
}

const cosignedBy = ({ signatures }) => signatures.filter(({ time }) => time !== undefined).map(({ vkey, time }) => [vkey.fullId, time]);

export function quorum(facts) {
  signedLog(facts, "reason.no-trust-witnesses");
  const { policy } = facts.trust, ids = new Set(cosignedBy(facts.opened).map(([id]) => id));
  if (policy.none) throw new NotChecked(say("reason.no-quorum"));
  const { yes, no } = policy.who(ids);
  if (!policy.satisfied(ids)) throw untrue("quorum-missing", `cosigned by ${yes.join(", ") || "nobody"}, not by ${no.join(", ")}`);
  return no.length ? say("detail.cosigned-but", { yes, no }) : say("detail.cosigned", { yes });
}

// ---------------------------------------------------------------- one history

/** Everything a signer said it saw, a size and root once; the newest of each signer must be comparable. */
function seenViews(facts) {
  const found = new Map(), newest = new Map();
  for (const name of facts.bundle.chains.keys()) {
    for (const { statement, entry } of acts(facts, name)) {
      const { seen, signer: { authority, principal } } = statement.payload;
      if (!seen) continue;
      const signer = `${authority} ${principal}`, key = `${seen.size} ${seen.root}`;
      newest.set(signer, Math.max(newest.get(signer) ?? 0, seen.size));
      if (!found.has(key)) found.set(key, { who: say("detail.view-seen", { authority, size: seen.size }), signer, size: seen.size, root: unhex(seen.root), place: { chain: name, seq: entry.fields.seq } });
    }
  }
  return [...found.values()].map((view) => ({ ...view, demanded: newest.get(view.signer) === view.size }));
}

/** Nobody can have seen a tree that holds what was said after seeing it. */
function checkSeen(facts) {
  for (const name of facts.bundle.chains.keys()) {
    for (const { statement, index, place } of acts(facts, name)) {
      const { seen } = statement.payload;
      if (seen && index !== undefined && seen.size > index) throw placed(untrue("seen-too-much", `saw ${seen.size} leaves, stands at ${index}`), place);
    }
  }
}

/** Hold one view against the bundle's tree; whether it could be done. */
function compare({ size, root, who }, bundle, roots) {
  const other = (what) => untrue("other-history", `${who}: ${what}`), own = bundle.checkpoint;
  const [old, now] = size <= own.size ? [{ size, root }, own] : [own, { size, root }];
  const path = size === own.size ? [] : bundle.consistency.get(`${old.size}-${now.size}`)?.path;
  if (path) {
    try {
      checkConsistency(old.size, now.size, old.root, now.root, path);
    } catch (error) {
      throw error.code === "root-mismatch" ? other("no continuation of the other") : error;
    }
    return true;
  }
  if (!roots?.has(size)) return false;
  if (hex(roots.get(size)) !== hex(root)) throw other("another root than that of the mirror's leaves");
  return true;
}

/** Views of those who hold something against the service: the trust file, what the reader brought, signers. */
function views(facts) {
  const { trust, since } = facts, found = seenViews(facts);
  if (since) found.unshift({ who: say("detail.view-older", { size: since.note?.size }), ...since.note, demanded: true });
  if (trust.checkpoint?.size > 0) found.unshift({ who: say("detail.view-held", { size: trust.checkpoint.size }), ...trust.checkpoint, demanded: true });
  return found;
}

export function consistency(facts) {
  const { bundle, since } = facts;
  needCheckpoint(facts);
  allUnderstood(bundle);
  checkSeen(facts);
  if (since?.error) throw unusable(since);
  const all = views(facts), tiles = mirrored(facts), missing = [];
  for (const view of all) {
    const known = at(view.place, () => compare(view, bundle, tiles?.roots));
    if (!known && view.demanded) missing.push(view.who);
    if (known && view.bytes) addNote(facts, view);
  }
  for (const [size, note] of [...bundle.checkpoints].sort(([a], [b]) => a - b)) {
    const place = { file: note.file };
    if (at(place, () => compare({ who: note.file, size, root: note.root, place }, bundle, tiles?.roots))) addNote(facts, note);
  }
  if (since) checkKept(bundle, since);
  if (missing.length) throw new NotChecked(say("reason.no-proof", { views: missing.slice(0, 5), count: all.length }));
  if (!all.length && !tiles) throw new NotChecked(say("reason.nothing-to-compare"));
  return join("; ", [...all.filter(({ demanded }) => demanded).map(({ who }) => who), ...(tiles ? [say("detail.mirror")] : [])]);
}

/** Count another note's cosignatures, for times and for auditors, once it was shown to be of this history. */
function addNote(facts, { bytes, size }) {
  const { trust } = facts;
  if (!facts.opened) return;
  try {
    facts.cosigned.push({ size, cosigned: cosignedBy(openCheckpoint(bytes, trust.origin, trust.log, cosigners(trust))) });
  } catch (error) {
    if (error.code === undefined) throw error;
  }
}

const unusable = ({ error }) => new NotChecked(say("reason.older-unusable", { error: error.message }));

/** Every leaf line of the older bundle that is given is still there, unchanged. */
function checkKept(bundle, { leaves, note }) {
  for (const [name, lines] of leaves) {
    const chain = bundle.chains.get(name);
    for (const leaf of lines) {
      const now = chain.leaf(leaf.seq);
      if (!now && chain.whole && note.size <= bundle.checkpoint.size) throw placed(untrue("rolled-back", `entry ${leaf.seq} of ${name} was there before`), { chain: name });
      const alike = now && now.hash === leaf.hash && now.index === leaf.index && hex(now.salt) === hex(leaf.salt) && hex(now.label) === hex(leaf.label);
      if (now && !alike) throw placed(untrue("rolled-back", `entry ${leaf.seq} of ${name} was another before`), chain.placeOfLeaf(now));
    }
  }
}

/** The log's tiles walked through, once: roots at all sizes of interest, labels unique, tails right. */
function mirrored(facts) {
  if (!facts.mirror) return undefined;
  if (!facts.tiles) {
    try {
      facts.tiles = walk(facts);
    } catch (error) {
      facts.tiles = { error };
    }
  }
  if (facts.tiles.error) throw facts.tiles.error;
  const { root, size } = facts.bundle.checkpoint;
  if (hex(facts.tiles.roots.get(size)) !== hex(root)) throw untrue("other-history", "the mirror's leaves lead to another root");
  return facts.tiles;
}

function walk(facts) {
  const { bundle, mirror } = facts, { size } = bundle.checkpoint;
  if (facts.since?.error) throw unusable(facts.since);
  const wanted = new Set([size, ...bundle.checkpoints.keys(), ...views(facts).map((view) => view.size)]);
  if (mirror instanceof Refusal) throw mirror;
  const tree = new Growing(), tail = new Tail(), known = new Set(), roots = new Map();
  if (mirror.length < size) throw new NotChecked(say("reason.mirror-short", { index: mirror.length - (mirror.length % 256) }));
  for (let index = 0; index < size; index++) {
    const leaf = readLeaf(mirror[index]), name = hex(leaf.value);
    if (leaf.tail && name !== hex(tail.root())) throw untrue("tail-mismatch", `the tail leaf at ${index} is wrong`);
    if (!leaf.tail && known.has(name)) throw untrue("label-twice", `leaf ${index} bears label ${name} a second time: a fork`);
    if (!leaf.tail) {
      known.add(name);
      tail.add(leaf.value);
    }
    tree.add(leafHash(mirror[index]));
    if (wanted.has(index + 1)) roots.set(index + 1, tree.root());
  }
  return { roots };
}

/** Leaf data of a mirror's files, in order; partial tiles count where no full one stands. */
export async function readMirror(files) {
  const leaves = [];
  for (let n = 0; ; n++) {
    const number = String(n).padStart(3, "0");
    const groups = number.padStart(Math.ceil(number.length / 3) * 3, "0").match(/.../g);
    const path = `tile/entries/${groups.map((group, at_) => (at_ < groups.length - 1 ? `x${group}` : group)).join("/")}`;
    let found = files.get(path), width = 256;
    for (let some = 255; !found && some > 0; some--) {
      found = files.get(`${path}.p/${some}`);
      width = some;
    }
    if (!found) return leaves;
    leaves.push(...readEntries(await found.read(0, found.size), width));
    if (width < 256) return leaves;
  }
}

// ---------------------------------------------------------------- completeness, time

export function completeness(facts) {
  const { bundle, trust } = facts;
  const chains = understood(bundle).filter(({ name }) => name !== "@service");
  needCheckpoint(facts);
  const cut = chains.filter((chain) => !chain.whole).map(({ name }) => name);
  if (cut.length) throw new NotChecked(say("reason.excerpt", { names: cut }));
  const tails = chains.filter(({ tail }) => tail);
  if (new Set(tails.map(({ tail }) => hex(tail.root))).size > 1) throw untrue("tail-mismatch", "tails of two roots in one bundle");
  for (const chain of tails) {
    const last = chain.leaves[chain.leaves.length - 1];
    at(chain.placeOfTail(), () => checkAbsence(nextLabel(last.salt, unhex(last.hash)), chain.tail.bucket, chain.tail.path, chain.tail.root));
  }
  if (tails.length < chains.length) throw new NotChecked(say("reason.no-tail", { names: chains.filter(({ tail }) => !tail).map(({ name }) => name) }));
  if (!facts.passed.inclusion) throw new NotChecked(say("reason.tail-unproven"));
  checkExported(bundle);
  if (mirrored(facts)) return say("detail.recomputed");
  // Whoever has recomputed the leaves of a larger tree has recomputed those of this one; not so of a smaller tree.
  const ids = new Set((facts.cosigned ?? []).filter(({ size }) => size >= bundle.checkpoint.size).flatMap(({ cosigned }) => cosigned.map(([id]) => id)));
  if (!trust.auditors?.satisfied(ids)) throw new NotChecked(say("reason.claimed"));
  return say("detail.audited", { names: trust.auditors.who(ids).yes.join(", ") });
}

function checkExported(bundle) {
  const { exchange } = bundle;
  if (!exchange || exchange.withheld.length || lastWord(bundle)) return;
  if (!exchange.entries.some(({ fields }) => fields.event === "log.exported")) throw untrue("export-missing", "no log.exported asked for this bundle");
}

const seconds = (value) => value * 1e6;

export function time(facts) {
  const { bundle, trust, now } = facts;
  needCheckpoint(facts);
  const chains = allUnderstood(bundle);
  signedLog(facts, "reason.no-trust-times");
  const late = (what) => untrue("time-outside", what), { skew } = trust;
  const own = new Set(trust.log.map(({ fullId }) => fullId));
  const sealed = cosignedBy(facts.opened).filter(([id]) => own.has(id)).map(([, at_]) => seconds(at_));
  const latest = sealed.length ? Math.max(...sealed) : Infinity, clock = now === undefined ? Infinity : seconds(Math.ceil(now / 1e6));
  if (now !== undefined && sealed.length && latest > now + skew) throw late("the log signed after the verifier's clock");
  const ceiling = Math.min(latest, clock);
  for (const chain of chains) {
    checkOrder(chain, skew, late);
    checkSaid(facts, chain, skew, late);
    for (const entry of chain.entries) {
      const index = chain.leaf(entry.fields.seq)?.index;
      if (index === undefined) continue;
      const { before, after } = bounds(facts, index), found = instant(entry.fields.time);
      const outside = found > Math.min(ceiling, after ?? Infinity) + skew || found < (before ?? -Infinity) - skew;
      if (outside) throw placed(late(`entry ${entry.fields.seq} lies outside the times between which it must have been recorded`), chain.placeOf(entry));
    }
  }
  facts.times = trust.policy.none ? [] : runs(facts);
  return trust.policy.none ? say("detail.unbounded") : say("detail.bounded", { by: [say("detail.by-cosignatures")] });
}

/** Not before and not after of the entry at an index, in microseconds; known once for all between two sizes. */
function bounds({ trust, cosigned, bounded = new Map() }, index) {
  const place = cosigned.filter(({ size }) => size <= index).length;
  if (!bounded.has(place)) {
    const { before, after } = trust.policy.none ? {} : trust.policy.bounds(index, cosigned);
    bounded.set(place, { before: before && seconds(before), after: after && seconds(after) });
  }
  return bounded.get(place);
}

function checkOrder(chain, skew, late) {
  let latest = -Infinity;
  for (const entry of chain.entries) {
    const found = instant(entry.fields.time);
    if (latest - found > skew) throw placed(late(`entry ${entry.fields.seq} falls back`), chain.placeOf(entry));
    latest = Math.max(latest, found);
  }
}

/** Statements lie near their entries; acts that waited for an approval before its end. */
function checkSaid(facts, chain, skew, late) {
  const expires = new Map();
  for (const { entry, statement: { id, kind, payload }, place } of acts(facts, chain.name)) {
    if (kind === "approval") expires.set(payload.act, instant(payload.expires));
    const found = instant(entry.fields.time), end = expires.get(id);
    if (end !== undefined ? found - end > skew : Math.abs(found - instant(payload.time)) > seconds(600) + skew) throw placed(late("the signer's own time is another"), place);
  }
}

const spelled = (micros) => `${new Date(Math.floor(micros / 1000)).toISOString().slice(0, 19)}.${String(micros % 1e6).padStart(6, "0")}Z`;

/** Runs of entries of the main chain between the same bounds. */
function runs(facts) {
  const found = [], chain = facts.bundle.exchange ?? facts.bundle.registries[0];
  for (const { seq, index } of chain?.leaves ?? []) {
    const { before, after } = bounds(facts, index), last = found[found.length - 1];
    const row = { first: seq, last: seq, ...(before === undefined ? {} : { not_before: spelled(before) }), ...(after === undefined ? {} : { not_after: spelled(after) }) };
    if (last && last.not_before === row.not_before && last.not_after === row.not_after) last.last = seq;
    else found.push(row);
  }
  return found;
}
