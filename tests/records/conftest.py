"""Databases with a log and nothing before them, as in the tests of the service."""

from tests.app.conftest import database, postgres_database, world

__all__ = ["database", "postgres_database", "world"]
