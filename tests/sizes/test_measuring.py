"""The measuring itself: a process that holds on to what passes by is noticed, and the store that discards tells no lie."""

import subprocess
import sys

import pytest

from custody.sealing import BodySealer
from tests.sizes.discarding import _made
from tests.sizes.measured import peak


def test_a_process_that_held_memory_once_is_found_out_though_it_let_go():
    program = "held = bytearray(96 * 2**20); del held; print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        assert peak(process.pid) > 96 * 2**20
        process.communicate(b"\n")


@pytest.mark.parametrize("plain", [1, 65_535, 65_536, 65_537, 300_000])
def test_a_discarded_body_is_made_again_byte_for_byte(plain):
    key, nonce = b"k" * 16, b"n" * 16
    sealer = BodySealer(key, nonce)
    body = sealer.update(bytes(plain)) + sealer.finish()
    cuts = sorted({0, 1, 15, 16, 17, 65_567, 65_568, 65_569, 131_120, len(body) - 1, len(body)} - {None})
    for start in cuts:
        for end in cuts:
            if start < end <= len(body):
                assert _made(key, nonce, len(body), start, end - start) == body[start:end]
