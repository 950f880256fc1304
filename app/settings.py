"""Everything an operator can set, read from `ROGATORY_*` once; nothing else in the service reads the environment.

Each field says what it is for; docs/operations/settings.md is made from it. Sizes are bytes and may be
written `16MiB`; durations may be written `250ms`, `60s`, `10min`, `24h`, `7d`, a bare number is seconds.
"""

import enum
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from datetime import timedelta
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from app.quantities import GIB, MIB, duration, number, size
from app.spellings import addresses, choice, names, path, store_place, switch, text
from custody.errors import FormatError
from storage.s3_address import S3Address

PREFIX = "ROGATORY_"
_HOST = r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?(:[0-9]{1,5})?"
_ORIGIN = re.compile(rf"(?=.{{1,255}}\Z){_HOST}(/[a-z0-9._~-]+)*\Z")
_DERIVED: Any = None  # filled in from other fields
_ABSENT, _HIDDEN = "absent", "a value not shown"
_MAX_PARTS = 10_000


class SettingsError(FormatError):
    """A setting cannot be used. Names the variable, what was found (secrets hidden) and what was expected."""

    code = "setting-invalid"

    def __init__(self, variable: str, *, found: str, expected: str) -> None:
        super().__init__(f"{variable} is {found}, expected {expected}")
        self.variable, self.found, self.expected = variable, found, expected


class Tls(enum.StrEnum):
    """Where TLS comes from. There is no way to speak plain HTTP but to say that a proxy stands in front."""

    AUTO = "auto"
    FILES = "files"
    BEHIND_PROXY = "behind-proxy"


class LogLevel(enum.StrEnum):
    """How much the service tells about itself; never names, tokens or keys at any level."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def _about(parse: Callable[[str], Any], doc: str, *, shown: str = "") -> dict[str, Any]:
    """What is known of a field beside its type.

    Args:
        parse: Reads its text; raises ValueError with what it expected.
        doc: What it is for, for the operator.
        shown: The default in words, where its own spelling would not do.
    """
    return {"parse": parse, "doc": doc, "shown": shown}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The service's settings, checked. Paths are absolute; derived defaults are filled in."""

    state: Path = field(
        default=Path("var"),
        metadata=_about(
            path,
            "Directory for everything the service keeps itself: keys, certificates, the default database and store. "
            "Back it up.",
            shown="./var",
        ),
    )
    database: str = field(
        default=_DERIVED,
        repr=False,  # and for the same reason in no message
        metadata=_about(
            text,
            "Database URL, `sqlite:///…` or `postgresql+driver://…`. May hold a password and is never shown.",
            shown="SQLite file `rogatory.db` in the state directory",
        ),
    )
    store: Path | S3Address = field(
        default=_DERIVED,
        repr=False,  # should somebody have put credentials there, which are refused, no message shows them
        metadata=_about(
            store_place,
            "The object store, ciphertext only: a directory, or `s3://bucket/prefix?endpoint=https://…&region=…`; "
            "prefix, endpoint and region may be left out. Credentials are never part of it: they come from the usual "
            "`AWS_…` variables and files. What the bucket must be: [stores](../guide/stores.md).",
            shown="`store` in the state directory",
        ),
    )
    origin: str = field(
        default=_DERIVED,
        metadata=_about(
            text,
            "Origin of the log: its name in every entry and checkpoint, and the URL of its tiles without `https://`. "
            "Fixed when the state is made and kept there; it never changes once the log has begun.",
            shown="host and port of the public URL, and `/log`",
        ),
    )
    public_url: str = field(
        default=_DERIVED,
        metadata=_about(
            text,
            "Address under which clients reach the service, `https://…` without a path. It is the issuer and the "
            "audience of tokens.",
            shown="`https://localhost:` and the port",
        ),
    )
    host: str = field(default="127.0.0.1", metadata=_about(text, "Address to listen on."))
    port: int = field(default=8443, metadata=_about(number, "Port to listen on, 1 to 65535."))
    tls: Tls = field(
        default=Tls.AUTO,
        metadata=_about(
            choice(Tls),
            "`auto`: a private authority and certificate, made and renewed in the state directory. `files`: yours, "
            "from the two settings below. `behind-proxy`: plain HTTP to a proxy of yours that speaks TLS; nothing else "
            "may reach the port.",
        ),
    )
    tls_certificate: Path | None = field(
        default=None,
        metadata=_about(path, "Certificate chain in PEM; with `ROGATORY_TLS=files` only.", shown="none"),
    )
    tls_key: Path | None = field(
        default=None,
        metadata=_about(path, "Its private key in PEM, mode 0600; with `ROGATORY_TLS=files` only.", shown="none"),
    )
    hostnames: tuple[str, ...] = field(
        default=("localhost", "127.0.0.1", "::1"),
        metadata=_about(names, "Names and addresses in the certificate that `auto` makes, separated by commas."),
    )
    min_part_size: int = field(
        default=16 * MIB,
        metadata=_about(
            size,
            "Smallest part of an item's grid that a manifest may use; a power of two, 16 MiB to 4 GiB.",
            shown="16MiB",
        ),
    )
    max_item_size: int = field(
        default=_MAX_PARTS * 4 * GIB,
        metadata=_about(
            size,
            "Largest stored body of one item; larger things travel as several items. At most 10,000 parts of 4 GiB.",
            shown="40000GiB",
        ),
    )
    checkpoint_interval: timedelta = field(
        default=timedelta(milliseconds=100),
        metadata=_about(
            duration,
            "Longest time committed entries wait for the log's next signed checkpoint, 1ms to 250ms.",
            shown="100ms",
        ),
    )
    policy: Path = field(
        default=_DERIVED,
        metadata=_about(
            path,
            "File with the policy under which witnesses cosign the log: who they are, where they are asked, how many "
            "must. Change it with `rogatory-server witness`: [witnesses](witnesses.md).",
            shown="`policy` in the state directory",
        ),
    )
    auditors: Path = field(
        default=_DERIVED,
        metadata=_about(path, "The same for auditors.", shown="`auditors` in the state directory"),
    )
    witness_interval: timedelta = field(
        default=timedelta(seconds=5),
        metadata=_about(duration, "How often witnesses are asked, 1s to 10s. Nothing waits for them.", shown="5s"),
    )
    cadence: timedelta = field(
        default=timedelta(0),
        metadata=_about(
            duration,
            "Hides how much is recorded: a batch so often, filled up with dummy leaves, 50ms to 1s; 0: when there is "
            "something to record. Records wait for it, and the log grows all the time.",
        ),
    )
    tsa: tuple[str, ...] = field(
        default=_DERIVED,
        metadata=_about(
            addresses,
            "Addresses of time-stamping authorities (RFC 3161) that stamp the newest cosigned checkpoint, separated by "
            "blanks, at most 8: [time](time.md).",
            shown="none",
        ),
    )
    tsa_roots: Path | None = field(
        default=None,
        metadata=_about(
            path,
            "File with their root certificates, PEM; a stamp that leads to none is not kept. Without it the root must "
            "come along in each reply, and nobody vouches for it.",
            shown="none",
        ),
    )
    stamp_interval: timedelta = field(
        default=timedelta(hours=1),
        metadata=_about(duration, "How often each is asked, if anything is new, 1min to 7d.", shown="1h"),
    )
    stamp_validation: bool = field(
        default=False,
        metadata=_about(
            switch,
            "`on`: fetch, once a day, the revocation lists that their certificates name; stamps come with them.",
            shown="off",
        ),
    )
    token_lifetime: timedelta = field(
        default=timedelta(minutes=10),
        metadata=_about(duration, "Life of an access token, whole seconds, 1s to 10min.", shown="10min"),
    )
    idempotency_expiry: timedelta = field(
        default=timedelta(days=1),
        metadata=_about(duration, "How long an Idempotency-Key finds the first answer again, 1h to 30d.", shown="24h"),
    )
    upload_expiry: timedelta = field(
        default=timedelta(days=7),
        metadata=_about(
            duration, "How long an unfinished upload is kept after its last byte, 1min to 90d.", shown="7d"
        ),
    )
    authority_requests: int = field(
        default=30_000,
        metadata=_about(
            number, "Requests that one authority may send to this process in a minute; beyond them 429. 0: no limit."
        ),
    )
    authority_bytes: int = field(
        default=0,
        metadata=_about(
            size,
            "Bytes of bodies that one authority may send and receive in a minute; what is faster is slowed down, not "
            "refused. 0 sets no limit.",
        ),
    )
    authority_at_once: int = field(
        default=48,
        metadata=_about(number, "Requests of one authority under way at once, 1 to 1000; beyond them 429."),
    )
    stranger_requests: int = field(
        default=6000,
        metadata=_about(
            number,
            "Requests without a valid token that one address (of IPv6, one network of 64 bits) may send to this "
            "process in a minute; beyond them 429. 0 sets no limit. A proxy must say for whom it speaks.",
        ),
    )
    drain: timedelta = field(
        default=timedelta(seconds=20),
        metadata=_about(
            duration, "How long requests under way may go on once the service is told to end, 0s to 1h.", shown="20s"
        ),
    )
    log_level: LogLevel = field(
        default=LogLevel.INFO,
        metadata=_about(
            choice(LogLevel), "`debug`, `info`, `warning` or `error`. No level logs names, tokens or keys."
        ),
    )

    def __post_init__(self) -> None:
        self._set("state", self.state.absolute())
        store = self.store or self.state / "store"
        self._set("store", store.absolute() if isinstance(store, Path) else store)
        self._set("database", self.database or f"sqlite:///{self.state / 'rogatory.db'}")
        self._set("policy", (self.policy or self.state / "policy").absolute())
        self._set("auditors", (self.auditors or self.state / "auditors").absolute())
        self._set("origin", self.origin or "")
        self._set("tsa", self.tsa or ())
        self._set("public_url", self.public_url or f"https://localhost:{self.port}")
        _check(self)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None, **overrides: Any) -> Self:
        """Settings from `ROGATORY_*`; an empty variable counts as absent.

        Args:
            environ: The process's own environment if not given.
            overrides: Typed values by field name, over whatever the environment says.

        Raises:
            SettingsError: A value that cannot be read, is out of bounds, or does not fit the others.
        """
        environ = os.environ if environ is None else environ
        found: dict[str, Any] = {}
        for each in fields(cls):
            text = environ.get(variable(each.name), "")
            if text and each.name not in overrides:
                found[each.name] = _parse(each, text)
        return cls(**found, **overrides)

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)


def variable(name: str) -> str:
    """The environment variable of a field."""
    return PREFIX + name.upper()


def unknown_variables(environ: Mapping[str, str] | None = None) -> list[str]:
    """Variables that look like ours and are none of the service's: misspelt, or the client's.

    For `check-config` to mention; `serve` must not fail where client and service share a shell.
    """
    known = {variable(each.name) for each in fields(Settings)}
    environ = os.environ if environ is None else environ
    return sorted(name for name in environ if name.startswith(PREFIX) and name not in known)


def _parse(each: Field[Any], text: str) -> Any:
    try:
        return each.metadata["parse"](text)
    except ValueError as error:
        found = repr(text[:200]) if each.repr else _HIDDEN
        raise SettingsError(variable(each.name), found=found, expected=str(error)) from None


def _check(settings: Settings) -> None:
    """Bounds of each field and what fields demand of each other."""
    _check_addresses(settings)
    _check_tls(settings)
    part, item = settings.min_part_size, settings.max_item_size
    _demand(
        16 * MIB <= part <= 4 * GIB and part & (part - 1) == 0, "min_part_size", part, "a power of two, 16MiB to 4GiB"
    )
    _demand(0 < item <= _MAX_PARTS * 4 * GIB, "max_item_size", item, "1 byte to 40000GiB")
    at_once = settings.authority_at_once
    _demand(1 <= at_once <= 1000, "authority_at_once", at_once, "1 to 1000")
    second = timedelta(seconds=1)
    for name, least, most in (
        ("checkpoint_interval", second / 1000, second / 4),
        ("witness_interval", second, 10 * second),
        ("cadence", timedelta(0), second),
        ("stamp_interval", timedelta(minutes=1), timedelta(days=7)),
        ("token_lifetime", second, 600 * second),
        ("idempotency_expiry", timedelta(hours=1), timedelta(days=30)),
        ("upload_expiry", timedelta(minutes=1), timedelta(days=90)),
        ("drain", timedelta(0), timedelta(hours=1)),
    ):
        value = getattr(settings, name)
        _demand(least <= value <= most, name, value, f"{least} to {most} (h:mm:ss)")
    _demand(not timedelta(0) < settings.cadence < second / 20, "cadence", settings.cadence, "0, or 50ms at least")
    _demand(
        settings.token_lifetime % second == timedelta(0), "token_lifetime", settings.token_lifetime, "whole seconds"
    )


def _check_addresses(settings: Settings) -> None:
    schemes = ("sqlite:///", "postgresql://", "postgresql+")
    _demand(settings.database.startswith(schemes), "database", _HIDDEN, "sqlite:///… or postgresql…://…")
    _demand(
        not settings.origin or bool(_ORIGIN.match(settings.origin)),
        "origin",
        settings.origin,
        "a name such as evidence.example.org/log",
    )
    _demand(0 < settings.port <= 65_535, "port", settings.port, "1 to 65535")
    _demand(bool(settings.hostnames), "hostnames", _ABSENT, "at least one name")
    match = re.fullmatch(rf"https://({_HOST}|\[[0-9a-f:.]+\](:[0-9]{{1,5}})?)", settings.public_url)
    expected = "https:// and a lower-case host, with a port or without, nothing behind"
    _demand(match is not None, "public_url", settings.public_url, expected)
    try:
        valid = bool(urlsplit(settings.public_url).hostname) and urlsplit(settings.public_url).port != 0
    except ValueError:
        valid = False
    _demand(valid, "public_url", settings.public_url, expected)


def _check_tls(settings: Settings) -> None:
    given = settings.tls is Tls.FILES
    for name in ("tls_certificate", "tls_key"):
        value = getattr(settings, name)
        expected = "a file, as ROGATORY_TLS is files" if given else f"no value, as ROGATORY_TLS is {settings.tls}"
        _demand((value is not None) == given, name, _ABSENT if value is None else value, expected)
        if value is not None:
            object.__setattr__(settings, name, value.absolute())


def _demand(holds: bool, name: str, found: object, expected: str) -> None:  # noqa: FBT001 - reads as a sentence
    if not holds:
        shown = str(found) if found in (_ABSENT, _HIDDEN) else repr(str(found))
        raise SettingsError(variable(name), found=shown, expected=expected)
