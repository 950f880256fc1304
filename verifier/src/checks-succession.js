// Whether what goes on here from an earlier log begins where that log ended (docs/spec/log.md, section 14).

import { hex, NotChecked, untrue } from "./bytes.js";
import { acts, allUnderstood, at, placed, replay } from "./checks-chain.js";
import { say } from "./phrases.js";

const broken = (what) => untrue("succession-broken", what);

/** The first entry of the service's own chain with this event, where the bundle shows one. */
function ofService({ chains }, event) {
  const chain = chains.get("@service"), entry = chain?.entries.find(({ fields }) => fields.event === event);
  return entry && { ...entry.fields.noted, place: chain.placeOf(entry) };
}

/**
 * The last word of a log that has ended, where the bundle shows it and nothing after it: nothing can be asked of that log
 * any more. What is said to be the end in the midst of a log is none.
 */
export function lastWord(bundle) {
  const end = ofService(bundle, "log.succeeded"), chains = [...bundle.chains.values()];
  const newest = Math.max(...chains.filter(({ leaves }) => leaves.length).map(({ leaves }) => leaves[leaves.length - 1].index));
  return end && bundle.chains.get("@service").leaf(end.place.seq)?.index === newest ? end : undefined;
}

/** Chains of parties whose entry 0 is shown: {name, entry, statement, place, continues}. */
function begun(facts) {
  const found = [];
  for (const { name, entries } of facts.bundle.chains.values()) {
    const act = name !== "@service" && acts(facts, name).find(({ entry }) => entry === entries[0] && entry.fields.seq === 0);
    if (act) found.push({ name, ...act, continues: act.entry.fields.noted?.continues });
  }
  return found;
}

export function succession(facts) {
  const { bundle, before } = facts;
  allUnderstood(bundle);
  const all = begun(facts);
  facts.continues = [...new Set(all.filter(({ continues }) => continues).map(({ continues }) => continues.origin))];
  checkOwn(bundle, all);
  if (!before) throw new NotChecked(facts.continues.length ? say("reason.no-earlier-bundle", { origins: facts.continues }) : say("reason.nothing-continues"));
  if (!before.report.verified) throw new NotChecked(say("reason.earlier-unverified", { verdict: say(`verdict.${before.report.exit_code}`) }));
  const earlier = before.facts, ended = endedHere(bundle, earlier.bundle, all);
  const outcomes = new Map(all.map((one) => [one.name, follows(bundle, earlier, one, ended)]));
  const unknown = [...bundle.chains.keys()].filter((name) => name !== "@service" && (outcomes.get(name) ?? "unknown") === "unknown");
  if (unknown.length) throw new NotChecked(say("reason.earlier-silent", { names: unknown, origin: earlier.bundle.log }));
  const names = [...outcomes].filter(([, outcome]) => outcome === "shown").map(([name]) => name);
  if (!names.length) throw new NotChecked(say("reason.nothing-continues"));
  return say("detail.continued", { origin: earlier.bundle.log, names });
}

/** What the bundle alone contradicts: a log before it that is itself, or not the one it named as it began. */
function checkOwn(bundle, all) {
  const started = ofService(bundle, "log.started");
  for (const { name, continues, place } of all) {
    if (!continues) continue;
    if (continues.origin === bundle.log) throw placed(broken(`${name} goes on from this very log`), place);
    if (started && continues.origin !== started.predecessor?.origin) throw placed(broken(`${name} goes on from ${continues.origin}, which is not the log before this one`), place);
  }
}

/** Whether the earlier bundle is from the end of a log that names this one as its successor. */
function endedHere(bundle, earlier, all) {
  const end = lastWord(earlier);
  if (!end) return false;
  if (end.origin === bundle.log) {
    checkPredecessor(ofService(bundle, "log.started"), earlier);
    return true;
  }
  const liar = all.find(({ continues }) => continues?.origin === earlier.log);
  if (liar) throw placed(broken(`${earlier.log} names ${end.origin} as its successor`), liar.place);
  return false;
}

function checkPredecessor(started, { checkpoint }) {
  if (!started) return;
  const { origin, size, root } = started.predecessor ?? {};
  if (origin !== checkpoint.origin || size !== checkpoint.size || root !== hex(checkpoint.root)) throw placed(untrue("predecessor-mismatch", "the log names another end of the one before"), started.place);
}

/** `shown`, `unknown`, or `new` for a chain that goes on from nothing. */
function follows(bundle, earlier, one, ended) {
  const { name, continues, place } = one, { log, chain } = earlier.bundle;
  const old = name === "@exchange" && chain !== bundle.chain ? undefined : earlier.bundle.chains.get(name);
  if (continues?.origin !== log) {
    if (ended && old) throw placed(broken(`${name} stood in ${log} before and does not say so`), place);
    return continues ? "unknown" : "new";
  }
  if (!old?.whole || old.withheld.length) return "unknown";
  const last = old.leaves[old.leaves.length - 1];
  if (continues.seq > last.seq && !ended) return "unknown";
  if (continues.seq !== last.seq || continues.hash !== last.hash) throw placed(broken(`${name} goes on after entry ${continues.seq}, the last was ${last.seq}, ${last.hash}`), place);
  at(place, () => (name === "@exchange" ? checkParties(earlier, one) : checkFounders(earlier, one)));
  return ended ? "shown" : "unknown";
}

/** It was open, one of its parties opens it again, and nobody who stood in it is left out. */
function checkParties(earlier, { statement: { payload } }) {
  const parties = new Set(), auditors = new Set();
  for (const { entry: { fields }, statement } of acts(earlier)) {
    const { detail } = statement.payload;
    if (fields.event === "exchange.closed") throw broken("the exchange was closed before");
    if (fields.event === "party.added") (detail.as === "party" ? parties : auditors).add(fields.subject.authority);
    if (fields.event !== "exchange.opened") continue;
    detail.parties.forEach((each) => parties.add(each));
    detail.auditors?.forEach((each) => auditors.add(each));
  }
  const now = new Set(payload.detail.parties), named = new Set([...now, ...(payload.detail.auditors ?? [])]);
  if (!parties.has(payload.signer.authority)) throw broken(`opened again by ${payload.signer.authority}, which was no party`);
  const lost = [...[...parties].filter((each) => !now.has(each)), ...[...auditors].filter((each) => !named.has(each))];
  if (lost.length) throw broken(`the exchange goes on without ${lost}`);
}

/** The authority founds its registry anew by a signature that would have counted as its own at the end of the old. */
function checkFounders(earlier, { name, statement }) {
  const registry = replay(earlier).registries.get(name);
  registry.speaker(statement, Infinity);
  for (const signature of registry.known(statement, Infinity)) earlier.verify(signature);
}
