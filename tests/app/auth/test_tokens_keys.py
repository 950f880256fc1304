"""The service's token keys: made once, kept private, rotated without a moment in which a good token fails."""

import base64
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from app.auth import private_files, token_keys
from app.auth.private_files import PrivateFileExposed
from app.auth.token_keys import TokenKeyMalformed, TokenKeys, key_id, rotate


def ids(keys):
    return [key["kid"] for key in keys.jwks()["keys"]]


def test_keys_made_once_are_found_again(tmp_path):
    first = TokenKeys.load(tmp_path / "keys")
    assert ids(TokenKeys.load(tmp_path / "keys")) == ids(first)
    assert len(set(ids(first))) == 2


def test_two_processes_that_start_at_once_end_with_the_same_keys(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: ids(TokenKeys.load(tmp_path)), range(16)))
    assert {tuple(each) for each in found} == {tuple(ids(TokenKeys.load(tmp_path)))}


def test_files_and_directory_are_the_owners_alone(tmp_path):
    rotate(tmp_path / "keys")
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "keys").iterdir()}
    assert modes == {"current.pem": 0o600, "next.pem": 0o600, "previous.pem": 0o600}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o610, 0o601, 0o666])
@pytest.mark.parametrize("name", ["current.pem", "next.pem", "previous.pem"])
def test_a_key_file_open_to_others_is_refused(tmp_path, name, mode):
    rotate(tmp_path)
    (tmp_path / name).chmod(mode)
    with pytest.raises(PrivateFileExposed, match=f"mode {mode:04o}, expected a regular file of mode 0600"):
        TokenKeys.load(tmp_path)


def test_a_key_file_that_is_a_link_or_a_directory_is_refused(tmp_path):
    TokenKeys.load(tmp_path)
    (tmp_path / "next.pem").rename(tmp_path / "elsewhere")
    (tmp_path / "next.pem").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PrivateFileExposed, match="symbolic link"):
        TokenKeys.load(tmp_path)
    (tmp_path / "next.pem").unlink()
    (tmp_path / "next.pem").mkdir()
    with pytest.raises(PrivateFileExposed, match="no regular file"):
        TokenKeys.load(tmp_path)


def foreign_keys():
    p384, p256 = ec.generate_private_key(ec.SECP384R1()), token_keys.generate()
    plain = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return {
        "empty": b"",
        "no pem": b"key",
        "p-384": p384.private_bytes(*plain),
        "ed25519": ed25519.Ed25519PrivateKey.generate().private_bytes(*plain),
        "encrypted": p256.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")),
    }


@pytest.mark.parametrize("data", foreign_keys().values(), ids=foreign_keys())
def test_a_file_with_anything_but_a_plain_p256_key_is_refused(tmp_path, data):
    private_files.write(tmp_path / "current.pem", data)
    with pytest.raises(TokenKeyMalformed):
        TokenKeys.load(tmp_path)


def test_a_missing_current_key_is_never_silently_replaced(tmp_path):
    TokenKeys.load(tmp_path)
    (tmp_path / "current.pem").unlink()
    with pytest.raises(TokenKeyMalformed, match=r"has no current\.pem"):
        TokenKeys.load(tmp_path)


def test_a_rotation_moves_each_key_one_place_on(tmp_path):
    before = TokenKeys.load(tmp_path)
    after = rotate(tmp_path)
    assert ids(after)[0] == ids(before)[1]
    assert ids(after)[2] == ids(before)[0]
    assert ids(after)[1] not in ids(before)
    assert ids(TokenKeys.load(tmp_path)) == ids(after)


def test_a_rotation_after_a_theft_keeps_nothing(tmp_path):
    before = rotate(tmp_path)
    rotate(tmp_path, keep_previous=False)
    assert not set(ids(rotate(tmp_path, keep_previous=False))) & set(ids(before))


class Crash(BaseException):
    pass


@pytest.mark.parametrize("step", range(5))
@pytest.mark.parametrize("persisted", [True, False])
def test_a_crash_in_a_rotation_leaves_keys_that_load_and_know_the_current_one(tmp_path, monkeypatch, step, persisted):
    before = TokenKeys.load(tmp_path)
    steps = 0

    def crashing(function):
        def call(*args, **kwargs):
            nonlocal steps
            if steps == step and not persisted:
                raise Crash
            result = function(*args, **kwargs)
            if steps == step:
                raise Crash
            steps += 1
            return result

        return call

    with monkeypatch.context() as patch:
        for name in ("write", "write_new", "move"):
            patch.setattr(private_files, name, crashing(getattr(private_files, name)))
        try:
            rotate(tmp_path)
        except Crash:
            assert step < 3
        else:
            assert step >= 3
    after = TokenKeys.load(tmp_path)
    assert ids(before)[0] in ids(after)
    assert len({key_id(key.public_key()) for key in (after.current, after.next)}) == 2
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_the_published_set_is_public_and_each_key_of_it_checks_what_its_private_half_signs(tmp_path):
    keys = rotate(tmp_path)
    for published, private in zip(keys.jwks()["keys"], (keys.current, keys.next, keys.previous), strict=True):
        assert published.keys() == {"kty", "crv", "alg", "use", "kid", "x", "y"}
        x, y = (int.from_bytes(base64.urlsafe_b64decode(published[name] + "="), "big") for name in "xy")
        public = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
        assert public == private.public_key() == keys.find(published["kid"])
        assert key_id(public) == published["kid"]
    assert keys.find("0" * 64) is None


def test_keys_do_not_print_themselves(tmp_path):
    keys = TokenKeys.load(tmp_path)
    assert repr(keys) == f"TokenKeys({', '.join(ids(keys))})"


def test_a_failed_write_leaves_the_old_file_and_no_scratch(tmp_path):
    private_files.write(tmp_path / "f", b"old")
    (tmp_path / "d").mkdir()
    with pytest.raises(IsADirectoryError):
        private_files.write(tmp_path / "d", b"new")
    assert not private_files.write_new(tmp_path / "f", b"new")
    assert private_files.read_private(tmp_path / "f") == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d", "f"]


def test_a_full_disk_leaves_no_scratch(tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(private_files.os, "fsync", full)
    with pytest.raises(OSError, match="no space left"):
        private_files.write(tmp_path / "f", b"new")
    assert not list(tmp_path.iterdir())


def test_a_copied_state_directory_has_the_same_keys(tmp_path):
    first = TokenKeys.load(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert ids(TokenKeys.load(tmp_path / "b")) == ids(first)
