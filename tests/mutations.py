"""Deep: every single refusal of the verifier is taken out, one at a time, and some vector must notice.

    python -m tests.mutations [MODULE…]

What the tests of the verifier give it is recorded once; then each `raise` in the modules of the checks becomes `pass`,
and the records are verified again until a report says something else than before, or raises. A refusal that nobody
misses is printed; the exit code is their number. It takes minutes.
"""

import ast
import copy
import importlib
import sys
import tempfile
from pathlib import Path

import pytest

from tests.custody.world import World

ROOT = Path(__file__).resolve().parents[1]
_CHECKLIST = ("case", "chains", "clock", "disk", "evidence", "form", "mirror", "proving", "signing", "views")
MODULES = (
    *(f"checklist.{name}" for name in _CHECKLIST),
    "exchange",
    "registry",
)
RECORDED = ("test_verify_mutations.py", "test_verify_attacks.py", "test_verify.py")
LEFT_OUT = "garbage or flipped or either_of_two or processes or without_it"


class Recorder:
    """What `World.verify` was asked and what it said."""

    def __init__(self):
        self.asked = []

    def record(self):
        verify, asked = World.verify, self.asked

        def recording(world, files=None, trust=None, **options):
            files, trust = files or world.bundle(), trust or world.trust()
            report = verify(world, files, trust, **options)
            asked.append((files, trust, options, said(report)))
            return report

        World.verify = recording
        try:
            names = [str(ROOT / "tests" / "custody" / name) for name in RECORDED]
            assert pytest.main(["-q", "-p", "no:xdist", "-k", f"not ({LEFT_OUT})", *names]) == 0
            self._add_vectors()
        finally:
            World.verify = verify

    def _add_vectors(self):
        """What only one check finds; made here, because the tests of it blind the check."""
        module = importlib.import_module("tests.custody.test_verify_mutations")
        for make in module.ONLY.values():
            make(Path(tempfile.mkdtemp())).verify()


def said(report):
    return [(check.id, check.status, check.code) for check in report.checks], report.exit_code


def notices(asked):
    """Whether any record gets another report than before; those that noticed last are asked first."""
    for number, (files, trust, options, before) in enumerate(asked):
        try:
            after = said(World.verify(None, files, trust, **options))
        except Exception:  # noqa: BLE001 - a crash is noticed
            after = None
        if after != before:
            asked.insert(0, asked.pop(number))
            return True
    return False


class Removal(ast.NodeTransformer):
    """Take out the raise with this number, counted through the module."""

    def __init__(self, number):
        self.left, self.line = number, 0

    def visit_Raise(self, node):
        self.left -= 1
        if self.left != -1:
            return node
        self.line = node.lineno
        return ast.copy_location(ast.Pass(), node)


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


def survivors(name, asked):
    """Lines of a module whose refusal nobody misses."""
    module = importlib.import_module(f"custody.{name}")
    tree = ast.parse(Path(module.__file__).read_text())
    own = dict(functions(module))
    for number in range(sum(isinstance(node, ast.Raise) for node in ast.walk(tree))):
        removal = Removal(number)
        changed = ast.fix_missing_locations(removal.visit(copy.deepcopy(tree)))
        mutated = dict(codes(compile(changed, module.__file__, "exec")))
        before = {qualname: function.__code__ for qualname, function in own.items()}
        try:
            for qualname, function in own.items():
                if qualname in mutated:
                    function.__code__ = mutated[qualname]
            missed = notices(asked)
        finally:
            for qualname, function in own.items():
                function.__code__ = before[qualname]
        if not missed:
            yield removal.line


def main():
    recorder = Recorder()
    recorder.record()
    asked = [one for one in recorder.asked if not notices([one])]
    assert len(asked) > 0.9 * len(recorder.asked), "what was recorded is not what is said again"
    total = 0
    for name in sys.argv[1:] or MODULES:
        sys.stdout.write(f"{name}\n")
        for line in survivors(name, asked):
            total += 1
            sys.stdout.write(f"custody/{name.replace('.', '/')}.py:{line}: nobody misses this refusal\n")
            sys.stdout.flush()
    sys.stdout.write(f"{total} refusals that nobody misses, {len(asked)} records\n")
    return min(total, 100)


if __name__ == "__main__":
    sys.exit(main())
