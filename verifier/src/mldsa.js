// ML-DSA verification (FIPS 204), empty context: 44 in cosignatures, 65 beside Ed25519 in statements.

import { concat, equal, hex, untrue } from "./bytes.js";
import { shake128, shake256 } from "./hashes.js";

const Q = 8380417;
const SETS = {
  44: { k: 4, l: 4, gamma1: 2 ** 17, gamma2: (Q - 1) / 88, tau: 39, beta: 78, omega: 80, challenge: 32, bits: 18 },
  65: { k: 6, l: 5, gamma1: 2 ** 19, gamma2: (Q - 1) / 32, tau: 49, beta: 196, omega: 55, challenge: 48, bits: 20 },
};
export const MLDSA_KEY_SIZE = { 44: 1312, 65: 1952 };

const ZETAS = new Int32Array(256);
for (let n = 0; n < 256; n++) {
  let place = 0;
  for (let bit = 0; bit < 8; bit++) place |= ((n >> bit) & 1) << (7 - bit);
  let value = 1;
  for (let step = 0; step < place; step++) value = (value * 1753) % Q;
  ZETAS[n] = value;
}

/** To the transformed domain, in place; coefficients in 0 … Q − 1. */
function forward(f) {
  for (let length = 128, m = 0; length >= 1; length >>= 1) {
    for (let start = 0; start < 256; start += 2 * length) {
      const zeta = ZETAS[++m];
      for (let j = start; j < start + length; j++) {
        const t = (zeta * f[j + length]) % Q;
        f[j + length] = (f[j] - t + Q) % Q;
        f[j] = (f[j] + t) % Q;
      }
    }
  }
  return f;
}

function backward(f) {
  for (let length = 1, m = 256; length < 256; length <<= 1) {
    for (let start = 0; start < 256; start += 2 * length) {
      const zeta = Q - ZETAS[--m];
      for (let j = start; j < start + length; j++) {
        const t = f[j];
        f[j] = (t + f[j + length]) % Q;
        f[j + length] = (zeta * ((t - f[j + length] + Q) % Q)) % Q;
      }
    }
  }
  return f.map((value) => (value * 8347681) % Q);
}

/** `count` little-endian numbers of `bits` bits each. */
function unpack(bytes, bits, count = 256) {
  const found = new Array(count);
  for (let n = 0, held = 0, have = 0, at = 0; n < count; n++) {
    while (have < bits) {
      held += bytes[at++] * 2 ** have;
      have += 8;
    }
    found[n] = held % 2 ** bits;
    held = Math.floor(held / 2 ** bits);
    have -= bits;
  }
  return found;
}

function pack(values, bits) {
  const bytes = new Uint8Array((values.length * bits) / 8);
  let held = 0, have = 0, at = 0;
  for (const value of values) {
    held += value * 2 ** have;
    for (have += bits; have >= 8; have -= 8, held = Math.floor(held / 256)) bytes[at++] = held % 256;
  }
  return bytes;
}

/** A polynomial of the public matrix, already transformed. */
function uniform(seed, row, column) {
  const read = shake128(seed, [column, row]), found = [];
  while (found.length < 256) {
    const [a, b, c] = read(3);
    const value = a + 256 * b + 65536 * (c & 0x7f);
    if (value < Q) found.push(value);
  }
  return found;
}

function inBall(seed, tau) {
  const read = shake256(seed), signs = read(8), found = new Array(256).fill(0);
  for (let n = 256 - tau, bit = 0; n < 256; n++, bit++) {
    let j = read(1)[0];
    while (j > n) j = read(1)[0];
    found[n] = found[j];
    found[j] = (signs[bit >> 3] >> (bit & 7)) & 1 ? Q - 1 : 1;
  }
  return found;
}

/** The hints as a set of places for each polynomial; undefined if not in their one spelling. */
function hints(bytes, { k, omega }) {
  const found = [];
  let at = 0;
  for (let n = 0; n < k; n++) {
    const end = bytes[omega + n], places = new Set();
    if (end < at || end > omega) return undefined;
    for (const first = at; at < end; at++) {
      if (at > first && bytes[at] <= bytes[at - 1]) return undefined;
      places.add(bytes[at]);
    }
    found.push(places);
  }
  return bytes.subarray(at, omega).every((byte) => byte === 0) ? found : undefined;
}

/** The high bits of a coefficient, corrected by its hint. */
function highBits(value, hinted, gamma2) {
  const count = (Q - 1) / (2 * gamma2);
  let low = value % (2 * gamma2);
  if (low > gamma2) low -= 2 * gamma2;
  let high = (value - low) / (2 * gamma2);
  if (value - low === Q - 1) [high, low] = [0, low - 1];
  return hinted ? (high + (low > 0 ? 1 : count - 1)) % count : high;
}

const MATRICES = new Map();

function expanded(key, set) {
  const name = hex(key);
  if (!MATRICES.has(name)) {
    if (MATRICES.size > 60) MATRICES.clear();
    const seed = key.subarray(0, 32), rows = [];
    for (let row = 0; row < set.k; row++) rows.push(Array.from({ length: set.l }, (_, column) => uniform(seed, row, column)));
    const t = rows.map((_, n) => forward(unpack(key.subarray(32 + 320 * n, 352 + 320 * n), 10).map((x) => (x * 8192) % Q)));
    MATRICES.set(name, { rows, t, hash: shake256(key)(64) });
  }
  return MATRICES.get(name);
}

/** Return only if the signature is right. */
export function verifyMldsa(level, key, signature, message) {
  const set = SETS[level], width = 32 * set.bits;
  const refuse = () => untrue("signature-invalid", `an ML-DSA-${level} signature does not hold`);
  if (key.length !== MLDSA_KEY_SIZE[level] || signature.length !== set.challenge + set.l * width + set.omega + set.k) throw refuse();
  const seed = signature.subarray(0, set.challenge);
  const hint = hints(signature.subarray(set.challenge + set.l * width), set);
  const z = Array.from({ length: set.l }, (_, n) => {
    const at = set.challenge + n * width;
    return unpack(signature.subarray(at, at + width), set.bits).map((value) => set.gamma1 - value);
  });
  if (!hint || z.some((row) => row.some((value) => Math.abs(value) >= set.gamma1 - set.beta))) throw refuse();
  const { rows, t, hash } = expanded(key, set);
  const mu = shake256(hash, [0, 0], message)(64);
  const c = forward(inBall(seed, set.tau));
  const moved = z.map((row) => forward(row.map((value) => (value + Q) % Q)));
  const high = rows.map((row, n) => {
    const sum = c.map((value, j) => {
      let total = Q - ((value * t[n][j]) % Q);
      for (let m = 0; m < set.l; m++) total += (row[m][j] * moved[m][j]) % Q;
      return total % Q;
    });
    return pack(backward(sum).map((value, j) => highBits(value, hint[n].has(j), set.gamma2)), level === 44 ? 6 : 4);
  });
  if (!equal(shake256(mu, concat(...high))(set.challenge), seed)) throw refuse();
}
