"""Private files, keyrings, profiles, enrolments, short ids: what lies on this side."""

import io
import os
import stat
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from rogatory import enrolment, errors, ids, private_files, profile
from rogatory.keyring import Keyring, PassphraseNeeded, load_identities, load_signing_key
from rogatory.private_files import FileExists, FileExposed
from rogatory.profile import Profile, ProfileMalformed, ProfileMissing, ProfileNameRefused, Title

from custody import leaf, statement
from custody.registry import Registry
from custody.sealing import NoMatchingIdentity, generate_identity, open_sealed
from tests.custody.parties import ORIGIN, Chain

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)


@pytest.fixture
def ring(tmp_path):
    return Keyring(tmp_path / "keys")


def test_generated_keys_are_private_files_and_load_again(ring, tmp_path):
    made, principal = ring.generate_authority(kind="x25519"), ring.generate_principal()
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "keys").rglob("*") if path.is_file()}
    assert modes == {0o600}
    again = ring.authority()
    assert (again.authority.public, again.recovery.public) == (made.authority.public, made.recovery.public)
    assert again.encryption.recipient == made.encryption.recipient
    assert ring.principal().records("ab" * 16) == principal.records("ab" * 16)


def test_the_recovery_key_lies_apart_with_a_note(ring, tmp_path):
    ring.generate_authority(recovery_directory=tmp_path / "stick")
    assert not (tmp_path / "keys" / "recovery").exists()
    [note] = [path for path in (tmp_path / "stick").iterdir() if path.suffix == ".txt"]
    assert "lock them away" in note.read_text()
    assert ring.authority().recovery is None


def test_keys_are_never_overwritten(ring):
    ring.generate_principal()
    before = (ring.directory / "login.pem").read_bytes()
    with pytest.raises(FileExists):
        ring.generate_principal()
    assert (ring.directory / "login.pem").read_bytes() == before


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o602])
def test_a_key_that_others_can_touch_is_refused(ring, mode):
    ring.generate_principal()
    path = ring.directory / "statement.pem"
    path.chmod(mode)
    with pytest.raises(FileExposed) as refused:
        load_signing_key(path)
    assert "chmod 600" in refused.value.hint


def test_a_passphrase_locks_and_only_it_opens(tmp_path):
    asked = []

    def say(path):
        asked.append(path.name)
        return b"correct horse"

    Keyring(tmp_path, say).generate_principal()
    assert b"ENCRYPTED" in (tmp_path / "login.pem").read_bytes()
    assert load_signing_key(tmp_path / "login.pem", say).public.alg == "es256"
    with pytest.raises(PassphraseNeeded):
        load_signing_key(tmp_path / "login.pem")
    with pytest.raises(PassphraseNeeded):
        load_signing_key(tmp_path / "login.pem", lambda _: b"wrong")
    assert set(asked) == {"statement.pem", "login.pem"}


def test_other_tools_read_the_keys(ring):
    made = ring.generate_authority(kind="x25519")
    pem = subprocess.run(
        ["openssl", "pkey", "-in", ring.directory / "authority.pem", "-pubout", "-outform", "DER"],
        check=True,
        capture_output=True,
    )
    assert pem.stdout == made.authority.public.spki
    assert load_identities(ring.directory / "encryption.age")[0].recipient == made.encryption.recipient
    found = subprocess.run(
        ["age-keygen", "-y", ring.directory / "encryption.age"], check=True, capture_output=True, text=True
    )
    assert found.stdout.strip() == str(made.encryption.recipient)


def test_a_private_file_is_never_half_there(tmp_path, monkeypatch):
    def fail(_):
        raise OSError("no")

    monkeypatch.setattr(private_files.os, "fsync", fail)
    with pytest.raises(OSError, match="no"):
        private_files.create(tmp_path / "key", b"secret")
    assert not (tmp_path / "key").exists()


def test_enrolments_are_what_a_registry_takes(ring):
    keys, mine = ring.generate_authority(kind="x25519"), ring.generate_principal()
    common = {"origin": ORIGIN, "authority": "police.nl", "at": NOW}
    chain, registry = Chain(leaf.registry_handle(ORIGIN, "police.nl").hex()), Registry("police.nl")
    first = enrolment.enrol_authority(keys, name="Politie", country="NL", **common)
    said = enrolment.enrol_principal(keys.authority, mine, roles=["sender", "receiver"], **common)
    principal = enrolment.subject_id(said)
    new = Keyring(ring.directory.parent / "new").generate_authority(kind="x25519").encryption.recipient
    rows = [
        ("authority.enrolled", first),
        ("principal.enrolled", said),
        (
            "role.granted",
            enrolment.change_role(keys.authority, principal=principal, role="approver", granted=True, **common),
        ),
        (
            "role.ended",
            enrolment.change_role(keys.authority, principal=principal, role="sender", granted=False, **common),
        ),
        ("key.added", enrolment.add_key(keys.authority, new, use="encryption", **common)),
        (
            "key.revoked",
            enrolment.revoke_key(keys.authority, key=keys.encryption.recipient.key_id, reason="old", **common),
        ),
    ]
    for index, (event, one) in enumerate(rows, start=1):
        registry.apply(chain.add(event, one), one, index=index)
    assert registry.roles(principal) == {"approver", "receiver"}
    assert [key.public for key in registry.keys(use="encryption")] == [str(new)]
    assert enrolment.authority_fingerprint(first) in registry.founders


def test_a_principal_can_ask_without_the_authoritys_key(ring):
    keys, mine = ring.generate_authority(kind="x25519"), ring.generate_principal()
    asked = enrolment.request_principal(mine, origin=ORIGIN, authority="police.nl", roles=["sender"], at=NOW)
    done = enrolment.approve(statement.parse(asked.envelope), keys.authority)
    assert done.id == asked.id
    done.verify(keys.authority.public)
    done.verify(mine.login.public)


def made(tmp_path, name="default"):
    one = Profile.at(tmp_path / name, server="https://x/", origin="x/log", authority="police.nl")
    one.save()
    return one


def test_a_profile_comes_back_as_it_was_saved(tmp_path):
    one = made(tmp_path)
    assert Profile.load(home=tmp_path) == one
    assert profile.names(tmp_path) == ["default"]
    assert stat.S_IMODE((tmp_path / "default" / "profile.json").stat().st_mode) == 0o600


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"server": 1}', '{"unknown": "x"}'])
def test_what_is_no_profile_is_malformed(tmp_path, text):
    made(tmp_path)
    private_files.replace(tmp_path / "default" / "profile.json", text.encode())
    with pytest.raises(ProfileMalformed):
        Profile.load(home=tmp_path)


def test_an_absent_profile_is_missing_and_a_bad_name_refused(tmp_path):
    with pytest.raises(ProfileMissing):
        Profile.load("other", home=tmp_path)
    for name in ("../up", "", "A", "a/b"):
        with pytest.raises(ProfileNameRefused):
            Profile.load(name, home=tmp_path)


def test_the_environment_chooses_home():
    assert profile.home_directory({"ROGATORY_HOME": "/chosen"}) == profile.Path("/chosen")


def test_a_title_is_sealed_on_disk_and_read_with_our_key_only(tmp_path):
    one = made(tmp_path)
    Keyring(one.keys).generate_authority()
    one.lock_title("ab" * 16, Title("Operation Tulip", "2026/4711"))
    assert one.title("ab" * 16) == Title("Operation Tulip", "2026/4711")
    assert one.title("cd" * 16) is None
    kept = b"".join(path.read_bytes() for path in (one.directory / "titles").iterdir())
    assert b"Tulip" not in kept
    assert b"4711" not in kept
    with pytest.raises(NoMatchingIdentity):
        open_sealed(io.BytesIO(kept), [generate_identity()])


def test_short_ids_are_unambiguous_beginnings():
    known = ["aabbccdd00" + "0" * 22, "aabbccdd11" + "0" * 22, "ff" * 16]
    assert ids.resolve("ff", known) == "ff" * 16
    assert ids.resolve(known[0], known) == known[0]
    with pytest.raises(ids.AmbiguousId):
        ids.resolve("aabb", known)
    for absent in ("0", "", "zz"):
        with pytest.raises(ids.UnknownId):
            ids.resolve(absent, known)
    for one in known:
        assert ids.resolve(ids.short(one, known), known) == one


@pytest.mark.parametrize(
    ("status", "code", "exit_code", "kind"),
    [
        (401, "token-refused", 4, errors.AuthenticationFailed),
        (404, "not-found", 6, errors.NotFound),
        (410, "gone", 6, errors.NotFound),
        (422, "clock-skew", 23, errors.TimeProblem),
        (422, "statement-refused", 7, errors.ServiceRefusal),
        (400, "bad-request", 3, errors.Malformed),
        (429, "overloaded", 5, errors.Temporary),
        (503, "store-down", 5, errors.Temporary),
        (507, "store-full", 5, errors.Temporary),
        (403, "not-entitled", 7, errors.ServiceRefusal),
    ],
)
def test_a_problem_has_its_type_and_exit_code(status, code, exit_code, kind):
    found = errors.from_problem(status, {"code": code, "detail": "why"}, {"retry-after": "3"})
    assert (type(found).exit_code, found.code, found.retry_after) == (exit_code, code, 3)
    assert isinstance(found, kind)
    assert "why" in str(found)


@pytest.mark.parametrize("problem", [None, [], "text", {"code": 1}, {"detail": {}}])
def test_an_answer_without_a_problem_document_is_a_refusal_all_the_same(problem):
    assert errors.from_problem(500, problem, {"retry-after": "soon"}).code == "http-500"


def test_importing_the_package_loads_nothing_heavy():
    code = "import sys, rogatory; sys.exit(any(name in sys.modules for name in ('cryptography', 'httpx', 'custody')))"
    path = os.pathsep.join(["client", "."])
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": path})
