"""The command reference as Markdown, from the command table: `python -m rogatory.cli.guide > docs/guide/cli.md`."""

import sys
from collections.abc import Iterator

from rogatory.cli.command import Argument, Command
from rogatory.cli.parser import COMMON, ENVIRONMENT, EXIT_CODES, PROGRAM, usage
from rogatory.cli.table import SECTIONS


def page() -> str:
    """The whole page."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield f"# The command line `{PROGRAM}`"
    yield ""
    yield "Generated from the command table (`make docs`); `--help` of each command says the same."
    for title, section in SECTIONS.items():
        yield from ("", f"## {title[0].upper()}{title[1:]}", "")
        for command in section:
            yield f"- [`{PROGRAM} {command.words}`](#{PROGRAM}-{command.words.replace(' ', '-')}): {command.summary}"
    yield from ("", "## Everywhere", "")
    yield from _arguments(COMMON)
    yield from ("", "| variable | meaning |", "| --- | --- |")
    yield from (f"| `{name}` | {about} |" for name, about in ENVIRONMENT)
    yield from ("", "Results go to stdout, everything else to stderr. With `--json` exactly one object is printed")
    yield 'on stdout, also for an error: `{"error": {"code", "message", "hint"?}}`. Ids may be shortened to any'
    yield "unambiguous beginning."
    yield from ("", "| exit code | meaning |", "| --- | --- |")
    yield from (f"| {code} | {meaning} |" for code, meaning in EXIT_CODES)
    for section in SECTIONS.values():
        for command in section:
            yield from _command(command)


def _command(command: Command) -> Iterator[str]:
    yield from ("", f"## {PROGRAM} {command.words}", "", f"{command.summary[0].upper()}{command.summary[1:]}.")
    yield from ("", "```", usage(command), "```")
    if command.about:
        yield from ("", command.about)
    if command.arguments:
        yield ""
        yield from _arguments(command.arguments)
    if command.examples:
        yield from ("", "```sh", *command.examples, "```")
    if command.then:
        yield from ("", f"Next: {command.then}")


def _arguments(arguments: tuple[Argument, ...]) -> Iterator[str]:
    yield from ("| argument | meaning |", "| --- | --- |")
    for argument in arguments:
        names = ", ".join((*argument.names[:-1], argument.shown)) if argument.is_option else argument.shown
        needed = " (required)" if argument.is_option and argument.needed else ""
        yield f"| `{names.replace('|', '/')}` | {argument.help}{needed} |"


if __name__ == "__main__":
    sys.stdout.write(page())
