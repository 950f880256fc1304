"""A witness: its keys, what it remembers of each log, and the rule that it remembers before it answers.

    name, ed25519.pem, mldsa44.pem      who it is; PKCS#8, mode 0600, made once
    logs/<hex H(origin)>                keys of a log it follows, as lines of a policy
    memory/<hex H(origin)>              the newest checkpoint cosigned: the note with the log's and our signatures
    forks/                              pairs of notes by which a log has shown two histories

A memory that is older than what was cosigned (a restored backup) would cosign a fork: never restore one, make a new
witness. Specification: docs/spec/witness.md.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Final

from custody import witness
from custody.checkpoint_text import Checkpoint
from custody.errors import CustodyError
from custody.note import KeyType, SignerKey, VerifierKey, parse_note
from custody.policy import Policy
from custody.witness import AddCheckpoint, NotContinued, Remembered
from rogatory import private_files
from rogatory.errors import Malformed, RolledBack
from rogatory.log import Mirror, MirrorReport, PublicLog

NAME: Final = "name"
KEYS: Final = {"ed25519.pem": KeyType.COSIGN_ED25519, "mldsa44.pem": KeyType.COSIGN_MLDSA44}


class WitnessMalformed(Malformed):
    """The directory holds no witness, or something else under its names."""

    code = "witness-malformed"


class LogForked(RolledBack):
    """The log has shown two histories; both notes were kept."""

    code = "log-forked"


class LogShrunk(RolledBack):
    """The log shows fewer leaves than this witness has cosigned."""

    code = "log-shrunk"


class NotComplete(RolledBack):
    """The log's newest checkpoint does not end in a tail leaf, so an auditor cannot speak of all labels."""

    code = "log-not-complete"


class Witness:
    """A witness in a directory.

    Args:
        directory: Made by `create`.

    Raises:
        FileMissing: There is no witness.
        FileExposed: A key can be read by others.
        WitnessMalformed: What is there is none.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.name = private_files.read(directory / NAME).decode("utf-8", "replace").strip()
        self.signers = tuple(_load(directory / file, self.name, kind) for file, kind in KEYS.items())

    @classmethod
    def create(cls, directory: Path, name: str) -> "Witness":
        """A new witness with new keys.

        Args:
            directory: Without a witness.
            name: Printable ASCII without blanks and plus; whose witness it is, in every cosignature.

        Raises:
            VkeyMalformed: The name is no name.
            FileExists: There is a witness.
        """
        private_files.make_directory(directory)
        for file, kind in KEYS.items():
            key = SignerKey.generate(name, kind)
            if not (directory / file).exists():
                private_files.create(directory / file, key.pem())
        private_files.create(directory / NAME, f"{name}\n".encode())
        return cls(directory)

    @property
    def keys(self) -> tuple[VerifierKey, ...]:
        """Public keys."""
        return tuple(signer.verifier for signer in self.signers)

    def follow(self, origin: str, keys: Sequence[VerifierKey]) -> None:
        """Cosign this log from now on, on the signatures of all of these keys."""
        lines = "".join(f"log {key}\n" for key in keys)
        private_files.make_directory(self.directory / "logs")
        private_files.replace(self.directory / "logs" / _place(origin), f"{lines}quorum none\n".encode())

    def logs(self) -> dict[str, tuple[VerifierKey, ...]]:
        """Origin → keys of each log that is followed.

        Raises:
            WitnessMalformed: A file there is no list of keys.
        """
        found = {}
        for path in sorted((self.directory / "logs").glob("[0-9a-f]*")):
            try:
                keys = Policy.parse(private_files.read(path).decode()).log
                found[keys[0].name] = keys
            except (CustodyError, ValueError, IndexError) as error:
                raise WitnessMalformed(f"{path} is no list of a log's keys: {error}") from error
        return found

    def held(self, origin: str) -> Remembered | None:
        """The newest checkpoint cosigned of a log."""
        return self.remembered(_place(origin))

    def remembered(self, place: str) -> Remembered | None:
        """The same by hex H(origin), as its address in the protocol has it.

        Raises:
            WitnessMalformed: What is remembered cannot be read: nothing is cosigned then.
        """
        path = self.directory / "memory" / place
        try:
            return Remembered.parse(private_files.read(path))
        except private_files.FileMissing:
            return None
        except CustodyError as error:
            raise WitnessMalformed(f"{path} is no note of a checkpoint: {error}") from error

    def cosign(self, request: AddCheckpoint, *, time: int) -> bytes:
        """Decide on a request. When this returns, what it answers is remembered, whatever happens to the machine.

        Args:
            request: As it came.
            time: POSIX seconds.

        Returns:
            Signature lines.

        Raises:
            WitnessRefusal: It is not cosigned; a leaf for what the protocol answers. Two histories were kept.
        """
        origin = Checkpoint.parse(parse_note(request.note).text).origin
        with self._held_still(origin):
            try:
                memory, lines = witness.cosign(
                    request, logs=self.logs(), held=self.held(origin), signers=self.signers, time=time
                )
            except NotContinued as refusal:
                if refusal.fork:
                    self._keep_fork(origin, refusal.fork)
                raise
            private_files.replace(self.directory / "memory" / _place(origin), memory.note)
        return lines

    def forks(self) -> list[Path]:
        """The notes kept as proof that a log shows two histories."""
        return sorted((self.directory / "forks").glob("[0-9a-f]*"))

    @contextmanager
    def _held_still(self, origin: str) -> Iterator[None]:
        """Nobody else reads or changes what is remembered of a log."""
        private_files.make_directory(self.directory / "memory")
        with private_files.hold(self.directory / "memory" / f".{_place(origin)}.lock", wait=True):
            yield

    def _keep_fork(self, origin: str, notes: Sequence[bytes]) -> None:
        private_files.make_directory(self.directory / "forks")
        for note in notes:
            checkpoint = Checkpoint.parse(parse_note(note).text)
            name = f"{_place(origin)[:16]}-{checkpoint.size}-{checkpoint.root.hex()[:16]}"
            if not (self.directory / "forks" / name).exists():
                private_files.create(self.directory / "forks" / name, note)


def once(
    found: Witness,
    origin: str,
    log: PublicLog,
    *,
    now: Callable[[], int] | None = None,
    verified: Callable[[], bytes] | None = None,
) -> Checkpoint:
    """Fetch the log's newest checkpoint, cosign it if it continues what is remembered, and hand the note back.

    Args:
        found: The witness.
        origin: A log it follows.
        log: The log, as anyone reads it.
        now: The clock, POSIX seconds.
        verified: An auditor's own check: gives the note of which it has checked every leaf.

    Returns:
        What was cosigned.

    Raises:
        LogShrunk: The log is smaller than what is remembered; the service was shown our note.
        LogForked: It has another history than what is remembered.
        LogNotSigned, OriginUnknown: It is not signed by the keys that are followed, or none are.
        LogAhead: The service says that it has lost leaves we cosigned.
    """
    held = found.held(origin)
    note = verified() if verified else log.checkpoint()
    shown = Checkpoint.parse(parse_note(note).text)
    known = held.checkpoint.size if held else 0
    if held and shown.size < known:
        log.hand_back(held.note)
        raise LogShrunk(
            f"the log shows {shown.size} leaves, this witness has cosigned {known}",
            hint="the service was shown our note and takes no entries; ask its operator which database it runs on",
        )
    path: Sequence[bytes] = log.consistency(known, shown.size) if 0 < known < shown.size else ()
    try:
        found.cosign(AddCheckpoint(known, tuple(path), note), time=(now or clock)())
    except NotContinued as error:
        raise LogForked(
            f"the log shows another history than the one cosigned: {error}",
            hint=f"stop using it and keep {found.directory}, above all forks/: it is the evidence",
        ) from error
    remembered = found.held(origin)
    assert remembered is not None
    log.hand_back(remembered.note)
    return shown


def mirror_log(mirror: Mirror, log: PublicLog, auditor: Witness | None = None) -> MirrorReport:
    """Bring a mirror up to date, every leaf checked; an auditor then cosigns what it holds, and nothing else.

    Raises:
        LogWrong, LogRolledBack: The mirror's checks; nothing is cosigned.
        NotComplete: The last leaf is no tail; nothing is cosigned.
        RolledBack: As for `once`.
    """
    report = mirror.update(log)
    if auditor is not None:
        if not report.complete:
            raise NotComplete(f"leaf {report.size - 1} of the log is no tail leaf, so nothing is said of what follows")
        once(auditor, mirror.origin, log, verified=mirror.note)
    return report


def clock() -> int:
    """POSIX seconds."""
    return int(time.time())


def policy_lines(keys: Sequence[VerifierKey], group: str) -> str:
    """The lines of a policy that name these keys as one authority's."""
    names = [f"{group}-{number}" for number in range(1, len(keys) + 1)]
    lines = [f"witness {name} {key}" for name, key in zip(names, keys, strict=True)]
    return "\n".join([*lines, f"group {group} any {' '.join(names)}"])


def _place(origin: str) -> str:
    return sha256(origin.encode()).hexdigest()


def _load(path: Path, name: str, kind: KeyType) -> SignerKey:
    try:
        return SignerKey.from_pem(name, kind, private_files.read(path))
    except CustodyError as error:
        raise WitnessMalformed(f"{path} holds no key of its kind: {error}") from error
