// Where the work is done: in a worker, so that the page stays alive, or in the page where there can be none.

import { hex, Refusal } from "./bytes.js";
import { sourceOfFile } from "./container.js";
import { Sha256 } from "./hashes.js";
import { verify } from "./main.js";

const sources = (files) => files && new Map([...files].map(([name, file]) => [name, sourceOfFile(file)]));

/** SHA-256 of the archive, for the report to say which file it speaks of. */
async function digestOf(file) {
  const hash = new Sha256(), step = 16 * 2 ** 20;
  for (let at = 0; at < file.size; at += step) hash.update(new Uint8Array(await file.slice(at, at + step).arrayBuffer()));
  return hex(hash.finish());
}

/**
 * The report on what was handed over: `bundle` (a File, or [path, File] rows of a directory), `trust`, `since`, `before`,
 * `before_trust` (Files), `items` and `mirror` (rows), `allowWithheld`. What the reader brought and cannot be read gives {refused}.
 */
export async function run({ bundle, trust, since, before, before_trust: beforeTrust, items, mirror, allowWithheld }, tell) {
  const subtle = globalThis.crypto?.subtle;
  const one = (given) => (Array.isArray(given) ? sources(given) : sourceOfFile(given));
  try {
    const report = await verify(one(bundle), {
      trust: trust && new Uint8Array(await trust.arrayBuffer()),
      since: since && one(since),
      before: before && one(before),
      beforeTrust: beforeTrust && new Uint8Array(await beforeTrust.arrayBuffer()),
      items: sources(items),
      mirror: sources(mirror),
      allowWithheld,
      now: Date.now() * 1000,
      digest: subtle && ((algorithm, bytes) => subtle.digest(algorithm, bytes)),
      progress: tell,
    });
    return { report, sha256: Array.isArray(bundle) ? undefined : await digestOf(bundle) };
  } catch (error) {
    if (error instanceof Refusal) return { refused: { code: error.code, message: error.message } };
    if (error.name === "NotReadableError" || error.name === "NotFoundError") return { refused: { code: "file-changed", message: error.message } };
    throw error;
  }
}

/** Answer a worker's one message. */
export function serve(scope) {
  scope.onmessage = async ({ data }) => {
    try {
      scope.postMessage({ done: await run(data, (what, share) => scope.postMessage({ what, share })) });
    } catch (error) {
      scope.postMessage({ broken: String(error?.stack ?? error) });
    }
  };
}
