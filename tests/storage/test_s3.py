import time
from datetime import UTC, datetime, timedelta

import pytest

from storage.s3 import S3Store
from storage.s3_client import Limits
from tests.storage.contract import StoreContract

MIB = 1024 * 1024
LIMITS = Limits(connect=5, read=20, attempts=2)


class TestS3(StoreContract):
    part_size = 5 * MIB
    lock_span = timedelta(seconds=2)

    @pytest.fixture
    def store(self, s3_store):
        return s3_store

    def reopen(self, store):
        return S3Store(store.address, limits=LIMITS, session=store.session)

    def now(self):
        return datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=1)

    def wait_until(self, time_):
        time.sleep(max(0.0, (time_ - datetime.now(UTC)).total_seconds()) + 0.1)
