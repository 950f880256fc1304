// ECDSA on P-256 with SHA-256, as login keys prove that their holder has them. Only verification.

import { hex, untrue } from "./bytes.js";
import { sha256 } from "./hashes.js";

const P = 2n ** 256n - 2n ** 224n + 2n ** 192n + 2n ** 96n - 1n;
const N = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
const B = 0x5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604bn;
const G = [
  0x6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296n,
  0x4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5n,
  1n,
];

const mod = (a, m = P) => ((a %= m) < 0n ? a + m : a);
const number = (bytes) => BigInt("0x" + hex(bytes));

function inverse(a, m) {
  let [low, high, x, y] = [mod(a, m), m, 1n, 0n];
  while (low > 1n) {
    const q = high / low;
    [low, high, x, y] = [high - q * low, low, y - q * x, x];
  }
  return mod(x, m);
}

/** Twice a point in Jacobian coordinates (x / z², y / z³); z = 0 is the neutral one. */
function double([x, y, z]) {
  if (!y || !z) return [1n, 1n, 0n];
  const yy = mod(y * y), s = mod(4n * x * yy), zz = mod(z * z), m = mod(3n * (x - zz) * (x + zz));
  const u = mod(m * m - 2n * s);
  return [u, mod(m * (s - u) - 8n * yy * yy), mod(2n * y * z)];
}

function add(one, other) {
  const [x1, y1, z1] = one, [x2, y2, z2] = other;
  if (!z1 || !z2) return z1 ? one : other;
  const p = mod(z1 * z1), q = mod(z2 * z2), u1 = mod(x1 * q), u2 = mod(x2 * p);
  const s1 = mod(mod(y1 * q) * z2), s2 = mod(mod(y2 * p) * z1);
  if (u1 === u2) return s1 === s2 ? double(one) : [1n, 1n, 0n];
  const h = mod(u2 - u1), r = mod(s2 - s1), hh = mod(h * h), hhh = mod(h * hh), v = mod(u1 * hh);
  const x = mod(r * r - hhh - 2n * v);
  return [x, mod(r * (v - x) - s1 * hhh), mod(mod(h * z1) * z2)];
}

/** The sum of two multiples, both scalars walked through together. */
function sumOf(one, a, other, b) {
  const both = add(one, other);
  let found = [1n, 1n, 0n];
  for (let bit = 255n; bit >= 0n; bit--) {
    found = double(found);
    const left = (a >> bit) & 1n, right = (b >> bit) & 1n;
    if (left || right) found = add(found, left && right ? both : left ? one : other);
  }
  return found;
}

/** Whether 65 bytes are an uncompressed point of the curve. */
export function isP256Point(bytes) {
  if (bytes.length !== 65 || bytes[0] !== 4) return false;
  const x = number(bytes.subarray(1, 33)), y = number(bytes.subarray(33));
  return x < P && y < P && mod(y * y) === mod(x * x * x - 3n * x + B);
}

/** Return only if the signature (r ‖ s, 64 bytes) is right. */
export function verifyEs256(point, signature, message) {
  const refuse = () => untrue("signature-invalid", "an ES256 signature does not hold");
  if (signature.length !== 64) throw refuse();
  const r = number(signature.subarray(0, 32)), s = number(signature.subarray(32));
  if (!r || r >= N || !s || s >= N) throw refuse();
  const w = inverse(s, N), key = [number(point.subarray(1, 33)), number(point.subarray(33)), 1n];
  const [x, , z] = sumOf(G, mod(number(sha256(message)) * w, N), key, mod(r * w, N));
  if (!z || mod(mod(x * inverse(z * z, P)), N) !== r) throw refuse();
}
