// What can be said of time stamps without reading one (docs/spec/timestamps.md): names, sizes, what they stand over, and
// that every file agrees with every renewal. Certificates and signatures of stamps are not looked at here.

import { equal, malformed, NotChecked, unsupported, untrue } from "./bytes.js";
import { at, placed } from "./checks-chain.js";
import { readJson } from "./json.js";
import { say } from "./phrases.js";
import { checkSchema } from "./schema.js";

const KIB = 1024, RENEWAL = 64 * KIB * KIB, RENEWALS = 64, STAMPS = 1000;
/** Folder → the form of its files' names, and how large they may be; a renewal itself may be larger. */
const FORMS = {
  timestamps: [/^timestamps\/(?:0|[1-9][0-9]{0,15})-(?:0|[1-9][0-9]{0,2})\.tsr$/, 64 * KIB],
  validation: [/^validation\/([0-9a-f]{64})\.der$/, 4 * KIB * KIB],
  renewal: [/^renewal\/[1-9][0-9]?(?:-[0-7]\.tsr|\.json)$/, 64 * KIB],
};
const OWN = /^renewal\/([1-9][0-9]?)(?:-[0-7]\.tsr|\.json)$/;
const folderOf = (path) => (path.includes("/") ? path.split("/")[0] : "");
const isMalformed = (what, file) => placed(malformed("timestamp-malformed", what), { file });

export async function timestamps(facts) {
  const { bundle, trust } = facts, all = bundle.list.files.filter(({ path }) => Object.hasOwn(FORMS, folderOf(path)));
  if (!all.length) throw new NotChecked(say("reason.no-stamps"));
  if (!trust.given) throw new NotChecked(say("reason.no-trust-stamps"));
  all.forEach(checkName);
  checkStamped(bundle, all.filter(({ path }) => folderOf(path) === "timestamps").map(({ path }) => path));
  await checkRenewals(bundle, all.filter(({ path }) => folderOf(path) === "renewal").map(({ path }) => path));
  throw new NotChecked(say("reason.stamps-unread"));
}

function checkName({ path, size, sha256 }) {
  const [form, most] = FORMS[folderOf(path)], found = form.exec(path);
  if (!found || (found[1] ?? sha256) !== sha256) throw isMalformed("no name of such a file", path);
  if (size > (path.endsWith(".json") ? RENEWAL : most)) throw isMalformed(`${size} bytes, which is too many`, path);
}

/** Each stamp stands over a checkpoint that is there; one of the bundle's size is the bundle's. */
function checkStamped({ checkpoint, checkpoints }, paths) {
  if (paths.length > STAMPS) throw isMalformed(`more than ${STAMPS} stamps`, "timestamps/");
  const notes = new Map([...checkpoints.values()].map((note) => [note.file, note]));
  const noteOf = (path) => notes.get(`checkpoints/${path.slice("timestamps/".length).split("-")[0]}`);
  for (const path of paths) if (!noteOf(path)) throw isMalformed("no checkpoint that it is over", path);
  if (paths.length && !checkpoint) throw new NotChecked(say("reason.checkpoint-unread"));
  for (const path of paths) {
    const { size, root } = noteOf(path);
    if (size === checkpoint.size && !equal(root, checkpoint.root)) throw placed(untrue("root-mismatch", "over a checkpoint of another root"), { file: path });
  }
}

async function checkRenewals(bundle, paths) {
  const isRenewal = (path) => path.endsWith(".json"), numberOf = (path) => Number(OWN.exec(path)[1]);
  const numbers = paths.filter(isRenewal).map(numberOf).sort((a, b) => a - b);
  const stamped = paths.filter((path) => !isRenewal(path)).map(numberOf);
  if (numbers.length > RENEWALS || numbers.some((number, n) => number !== n + 1) || stamped.some((number) => number > numbers.length)) {
    throw placed(malformed("renewal-malformed", "renewals are not numbered from 1 without gap"), { file: "renewal/" });
  }
  for (const number of numbers) {
    const file = `renewal/${number}.json`, bytes = await bundle.container.read(file);
    at({ file }, () => checkRenewal(readJson(bytes), number, bundle.list.files));
  }
}

/** What the renewal lists is there as it was; what it does not list came later, or validates what did. */
function checkRenewal(fields, number, files) {
  if (typeof fields.v === "number" && fields.v !== 1) throw unsupported("renewal-unsupported", `version ${fields.v}`);
  if (typeof fields.hash === "string" && fields.hash !== "sha512") throw unsupported("renewal-unsupported", `hash ${fields.hash}`);
  checkSchema("renewal", fields);
  if (fields.n !== number) throw malformed("renewal-malformed", `renewal ${fields.n} under the name of ${number}`);
  const now = new Map(files.map(({ path, sha512 }) => [path, sha512])), listed = new Set(fields.files.map(({ path }) => path));
  for (const { path, digest } of fields.files) if (now.get(path) !== digest) throw untrue("renewal-broken", `${path} is gone or another`);
  for (const path of now.keys()) {
    const own = OWN.exec(path), covered = !own || Number(own[1]) < number;
    if (covered && !listed.has(path) && folderOf(path) !== "validation") throw untrue("renewal-broken", `${path} is not covered`);
  }
}
