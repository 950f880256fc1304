"""The edges where the service asks its store or commits: found in the source, and met while it runs."""

import ast
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from app.db.unit_of_work import UnitOfWork
from storage.interface import Store
from storage.local import LocalStore
from tests.app.running import ROOT

CALLS = tuple(sorted(name for name, value in vars(Store).items() if callable(value) and not name.startswith("_")))


class Point(NamedTuple):
    """A call in the source: where, and the how manieth of its name in its function."""

    module: str
    function: str
    call: str
    number: int


class Scan(ast.NodeVisitor):
    """The points of a module, by line."""

    def __init__(self, module):
        self.module, self.found, self._function = module, {}, ""
        self.visit(ast.parse((ROOT / module).read_text(encoding="utf-8")))

    def visit_FunctionDef(self, node):
        self._function, kept = node.name, self._function
        self.generic_visit(node)
        self._function = kept

    def visit_Call(self, node):
        self.generic_visit(node)
        if not isinstance(node.func, ast.Attribute):
            return
        owner, call = ast.unparse(node.func.value).split(".")[-1], node.func.attr
        if (owner, call) == ("uow", "commit") or (owner in {"store", "_store"} and call in CALLS):
            before = sum((each.function, each.call) == (self._function, call) for each in self.found.values())
            self.found[node.func.end_lineno] = Point(self.module, self._function, call, before)


def scanned(*modules):
    """(Module, line) → point."""
    return {(module, line): point for module in modules for line, point in Scan(module).found.items()}


def modules():
    """Modules of the service that could have points; commands of the operator answer no party."""
    return sorted(
        str(path.relative_to(ROOT))
        for path in (ROOT / "app").rglob("*.py")
        if not {"fsck", "main"} & set(path.parts[len(ROOT.parts) :])
    )


@contextmanager
def watched(points, reached):
    """Inside, `reached(point, go)` stands in the place of each call that is one of the points."""

    def around(owner, name):
        made = getattr(owner, name)

        def calling(*args, **more):
            frame = sys._getframe(1)
            path = Path(frame.f_code.co_filename)
            where = (str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else "", frame.f_lineno)
            if where not in points:
                return made(*args, **more)
            return reached(points[where], lambda: made(*args, **more))

        return calling

    with pytest.MonkeyPatch.context() as patch:
        for owner, names in ((UnitOfWork, ["commit"]), (LocalStore, CALLS)):
            for name in names:
                patch.setattr(owner, name, around(owner, name))
        yield
