// Raw DEFLATE (RFC 1951) into a size known beforehand: one byte more, one byte less, or a byte left over is refused.
// Written out because what browsers offer does not say where a stream ended.

import { malformed } from "./bytes.js";

const LENGTHS = [], DISTANCES = [];
for (let n = 0, base = 3; n < 29; n++) {
  const extra = n < 8 || n === 28 ? 0 : (n >> 2) - 1;
  LENGTHS.push([n === 28 ? 258 : base, extra]);
  base += 2 ** extra;
}
for (let n = 0, base = 1; n < 30; n++) {
  const extra = n < 4 ? 0 : (n >> 1) - 1;
  DISTANCES.push([base, extra]);
  base += 2 ** extra;
}
const ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

const refuse = (what) => malformed("archive-malformed", `deflate: ${what}`);

/** Counts of codes by length, and the symbols in the order of their codes. */
function codes(lengths, what) {
  const counts = new Array(16).fill(0), symbols = [];
  for (const length of lengths) counts[length]++;
  counts[0] = 0;
  let left = 1;
  for (let length = 1; length < 16; length++) {
    left = 2 * left - counts[length];
    if (left < 0) throw refuse(`${what} codes that overlap`);
    lengths.forEach((found, symbol) => found === length && symbols.push(symbol));
  }
  // Only a lone code may leave room: one distance, or none.
  if (left > 0 && symbols.length > 1) throw refuse(`${what} codes with a gap`);
  return { counts, symbols };
}

const FIXED = [
  codes(Array.from({ length: 288 }, (_, n) => (n < 144 ? 8 : n < 256 ? 9 : n < 280 ? 7 : 8)), "fixed"),
  codes(new Array(32).fill(5), "fixed"),
];

class Inflater {
  constructor(bytes, size) {
    Object.assign(this, { bytes, at: 0, held: 0, have: 0, out: new Uint8Array(size), made: 0 });
  }

  bits(count) {
    while (this.have < count) {
      if (this.at === this.bytes.length) throw refuse("cut");
      this.held |= this.bytes[this.at++] << this.have;
      this.have += 8;
    }
    const found = this.held & ((1 << count) - 1);
    this.held >>>= count;
    this.have -= count;
    return found;
  }

  symbol({ counts, symbols }) {
    let code = 0, first = 0, index = 0;
    for (let length = 1; length < 16; length++) {
      code |= this.bits(1);
      const count = counts[length];
      if (code - count < first) return symbols[index + code - first];
      index += count;
      first = (first + count) << 1;
      code <<= 1;
    }
    throw refuse("a code that is none");
  }

  room(count) {
    if (this.made + count > this.out.length) throw refuse("more than the size stated");
  }

  stored() {
    this.held = this.have = 0;
    const head = this.bytes.subarray(this.at, this.at + 4), length = head[0] + 256 * head[1];
    if (head.length < 4 || (head[0] ^ head[2]) !== 255 || (head[1] ^ head[3]) !== 255) throw refuse("a stored block without its length");
    const data = this.bytes.subarray(this.at + 4, this.at + 4 + length);
    if (data.length < length) throw refuse("cut");
    this.room(length);
    this.out.set(data, this.made);
    this.made += length;
    this.at += 4 + length;
  }

  tables() {
    const many = this.bits(5) + 257, far = this.bits(5) + 1, count = this.bits(4) + 4;
    if (many > 286 || far > 30) throw refuse("too many codes");
    const own = new Array(19).fill(0);
    for (let n = 0; n < count; n++) own[ORDER[n]] = this.bits(3);
    const reader = codes(own, "length"), lengths = [];
    while (lengths.length < many + far) {
      const symbol = this.symbol(reader);
      if (symbol < 16) lengths.push(symbol);
      else {
        if (symbol === 16 && !lengths.length) throw refuse("a repetition of nothing");
        const value = symbol === 16 ? lengths[lengths.length - 1] : 0;
        const times = symbol === 16 ? 3 + this.bits(2) : symbol === 17 ? 3 + this.bits(3) : 11 + this.bits(7);
        for (let n = 0; n < times; n++) lengths.push(value);
      }
    }
    if (lengths.length > many + far || !lengths[256]) throw refuse("lengths that do not fit");
    return [codes(lengths.slice(0, many), "literal"), codes(lengths.slice(many), "distance")];
  }

  block([literals, distances]) {
    for (;;) {
      const symbol = this.symbol(literals);
      if (symbol === 256) return;
      if (symbol < 256) {
        this.room(1);
        this.out[this.made++] = symbol;
        continue;
      }
      const length = LENGTHS[symbol - 257], count = length && length[0] + this.bits(length[1]);
      const place = length && DISTANCES[this.symbol(distances)];
      if (!place) throw refuse("a length or distance that is none");
      const back = place[0] + this.bits(place[1]);
      if (back > this.made) throw refuse("a distance before the beginning");
      this.room(count);
      for (let n = 0; n < count; n++, this.made++) this.out[this.made] = this.out[this.made - back];
    }
  }

  all() {
    for (let last = 0; !last; ) {
      last = this.bits(1);
      const type = this.bits(2);
      if (type === 0) this.stored();
      else if (type === 3) throw refuse("a block of no type");
      else this.block(type === 1 ? FIXED : this.tables());
    }
    if (this.at !== this.bytes.length) throw refuse("bytes after its end");
    if (this.made !== this.out.length) throw refuse("less than the size stated");
    return this.out;
  }
}

/** Exactly `size` bytes out of exactly these. */
export const inflate = (bytes, size) => new Inflater(bytes, size).all();
