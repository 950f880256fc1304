// The closed schemas of docs/spec/schemas, as far as JSON Schema (2020-12) can speak, and what the pages add:
// an array that the schema marks uniqueItems ascends, by itself or by the member that names its objects.

import { instant, malformed } from "./bytes.js";
import { SCHEMAS } from "./vocabulary.js";

const NAMES = ["id", "authority", "code", "name", "path"];
const BASE64 = "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$";
const TIME = "^(?:\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{6}Z)$";
const PATTERNS = new Map();

/** Whether a text matches; long base64 is left to its decoder, which is stricter, since expressions cannot hold it. */
function matches(pattern, text) {
  if (pattern === BASE64) return text.length % 4 === 0 && (text.length > 4096 || new RegExp(BASE64).test(text));
  if (!PATTERNS.has(pattern)) PATTERNS.set(pattern, new RegExp(pattern, "u"));
  return PATTERNS.get(pattern).test(text);
}

function kindOf(value) {
  if (Array.isArray(value)) return "array";
  return { string: "string", number: "integer", boolean: "boolean" }[typeof value] ?? "object";
}

function stringFault(schema, value) {
  const length = schema.minLength === undefined && schema.maxLength === undefined ? 0 : [...value].length;
  if (length < (schema.minLength ?? 0) || length > (schema.maxLength ?? Infinity)) return "length";
  if (schema.pattern !== undefined && !matches(schema.pattern, value)) return "spelling";
  return schema.pattern === TIME && !isInstant(value) ? "no such time" : undefined;
}

/** Whether a text of the shape of a time is one of the calendar. */
function isInstant(text) {
  try {
    return instant(text) !== undefined;
  } catch {
    return false;
  }
}

function arrayFault(schema, value, root, path) {
  if (value.length < (schema.minItems ?? 0) || value.length > (schema.maxItems ?? Infinity)) return `${path}: number of members`;
  for (let n = 0; n < value.length; n++) {
    const found = schema.items && fault(schema.items, value[n], root, `${path}[${n}]`);
    if (found) return found;
  }
  if (!schema.uniqueItems) return undefined;
  const name = (row) => (kindOf(row) === "object" ? row[NAMES.find((member) => Object.hasOwn(row, member))] : row);
  for (let n = 1; n < value.length; n++) if (!(name(value[n - 1]) < name(value[n]))) return `${path}: not ascending`;
  return undefined;
}

function objectFault(schema, value, root, path) {
  const keys = Object.keys(value);
  if (keys.length < (schema.minProperties ?? 0) || keys.length > (schema.maxProperties ?? Infinity)) return `${path}: number of members`;
  for (const key of schema.required ?? []) if (!Object.hasOwn(value, key)) return `${path}.${key}: missing`;
  for (const key of keys) {
    const inner = schema.properties && Object.hasOwn(schema.properties, key) ? schema.properties[key] : undefined;
    if (inner === undefined && schema.additionalProperties === false) return `${path}.${key}: not known`;
    if (schema.propertyNames && !schema.propertyNames.enum.includes(key)) return `${path}.${key}: not known here`;
    const found = inner !== undefined && fault(inner, value[key], root, `${path}.${key}`);
    if (found) return found;
  }
  return undefined;
}

/** What is wrong with a value under a schema, or nothing. */
function fault(schema, value, root, path) {
  if (schema === true) return undefined;
  if (schema === false) return `${path}: not allowed here`;
  if (schema.$ref) return fault(root.$defs[schema.$ref.slice("#/$defs/".length)], value, root, path);
  const kind = kindOf(value);
  if (schema.type && schema.type !== kind) return `${path}: not ${schema.type}`;
  if ("const" in schema && schema.const !== value) return `${path}: not ${schema.const}`;
  if (schema.enum && !schema.enum.includes(value)) return `${path}: not one of ${schema.enum}`;
  if (schema.not && !fault(schema.not, value, root, path)) return `${path}: not allowed here`;
  if (kind === "integer" && (value < (schema.minimum ?? value) || value > (schema.maximum ?? value))) return `${path}: out of bounds`;
  let found;
  if (kind === "string") found = stringFault(schema, value);
  if (found) return `${path}: ${found}`;
  if (kind === "array") found = arrayFault(schema, value, root, path);
  if (kind === "object") found = objectFault(schema, value, root, path);
  if (found) return found;
  for (const part of schema.allOf ?? []) {
    if (part.if ? !fault(part.if, value, root, path) : true) found = fault(part.then ?? part, value, root, path);
    if (found) return found;
  }
  return undefined;
}

/** Return only if the value is of the closed schema of this name. */
export function checkSchema(name, value) {
  const found = fault(SCHEMAS[name], value, SCHEMAS[name], name);
  if (found) throw malformed("schema", found);
}

/** The same for a part of a schema: a member's own. */
export function checkMember(name, member, value) {
  const found = fault(SCHEMAS[name].properties[member], value, SCHEMAS[name], `${name}.${member}`);
  if (found) throw malformed("schema", found);
}
