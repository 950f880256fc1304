"""Bundle vectors: every bundle that the tests of our verifier look at, with what it was asked and what it said.

A case is one JSON object (docs/spec/vectors.md): the bundle and what the reader brings, in base64, and our report. They are
made anew for each run, from the attacks of `tests.custody`, so that a new attack there is a new case here.
"""

import base64
import contextlib
import inspect
import json
from datetime import timedelta
from pathlib import Path

import pytest

from custody import words
from custody.errors import CustodyError
from tests.custody import test_verify_attacks as attacks
from tests.custody import test_verify_auditors as auditors
from tests.custody import test_verify_flips as flips
from tests.custody import test_verify_mutations as mutations
from tests.custody import world
from tests.custody.in_memory import verify_files
from tests.custody.world import World, packed, zipped

BROUGHT = ("items", "mirror", "since", "before")


def text(data):
    return base64.b64encode(data).decode()


def tree(path):
    """A file, or the files of a directory by their paths."""
    path = Path(path)
    if path.is_file():
        return text(path.read_bytes())
    return {str(file.relative_to(path)): text(file.read_bytes()) for file in sorted(path.rglob("*")) if file.is_file()}


def case(name, bundle, trust, options, report):
    """One vector."""
    found = {"about": name, "bundle": bundle, "report": json.loads(report.to_json())}
    found["texts"] = {language: report.text(language) for language in words.languages()}
    if trust is not None:
        found["trust"] = text(trust.encode())
    for option, value in options.items():
        if option in BROUGHT and value is not None:
            found[option] = tree(value)
        elif option == "before_trust":
            found[option] = text(value.encode())
        elif option == "now":
            found[option] = value.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        elif option == "allow_withheld":
            found[option] = value
    return found


@contextlib.contextmanager
def recording(cases, name):
    """Note every bundle that is verified meanwhile."""
    real = world.verify_bundle

    def noting(path, trust, **options):
        report = real(path, trust, **options)
        cases.append(case(name, tree(path), trust, options, report))
        return report

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world, "verify_bundle", noting)
        yield


def plain_tests(module):
    """The tests of a module that need no more than a directory."""
    for name, function in vars(module).items():
        marked = getattr(function, "pytestmark", ())
        if name.startswith("test_") and not marked and set(inspect.signature(function).parameters) <= {"tmp_path"}:
            yield name, function


def of_attacks(directory):
    """Everything an operator with the log key does, and everything done to what is handed out."""
    cases = []
    for attack, check, _ in attacks.REPAIRED:
        with recording(cases, f"{attack.__name__} {check}"):
            attack(attacks.honest(seen=check == "consistency")).verify()
    for number, (name, function) in enumerate([*plain_tests(attacks), *plain_tests(auditors)]):
        path = directory / str(number)
        path.mkdir()
        with recording(cases, name):
            function(*([path] if inspect.signature(function).parameters else []))
    return cases


def of_checks(directory):
    """For each check a bundle that only this check finds wrong; `only` names it."""
    cases = []
    for check, present in mutations.ONLY.items():
        path = directory / check
        path.mkdir()
        with recording(cases, f"only {check}"):
            present(path).verify()
        cases[-1]["only"] = check
    return cases


def ed25519_only(world):
    """A trust file of somebody who knows one key of the log only, which states no time."""
    return world.trust(log=(world.signers[0].verifier,))


def of_kinds(directory):
    """Honest bundles of every kind and container, with and without what a reader can bring."""
    cases = []
    whole, plain = World(witnesses=2, auditors=1).exchange("export"), World(kind="mlkem768x25519").exchange()
    files = whole.bundle("export")
    for item in plain.items:
        (directory / f"{item.id}.age").write_bytes(item.header + item.body)
    with recording(cases, "honest"):
        whole.verify(files)
        whole.verify(files, allow_withheld=True, now=world.START)
        whole.verify(zipped(files))
        whole.verify(zipped(files, compress=True))
        whole.verify(packed(files | {"entries.csv": files["entries.csv"][:-9]}))
        whole.verify(whole.bundle("registry"))
        whole.verify(whole.bundle("export", withheld={3, 8}), allow_withheld=True)
        whole.verify(whole.bundle("export", withheld={3, 8}))
        for count in (0, 1, 2):
            whole.verify(whole.bundle(checkpoint=whole.checkpoint(cosigners=whole.witnesses[:count])))
        plain.verify(trust=plain.trust(require=("items",)), items=directory)
        plain.verify(trust=World().trust())
        plain.verify(b"PK")
        for now in (world.START, world.START - timedelta(days=1)):
            whole.verify(
                whole.bundle(checkpoint=whole.checkpoint(signers=whole.signers[:1])), ed25519_only(whole), now=now
            )
    return cases


def of_damage(random, turns):
    """One bit of a byte, or a line; with the packing list as it was or made again, and in the archive."""
    names, archive = sorted(flips.FILES), zipped(flips.FILES, compress=True)
    for turn in turns:
        name = random.choice([name for name in names for _ in range(1 + flips.FILES[name].count(b"\n"))])
        data = bytearray(flips.FILES[name])
        if turn % 5 == 4 and data.count(b"\n") > 1:
            lines = bytes(data).splitlines(keepends=True)
            place = random.randrange(len(lines))
            changed = b"".join(random.choice([*flips.rearranged(lines)][place:])[2])
        else:
            data[random.randrange(len(data))] ^= 1 << random.randrange(8)
            changed = bytes(data)
        files = flips.FILES | {name: changed}
        if turn % 6 == 5:
            data = bytearray(archive)
            data[random.randrange(len(data))] ^= 1 << random.randrange(8)
            cases = []
            with recording(cases, "archive"):
                flips.WORLD.verify(bytes(data), flips.TRUST)
            yield cases[0]
            continue
        with contextlib.suppress(CustodyError):
            files = packed(files) if name != flips.LIST and turn % 2 else files
        report = verify_files(files, flips.TRUST)
        yield case(f"damage in {name}", {path: text(data) for path, data in files.items()}, flips.TRUST, {}, report)
