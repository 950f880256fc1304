"""Profiles: which service, as whom, with which keys; and what only this side may know about an exchange.

A profile is a directory `<home>/<name>/` with `profile.json` (mode 0600). Home is `$ROGATORY_HOME`, else the platform's
place for configuration. Paths in it are absolute. Titles and file numbers of exchanges lie beside it, each
sealed with age to the authority's own recipient: they never leave this side, and no backup of it reads them.
"""

import io
import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from custody.sealing import open_sealed, seal
from rogatory import keyring, private_files
from rogatory.errors import Malformed, NotFound, UsageProblem

DEFAULT = "default"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}\Z")
_FILE = "profile.json"
_PATHS = ("keys", "trust", "records", "ca_file")
_MAX_TITLE = 64 * 1024


class ProfileMalformed(Malformed):
    """A profile file is not one."""

    code = "profile-malformed"


class ProfileMissing(NotFound):
    """There is no profile of this name."""

    code = "profile-missing"


class ProfileNameRefused(UsageProblem):
    """A name that cannot be a directory's everywhere."""

    code = "profile-name"


@dataclass(frozen=True)
class Title:
    """What this side calls an exchange."""

    title: str
    file_number: str = ""


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One way of speaking to one service.

    Attributes:
        directory: Where the profile lies.
        server: Base URL of the service.
        origin: Its log's origin; what it says of itself must agree.
        authority: Id of our authority.
        principal: Id of our principal, 32 hex; empty where only the authority's own keys are used.
        keys: Directory of the keyring.
        trust: The trust file.
        records: Directory of kept records and of the newest checkpoint seen.
        ca_file: PEM of the CA that signed the service's certificate; the system's CAs if None.
        aliases: Short names for exchanges and packages, kept on this side.
    """

    directory: Path
    server: str
    origin: str
    authority: str
    principal: str = ""
    keys: Path
    trust: Path
    records: Path
    ca_file: Path | None = None
    aliases: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def at(
        cls,
        directory: Path,
        *,
        server: str,
        origin: str,
        authority: str,
        principal: str = "",
        keys: Path | None = None,
        trust: Path | None = None,
        ca_file: Path | None = None,
    ) -> Self:
        """A profile with everything in its usual place below `directory`."""
        directory = directory.absolute()
        return cls(
            directory=directory,
            server=server.rstrip("/"),
            origin=origin,
            authority=authority,
            principal=principal,
            keys=(keys or directory / "keys").absolute(),
            trust=(trust or directory / "trust.json").absolute(),
            records=directory / "records",
            ca_file=ca_file.absolute() if ca_file else None,
        )

    @classmethod
    def load(cls, name: str = DEFAULT, *, home: Path | None = None) -> Self:
        """The profile of this name.

        Raises:
            ProfileMissing: There is none.
            ProfileMalformed: Its file cannot be understood.
        """
        directory = _directory(name, home)
        try:
            found = json.loads(private_files.read(directory / _FILE))
        except private_files.FileMissing as error:
            raise ProfileMissing(
                f"there is no profile {name!r} in {directory.parent}", hint="rogatory profile create"
            ) from error
        except ValueError as error:
            raise ProfileMalformed(f"{directory / _FILE} is not JSON: {error}") from error
        return cls(directory=directory, **_checked(found, directory))

    def save(self) -> None:
        """Write the profile under its directory, replacing what is there."""
        private_files.make_directory(self.directory)
        private_files.make_directory(self.records)
        known = {name: value for name, value in asdict(self).items() if name != "directory" and value is not None}
        text = json.dumps(known, default=str, indent=2, sort_keys=True)
        private_files.replace(self.directory / _FILE, text.encode() + b"\n")

    # ------------------------------------------------------------ titles

    def lock_title(self, exchange: str, title: Title) -> None:
        """Keep title and file number of an exchange, sealed to our own encryption key."""
        identity = keyring.load_identities(self.keys / keyring.ENCRYPTION)[0]
        sealed = io.BytesIO()
        seal(io.BytesIO(json.dumps(asdict(title)).encode()), sealed, [identity.recipient])
        private_files.make_directory(self.directory / "titles")
        private_files.replace(self._title_path(exchange), sealed.getvalue())

    def title(self, exchange: str) -> Title | None:
        """The title kept for an exchange (its id), or None."""
        path = self._title_path(exchange)
        if not path.exists():
            return None
        identities = keyring.load_identities(self.keys / keyring.ENCRYPTION)
        with open_sealed(io.BytesIO(private_files.read(path)), identities) as plain:
            return Title(**json.loads(plain.read(_MAX_TITLE)))

    def _title_path(self, exchange: str) -> Path:
        return self.directory / "titles" / f"{exchange}.age"


def home_directory(environment: Mapping[str, str] = os.environ) -> Path:
    """Where profiles lie: `$ROGATORY_HOME`, else the platform's place for a program's configuration."""
    chosen = environment.get("ROGATORY_HOME")
    if chosen:
        return Path(chosen).absolute()
    if sys.platform == "win32":
        return Path(environment.get("APPDATA") or Path.home() / "AppData" / "Roaming") / "rogatory"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "rogatory"
    return Path(environment.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "rogatory"


def names(home: Path | None = None) -> list[str]:
    """The profiles there are."""
    place = home or home_directory()
    return sorted(path.parent.name for path in place.glob(f"*/{_FILE}"))


def directory_of(name: str, home: Path | None = None) -> Path:
    """Where a profile of this name lies or would lie."""
    return _directory(name, home)


def _directory(name: str, home: Path | None) -> Path:
    if not _NAME.match(name):
        raise ProfileNameRefused(f"profile name {name[:64]!r}, expected small letters, digits, dot, dash, underscore")
    return (home or home_directory()) / name


def _checked(found: Any, directory: Path) -> dict[str, Any]:
    allowed = {member.name for member in fields(Profile)} - {"directory"}
    needed = {"server", "origin", "authority", "keys", "trust", "records"}
    if not isinstance(found, dict) or not needed <= found.keys() <= allowed:
        raise ProfileMalformed(f"{directory / _FILE} has not exactly the members of a profile")
    if not all(isinstance(value, str) for name, value in found.items() if name != "aliases"):
        raise ProfileMalformed(f"{directory / _FILE} holds a member that is no text")
    return {name: Path(value) if name in _PATHS else value for name, value in found.items()}
