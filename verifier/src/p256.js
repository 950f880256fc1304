// ECDSA on P-256 with SHA-256, as login keys prove that their holder has them. Only verification.

import { hex, untrue } from "./bytes.js";
import { sha256 } from "./hashes.js";

const P = 2n ** 256n - 2n ** 224n + 2n ** 192n + 2n ** 96n - 1n;
const N = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
const B = 0x5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604bn;
const G = [
  0x6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296n,
  0x4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5n,
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

/** Sum of two affine points; undefined is the neutral one. */
function add(one, other) {
  if (!one || !other) return one ?? other;
  const [x1, y1] = one, [x2, y2] = other;
  if (x1 === x2 && y1 !== y2) return undefined;
  const slope = x1 === x2 ? (3n * x1 * x1 - 3n) * inverse(2n * y1, P) : (y2 - y1) * inverse(x2 - x1, P);
  const x = mod(slope * slope - x1 - x2);
  return [x, mod(slope * (x1 - x) - y1)];
}

function times(point, scalar) {
  let found;
  for (; scalar; scalar >>= 1n, point = add(point, point)) if (scalar & 1n) found = add(found, point);
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
  const w = inverse(s, N), key = [number(point.subarray(1, 33)), number(point.subarray(33))];
  const sum = add(times(G, mod(number(sha256(message)) * w, N)), times(key, mod(r * w, N)));
  if (!sum || mod(sum[0], N) !== r) throw refuse();
}
