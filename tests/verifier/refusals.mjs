// Each `throw` of the second verifier is switched off, one at a time, and some vector must notice.
//
//   node tests/verifier/refusals.mjs FACT… -- CASE… [-- SHARE SEED]
//
// A copy of verifier/src gets a switch before every throw; all vectors are run once, noting which switches they come by;
// then each is switched off alone and only the vectors that came by it are run again. One JSON line for each that nobody
// misses: {"file", "line", "text", "came"}; the last line counts them.

import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const HERE = dirname(fileURLToPath(import.meta.url));
const PAGE = new Set(["page.js", "worker.js"]);

const words = process.argv.slice(2), cut = words.indexOf("--");
const facts = words.slice(0, cut), rest = words.slice(cut + 1), end = rest.indexOf("--");
const cases = end < 0 ? rest : rest.slice(0, end), [share = 1, seed = 0] = end < 0 ? [] : rest.slice(end + 1).map(Number);

/** A verifier that comes by the refusal that is off so often runs in circles, and has noticed. */
const PATIENCE = 10000;
const state = { off: -1, seen: new Set(), passed: 0 };
globalThis.refusal = (number) => {
  state.seen.add(number);
  if (number !== state.off) return true;
  if (++state.passed > PATIENCE) throw new RangeError("it runs in circles");
  return false;
};

const folder = mkdtempSync(join(tmpdir(), "refusals-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
cpSync(join(HERE, "..", "..", "verifier"), join(folder, "verifier"), { recursive: true });
const source = join(folder, "verifier", "src"), places = [];
for (const name of readdirSync(source).filter((each) => each.endsWith(".js") && !PAGE.has(each))) {
  const lines = readFileSync(join(source, name), "utf8").split("\n");
  const switched = lines.map((text, n) => (/^\s*(?:\/\/|\*|\/\*)/.test(text) ? text : text.replace(/\bthrow (?=[a-zA-Z])(?!error;)/g, () => {
    places.push({ file: name, line: n + 1, text: text.trim() });
    return `while (globalThis.refusal(${places.length - 1})) throw `;
  })));
  writeFileSync(join(source, name), switched.join("\n"));
}

const load = (name) => import(pathToFileURL(join(source, name)).href);
const { runVector } = await load("vectors.js");
const { verify } = await load("main.js");
const { sourceOf } = await load("container.js");
const { instant } = await load("bytes.js");

const read = (file) => JSON.parse(readFileSync(file, "utf8"));
const bytesOf = (text, file) => new Uint8Array(text.startsWith("./") ? readFileSync(join(dirname(file), text)) : Buffer.from(text, "base64"));
const given = (what, file) => (typeof what === "string" ? sourceOf(bytesOf(what, file)) : new Map(Object.entries(what).map(([name, text]) => [name, sourceOf(bytesOf(text, file))])));

function fact(file) {
  const vector = read(file), other = (name) => read(join(dirname(file), `${name}.json`)).input;
  return async () => JSON.stringify(runVector(vector, other));
}

function bundle(file) {
  const found = read(file);
  return async () => {
    const options = { allowWithheld: found.allow_withheld, now: found.now && instant(found.now) };
    if (found.trust) options.trust = bytesOf(found.trust, file);
    if (found.before_trust) options.beforeTrust = bytesOf(found.before_trust, file);
    for (const name of ["items", "mirror", "since", "before"]) if (found[name]) options[name] = given(found[name], file);
    const report = await verify(given(found.bundle, file), options);
    return JSON.stringify([report.exit_code, report.checks.map(({ id, status, code, place }) => [id, status, code, place])]);
  };
}

async function answer(ask) {
  state.passed = 0;
  try {
    return await ask();
  } catch (error) {
    return `thrown: ${error.code ?? error.name}`;
  }
}

const questions = [...facts.map(fact), ...cases.map(bundle)], before = [], cameBy = places.map(() => []);
for (const [n, ask] of questions.entries()) {
  state.seen = new Set();
  before.push(await answer(ask));
  for (const number of state.seen) cameBy[number].push(n);
}
let missed = 0, looked = 0;
for (const [number, place] of places.entries()) {
  if ((number + seed) % share) continue;
  looked += 1;
  state.off = number;
  let noticed = false;
  for (const n of cameBy[number]) if ((noticed = (await answer(questions[n])) !== before[n])) break;
  state.off = -1;
  if (noticed) continue;
  missed += 1;
  process.stdout.write(`${JSON.stringify({ ...place, came: cameBy[number].length })}\n`);
}
process.stdout.write(`${JSON.stringify({ missed, looked, vectors: questions.length })}\n`);
