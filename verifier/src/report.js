// The report (docs/spec/report.md): verdict and exit code, and the members of its JSON twin, and its text.

import { escaped, inLanguage, say, text } from "./phrases.js";

const ORDER = [3, 24, 20, 25, 22, 23, 21];
const VERDICTS = { 0: "verified", 3: "malformed", 24: "unsupported", 20: "tampered", 25: "rollback", 22: "signer or quorum", 23: "time", 21: "incomplete" };
const FAILED = { consistency: 25, completeness: 21, signers: 22, signatures: 22, log: 22, quorum: 22, time: 23, timestamps: 23 };
const NOT_CHECKED = { signers: 22, signatures: 22, log: 22, quorum: 22, time: 23, timestamps: 23 };

function codeOf({ id, status, kind }, demanded) {
  if (status === "fail") return { malformed: 3, unsupported: 24 }[kind] ?? FAILED[id] ?? 20;
  return status === "not_checked" && demanded.has(id) ? NOT_CHECKED[id] ?? 21 : 0;
}

/** What the reader takes on trust even where everything is PASS. */
function trusting(trust, facts) {
  if (!facts) return [say("trusting.unread")];
  if (!trust.given) return [say("trusting.nobody")];
  const { passed, replayed } = facts, found = [say("trusting.log", { origin: trust.origin })];
  if (passed.signers) found.push(say("trusting.founders", { names: [...replayed.concerned].sort() }));
  if (!passed.quorum) found.push(say("trusting.one-log"));
  if (!passed.completeness) found.push(say("trusting.nothing-follows"));
  if (facts.continues?.length && !passed.succession) found.push(say("trusting.earlier", { origins: facts.continues }));
  if (!passed.time || trust.policy.none) found.push(say("trusting.times"));
  return found;
}

/** The report; as JSON its twin, where phrases stand in English. */
export function report({ trust, options, results, facts }) {
  const demanded = new Set(trust.demanded);
  if (options.since || options.mirror) demanded.add("consistency");
  if (options.mirror) demanded.add("completeness");
  if (options.before) demanded.add("succession");
  const chains = facts ? [...facts.bundle.chains.values()] : [];
  const withheld = chains.map(({ name, withheld: seqs }) => ({ chain: name, seqs })).filter(({ seqs }) => seqs.length);
  const codes = new Set(results.map((result) => codeOf(result, demanded)));
  if (withheld.length && !options.allowWithheld) codes.add(21);
  const exitCode = ORDER.find((code) => codes.has(code)) ?? 0;
  const about = facts ? { kind: facts.bundle.kind, log: facts.bundle.log, chain: facts.bundle.chain, size: facts.bundle.size } : {};
  const root = facts?.bundle.checkpoint && Array.from(facts.bundle.checkpoint.root, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return {
    v: 1,
    ...about,
    ...(root ? { root } : {}),
    allow_withheld: Boolean(options.allowWithheld),
    checks: results.map(({ id, status, detail, code, place }) => ({ id, status, detail, ...(code ? { code } : {}), ...(place ? { place } : {}) })),
    demanded: [...demanded].sort(),
    entries: chains.reduce((sum, { entries }) => sum + entries.length, 0),
    exit_code: exitCode,
    times: facts?.times ?? [],
    trusting: trusting(trust, facts),
    verdict: VERDICTS[exitCode],
    verified: exitCode === 0,
    withheld,
  };
}

// ---------------------------------------------------------------- in words

const MEMBERS = ["file", "line", "offset", "chain", "seq"];

/** A place in words. */
export const placeIn = (language, place) => MEMBERS.filter((name) => place[name] !== undefined).map((name) => text(language, `place.${name}`, { value: place[name] })).join(", ");

/** What there is to say of a check; for a FAIL what that means, then the finding in English, with its code. */
export function linesOf(language, { id, status, detail, code, place }) {
  const found = detail === "-" ? "" : inLanguage(language, detail);
  const lines = status === "fail" ? [text(language, `fail.${id}`), `${code}: ${found}`] : found ? [found] : [];
  return place ? [...lines, text(language, "report.at", { place: placeIn(language, place) })] : lines;
}

/** Numbers that ascend, runs of them drawn together. */
export function ranges(numbers) {
  const parts = [];
  for (const number of numbers) {
    const last = parts[parts.length - 1];
    if (last && number === last[1] + 1) last[1] = number;
    else parts.push([number, number]);
  }
  return parts.map(([first, end]) => (first === end ? String(first) : `${first}-${end}`)).join(", ");
}

const RUNS = 40;
const whole = (time) => time?.replace(/^(\S{10})T(\S{8})\.000000Z$/, "$1 $2 UTC");

/** Between which times entries were logged, by the clocks of third parties; at most so many lines. */
export function boundsIn(language, times, most = RUNS) {
  const rows = times.slice(0, most).filter((row) => row.not_before ?? row.not_after).map((row) => {
    const key = row.not_before && row.not_after ? "both" : row.not_before ? "low" : "high";
    const seqs = row.first === row.last ? String(row.first) : `${row.first}-${row.last}`;
    return text(language, `report.bound-${key}`, { low: whole(row.not_before), high: whole(row.not_after), seqs });
  });
  return times.length > most ? [...rows, text(language, "report.bounds-more", { count: times.length - most })] : rows;
}

/** What follows the checks: whom one trusts, what is withheld, what was demanded in vain, the first bad place. */
export function closing(language, report) {
  const lines = report.trusting.map((what) => text(language, "report.trusting", { what }));
  lines.push(...report.withheld.map(({ chain, seqs }) => text(language, "report.withheld", { chain, seqs: ranges(seqs) })));
  const unmet = report.checks.filter(({ id, status }) => status === "not_checked" && report.demanded.includes(id)).map(({ id }) => id);
  if (unmet.length) lines.push(text(language, "report.unmet", { checks: unmet }));
  const places = report.checks.filter(({ status, place }) => status === "fail" && place).map(({ place }) => place);
  const first = places.find(({ offset }) => offset !== undefined) ?? places[0];
  if (first) lines.push(text(language, "report.first", { place: placeIn(language, first) }));
  return lines;
}

/** The verdict, in a line. */
export function verdictIn(language, { exit_code: code, verified }) {
  return verified ? text(language, "report.verified", { code }) : text(language, "report.not-verified", { verdict: text(language, `verdict.${code}`), code });
}

/** The report for a terminal, everything that is of the bundle escaped. */
export function textOf(language, report) {
  const lines = ["kind", "log", "chain", "size", "root"].filter((name) => report[name] !== undefined).map((name) => `${text(language, `head.${name}`).padEnd(8)}${report[name]}`);
  lines.push("");
  const width = Math.max(...["pass", "fail", "not_checked"].map((status) => text(language, `status.${status}`).length)) + 1;
  for (const check of report.checks) {
    lines.push(`${text(language, `status.${check.status}`).padEnd(width)} ${check.id.padEnd(13)} ${text(language, `check.${check.id}`)}`);
    lines.push(...linesOf(language, check).map((line) => `${" ".repeat(width)} ${line}`));
  }
  return `${[...lines, "", ...boundsIn(language, report.times), ...closing(language, report), "", verdictIn(language, report)].map(escaped).join("\n")}\n`;
}
