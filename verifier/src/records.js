// Statements and entries (docs/spec/statements.md, entries.md): read, and held against each other.

import { ascends, concat, hex, malformed, unbase64, unhex, unsupported, untrue, utf8 } from "./bytes.js";
import { sha256 } from "./hashes.js";
import { readJson, same } from "./json.js";
import { isBodySize, readSpki } from "./keys.js";
import { checkMember, checkSchema } from "./schema.js";
import { EVENTS, SCHEMAS } from "./vocabulary.js";

export const SERVICE = "@service";
const KIB = 1024, MIB = 1024 * 1024;
const TYPE = /^application\/vnd\.rogatory\.([a-z]+)\.v1\+json$/;
export const PARTS_LIMIT = 10000;

/** Schema says what an integer is; a `v` of another number is another version, which is not the same as malformed. */
function checkVersion(value) {
  if (typeof value.v === "number" && value.v !== 1) throw unsupported("unknown-version", `version ${value.v}`);
}

/** The DSSE envelope and what it holds, nothing verified: {id, kind, payload, signatures, signed, hash}. */
export function readStatement(bytes) {
  const refuse = (what) => malformed("envelope-malformed", what);
  if (bytes.length > 17 * MIB) throw refuse("more than 17 MiB");
  const envelope = readJson(bytes, ["payloadType"]);
  if (Object.keys(envelope).join() !== "payload,payloadType,signatures") throw refuse("not the three members");
  const { payload: spelled, payloadType, signatures: rows } = envelope;
  if (typeof spelled !== "string" || typeof payloadType !== "string" || !Array.isArray(rows)) throw refuse("a member of another type");
  if (!rows.length || rows.length > 4) throw refuse("not 1 to 4 signatures");
  for (const row of rows) {
    if (typeof row !== "object" || Object.keys(row).join() !== "keyid,sig") throw refuse("not keyid and sig");
    if (typeof row.keyid !== "string" || typeof row.sig !== "string") throw refuse("not keyid and sig");
  }
  const signatures = rows.map(({ keyid, sig }) => {
    if (unhex(keyid).length !== 32) throw malformed("text-malformed", "a key id that is not full");
    return { keyid, bytes: unbase64(sig) };
  });
  if (!ascends(rows.map((row) => row.keyid))) throw refuse("signatures do not ascend by key id");
  const body = unbase64(spelled);
  const kind = TYPE.exec(payloadType)?.[1];
  if (!SCHEMAS.envelope.properties.payloadType.enum.includes(payloadType)) throw unsupported("unknown-kind", payloadType.slice(0, 100));
  if (body.length > 12 * MIB) throw refuse("a payload of more than 12 MiB");
  const signed = concat(utf8(`DSSEv1 ${payloadType.length} ${payloadType} ${body.length} `), body);
  const payload = readPayload(kind, body);
  return { id: hex(sha256(signed)), kind, payload, signatures, signed, hash: hex(sha256(bytes)) };
}

function readPayload(kind, body) {
  const payload = readJson(body);
  checkVersion(payload);
  checkPlain(kind, payload);
  if (kind === "enrolment") checkEnrolment(payload);
  if (kind === "key") checkKeyMembers(payload);
  if (kind === "manifest") checkManifest(payload);
  return payload;
}

function checkEnrolment(payload) {
  const whole = ["name", "country", "sign_with", "recovery"].filter((name) => name in payload).length;
  if (!("principal" in payload ? whole === 0 : whole === 4)) throw malformed("schema", "neither an authority's nor a principal's enrolment");
}

function checkKeyMembers(payload) {
  const wanted = { add: "key", rotate: "key,replaces", revoke: "revokes" }[payload.action];
  const found = ["key", "replaces", "revokes"].filter((name) => name in payload).join();
  if (found !== wanted) throw malformed("schema", `${payload.action} has ${wanted}`);
}

export const itemsOf = (manifest) => [...manifest.items, manifest.inventory];

function checkManifest(payload) {
  for (const { size, part_size: part } of itemsOf(payload)) {
    if (!isBodySize(size) || Math.ceil(size / part) > PARTS_LIMIT) throw malformed("manifest-malformed", "numbers that no body has");
  }
}

/** An entry of its event's schema: {fields, hash (hex), data}. */
export function readEntry(bytes) {
  const refuse = (what) => malformed("entry-malformed", what);
  if (bytes.length > 64 * KIB) throw malformed("not-canonical", "more than 64 KiB");
  const fields = readJson(bytes);
  checkVersion(fields);
  if (typeof fields.event === "string") {
    checkMember("entry", "event", fields.event);
    if (!Object.hasOwn(EVENTS, fields.event)) throw unsupported("unknown-event", fields.event);
  }
  checkPlain("entry", fields);
  const row = EVENTS[fields.event], own = fields.actor.authority === SERVICE;
  if (own === (row.kind !== null)) throw refuse(row.kind ? "a party's event in the service's name" : "the service's event in a party's name");
  if (own && Object.keys(fields.actor).length > 1) throw refuse("the service acts without principal and key");
  if (("statement" in fields) !== (row.kind !== null)) throw refuse(row.kind ? "an act without statement" : "the service's word with a statement");
  const demanded = SCHEMAS.entry.allOf.find((part) => part.if.properties.event.const === fields.event).then;
  if (demanded.required?.includes("noted") && !("noted" in fields)) throw refuse("nothing noted, where the event demands it");
  checkSchema("entry", fields);
  return { fields, data: bytes, hash: hex(sha256(bytes)) };
}

/** The members alone: what an event demands of them has an order and codes of its own. */
function checkPlain(name, value) {
  const { allOf, $defs, ...plain } = SCHEMAS[name];
  if (allOf) SCHEMAS[`${name} plain`] ??= plain;
  checkSchema(allOf ? `${name} plain` : name, value);
}

/** What a statement is about, as its entry's subject must say; undefined where the entry's package follows from another. */
export function subjectOf({ kind, payload }) {
  switch (kind) {
    case "act": return payload.subject ?? {};
    case "manifest": case "hold": case "restriction": case "destruction": case "transfer": return { package: payload.package };
    case "enrolment": return payload.principal ? { principal: payload.principal.id } : { authority: payload.signer.authority };
    case "key": return { key: payload.key?.id ?? payload.revokes };
    case "approval": return { statement: payload.act };
    case "request": case "answer": return { request: payload.request };
    default: return undefined;
  }
}

/** Return only if an entry and the statement it carries say the same. */
export function checkMatch({ fields }, statement) {
  const { payload, kind } = statement, row = EVENTS[fields.event];
  const refuse = (what) => untrue("statement-mismatch", `entry and statement differ in ${what}`);
  if (fields.statement?.id !== statement.id) throw refuse("the statement's id");
  if (fields.statement.envelope !== statement.hash) throw refuse("the envelope's digest");
  if (row.kind !== kind) throw refuse("the kind");
  if (kind === "act" && payload.event !== fields.event) throw refuse("the event");
  for (const name of ["log", "chain"]) if (payload[name] !== fields[name]) throw refuse(name);
  for (const name of ["authority", "principal"]) if (payload.signer[name] !== fields.actor[name]) throw refuse(name);
  if (!statement.signatures.some(({ keyid }) => keyid === fields.actor.key)) throw refuse("the key that signed");
  const about = subjectOf(statement);
  if (about !== undefined && !same(about, fields.subject ?? {})) throw refuse("the subject");
  if (row.fixed && payload[row.fixed[0]] !== row.fixed[1]) throw malformed("schema", `${fields.event} without ${row.fixed.join(" = ")}`);
  if (kind === "act") checkSchema("act", payload);
}

/** Return only if the statement has a right signature by this key (given as its SubjectPublicKeyInfo). */
export function checkSignedBy(statement, spki) {
  const key = readSpki(spki);
  const found = statement.signatures.find(({ keyid }) => keyid === key.id);
  if (!found) throw untrue("signature-missing", `${key.id} did not sign`);
  key.verify(found.bytes, statement.signed);
}
