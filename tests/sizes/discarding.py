"""`rogatory-server` with a store that discards: of a body only its first bytes are kept, the rest is a hole.

So that sizes can be tried for which there is no disk. Digests, order of calls, files and their sizes are those of the
local store. Reading a body makes it again from its key and its plaintext, which was zeros: the party that sent it has put the
key down in the file that ROGATORY_TEST_KEYS names. Nothing of this is reachable in production code: it is done to classes here.
"""

import json
import os
import sys
from functools import lru_cache
from pathlib import Path
from threading import Lock

from app import main
from custody.sealing import CHUNK
from custody.sealing.stream import NONCE_SIZE, SEALED_CHUNK, ChunkCipher, plain_size
from storage.syscalls import Syscalls

KEYS = "ROGATORY_TEST_KEYS"
KEPT = 4096
_ZEROS = memoryview(bytes(CHUNK))


class Discarding:
    """Stands for the calls that touch the bytes of bodies."""

    def __init__(self, keys):
        self._keys, self._growing = keys, Lock()

    def perform(self, function, *arguments, **more):
        if function is os.pwrite and _name(arguments[0]) == "body":
            return self._write(*arguments)
        if function is os.pread:
            name = _name(arguments[0])
            if len(name) == 32 and arguments[2] + arguments[1] > KEPT:
                return self._read(name, *arguments)
        return function(*arguments, **more)

    def _write(self, fd, data, offset):
        if offset < KEPT:
            return os.pwrite(fd, data[:KEPT], offset)
        with self._growing:
            if os.fstat(fd).st_size < offset + len(data):
                os.ftruncate(fd, offset + len(data))
        return len(data)

    def _read(self, item, fd, count, offset):
        size = os.fstat(fd).st_size
        key = json.loads(self._keys.read_text()).get(item)
        if key is None or size <= KEPT:
            return os.pread(fd, count, offset)
        count = min(count, size - offset)
        return _made(bytes.fromhex(key), os.pread(fd, NONCE_SIZE, 0), size, offset, count)


def _made(key, nonce, size, offset, count):
    """So many bytes of the body of zeros that has this key and nonce."""
    cipher, plain = _cipher(key, nonce), plain_size(size)
    chunks = max(1, -(-plain // CHUNK))
    head = nonce[offset : offset + count] if offset < NONCE_SIZE else b""
    start, end = max(0, offset - NONCE_SIZE), offset + count - NONCE_SIZE
    first, after = start // SEALED_CHUNK, -(-end // SEALED_CHUNK)
    made, done = bytearray((after - first) * SEALED_CHUNK), 0
    for number in range(first, after):
        part = _ZEROS[: min(CHUNK, plain - number * CHUNK)]
        done += cipher.seal(number, part, memoryview(made)[done:], last=number == chunks - 1)
    begin = start - first * SEALED_CHUNK
    return head + made[begin : begin + count - len(head)]


@lru_cache(maxsize=8)
def _cipher(key, nonce):
    return ChunkCipher(key, nonce)


def _name(fd):
    return Path(f"/proc/self/fd/{fd}").readlink().name


if __name__ == "__main__":
    discarding = Discarding(Path(os.environ[KEYS]))
    Syscalls.perform = lambda _self, function, /, *arguments, **more: discarding.perform(function, *arguments, **more)
    main.cli(sys.argv[1:])
