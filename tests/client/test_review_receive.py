"""A receive that stops while its result gets its names."""

from pathlib import Path

import pytest
from rogatory.receive import TargetTaken

FILES = {"evidence", "SHA256SUMS", "inventory.jsonl", "manifest.json", "received.json"}


class Crash(BaseException):
    """The process is gone."""


@pytest.fixture
def send(police, court, exchange, terms, tmp_path):
    """Sends a note; whatever is left unanswered by the test is rejected, as others look at the same inbox."""
    path = tmp_path / "note.txt"
    path.write_bytes(b"what was found")
    yield lambda: police.send(exchange, [path], to=["court.fr"], terms=terms).package
    for row in court.inbox():
        court.reject(court.look(row["id"]), reason="cannot_open")


def stop_at(monkeypatch, name):
    rename = Path.rename

    def stopping(path, target):
        if path.name == name:
            raise Crash
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", stopping)


@pytest.mark.parametrize("name", ["evidence", "SHA256SUMS", "manifest.json", "received.json"])
def test_a_receive_goes_on_where_its_publication_stopped(court, send, tmp_path, monkeypatch, name):
    package = send()
    with monkeypatch.context() as patch:
        stop_at(patch, name)
        with pytest.raises(Crash):
            court.receive(package, tmp_path / "in")
    received = court.receive(package, tmp_path / "in")
    assert received.complete
    assert {path.name for path in (tmp_path / "in").iterdir()} == FILES
    assert (tmp_path / "in" / "evidence" / "note.txt").read_bytes() == b"what was found"


def test_what_was_half_published_is_of_its_package_alone(court, send, tmp_path, monkeypatch):
    package = send()
    with monkeypatch.context() as patch:
        stop_at(patch, "manifest.json")
        with pytest.raises(Crash):
            court.receive(package, tmp_path / "in")
    with pytest.raises(TargetTaken):
        court.receive(send(), tmp_path / "in")
