"""The main job through the SDK against the real service: send, receive, answer, grant, prove."""

import hashlib
import os
import subprocess

import pytest

from custody.verify import verify_bundle
from rogatory.receive import Received


@pytest.fixture
def evidence(tmp_path):
    root = tmp_path / "seizure"
    (root / "Documents" / "empty").mkdir(parents=True)
    (root / "Documents" / "letter.txt").write_bytes(b"Dear colleague")
    (root / "Documents" / "nothing").write_bytes(b"")
    with open(os.fsencode(root) + b"/\xff odd\nname", "wb") as file:
        file.write(b"odd")
    os.symlink("Documents/letter.txt", root / "shortcut")
    os.symlink("../../outside", root / "way-out")
    image = tmp_path / "disk.dd"
    image.write_bytes(os.urandom(17 * 1024 * 1024 + 4321))
    return [root, image]


def test_what_was_sent_is_what_is_received_accepted_and_proven(police, court, exchange, terms, evidence, tmp_path):
    steps = []
    sent = police.send(exchange, evidence, to=["court.fr"], terms=terms, progress=steps.append)
    assert steps[-1].done == steps[-1].size
    assert [row["id"] for row in court.inbox()] == [sent.package]
    received = court.receive(sent.package, tmp_path / "in", unpack=True, keep_sealed=True)
    assert (tmp_path / "in" / "evidence" / "disk.dd").read_bytes() == evidence[1].read_bytes()
    assert (tmp_path / "in" / "evidence" / "seizure" / "Documents" / "letter.txt").read_bytes() == b"Dear colleague"
    subprocess.run(["sha256sum", "-c", "--strict", "--quiet", "SHA256SUMS"], cwd=tmp_path / "in", check=True)
    assert not (tmp_path / "in" / ".partial").exists()
    assert [name for name, _ in received.skipped] == ["seizure/way-out"]
    assert Received.load(tmp_path / "in") == received
    court.accept(Received.load(tmp_path / "in"))
    assert court.inbox() == []
    court.bundle(exchange, tmp_path / "bundle.zip")
    report = verify_bundle(tmp_path / "bundle.zip", court.trust)
    assert report.exit_code == 0, report
