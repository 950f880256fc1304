"""Walls between the packages, and who alone may touch what."""

import ast
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLACES = {"custody": "custody", "storage": "storage", "app": "app", "client": "client/rogatory"}
WHEELS = {"rogatory-custody": "custody", "rfc3161-client": "rfc3161_client"}
MODULE_LINES = 400
FUNCTION_LINES = 40
LONGER = {"client/rogatory/connection.py:stream": 43}
"""What was longer when this was first measured, and may shrink only."""
OUTSIDE = {
    "asyncio", "ftplib", "http", "httpx", "imaplib", "requests", "select", "selectors", "smtplib", "socket",
    "socketserver", "sqlite3", "sqlalchemy", "ssl", "subprocess", "urllib.request", "uuid",
}  # fmt: skip
"""Modules that reach a network, a database or another process."""


@cache
def tree(path):
    return ast.parse(path.read_text("utf-8"))


def modules(*names):
    return sorted(path for name in names for path in (ROOT / PLACES[name]).rglob("*.py"))


@cache
def nodes(path):
    return list(ast.walk(tree(path)))


@cache
def imports(path):
    found = []
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found += (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found += (f"{node.module}.{alias.name}" for alias in node.names)
    return found


def importers(wanted, *names):
    return {
        path.relative_to(ROOT).as_posix()
        for path in modules(*names)
        if any(name == wanted or name.startswith(f"{wanted}.") for name in imports(path))
    }


@cache
def dotted(path):
    """Every `a.b.c` that a module spells."""
    return {ast.unparse(node) for node in nodes(path) if isinstance(node, ast.Attribute)}


def test_the_contracts_between_the_layers_are_kept():
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_only_the_token_gate_imports_jose():
    assert importers("jose", *PLACES) == {"app/auth/tokens.py"}


@pytest.mark.parametrize("room", ["services", "db", "auth", "jobs"])
def test_below_the_interface_nothing_knows_http(room):
    below = {
        name for name in importers("fastapi", "app") | importers("starlette", "app") if name.startswith(f"app/{room}/")
    }
    assert below == set()


@pytest.mark.parametrize("name", ["custody", "client"])
def test_a_wheel_holds_every_package_and_needs_what_it_imports(name):
    root = ROOT / PLACES[name]
    described = tomllib.loads((ROOT / name / "pyproject.toml").read_text("utf-8"))
    packages = described["tool"]["setuptools"]["packages"]
    if isinstance(packages, list):
        found = {".".join((root.name, *path.parent.relative_to(root).parts)) for path in root.rglob("__init__.py")}
        assert set(packages) == found
    needed = {re.split(r"[^A-Za-z0-9-]", each)[0] for each in described["project"]["dependencies"]}
    used = {each.split(".")[0] for path in modules(name) for each in imports(path)}
    foreign = used - set(sys.stdlib_module_names) - {root.name}
    assert foreign <= {WHEELS.get(each, each) for each in needed}


def test_only_the_settings_of_the_service_read_the_environment():
    readers = set()
    for path in modules("app", "storage", "custody"):
        names = {name.rpartition(".")[2] for name in [*dotted(path), *imports(path)]}
        if names & {"environ", "environb", "getenv", "getenvb"}:
            readers.add(path.relative_to(ROOT).as_posix())
    assert readers == {"app/settings.py"}


def check(paths, look):
    """Fails with every module that `look` finds something wrong with, and what."""
    found = {path.relative_to(ROOT).as_posix(): look(path) for path in paths}
    assert found, "there are modules"
    wrong = [f"{name}: {what}" for name, what in found.items() if what]
    assert not wrong, "\n".join(wrong)


def test_custody_reaches_no_network_no_database_and_no_process():
    def reached(path):
        return {
            name for name in set(imports(path)) if any(name == out or name.startswith(f"{out}.") for out in OUTSIDE)
        }

    check(modules("custody"), reached)


def test_custody_reads_no_clock():
    def asked(path):
        clocks = {name for name in dotted(path) if re.fullmatch(r"(.*\.)?(datetime|date)\.(now|utcnow|today)", name)}
        return clocks | {name for name in imports(path) if name == "time" or name.startswith("time.")}

    check(modules("custody"), asked)


def test_a_module_can_be_held_in_the_head():
    def too_long(path):
        lines = len(path.read_text("utf-8").splitlines())
        return lines if lines > LONGER.get(path.relative_to(ROOT).as_posix(), MODULE_LINES) else None

    check(modules(*PLACES), too_long)


def test_a_function_fits_a_screen():
    def too_long(path):
        place = path.relative_to(ROOT).as_posix()
        return [name for name, lines in functions(path) if lines > LONGER.get(f"{place}:{name}", FUNCTION_LINES)]

    check(modules(*PLACES), too_long)


def test_a_module_says_what_it_is():
    check(modules(*PLACES), lambda path: tree(path).body and not ast.get_docstring(tree(path)))


def test_a_module_is_named_for_a_thing():
    vague = {"utils", "helpers", "common", "misc", "base", "manager"}
    check(modules(*PLACES), lambda path: vague & {path.stem, path.parent.name})


def functions(path):
    """Name and lines of each function, its docstring left out: what is explained at length is no longer code for it."""
    for node in nodes(path):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            first = node.body[0]
            is_text = (
                isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and type(first.value.value) is str
            )
            docstring = first.end_lineno - first.lineno + 1 if is_text else 0
            yield node.name, node.end_lineno - node.lineno + 1 - docstring
