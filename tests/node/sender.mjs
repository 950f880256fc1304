// A whole hand-over, from the token to the seal, written from docs/guide/integrate.md with packages that are not ours.
//
//   NODE_EXTRA_CA_CERTS=ca.pem node sender.mjs told.json
//
// told.json: {server, authority, principal, login_key, statement_key, trust, to, evidence: [path], work, sealing?, cut?}.
// It prints one JSON object. `cut` is for tests: the first upload loses its connection after so many bytes,
// of twice as many that were on their way.
import { createHash, createPrivateKey, createPublicKey, hkdfSync, randomBytes, sign } from "node:crypto";
import { createReadStream, createWriteStream, readFileSync, statSync, unlinkSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { Readable } from "node:stream";
import { Encrypter } from "age-encryption";
import { blake3 } from "@noble/hashes/blake3.js";
import { SignJWT } from "jose";
import * as tus from "tus-js-client";
import { canonical, checkedRecord, checkpointOf, decoded, demand, hash, hex, paeOf, rootOf, statementOf, u64, unhex } from "./log.mjs";
import { checkedRegistry, encryptionKeys } from "./registry.mjs";

const PART = 16 * 1024 * 1024;
const told = JSON.parse(readFileSync(process.argv[2]));
const trust = decoded(readFileSync(told.trust));
const loginKey = createPrivateKey(readFileSync(told.login_key));
const statementKey = createPrivateKey(readFileSync(told.statement_key));
const sealing = told.sealing ?? "mlkem768x25519";
const keyId = (key) => hex(hash(createPublicKey(key).export({ type: "spki", format: "der" })));
const randomId = (bytes = 16) => hex(randomBytes(bytes));
const timeOf = (moment) => moment.toISOString().replace("Z", "000Z");
let seen;

// --- log in ----------------------------------------------------------------------------------------------------------
async function answered(response) {
  const body = Buffer.from(await response.arrayBuffer());
  demand(response.ok, `${response.status} from ${response.url}: ${body.subarray(0, 2000)}`);
  return body;
}

let token = { until: 0 };
async function bearer() {
  if (token.until > Date.now()) return token.text;
  const { issuer } = JSON.parse(await answered(await fetch(`${told.server}/v1/service`)));
  const assertion = await new SignJWT({ jti: randomId() })
    .setProtectedHeader({ alg: "ES256", typ: "client-authentication+jwt", kid: keyId(loginKey) })
    .setIssuer(told.principal).setSubject(told.principal).setAudience(issuer).setIssuedAt().setExpirationTime("60s")
    .sign(loginKey);
  const form = new URLSearchParams({
    grant_type: "client_credentials",
    client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    client_assertion: assertion,
  });
  const said = JSON.parse(await answered(await fetch(`${told.server}/oauth/token`, { method: "POST", body: form })));
  token = { text: `Bearer ${said.access_token}`, until: Date.now() + (said.expires_in - 60) * 1000 };
  return token.text;
}

async function ask(method, path, body, type) {
  for (let again = 0; ; again++) {
    const headers = { Authorization: await bearer(), ...(type && { "Content-Type": type }) };
    const response = await fetch(`${told.server}${path}`, { method, body, headers });
    if (response.status !== 503 || again === 5) return answered(response);
    await new Promise((done) => setTimeout(done, 1000 * Number(response.headers.get("Retry-After") ?? 1)));
  }
}

// --- say something ---------------------------------------------------------------------------------------------------
function say(kind, chain, members) {
  const payload = {
    v: 1, kind, chain, log: trust.origin, nonce: randomId(), time: timeOf(new Date()),
    signer: { authority: told.authority, principal: told.principal }, seen, ...members,
  };
  const body = Buffer.from(canonical(payload));
  const type = `application/vnd.rogatory.${kind}.v1+json`;
  const signature = sign(null, paeOf(type, body), statementKey).toString("base64");
  const signatures = [{ keyid: keyId(statementKey), sig: signature }];
  return statementOf(canonical({ payload: body.toString("base64"), payloadType: type, signatures }));
}

async function lodge(path, statement) {
  const answer = JSON.parse(await ask("POST", path, JSON.stringify({ envelope: statement.envelope }), "application/json"));
  const record = checkedRecord(answer.record, statement, trust);
  saw(record.point);
  return record;
}

function saw(point) {
  if (point.size > (seen?.size ?? 0)) seen = { size: point.size, root: hex(point.root) };
}

// --- seal ------------------------------------------------------------------------------------------------------------
// Reads what age writes: the header to its end, then the body, into a file and through the digests of the manifest.
async function taken(stream, path) {
  const body = createWriteStream(path, { mode: 0o600 });
  const [sha256, blake, whole] = [createHash("sha256"), blake3.create({}), createHash("sha256")];
  let [header, kept, part, size] = [undefined, Buffer.alloc(0), createHash("sha256"), 0];
  for await (const piece of stream) {
    let data = Buffer.from(piece);
    if (!header) {
      kept = Buffer.concat([kept, data]);
      const mark = kept.indexOf("\n--- ");
      const end = mark < 0 ? -1 : kept.indexOf("\n", mark + 1);
      if (end < 0) continue;
      [header, data] = [kept.subarray(0, end + 1), kept.subarray(end + 1)];
    }
    sha256.update(data);
    blake.update(data);
    for (let at = 0; at < data.length; ) {
      const upTo = Math.min(data.length, at + PART - (size % PART));
      part.update(data.subarray(at, upTo));
      [size, at] = [size + upTo - at, upTo];
      if (size % PART === 0) [part] = [createHash("sha256"), whole.update(part.digest())];
    }
    if (!body.write(data)) await new Promise((done) => body.once("drain", done));
  }
  if (size % PART) whole.update(part.digest());
  await new Promise((done, failed) => body.on("error", failed).end(done));
  return { header, size, part_size: PART, parts: whole.digest("hex"), sha256: sha256.digest("hex"), blake3: hex(blake.digest()) };
}

async function seal(source, recipients) {
  const id = randomId();
  let fileKey;
  const encrypter = new Encrypter();
  encrypter.addRecipient({ wrapFileKey: (key) => ((fileKey = Buffer.from(key)), []) });
  for (const recipient of recipients) encrypter.addRecipient(recipient);
  const path = join(told.work, id);
  const { header, ...described } = await taken(await encrypter.encrypt(Readable.toWeb(source)), path);
  demand(described.size <= 10_000 * PART, "this script knows one size of parts");
  const info = Buffer.concat([Buffer.from("rogatory/filekey/v1\0"), unhex(id)]);
  const commitment = hex(Buffer.from(hkdfSync("sha256", fileKey, "", info, 32)));
  const member = { id, header: { size: header.length, sha256: hex(hash(header)) }, key_commitment: commitment, ...described };
  return { member, header, path };
}

// --- inventory -------------------------------------------------------------------------------------------------------
async function lineOf(path, item) {
  const [sha256, blake] = [createHash("sha256"), blake3.create({})];
  for await (const piece of createReadStream(path)) {
    sha256.update(piece);
    blake.update(piece);
  }
  const { size } = statSync(path);
  const digests = { sha256: sha256.digest("hex"), blake3: hex(blake.digest()) };
  return { path: basename(path), type: "file", size, ...digests, extents: [{ item, offset: 0, size }], salt: randomId(32) };
}

function inventoryOf(packageId, files) {
  const rows = files.sort((one, other) => Buffer.compare(Buffer.from(one.path), Buffer.from(other.path)));
  const head = canonical({ v: 1, kind: "inventory", package: packageId, salt: randomId(32), count: rows.length });
  const lines = rows.map(canonical);
  const commitment = hash("rogatory/inventory/v1\0", hash(head), u64(lines.length), rootOf(lines.map((line) => Buffer.from(line))));
  return { text: [head, ...lines, ""].join("\n"), commitment: hex(commitment) };
}

// --- upload ----------------------------------------------------------------------------------------------------------
// Until the service has noticed that a connection broke. Who asks at once may be told less, and goes on from there.
async function settled(url) {
  for (let again = 0; again < 100; again++) {
    const headers = { Authorization: await bearer(), "Tus-Resumable": "1.0.0" };
    const response = await fetch(url, { method: "HEAD", headers });
    if (Number(response.headers.get("Upload-Offset")) > 0) return url;
    await new Promise((done) => setTimeout(done, 100));
  }
  return url;
}

// Once over a connection that breaks, if a test wants that; then to the end, from where the service says it stands.
async function upload(packageId, { member, path }, cut) {
  const starts = [];
  const once = (more, cutAt) =>
    new Promise((done, failed) => {
      const uploading = new tus.Upload(createReadStream(path), {
        endpoint: `${told.server}/v1/packages/${packageId}/items/${member.id}/uploads`,
        uploadSize: member.size, chunkSize: 64 * 1024 * 1024, retryDelays: [0, 1000, 3000, 5000], ...more,
        onBeforeRequest: async (request) => {
          request.setHeader("Authorization", await bearer());
          if (request.getMethod() === "PATCH") starts.push(Number(request.getHeader("Upload-Offset")));
        },
        onProgress: (sent) => sent >= cutAt && uploading.abort().then(() => done(uploading.url), failed),
        onSuccess: () => done(uploading.url),
        onError: failed,
      });
      uploading.start();
    });
  const uploadUrl = cut && cut < member.size ? await settled(await once({ chunkSize: 2 * cut }, cut)) : null;
  await once(uploadUrl ? { uploadUrl } : { uploadDataDuringCreation: true }, Infinity);
  return starts;
}

// --- the hand-over ---------------------------------------------------------------------------------------------------
async function handOver() {
  const zip = await ask("GET", `/v1/authorities/${told.to}/registry`);
  const keys = encryptionKeys(checkedRegistry(zip, told.to, trust, Date.now()), sealing);
  const recipients = keys.map((key) => key.public);
  saw(checkpointOf(await answered(await fetch(`https://${trust.origin}/checkpoint`)), trust));

  const chain = randomId(32);
  const exchange = hex(hash("rogatory/exchange-id/v1\0", unhex(chain))).slice(0, 32);
  const parties = [told.authority, told.to].sort();
  await lodge("/v1/exchanges", say("act", chain, { event: "exchange.opened", detail: { parties } }));
  const packageId = randomId();
  const declared = { event: "package.declared", subject: { package: packageId }, detail: { recipients: [told.to], handling: "evidence" } };
  await lodge(`/v1/exchanges/${exchange}/packages`, say("act", chain, declared));

  const items = [];
  const lines = [];
  for (const path of told.evidence) {
    items.push(await seal(createReadStream(path), recipients));
    lines.push(await lineOf(path, items.at(-1).member.id));
  }
  const { text, commitment } = inventoryOf(packageId, lines);
  const inventory = await seal(Readable.from([Buffer.from(text)]), recipients);
  const starts = [];
  for (const item of [...items, inventory]) {
    await ask("PUT", `/v1/packages/${packageId}/headers/${item.member.header.sha256}`, item.header, "application/octet-stream");
    starts.push(await upload(packageId, item, told.cut));
  }
  const manifest = say("manifest", chain, {
    package: packageId, recipients: [{ authority: told.to, keys: keys.map((key) => key.id) }], sealing, handling: "evidence",
    retain_until: timeOf(new Date(Date.now() + 30 * 86_400_000)), inventory: inventory.member, inventory_commitment: commitment,
    items: items.map(({ member }) => member).sort((one, other) => (one.id < other.id ? -1 : 1)),
  });
  const record = await lodge(`/v1/packages/${packageId}/seal`, manifest);
  writeFileSync(join(told.work, "manifest.envelope"), manifest.envelope);
  for (const item of [...items, inventory]) unlinkSync(item.path);
  const status = JSON.parse(await ask("GET", `/v1/packages/${packageId}`));
  return { package: packageId, exchange, manifest: manifest.id, sealed: record.hash, state: status.state, starts };
}

console.log(JSON.stringify(await handOver()));
