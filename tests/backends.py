"""What a service under test keeps its rows and bodies in: SQLite and this disk, or PostgreSQL and a bucket.

Every test that starts a service runs on both. Those for which only one can be meant say so: `only(EMBEDDED)` where a
file of the state is looked at or spoilt by hand, `only(SERVERS)` where the server itself is what is tried.
"""

import secrets
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from storage.s3_address import S3Address
from tests.postgres import Database

EMBEDDED, SERVERS = KINDS = ("embedded", "servers")


@dataclass(frozen=True)
class Backend:
    """A database and a place in a store, of one service's own.

    Attributes:
        database: None where the service makes its SQLite file itself.
        store: None where it keeps bodies in its state directory.
        secrets: Environment with which processes reach the store.
    """

    database: Database | None = None
    store: S3Address | None = None
    secrets: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self):
        """What to set for `rogatory-server`."""
        named = {"ROGATORY_DATABASE": self.database and self.database.url, "ROGATORY_STORE": self.store}
        return self.secrets | {name: str(value) for name, value in named.items() if value is not None}

    @property
    def facts(self):
        """The same for `Settings`."""
        named = {"database": self.database and self.database.url, "store": self.store}
        return {name: value for name, value in named.items() if value is not None}


def only(kind):
    """Mark a test, or with `pytestmark` a module, for one kind of backend."""
    assert kind in KINDS
    return pytest.mark.parametrize("backend_kind", [kind], indirect=True, scope="session")


class Bucket:
    """One bucket of the session, and the environment in which boto3 finds its credentials."""

    def __init__(self, server):
        self.server, self.name = server, server.bucket()
        self.secrets = {"AWS_ACCESS_KEY_ID": server.access_key, "AWS_SECRET_ACCESS_KEY": server.secret_key}

    def place(self, endpoint=None):
        """A prefix that nobody else has."""
        return S3Address(self.name, secrets.token_hex(4), endpoint or self.server.endpoint)


@contextmanager
def backend(kind, request, *, endpoint=None):
    """A backend of this kind, from the session's servers, which are begun when they are first needed.

    Args:
        kind: One of `KINDS`.
        request: pytest's, of a fixture.
        endpoint: Way to the store, if it is another one than straight to the server.
    """
    if kind == EMBEDDED:
        yield Backend()
        return
    bucket = request.getfixturevalue("credentialed_bucket")
    database = request.getfixturevalue("postgres").database()
    try:
        yield Backend(database, bucket.place(endpoint), bucket.secrets)
    finally:
        database.drop()
