"""What a bucket does is tried, not asked for: a good one passes whole, every shortcoming has its finding."""

import secrets
import time
from datetime import timedelta

import pytest

from storage.interface import StoreUnavailable
from storage.s3_address import S3Address
from storage.s3_client import Limits
from storage.s3_probe import _OTHER, probe
from tests.storage import liar

NAMES = [
    "versioning",
    "default-retention",
    "checksum",
    "conditional-create",
    "range",
    "part-checksum",
    "multipart",
    "conditional-completion",
    "lock",
    "lock-lengthens-only",
    "lock-forbids-deletion",
]
LIMITS = Limits(connect=1, read=5, attempts=1)


@pytest.fixture
def line(seaweed):
    with liar.lying(seaweed.endpoint) as found:
        yield found


@pytest.fixture
def findings(seaweed, bucket, line):
    """What a probe by way of the proxy finds."""
    prefix = secrets.token_hex(4)

    def run():
        found = probe(S3Address(bucket, prefix, line.endpoint), limits=LIMITS, session=seaweed.session)
        assert [each.name for each in found] == NAMES
        return {each.name for each in found if not each.holds}

    return run


def second(method, ending):
    """Takes every request but the first of a kind."""
    seen = []

    def takes(found, path):
        if found != method or not path.endswith(ending):
            return False
        seen.append(path)
        return len(seen) > 1

    return takes


def remains(seaweed, bucket, prefix):
    client = seaweed.client()
    found = client.list_object_versions(Bucket=bucket, Prefix=f"{prefix}/")
    uploads = client.list_multipart_uploads(Bucket=bucket, Prefix=f"{prefix}/")
    client.close()
    return [*found.get("Versions", ()), *found.get("DeleteMarkers", ()), *uploads.get("Uploads", ())]


def test_a_good_bucket_has_every_property(seaweed, bucket, findings):
    assert findings() == set()


def test_the_next_probe_removes_what_the_last_had_to_leave_locked(seaweed, bucket):
    address = S3Address(bucket, secrets.token_hex(4), seaweed.endpoint)
    probe(address, limits=LIMITS, session=seaweed.session, span=timedelta(seconds=2))
    left = {each["Key"] for each in remains(seaweed, bucket, address.prefix)}
    assert {key.rpartition("/")[2] for key in left} == {"lock", "shorter", "deletion"}
    time.sleep(4)
    probe(address, limits=LIMITS, session=seaweed.session)
    assert left & {each["Key"] for each in remains(seaweed, bucket, address.prefix)} == set()


def test_a_bucket_without_versions_and_locks_is_found_out(seaweed):
    address = S3Address(seaweed.bucket(lock=False), "", seaweed.endpoint)
    found = {each.name for each in probe(address, limits=LIMITS, session=seaweed.session) if not each.holds}
    assert found == {"versioning", "lock", "lock-lengthens-only", "lock-forbids-deletion"}


def test_a_bucket_that_is_not_there_is_unavailable(seaweed):
    address = S3Address(f"absent-{secrets.token_hex(4)}", "", seaweed.endpoint)
    with pytest.raises(StoreUnavailable):
        probe(address, limits=LIMITS, session=seaweed.session)


@pytest.mark.parametrize(
    ("takes", "lie", "found"),
    [
        (second("PUT", "/taken"), {"before": liar.kept(_OTHER)}, {"conditional-create"}),
        (
            lambda m, p: liar.completion(m, p) and "/completion" in p,
            {"before": liar.completed},
            {"conditional-completion"},
        ),
        (lambda m, p: m == "GET" and "/range" in p, {"after": liar.flipped}, {"range"}),
        (lambda m, p: m == "GET" and "/multipart" in p, {"after": liar.flipped}, {"multipart"}),
        (lambda m, p: m == "PUT" and p.endswith("/checksum-wrong"), {"before": liar.empty_success}, {"checksum"}),
        (lambda m, p: m == "PUT" and "/part?" in p, {"before": liar.empty_success}, {"part-checksum"}),
        (liar.retention, {"before": liar.empty_success}, {"lock", "lock-lengthens-only", "lock-forbids-deletion"}),
        (
            lambda m, p: m == "HEAD" and "/multipart" in p,
            {"after": liar.telling(x_amz_checksum_sha256=None)},
            {"multipart"},
        ),
        (
            lambda m, p: m == "HEAD" and "/default" in p,
            {
                "after": liar.telling(
                    x_amz_object_lock_mode="COMPLIANCE", x_amz_object_lock_retain_until_date="2099-01-01T00:00:00Z"
                )
            },
            {"default-retention"},
        ),
        (lambda m, p: m == "GET" and "/deletion" in p, {"before": liar.absent}, {"lock-forbids-deletion"}),
        (lambda m, p: m == "GET" and "/versioning" in p, {"before": liar.absent}, {"versioning"}),
    ],
)
def test_a_property_that_is_only_claimed_is_found_out(line, findings, takes, lie, found):
    line.inject(takes, **lie)
    assert findings() == found
