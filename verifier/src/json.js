// Canonical JSON (docs/spec/canonical-json.md): a reader that knows one spelling and nothing else.
//
// Objects have no prototype and keys match [a-z][a-z0-9_]{0,63}, so no key of an input means anything to the language.
// Since only the canonical spelling is read at all, there is nothing to encode again and compare.

import { fromUtf8, malformed } from "./bytes.js";

const KEY = /^[a-z][a-z0-9_]{0,63}$/;
const NUMBER = /(?:0|-?[1-9][0-9]*)/y;
const SHORT = { '"': '"', "\\": "\\", b: "\b", t: "\t", n: "\n", f: "\f", r: "\r" };
const LEVELS = 8;
const MARKS = 2 ** 19;

class Reader {
  constructor(text, foreign) {
    this.text = text;
    this.at = 0;
    this.foreign = foreign;
  }

  refuse(what) {
    return malformed("not-canonical", `${what} at character ${this.at}`);
  }

  take(character) {
    if (this.text[this.at] !== character) throw this.refuse(`not '${character}'`);
    this.at++;
  }

  word(word, value) {
    if (!this.text.startsWith(word, this.at)) throw this.refuse("not a value");
    this.at += word.length;
    return value;
  }

  value(level) {
    switch (this.text[this.at]) {
      case "{": return this.object(level);
      case "[": return this.array(level);
      case '"': return this.string();
      case "t": return this.word("true", true);
      case "f": return this.word("false", false);
      default: return this.number();
    }
  }

  number() {
    NUMBER.lastIndex = this.at;
    const found = NUMBER.exec(this.text);
    if (!found) throw this.refuse("not a value");
    const value = Number(found[0]);
    if (!Number.isSafeInteger(value)) throw this.refuse("a number beyond 2^53 - 1");
    this.at += found[0].length;
    return value;
  }

  string() {
    this.take('"');
    let found = "", start = this.at;
    for (;;) {
      const unit = this.text.charCodeAt(this.at);
      if (unit === 0x22) {
        found += this.text.slice(start, this.at++);
        return found;
      }
      if (unit === 0x5c) {
        found += this.text.slice(start, this.at) + this.escape();
        start = this.at;
      } else if (unit >= 0x20) this.at++;
      else throw this.refuse("a control character, or no end of a string");
    }
  }

  escape() {
    const letter = this.text[this.at + 1];
    if (letter !== undefined && Object.hasOwn(SHORT, letter)) {
      this.at += 2;
      return SHORT[letter];
    }
    const found = /^\\u00([01][0-9a-f])/.exec(this.text.slice(this.at, this.at + 6));
    const unit = found ? parseInt(found[1], 16) : -1;
    if (unit < 0 || [8, 9, 10, 12, 13].includes(unit)) throw this.refuse("an escape that is not the canonical one");
    this.at += 6;
    return String.fromCharCode(unit);
  }

  array(level) {
    if (level > LEVELS) throw this.refuse(`more than ${LEVELS} levels`);
    this.take("[");
    const found = [];
    if (this.text[this.at] === "]") return this.at++, found;
    for (;;) {
      found.push(this.value(level + 1));
      if (this.text[this.at] === "]") return this.at++, found;
      this.take(",");
    }
  }

  object(level) {
    if (level > LEVELS) throw this.refuse(`more than ${LEVELS} levels`);
    this.take("{");
    const found = Object.create(null);
    if (this.text[this.at] === "}") return this.at++, found;
    for (let last = ""; ; ) {
      const key = this.string();
      if (!KEY.test(key) && !this.foreign.includes(key)) throw this.refuse("a key that is none");
      if (key <= last) throw this.refuse("a key twice or out of order");
      last = key;
      this.take(":");
      found[key] = this.value(level + 1);
      if (this.text[this.at] === "}") return this.at++, found;
      this.take(",");
    }
  }
}

/** The object that canonical bytes spell; `foreign` are keys that are exempt from the rule for keys. */
export function readJson(bytes, foreign = []) {
  let marks = 0;
  for (let n = 0; n < bytes.length; n++) {
    const byte = bytes[n];
    if (byte === 0x2c || byte === 0x5b || byte === 0x7b) marks++;
  }
  if (marks > MARKS) throw malformed("not-canonical", `more than ${MARKS} members`);
  const reader = new Reader(fromUtf8(bytes, "not-canonical"), foreign);
  if (reader.text[0] !== "{") throw reader.refuse("not an object");
  const found = reader.value(1);
  if (reader.at !== reader.text.length) throw reader.refuse("something follows");
  return found;
}

/** The canonical spelling of a value made of plain objects, arrays, strings, integers and booleans. */
export function writeJson(value) {
  if (Array.isArray(value)) return `[${value.map(writeJson).join(",")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const keys = Object.keys(value).filter((key) => value[key] !== undefined).sort();
  return `{${keys.map((key) => `${JSON.stringify(key)}:${writeJson(value[key])}`).join(",")}}`;
}

/** Whether two values of canonical JSON are the same; absent is only like absent. */
export function same(one, other) {
  if (one === undefined || other === undefined) return one === other;
  return writeJson(one) === writeJson(other);
}
