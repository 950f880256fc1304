"""`completion`: completions for bash, zsh and fish, made from the command table."""

from argparse import Namespace
from collections.abc import Iterator

from rogatory.cli.command import Argument, Command, Outcome, positional
from rogatory.cli.parser import COMMON, PROGRAM
from rogatory.cli.tui import Terminal

SHELLS = ("bash", "zsh", "fish")


def completion(args: Namespace, terminal: Terminal) -> Outcome:
    """Print the completions of a shell."""
    from rogatory.cli.table import SECTIONS

    del terminal
    commands = [command for section in SECTIONS.values() for command in section]
    text = script(args.shell, commands)
    return Outcome({"shell": args.shell, "script": text}, text)


def script(shell: str, commands: list[Command]) -> str:
    """The completions of a shell for these commands."""
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](commands)


def _options(command: Command) -> list[str]:
    return [name for argument in (*command.arguments, *COMMON) if argument.is_option for name in argument.names]


def _choices(command: Command) -> list[str]:
    return [
        str(choice)
        for argument in command.arguments
        if not argument.is_option
        for choice in argument.options.get("choices", ())
    ]


def _next_words(commands: list[Command]) -> dict[str, list[str]]:
    """What may follow each beginning of words."""
    following: dict[str, list[str]] = {}
    for command in commands:
        words = command.words.split()
        for place, word in enumerate(words):
            following.setdefault(" ".join(words[:place]), []).append(word)
    return {start: sorted(set(words)) for start, words in following.items()}


def _bash(commands: list[Command]) -> str:
    following = _next_words(commands)
    lines = [
        f"# completions of {PROGRAM} for bash: source <({PROGRAM} completion bash)",
        f"_{PROGRAM}() {{",
        "  local current=${COMP_WORDS[COMP_CWORD]} words=() word offer=",
        '  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do [[ $word == -* ]] || words+=("$word"); done',
        '  case "${words[*]}" in',
    ]
    for start in sorted({*following, *(command.words for command in commands)}, key=lambda name: (-len(name), name)):
        command = next((each for each in commands if each.words == start), None)
        offer = [*following.get(start, [])] + ([*_choices(command), *_options(command)] if command else [])
        pattern = f"'{start}'|'{start} '*" if command else f"'{start}'"
        lines.append(f'    {pattern}) offer="{" ".join(offer)}" ;;')
    lines += [
        "  esac",
        '  COMPREPLY=($(compgen -W "$offer" -- "$current"))',
        "}",
        f"complete -o bashdefault -o default -F _{PROGRAM} {PROGRAM}",
    ]
    return "\n".join(lines)


def _zsh(commands: list[Command]) -> str:
    return "\n".join(
        [
            f"#compdef {PROGRAM}",
            f"# completions of {PROGRAM} for zsh: source <({PROGRAM} completion zsh)",
            "autoload -U +X bashcompinit && bashcompinit",
            _bash(commands),
        ]
    )


def _fish(commands: list[Command]) -> str:
    lines = [f"# completions of {PROGRAM} for fish: {PROGRAM} completion fish | source", f"complete -c {PROGRAM} -f"]
    for start, words in sorted(_next_words(commands).items()):
        seen = f"__fish_seen_subcommand_from {start}" if start else "__fish_use_subcommand"
        for word in words:
            whole = f"{start} {word}".strip()
            about = next((command.summary for command in commands if command.words == whole), f"{word} …")
            lines.append(f"complete -c {PROGRAM} -n '{seen}' -a {word} -d {_quoted(about)}")
    for command in commands:
        seen = " && ".join(f"__fish_seen_subcommand_from {word}" for word in command.words.split())
        for argument in (*command.arguments, *COMMON):
            lines += _fish_argument(f"complete -c {PROGRAM} -n '{seen}'", argument)
    return "\n".join(lines)


def _fish_argument(start: str, argument: Argument) -> Iterator[str]:
    if not argument.is_option:
        if argument.completes:
            yield f"{start} -F"
        elif "choices" in argument.options:
            yield f"{start} -a {_quoted(' '.join(argument.options['choices']))}"
        return
    names = " ".join(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in argument.names)
    value = (" -r -F" if argument.completes else " -r") if argument.takes_value else ""
    yield f"{start} {names}{value} -d {_quoted(argument.help)}"


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


COMMANDS = (
    Command(
        "completion",
        "print completions for a shell",
        completion,
        (positional("shell", "the shell", choices=SHELLS, metavar="SHELL"),),
        examples=(
            "source <(rogatory completion bash)",
            "rogatory completion fish > ~/.config/fish/completions/rogatory.fish",
        ),
    ),
)
