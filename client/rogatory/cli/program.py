"""The program: finds the command, runs it, turns whatever happens into one result or one error and an exit code."""

import errno
import os
import sys
import traceback
from collections.abc import Sequence

from rogatory.cli import parser
from rogatory.cli.command import CommandProblem, Outcome
from rogatory.cli.table import SECTIONS
from rogatory.cli.tui import Terminal

INTERNAL, MALFORMED, TEMPORARY, NOT_FOUND, REFUSED, INTERRUPTED = 1, 3, 5, 6, 7, 130
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT} if hasattr(errno, "EDQUOT") else {errno.ENOSPC})


def main(argv: Sequence[str] | None = None) -> int:
    """Run `rogatory` with these arguments (the process's own by default) and return its exit code."""
    typed = list(argv if argv is not None else parser.arguments())
    terminal = Terminal(json_mode=parser.in_json_mode(typed))
    try:
        try:
            command, args = parser.parse(typed, SECTIONS)
        except parser.HelpAsked as asked:
            return _finish(Outcome({"help": asked.text}, asked.text), terminal)
        terminal = Terminal.of(args)
        return _finish(command.run(args, terminal), terminal)
    except BrokenPipeError:
        _silence_stdout()
        return INTERNAL
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the one place where everything ends
        return _explain(error, terminal)


def _finish(outcome: Outcome, terminal: Terminal) -> int:
    terminal.result(outcome.result, outcome.text)
    return outcome.exit_code


def _explain(error: BaseException, terminal: Terminal) -> int:
    """Say what went wrong, and give the exit code for it."""
    if os.environ.get("ROGATORY_DEBUG"):
        traceback.print_exception(error)
    code, message, hint, exit_code = _meaning(error, terminal)
    terminal.error(message, code=code, hint=hint)
    return exit_code


def _meaning(error: BaseException, terminal: Terminal) -> tuple[str, str, str | None, int]:
    """Code, message, hint, exit code."""
    if isinstance(error, CommandProblem):
        return error.code, str(error), error.hint, error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", "interrupted", terminal.resumable or "nothing was left half done", INTERRUPTED
    if isinstance(error, OSError):
        return _system(error, terminal.resumable)
    code, message, hint, exit_code = _known(error)
    return code, message, hint or (terminal.resumable if exit_code == TEMPORARY else None), exit_code


def _known(error: BaseException) -> tuple[str, str, str | None, int]:
    from custody.errors import CustodyError
    from rogatory.errors import ClientError, exit_code_of

    if isinstance(error, ClientError):
        return error.code, str(error), error.hint, error.exit_code
    if isinstance(error, CustodyError):
        return error.code, str(error), getattr(error, "hint", None), exit_code_of(error)
    hint = "set ROGATORY_DEBUG=1 and report what it shows; nothing you typed is wrong"
    return "internal", f"{type(error).__name__}: {error}", hint, INTERNAL


def _system(error: OSError, resumable: str | None) -> tuple[str, str, str | None, int]:
    where = f"{error.filename}: " if error.filename else ""
    message = f"{where}{error.strerror or error}"
    match error:
        case FileNotFoundError():
            return "file-missing", message, None, NOT_FOUND
        case FileExistsError():
            return "file-exists", message, "choose another name; nothing is overwritten", REFUSED
        case PermissionError():
            return "permission-denied", message, "check who owns the file and its mode", REFUSED
        case IsADirectoryError() | NotADirectoryError():
            return "usage", message, None, 2
    if error.errno in _FULL:
        return "disk-full", message, f"make room; {resumable or 'then run the same command again'}", TEMPORARY
    return "system", message, resumable, TEMPORARY


def _silence_stdout() -> None:
    """Keep the interpreter from complaining at exit that nobody reads any more."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        return
