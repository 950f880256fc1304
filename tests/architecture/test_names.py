"""Names that other programs rely on: they stay where they are, with the arguments they have."""

import ast
import importlib
import inspect
from pathlib import Path

import pytest

import custody

ROOT = Path(__file__).resolve().parents[2]
PROMISED = {
    "custody": "CustodyError FormatError VerificationError verify_bundle",
    "custody.merkle": "leaf_hash node_hash root verify_inclusion verify_consistency",
    "custody.note": "SignerKey VerifierKey open_note",
    "custody.sealing": "Identity Recipient generate_identity open_sealed seal",
    "custody.canonical": "decode encode",
}
SIGNATURES = {
    "custody.canonical:encode": "obj",
    "custody.canonical:decode": "data",
    "custody.merkle:leaf_hash": "data",
    "custody.merkle:root": "leaves",
    "custody.merkle:verify_inclusion": "*index *size *leaf *path *root",
    "custody.merkle:verify_consistency": "*size1 *size2 *root1 *root2 *path",
    "custody.note:open_note": "data verifiers",
    "custody.sealing:generate_identity": "kind",
    "custody.sealing:open_sealed": "source identities",
    "custody.sealing:seal": "source target recipients",
    "custody:verify_bundle": "path trust",
}
METHODS = {
    "custody.note:VerifierKey": "parse",
    "custody.sealing:Identity": "parse",
    "custody.sealing:Recipient": "parse",
}


def find(where):
    module, _, name = where.partition(":")
    return getattr(importlib.import_module(module), name)


@pytest.mark.parametrize("where", [f"{module}:{name}" for module, names in PROMISED.items() for name in names.split()])
def test_a_promised_name_is_where_it_was_promised(where):
    assert callable(find(where))


@pytest.mark.parametrize("where", SIGNATURES)
def test_a_promised_function_is_called_as_promised(where):
    parameters = inspect.signature(find(where)).parameters.values()
    needed = [each for each in parameters if each.default is each.empty and each.kind is not each.VAR_POSITIONAL]
    found = [f"*{each.name}" if each.kind is each.KEYWORD_ONLY else each.name for each in needed]
    wanted = SIGNATURES[where].split()
    if where == "custody.sealing:generate_identity" and not found:
        found = [next(iter(parameters)).name]
    assert found == wanted


@pytest.mark.parametrize("where", METHODS)
def test_a_promised_class_parses_text(where):
    assert callable(getattr(find(where), METHODS[where]))


def test_what_custody_lists_is_there():
    assert len(set(custody.__all__)) == len(custody.__all__)
    assert {name for name in custody.__all__ if not hasattr(custody, name)} == set()


def test_what_custody_offers_is_listed():
    tree = ast.parse((ROOT / "custody/__init__.py").read_text("utf-8"))
    froms = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module.startswith("custody")]
    assert {alias.name for node in froms for alias in node.names} == set(custody.__all__)


@pytest.mark.parametrize("command", ["rogatory", "rogatory-server"])
def test_the_commands_keep_their_names(command):
    files = [ROOT / "pyproject.toml", ROOT / "client/pyproject.toml"]
    assert any(f"\n{command} = " in path.read_text("utf-8") for path in files)
