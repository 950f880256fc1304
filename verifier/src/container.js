// The container of a bundle (docs/spec/bundle.md): one ZIP of the narrow profile, or the files of a directory.
// What is read from is {size, read(start, end)} with a promise of bytes: a file of a page, of a disk, or bytes at hand.

import { fromUtf8, malformed } from "./bytes.js";
import { inflate } from "./inflate.js";

const NAME = /^[a-z0-9_-][a-z0-9._-]*(?:\/[a-z0-9_-][a-z0-9._-]*)*$/;
const FILES = 65534, DIRECTORY_FILES = 100000, BYTES = 2 ** 32;
const DATE = 0x0021;

const refuse = (what) => malformed("archive-malformed", what);

const CRC = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1;
  return n;
});

function crc32(bytes) {
  let found = -1;
  for (let n = 0; n < bytes.length; n++) found = CRC[(found ^ bytes[n]) & 255] ^ (found >>> 8);
  return ~found >>> 0;
}

/** Bytes at hand as something to read from. */
export const sourceOf = (bytes) => ({ size: bytes.length, read: async (start, end) => bytes.subarray(start, end) });

/** A file of a page as something to read from; nothing is read before it is asked for. */
export const sourceOfFile = (file) => ({
  size: file.size,
  name: file.name,
  read: async (start, end) => new Uint8Array(await file.slice(start, end).arrayBuffer()),
});

function checkName(name) {
  if (name.length > 255 || !NAME.test(name)) throw refuse(`a name that no bundle has: ${name.slice(0, 80)}`);
}

/** The files of a directory: {names, size(name), read(name), damaged}. */
export function openDirectory(files) {
  const names = [...files.keys()].sort();
  names.forEach(checkName);
  if (names.length > DIRECTORY_FILES) throw malformed("archive-too-large", "more files than a bundle has");
  const total = names.reduce((sum, name) => sum + files.get(name).size, 0);
  if (total > BYTES) throw malformed("archive-too-large", "more than 4 GiB");
  return {
    names,
    damaged: new Set(),
    size: (name) => files.get(name).size,
    read: (name) => files.get(name).read(0, files.get(name).size),
  };
}

/** Numbers of a header by their widths in bytes, little-endian. */
function fields(bytes, ...widths) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let at = 0;
  return widths.map((width) => {
    at += width;
    return width === 2 ? view.getUint16(at - 2, true) : view.getUint32(at - 4, true);
  });
}

/** The rows of the central directory, each field of the profile checked. */
function readCentral(central, count) {
  const rows = [];
  let at = 0;
  for (let n = 0; n < count; n++) {
    const head = central.subarray(at, at + 46);
    if (head.length < 46) throw refuse("a central directory that is cut");
    const [mark, made, needed, flags, method, time, date, crc, packed, size, length, ...rest] = fields(head, 4, 2, 2, 2, 2, 2, 2, 4, 4, 4, 2, 2, 2, 2, 2, 4, 4);
    const offset = rest.pop();
    const plain = mark === 0x02014b50 && made === 20 && needed === 20 && !flags && (method === 0 || method === 8);
    if (!plain || time || date !== DATE || rest.some((value) => value)) throw refuse("a central header outside the profile");
    const name = central.subarray(at + 46, at + 46 + length);
    if (name.length < length) throw refuse("a central directory that is cut");
    rows.push({ name: fromUtf8(name, "archive-malformed"), method, crc, packed, size, offset });
    at += 46 + length;
  }
  if (at !== central.length) throw refuse("bytes after the central directory");
  return rows;
}

/** The local header of a row must say the same as the central one, right after the file before. */
async function checkLocal(source, row, at) {
  const head = await source.read(at, at + 30 + row.name.length);
  if (row.offset !== at || head.length < 30 + row.name.length) throw refuse("a file that is not where it should be");
  const [mark, needed, flags, method, time, date, crc, packed, size, length, extra] = fields(head, 4, 2, 2, 2, 2, 2, 4, 4, 4, 2, 2);
  const plain = mark === 0x04034b50 && needed === 20 && !flags && !time && date === DATE && !extra;
  const alike = method === row.method && crc === row.crc && packed === row.packed && size === row.size && length === row.name.length;
  if (!plain || !alike || fromUtf8(head.subarray(30), "archive-malformed") !== row.name) throw refuse("a local header that differs from the central one");
  return at + 30 + length + packed;
}

function checkBounds(rows, archive) {
  const names = rows.map(({ name }) => name);
  names.forEach(checkName);
  if (new Set(names).size !== names.length) throw refuse("a name twice");
  let unpacked = 0;
  for (const { method, packed, size } of rows) {
    if (method === 0 ? packed !== size : size > 200 * packed) throw refuse("a size that its data cannot have");
    if (method === 8) unpacked += size;
  }
  if (unpacked > Math.max(8 * archive, 24 * 2 ** 20)) throw malformed("archive-too-large", "inflates to more than allowed");
}

/** A ZIP of the profile: {names, size(name), read(name), damaged}. */
export async function openArchive(source) {
  const end = source.size - 22;
  if (end < 0 || source.size >= BYTES) throw refuse("not an archive of the profile");
  const [mark, disk, start, here, count, length, offset, comment] = fields(await source.read(end, source.size), 4, 2, 2, 2, 2, 4, 4, 2);
  if (mark !== 0x06054b50 || disk || start || here !== count || comment || offset + length !== end) throw refuse("no end record of the profile");
  if (count > FILES) throw refuse("too many files");
  const rows = readCentral(await source.read(offset, end), count);
  checkBounds(rows, source.size);
  let at = 0;
  for (const row of rows) at = await checkLocal(source, row, at);
  if (at !== offset) throw refuse("a gap before the central directory");
  const known = new Map(rows.map((row) => [row.name, row]));
  const damaged = new Set();
  const read = async (name) => {
    const { method, packed, size, crc, offset: place } = known.get(name);
    const first = place + 30 + name.length, data = await source.read(first, first + packed);
    const found = method === 8 ? inflate(data, size) : data;
    if (crc32(found) !== crc) damaged.add(name);
    return found;
  };
  return { names: [...known.keys()].sort(), damaged, size: (name) => known.get(name).size, read };
}
