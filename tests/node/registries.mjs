// What registry.mjs says of registries: reads a JSON list of {zip, authority, trust} and writes, for each, the ids of the live
// encryption keys it found, or why it refused.
import { checkedRegistry, encryptionKeys } from "./registry.mjs";
import { Refused } from "./log.mjs";

let input = "";
for await (const piece of process.stdin) input += piece;
const results = JSON.parse(input).map(({ zip, authority, trust }) => {
  try {
    const registry = checkedRegistry(Buffer.from(zip, "base64"), authority, trust, Date.now());
    return encryptionKeys(registry, "mlkem768x25519").map((key) => key.id);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return { refused: error.message };
  }
});
process.stdout.write(JSON.stringify(results));
