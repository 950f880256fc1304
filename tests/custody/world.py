"""A service in memory with real keys, real proofs and two authorities: honest, or lying as a test bids it.

`World().exchange().bundle()` is a whole bundle as files. The operator's part of the world (entries, order of the log,
salts, log key) can be changed at will and everything above is made again from it: that is the attacker who owns the
service. What authorities signed cannot be changed without their keys, which the attacker does not have.
"""

import contextlib
import copy
import hashlib
import io
import secrets
import tempfile
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

from custody import batch, leaf, merkle, sealing, statement, tail, tiles
from custody import entry as entries
from custody.archive import write_archive
from custody.bundle import BundleContents, ChainFiles, LeafLine, directory_files
from custody.checkpoint import Checkpoint, sign_checkpoint
from custody.keys import KeyRecord, SigningKey
from custody.note import SignerKey, add_signatures
from custody.packing import PackedFile, PackingList
from custody.text import to_time
from custody.trust import USUAL, Trust
from custody.verify import verify_bundle
from tests.custody.forger import Forger, Slot
from tests.custody.sealed import Item

ORIGIN = "evidence.example.org/log"
START = datetime(2026, 11, 22, 10, tzinfo=UTC)
ROLES = ["approver", "auditor", "receiver", "requester", "sender"]
TAIL, DUMMY = "tail", "dummy"


def token():
    return secrets.token_hex(16)


class Authority:
    """An authority with its keys and one principal of all roles."""

    def __init__(self, name, kind="x25519", origin=ORIGIN):
        self.id, self.handle = name, leaf.registry_handle(origin, name).hex()
        self.key, self.recovery, self.voice = (SigningKey.generate() for _ in range(3))
        self.login = SigningKey.generate("es256")
        self.identity = sealing.generate_identity(kind)
        self.principal = token()

    def founding(self, **members):
        keys = [
            (self.key.public, "authority"),
            (self.recovery.public, "recovery"),
            (self.identity.recipient, "encryption"),
        ]
        records = sorted(
            (KeyRecord.of(key, use=use, holder=self.id).fields() for key, use in keys), key=lambda row: row["id"]
        )
        names = {"name": f"Office {self.id}", "country": self.id[-2:].upper()}
        return members | names | {"keys": records, "sign_with": ["ed25519"], "recovery": self.recovery.public.id}

    def enrolment(self):
        keys = [(self.voice.public, "statement"), (self.login.public, "login")]
        records = [KeyRecord.of(key, use=use, holder=self.principal).fields() for key, use in keys]
        principal = {"id": self.principal, "type": "client", "roles": ROLES}
        return {"keys": sorted(records, key=lambda row: row["id"]), "principal": principal}


class World(Forger):
    """The service, its log and its authorities."""

    origin = ORIGIN

    def __init__(self, *, seen=True, kind="x25519", witnesses=0, auditors=0, quorum=None):
        self.clock, self.seen, self.kind = START, seen, kind
        self.signers = [SignerKey.generate(self.origin, 0x01), SignerKey.generate(self.origin, 0x06)]
        self.witnesses = [SignerKey.generate(f"witness{n}.example", 0x04) for n in range(witnesses)]
        self.auditors = [SignerKey.generate(f"auditor{n}.example", 0x04) for n in range(auditors)]
        self.quorum = witnesses if quorum is None else quorum
        self.chains = {}
        self.statements: dict[str, bytes] = {}
        self.slots: list[Slot] = []
        self.registries: dict[str, str] = {}
        self.views: list[int] = []
        self.held = None
        self.handle = secrets.token_hex(32)
        self.items: list[Item] = []
        self.police, self.court = self.enrol("police.nl"), self.enrol("court.fr")
        self.tick(DUMMY)
        self.tick(TAIL)

    def copy(self):
        """A world that goes its own way from here; keys are shared."""
        other = copy.copy(self)
        other.chains = {handle: list(chain) for handle, chain in self.chains.items()}
        other.statements, other.slots, other.views = dict(self.statements), list(self.slots), list(self.views)
        other.registries, other.items = dict(self.registries), list(self.items)
        return other

    # ------------------------------------------------------------ what parties do

    def enrol(self, name):
        who = self.person(name)
        self.registries[name] = who.handle
        self.lodge(
            "authority.enrolled", self.say(who, "enrolment", who.handle, [who.key, who.recovery], **who.founding())
        )
        self.lodge(
            "principal.enrolled",
            self.say(who, "enrolment", who.handle, [who.key, who.voice, who.login], **who.enrolment()),
        )
        return who

    def person(self, name):
        return Authority(name, self.kind, self.origin)

    def say(self, who, kind, chain=None, signers=None, **members):
        """A statement; by the authority's own keys if signers are given, by its principal else."""
        signer = {"authority": who.id} | ({} if signers else {"principal": who.principal})
        payload = {"v": 1, "kind": kind, "log": self.origin, "chain": chain or self.handle, "time": to_time(self.clock)}
        payload |= {"nonce": token(), "signer": signer}
        if self.seen and self.slots and chain is None:
            payload["seen"] = self.look()
        return statement.sign(payload | members, signers or [who.voice])

    def act(self, who, event, subject=None, detail=None, **members):
        more = {name: value for name, value in (("subject", subject), ("detail", detail)) if value}
        return self.lodge(event, self.say(who, "act", event=event, **more, **members))

    def lodge(self, event, said, **more):
        """An entry for a party's statement."""
        self.statements[said.id] = said.envelope
        subject = entries.subject_of(said)
        subject = more.pop("subject", None) if subject is None else subject
        actor = {"authority": said.authority, "key": said.signatures[0][0]}
        actor |= {"principal": said.principal} if said.principal else {}
        return self.append(said.payload["chain"], event, actor=actor, subject=subject, statement=said, **more)

    def note(self, event, subject=None, noted=None):
        """An entry that the service makes alone."""
        return self.append(self.handle, event, actor={"authority": entries.SERVICE}, subject=subject, noted=noted)

    def append(self, handle, event, **members):
        chain = self.chains.setdefault(handle, [])
        prev = chain[-1].hash.hex() if chain else entries.ZERO
        self.clock += timedelta(seconds=1)
        facts = {"log": self.origin, "chain": handle, "seq": len(chain), "prev": prev, "time": to_time(self.clock)}
        made = entries.build(**facts, event=event, nonce=token(), **members)
        chain.append(made)
        self.tick(handle)
        return made

    def tick(self, chain):
        self.slots.append(Slot(chain))

    def look(self):
        """The checkpoint that a signer verifies before it signs."""
        self.views.append(len(self.slots))
        return {"size": len(self.slots), "root": merkle.root(self.hashes()).hex()}

    # ------------------------------------------------------------ the story

    def opened(self):
        self.act(self.police, "exchange.opened", detail={"parties": ["court.fr", "police.nl"]})
        return self

    def sealed(self, *, plaintexts=(b"disk image", b"photographs"), conditions=True):
        """A package declared, uploaded and sealed for the court."""
        self.package = token()
        about = {"package": self.package}
        self.act(self.police, "package.declared", about, {"recipients": ["court.fr"]})
        recipients = [self.court.identity.recipient, self.police.identity.recipient]
        self.items = [Item(plaintext, recipients) for plaintext in (*plaintexts, b"inventory")]
        for item in self.items:
            noted = {name: item.member[name] for name in ("part_size", "parts", "size")}
            self.note("upload.completed", about | {"item": item.id}, noted)
        self.manifest = self.say(self.police, "manifest", **self.manifest_members(conditions=conditions))
        self.sealing = self.lodge("package.sealed", self.manifest, noted={"checked": ["parts", "size"]})
        return self

    def manifest_members(self, *, conditions=True):
        *items, inventory = self.items
        people = (self.court, self.police)
        members = {
            "package": self.package,
            "recipients": [{"authority": who.id, "keys": [who.identity.recipient.key_id]} for who in people],
            "sealing": self.kind,
            "handling": "restricted",
            "retain_until": to_time(START + timedelta(days=3650)),
            "inventory": inventory.member,
            "inventory_commitment": "ab" * 32,
            "items": sorted((item.member for item in items), key=lambda row: row["id"]),
        }
        asked = [{"code": "speciality", "text_sha256": "cd" * 32}]
        return members | ({"conditions": asked} if conditions else {})

    def received(self):
        """Conditions accepted, headers released, bodies downloaded, receipt signed."""
        about = {"package": self.package}
        asked = self.manifest.payload.get("conditions")
        if asked:
            self.lodge(
                "conditions.accepted",
                self.say(self.court, "acceptance", statement=self.manifest.id, conditions=asked),
                subject=about,
            )
        self.released()
        opened = self.act(self.court, "download.opened", about)
        self.note("download.closed", about, {"opened": opened.hash.hex(), "bytes": 500, "outcome": "closed"})
        self.answer()
        return self

    def released(self):
        about = {"package": self.package}
        return self.act(self.court, "key.released", about, {"grant": self.manifest.id})

    def answer(self, **changes):
        rows = [
            {"id": item.id, "sha256": item.member["sha256"], "blake3": item.member["blake3"], "plaintext": "checked"}
            for item in self.items
        ]
        members = {"manifest": self.manifest.id, "sealed": self.sealing.hash.hex(), "outcome": "accepted"}
        members |= {"items": sorted(rows, key=lambda row: row["id"])}
        return self.lodge(
            "receipt.signed", self.say(self.court, "receipt", **(members | changes)), subject={"package": self.package}
        )

    def exported(self, form="bundle"):
        self.act(self.court, "log.exported", detail={"form": form})
        self.tick(DUMMY)
        self.tick(TAIL)
        return self

    def exchange(self, form="bundle"):
        """The whole story."""
        return self.opened().sealed().received().exported(form)

    # ------------------------------------------------------------ the log, made from what the world holds

    def leaves(self):
        """Data of every leaf."""
        found, tree, places = [], tail.TailTree(), Counter()
        successors = {}
        for slot in self.slots:
            if slot.chain == TAIL:
                found.append(leaf.tail_leaf(tree.root()))
                continue
            if slot.chain == DUMMY:
                data = leaf.dummy_leaf(slot.salt + hashlib.sha256(slot.salt).digest())
            else:
                made = self.chains[slot.chain][places[slot.chain]]
                places[slot.chain] += 1
                label = successors.get(slot.chain) or leaf.first_label(self.origin, bytes.fromhex(slot.chain))
                successors[slot.chain] = leaf.next_label(slot.salt, made.hash)
                data = leaf.entry_leaf(label, leaf.commitment(slot.salt, made.hash))
            tree.add(data[1:33])
            found.append(data)
        return found

    def hashes(self):
        return [merkle.leaf_hash(data) for data in self.leaves()]

    def checkpoint(self, *, signers=None, cosigners=None, root=None):
        """The signed and cosigned note of the log as it is."""
        time = int(self.clock.timestamp()) + 1
        found = Checkpoint(self.origin, len(self.slots), root or merkle.root(self.hashes()))
        note = sign_checkpoint(found, signers or self.signers, time)
        cosigners = [*self.witnesses, *self.auditors] if cosigners is None else cosigners
        return add_signatures(note, [key.sign(found.text(), time) for key in cosigners]) if cosigners else note

    def lines(self, handle):
        """The leaf lines of a chain."""
        data, places, found = self.leaves(), 0, []
        for index, slot in enumerate(self.slots):
            if slot.chain == handle:
                made = self.chains[handle][places]
                found.append(LeafLine(places, index, made.hash, data[index][1:33], slot.salt))
                places += 1
        return found

    def tail_of(self, handle, seq=-1):
        """The proof that nothing follows the chain's last entry, or what would have to stand for it after another."""
        tree, bucket = tail.TailTree(), []
        last = self.lines(handle)[seq]
        wanted = leaf.next_label(last.salt, last.hash)
        for data in self.leaves()[:-1]:
            if data[0] == 1:
                tree.add(data[1:33])
                bucket += [data[1:33]] if data[1:3] == wanted[:2] else []
        return tail.TailProof(tree.root(), tuple(bucket), tuple(tree.path(tail.bucket_of(wanted))))

    def files_of(self, handle, *, withheld=()):
        chain = [made.data for made in self.chains[handle] if made.seq not in withheld]
        return ChainFiles(chain, self.lines(handle), self.tail_of(handle))

    def service_files(self):
        """Of the service's own chain what matters to a reader: how the log began after another, and how it ended."""
        chain = leaf.registry_handle(self.origin, entries.SERVICE).hex()
        made = [one for one in self.chains.get(chain, ()) if one.event in ("log.started", "log.succeeded")]
        lines = self.lines(chain) if made else []
        return ChainFiles([one.data for one in made], [lines[one.seq] for one in made]) if made else None

    def node(self, hashes):
        return lambda level, index: merkle.root(hashes[index << level : (index + 1) << level])

    # ------------------------------------------------------------ what it hands out

    def contents(self, kind="exchange", *, withheld=(), **changes):
        hashes, handle = self.hashes(), self.handle if kind != "registry" else self.police.handle
        names = self.registries if kind != "registry" else {"police.nl": self.police.handle}
        shown = [handle, *names.values()] if kind != "registry" else [handle]
        carried = {made.statement_id for chain in shown for made in self.chains[chain]}
        carried -= {made.statement_id for made in self.chains[handle] if made.seq in withheld}
        service = self.service_files()
        told = service.leaves if service else []
        indices = {line.index for chain in shown for line in self.lines(chain)} | {len(hashes) - 1}
        indices |= {line.index for line in told}
        node, size = self.node(hashes), len(hashes)
        facts = {
            "kind": kind,
            "chain": bytes.fromhex(handle),
            "checkpoint": self.checkpoint(),
            "inclusion": batch.batch_proof(sorted(indices), size, node),
            "entries": self.files_of(handle, withheld=withheld) if kind != "registry" else None,
            "registries": {name: self.files_of(chain) for name, chain in names.items()},
            "statements": [self.statements[found] for found in carried if found in self.statements],
            "headers": [item.header for item in self.items] if kind != "registry" else [],
            "parts": {item.id: item.parts for item in self.items} if kind != "registry" else {},
            "service": service,
            "policy": self.policy(),
            "consistency": {
                (old, size): merkle.consistency_path(size1=old, size2=size, node=node)
                for old in self.views
                if old < size
            },
        }
        return BundleContents(**(facts | changes))

    def bundle(self, kind="exchange", **options):
        """The bundle's files: name → bytes, the packing list first."""
        return {name: b"".join(source()) for name, source in directory_files(self.contents(kind, **options))}

    def policy(self):
        return self._policy(self.witnesses, self.quorum)

    def _policy(self, keys, quorum):
        if not quorum:
            return "quorum none\n"
        lines = [f"witness w{n} {key.verifier}\ngroup g{n} any w{n}\n" for n, key in enumerate(keys)]
        members = " ".join(f"g{n}" for n in range(len(keys)))
        return "".join(lines) + f"group all {quorum} {members}\nquorum all\n"

    def trust(self, **changes):
        facts = {
            "origin": self.origin,
            "log": tuple(sorted((key.verifier for key in self.signers), key=str)),
            "policy": self.policy(),
            "auditors": self._policy(self.auditors, len(self.auditors)) if self.auditors else None,
            "authorities": {who.id: frozenset({who.key.public.id}) for who in (self.police, self.court)},
            "require": tuple(sorted({*USUAL, *(["consistency"] if self.seen else [])})),
        }
        return Trust(**(facts | changes))

    def verify(self, files=None, trust=None, **options):
        """The report of the verifier on files, by default the honest bundle's, under the honest trust file."""
        with folder(files or self.bundle()) as path:
            return verify_bundle(path, trust or self.trust(), **options)

    def mirror(self, path):
        """The log's tiles, as far as a verifier needs them."""
        data = self.leaves()
        for number in range(0, len(data), tiles.WIDTH):
            block = data[number : number + tiles.WIDTH]
            file = path / tiles.entries_path(number // tiles.WIDTH, len(block))
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(tiles.encode_entries(block))
        return path


def packed(files):
    """The files with a packing list that fits them again: what any forger does first."""
    old = PackingList.parse(files["bundle.json"])
    rows = tuple(
        PackedFile(name, len(data), hashlib.sha256(data).hexdigest(), hashlib.sha512(data).hexdigest())
        for name, data in sorted(files.items())
        if name != "bundle.json"
    )
    return files | {"bundle.json": PackingList(old.kind, old.log, old.chain, old.size, rows).encode()}


def zipped(files, *, compress=False):
    """The files as a ZIP of the profile."""
    target = io.BytesIO()
    write_archive(target, ((name, lambda data=data: (data,)) for name, data in files.items()), compress=compress)
    return target.getvalue()


@contextlib.contextmanager
def folder(files):
    """A directory with these files, for as long as it is needed; bytes are put there as one file."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "bundle"
        if isinstance(files, bytes):
            root.write_bytes(files)
        else:
            for path, data in files.items():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_bytes(data)
        yield root
