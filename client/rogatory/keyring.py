"""Where private keys lie: one file each, mode 0600, in the formats that other tools read too.

Signing keys are PKCS#8 PEM (`openssl pkey` reads them), with a passphrase if one is given; a passphrase comes from a
callable, never from an argument list or the environment. Encryption identities are age identity files (`age -i`),
which know no passphrase here: keep them on an encrypted disk.

    authority.pem     signs the authority's registry           statement.pem   signs a principal's statements
    encryption.age    opens what was sealed to the authority   login.pem       logs the principal in
    recovery/recovery.pem   revokes the authority's last key: belongs in a safe, not on this machine

A key that is to follow another lies beside it as `<name>.next` until the registry has it; then it takes its place. An
old signing key is gone with that, old encryption identities stay in their file, after the one in use: they open what
was sealed before.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from custody.keys import KeyLocked, KeyRecord, SigningKey
from custody.sealing import HYBRID, Identity, generate_identity, parse_identity_file
from rogatory import private_files
from rogatory.errors import AuthenticationFailed

Passphrase = Callable[[Path], bytes]
"""Asked for the passphrase of a key file; called only when one is needed."""

AUTHORITY, RECOVERY, ENCRYPTION = "authority.pem", "recovery.pem", "encryption.age"
STATEMENT, LOGIN = "statement.pem", "login.pem"
RECOVERY_DIRECTORY = "recovery"
_NEXT = ".next"
_NOTE = "KEEP-THIS-ELSEWHERE.txt"
_RECOVERY_NOTE = """The key beside this note is the recovery key of authority keys {key_id}.

It can revoke and replace every other key of the authority, also when the last of them was stolen or lost. Nobody
needs it from day to day. Move this directory to two storage media, lock them away in two safes of two people, and
delete it here. Whoever has it speaks for the authority.
"""


class PassphraseNeeded(AuthenticationFailed):
    """A key file is locked and nobody was there to ask, or the answer was wrong."""

    code = "passphrase-needed"


@dataclass(frozen=True)
class AuthorityKeys:
    """The keys of an authority; `recovery` is there when they were just made or its file is at hand."""

    authority: SigningKey
    encryption: Identity
    recovery: SigningKey | None = None

    def records(self, authority: str) -> list[KeyRecord]:
        """As a registry names them, sorted by id."""
        records = [
            KeyRecord.of(self.authority.public, use="authority", holder=authority),
            KeyRecord.of(self.encryption.recipient, use="encryption", holder=authority),
        ]
        if self.recovery:
            records.append(KeyRecord.of(self.recovery.public, use="recovery", holder=authority))
        return sorted(records, key=lambda record: record.id)


@dataclass(frozen=True)
class PrincipalKeys:
    """The keys of a client or officer."""

    statement: SigningKey
    login: SigningKey

    def records(self, principal: str) -> list[KeyRecord]:
        """As a registry names them, sorted by id."""
        records = [
            KeyRecord.of(self.statement.public, use="statement", holder=principal),
            KeyRecord.of(self.login.public, use="login", holder=principal),
        ]
        return sorted(records, key=lambda record: record.id)


class Keyring:
    """A directory of private keys.

    Args:
        directory: Where they lie; made with mode 0700 when keys are generated.
        passphrase: Asked when a key is encrypted, and on generating, when it should be; None for no passphrase.
    """

    def __init__(self, directory: Path, passphrase: Passphrase | None = None) -> None:
        self.directory = directory
        self._passphrase = passphrase

    def __repr__(self) -> str:
        return f"Keyring({str(self.directory)!r})"

    def generate_authority(self, *, recovery_directory: Path | None = None, kind: str = HYBRID) -> AuthorityKeys:
        """Make an authority's keys: its own, its recovery key (in a directory of its own, with a note), its identity.

        Args:
            recovery_directory: Where the recovery key goes, best another medium; `recovery/` inside by default.
            kind: `mlkem768x25519` or `x25519`.

        Raises:
            FileExists: One of the files is there; keys are never overwritten.
        """
        apart = recovery_directory or self.directory / RECOVERY_DIRECTORY
        self._refuse_taken(self.directory / AUTHORITY, self.directory / ENCRYPTION, apart / RECOVERY)
        keys = AuthorityKeys(SigningKey.generate(), generate_identity(kind), SigningKey.generate())
        assert keys.recovery is not None
        self._store(apart / RECOVERY, keys.recovery)
        note = _RECOVERY_NOTE.format(key_id=keys.authority.public.id)
        private_files.replace(apart / _NOTE, note.encode())
        self._store(self.directory / AUTHORITY, keys.authority)
        store_identity(self.directory / ENCRYPTION, keys.encryption)
        return keys

    def generate_principal(self) -> PrincipalKeys:
        """Make a principal's keys: Ed25519 for statements, ES256 to log in.

        Raises:
            FileExists: One of the files is there.
        """
        self._refuse_taken(self.directory / STATEMENT, self.directory / LOGIN)
        keys = PrincipalKeys(SigningKey.generate(), SigningKey.generate("es256"))
        self._store(self.directory / STATEMENT, keys.statement)
        self._store(self.directory / LOGIN, keys.login)
        return keys

    def authority(self, *, recovery_directory: Path | None = None) -> AuthorityKeys:
        """The authority's keys; the recovery key too where its file is found."""
        recovery = (recovery_directory or self.directory / RECOVERY_DIRECTORY) / RECOVERY
        return AuthorityKeys(
            self.key(AUTHORITY),
            load_identities(self.directory / ENCRYPTION)[0],
            load_signing_key(recovery, self._passphrase) if recovery.exists() else None,
        )

    def key(self, name: str) -> SigningKey:
        """One signing key by the name of its file, also `recovery.pem` where this is the directory it lies in."""
        return load_signing_key(self.directory / name, self._passphrase)

    def principal(self) -> PrincipalKeys:
        """The principal's keys."""
        return PrincipalKeys(
            load_signing_key(self.directory / STATEMENT, self._passphrase),
            load_signing_key(self.directory / LOGIN, self._passphrase),
        )

    def next_key(self, name: str, *, alg: str = "ed25519", like: Path | None = None) -> SigningKey:
        """The key to follow the one in file `name`: made now, or by a change that was interrupted; see `take_next`.

        Args:
            name: `authority.pem`, `statement.pem` or `login.pem`.
            alg: Of the new key.
            like: Locked with a passphrase if this file is, with the same; by default like the key it follows.

        Raises:
            FileMissing: The file to be like is not there.
            PassphraseNeeded: It is locked, and nobody can be asked.
        """
        waiting, pattern = self.directory / f"{name}{_NEXT}", like or self.directory / name
        ask = self._passphrase
        if not waiting.exists():
            locked = b"ENCRYPTED" in private_files.read(pattern)
            load_signing_key(pattern, ask)  # so that a wrong passphrase never locks a new key
            private_files.create(waiting, SigningKey.generate(alg).to_pem(ask(pattern) if ask and locked else None))
        return load_signing_key(waiting, None if ask is None else lambda _: ask(pattern))

    def next_identity(self, kind: str) -> Identity:
        """The identity to follow the one in use, likewise."""
        waiting = self.directory / f"{ENCRYPTION}{_NEXT}"
        current = load_identities(self.directory / ENCRYPTION)[0].recipient
        if waiting.exists() and load_identities(waiting)[0].recipient == current:
            waiting.unlink()  # it took its place, and whoever put it there could not tidy up
        if not waiting.exists():
            store_identity(waiting, generate_identity(kind))
        return load_identities(waiting)[0]

    def has_next(self, name: str) -> bool:
        """Whether a change of the key in file `name` was interrupted."""
        return (self.directory / f"{name}{_NEXT}").exists()

    def take_next(self, name: str) -> None:
        """Let the next key take its place, once the registry has it. Of encryption identities the older ones stay."""
        waiting, place = self.directory / f"{name}{_NEXT}", self.directory / name
        if name == ENCRYPTION:
            older = private_files.read(place) if place.exists() else b""
            private_files.replace(place, private_files.read(waiting) + older)
            waiting.unlink()
        else:
            waiting.replace(place)
        private_files.sync_directory(self.directory)

    def _refuse_taken(self, *paths: Path) -> None:
        for path in paths:
            private_files.make_directory(path.parent)
            if path.exists():
                raise private_files.FileExists(f"{path} is there already, and keys are not overwritten")

    def _store(self, path: Path, key: SigningKey) -> None:
        passphrase = self._passphrase(path) if self._passphrase else None
        private_files.create(path, key.to_pem(passphrase or None))


def load_signing_key(path: Path, passphrase: Passphrase | None = None) -> SigningKey:
    """The key of a PEM file.

    Raises:
        FileMissing, FileExposed: Not there, or readable by others.
        PassphraseNeeded: Locked, and no passphrase or a wrong one came.
        KeyMalformed: Not a private key used here.
    """
    pem = private_files.read(path)
    try:
        if b"ENCRYPTED" not in pem:
            return SigningKey.from_pem(pem)
        if passphrase is None:
            raise PassphraseNeeded(f"{path} is locked with a passphrase, and nobody can be asked")
        return SigningKey.from_pem(pem, passphrase(path))
    except KeyLocked as error:
        raise PassphraseNeeded(f"{path}: {error}") from error


def load_identities(path: Path) -> list[Identity]:
    """The identities of an age identity file, at least one.

    Raises:
        FileMissing, FileExposed: Not there, or readable by others.
        IdentityMalformed: Not an identity file; the message names the line, never its content.
    """
    return parse_identity_file(private_files.read(path).decode("utf-8", "replace"))


def store_identity(path: Path, identity: Identity) -> None:
    """Write a new age identity file.

    Raises:
        FileExists: The name is taken.
    """
    private_files.create(path, f"# recipient: {identity.recipient}\n{identity}\n".encode())
