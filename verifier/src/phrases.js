// What is said in words: phrases of the one catalogue (custody/words), which build.py puts beside this.

import { CATALOGUE } from "./catalogue.js";

const DEFAULT = "en";

/** Languages there are words in, sorted. */
export const LANGUAGES = Object.keys(CATALOGUE).sort();

/** A text of the catalogue with its values: English as a string and in JSON, any language on request. */
class Phrase {
  constructor(members) {
    Object.assign(this, members);
  }

  toString() {
    return inLanguage(DEFAULT, this);
  }

  toJSON() {
    return String(this);
  }
}

/** A phrase of the catalogue; lists among its values become lists of words. */
export const say = (key, values = {}) => new Phrase({ key, values });

/** Several phrases as one, with what stands between them. */
export const join = (between, phrases) => new Phrase({ between, phrases });

/** A phrase in a language, also one that came through a message; any other value as it is. */
export function inLanguage(language, said) {
  if (typeof said !== "object") return String(said);
  if (said.between !== undefined) return said.phrases.map((phrase) => inLanguage(language, phrase)).join(said.between);
  return text(language, said.key, said.values);
}

/** The text of a key in a language, its values filled in. */
export function text(language, key, values = {}) {
  const value = (found) => (Array.isArray(found) ? found.map((member) => inLanguage(language, member)).join(", ") : inLanguage(language, found));
  return CATALOGUE[language][key].replace(/\{(\w+)\}/g, (_, name) => value(values[name]));
}

/** The code of a phrase: its key without the kind of text it is of. */
export const codeOf = ({ key }) => key?.slice(key.indexOf(".") + 1);

/** JSON of what holds phrases, in English. */
export const written = (what) => JSON.stringify(what, (_, value) => (value?.key !== undefined && value.values ? inLanguage(DEFAULT, value) : value?.between !== undefined ? inLanguage(DEFAULT, value) : value));

/** What could steer a display is spelled out: control, format, private and unassigned characters, line separators. */
export const escaped = (said) => String(said).replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (unit) => `\\u{${unit.codePointAt(0).toString(16)}}`);
