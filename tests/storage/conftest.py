"""What the tests of stores share: a store on the session's real S3 server of its own for each test."""

import secrets

import pytest

from storage.s3 import S3Store
from storage.s3_address import S3Address
from storage.s3_client import Limits

LIMITS = Limits(connect=5, read=20, attempts=2)


@pytest.fixture(scope="session")
def bucket(seaweed):
    return seaweed.bucket()


@pytest.fixture
def s3_store(seaweed, bucket):
    """A store under a prefix that nobody else has."""
    return S3Store(S3Address(bucket, secrets.token_hex(4), seaweed.endpoint), limits=LIMITS, session=seaweed.session)
