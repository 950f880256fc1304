// The verifier: a bundle, a trust file, and what else is at hand; a report. Nothing here reads a disk or shows anything.

import { NotChecked, Refusal } from "./bytes.js";
import { Bundle } from "./bundle.js";
import { bodies, chain, labels, registries, rules, signatures, signers, statements } from "./checks-chain.js";
import { canonical, conditions, digests, headers, items, packing, table } from "./checks-evidence.js";
import { completeness, consistency, cosigners, inclusion, log, quorum, readMirror, time } from "./checks-log.js";
import { timestamps } from "./checks-stamps.js";
import { succession } from "./checks-succession.js";
import { openArchive, openDirectory } from "./container.js";
import { readCheckpointText, splitNote, openCheckpoint } from "./notes.js";
import { codeOf, say } from "./phrases.js";
import { report } from "./report.js";
import { CHECKS, NO_TRUST, readTrust } from "./trust.js";

const FUNCTIONS = {
  packing, canonical, bodies, chain, statements, registries, signers, signatures, rules, labels, inclusion, log, quorum,
  consistency, completeness, succession, time, timestamps, conditions, digests, headers, table, items,
};

/** A bundle in its container, or the refusal that it met: {bundle, error}. */
async function open(given, progress) {
  try {
    const bundle = new Bundle(given instanceof Map ? openDirectory(given) : await openArchive(given));
    if (!bundle.container.names.includes("bundle.json")) throw new Refusal("bundle-malformed", "malformed", "no bundle.json");
    try {
      await bundle.readList();
    } catch (error) {
      if (error instanceof Refusal) error.place = { file: "bundle.json", ...error.place };
      throw error;
    }
    await bundle.readAll(progress);
    return { bundle };
  } catch (error) {
    if (error instanceof Refusal) return { error };
    throw error;
  }
}

/** What the reader brings to compare with: {note, leaves}, or why it cannot be used. Signatures on it are checked. */
async function readSince(given, trust, bundle) {
  try {
    const { bytes, leaves } = given instanceof Map || !(await isNote(given)) ? await readOlder(given, bundle) : { bytes: await given.read(0, given.size), leaves: new Map() };
    if (trust.given) openCheckpoint(bytes, trust.origin, trust.log, cosigners(trust));
    return { note: { bytes, ...readCheckpointText(splitNote(bytes).text) }, leaves };
  } catch (error) {
    if (error instanceof Refusal) return { error };
    throw error;
  }
}

/** A refusal as a value, for the checks that come by it. */
function refusal(error) {
  if (error instanceof Refusal) return error;
  throw error;
}

/** The checkpoint of another bundle, and the leaf lines of the chains that both have. */
async function readOlder(given, bundle) {
  const { bundle: other, error } = await open(given);
  const problem = error ?? other.problems.find(({ place }) => place.file === "checkpoint" || place.file.endsWith("leaves.jsonl"));
  if (problem) throw problem;
  const alike = [...other.chains.values()].filter(({ name }) => bundle.chains.has(name) && (name !== "@exchange" || other.chain === bundle.chain));
  return { bytes: other.checkpoint.bytes, leaves: new Map(alike.map(({ name, leaves }) => [name, leaves])) };
}

async function isNote(source) {
  const head = await source.read(0, Math.min(4, source.size));
  return !(head[0] === 0x50 && head[1] === 0x4b);
}

/** One signature, verified once however often it is asked for; its refusal is remembered too. */
function verifier() {
  const known = new WeakMap();
  return (signature) => {
    const { key, bytes, statement } = signature;
    const mine = known.get(bytes) ?? new Map();
    known.set(bytes, mine);
    if (!mine.has(key.id)) {
      let error;
      try {
        key.verify(bytes, statement.signed);
      } catch (found) {
        error = found;
      }
      mine.set(key.id, error);
    }
    if (mine.get(key.id)) throw new Refusal("signature-invalid", "false", mine.get(key.id).message);
  };
}

/**
 * The report on a bundle. `given`: a source, or a Map of path → source for a directory. Options: `trust` (bytes),
 * `items`, `mirror` (Map of path → source), `since` (source or Map), `before` (a bundle of the earlier log), `beforeTrust` (bytes),
 * `allowWithheld`, `now` (microseconds), `digest(algorithm, bytes)` (a faster one), `progress(what, share)`. Throws a Refusal
 * where a trust file cannot be read.
 */
export const verify = async (given, options = {}) => (await judge(given, options)).report;

/** The report, and the facts it rests on where the bundle could be opened. */
async function judge(given, options) {
  const trust = options.trust ? readTrust(options.trust) : NO_TRUST;
  const tell = options.progress ?? (() => {});
  const { bundle, error } = await open(given, (share) => tell("reading", share));
  if (error) return { report: report({ trust, options, results: refusedWhole(error) }) };
  const facts = {
    bundle,
    trust,
    given: options.items,
    mirror: options.mirror && (await readMirror(options.mirror).catch(refusal)),
    since: options.since && (await readSince(options.since, trust, bundle)),
    before: options.before && (await judge(options.before, { trust: options.beforeTrust, allowWithheld: options.allowWithheld, now: options.now })),
    now: options.now,
    digest: options.digest,
    verify: verifier(),
    passed: {},
    times: [],
    progress: (name, bytes) => tell(name, bytes),
  };
  const results = [];
  for (const [n, id] of CHECKS.entries()) {
    tell("checking", n / CHECKS.length);
    results.push(await outcome(id, facts));
    facts.passed[id] = results[n].status === "pass";
  }
  return { report: report({ trust, options, results, facts }), facts };
}

async function outcome(id, facts) {
  try {
    return { id, status: "pass", detail: (await FUNCTIONS[id](facts)) || "-" };
  } catch (error) {
    if (error instanceof NotChecked) return notChecked(id, error.reason);
    if (error instanceof Refusal) return failed(id, error);
    throw error;
  }
}

const notChecked = (id, reason) => ({ id, status: "not_checked", detail: reason, code: codeOf(reason) });

function failed(id, { code, kind, message, place }) {
  const known = Object.fromEntries(Object.entries(place ?? {}).filter(([, value]) => value !== undefined));
  return { id, status: "fail", kind, detail: message, code, ...(Object.keys(known).length ? { place: known } : {}) };
}

/** What cannot be opened at all: its packing fails, everything else was not looked at. */
function refusedWhole(error) {
  return CHECKS.map((id) => (id === "packing" ? failed(id, error) : notChecked(id, say("reason.unopened"))));
}
