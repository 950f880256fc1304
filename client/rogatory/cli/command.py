"""What a command is, as data: the parser, the help, the guide and the completions are all made from it.

Nothing in a command's table imports anything of ours, so help is instant; `run` functions import what they need when
they are called.
"""

from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rogatory.cli.tui import Terminal


@dataclass(frozen=True)
class Argument:
    """An argument of a command, as `argparse` takes it.

    Attributes:
        names: A positional's one name, or an option's flags.
        help: One line.
        options: Further keywords of `add_argument`.
        completes: What completions offer: `file`, `directory` or nothing.
    """

    names: tuple[str, ...]
    help: str
    options: Mapping[str, Any] = field(default_factory=dict)
    completes: str = ""

    @property
    def is_option(self) -> bool:
        """Whether it begins with a dash."""
        return self.names[0].startswith("-")

    @property
    def takes_value(self) -> bool:
        """Whether a value follows an option."""
        return self.is_option and not str(self.options.get("action", "")).startswith(("store_", "help"))

    @property
    def shown(self) -> str:
        """As usage lines write it."""
        value = str(self.options.get("metavar") or self.names[-1].lstrip("-").replace("-", "_").upper())
        if "choices" in self.options:
            value = "{" + ",".join(self.options["choices"]) + "}"
        if not self.is_option:
            many = {"+": f"{value} [{value} …]", "*": f"[{value} …]", "?": f"[{value}]"}
            return many.get(str(self.options.get("nargs", "")), value)
        if self.options.get("nargs") == "?":
            value = f"[{value}]"
        return f"{self.names[-1]} {value}" if self.takes_value else self.names[-1]

    @property
    def needed(self) -> bool:
        """Whether the command refuses to run without it."""
        return bool(self.options.get("required")) or (
            not self.is_option and self.options.get("nargs") not in ("?", "*")
        )


@dataclass(frozen=True)
class Outcome:
    """What a command has to say when it is done.

    Attributes:
        result: The one JSON object of `--json`.
        text: The same for people; printed as it is, so text from elsewhere is escaped before it gets here.
        exit_code: 0, or what the result means to a script.
    """

    result: Mapping[str, Any]
    text: str = ""
    exit_code: int = 0


Run = Callable[[Namespace, "Terminal"], Outcome]


@dataclass(frozen=True)
class Command:
    """One command.

    Attributes:
        words: What is typed after `rogatory`.
        summary: One line for lists.
        run: Does it.
        arguments: Besides the common ones.
        about: What one should know before using it.
        examples: Lines that work as they stand, but for names.
        then: What one does next.
        form: The usage line after the words, where it cannot be told from the arguments.
    """

    words: str
    summary: str
    run: Run
    arguments: tuple[Argument, ...] = ()
    about: str = ""
    examples: tuple[str, ...] = ()
    then: str = ""
    form: str = ""


def positional(name: str, about: str, *, completes: str = "", **options: Any) -> Argument:
    """A positional argument."""
    return Argument((name,), about, options, completes)


def option(*flags: str, about: str, completes: str = "", **options: Any) -> Argument:
    """An option."""
    return Argument(flags, about, options, completes)


def flag(*flags: str, about: str) -> Argument:
    """An option without a value, off unless given."""
    return Argument(flags, about, {"action": "store_true"})


class CommandProblem(Exception):
    """What the command line itself refuses, before or beside anything the SDK does."""

    def __init__(self, message: str, *, code: str = "usage", hint: str | None = None, exit_code: int = 2) -> None:
        super().__init__(message)
        self.code, self.hint, self.exit_code = code, hint, exit_code
