#!/usr/bin/env node
// The verifier without a page, as docs/spec/vectors.md has it:
//   node verifier/cli.mjs verify BUNDLE [--trust FILE] [--items DIR] [--mirror DIR] [--since FILE] [--before FILE]
//                                       [--before-trust FILE] [--allow-withheld] [--now TIME] [--lang LANG] [--json]
//                                                                  the report and its exit code
//   node verifier/cli.mjs vectors FILE...                          one JSON line for each single-fact vector
//   node verifier/cli.mjs cases [--text LANG,...] FILE...        one JSON line, a report, for each bundle vector; its text

import { closeSync, fstatSync, lstatSync, openSync, readdirSync, readFileSync, readSync } from "node:fs";
import { basename, dirname, join, relative, sep } from "node:path";
import { instant } from "./src/bytes.js";
import { sourceOf } from "./src/container.js";
import { verify } from "./src/main.js";
import { LANGUAGES } from "./src/phrases.js";
import { textOf } from "./src/report.js";
import { runVector } from "./src/vectors.js";

/** A file of the disk as something to read from, opened for as long as a read takes. */
function sourceOfPath(path) {
  return {
    size: lstatSync(path).size,
    read: async (start, end) => {
      const file = openSync(path, "r");
      try {
        const bytes = new Uint8Array(Math.max(0, Math.min(end, fstatSync(file).size) - start));
        for (let at = 0, got = 1; at < bytes.length && got; at += got) got = readSync(file, bytes, at, bytes.length - at, start + at);
        return bytes;
      } finally {
        closeSync(file);
      }
    },
  };
}

/** A file as a source; a directory as a map of them. A link is neither. */
function given(path) {
  if (!lstatSync(path).isDirectory()) return sourceOfPath(path);
  const found = new Map();
  for (const row of readdirSync(path, { recursive: true, withFileTypes: true })) {
    const full = join(row.parentPath ?? row.path, row.name);
    const name = relative(path, full).split(sep).join("/");
    if (row.isDirectory()) continue;
    if (row.isFile()) found.set(name, sourceOfPath(full));
    else found.set(`${name}\0`, sourceOf(new Uint8Array()));
  }
  return found;
}

function readOptions(words) {
  const options = {}, rest = [];
  while (words.length) {
    const word = words.shift();
    if (word === "--trust") options.trust = new Uint8Array(readFileSync(words.shift()));
    else if (word === "--before-trust") options.beforeTrust = new Uint8Array(readFileSync(words.shift()));
    else if (["--items", "--mirror", "--since", "--before"].includes(word)) options[word.slice(2)] = given(words.shift());
    else if (word === "--allow-withheld") options.allowWithheld = true;
    else if (word === "--now") options.now = instant(words.shift());
    else if (word === "--lang") options.language = words.shift();
    else if (word === "--json") options.json = true;
    else rest.push(word);
  }
  return [rest, options];
}

/** A report, or the refusal of what the reader brought. */
async function reportOn(bundle, options) {
  try {
    return await verify(bundle, options);
  } catch (error) {
    if (error.code === undefined || error.kind === undefined) throw error;
    return { error: { code: error.code, message: error.message }, exit_code: error.kind === "unsupported" ? 24 : error.kind === "malformed" ? 3 : 22 };
  }
}

const decoded = (text) => new Uint8Array(Buffer.from(text, "base64"));
/** Bytes in base64, or the name of a file beside the vector. */
const bytesOf = (text, folder) => (text.startsWith("./") ? new Uint8Array(readFileSync(join(folder, text))) : decoded(text));
const unpacked = (what, folder) => (typeof what === "string" ? sourceOf(bytesOf(what, folder)) : new Map(Object.entries(what).map(([name, text]) => [name, sourceOf(decoded(text))])));

/** A bundle vector: one JSON file that holds the bundle and what the reader brings, in base64. */
async function runCase(file) {
  const found = JSON.parse(readFileSync(file, "utf8"));
  const options = { allowWithheld: found.allow_withheld, now: found.now && instant(found.now) };
  if (found.trust) options.trust = bytesOf(found.trust, dirname(file));
  if (found.before_trust) options.beforeTrust = bytesOf(found.before_trust, dirname(file));
  for (const name of ["items", "mirror", "since", "before"]) if (found[name]) options[name] = unpacked(found[name], dirname(file));
  return reportOn(unpacked(found.bundle, dirname(file)), options);
}

async function main([command, ...words]) {
  if (command === "vectors") {
    for (const file of words) {
      const other = (name) => JSON.parse(readFileSync(join(dirname(file), `${name}.json`), "utf8")).input;
      process.stdout.write(`${JSON.stringify({ file: basename(file), ...runVector(JSON.parse(readFileSync(file, "utf8")), other) })}\n`);
    }
    return 0;
  }
  if (command === "cases") {
    const languages = words[0] === "--text" ? words.splice(0, 2)[1].split(",") : [];
    for (const file of words) {
      const report = await runCase(file);
      const texts = report.error ? {} : Object.fromEntries(languages.map((language) => [language, textOf(language, report)]));
      process.stdout.write(`${JSON.stringify({ file: basename(file), report, ...(languages.length ? { texts } : {}) })}\n`);
    }
    return 0;
  }
  const [rest, options] = readOptions(words);
  if (command !== "verify" || rest.length !== 1) {
    process.stderr.write("error: verify BUNDLE, vectors FILE..., or cases FILE...\n");
    return 2;
  }
  const report = await reportOn(given(rest[0]), options);
  const language = LANGUAGES.includes(options.language) ? options.language : "en";
  process.stdout.write(options.json || report.error ? `${JSON.stringify(report)}\n` : textOf(language, report));
  return report.exit_code;
}

process.exitCode = await main(process.argv.slice(2));
