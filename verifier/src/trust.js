// The trust file (docs/spec/trust-file.md): what its holder takes for granted, and nothing else is.

import { malformed, unbase64, unsupported, utf8 } from "./bytes.js";
import { readJson } from "./json.js";
import { Policy, readCheckpointText, readVkey, splitNote } from "./notes.js";
import { checkSchema } from "./schema.js";

/** The checks of a report, in their order. */
export const CHECKS = [
  "packing", "canonical", "bodies", "chain", "statements", "registries", "signers", "signatures", "rules", "labels",
  "inclusion", "log", "quorum", "consistency", "completeness", "succession", "time", "timestamps", "conditions",
  "digests", "headers", "table", "items",
];
/** Demanded whatever a trust file says. */
const ALWAYS = ["packing", "canonical", "bodies", "statements", "labels", "inclusion", "log"];
/** Demanded where there is no trust file. */
const USUAL = [...ALWAYS, "chain", "registries", "signers", "signatures", "rules", "time", "conditions", "digests"];

export const NO_TRUST = { given: false, demanded: new Set(USUAL), pins: new Map() };

/** Everything a trust file says, checked. */
export function readTrust(bytes) {
  const refuse = (what) => malformed("trust-malformed", what);
  if (bytes.length > 4 * 2 ** 20) throw refuse("more than 4 MiB");
  const fields = readJson(bytes);
  if (typeof fields.v === "number" && fields.v !== 1) throw unsupported("trust-unsupported", `version ${fields.v}`);
  checkSchema("trust", fields);
  const strange = fields.require.filter((name) => !CHECKS.includes(name));
  if (strange.length) throw unsupported("trust-unsupported", `demands ${strange}`);
  const log = fields.log.map(readVkey);
  if (log.some(({ name }) => name !== fields.origin)) throw refuse("a key of another log");
  for (const { roots } of fields.tsa) if (!roots.every((root) => isCertificate(unbase64(root)))) throw refuse("a root that is no certificate");
  const policy = new Policy(fields.policy), auditors = fields.auditors === undefined ? undefined : new Policy(fields.auditors);
  const names = log.map(({ fullId }) => fullId);
  for (const { fullId } of [...policy.log, ...(auditors?.log ?? [])]) if (!names.includes(fullId)) throw refuse("a policy of another log");
  return {
    given: true,
    origin: fields.origin,
    log,
    policy,
    auditors,
    pins: new Map(fields.authorities.map(({ id, keys }) => [id, new Set(keys)])),
    skew: fields.skew_s * 1e6,
    demanded: new Set([...ALWAYS, ...fields.require]),
    checkpoint: fields.checkpoint === undefined ? undefined : readHeld(fields, refuse),
  };
}

/** Whether bytes have the outer shape of a certificate, which is all that is asked where stamps are not read. */
function isCertificate(der) {
  const found = elements(der);
  const inside = found?.length === 1 && found[0].tag === 0x30 ? elements(found[0].content) : undefined;
  return inside?.map(({ tag }) => tag).join() === "48,48,3";
}

/** The DER elements that stand one after the other, or undefined. */
function elements(bytes) {
  const found = [];
  for (let at = 0; at < bytes.length; ) {
    const tag = bytes[at], many = bytes[at + 1] > 127 ? bytes[at + 1] & 127 : 0, start = at + 2 + many;
    const size = many ? bytes.subarray(at + 2, start).reduce((sum, byte) => 256 * sum + byte, 0) : bytes[at + 1];
    if (!(start + size <= bytes.length)) return undefined;
    found.push({ tag, content: bytes.subarray(start, start + size) });
    at = start + size;
  }
  return found;
}

/** The newest checkpoint that the holder has verified; its signatures were checked before it was kept. */
function readHeld({ checkpoint, origin }, refuse) {
  const found = readCheckpointText(splitNote(utf8(checkpoint)).text);
  if (found.origin !== origin) throw refuse("a checkpoint of another log");
  return found;
}
