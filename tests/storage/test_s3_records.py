"""What an S3 store writes down in names: every name is read as it was written, later pieces lie over earlier ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.interface import StoreUnavailable, Truncated, UploadNotFound
from storage.s3_address import S3Address
from storage.s3_records import Record, Token, broken_name, covering, next_turn, part_name, piece_name
from tests.storage.contract import KEY

PARTS = st.integers(1, 10_000)
TURNS = st.integers(1, 99_999_999)
SIZES = st.integers(0, 2**32)
DIGESTS = st.binary(min_size=32, max_size=32)
ETAGS = st.from_regex(r"[0-9a-f]{32}(-[0-9]{1,5})?", fullmatch=True)


@given(upload=st.text(min_size=1, max_size=150).filter(lambda text: text.isprintable()), size=st.integers(0, 2**32))
def test_a_token_is_read_as_it_was_written(upload, size):
    token = Token(KEY, size, upload)
    assert Token.parse(str(token)) == token


@given(st.text(max_size=80))
def test_whatever_is_no_token_names_no_upload(text):
    try:
        found = Token.parse(text)
    except UploadNotFound:
        return
    assert Token.parse(str(found)) == found


@pytest.mark.parametrize("text", ["a~1~/w", "a~1~wA=", "a~01~QQ", "a~1~", "~1~QQ", "a~1~_w", "a~x~QQ", "a~1~QQ~QQ"])
def test_a_damaged_token_names_no_upload(text):
    with pytest.raises(UploadNotFound):
        Token.parse(text)


@given(part=PARTS, turn=TURNS, offset=SIZES, size=SIZES)
def test_a_piece_is_read_as_it_was_written(part, turn, offset, size):
    name = piece_name(part, turn, offset=offset, size=size)
    assert Record.parse(name) == Record(name, part, turn, "piece", offset=offset, size=size)


@given(st.tuples(PARTS, TURNS, SIZES, DIGESTS, ETAGS), st.sampled_from(["whole", "folded"]))
def test_a_part_is_read_as_it_was_written(facts, kind):
    part, turn, size, digest, etag = facts
    name = part_name(part, turn, kind, size=size, sha256=digest, etag=f'"{etag}"')
    found = Record.parse(name)
    assert found == Record(name, part, turn, kind, size=size, sha256=digest, etag=etag)
    assert found.counts


@given(part=PARTS, turn=TURNS)
def test_a_broken_part_is_read_as_it_was_written_and_does_not_count(part, turn):
    name = broken_name(part, turn)
    found = Record.parse(name)
    assert found == Record(name, part, turn, "broken")
    assert not found.counts


@pytest.mark.parametrize("name", ["begun", "", "00001", "00001/x", "00001/00000001-00000000.piece.1", "1/2-3.broken\n"])
def test_other_names_are_no_records(name):
    assert Record.parse(name) is None


@pytest.mark.parametrize("etag", ["", '""', "a/b", "a" * 101, "a\n"])
def test_an_etag_that_does_not_fit_into_a_name_is_refused(etag):
    with pytest.raises(StoreUnavailable):
        part_name(1, 1, "whole", size=1, sha256=bytes(32), etag=etag)


def placed(turn, offset, size):
    return Record.parse(piece_name(1, turn, offset=offset, size=size))


@given(
    pieces=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=8),
    size=st.integers(1, 40),
    break_at=st.one_of(st.none(), st.integers(0, 7)),
)
def test_what_covers_a_part_is_what_painting_it_piece_by_piece_gives(pieces, size, break_at):
    records, canvas = [], [None] * 100
    for turn, (offset, length) in enumerate(pieces):
        if turn == break_at:
            records.append(Record.parse(broken_name(1, 2 * turn + 1)))
            canvas = [None] * 100
        records.append(placed(2 * turn + 2, offset, length))
        canvas[offset : offset + length] = [(records[-1], at) for at in range(length)]
    records.reverse()
    expected = canvas[:size]
    if None in expected:
        with pytest.raises(Truncated):
            covering(records, size)
    else:
        cuts = covering(records, size)
        assert [(c.piece, c.start + at) for c in cuts for at in range(c.length)] == expected


def test_a_turn_is_later_than_all_that_were_seen():
    assert next_turn([]) == 1
    assert next_turn([placed(7, 0, 1), placed(3, 0, 1)]) == 8


@given(
    st.builds(
        S3Address,
        st.from_regex(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", fullmatch=True),
        st.from_regex(r"([a-z0-9][a-z0-9._-]{0,9}(/[a-z0-9][a-z0-9._-]{0,9}){0,3})?", fullmatch=True),
        st.sampled_from(
            ["", "https://s3.example", "https://s3.example:9000", "http://127.0.0.1:8333", "http://[::1]:1"]
        ),
        st.sampled_from(["", "eu-central-1", "x"]),
    )
)
def test_an_address_is_read_as_it_was_written(address):
    assert S3Address.parse(str(address)) == address
