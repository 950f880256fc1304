"""What vectors of time stamps are made with is right to those who know nothing of us: `openssl ts` accepts it."""

import subprocess

import pytest

from tests.reference_stamps import AT, Tsa, der_of

DATA = b"a cosigned checkpoint"


@pytest.mark.parametrize(("data", "told"), [(DATA, True), (DATA + b".", False)])
def test_openssl_accepts_a_stamp_of_the_reference_over_its_bytes_and_no_others(tmp_path, data, told):
    made = Tsa("one")
    (tmp_path / "reply").write_bytes(made.stamp(DATA))
    (tmp_path / "data").write_bytes(data)
    pem = ["openssl", "x509", "-inform", "DER", "-out", "root.pem"]
    subprocess.run(pem, cwd=tmp_path, input=der_of(made.root), capture_output=True, check=True)
    command = ["openssl", "ts", "-verify", "-data", "data", "-in", "reply", "-CAfile", "root.pem"]
    done = subprocess.run(
        [*command, "-attime", str(int(AT.timestamp()))], cwd=tmp_path, capture_output=True, check=False
    )
    assert (done.returncode == 0) is told, done.stderr
