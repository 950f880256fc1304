"""The operator's commands on a bucket: a good one is taken, one that only claims its properties is named."""

import secrets

import pytest

from app import main
from app.main import options
from storage.s3_address import S3Address


@pytest.fixture
def check(seaweed, tmp_path, monkeypatch, capsys):
    """`check-config` on a bucket, after `init` if it is wanted: exit code, what was said, what was wrong."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", seaweed.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", seaweed.secret_key)
    monkeypatch.setenv("ROGATORY_STATE", str(tmp_path / "var"))

    def run(bucket, command="check-config"):
        monkeypatch.setenv("ROGATORY_STORE", str(S3Address(bucket, secrets.token_hex(4), seaweed.endpoint)))
        with pytest.raises(SystemExit) as ended:
            main.cli([command])
        said = capsys.readouterr()
        return ended.value.code, said.out, said.err

    return run


def test_a_good_bucket_is_well_before_and_after_the_state_is_made(check, seaweed):
    bucket = seaweed.bucket()
    assert check(bucket)[::2] == (options.OK, "")
    assert check(bucket, "init")[0] == options.OK
    code, said, wrong = check(bucket)
    assert (code, wrong) == (options.OK, "")
    assert f"store       s3://{bucket}/" in said


def test_a_bucket_without_versions_and_locks_is_refused_by_name(check, seaweed):
    code, _, wrong = check(seaweed.bucket(lock=False))
    assert code == options.USAGE
    for name in ("versioning", "lock", "lock-lengthens-only", "lock-forbids-deletion"):
        assert f"the bucket, {name}: " in wrong


def test_a_bucket_that_is_not_there_is_something_that_does_not_answer(check):
    code, _, wrong = check(f"absent-{secrets.token_hex(4)}")
    assert code == options.TEMPORARY
    assert "there is no bucket" in wrong
