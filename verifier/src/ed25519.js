// Ed25519 with the one answer of docs/spec/log.md section 5: canonical, no small order, no cofactor.

import { equal, hex, malformed, untrue } from "./bytes.js";
import { sha512 } from "./hashes.js";

const P = 2n ** 255n - 19n;
const L = 2n ** 252n + 27742317777372353535851937790883648493n;
const EIGHTH = 2707385501144840649318225287225658788936804267575313519463743609750303402022n;
const SMALL = new Set([0n, 1n, P - 1n, EIGHTH, P - EIGHTH]);

const mod = (a) => ((a %= P) < 0n ? a + P : a);

function power(base, exponent, modulus) {
  let found = 1n;
  for (; exponent; exponent >>= 1n, base = (base * base) % modulus) if (exponent & 1n) found = (found * base) % modulus;
  return found;
}

const D = mod(-121665n * power(121666n, P - 2n, P));
const D2 = mod(2n * D);
const ROOT_OF_MINUS_1 = power(2n, (P - 1n) / 4n, P);
const NEUTRAL = [0n, 1n, 1n, 0n];

/** Little-endian number of bytes. */
function number(bytes) {
  let text = "";
  for (let n = bytes.length - 1; n >= 0; n--) text += bytes[n].toString(16).padStart(2, "0");
  return BigInt("0x" + text);
}

/** Sum of two points in extended coordinates (x, y, z, t); complete on this curve. */
function add([x1, y1, z1, t1], [x2, y2, z2, t2]) {
  const a = mod((y1 - x1) * (y2 - x2)), b = mod((y1 + x1) * (y2 + x2));
  const c = mod(mod(t1 * D2) * t2), d = mod(2n * z1 * z2);
  const e = b - a, f = d - c, g = d + c, h = b + a;
  return [mod(e * f), mod(g * h), mod(f * g), mod(e * h)];
}

/** The point an encoding stands for, or undefined where none does; y must be reduced already. */
function decode(bytes) {
  const sign = bytes[31] >> 7;
  const y = number(bytes) & ((1n << 255n) - 1n);
  const u = mod(y * y - 1n), v = mod(D * y * y + 1n);
  const third = mod(v * v * v);
  let x = mod(u * third * power(mod(u * third * v * v * v * v), (P - 5n) / 8n, P));
  const found = mod(v * x * x);
  if (found === mod(-u)) x = mod(x * ROOT_OF_MINUS_1);
  else if (found !== u) return undefined;
  if (x === 0n && sign) return undefined;
  if (Number(x & 1n) !== sign) x = P - x;
  return [x, y, 1n, mod(x * y)];
}

function encode([x, y, z]) {
  const inverse = power(z, P - 2n, P);
  const text = mod(y * inverse).toString(16).padStart(64, "0");
  const bytes = new Uint8Array(32);
  for (let n = 0; n < 32; n++) bytes[31 - n] = parseInt(text.substr(2 * n, 2), 16);
  bytes[31] |= Number(mod(x * inverse) & 1n) << 7;
  return bytes;
}

/** Multiples of a point for every hexadecimal digit of a scalar: table[place][digit]. */
function table(point) {
  const rows = [];
  for (let place = 0, base = point; place < 64; place++) {
    const row = [NEUTRAL];
    for (let digit = 1; digit < 16; digit++) row.push(add(row[digit - 1], base));
    rows.push(row);
    base = add(row[15], base);
  }
  return rows;
}

/** The scalar multiple, added digit by digit from a table. */
function times(rows, scalar, start = NEUTRAL) {
  let found = start;
  for (let place = 0; scalar; place++, scalar >>= 4n) {
    const digit = Number(scalar & 15n);
    if (digit) found = add(found, rows[place][digit]);
  }
  return found;
}

/** The same without a table, for a point that is met once. */
function once(point, scalar) {
  let found = NEUTRAL;
  for (let base = point; scalar; scalar >>= 1n, base = add(base, base)) if (scalar & 1n) found = add(found, base);
  return found;
}

const BASE_Y = mod(4n * power(5n, P - 2n, P));
const BASE = table(decode(Uint8Array.from(BASE_Y.toString(16).padStart(64, "0").match(/../g).reverse(), (x) => parseInt(x, 16))));

/** Canonical and not of small order; says nothing of the curve. */
function plain(bytes) {
  const y = number(bytes) & ((1n << 255n) - 1n);
  return bytes.length === 32 && y < P && !SMALL.has(y);
}

const KNOWN = new Map();

/** Minus the point of a public key, in one of two forms: once it is met again, a table pays. */
function negated(publicKey) {
  const name = hex(publicKey);
  let known = KNOWN.get(name);
  if (!known) {
    const point = decode(publicKey);
    known = { point: point && [mod(-point[0]), point[1], point[2], mod(-point[3])], met: 0, rows: undefined };
    if (KNOWN.size > 200) KNOWN.clear();
    KNOWN.set(name, known);
  }
  known.met++;
  if (known.met > 3 && known.point) known.rows ??= table(known.point);
  return known;
}

/** Return only if the signature is right; refuse what verifiers could disagree on alike. */
export function verifyEd25519(publicKey, signature, message) {
  const refuse = () => untrue("signature-invalid", "an Ed25519 signature does not hold");
  if (signature.length !== 64 || publicKey.length !== 32) throw refuse();
  const r = signature.subarray(0, 32), s = number(signature.subarray(32));
  if (!plain(publicKey) || !plain(r) || s >= L) throw refuse();
  const key = negated(publicKey);
  if (!key.point) throw refuse();
  const k = number(sha512(r, publicKey, message)) % L;
  const sum = times(BASE, s, key.rows ? times(key.rows, k) : once(key.point, k));
  if (!equal(encode(sum), r)) throw refuse();
}

/** What a key must be besides where it is enrolled or trusted: a point of the prime-order group, in its one encoding. */
export function checkEd25519Key(publicKey) {
  const point = publicKey.length === 32 && plain(publicKey) ? decode(publicKey) : undefined;
  const neutral = point && once(point, L);
  if (!neutral || neutral[0] !== 0n || neutral[1] !== neutral[2]) {
    throw malformed("public-key-refused", "not an Ed25519 key of the prime-order group in its one encoding");
  }
}
