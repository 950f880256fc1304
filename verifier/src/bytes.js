// Bytes and their spellings, and the one error type of this verifier.

/**
 * What is wrong with an input. `kind` keeps three things apart that must never be called by each other's name:
 * "malformed" (the bytes cannot be understood), "unsupported" (of a version, event or type unknown here) and
 * "false" (understood, and it does not add up). `place` says where: {file, line, offset, chain, seq}, all optional.
 */
export class Refusal extends Error {
  constructor(code, kind, message, place) {
    super(message);
    this.code = code;
    this.kind = kind;
    this.place = place;
  }
}

export const malformed = (code, message) => new Refusal(code, "malformed", message);
export const unsupported = (code, message) => new Refusal(code, "unsupported", message);
export const untrue = (code, message) => new Refusal(code, "false", message);

/** A demand that could not be looked at; `reason`, a phrase, says why. */
export class NotChecked extends Error {
  constructor(reason) {
    super(String(reason));
    this.reason = reason;
  }
}

const HEX = Array.from({ length: 256 }, (_, n) => n.toString(16).padStart(2, "0"));

export function hex(bytes) {
  let text = "";
  for (let n = 0; n < bytes.length; n++) text += HEX[bytes[n]];
  return text;
}

/** Bytes of lower-case hex of even length; every other spelling is `text-malformed`. */
export function unhex(text) {
  if (!/^(?:[0-9a-f]{2})*$/.test(text)) throw malformed("text-malformed", "not lower-case hex");
  const bytes = new Uint8Array(text.length / 2);
  for (let n = 0; n < bytes.length; n++) bytes[n] = parseInt(text.substr(2 * n, 2), 16);
  return bytes;
}

const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const VALUES = new Int8Array(128).fill(-1);
for (let n = 0; n < 64; n++) VALUES[DIGITS.charCodeAt(n)] = n;

/** Base64 of RFC 4648 section 4 in its one spelling: padded (or, for age, not), no white space, unused bits zero. */
export function unbase64(text, padded = true, code = "text-malformed") {
  const refuse = () => malformed(code, "not base64 in its one spelling");
  let end = text.length;
  if (padded) {
    if (end % 4) throw refuse();
    if (end && text[end - 1] === "=") end -= text[end - 2] === "=" ? 2 : 1;
  }
  if (end % 4 === 1) throw refuse();
  const bytes = new Uint8Array(Math.floor((end * 3) / 4));
  let held = 0, bits = 0, place = 0;
  for (let n = 0; n < end; n++) {
    const unit = text.charCodeAt(n);
    const value = unit < 128 ? VALUES[unit] : -1;
    if (value < 0) throw refuse();
    held = ((held << 6) | value) & 0xffffff;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      bytes[place++] = held >> bits;
    }
  }
  if (held & ((1 << bits) - 1)) throw refuse();
  return bytes;
}

/** Text of UTF-8, a byte order mark kept as the character it is; anything else is refused with `code`. */
export function fromUtf8(bytes, code) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw malformed(code, "not UTF-8");
  }
}

const ENCODER = new TextEncoder();
export const utf8 = (text) => ENCODER.encode(text);

export function concat(...parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let place = 0;
  for (const part of parts) {
    whole.set(part, place);
    place += part.length;
  }
  return whole;
}

export function equal(one, other) {
  if (one.length !== other.length) return false;
  for (let n = 0; n < one.length; n++) if (one[n] !== other[n]) return false;
  return true;
}

/** A u64, big-endian, of a number or BigInt. */
export function u64(value) {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value));
  return bytes;
}

/** A number in its one decimal spelling, below 2^63; a BigInt, since it may exceed what numbers hold exactly. */
export function decimal(text) {
  if (!/^(?:0|[1-9][0-9]{0,18})$/.test(text)) throw malformed("decimal-malformed", `not a decimal: ${text.slice(0, 40)}`);
  const value = BigInt(text);
  if (value >= 1n << 63n) throw malformed("decimal-malformed", "2^63 or more");
  return value;
}

/** Microseconds since 1970 of `YYYY-MM-DDTHH:MM:SS.ffffffZ`, a real instant from year 1; a BigInt-free exact number. */
export function instant(text) {
  const found = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)\.(\d{6})Z$/.exec(text);
  if (!found) throw malformed("text-malformed", "not a time in its one spelling");
  const [year, month, day, hour, minute, second] = found.slice(1, 7).map(Number);
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  date.setUTCHours(hour, minute, second);
  const real = date.getUTCFullYear() === year && date.getUTCMonth() === month - 1 && date.getUTCDate() === day;
  if (!real || year < 1 || hour > 23 || minute > 59 || second > 59) throw malformed("text-malformed", "no such time");
  return date.getTime() * 1000 + Number(found[7]);
}

/** Lines of bytes, each ended by a line feed: {data, offset}. A last line without its end is refused. */
export function* linesOf(bytes, code = "lines-malformed") {
  let start = 0;
  while (start < bytes.length) {
    const end = bytes.indexOf(10, start);
    if (end < 0) throw malformed(code, "the last line has no end");
    yield { data: bytes.subarray(start, end), offset: start };
    start = end + 1;
  }
}

/** Whether strings ascend strictly. Code units and code points agree on what is compared here: all of it is ASCII. */
export function ascends(values) {
  return values.every((value, n) => n === 0 || values[n - 1] < value);
}
