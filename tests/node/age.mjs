// An independent age: reads a JSON list of jobs from standard input, writes the list of their results.
// Bytes are base64. A job that fails gives {"error": message}; it never ends the list.
import { Decrypter, Encrypter, generateHybridIdentity, generateX25519Identity, identityToRecipient } from "age-encryption";

const bytes = (text) => new Uint8Array(Buffer.from(text, "base64"));
const text = (data) => Buffer.from(data).toString("base64");

const jobs = {
  async generate({ kind }) {
    return kind === "x25519" ? generateX25519Identity() : generateHybridIdentity();
  },
  async recipient({ identity }) {
    return identityToRecipient(identity);
  },
  async seal({ plain, recipients }) {
    const encrypter = new Encrypter();
    for (const recipient of recipients) encrypter.addRecipient(recipient);
    return text(await encrypter.encrypt(bytes(plain)));
  },
  async open({ file, identity }) {
    const decrypter = new Decrypter();
    decrypter.addIdentity(identity);
    return text(await decrypter.decrypt(bytes(file)));
  },
};

let input = "";
for await (const piece of process.stdin) input += piece;
const results = [];
for (const job of JSON.parse(input)) {
  try {
    results.push(await jobs[job.do](job));
  } catch (error) {
    results.push({ error: String(error) });
  }
}
process.stdout.write(JSON.stringify(results));
