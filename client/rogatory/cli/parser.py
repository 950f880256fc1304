"""From the command table to parsed arguments, and to the help of each command.

The words of a command are found first, the longest that fit; only then is a parser made, for that command alone.
Common options may stand before or after the words.
"""

import argparse
import difflib
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from rogatory.cli.command import Argument, Command, CommandProblem, flag, option

PROGRAM = "rogatory"
WIDTH = 100
COMMON: tuple[Argument, ...] = (
    flag("--json", about="print one JSON object on stdout, and errors as one too"),
    flag("-q", "--quiet", about="no progress, no notes"),
    option(
        "--profile",
        about="profile to use (also ROGATORY_PROFILE; else the one chosen by `profile use`)",
        metavar="NAME",
    ),
    option(
        "--passphrase-file",
        about="file whose first line opens locked keys",
        metavar="FILE",
        type=Path,
        completes="file",
    ),
    option("--passphrase-fd", about="open file descriptor to read the passphrase from", metavar="N", type=int),
)
ENVIRONMENT: tuple[tuple[str, str], ...] = (
    ("ROGATORY_HOME", "directory of the profiles"),
    ("ROGATORY_PROFILE", "profile to use where --profile is not given"),
    ("ROGATORY_DEBUG", "anything: show the traceback of an error"),
    ("NO_COLOR", "anything: no colours"),
    ("HTTPS_PROXY, NO_PROXY", "proxy to the service, and hosts reached without it"),
)
EXIT_CODES: tuple[tuple[int, str], ...] = (
    (0, "done; for `verify`: verified"),
    (1, "internal error"),
    (2, "usage: what was typed does not fit"),
    (3, "malformed: a file or an answer cannot be understood"),
    (4, "authentication failed"),
    (5, "temporary: line, store or disk; try again"),
    (6, "not found, or not for you to see"),
    (7, "refused by a rule"),
    (8, "partly done"),
    (20, "tampered: bytes are not those that were signed for"),
    (21, "incomplete: something demanded is missing or was not checked"),
    (22, "signer or quorum: not signed by whom it must be"),
    (23, "time: outside its bounds, or a clock is off"),
    (24, "unsupported: of a version unknown here"),
    (25, "rollback: the log is not a continuation of the one known"),
    (130, "interrupted"),
)


class HelpAsked(Exception):
    """Somebody asked for help; `text` is it."""

    def __init__(self, text: str) -> None:
        super().__init__("help")
        self.text = text


class _Parser(argparse.ArgumentParser):
    """Refuses by raising, so that the program alone decides how an error looks."""

    def error(self, message: str) -> NoReturn:
        raise CommandProblem(message, hint=f"{self.prog} --help")


def parse(argv: Sequence[str], sections: Mapping[str, Sequence[Command]]) -> tuple[Command, argparse.Namespace]:
    """The command that is meant, and its arguments.

    Raises:
        HelpAsked: `--help`, or nothing at all was typed.
        CommandProblem: No such command, or arguments that do not fit it.
    """
    commands = {command.words: command for section in sections.values() for command in section}
    before, words, after = _split(argv)
    if not words and "--version" in before:
        words, before = ["version"], [word for word in before if word != "--version"]
    asked = not words or words[0] == "help" or any(word in ("-h", "--help") for word in before)
    if words[:1] == ["help"]:
        words = words[1:]
    for count in (3, 2, 1):
        name = " ".join(words[:count])
        if len(words) >= count and name in commands:
            rest = words[count:]
            if asked or _asks_help([*rest, *after]):
                raise HelpAsked(help_of(commands[name]))
            return commands[name], parser_of(commands[name]).parse_intermixed_args([*before, *rest, *after])
    start = " ".join(words)
    group = [command for name, command in commands.items() if words and f"{name} ".startswith(f"{start} ")]
    if group and (asked or _asks_help(after)):
        raise HelpAsked(help_of_group(start, group))
    if group:
        further = sorted({name.removeprefix(f"{start} ").split()[0] for name in (each.words for each in group)})
        raise CommandProblem(f"{start!r} needs one of: {', '.join(further)}", hint=f"{PROGRAM} {start} --help")
    if not words:
        raise HelpAsked(help_of_all(sections))
    raise _unknown(words, commands)


def _split(argv: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
    """Common options before the words, everything from the first word up to an option, the rest."""
    valued = {name for argument in COMMON if argument.takes_value for name in argument.names}
    place = 0
    while place < len(argv) and argv[place].startswith("-"):
        place += 2 if argv[place] in valued else 1
    end = place
    while end < len(argv) and not argv[end].startswith("-"):
        end += 1
    return list(argv[:place]), list(argv[place:end]), list(argv[end:])


def _asks_help(rest: Sequence[str]) -> bool:
    until = rest.index("--") if "--" in rest else len(rest)
    return any(word in ("-h", "--help") for word in rest[:until])


def _unknown(words: Sequence[str], commands: Iterable[str]) -> CommandProblem:
    typed, first = " ".join(words[:3]), {name.split()[0] for name in commands}
    beginnings = {" ".join(name.split()[:count]) for name in commands for count in (1, 2, 3)}
    near = difflib.get_close_matches(typed, beginnings, n=1) or difflib.get_close_matches(words[0], first, n=1)
    return CommandProblem(
        f"there is no command {(words[0] if words[0] not in first else typed)[:100]!r}",
        hint=f"did you mean `{PROGRAM} {near[0]}`?" if near else f"{PROGRAM} --help lists them",
    )


def parser_of(command: Command) -> argparse.ArgumentParser:
    """The parser of one command, common options included."""
    parser = _Parser(prog=f"{PROGRAM} {command.words}", add_help=False, allow_abbrev=False)
    for argument in (*command.arguments, *COMMON):
        parser.add_argument(*argument.names, help=argparse.SUPPRESS, **argument.options)
    return parser


def usage(command: Command) -> str:
    """The usage line."""
    if command.form:
        return f"{PROGRAM} {command.words} {command.form}"
    positionals = [argument.shown for argument in command.arguments if not argument.is_option]
    needed = [argument.shown for argument in command.arguments if argument.is_option and argument.needed]
    free = any(argument.is_option and not argument.needed for argument in command.arguments)
    return " ".join([PROGRAM, command.words, *positionals, *needed, *(["[options]"] if free else [])])


def help_of(command: Command) -> str:
    """Everything about one command."""
    positionals = [(a.shown, a.help) for a in command.arguments if not a.is_option]
    options = [(", ".join((*a.names[:-1], a.shown)), a.help) for a in command.arguments if a.is_option]
    common = [(", ".join((*a.names[:-1], a.shown)), a.help) for a in COMMON]
    blocks = [
        f"usage: {usage(command)}",
        _sentence(command.summary),
        *(_fill(paragraph) for paragraph in command.about.split("\n\n") if paragraph),
        _listed("arguments", positionals),
        _listed("options", options),
        _listed("common options", common),
        "examples:\n" + "\n".join(f"  {line}" for line in command.examples) if command.examples else "",
        _fill(f"next: {command.then}") if command.then else "",
    ]
    return "\n\n".join(block for block in blocks if block)


def help_of_group(word: str, group: Sequence[Command]) -> str:
    """What stands under one word."""
    rows = [(command.words, command.summary) for command in group]
    return "\n\n".join(
        [f"usage: {PROGRAM} {word} …", _listed("commands", rows), f"{PROGRAM} {group[0].words} --help says more."]
    )


def help_of_all(sections: Mapping[str, Sequence[Command]]) -> str:
    """The overview."""
    lists = [
        _listed(title, [(command.words, command.summary) for command in section]) for title, section in sections.items()
    ]
    codes = "; ".join(f"{code} {meaning.split(':')[0].split(';')[0].split(',')[0]}" for code, meaning in EXIT_CODES)
    return "\n\n".join(
        [
            f"usage: {PROGRAM} COMMAND …",
            "Hands digital evidence from one authority to another, and proves the chain of custody offline.",
            *lists,
            _listed("common options", [(", ".join((*a.names[:-1], a.shown)), a.help) for a in COMMON]),
            _listed("environment", list(ENVIRONMENT)),
            _fill(f"exit codes: {codes}"),
            f"{PROGRAM} COMMAND --help says more, with examples and what comes next.",
        ]
    )


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."


def _fill(text: str) -> str:
    return textwrap.fill(text, WIDTH, break_on_hyphens=False, break_long_words=False)


def _listed(title: str, rows: Sequence[tuple[str, str]]) -> str:
    if not rows:
        return ""
    width = min(max(len(name) for name, _ in rows), 34)
    lines = [f"{title}:"]
    for name, about in rows:
        head = f"  {name.ljust(width)}  "
        body = textwrap.wrap(about, WIDTH - width - 4, break_on_hyphens=False) or [""]
        if len(name) > width:
            lines.append(f"  {name}")
            head = " " * (width + 4)
        lines.append(head + body[0])
        lines += [" " * (width + 4) + line for line in body[1:]]
    return "\n".join(lines)


def in_json_mode(argv: Sequence[str]) -> bool:
    """Whether the answer must be JSON, also where the rest of the line cannot be parsed."""
    until = argv.index("--") if "--" in argv else len(argv)
    return "--json" in argv[:until]


def arguments() -> list[str]:
    """What was typed."""
    return sys.argv[1:]
