// The report (docs/spec/report.md): verdict and exit code, and the members of its JSON twin.

const ORDER = [3, 24, 20, 25, 22, 23, 21];
const VERDICTS = { 0: "verified", 3: "malformed", 24: "unsupported", 20: "tampered", 25: "rollback", 22: "signer or quorum", 23: "time", 21: "incomplete" };
const FAILED = { consistency: 25, completeness: 21, signers: 22, signatures: 22, log: 22, quorum: 22, time: 23, timestamps: 23 };
const NOT_CHECKED = { signers: 22, signatures: 22, log: 22, quorum: 22, time: 23, timestamps: 23 };

function codeOf({ id, status, kind }, demanded) {
  if (status === "fail") return { malformed: 3, unsupported: 24 }[kind] ?? FAILED[id] ?? 20;
  return status === "not_checked" && demanded.has(id) ? NOT_CHECKED[id] ?? 21 : 0;
}

/** What the reader takes on trust even where everything is PASS. */
function trusting(trust, passed) {
  if (!trust.given) return ["nobody: without a trust file, bytes are compared and nobody is believed"];
  const found = [`your trust file for the keys of the log ${trust.origin}`];
  if (trust.pins.size) found.push(`your trust file for the founding keys of ${[...trust.pins.keys()].join(", ")}`);
  if (!passed.quorum) found.push("the service, that it showed everybody the same log (no quorum of witnesses vouches for it)");
  if (!passed.completeness) found.push("the service, that nothing follows the last entry (no auditor or mirror vouches for it)");
  if (trust.policy.none) found.push("the service and the signers for the times of the entries");
  return found;
}

/** The JSON twin of a report. */
export function report({ trust, options, results, facts }) {
  const demanded = new Set(trust.demanded);
  if (options.since || options.mirror) demanded.add("consistency");
  if (options.mirror) demanded.add("completeness");
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
    trusting: trusting(trust, facts?.passed ?? {}),
    verdict: VERDICTS[exitCode],
    verified: exitCode === 0,
    withheld,
  };
}
