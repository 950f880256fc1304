"""Having a bundle stamped by time-stamping authorities, and renewing what they proved. Format: docs/spec/timestamps.md.

The authorities learn a digest and nothing else. What they answer is held to what was asked before it is kept; whether
it counts is for a trust file to say.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import httpx

from custody.bundle import Bundle, extended_files
from custody.renewal import Renewal
from custody.timestamp import MAX_REPLY, Reply, TimestampInvalid, query
from rogatory.containers import write_container
from rogatory.errors import Temporary, UsageProblem

_ASKED, _ANSWERED = "application/timestamp-query", "application/timestamp-reply"
_PATIENCE_S = 30


class AuthoritySilent(Temporary):
    """A time-stamping authority cannot be reached, or answers with no stamp."""

    code = "tsa-silent"


@dataclass(frozen=True)
class Stamped:
    """One stamp that was fetched: from where, its file in the bundle, its time."""

    url: str
    path: str
    at: datetime


def fetch(url: str, data: bytes) -> bytes:
    """A stamp of `data` from the authority at an address; the reply as it came.

    Raises:
        UsageProblem: It is no address of HTTP.
        AuthoritySilent: No reply, or too large.
        TimestampMalformed: It is no granted stamp.
        TimestampInvalid: It is of other bytes, or the answer to another query.
    """
    asked, nonce = query(data)
    reply = _post(url, asked)
    stamp = Reply(reply)
    stamp.of(data)
    if stamp.nonce != nonce:
        raise TimestampInvalid("the stamp answers another query")
    return reply


def _post(url: str, asked: bytes) -> bytes:
    if not url.startswith(("https://", "http://")):
        raise UsageProblem(f"{url[:80]!r} is no address of a time-stamping authority, expected https:// or http://")
    headers = {"Content-Type": _ASKED, "Accept": _ANSWERED, "User-Agent": "rogatory"}
    try:
        with httpx.stream("POST", url, content=asked, headers=headers, timeout=_PATIENCE_S) as answer:
            found = b""
            for piece in answer.iter_bytes():
                found += piece
                if len(found) > MAX_REPLY:
                    raise AuthoritySilent(f"{url} answers more than {MAX_REPLY} bytes")
            if answer.status_code != httpx.codes.OK:
                raise AuthoritySilent(f"{url} answers {answer.status_code}", hint="try again, or another authority")
            return found
    except httpx.HTTPError as error:
        raise AuthoritySilent(f"{url} cannot be reached: {error}", hint="try again, or another authority") from error


def stamp(bundle: Bundle, urls: Sequence[str]) -> tuple[dict[str, bytes], list[Stamped]]:
    """Have the bundle's own checkpoint stamped: the files to add, and what was fetched."""
    size = bundle.packing.size
    note = f"checkpoints/{size}"
    data = bundle.read(note if note in bundle else "checkpoint")
    first = len(bundle.names(f"timestamps/{size}-"))
    files, fetched = _stamps(f"timestamps/{size}", first, data, urls)
    return ({} if note in bundle else {note: data}) | files, fetched


def renew(bundle: Bundle, urls: Sequence[str], *, at: datetime) -> tuple[dict[str, bytes], list[Stamped]]:
    """Have a list of all files of the bundle stamped: the files to add, and what was fetched.

    Raises:
        UsageProblem: The bundle has no stamps that could be renewed.
    """
    if not bundle.names("timestamps/"):
        raise UsageProblem("the bundle has no stamps to renew", hint="rogatory stamp BUNDLE --tsa URL")
    number = len([path for path in bundle.names("renewal/") if path.endswith(".json")]) + 1
    data = Renewal.of(number, at, {file.path: file.sha512 for file in bundle.packing.files}).encode()
    files, fetched = _stamps(f"renewal/{number}", 0, data, urls)
    return {f"renewal/{number}.json": data} | files, fetched


def _stamps(name: str, first: int, data: bytes, urls: Sequence[str]) -> tuple[dict[str, bytes], list[Stamped]]:
    files: dict[str, bytes] = {}
    fetched: list[Stamped] = []
    for number, url in enumerate(urls, start=first):
        path = f"{name}-{number}.tsr"
        files[path] = fetch(url, data)
        fetched.append(Stamped(url, path, Reply(files[path]).at))
    return files, fetched


def write(bundle: Bundle, added: Mapping[str, bytes], target: Path) -> None:
    """Write the bundle with the files added; errors as for `write_container`."""
    write_container(extended_files(bundle, added), target)
