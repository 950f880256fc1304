// The community's age vectors as one JSON object: name to base64 of the vector file.
import * as vectors from "cctv-age";

const files = vectors.default ?? vectors;
process.stdout.write(
  JSON.stringify(Object.fromEntries(Object.entries(files).map(([name, data]) => [name, Buffer.from(data).toString("base64")]))),
);
