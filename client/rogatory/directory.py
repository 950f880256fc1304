"""The directory of authorities: their registries, each proven whole and pinned before anything is believed.

A registry is fetched as a bundle of kind `registry`. Only if its chain is whole from seq 0 to a tail proof in a
checkpoint that the trusted log signed and, where the trust file names witnesses, a quorum cosigned, and one of its
founding keys is pinned in the trust file, are its keys used. Inclusion alone is not enough: a revocation could be
hidden.
"""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from custody import batch, entry, leaf, merkle, packing, statement
from custody.bundle import Bundle, open_bundle
from custody.checkpoint import Checkpoint, open_checkpoint
from custody.entry import ZERO
from custody.errors import CustodyError, VerificationError
from custody.keys import KeyRecord
from custody.note import Note, NotSigned
from custody.registry import Registry
from custody.sealing import Recipient
from custody.tail import verify_absent
from custody.trust import Trust
from rogatory.connection import Connection
from rogatory.errors import RolledBack, SignerProblem, Tampered, TimeProblem, UsageProblem
from rogatory.records import LogUnsigned
from rogatory.statements import utc_now


class NotPinned(SignerProblem):
    """The trust file does not pin this authority, or pins other keys than its registry begins with."""

    code = "not-pinned"


class QuorumMissing(SignerProblem):
    """The checkpoint lacks the cosignatures the trust file demands."""

    code = "quorum-missing"


class RegistryStale(TimeProblem):
    """The checkpoint is older than the trust file allows for sealing to a key it proves."""

    code = "registry-stale"


class RegistryOutdated(RolledBack):
    """A registry is shown as of an earlier checkpoint than we have seen: what was revoked since could be missing."""

    code = "registry-outdated"


class RegistryWrong(Tampered):
    """A registry does not prove itself whole."""

    code = "registry-wrong"


class NoRecipientKey(UsageProblem):
    """An authority has no live encryption key of the kind wanted."""

    code = "no-recipient-key"


class RegistryBroken(VerificationError):
    """A registry bundle's parts do not fit each other."""

    code = "registry-broken"


@dataclass(frozen=True)
class KnownAuthority:
    """An authority whose registry was checked.

    Attributes:
        registry: Replayed to its end.
        checkpoint: It is whole as of here.
        signed_at: Seconds since 1970 of the newest signature with a time on that checkpoint; 0 if none bears one.
    """

    registry: Registry
    checkpoint: Checkpoint
    signed_at: int


@dataclass(frozen=True)
class RecipientKeys:
    """Live encryption keys of one authority, of one kind, sorted by id."""

    authority: str
    keys: tuple[KeyRecord, ...]

    def recipients(self) -> list[Recipient]:
        """As age recipients."""
        return [key.recipient() for key in self.keys]

    def fields(self) -> dict[str, object]:
        """As a manifest or grant names them."""
        return {"authority": self.authority, "keys": [key.id for key in self.keys]}


class Directory:
    """Registries behind a connection, checked against a trust file.

    Args:
        connection: Logged in.
        trust: Pins, log keys, witnesses, age.
        see: Told of every checkpoint that was checked, for rollback.
        held: The newest checkpoint seen before; no registry may be shown as of an older one.
        now: The clock.
    """

    def __init__(
        self,
        connection: Connection,
        trust: Trust,
        *,
        see: Callable[[bytes], object] = lambda _: None,
        held: Callable[[], Checkpoint | None] = lambda: None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._connection, self._trust, self._see, self._held, self._now = connection, trust, see, held, now

    def authority(self, authority: str) -> KnownAuthority:
        """Fetch and check an authority's registry as it stands now.

        Raises:
            NotPinned: The trust file does not pin it, or other keys.
            RegistryWrong: It does not prove itself whole, or was not signed as it must be.
            LogUnsigned: It is of another log than the trust file's.
            QuorumMissing: Too few witnesses.
            RegistryOutdated: It is of an earlier day than we have seen of the log.
        """
        pins = self._trust.authorities.get(authority, frozenset())
        if not pins:
            raise NotPinned(
                f"authority {authority} is not pinned in the trust file",
                hint=f"compare fingerprints by telephone, then: rogatory trust pin {authority} KEY",
            )
        known = self.look(authority)
        if not known.registry.founders & pins:
            raise NotPinned(
                f"the registry of {authority} begins with keys {', '.join(sorted(known.registry.founders))}, "
                f"none of which is pinned",
                hint="somebody else may pose as this authority; ask it by telephone",
            )
        return known

    def look(self, authority: str) -> KnownAuthority:
        """The same without pins: for showing fingerprints to somebody who is about to compare and pin them."""
        held = self._held()
        answer = self._connection.request("GET", f"/v1/authorities/{authority}/registry")
        with tempfile.TemporaryDirectory(prefix="rogatory-") as folder:
            path = Path(folder) / "registry.zip"
            path.write_bytes(answer.content)
            known = self.check(path, authority)
        if held is not None and known.checkpoint.size < held.size:
            raise RegistryOutdated(
                f"the registry of {authority} is shown as of {known.checkpoint.size} leaves, the log had {held.size} "
                f"before we asked",
                hint="what was revoked since could be missing: ask the operator, seal nothing meanwhile",
            )
        return known

    def check(self, path: Path, authority: str) -> KnownAuthority:
        """Check a registry bundle; pins are the caller's to compare.

        Raises:
            RegistryWrong, LogUnsigned, QuorumMissing: As for `authority`.
        """
        try:
            bundle = open_bundle(path)
            try:
                return self._check(bundle, authority)
            finally:
                bundle.close()
        except NotSigned as error:
            raise LogUnsigned(f"the registry of {authority}", error) from error
        except CustodyError as error:
            raise RegistryWrong(f"the registry of {authority} does not hold: {error}") from error

    def fresh(self, known: KnownAuthority) -> None:
        """Refuse what is too old to seal to.

        Raises:
            RegistryStale: The newest timed signature is older than the trust file's `max_age_s`, or there is none.
        """
        age = self._now().timestamp() - known.signed_at
        if age > self._trust.max_age_s or age < -self._trust.skew_s:
            raise RegistryStale(
                f"the checkpoint over the registry of {known.registry.authority} was signed {age:.0f} s ago, "
                f"expected at most {self._trust.max_age_s} s",
                hint="is this machine's clock right? if so, ask the operator why the log stands still",
            )

    def recipients(self, authorities: Sequence[str], *, kind: str | None = None) -> list[RecipientKeys]:
        """The live encryption keys of authorities, sorted, all of one kind, from fresh registries.

        Args:
            authorities: Ids, in any order.
            kind: `mlkem768x25519` or `x25519`; by default the strongest that all of them have.

        Raises:
            NoRecipientKey: One has no live key of a kind that all have.
            NotPinned, RegistryWrong, QuorumMissing, RegistryStale: As above.
        """
        found: Mapping[str, list[KeyRecord]] = {name: self._live_keys(name) for name in sorted(set(authorities))}
        kinds = [kind] if kind else ["mlkem768x25519", "x25519"]
        for wanted in kinds:
            chosen = [
                RecipientKeys(name, tuple(key for key in keys if key.alg == wanted)) for name, keys in found.items()
            ]
            if chosen and all(row.keys for row in chosen):
                return chosen
        lacking = [name for name, keys in found.items() if not any(key.alg in kinds for key in keys)]
        raise NoRecipientKey(
            f"no kind of encryption key ({' or '.join(kinds)}) is live for all of {', '.join(found) or 'nobody'}"
            + (f"; none at all for {', '.join(lacking)}" if lacking else "")
        )

    def _live_keys(self, authority: str) -> list[KeyRecord]:
        known = self.authority(authority)
        self.fresh(known)
        return known.registry.keys(use="encryption")

    def _check(self, bundle: Bundle, authority: str) -> KnownAuthority:
        trust, handle = self._trust, leaf.registry_handle(self._trust.origin, authority)
        if (bundle.packing.kind, bundle.packing.chain) != ("registry", handle.hex()):
            raise RegistryBroken(f"bundle of kind {bundle.packing.kind} and chain {bundle.packing.chain}")
        data = bundle.read("checkpoint")
        checkpoint, note = open_checkpoint(data, origin=trust.origin, log=trust.log, witnesses=trust.keys)
        self._check_quorum(note)
        registry = self._replay(bundle, authority, handle, checkpoint)
        self._see(data)
        times = [signature.time for signature in note.signatures if signature.time is not None]
        return KnownAuthority(registry, checkpoint, max(times, default=0))

    def _check_quorum(self, note: Note) -> None:
        policy = self._trust.witnesses
        if not policy.is_none and not policy.satisfied({key for key, _ in note.cosignatures()}):
            raise QuorumMissing("the checkpoint over a registry lacks the cosignatures the trust file demands")

    def _replay(self, bundle: Bundle, authority: str, handle: bytes, checkpoint: Checkpoint) -> Registry:
        folder = f"registry/{authority}/"
        lines = packing.split_lines(bundle.read(f"{folder}entries.jsonl"))
        leaves = packing.parse_leaves(bundle.read(f"{folder}leaves.jsonl"))
        tail = packing.parse_tail(bundle.read(f"{folder}tail.json"))
        envelopes = packing.split_lines(bundle.read("statements.jsonl"))
        said = {found.id: found for found in map(statement.parse, envelopes)}
        if len(lines) != len(leaves) or not lines:
            raise RegistryBroken(f"{len(lines)} entries and {len(leaves)} leaves")
        registry = Registry(authority)
        expected, before, index = leaf.first_label(self._trust.origin, handle), ZERO, -1
        proven: dict[int, bytes] = {}
        for seq, (line, placed) in enumerate(zip(lines, leaves, strict=True)):
            found = entry.parse(line)
            fields = found.fields
            if (fields["seq"], fields["prev"], fields["chain"]) != (seq, before, handle.hex()):
                raise RegistryBroken(f"the entry at seq {seq} does not continue the chain")
            if fields["log"] != self._trust.origin or placed.label != expected or placed.index <= index:
                raise RegistryBroken(f"the leaf at seq {seq} does not continue the chain")
            if found.statement_id not in said:
                raise RegistryBroken(f"the statement of seq {seq} is missing")
            registry.apply(found, said[found.statement_id], index=placed.index)
            data = leaf.entry_leaf(expected, leaf.commitment(placed.salt, found.hash))
            proven[placed.index] = merkle.leaf_hash(data)
            expected, before, index = leaf.next_label(placed.salt, found.hash), found.hash.hex(), placed.index
        proven[checkpoint.size - 1] = merkle.leaf_hash(leaf.tail_leaf(tail.root))
        size, hashes = batch.parse(bundle.read("inclusion"))
        if size != checkpoint.size or index >= size - 1:
            raise RegistryBroken(f"the inclusion proof is of size {size}, the checkpoint of {checkpoint.size}")
        batch.verify_batch(leaves=proven, size=size, hashes=hashes, root=checkpoint.root)
        verify_absent(tail, expected)
        return registry
