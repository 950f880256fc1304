"""`doctor`: is everything in place? One line each, with what to do where it is not."""

import shutil
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rogatory.cli import session
from rogatory.cli.command import Command, CommandProblem, Outcome
from rogatory.cli.tui import Terminal, escape, size

if TYPE_CHECKING:
    from rogatory.connection import Connection
    from rogatory.profile import Profile

_SKEW_S = 60.0
_ROOM = 10 * 1024**3
_STALE_S = 7 * 86_400


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's."""

    name: str
    ok: bool
    detail: str
    hint: str | None = None
    exit_code: int = 0


class _Wrong(Exception):
    def __init__(self, detail: str, hint: str, exit_code: int) -> None:
        super().__init__(detail)
        self.hint, self.exit_code = hint, exit_code


def doctor(args: Namespace, terminal: Terminal) -> Outcome:
    """Look at profile, keys, trust file, service, clock, login and disk."""
    found = list(_findings(args, terminal))
    lines = []
    for finding in found:
        mark = terminal.paint("ok", "green") if finding.ok else terminal.paint("!!", "red")
        lines.append(f"{mark}  {finding.name:10} {escape(finding.detail)}")
        if finding.hint and not finding.ok:
            lines.append(f"    {'':10} hint: {escape(finding.hint)}")
    bad = [finding for finding in found if not finding.ok]
    fields = {
        "ok": not bad,
        "checks": [
            {"name": f.name, "ok": f.ok, "detail": f.detail} | ({"hint": f.hint} if f.hint and not f.ok else {})
            for f in found
        ],
    }
    return Outcome(fields, "\n".join(lines), bad[0].exit_code if bad else 0)


def _findings(args: Namespace, terminal: Terminal) -> Iterator[Finding]:
    profile: Profile | None = None

    def read_profile() -> str:
        nonlocal profile
        profile = session.load_profile(args)
        return f"{session.profile_name(args)}: {profile.authority} at {profile.server}"

    yield _look("profile", read_profile)
    if profile is None:
        return
    known = profile
    yield _look("keys", lambda: _keys(known))
    yield _look("trust", lambda: _trust(known))
    yield from _service(known, terminal)
    yield _look("disk", lambda: _disk(known))
    yield _look("sends", lambda: _unfinished(known))


def _look(name: str, check: Callable[[], str]) -> Finding:
    from custody.errors import CustodyError
    from rogatory.errors import ClientError, exit_code_of

    try:
        return Finding(name, ok=True, detail=check())
    except (_Wrong, CommandProblem) as wrong:
        return Finding(name, ok=False, detail=str(wrong), hint=wrong.hint, exit_code=wrong.exit_code)
    except (ClientError, CustodyError) as error:
        hint = getattr(error, "hint", None)
        return Finding(name, ok=False, detail=str(error), hint=hint, exit_code=exit_code_of(error))
    except OSError as error:
        return Finding(name, ok=False, detail=str(error), exit_code=5)


def _keys(profile: "Profile") -> str:
    from rogatory import keyring, private_files

    there = []
    for file in (keyring.AUTHORITY, keyring.ENCRYPTION, keyring.STATEMENT, keyring.LOGIN):
        if (profile.keys / file).exists():
            private_files.read(profile.keys / file)
            there.append(file)
    if not there:
        raise _Wrong(f"no keys in {profile.keys}", "rogatory keys generate authority, or principal", 6)
    if (profile.keys / keyring.RECOVERY_DIRECTORY / keyring.RECOVERY).exists():
        raise _Wrong(
            "the recovery key is still on this machine",
            f"once the authority is enrolled, lock {profile.keys / keyring.RECOVERY_DIRECTORY} away and delete it here",
            7,
        )
    return f"{', '.join(there)}; nobody else can read them"


def _trust(profile: "Profile") -> str:
    from custody.trust import Trust

    if not profile.trust.exists():
        raise _Wrong(f"there is no trust file {profile.trust}", "rogatory trust init", 6)
    trust = Trust.parse(profile.trust.read_bytes())
    if trust.origin != profile.origin:
        raise _Wrong(f"it trusts the log {trust.origin}, the profile names {profile.origin}", "rogatory trust init", 22)
    if profile.authority not in trust.authorities:
        raise _Wrong(
            f"our own authority {profile.authority} is not pinned",
            f"rogatory trust pin {profile.authority} KEYID (see rogatory keys show)",
            22,
        )
    newest = profile.records / "checkpoint"
    if newest.exists() and time.time() - newest.stat().st_mtime > _STALE_S:
        raise _Wrong("the newest checkpoint seen is more than a week old", "rogatory log mirror DIR looks anew", 23)
    return f"{trust.origin}, {len(trust.log)} log keys, authorities pinned: {len(trust.authorities)}"


def _service(profile: "Profile", terminal: Terminal) -> Iterator[Finding]:
    with _connection(profile, terminal) as found:
        if isinstance(found, Finding):
            yield found
            return
        connection = found
        about: dict[str, Any] = {}

        def reach() -> str:
            about.update(connection.service())
            if about["origin"] != profile.origin:
                raise _Wrong(
                    f"it speaks for the log {about['origin']}, the profile names {profile.origin}",
                    "is the server's address right?",
                    22,
                )
            return f"{about.get('name', 'rogatory')} {about.get('version', '')}, certificate accepted".replace(
                " ,", ","
            )

        yield _look("service", reach)
        if about:
            yield _look("clock", lambda: _clock(about))
            yield _look("login", lambda: _login(profile, connection))
            yield _look("stamps", lambda: _stamps(profile, connection))


@contextmanager
def _connection(profile: "Profile", terminal: Terminal) -> "Iterator[Connection | Finding]":
    from rogatory.connection import Connection
    from rogatory.keyring import Keyring

    ring = Keyring(profile.keys, terminal.passphrase())
    try:
        connection = Connection(
            profile.server,
            ca_file=profile.ca_file,
            principal=profile.principal or None,
            login_key=lambda: ring.principal().login,
        )
    except (OSError, ValueError) as error:
        hint = "is the CA file of the profile there, and PEM?"
        yield Finding("service", ok=False, detail=f"no connection can be made: {error}", hint=hint, exit_code=4)
        return
    try:
        yield connection
    finally:
        connection.close()


def _clock(about: dict[str, Any]) -> str:
    from custody.text import from_time
    from rogatory.statements import utc_now

    ahead = (utc_now() - from_time(str(about.get("time")))).total_seconds()
    shown = f"{abs(ahead):.1f} s {'ahead of' if ahead > 0 else 'behind'} the service"
    if abs(ahead) > _SKEW_S:
        raise _Wrong(shown, "set this machine's clock; signatures made with a wrong clock are refused", 23)
    return shown


def _stamps(profile: "Profile", connection: "Connection") -> str:
    """How old the newest stamp by a third party is; old only if there is something newer to stamp."""
    from custody.text import from_time
    from rogatory.log import PublicLog
    from rogatory.statements import utc_now

    found = PublicLog(connection, profile.origin).stamped()
    if found is None:
        return "none by third parties; have bundles stamped: rogatory stamp"
    size, published = int(found.get("size", 0)), int(found.get("published", 0))
    age = (utc_now() - from_time(str(found.get("time")))).total_seconds()
    shown = f"{size} leaves stamped {age / 3600:.1f} hours ago, {published - size} came later"
    if published > size and age > _STALE_S:
        raise _Wrong(shown, "tell the operator: it has the log stamped no more", 23)
    return shown


def _login(profile: "Profile", connection: "Connection") -> str:
    if not profile.principal:
        raise _Wrong("the profile has no principal", "rogatory enrolment principal --role ROLE", 4)
    count = len(connection.get_json("/v1/authorities").get("authorities", []))
    return f"accepted as {profile.principal[:8]} of {profile.authority}; authorities the service knows: {count}"


def _disk(profile: "Profile") -> str:
    free = shutil.disk_usage(profile.directory).free
    if free < _ROOM:
        raise _Wrong(f"{size(free)} free beside the profile", "receiving needs as much room as the package", 5)
    return f"{size(free)} free beside the profile"


def _unfinished(profile: "Profile") -> str:
    from rogatory.resume import unfinished

    found = list(unfinished(profile.directory / "sends"))
    if found:
        raise _Wrong(
            f"unfinished: {', '.join(name[:8] for name in found)}", f"rogatory send --resume {found[0][:8]}", 8
        )
    return "none unfinished"


COMMANDS = (
    Command(
        "doctor",
        "look whether profile, keys, trust file, service, clock, login and disk are in order",
        doctor,
        about="Each line is ok or !!, with a hint. Nothing is changed. The exit code is that of the first !!.",
        examples=("rogatory doctor", "rogatory doctor --json"),
        then="rogatory exchange open, or rogatory inbox.",
    ),
)
