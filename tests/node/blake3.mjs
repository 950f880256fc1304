// BLAKE3 of standard input in hex, for where there is no b3sum.
import { blake3 } from "@noble/hashes/blake3.js";

const hash = blake3.create({});
for await (const piece of process.stdin) hash.update(piece);
console.log(Buffer.from(hash.digest()).toString("hex"));
