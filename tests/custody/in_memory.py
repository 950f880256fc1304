"""Verify bundles that lie in memory: as `verify_bundle` does, without a disk between."""

import re

import custody.verify
from custody import bundle


class MemoryArchive:
    """The files of a bundle as a container."""

    def __init__(self, files):
        self._files, self.names, self.damaged = files, sorted(files), set()

    def size(self, name):
        return len(self._files[name])

    def read(self, name):
        return self._files[name]

    def close(self):
        pass


def verify_files(files, trust, **options):
    """The report on files: name → bytes."""
    opener, custody.verify.open_bundle = custody.verify.open_bundle, lambda path: bundle._open(MemoryArchive(files))
    try:
        return custody.verify.verify_bundle("memory", trust, **options)
    finally:
        custody.verify.open_bundle = opener


def without_hex(name):
    """A test id that is the same in every worker; digests and ids are made anew in each."""
    return re.sub("[0-9a-f]{32,}", "…", name)
