"""Help is instant because it imports nothing, says what comes next, and is the same everywhere it stands."""

import json
import os
import subprocess
import sys

import pytest
from rogatory.cli import completion, guide
from rogatory.cli.parser import EXIT_CODES
from rogatory.cli.table import SECTIONS

from tests.cli.conftest import ROOT, spawn

COMMANDS = [command for section in SECTIONS.values() for command in section]
WORDS = [command.words for command in COMMANDS]
HEAVY = (
    "cryptography",
    "blake3",
    "orjson",
    "httpx",
    "custody",
    "rogatory.client",
    "rogatory.errors",
    "rogatory.profile",
)


def test_help_imports_neither_cryptography_nor_the_sdk():
    code = f"""
import sys
from rogatory.cli.program import main
for words in {[*WORDS, "", "keys", "log", "keys generate"]!r}:
    main([*words.split(), "--help"])
main([])
sys.stderr.write(" ".join(sys.modules))
"""
    done = spawn(code=code)
    assert done.returncode == 0
    loaded = set(done.stderr.split())
    assert [name for name in HEAVY if name in loaded] == []


@pytest.mark.parametrize("words", WORDS)
def test_every_command_says_how_it_is_used(run, words):
    done = run(*words.split(), "--help")
    assert done.code == 0
    assert done.out.startswith(f"usage: rogatory {words}")
    assert "examples:" in done.out
    assert "--json" in done.out
    assert done.err == ""


@pytest.mark.parametrize("command", COMMANDS, ids=WORDS)
def test_examples_can_be_parsed_and_arguments_have_help(command):
    assert command.examples
    assert all(argument.help for argument in command.arguments)
    assert not command.summary.endswith(".")


def test_the_overview_names_every_command(run):
    shown = run().out
    assert [words for words in WORDS if f"  {words}  " not in shown] == []


def test_words_may_be_shortened_to_their_group(run):
    assert "keys generate principal" in run("keys", "--help").out
    assert "keys show" not in run("keys", "generate", "--help").out
    done = run("keys")
    assert done.code == 2
    assert "generate, recover, regrant, revoke, rotate, show" in done.err


def test_help_is_a_word_too(run):
    assert run("help", "log", "mirror").out == run("log", "mirror", "--help").out
    assert run("log", "--help").out.startswith("usage: rogatory log EXCHANGE")


def test_a_command_misspelt_is_guessed(run):
    done = run("recieve")
    assert (done.code, done.out) == (2, "")
    assert done.err == "error: there is no command 'recieve'\nhint: did you mean `rogatory receive`?\n"


def test_the_guide_is_the_one_the_table_makes():
    assert (ROOT / "docs/guide/cli.md").read_text("utf-8") == guide.page(), "run `make docs`"


def test_the_guide_tells_every_command_option_and_exit_code():
    page = guide.page()
    assert [words for words in WORDS if f"\n## rogatory {words}\n" not in page] == []
    names = {name for command in COMMANDS for argument in command.arguments for name in argument.names}
    assert [name for name in names if name.startswith("-") and name not in page] == []
    assert {0, 1, 2, 3, 4, 5, 6, 7, 8, 20, 21, 22, 23, 24, 25, 130} == {code for code, _ in EXIT_CODES}


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_completions_know_every_word_and_option(run, shell):
    script = run("completion", shell).out
    assert [word for words in WORDS for word in words.split() if word not in script] == []
    assert "limit-rate" in script


def test_completions_for_bash_complete():
    script = completion.script("bash", COMMANDS)
    asked = (
        script
        + """
ask() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _rogatory; echo "${COMPREPLY[*]}"; }
ask rogatory ke
ask rogatory keys generate ''
ask rogatory --json receipt acc
ask rogatory send disk --lim
ask rogatory completion z
ask rogatory log mi
"""
    )
    done = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["keys", "authority principal", "accept", "--limit-rate", "zsh", "mirror"]


def test_version_is_one_object(run):
    assert set(run("version", "--json").json) == {"rogatory", "custody", "python"}
    assert run("--version").out == run("version").out


def test_help_under_json_is_an_object_too():
    assert set(json.loads(spawn("keys", "--help", "--json").stdout)) == {"help"}


def test_a_reader_that_has_seen_enough_causes_no_traceback():
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "rogatory.cli", "--help"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert done.stderr == ""
