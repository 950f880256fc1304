"""The terminal's rules: what goes where, who is asked, when it is quiet.

Results go to stdout, everything else to stderr. Colours and progress appear only on a terminal, colours never under
NO_COLOR. Text that came from a service, a bundle or a file is escaped before display; `escape` is what does it.
"""

import getpass
import json
import os
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TextIO

from rogatory.cli.command import CommandProblem

_COLOURS = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_EVERY = 0.2
_SMOOTH = 0.2
_BAR = 24


def escape(text: str, *, lines: bool = False) -> str:
    r"""Text with every character that could steer a terminal or reorder a line spelled out as `\u{…}`.

    Args:
        text: From anywhere.
        lines: Leave line feeds as they are.
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or (lines and character == "\n") else f"\\u{{{ord(character):x}}}"
        for character in text
    )


def size(count: float) -> str:
    """Bytes, for people."""
    unit = 0
    while count >= 1024 and unit < len(_UNITS) - 1:
        count /= 1024
        unit += 1
    return f"{count:.0f} {_UNITS[unit]}" if unit == 0 else f"{count:.1f} {_UNITS[unit]}"


def count(number: int, word: str) -> str:
    """How many of something."""
    return f"{number} {word}" + ("" if number == 1 else "s")


def duration(seconds: float) -> str:
    """Time left, for people."""
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, seconds = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def columns(rows: Iterable[Sequence[str]], *, head: Sequence[str] = ()) -> str:
    """Rows as aligned columns, every cell escaped; empty for no rows."""
    cells = [[escape(cell) for cell in row] for row in rows]
    if not cells:
        return ""
    if head:
        cells.insert(0, [title.upper() for title in head])
    widths = [max(len(row[place]) for row in cells) for place in range(len(cells[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )


def facts(pairs: Mapping[str, Any]) -> str:
    """Name and value, one a line; values that are None are left out."""
    return columns([(name, str(value)) for name, value in pairs.items() if value is not None])


class Terminal:
    """Where a command speaks.

    Args:
        json_mode: Print one JSON object on stdout, and nothing for people.
        quiet: No progress, no notes.
        passphrase_file: Its first line is the passphrase of every locked key.
        passphrase_fd: Likewise, from an open file descriptor.
    """

    def __init__(
        self,
        *,
        json_mode: bool = False,
        quiet: bool = False,
        passphrase_file: Path | None = None,
        passphrase_fd: int | None = None,
    ) -> None:
        self.json_mode, self.quiet = json_mode, quiet
        self.resumable: str | None = None
        """What to say if the user interrupts now."""
        self._file, self._descriptor = passphrase_file, passphrase_fd
        self._given: bytes | None = None
        self._asked: dict[Path, bytes] = {}
        for stream in (sys.stdout, sys.stderr):
            reconfigure = getattr(stream, "reconfigure", None)
            if reconfigure is not None:
                reconfigure(errors="backslashreplace")

    @classmethod
    def of(cls, args: Namespace) -> "Terminal":
        """The terminal that the common options ask for."""
        return cls(
            json_mode=args.json,
            quiet=args.quiet,
            passphrase_file=args.passphrase_file,
            passphrase_fd=args.passphrase_fd,
        )

    # ------------------------------------------------------------ speaking

    @property
    def interactive(self) -> bool:
        """Whether somebody can be asked."""
        return not self.json_mode and _is_terminal(sys.stdin) and _is_terminal(sys.stderr)

    def paint(self, text: str, colour: str, stream: TextIO | None = None) -> str:
        """Text in a colour, where the stream shows colours."""
        if not _is_terminal(stream or sys.stdout) or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
            return text
        return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m"

    def note(self, text: str) -> None:
        """Something to know, on stderr, for people only."""
        if not self.quiet and not self.json_mode:
            print(escape(text, lines=True), file=sys.stderr)  # noqa: T201 - this is the terminal

    def warn(self, text: str) -> None:
        """Something that must not be missed; also where it is quiet."""
        print(self.paint("warning: ", "yellow", sys.stderr) + escape(text), file=sys.stderr)  # noqa: T201

    def result(self, fields: Mapping[str, Any], text: str) -> None:
        """The result of a command, in the one form or the other."""
        if self.json_mode:
            print(json.dumps(fields, indent=None, sort_keys=True, default=str))  # noqa: T201
        elif text:
            print(text)  # noqa: T201
        sys.stdout.flush()

    def error(self, message: str, *, code: str, hint: str | None) -> None:
        """Why it did not work. In JSON the error is the one object on stdout."""
        if self.json_mode:
            error = {"code": code, "message": message} | ({"hint": hint} if hint else {})
            self.result({"error": error}, "")
            return
        print(self.paint("error: ", "red", sys.stderr) + escape(message), file=sys.stderr)  # noqa: T201
        if hint:
            print(self.paint("hint: ", "bold", sys.stderr) + escape(hint), file=sys.stderr)  # noqa: T201

    # ------------------------------------------------------------ asking

    def confirm(self, question: str) -> bool:
        """Ask for a yes, which must be spelled out. False where nobody can be asked."""
        if not self.interactive:
            return False
        print(f"{escape(question)} [yes/no] ", end="", file=sys.stderr, flush=True)  # noqa: T201
        return sys.stdin.readline().strip().lower() == "yes"

    def passphrase(self) -> "Callable[[Path], bytes] | None":
        """What answers when a locked key is met; None where nothing and nobody can."""
        if self._file is not None or self._descriptor is not None:
            return lambda _: self._from_outside()
        return self._ask_once if self.interactive else None

    def new_passphrase(self, *, wanted: bool) -> "Callable[[Path], bytes] | None":
        """What gives the passphrase for new keys: from outside, or asked twice where `wanted`; None for none."""
        if self._file is not None or self._descriptor is not None:
            return lambda _: self._from_outside()
        if not wanted:
            return None
        if not self.interactive:
            raise CommandProblem(
                "a passphrase is wanted and nobody can be asked", hint="give --passphrase-file or --passphrase-fd"
            )
        return self._ask_new

    def _from_outside(self) -> bytes:
        if self._given is None:
            if self._file is not None:
                data = self._file.read_bytes()
            else:
                assert self._descriptor is not None
                with os.fdopen(self._descriptor, "rb") as source:
                    data = source.read(64 * 1024)
            self._given = data.split(b"\n")[0].rstrip(b"\r")
            if not self._given:
                raise CommandProblem("the passphrase given is empty")
        return self._given

    def _ask_once(self, path: Path) -> bytes:
        if path not in self._asked:
            self._asked[path] = getpass.getpass(f"passphrase of {escape(str(path))}: ", sys.stderr).encode()
        return self._asked[path]

    def _ask_new(self, path: Path) -> bytes:
        if not self._asked:
            first = getpass.getpass("new passphrase: ", sys.stderr)
            if not first or first != getpass.getpass("the same again: ", sys.stderr):
                raise CommandProblem("the passphrases differ, or are empty")
            self._asked[path] = first.encode()
        return next(iter(self._asked.values()))

    # ------------------------------------------------------------ progress

    def progress(self, total: int | None, what: str) -> "Progress":
        """A bar on stderr, shown only to somebody who watches."""
        shown = not self.quiet and not self.json_mode and _is_terminal(sys.stderr)
        return Progress(total, what, sys.stderr if shown else None)


class Progress:
    """Bytes done, rate and time left. Use it as a context.

    Args:
        total: Bytes to do; None if nobody knows.
        what: A word or two before the bar.
        stream: Where it is drawn; None draws nothing.
        clock: Seconds, monotonic.
    """

    def __init__(
        self, total: int | None, what: str, stream: TextIO | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.total, self.done, self.what = total, 0, what
        self._stream, self._clock = stream, clock
        self._drawn = self._since = clock()
        self._counted, self._rate, self._width = 0, 0.0, 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._stream is not None and self._width:
            self._stream.write("\r" + " " * self._width + "\r")
            self._stream.flush()

    def advance(self, count: int) -> None:
        """`count` more bytes are done."""
        self.at(self.done + count)

    def at(self, done: int, total: int | None = None) -> None:
        """`done` bytes are done in all."""
        self.done = done
        self.total = self.total if total is None else total
        now = self._clock()
        if self._stream is None or now - self._drawn < _EVERY:
            return
        rate = (self.done - self._counted) / (now - self._drawn)
        self._rate = rate if not self._rate else _SMOOTH * rate + (1 - _SMOOTH) * self._rate
        self._drawn, self._counted = now, self.done
        self._draw()

    def line(self) -> str:
        """What is drawn."""
        rate = f"{size(self._rate)}/s"
        if not self.total:
            return f"{self.what}  {size(self.done)}  {rate}"
        share = min(1.0, self.done / self.total)
        bar = ("#" * round(share * _BAR)).ljust(_BAR, ".")
        left = duration((self.total - self.done) / self._rate) if self._rate > 0 else "-:--"
        return f"{self.what}  [{bar}] {share:4.0%}  {size(self.done)} of {size(self.total)}  {rate}  ETA {left}"

    def _draw(self) -> None:
        assert self._stream is not None
        text = escape(self.line())
        self._stream.write("\r" + text.ljust(self._width))
        self._stream.flush()
        self._width = len(text)


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # closed
        return False
