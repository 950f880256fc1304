// The page: takes files, lets the worker work, shows the report. Text of an input becomes text of the page, never markup.

import { run } from "./worker.js";
import { escaped as shown, LANGUAGES, text, written } from "./phrases.js";
import { boundsIn, closing, linesOf, verdictIn } from "./report.js";
import { WORDS } from "./words.js";

const $ = (id) => document.getElementById(id);
const chosen = { bundle: undefined, trust: undefined, items: undefined, since: undefined, before: undefined, before_trust: undefined, mirror: undefined };
const spoken = (globalThis.navigator?.language ?? "en").slice(0, 2).toLowerCase();
let language = LANGUAGES.includes(spoken) && WORDS[spoken] ? spoken : "en";
let last;

const word = (name) => WORDS[language][name];

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  for (const child of children) made.append(child instanceof Node ? child : shown(child));
  return made;
}

// ---------------------------------------------------------------- choosing

const ITEM = /^[0-9a-f]{32}(?:\.age)?$/;

/** Files of a folder by their path below it. */
const below = (files) => [...files].map((file) => [file.webkitRelativePath.split("/").slice(1).join("/") || file.name, file]);

function tellChosen() {
  for (const [name, given] of Object.entries(chosen)) {
    const told = given === undefined ? word("none") : Array.isArray(given) ? `${word("files")} ${given.length}` : shown(given.name);
    $(`${name}-chosen`).textContent = told;
  }
}

function choose(name, given) {
  chosen[name] = given;
  tellChosen();
}

/** Rows of everything that was dropped: [path, File], folders walked through. */
async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...transfer.files].map((file) => [file.name, file]);
  const rows = [];
  const walk = async (entry, path) => {
    if (entry.isFile) return void rows.push([path, await new Promise((done, fail) => entry.file(done, fail))]);
    const reader = entry.createReader();
    for (;;) {
      const some = await new Promise((done, fail) => reader.readEntries(done, fail));
      if (!some.length) return undefined;
      for (const inner of some) await walk(inner, `${path}/${inner.name}`);
    }
  };
  for (const entry of entries) await walk(entry, entry.name);
  return rows;
}

/** Say of each dropped file what it is: by its name, or by how it begins. */
async function sort(rows) {
  const folder = rows.find(([path]) => /(?:^|\/)bundle\.json$/.test(path));
  const base = folder?.[0].slice(0, -"bundle.json".length);
  const items = [], tiles = rows.filter(([path]) => /(?:^|\/)tile\/entries\//.test(path));
  if (tiles.length) choose("mirror", tiles.map(([path, file]) => [path.slice(path.indexOf("tile/entries/")), file]));
  const inside = folder ? rows.filter(([path]) => path.startsWith(base)).map(([path, file]) => [path.slice(base.length), file]) : [];
  if (folder) choose("bundle", inside);
  for (const [path, file] of rows) {
    if ((folder && path.startsWith(base)) || path.includes("tile/entries/")) continue;
    const head = await file.slice(0, 400).text();
    if (ITEM.test(file.name)) items.push([file.name, file]);
    else if (head.startsWith("PK")) choose(chosen.bundle ? "since" : "bundle", file);
    else if (head.startsWith('{"auditors":') || head.startsWith('{"authorities":')) choose("trust", file);
    else if (head.includes("\n\n\u2014 ") || file.name.includes("checkpoint")) choose("since", file);
  }
  if (items.length) choose("items", items);
}

// ---------------------------------------------------------------- the report

const colour = { pass: "good", fail: "bad", not_checked: "open" };

function checkRow(check, demanded) {
  const { id, status } = check, name = element("th", { scope: "row" }, text(language, `check.${id}`));
  name.append(element("small", {}, demanded.includes(id) ? `${id} · ${word("demanded")}` : id));
  const [first = "", ...rest] = linesOf(language, check);
  const found = element("td", {}, first, ...rest.map((line) => element("small", {}, line)));
  return element("tr", {}, element("td", { class: `state ${colour[status]}` }, text(language, `status.${status}`)), name, found);
}

function checkTable(report) {
  const head = element("tr", {}, ...["result", "check", "found"].map((name) => element("th", { scope: "col" }, word(name))));
  const rows = report.checks.map((check) => checkRow(check, report.demanded));
  return element("table", {}, element("caption", {}, word("checks")), element("thead", {}, head), element("tbody", {}, ...rows));
}

function facts({ report, sha256, name }) {
  const list = element("dl");
  const all = { file: name, sha256, ...report, ...(report.kind ? { kind: text(language, `kind.${report.kind}`) } : {}) };
  for (const [key, label] of Object.entries(WORDS[language].facts)) {
    if (all[key] !== undefined) list.append(element("dt", {}, label), element("dd", {}, all[key]));
  }
  list.append(element("dt", {}, word("made")), element("dd", {}, last.made));
  return list;
}

function section(title, rows) {
  if (!rows.length) return [];
  return [element("h2", {}, word(title)), element("ul", {}, ...rows.map((row) => element("li", {}, row)))];
}

function tools(report) {
  const print_ = element("button", { type: "button" }, word("print"));
  print_.addEventListener("click", () => globalThis.print());
  const url = URL.createObjectURL(new Blob([written(report)], { type: "application/json" }));
  return element("p", { class: "tools" }, print_, " ", element("a", { href: url, download: "report.json" }, word("save")));
}

function show() {
  const target = $("report");
  target.replaceChildren();
  target.hidden = !last;
  if (!last) return;
  const { report } = last;
  const box = element("div", { class: `verdict ${report.verified ? "good" : "bad"}`, id: "verdict" });
  box.append(element("strong", {}, verdictIn(language, report)));
  box.append(text(language, `meaning.${report.exit_code}`));
  if (!last.trusted) box.append(element("p", {}, word("no_trust")));
  target.append(box, element("h2", {}, word("about")), facts(last), checkTable(report));
  target.append(...section("times", boundsIn(language, report.times, Infinity)));
  target.append(...section("remarks", closing(language, report)), tools(report));
}

// ---------------------------------------------------------------- working

/** Have it done in a worker made of the same script, or here where the browser allows none. */
function work(task, tell) {
  return new Promise((done, fail) => {
    let worker;
    const here = () => run(task, tell).then(done, fail);
    try {
      const text = `${$("core").textContent}\nworker_js.serve(self);\n`;
      worker = new Worker(URL.createObjectURL(new Blob([text], { type: "text/javascript" })));
    } catch {
      here();
      return;
    }
    let answered = false;
    worker.onerror = () => (answered ? fail(new Error("the worker stopped")) : here());
    worker.onmessage = ({ data }) => {
      answered = true;
      if (data.done) done(data.done);
      else if (data.broken) fail(new Error(data.broken));
      else tell(data.what, data.share);
      if (data.done || data.broken) worker.terminate();
    };
    worker.postMessage(task);
  });
}

function progress(what, share) {
  const known = what === "reading" || what === "checking";
  $("progress").hidden = false;
  if (known) $("bar").value = share;
  else $("bar").removeAttribute("value");
  $("doing").textContent = known ? word(what) : `${word("hashing")} ${shown(what)}`;
}

async function start(event) {
  event.preventDefault();
  if (!chosen.bundle) return void ($("status").textContent = word("need"));
  $("start").disabled = true;
  $("status").textContent = word("working");
  last = undefined;
  show();
  try {
    const found = await work({ ...chosen, allowWithheld: $("allow-withheld").checked }, progress);
    if (found.refused) $("status").textContent = `${word("refused")} ${shown(found.refused.message)} (${found.refused.code})`;
    else conclude(found);
  } catch (error) {
    $("status").textContent = `${word("broken")} ${shown(error.message)}`;
  } finally {
    $("start").disabled = false;
    $("progress").hidden = true;
  }
}

function conclude({ report, sha256 }) {
  const name = Array.isArray(chosen.bundle) ? undefined : chosen.bundle.name;
  last = { report, sha256, name, trusted: Boolean(chosen.trust), made: new Date().toISOString() };
  show();
  $("status").textContent = verdictIn(language, report);
  document.title = `${$("status").textContent} — ${word("title")}`;
  $("report").focus();
}

function speak(next) {
  language = next;
  document.documentElement.lang = next;
  document.title = word("title");
  for (const place of document.querySelectorAll("[data-word]")) place.textContent = word(place.dataset.word);
  for (const field of document.querySelectorAll("[data-labelled]")) field.setAttribute("aria-label", word(field.dataset.labelled));
  for (const button of document.querySelectorAll("[data-language]")) button.setAttribute("aria-pressed", String(button.dataset.language === next));
  tellChosen();
  show();
  if (last) $("status").textContent = verdictIn(language, last.report);
}

for (const name of ["bundle", "trust", "since", "before", "before_trust"]) $(name).addEventListener("change", ({ target }) => choose(name, target.files[0]));
$("bundle-folder").addEventListener("change", ({ target }) => choose("bundle", target.files.length ? below(target.files) : undefined));
$("items").addEventListener("change", ({ target }) => choose("items", target.files.length ? [...target.files].map((file) => [file.name, file]) : undefined));
$("mirror").addEventListener("change", ({ target }) => choose("mirror", target.files.length ? below(target.files) : undefined));
$("items-folder").addEventListener("change", ({ target }) => choose("items", target.files.length ? below(target.files) : undefined));
for (const button of document.querySelectorAll("[data-language]")) button.addEventListener("click", () => speak(button.dataset.language));
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("over");
});
document.addEventListener("dragleave", () => document.body.classList.remove("over"));
document.addEventListener("drop", async (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  await sort(await dropped(event.dataTransfer));
});
$("form").addEventListener("submit", start);
speak(language);
