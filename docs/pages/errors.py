"""docs/errors.md: every code, what it means, what to do about it.

Meanings are the first lines of the docstrings. Statuses of refusals come from the table in `app.api.problems`, exit
codes from the client. What to do is said here: for a code where there is something particular to say, else for its branch.
"""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import app
import custody
import rogatory
import storage
from app.api.problems import TABLE
from app.errors import Refusal
from custody.errors import CustodyError, FormatError, UnsupportedError, VerificationError
from docs.pages import advice
from rogatory import errors as client
from storage.interface import StoreError

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (custody, storage, app, rogatory)
ROOTS: tuple[type[Exception], ...] = (CustodyError, StoreError, Refusal, client.ClientError)

_HEAD = """\
# Errors

This page is made from the code by `make docs`. Every error has a stable `code`: reports, problem documents and `--json`
speak in codes, messages are for people. Two things are kept apart everywhere: bytes that **cannot be understood**
(damaged on the way, of another program, of a newer version) and bytes that were understood and **do not add up**.
Only the second says anything against anybody.

A class in italics has no code of its own and goes by that of the class above it.

## Exit codes of `rogatory`

| exit | meaning |
| --- | --- |
"""
_EXITS = {
    0: "done; for `verify`: every demanded check is PASS",
    1: "a fault of ours; nothing may be concluded",
    2: "asked for in a way that cannot be",
    3: "malformed: cannot be understood",
    4: "the service does not accept who we say we are",
    5: "temporary: the same command may work later",
    6: "not found, or not for you",
    7: "refused by a rule",
    8: "partly done; the message says what was not",
    20: "tampered: bytes are not those that were signed for",
    21: "incomplete: something demanded was not shown",
    22: "signer or quorum: not signed by whom it must be",
    23: "time: a clock is off, a time is out of bounds, or a proof too old",
    24: "unsupported: of a version, kind or type this program does not know",
    25: "rollback: the log shown is no continuation of the log known",
    130: "interrupted",
}


def page() -> str:
    """The whole page."""
    parts = [_HEAD, *(f"| {number} | {meaning} |\n" for number, meaning in _EXITS.items())]
    for title, text, chosen in _sections():
        parts.append(f"\n## {title}\n\n{text}\n\n| code | raised as | meaning | what to do | exit | HTTP |\n")
        parts.append("| --- | --- | --- | --- | --- | --- |\n")
        parts.extend(_row(error) for error in sorted(chosen, key=lambda error: (error.code, error.__qualname__)))
    parts.append(f"\n## Problems that only HTTP has\n\n{advice.HTTP}\n\n| code | meaning | what to do | exit | HTTP |\n")
    parts.append("| --- | --- | --- | --- | --- |\n")
    parts.extend(_http_row(code) for code in sorted(of_http_alone()))
    return "".join(parts)


def classes() -> list[Any]:
    """Every error class of ours, each once."""
    for package in PACKAGES:
        for module in _modules(package):
            importlib.import_module(module)
    found = {error: None for root in ROOTS for error in (root, *_below(root)) if _is_ours(error)}
    return sorted(found, key=lambda error: (error.__module__, error.__qualname__))


def has_own_code(error: type[Exception]) -> bool:
    """Whether the class names a code itself rather than going by its parent's."""
    return "code" in vars(error)


def meaning(error: type[Exception]) -> str:
    """First paragraph of the docstring, on one line."""
    paragraph = (error.__doc__ or "").strip().split("\n\n")[0]
    return " ".join(paragraph.split())


def statuses() -> dict[str, int]:
    """Code → HTTP status, from the one table of the service."""
    return {code: row.status for code, row in TABLE.items()}


def specified_statuses() -> dict[str, int]:
    """The same, from the table *Problems* of the interface's specification."""
    text = (ROOT / "docs/spec/api.md").read_text("utf-8").split("## Problems")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`[^|]+`) \| (\d{3}) \|", text, re.MULTILINE)
    return {code: int(status) for codes, status in rows for code in re.findall(r"`([a-z-]+)`", codes)}


def of_http_alone() -> set[str]:
    """Codes of problem documents that no class below HTTP names."""
    return TABLE.keys() - {error.code for error in classes() if has_own_code(error)}


def _sections() -> Iterator[tuple[str, str, list[Any]]]:
    every = classes()

    def of(root: type[Exception], *but: type[Exception]) -> list[Any]:
        return [error for error in every if issubclass(error, root) and not issubclass(error, but)]

    yield "Cannot be understood", advice.FORMAT, of(FormatError, UnsupportedError)
    yield "Of a version or kind unknown here", advice.UNSUPPORTED, of(UnsupportedError)
    yield "Does not add up", advice.VERIFICATION, of(VerificationError)
    yield "Others of `custody`", advice.CUSTODY, of(CustodyError, FormatError, VerificationError)
    yield "Refusals of the service", advice.REFUSAL, of(Refusal)
    yield "Errors of a store", advice.STORE, of(StoreError)
    yield "Errors of the client", advice.CLIENT, of(client.ClientError)


def _row(error: Any) -> str:
    where = f"{error.__module__}.{error.__qualname__}"
    code = f"`{error.code}`" if has_own_code(error) else f"*`{error.code}`*"
    raised = f"`{where}`" if has_own_code(error) else f"*`{where}`*"
    status = statuses().get(error.code) if issubclass(error, (Refusal, VerificationError)) else None
    cells = (code, raised, meaning(error), _advice(error), str(_exit(error, status) or "–"), str(status or "–"))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _http_row(code: str) -> str:
    row = TABLE[code]
    exit_code = client.from_problem(row.status, {"code": code}, {}).exit_code
    return f"| `{code}` | {row.title} | {advice.BY_CODE[f'http:{code}']} | {exit_code} | {row.status} |\n"


def _advice(error: Any) -> str:
    for each in error.__mro__:
        where = f"{each.__module__.split('.')[0]}:{vars(each).get('code')}"
        if where in advice.BY_CODE:
            return advice.BY_CODE[where]
    return ""


def _exit(error: Any, status: int | None) -> int | None:
    if issubclass(error, StoreError):
        return None
    if issubclass(error, Refusal) or status:
        return client.from_problem(status, {"code": error.code}, {}).exit_code if status else None
    if error.__module__.split(".")[0] == "app":
        return None
    return client.exit_code_of(error.__new__(error))


def _is_ours(error: type[Exception]) -> bool:
    return error.__module__.split(".")[0] in {package.__name__ for package in PACKAGES}


def _below(error: type[Exception]) -> Iterator[type[Exception]]:
    for each in error.__subclasses__():
        yield each
        yield from _below(each)


def _modules(package: ModuleType) -> Iterator[str]:
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not found.name.endswith("__main__"):
            yield found.name
