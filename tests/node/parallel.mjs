// One file in several partial uploads at once, by tus-js-client as it comes: it cuts wherever it likes.
//
//   node parallel.mjs FILE ENDPOINT TOKEN PARTS
//
// It prints one JSON object: the address of the final upload, and how often each method was used.
import { createReadStream } from "node:fs";
import * as tus from "tus-js-client";

const [path, endpoint, token, parts] = process.argv.slice(2);
const asked = {};
const upload = new tus.Upload(createReadStream(path), {
  endpoint,
  parallelUploads: Number(parts),
  chunkSize: 1_000_003,
  retryDelays: [0, 500, 1000],
  metadata: { filename: "a-name-that-is-nobody-s-business" },
  headers: { Authorization: `Bearer ${token}` },
  onBeforeRequest: (request) => {
    asked[request.getMethod()] = (asked[request.getMethod()] ?? 0) + 1;
  },
  onError: (error) => {
    console.error(String(error));
    process.exitCode = 1;
  },
  onSuccess: () => console.log(JSON.stringify({ url: upload.url, asked })),
});
upload.start();
