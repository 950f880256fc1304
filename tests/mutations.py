"""Every single refusal of our verifier is switched off, one at a time, and some vector must notice.

    python -m tests.mutations [MODULE…]

A refusal is a `raise`, an operand of an `or` that leads to one, or a branch that words one. Each is given a switch, once,
and all vectors are asked which switches they come by; then each is switched off alone, and the vectors that came by it are
asked again. A refusal that none of them misses is printed, unless `tests/unmissed.py` says why; the exit code is their number.
"""

import ast
import contextlib
import functools
import importlib
import json
import signal
import sys
import tempfile
import threading
from pathlib import Path

from custody import sealing
from custody.errors import CustodyError
from tests.custody import test_log_vectors as log_vectors
from tests.custody import test_record_vectors as record_vectors
from tests.unmissed import REASONS
from tests.verifier import test_bundle_vectors as bundles

ROOT = Path(__file__).resolve().parents[1]
CHECKLIST = (
    "case", "chains", "clock", "disk", "evidence", "form", "mirror", "proving", "signing", "stamps", "succession", "views",
)  # fmt: skip
BASE = (
    "archive", "batch", "bundle", "canonical", "checkpoint", "checkpoint_text", "cosignature", "decimal", "der", "ed25519",
    "entry", "events", "exchange", "keys", "leaf", "manifest", "merkle", "note", "packing", "policy", "proof", "registry",
    "renewal", "schema", "sealing.header", "statement", "tail", "text", "timestamp", "trust", "verify",
)  # fmt: skip
MODULES = (*(f"checklist.{name}" for name in CHECKLIST), *BASE)
PATIENCE_S = 20
"""A vector answers in well under a second; a verifier that hangs has noticed too."""


# ---------------------------------------------------------------- switches


class Switches:
    """Which refusal is off, and which ones are come by."""

    def __init__(self):
        self.lines, self.off, self.seen = [], -1, set()

    def add(self, module, function, line):
        self.lines.append((module, function, line))
        return len(self.lines) - 1

    def on(self, number):
        """Whether a refusal that is come by is made."""
        self.seen.add(number)
        return number != self.off

    def true(self, number, value):
        """A condition that leads to a refusal; never true while it is off."""
        return value and self.on(number) and value


class Switched(ast.NodeTransformer):
    """Give every refusal in a module its switch."""

    def __init__(self, switches, module):
        self._switches, self._module, self._inside = switches, module, []

    def _within(self, node):
        self._inside.append(node.name)
        found = self.generic_visit(node)
        self._inside.pop()
        return found

    def visit_FunctionDef(self, node):
        return self._within(node)

    def visit_ClassDef(self, node):
        return self._within(node)

    def _call(self, name, line, *arguments):
        number = self._switches.add(self._module, ".".join(self._inside), line)
        function = ast.Attribute(ast.Name("_switches", ast.Load()), name, ast.Load())
        return ast.Call(function, [ast.Constant(number), *arguments], [])

    def visit_Raise(self, node):
        return ast.copy_location(ast.If(self._call("on", node.lineno), [node], []), node)

    def visit_If(self, node):
        worded = any(isinstance(step, ast.Assign) and named(step) for step in node.body)
        refused = any(isinstance(step, ast.Raise) for step in node.body)
        if isinstance(node.test, ast.BoolOp) and isinstance(node.test.op, ast.Or) and (worded or refused):
            node.test.values = [self._call("true", each.lineno, each) for each in node.test.values]
        elif worded and not refused:
            node.test = self._call("true", node.lineno, node.test)
        return self.generic_visit(node)


def named(step):
    return any(isinstance(target, ast.Name) and target.id in {"message", "error"} for target in step.targets)


def codes(code):
    """Qualified name → code of every function in a module's code."""
    for inner in code.co_consts:
        if isinstance(inner, type(code)):
            yield inner.co_qualname, inner
            yield from codes(inner)


def functions(module):
    """Qualified name → function of a module and its classes, under whatever decorator."""
    for holder in [module, *(value for value in vars(module).values() if isinstance(value, type))]:
        for value in list(vars(holder).values()):
            found = getattr(value, "fget", None) or getattr(value, "func", None) or getattr(value, "__wrapped__", value)
            found = getattr(found, "__func__", found)
            if getattr(found, "__module__", None) == module.__name__ and hasattr(found, "__code__"):
                yield found.__qualname__, found


@contextlib.contextmanager
def switched(switches, names):
    """The modules with a switch at every refusal."""
    before = []
    for name in names:
        module = importlib.import_module(f"custody.{name}")
        tree = Switched(switches, name).visit(ast.parse(Path(module.__file__).read_text(encoding="utf-8")))
        made = dict(codes(compile(ast.fix_missing_locations(tree), module.__file__, "exec")))
        module._switches = switches
        for qualname, function in functions(module):
            before.append((function, function.__code__))
            if qualname in made and made[qualname].co_freevars == function.__code__.co_freevars:
                function.__code__ = made[qualname]
    try:
        yield
    finally:
        for function, code in before:
            function.__code__ = code


# ---------------------------------------------------------------- vectors


class Question:
    """What a vector asks: called, it gives the verifier's answer, of which `right` says whether the vector expects it."""

    def __init__(self, ask, right):
        self._ask, self.right = ask, right

    def __call__(self):
        return self._ask()


def fact(operations, path):
    vector = json.loads(path.read_text(encoding="utf-8"))
    expected = vector["expect"], vector.get("output")

    def ask():
        try:
            return "ok", operations[vector["op"]](vector["input"])
        except CustodyError as error:
            return error.code, None

    return Question(ask, lambda said: said == expected)


def header(path):
    vector = json.loads(path.read_text(encoding="utf-8"))

    def ask():
        try:
            sealing.check_header(vector["header"].encode(), kind=vector["kind"], count=vector["count"])
        except CustodyError as error:
            return error.code
        return "ok"

    return Question(ask, lambda said: said == vector["expect"])


def bundle(path):
    expect = json.loads(path.read_text(encoding="utf-8"))["expect"]

    def ask():
        with tempfile.TemporaryDirectory() as name:
            report = bundles.judged(path, Path(name))
        if "checks" not in report:
            return report
        rows = [(check["id"], check["status"], check.get("code"), check.get("place", {})) for check in report["checks"]]
        return rows, report["exit_code"]

    def right(said):
        if isinstance(said, dict):
            return bundles.misses(said, expect) is None
        checks = [dict(zip(("id", "status", "code", "place"), row, strict=True)) for row in said[0]]
        return bundles.misses({"checks": checks, "exit_code": said[1]}, expect) is None

    return Question(ask, right)


def questions():
    """Every vector by its name."""
    found = {path.stem: bundle(path) for path in bundles.FILES}
    for module in (log_vectors, record_vectors):
        found |= {path.stem: fact(module.OPERATIONS, path) for path in module.FILES}
    sealed = sorted((ROOT / "tests" / "vectors" / "sealing").glob("header-*.json"))
    return found | {path.stem: header(path) for path in sealed}


class Hanging(Exception):
    """A verifier that did not come to an end."""


def answer(ask):
    """What the verifier says; a crash and a hang are answers too."""
    forget()
    try:
        return patiently(ask)
    except Exception as error:  # noqa: BLE001 - a crash is noticed
        return f"crash: {type(error).__name__}"


def patiently(ask):
    def ring(_signal, _frame):
        raise Hanging

    if threading.current_thread() is not threading.main_thread():
        return ask()
    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE_S)
    try:
        return ask()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def forget():
    """What was remembered was so under another switch."""
    for name, module in list(sys.modules.items()):
        if name.startswith("custody"):
            for value in vars(module).values():
                if isinstance(value, functools._lru_cache_wrapper):
                    value.cache_clear()
    record_vectors.known.cache_clear()


# ---------------------------------------------------------------- the run


def missed_by(switches, asked, names, *, chosen=None):
    """(module, function, line, how many come by) of each refusal that no vector misses; `chosen`: which, by number, in order."""
    came_by, before = {}, {}
    for name, ask in asked.items():
        switches.seen = set()
        before[name] = answer(ask)
        assert ask.right(before[name]), name
        for number in switches.seen:
            came_by.setdefault(number, []).append(name)
    for number in range(len(switches.lines)) if chosen is None else chosen:
        module, function, line = switches.lines[number]
        if module not in names:
            continue
        switches.off = number
        noticed = any(answer(asked[name]) != before[name] for name in came_by.get(number, ()))
        switches.off = -1
        if not noticed:
            yield module, function, line, len(came_by.get(number, ()))


def unmissed(names=MODULES, chosen=lambda count: None):
    """Refusals that no vector misses, as `missed_by` gives them, and how many there are; `chosen` picks some of so many."""
    asked, switches = questions(), Switches()
    with switched(switches, names):
        return list(missed_by(switches, asked, names, chosen=chosen(len(switches.lines)))), len(switches.lines)


def main():
    found, count = unmissed(tuple(sys.argv[1:]) or MODULES)
    found = [row for row in found if row[:2] not in REASONS]
    for module, function, line, came_by in found:
        path = f"custody/{module.replace('.', '/')}.py"
        text = (ROOT / path).read_text(encoding="utf-8").splitlines()[line - 1].strip()
        sys.stdout.write(f"{path}:{line}: nobody misses this refusal, {came_by} come by it, in {function}: {text}\n")
    sys.stdout.write(f"{len(found)} of {count} refusals that nobody misses and tests/unmissed.py does not explain\n")
    return min(len(found), 100)


if __name__ == "__main__":
    sys.exit(main())
