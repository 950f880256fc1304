// SHA-256, SHA-512 and BLAKE3 as streams, and SHAKE: update with bytes as they come, memory stays constant.

const PRIMES = [];
for (let n = 2; PRIMES.length < 80; n++) if (PRIMES.every((prime) => n % prime)) PRIMES.push(n);

/** The first `bits` bits of the fractional part of the square or cube root of a prime, as a BigInt. */
function fraction(prime, degree, bits) {
  const wanted = BigInt(prime) << BigInt(degree * bits);
  let low = 0n, high = 1n << BigInt(bits + 12);
  while (high - low > 1n) {
    const middle = (low + high) >> 1n;
    if (middle ** BigInt(degree) <= wanted) low = middle;
    else high = middle;
  }
  return low & ((1n << BigInt(bits)) - 1n);
}

const K256 = Int32Array.from(PRIMES.slice(0, 64), (prime) => Number(BigInt.asIntN(32, fraction(prime, 3, 32))));
const START256 = PRIMES.slice(0, 8).map((prime) => Number(BigInt.asIntN(32, fraction(prime, 2, 32))));
const K512 = new Int32Array(160);
const START512 = new Int32Array(16);
PRIMES.forEach((prime, n) => split(K512, n, fraction(prime, 3, 64)));
PRIMES.slice(0, 8).forEach((prime, n) => split(START512, n, fraction(prime, 2, 64)));

function split(words, n, value) {
  words[2 * n] = Number(BigInt.asIntN(32, value >> 32n));
  words[2 * n + 1] = Number(BigInt.asIntN(32, value));
}

/** What the two functions of FIPS 180-4 share: blocks, padding, length. */
class Blocks {
  constructor(block) {
    this.block = new Uint8Array(block);
    this.view = new DataView(this.block.buffer);
    this.filled = 0;
    this.length = 0;
  }

  update(bytes) {
    if (Array.isArray(bytes)) bytes = Uint8Array.from(bytes);
    const size = this.block.length;
    this.length += bytes.length;
    let at = 0;
    if (this.filled) {
      at = Math.min(size - this.filled, bytes.length);
      this.block.set(bytes.subarray(0, at), this.filled);
      this.filled += at;
      if (this.filled < size) return this;
      this.compress(this.view, 0);
      this.filled = 0;
    }
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    for (; at + size <= bytes.length; at += size) this.compress(view, at);
    this.block.set(bytes.subarray(at), 0);
    this.filled = bytes.length - at;
    return this;
  }

  finish() {
    const size = this.block.length, length = this.length;
    this.block.fill(0, this.filled);
    this.block[this.filled] = 0x80;
    if (this.filled >= size - size / 8) {
      this.compress(this.view, 0);
      this.block.fill(0);
    }
    this.view.setBigUint64(size - 8, BigInt(length) * 8n);
    this.compress(this.view, 0);
    const words = this.state, bytes = new Uint8Array(words.length * 4), view = new DataView(bytes.buffer);
    words.forEach((word, n) => view.setInt32(4 * n, word));
    return bytes;
  }
}

export class Sha256 extends Blocks {
  constructor() {
    super(64);
    this.state = Int32Array.from(START256);
    this.words = new Int32Array(64);
  }

  compress(view, at) {
    const w = this.words, s = this.state;
    for (let n = 0; n < 16; n++) w[n] = view.getInt32(at + 4 * n);
    for (let n = 16; n < 64; n++) {
      const x = w[n - 15], y = w[n - 2];
      const low = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
      const high = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
      w[n] = (w[n - 16] + low + w[n - 7] + high) | 0;
    }
    let a = s[0], b = s[1], c = s[2], d = s[3], e = s[4], f = s[5], g = s[6], h = s[7];
    for (let n = 0; n < 64; n++) {
      const e1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
      const t = (h + e1 + (g ^ (e & (f ^ g))) + K256[n] + w[n]) | 0;
      const a0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
      const u = (a0 + ((a & b) ^ (c & (a ^ b)))) | 0;
      h = g; g = f; f = e; e = (d + t) | 0; d = c; c = b; b = a; a = (t + u) | 0;
    }
    s[0] += a; s[1] += b; s[2] += c; s[3] += d; s[4] += e; s[5] += f; s[6] += g; s[7] += h;
  }
}

export class Sha512 extends Blocks {
  constructor() {
    super(128);
    this.state = Int32Array.from(START512);
    this.words = new Int32Array(160);
  }

  compress(view, at) {
    const w = this.words, s = this.state;
    for (let n = 0; n < 32; n++) w[n] = view.getInt32(at + 4 * n);
    for (let n = 32; n < 160; n += 2) {
      const xh = w[n - 30], xl = w[n - 29], yh = w[n - 4], yl = w[n - 3];
      const ah = ((xh >>> 1) | (xl << 31)) ^ ((xh >>> 8) | (xl << 24)) ^ (xh >>> 7);
      const al = ((xl >>> 1) | (xh << 31)) ^ ((xl >>> 8) | (xh << 24)) ^ ((xl >>> 7) | (xh << 25));
      const bh = ((yh >>> 19) | (yl << 13)) ^ ((yl >>> 29) | (yh << 3)) ^ (yh >>> 6);
      const bl = ((yl >>> 19) | (yh << 13)) ^ ((yh >>> 29) | (yl << 3)) ^ ((yl >>> 6) | (yh << 26));
      const low = (w[n - 31] >>> 0) + (al >>> 0) + (w[n - 13] >>> 0) + (bl >>> 0);
      w[n] = (w[n - 32] + ah + w[n - 14] + bh + Math.floor(low / 4294967296)) | 0;
      w[n + 1] = low | 0;
    }
    let [ah, al, bh, bl, ch, cl, dh, dl, eh, el, fh, fl, gh, gl, hh, hl] = s;
    for (let n = 0; n < 160; n += 2) {
      const e1h = ((eh >>> 14) | (el << 18)) ^ ((eh >>> 18) | (el << 14)) ^ ((el >>> 9) | (eh << 23));
      const e1l = ((el >>> 14) | (eh << 18)) ^ ((el >>> 18) | (eh << 14)) ^ ((eh >>> 9) | (el << 23));
      const tl = (hl >>> 0) + (e1l >>> 0) + ((gl ^ (el & (fl ^ gl))) >>> 0) + (K512[n + 1] >>> 0) + (w[n + 1] >>> 0);
      const th = (hh + e1h + (gh ^ (eh & (fh ^ gh))) + K512[n] + w[n] + Math.floor(tl / 4294967296)) | 0;
      const a0h = ((ah >>> 28) | (al << 4)) ^ ((al >>> 2) | (ah << 30)) ^ ((al >>> 7) | (ah << 25));
      const a0l = ((al >>> 28) | (ah << 4)) ^ ((ah >>> 2) | (al << 30)) ^ ((ah >>> 7) | (al << 25));
      const ul = (a0l >>> 0) + (((al & bl) ^ (cl & (al ^ bl))) >>> 0);
      const uh = (a0h + ((ah & bh) ^ (ch & (ah ^ bh))) + Math.floor(ul / 4294967296)) | 0;
      hh = gh; hl = gl; gh = fh; gl = fl; fh = eh; fl = el;
      const el2 = (dl >>> 0) + (tl % 4294967296);
      eh = (dh + th + Math.floor(el2 / 4294967296)) | 0; el = el2 | 0;
      dh = ch; dl = cl; ch = bh; cl = bl; bh = ah; bl = al;
      const al2 = (tl % 4294967296) + (ul % 4294967296);
      ah = (th + uh + Math.floor(al2 / 4294967296)) | 0; al = al2 | 0;
    }
    const all = [ah, al, bh, bl, ch, cl, dh, dl, eh, el, fh, fl, gh, gl, hh, hl];
    for (let n = 0; n < 16; n += 2) {
      const low = (s[n + 1] >>> 0) + (all[n + 1] >>> 0);
      s[n] = (s[n] + all[n] + Math.floor(low / 4294967296)) | 0;
      s[n + 1] = low | 0;
    }
  }
}

export function sha256(...parts) {
  const hash = new Sha256();
  for (const part of parts) hash.update(part);
  return hash.finish();
}

export function sha512(...parts) {
  const hash = new Sha512();
  for (const part of parts) hash.update(part);
  return hash.finish();
}

// ---------------------------------------------------------------- BLAKE3

const ORDER = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8];
const ROUNDS = [ORDER.map((_, n) => n)];
while (ROUNDS.length < 7) ROUNDS.push(ORDER.map((n) => ROUNDS[ROUNDS.length - 1][n]));
const SCHEDULE = Uint8Array.from(ROUNDS.flat());
const [CHUNK_START, CHUNK_END, PARENT, ROOT] = [1, 2, 4, 8];

/** The compression function; the first eight words of its output go to `into`. */
function blake3Compress(key, block, counter, length, flags, into) {
  let v0 = key[0], v1 = key[1], v2 = key[2], v3 = key[3], v4 = key[4], v5 = key[5], v6 = key[6], v7 = key[7];
  let v8 = START256[0], v9 = START256[1], va = START256[2], vb = START256[3];
  let vc = counter | 0, vd = Math.floor(counter / 4294967296) | 0, ve = length, vf = flags;
  for (let r = 0; r < 112; r += 16) {
    // Columns, then diagonals; each quarter adds two words of the block.
    v0 = (v0 + v4 + block[SCHEDULE[r]]) | 0; vc ^= v0; vc = (vc >>> 16) | (vc << 16);
    v8 = (v8 + vc) | 0; v4 ^= v8; v4 = (v4 >>> 12) | (v4 << 20);
    v0 = (v0 + v4 + block[SCHEDULE[r + 1]]) | 0; vc ^= v0; vc = (vc >>> 8) | (vc << 24);
    v8 = (v8 + vc) | 0; v4 ^= v8; v4 = (v4 >>> 7) | (v4 << 25);
    v1 = (v1 + v5 + block[SCHEDULE[r + 2]]) | 0; vd ^= v1; vd = (vd >>> 16) | (vd << 16);
    v9 = (v9 + vd) | 0; v5 ^= v9; v5 = (v5 >>> 12) | (v5 << 20);
    v1 = (v1 + v5 + block[SCHEDULE[r + 3]]) | 0; vd ^= v1; vd = (vd >>> 8) | (vd << 24);
    v9 = (v9 + vd) | 0; v5 ^= v9; v5 = (v5 >>> 7) | (v5 << 25);
    v2 = (v2 + v6 + block[SCHEDULE[r + 4]]) | 0; ve ^= v2; ve = (ve >>> 16) | (ve << 16);
    va = (va + ve) | 0; v6 ^= va; v6 = (v6 >>> 12) | (v6 << 20);
    v2 = (v2 + v6 + block[SCHEDULE[r + 5]]) | 0; ve ^= v2; ve = (ve >>> 8) | (ve << 24);
    va = (va + ve) | 0; v6 ^= va; v6 = (v6 >>> 7) | (v6 << 25);
    v3 = (v3 + v7 + block[SCHEDULE[r + 6]]) | 0; vf ^= v3; vf = (vf >>> 16) | (vf << 16);
    vb = (vb + vf) | 0; v7 ^= vb; v7 = (v7 >>> 12) | (v7 << 20);
    v3 = (v3 + v7 + block[SCHEDULE[r + 7]]) | 0; vf ^= v3; vf = (vf >>> 8) | (vf << 24);
    vb = (vb + vf) | 0; v7 ^= vb; v7 = (v7 >>> 7) | (v7 << 25);
    v0 = (v0 + v5 + block[SCHEDULE[r + 8]]) | 0; vf ^= v0; vf = (vf >>> 16) | (vf << 16);
    va = (va + vf) | 0; v5 ^= va; v5 = (v5 >>> 12) | (v5 << 20);
    v0 = (v0 + v5 + block[SCHEDULE[r + 9]]) | 0; vf ^= v0; vf = (vf >>> 8) | (vf << 24);
    va = (va + vf) | 0; v5 ^= va; v5 = (v5 >>> 7) | (v5 << 25);
    v1 = (v1 + v6 + block[SCHEDULE[r + 10]]) | 0; vc ^= v1; vc = (vc >>> 16) | (vc << 16);
    vb = (vb + vc) | 0; v6 ^= vb; v6 = (v6 >>> 12) | (v6 << 20);
    v1 = (v1 + v6 + block[SCHEDULE[r + 11]]) | 0; vc ^= v1; vc = (vc >>> 8) | (vc << 24);
    vb = (vb + vc) | 0; v6 ^= vb; v6 = (v6 >>> 7) | (v6 << 25);
    v2 = (v2 + v7 + block[SCHEDULE[r + 12]]) | 0; vd ^= v2; vd = (vd >>> 16) | (vd << 16);
    v8 = (v8 + vd) | 0; v7 ^= v8; v7 = (v7 >>> 12) | (v7 << 20);
    v2 = (v2 + v7 + block[SCHEDULE[r + 13]]) | 0; vd ^= v2; vd = (vd >>> 8) | (vd << 24);
    v8 = (v8 + vd) | 0; v7 ^= v8; v7 = (v7 >>> 7) | (v7 << 25);
    v3 = (v3 + v4 + block[SCHEDULE[r + 14]]) | 0; ve ^= v3; ve = (ve >>> 16) | (ve << 16);
    v9 = (v9 + ve) | 0; v4 ^= v9; v4 = (v4 >>> 12) | (v4 << 20);
    v3 = (v3 + v4 + block[SCHEDULE[r + 15]]) | 0; ve ^= v3; ve = (ve >>> 8) | (ve << 24);
    v9 = (v9 + ve) | 0; v4 ^= v9; v4 = (v4 >>> 7) | (v4 << 25);
  }
  into[0] = v0 ^ v8; into[1] = v1 ^ v9; into[2] = v2 ^ va; into[3] = v3 ^ vb;
  into[4] = v4 ^ vc; into[5] = v5 ^ vd; into[6] = v6 ^ ve; into[7] = v7 ^ vf;
}

/** BLAKE3 without key, 32 bytes of output. The stack holds one chaining value for each bit of the number of chunks. */
export class Blake3 {
  constructor() {
    this.key = Int32Array.from(START256);
    this.value = Int32Array.from(START256);
    this.block = new Uint8Array(64);
    this.view = new DataView(this.block.buffer);
    this.words = new Int32Array(16);
    this.filled = 0;
    this.blocks = 0;
    this.chunks = 0;
    this.stack = [];
  }

  read(view, at) {
    for (let n = 0; n < 16; n++) this.words[n] = view.getInt32(at + 4 * n, true);
  }

  /** Take a whole block that is not the last of the input. */
  full(view, at) {
    this.read(view, at);
    const last = this.blocks === 15;
    blake3Compress(this.value, this.words, this.chunks, 64, (this.blocks ? 0 : CHUNK_START) | (last ? CHUNK_END : 0), this.value);
    this.blocks++;
    if (!last) return;
    this.chunks++;
    let found = this.value;
    for (let total = this.chunks; total % 2 === 0; total /= 2) found = this.parent(this.stack.pop(), found, 0);
    this.stack.push(found);
    this.value = Int32Array.from(this.key);
    this.blocks = 0;
  }

  parent(left, right, flags) {
    const words = new Int32Array(16), found = new Int32Array(8);
    words.set(left);
    words.set(right, 8);
    blake3Compress(this.key, words, 0, 64, PARENT | flags, found);
    return found;
  }

  update(bytes) {
    let at = 0;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    while (at < bytes.length) {
      if (this.filled === 64) {
        this.full(this.view, 0);
        this.filled = 0;
      }
      if (this.filled === 0) for (; at + 64 < bytes.length; at += 64) this.full(view, at);
      const some = Math.min(64 - this.filled, bytes.length - at);
      this.block.set(bytes.subarray(at, at + some), this.filled);
      this.filled += some;
      at += some;
    }
    return this;
  }

  finish() {
    this.block.fill(0, this.filled);
    this.read(this.view, 0);
    const flags = (this.blocks ? 0 : CHUNK_START) | CHUNK_END, depth = this.stack.length;
    let found = new Int32Array(8);
    blake3Compress(this.value, this.words, this.chunks, this.filled, flags | (depth ? 0 : ROOT), found);
    for (let n = depth - 1; n >= 0; n--) found = this.parent(this.stack[n], found, n ? 0 : ROOT);
    const bytes = new Uint8Array(32), view = new DataView(bytes.buffer);
    found.forEach((word, n) => view.setInt32(4 * n, word, true));
    return bytes;
  }
}

// ---------------------------------------------------------------- Keccak

/** Rotations and round constants of FIPS 202, as its algorithms make them; a lane is two words, low and high. */
const SPINS = new Int32Array(25), TARGETS = new Int32Array(25), CONSTANTS = new Int32Array(48);
{
  let x = 1, y = 0;
  for (let t = 0; t < 24; t++) {
    SPINS[x + 5 * y] = (((t + 1) * (t + 2)) / 2) % 64;
    [x, y] = [y, (2 * x + 3 * y) % 5];
  }
  for (let n = 0; n < 25; n++) TARGETS[n] = Math.floor(n / 5) + 5 * ((2 * (n % 5) + 3 * Math.floor(n / 5)) % 5);
  let shift = 1;
  for (let round = 0; round < 24; round++) {
    for (let j = 0; j < 7; j++) {
      const bit = 2 ** j - 1;
      if (shift & 1) CONSTANTS[2 * round + (bit >> 5)] ^= 1 << (bit & 31);
      shift = shift & 0x80 ? (shift << 1) ^ 0x171 : shift << 1;
    }
  }
}

function keccak(a) {
  const c = new Int32Array(10), b = new Int32Array(50);
  for (let round = 0; round < 48; round += 2) {
    for (let x = 0; x < 10; x++) c[x] = a[x] ^ a[x + 10] ^ a[x + 20] ^ a[x + 30] ^ a[x + 40];
    for (let n = 0; n < 25; n++) {
      const x = n % 5, before = 2 * ((x + 4) % 5), after = 2 * ((x + 1) % 5);
      let low = a[2 * n] ^ c[before] ^ ((c[after] << 1) | (c[after + 1] >>> 31));
      let high = a[2 * n + 1] ^ c[before + 1] ^ ((c[after + 1] << 1) | (c[after] >>> 31));
      const spin = SPINS[n] & 31;
      if (SPINS[n] & 32) [low, high] = [high, low];
      const to = 2 * TARGETS[n];
      b[to] = spin ? (low << spin) | (high >>> (32 - spin)) : low;
      b[to + 1] = spin ? (high << spin) | (low >>> (32 - spin)) : high;
    }
    for (let row = 0; row < 50; row += 10) {
      for (let x = 0; x < 10; x++) a[row + x] = b[row + x] ^ (~b[row + ((x + 2) % 10)] & b[row + ((x + 4) % 10)]);
    }
    a[0] ^= CONSTANTS[round];
    a[1] ^= CONSTANTS[round + 1];
  }
}

/** SHAKE as a source of bytes: `rate` 168 for SHAKE128, 136 for SHAKE256. Returns a function that reads n more bytes. */
export function shake(rate, ...parts) {
  const state = new Int32Array(50);
  const input = [];
  for (const part of parts) for (const byte of part) input.push(byte);
  input.push(0x1f);
  while (input.length % rate) input.push(0);
  input[input.length - 1] |= 0x80;
  for (let at = 0; at < input.length; at += rate) {
    for (let n = 0; n < rate; n++) state[n >> 2] ^= input[at + n] << (8 * (n & 3));
    keccak(state);
  }
  let at = 0;
  return (count) => {
    const bytes = new Uint8Array(count);
    for (let n = 0; n < count; n++) {
      if (at === rate) {
        keccak(state);
        at = 0;
      }
      bytes[n] = (state[at >> 2] >> (8 * (at & 3))) & 0xff;
      at++;
    }
    return bytes;
  };
}
export const shake128 = (...parts) => shake(168, ...parts);
export const shake256 = (...parts) => shake(136, ...parts);
