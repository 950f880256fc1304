// A bundle read (docs/spec/bundle.md): every file understood or listed as a problem, nothing believed.

import { decimal, hex, linesOf, malformed, Refusal, unbase64, unhex, unsupported } from "./bytes.js";
import { readJson } from "./json.js";
import { readBatch, readHashes, registryHandle } from "./merkle.js";
import { Policy, readCheckpointText, splitNote } from "./notes.js";
import { readEntry, readStatement } from "./records.js";
import { checkSchema } from "./schema.js";

const LIST = "bundle.json";
const TOP = "inclusion|checkpoint|statements\\.jsonl|policy|verify\\.md";
const CHAIN_FILES = "(?:entries\\.jsonl|leaves\\.jsonl|tail\\.json)";
const FOLDERS = `(?:headers|parts|checkpoints|consistency)/[^/]+|(?:registry/[^/]+|service)/${CHAIN_FILES}|(?:timestamps|validation|renewal)/.+`;
const PLACES = {
  registry: new RegExp(`^(?:${TOP}|${FOLDERS})$`),
  exchange: new RegExp(`^(?:${TOP}|${FOLDERS}|${CHAIN_FILES}|headers\\.jsonl|parts\\.jsonl)$`),
  export: new RegExp(`^(?:${TOP}|${FOLDERS}|${CHAIN_FILES}|headers\\.jsonl|parts\\.jsonl|entries\\.csv|readme\\.md)$`),
};

/** One chain as a bundle shows it; `name` is @exchange, @service or an authority. */
class Chain {
  constructor(name, folder) {
    Object.assign(this, { name, folder, entries: [], leaves: [], tail: undefined, broken: false });
  }

  /** Whether every entry from 0 on has its leaf line, disclosed or not. */
  get whole() {
    return this.leaves.length > 0 && this.leaves.every(({ seq }, n) => seq === n);
  }

  get withheld() {
    const shown = new Set(this.entries.map(({ fields }) => fields.seq));
    return this.leaves.map(({ seq }) => seq).filter((seq) => !shown.has(seq));
  }

  leaf(seq) {
    return (this.bySeq ??= new Map(this.leaves.map((leaf) => [leaf.seq, leaf]))).get(seq);
  }

  placeOf({ line, offset, fields }) {
    return { file: `${this.folder}entries.jsonl`, line, offset, chain: this.name, seq: fields.seq };
  }

  placeOfLeaf({ line, offset, seq }) {
    return { file: `${this.folder}leaves.jsonl`, line, offset, chain: this.name, seq };
  }

  placeOfTail() {
    return { file: `${this.folder}tail.json`, chain: this.name, seq: this.leaves[this.leaves.length - 1]?.seq };
  }
}

export class Bundle {
  constructor(container) {
    this.container = container;
    this.problems = [];
    this.files = new Set();
    this.unreadable = new Set();
    this.chains = new Map();
    this.statements = new Map();
    this.checkpoints = new Map();
    this.consistency = new Map();
    this.headers = new Map();
    this.parts = new Map();
  }

  /** Do something with a file; what it refuses is a problem of that file, at that line. */
  async attempt(file, action, place = {}) {
    try {
      return await action();
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.problems.push(new Refusal(error.code, error.kind, error.message, { file, ...place, ...error.place }));
      return undefined;
    }
  }

  has(name) {
    return this.files.has(name);
  }

  /** The packing list decides what the bundle is; without it nothing can be read. */
  async readList() {
    const bytes = await this.container.read(LIST);
    const list = readJson(bytes);
    if (typeof list.v === "number" && list.v !== 1) throw unsupported("bundle-unsupported", `version ${list.v}`);
    if (typeof list.kind === "string" && !["exchange", "export", "registry"].includes(list.kind)) throw unsupported("bundle-unsupported", `kind ${list.kind}`);
    checkSchema("bundle", list);
    const names = this.container.names.filter((name) => name !== LIST);
    if (names.join("\n") !== list.files.map(({ path }) => path).join("\n")) throw malformed("bundle-malformed", "other files than the packing list's");
    for (const { path, size } of list.files) {
      if (this.container.size(path) !== size) throw malformed("bundle-malformed", `${path} has another size than in the packing list`);
      if (!PLACES[list.kind].test(path)) throw malformed("bundle-malformed", `no bundle of this kind has ${path}`);
    }
    Object.assign(this, { list, kind: list.kind, log: list.log, chain: list.chain, size: list.size });
    this.files = new Set(names);
    const folders = [...new Set(names.map((name) => /^(?:registry\/[^/]+|service)\//.exec(name)?.[0]).filter(Boolean))].sort();
    if (list.kind !== "registry") folders.unshift("");
    for (const folder of folders) {
      const name = folder === "" ? "@exchange" : folder === "service/" ? "@service" : folder.split("/")[1];
      this.chains.set(name, new Chain(name, folder));
    }
  }

  /** Read every file in the order of the packing list; `progress` is told how much is done. */
  async readAll(progress = () => {}) {
    let done = 0;
    for (const name of this.files) {
      const bytes = await this.attempt(name, () => this.container.read(name));
      if (bytes !== undefined) await this.readFile(name, bytes);
      else this.unreadable.add(name);
      progress(++done / this.files.size);
    }
    const chains = [...this.chains.values()].flatMap(({ folder }) => [`${folder}entries.jsonl`, `${folder}leaves.jsonl`]);
    for (const name of ["checkpoint", "inclusion", "statements.jsonl", ...chains]) {
      if (!this.files.has(name)) await this.attempt(name, () => { throw malformed("misnamed", `${name} is missing`); });
    }
    await this.attempt(LIST, () => this.checkNames());
  }

  /** Hold the packing list's own facts to the checkpoint's. */
  checkNames() {
    const { checkpoint } = this;
    if (checkpoint && (checkpoint.origin !== this.log || checkpoint.size !== this.size)) throw malformed("misnamed", "another log or size than the checkpoint's");
    const handles = [...this.chains.keys()].map((name) => this.handleOf(name));
    if (this.kind === "registry" && !handles.includes(this.chain)) throw malformed("misnamed", `chain ${this.chain} is no registry of this bundle`);
  }

  async readFile(name, bytes) {
    const [, folder, last] = /^(.*?)([^/]+)$/.exec(name);
    const chain = [...this.chains.values()].find((found) => found.folder === folder);
    if (chain && new RegExp(`^${CHAIN_FILES}$`).test(last)) await this.readChain(chain, name, last, bytes);
    else if (name === "statements.jsonl") await this.readStatements(bytes);
    else if (name === "checkpoint") this.checkpoint = await this.readNote(name, bytes);
    else if (name === "inclusion") this.inclusion = await this.attempt(name, () => readBatch(bytes));
    else if (name === "policy") await this.attempt(name, () => new Policy(new TextDecoder().decode(bytes)));
    else if (name === "headers.jsonl") await this.readNamed(name, "headers-line", "sha256", "header", bytes, this.headers);
    else if (name === "parts.jsonl") await this.readNamed(name, "parts-line", "item", "parts", bytes, this.parts);
    else if (folder === "headers/") this.headers.set(last, { bytes, place: { file: name } });
    else if (folder === "parts/") this.parts.set(last, { bytes, place: { file: name } });
    else if (folder === "checkpoints/") await this.readOther(name, last, bytes);
    else if (folder === "consistency/") await this.readConsistency(name, last, bytes);
  }

  /** Every line of a file up to the first that is not understood; whether all were. */
  async lines(file, bytes, action) {
    const done = await this.attempt(file, async () => {
      const rows = [...linesOf(bytes)];
      if (rows.length > 16 + Math.floor(bytes.length / 32)) throw malformed("lines-malformed", "more lines than a file of this size has");
      for (const [n, { data, offset }] of rows.entries()) {
        if ((await this.attempt(file, () => action(data, { line: n + 1, offset }) ?? true, { line: n + 1, offset })) === undefined) return false;
      }
      return true;
    });
    return done === true;
  }

  async readChain(chain, name, last, bytes) {
    let understood;
    if (last === "entries.jsonl") understood = await this.lines(name, bytes, (data, place) => void chain.entries.push({ ...readEntry(data), ...place }));
    else if (last === "leaves.jsonl") {
      const leaves = [];
      understood = await this.lines(name, bytes, (data, place) => void leaves.push({ ...readLeafLine(data, leaves), ...place }));
      if (understood) chain.leaves = leaves;
    } else {
      chain.tail = await this.attempt(name, () => readTail(bytes));
      understood = chain.tail !== undefined;
    }
    chain.broken ||= !understood;
  }

  async readStatements(bytes) {
    let last = "";
    const understood = await this.lines("statements.jsonl", bytes, (data, place) => {
      const statement = readStatement(data);
      if (statement.id <= last) throw malformed("lines-malformed", "statements do not ascend by id");
      last = statement.id;
      this.statements.set(statement.id, { ...statement, place: { file: "statements.jsonl", ...place } });
    });
    this.unreadStatements = !understood;
  }

  /** A note of the log, unopened: {bytes, origin, size, root}. */
  readNote(name, bytes) {
    return this.attempt(name, () => ({ bytes, file: name, ...readCheckpointText(splitNote(bytes).text) }));
  }

  async readOther(name, last, bytes) {
    const found = await this.readNote(name, bytes);
    if (!found) return;
    if (String(found.exact) === last) this.checkpoints.set(found.size, found);
    else await this.attempt(name, () => { throw malformed("misnamed", `a checkpoint of size ${found.exact}`); });
  }

  async readConsistency(name, last, bytes) {
    await this.attempt(name, () => {
      const [head, ...lines] = [...linesOf(bytes)].map(({ data }) => new TextDecoder().decode(data));
      if (head !== "rogatory/consistency/v1" || lines.length < 2) throw malformed("batch-malformed", "not a consistency proof");
      const [old, now, ...hashes] = lines;
      const path = [decimal(old), decimal(now)] && readHashes(hashes, "text-malformed");
      if (`${old}-${now}` !== last) throw malformed("misnamed", "a proof of other sizes");
      this.consistency.set(last, { file: name, path });
    });
  }

  /** headers.jsonl and parts.jsonl, where there are too many for files of their own. */
  async readNamed(file, schema, key, value, bytes, into) {
    let last = "";
    const rows = [];
    const understood = await this.lines(file, bytes, (data, place) => {
      const row = asLine(() => {
        const found = readJson(data);
        checkSchema(schema, found);
        return { name: found[key], bytes: unbase64(found[value]), place: { file, ...place } };
      });
      if (row.name <= last) throw malformed("lines-malformed", "lines do not ascend");
      last = row.name;
      rows.push(row);
    });
    if (understood) for (const row of rows) into.set(row.name, row);
  }

  /** The handle that a chain of this name must have. */
  handleOf(name) {
    return name === "@exchange" ? this.chain : hex(registryHandle(this.log, name));
  }

  get exchange() {
    return this.chains.get("@exchange");
  }

  get registries() {
    return [...this.chains.values()].filter(({ name }) => !name.startsWith("@"));
  }
}

/** A line of a file whose lines are all of one kind: whatever is wrong with it is that the line is none. */
function asLine(action) {
  try {
    return action();
  } catch (error) {
    throw error instanceof Refusal ? malformed("lines-malformed", error.message) : error;
  }
}

function readLeafLine(data, before) {
  const leaf = asLine(() => {
    const found = readJson(data);
    checkSchema("leaf", found);
    return found;
  });
  if (before.length && before[before.length - 1].seq >= leaf.seq) throw malformed("lines-malformed", "leaf lines do not ascend");
  return { ...leaf, label: unhex(leaf.label), salt: unhex(leaf.salt) };
}

function readTail(bytes) {
  const tail = readJson(bytes);
  if (typeof tail.v === "number" && tail.v !== 1) throw unsupported("bundle-unsupported", `a tail proof of version ${tail.v}`);
  checkSchema("tail", tail);
  return { root: unhex(tail.root), bucket: tail.bucket.map(unhex), path: tail.path.map(unhex) };
}
