"""A witness cosigns one history of a log, asked and answering in the bytes of C2SP tlog-witness."""

from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody import witness
from custody.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from custody.errors import CustodyError
from custody.note import KeyType, SignerKey, add_signatures, open_note
from custody.witness import AddCheckpoint, Remembered, RequestMalformed
from tests import reference

ORIGIN = "evidence.example.org/log"
LOG = [SignerKey.generate(ORIGIN, KeyType.ED25519), SignerKey.generate(ORIGIN, KeyType.COSIGN_MLDSA44)]
LOG_KEYS = tuple(signer.verifier for signer in LOG)
KINDS = (KeyType.COSIGN_ED25519, KeyType.COSIGN_MLDSA44)
SIGNERS = [SignerKey.generate("lyon.example/witness", kind) for kind in KINDS]
LEAVES = [bytes([number]) * 40 for number in range(40)]
FOLLOWED = {ORIGIN: LOG_KEYS}
TIME = 1_800_000_000


def checkpoint(size, leaves=LEAVES, origin=ORIGIN):
    return Checkpoint(origin, size, reference.mth(leaves[:size]))


def note(size, leaves=LEAVES, signers=LOG):
    return sign_checkpoint(checkpoint(size, leaves), signers, TIME)


def path(old, new, leaves=LEAVES):
    if not 0 < old <= new:
        return ()
    return tuple(reference.proof(old, leaves[:new]))


def request(old, new, leaves=LEAVES):
    return AddCheckpoint(old, path(old, new, leaves), note(new, leaves))


def ask(wanted, held=None, *, signers=SIGNERS, logs=FOLLOWED):
    return witness.cosign(wanted, logs=logs, held=held, signers=signers, time=TIME)


def held(size, leaves=LEAVES):
    return ask(request(0, size, leaves))[0]


def test_the_example_of_the_specification_is_read_and_written_back():
    head = b"old 20852014\nPlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\njrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=\n"
    head += b"5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=\n/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=\n\n"
    text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    line = (
        "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zy"
    )
    data = head + f"{text}{line}WE+xeMcTOAYQ8=\n".encode()
    read = AddCheckpoint.parse(data)
    assert (read.old, len(read.proof)) == (20852014, 4)
    assert read.note.startswith(b"example.com/behind-the-sofa\n20852163\n")
    assert read.encode() == data


@given(old=st.integers(0, 2**63 - 1), proof=st.lists(st.binary(min_size=32, max_size=32), max_size=63))
def test_a_request_is_read_back_as_it_was_written(old, proof):
    made = AddCheckpoint(old, tuple(proof), note(3))
    assert AddCheckpoint.parse(made.encode()) == made


@given(data=st.one_of(st.binary(max_size=300), st.binary(max_size=80).map(lambda head: b"old 0\n" + head + note(3))))
def test_whatever_is_read_is_written_back_or_malformed(data):
    try:
        read = AddCheckpoint.parse(data)
    except RequestMalformed:
        return
    assert read.encode() == data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"old 00\n\n" + note(3),
        b"old +1\n\n" + note(3),
        b"old 1\n" + note(3),
        b"new 0\n\n" + note(3),
        b"old 0\nAAAA\n\n" + note(3),
        b"old 0\r\n\n" + note(3),
        b"old 0\n\n" + note(3).replace(b"\n3\n", b"\nthree\n"),
        b"old 0\n\n" + note(3)[:-1],
        b"old 1\n" + b"A" * 43 + b"=\n" * 64 + b"\n" + note(3),
        b"old 1\n" + (b"A" * 43 + b"=\n") * 64 + b"\n" + note(3),
        b"old 0\n\n" + note(3) + b"\n" * witness.MAX_REQUEST,
    ],
)
def test_what_is_no_request_is_malformed(data):
    with pytest.raises(RequestMalformed):
        AddCheckpoint.parse(data)


@pytest.mark.parametrize("proof", [(bytes(31),), (bytes(32),) * 64])
def test_no_request_is_written_that_could_not_be_read(proof):
    with pytest.raises(RequestMalformed):
        AddCheckpoint(1, proof, note(3)).encode()


@given(first=st.integers(0, 40), more=st.integers(0, 40))
def test_every_continuation_is_cosigned_by_every_key(first, more):
    second = min(40, first + more)
    memory, _ = ask(request(0, first))
    memory, lines = ask(request(first, second), memory)
    assert memory.checkpoint == checkpoint(second)
    assert Remembered.parse(memory.note) == memory
    keys = [signer.verifier for signer in SIGNERS]
    _, opened = open_checkpoint(memory.note, origin=ORIGIN, log=LOG_KEYS, witnesses=keys)
    assert [found.time for found in opened.signatures if found.verifier in keys] == [TIME, TIME]
    answered = witness.read_answer(lines, text=opened.text, keys=keys)
    assert {key: time for key, (_, time) in answered.items()} == dict.fromkeys(keys, TIME)


REFUSED = {
    "a log not followed": (request(0, 5), None, {"other.example/log": LOG_KEYS}, 404),
    "a key of the log did not sign": (replace(request(0, 5), note=note(5, signers=LOG[:1])), None, FOLLOWED, 403),
    "a signature of another text": (
        replace(request(0, 5), note=note(5).replace(b"\n5\n", b"\n6\n")),
        None,
        FOLLOWED,
        403,
    ),
    "old beyond": (AddCheckpoint(6, (), note(5)), held(6), FOLLOWED, 400),
    "old not known here": (request(4, 5), None, FOLLOWED, 409),
    "old smaller than known": (request(3, 9), held(5), FOLLOWED, 409),
    "old 0, and one is known": (request(0, 9), held(5), FOLLOWED, 409),
    "smaller than known": (request(3, 4), held(5), FOLLOWED, 409),
    "old 0 with hashes": (AddCheckpoint(0, (bytes(32),), note(5)), None, FOLLOWED, 422),
    "size 0 with a root": (
        AddCheckpoint(0, (), sign_checkpoint(Checkpoint(ORIGIN, 0, bytes(32)), LOG, TIME)),
        None,
        FOLLOWED,
        422,
    ),
    "another root of one size": (request(5, 5, [b"x", *LEAVES]), held(5), FOLLOWED, 422),
    "hashes to the same size": (AddCheckpoint(5, (bytes(32),), note(5)), held(5), FOLLOWED, 422),
    "another past": (request(5, 9, [b"x", *LEAVES]), held(5), FOLLOWED, 422),
    "a hash too few": (replace(request(5, 9), proof=path(5, 9)[:-1]), held(5), FOLLOWED, 422),
    "a hash too many": (replace(request(5, 9), proof=(*path(5, 9), bytes(32))), held(5), FOLLOWED, 422),
}


@pytest.mark.parametrize("name", REFUSED)
def test_everything_else_is_refused_with_its_status(name):
    wanted, memory, logs, status = REFUSED[name]
    with pytest.raises(witness.WitnessRefusal) as refused:
        ask(wanted, memory, logs=logs)
    assert refused.value.status == status
    if status == 409:
        assert refused.value.size == (memory.checkpoint.size if memory else 0)


def test_the_first_check_that_fails_is_the_answer():
    """Unknown origin before signature, signature before old size, old beyond before old differs, that before proof."""
    bad = replace(AddCheckpoint(9, (bytes(32),), note(5)), note=note(5, signers=LOG[:1]))
    for wanted, logs, status in (
        (bad, {}, 404),
        (bad, FOLLOWED, 403),
        (replace(bad, note=note(5)), FOLLOWED, 400),
        (replace(bad, note=note(5), old=4), FOLLOWED, 409),
        (replace(bad, note=note(5), old=3), FOLLOWED, 422),
    ):
        with pytest.raises(witness.WitnessRefusal) as refused:
            ask(wanted, held(3), logs=logs)
        assert refused.value.status == status


def test_two_roots_of_one_size_come_back_as_proof_for_anybody():
    with pytest.raises(witness.NotContinued) as refused:
        ask(request(5, 5, [b"x", *LEAVES]), held(5))
    opened = [open_checkpoint(each, origin=ORIGIN, log=LOG_KEYS)[0] for each in refused.value.fork]
    assert opened[0].size == opened[1].size == 5
    assert opened[0].root != opened[1].root


def test_a_wrong_proof_alone_is_no_proof_against_the_log():
    with pytest.raises(witness.NotContinued) as refused:
        ask(replace(request(5, 9), proof=()), held(5))
    assert refused.value.fork is None


def test_signatures_of_strangers_are_not_remembered():
    stranger = SignerKey.generate("stranger.example", KeyType.ED25519)
    wanted = request(0, 5)
    wanted = replace(wanted, note=add_signatures(wanted.note, [stranger.sign(checkpoint(5).text())]))
    memory, _ = ask(wanted)
    with pytest.raises(CustodyError):
        open_note(memory.note, [stranger.verifier])


def test_an_answer_with_a_wrong_line_of_a_known_key_is_refused():
    _, lines = ask(request(0, 5))
    keys = [signer.verifier for signer in SIGNERS]
    for text in (checkpoint(6).text(), checkpoint(5).text().replace("evidence", "evidenza")):
        with pytest.raises(CustodyError):
            witness.read_answer(lines, text=text, keys=keys)
    with pytest.raises(CustodyError):
        witness.read_answer(lines, text=checkpoint(5).text(), keys=[SignerKey.generate("b", KINDS[0]).verifier])
    with pytest.raises(CustodyError):
        witness.read_answer(b"\xff", text=checkpoint(5).text(), keys=keys)


def test_cosignatures_are_added_once_for_each_key():
    _, lines = ask(request(0, 5))
    added = lines.decode().splitlines()
    whole = witness.merged(note(5), added)
    assert witness.merged(whole, added) == whole
    assert len(witness.cosignatures(whole, [signer.verifier for signer in SIGNERS])) == 2


def test_a_log_that_nothing_has_entered_is_cosigned_too():
    memory, _ = ask(request(0, 0))
    assert memory.checkpoint.root == sha256(b"").digest()
    assert ask(request(0, 7), memory)[0].checkpoint.size == 7
