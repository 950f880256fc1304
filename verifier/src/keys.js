// Keys of registries, recipients of age, and headers of sealed items (docs/spec/registry.md, sealing.md).

import { equal, hex, malformed, unbase64, unhex, unsupported, untrue, utf8 } from "./bytes.js";
import { checkEd25519Key, verifyEd25519 } from "./ed25519.js";
import { sha256 } from "./hashes.js";
import { MLDSA_KEY_SIZE, verifyMldsa } from "./mldsa.js";
import { isP256Point, verifyEs256 } from "./p256.js";

/** What stands before the key itself in a DER SubjectPublicKeyInfo, for each algorithm that signs. */
const SPKI = {
  ed25519: [unhex("302a300506032b6570032100"), 32],
  es256: [unhex("3059301306072a8648ce3d020106082a8648ce3d030107034200"), 65],
  "ml-dsa-65": [unhex("308207b2300b0609608648016503040312038207a100"), MLDSA_KEY_SIZE[65]],
};
const USES = {
  authority: ["ed25519", "ml-dsa-65"],
  recovery: ["ed25519"],
  encryption: ["mlkem768x25519", "x25519"],
  statement: ["ed25519"],
  login: ["es256"],
};

const CHARS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";

/** The bytes of a Bech32 text with this prefix, or undefined. */
function unbech32(text, prefix) {
  if (!text.startsWith(`${prefix}1`)) return undefined;
  const values = [...text.slice(prefix.length + 1)].map((c) => CHARS.indexOf(c));
  if (values.length < 6 || values.includes(-1)) return undefined;
  const units = [...prefix].map((c) => c.charCodeAt(0));
  let sum = 1;
  for (const value of [...units.map((u) => u >> 5), 0, ...units.map((u) => u & 31), ...values]) {
    const top = sum >>> 25;
    sum = ((sum & 0x1ffffff) << 5) ^ value;
    [0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3].forEach((g, n) => (top >> n) & 1 && (sum ^= g));
  }
  if (sum !== 1) return undefined;
  const bytes = [];
  let held = 0, bits = 0;
  for (const value of values.slice(0, -6)) {
    held = ((held << 5) | value) & 0xfff;
    bits += 5;
    if (bits >= 8) bytes.push((held >> (bits -= 8)) & 0xff);
  }
  return bits < 5 && !(held & ((1 << bits) - 1)) ? Uint8Array.from(bytes) : undefined;
}

const P = 2n ** 255n - 19n;
const LOW = new Set([
  0n, 1n, P - 1n,
  325606250916557431795983626356110631294008115727848805560023387167927233504n,
  39382357235489614581723060781553021112529911719440698176882885853963445705823n,
]);

function isPoint(bytes) {
  const value = BigInt("0x" + hex(Uint8Array.from(bytes).reverse()));
  return value < P && !LOW.has(value);
}

/** Whether every coefficient of an ML-KEM-768 key is below q. */
function isKemKey(bytes) {
  for (let n = 0; n < 1152; n += 3) {
    const [a, b, c] = bytes.subarray(n, n + 3);
    if (a + 256 * (b & 15) >= 3329 || (b >> 4) + 16 * c >= 3329) return false;
  }
  return true;
}

/** The kind of an age recipient. */
function recipientKind(text) {
  const point = unbech32(text, "age");
  if (point && point.length === 32 && isPoint(point)) return "x25519";
  const both = unbech32(text, "age1pq");
  if (both && both.length === 1216 && isKemKey(both) && isPoint(both.subarray(1184))) return "mlkem768x25519";
  throw malformed("recipient-malformed", "not a recipient of a known kind in its one spelling");
}

/** A key of a SubjectPublicKeyInfo: {id, alg, verify(signature, message)}. */
export function readSpki(der) {
  for (const [alg, [head, size]] of Object.entries(SPKI)) {
    if (der.length !== head.length + size || !equal(der.subarray(0, head.length), head)) continue;
    const key = der.subarray(head.length);
    if (alg === "ed25519") checkEd25519Key(key);
    if (alg === "es256" && !isP256Point(key)) break;
    const verify = { ed25519: verifyEd25519, es256: verifyEs256, "ml-dsa-65": (...rest) => verifyMldsa(65, ...rest) }[alg];
    return { id: hex(sha256(der)), alg, verify: (signature, message) => verify(key, signature, message) };
  }
  throw malformed("key-malformed", "not a key of a kind used here");
}

/** A key as registries name it; `verify` is absent where it cannot sign. */
export function readKeyRecord({ id, alg, use, holder, public: text }) {
  const encrypts = USES.encryption.includes(alg);
  const found = encrypts ? { id: hex(sha256(utf8(text))), alg: recipientKind(text) } : readSpki(unbase64(text));
  if (found.id !== id || found.alg !== alg) throw malformed("key-malformed", "id or algorithm is not that of the key");
  if (!USES[use].includes(alg)) throw malformed("key-malformed", `a key of ${alg} for ${use}`);
  return { ...found, use, holder, text };
}

// ---------------------------------------------------------------- headers of sealed items

const STANZAS = { x25519: ["X25519", 32], mlkem768x25519: ["mlkem768x25519", 1120] };
const FIRST = "age-encryption.org/v1\n";

/** The stanzas of a header in its one spelling: [{type, args, body}], and how long it is: {stanzas, size}. */
export function readHeader(bytes, alone = true) {
  const refuse = (what) => malformed("header-malformed", what);
  const limit = 512 * 1024;
  const shown = bytes.subarray(0, limit + 1);
  let text = "";
  for (let n = 0; n < shown.length; n += 8192) text += String.fromCharCode(...shown.subarray(n, n + 8192));
  if (!text.startsWith(FIRST)) {
    if (/^age-encryption\.org\/v[^\n]*\n/.test(text) || text.startsWith("-----BEGIN AGE ENCRYPTED FILE-----")) {
      throw unsupported("header-unsupported", "an age file of another version, or in armour");
    }
    throw refuse("not a header");
  }
  let at = FIRST.length;
  const line = () => {
    const end = text.indexOf("\n", at);
    if (end < 0 || end >= limit) throw refuse("no end within 512 KiB");
    const found = text.slice(at, end);
    at = end + 1;
    return found;
  };
  const stanzas = [];
  for (;;) {
    const head = line();
    if (head.startsWith("---")) {
      const mac = /^--- ([A-Za-z0-9+/]{43})$/.exec(head);
      if (!mac || unbase64(mac[1], false, "header-malformed").length !== 32) throw refuse("not the end of a header");
      break;
    }
    if (!/^->(?: [!-~]+)+$/.test(head)) throw refuse("not a stanza");
    const [type, ...args] = head.slice(3).split(" ");
    let body = "";
    for (let row = line(); ; row = line()) {
      if (row.length > 64) throw refuse("a line of more than 64 characters");
      body += row;
      if (row.length < 64) break;
    }
    stanzas.push({ type, args, body: unbase64(body, false, "header-malformed") });
  }
  checkStanzas(stanzas, refuse);
  if (alone && at !== bytes.length) throw refuse("something follows the header");
  return { stanzas, size: at };
}

function checkStanzas(stanzas, refuse) {
  if (!stanzas.length || stanzas.length > 256) throw refuse("no stanza, or more than 256");
  if (stanzas.length > 1 && stanzas.some(({ type }) => type === "scrypt")) throw refuse("a passphrase beside others");
  for (const { type, args, body } of stanzas) {
    const known = Object.values(STANZAS).find(([name]) => name === type);
    if (!known) continue;
    if (args.length !== 1 || unbase64(args[0], false, "header-malformed").length !== known[1] || body.length !== 32) {
      throw refuse("a stanza of other sizes than its kind has");
    }
  }
}

/** Return only if a header has exactly `count` stanzas, all of this kind. */
export function checkHeader(bytes, kind, count) {
  const { stanzas } = readHeader(bytes);
  if (stanzas.length !== count || stanzas.some(({ type }) => type !== STANZAS[kind][0])) {
    throw untrue("header-refused", `not ${count} stanzas of ${kind}`);
  }
}

/** Whether a body can have this size, whatever the plaintext's. */
export function isBodySize(size) {
  const rest = size - 16;
  if (rest < 16) return false;
  const last = rest % 65552;
  return last === 0 || (last >= 17) || rest === 16;
}

