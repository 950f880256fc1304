"""What an operator with root does to a service's state: any row edited, the log made anew and signed with its keys.

`Operator.rebuild` is the attacker at his best: `seq`, `prev`, every hash, label, leaf, tile, tail and checkpoint are
made again so that they fit, batch for batch as they were, so that all that lies before the change stays as it is.
"""

import base64
import json
import secrets
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

from cryptography.hazmat.primitives.serialization import load_pem_private_key

from app.db import log_reader
from app.db.engine import connect
from app.db.unit_of_work import reading
from app.jobs.sequencer import Sequencer
from app.services.bundles import write_exchange, write_registry
from app.services.policies import PolicyFile
from app.services.state import LOG_KEYS
from custody import canonical, leaf, tiles
from custody.entry import ZERO
from custody.note import SignerKey
from custody.statement import parse as parse_statement
from custody.statement import sign
from storage.local import LocalStore

EMPTIED = ("ledger", "log_leaves", "tiles", "tail_heads", "checkpoints", "pending")


@dataclass(frozen=True)
class Row:
    """An entry on its way into a log; `batch` counts the tail leaves before it.

    An entry of a `branch` follows, like another of its chain, the entry before the one at seq `before`.
    """

    chain: str
    fields: dict
    salt: bytes
    batch: int
    branch: str = ""
    before: int = -1

    @property
    def event(self):
        return self.fields["event"]

    @property
    def statement_id(self):
        return self.fields.get("statement", {}).get("id")

    def edited(self, **changes):
        return replace(self, fields=self.fields | changes)

    def without(self, name):
        return replace(self, fields={key: value for key, value in self.fields.items() if key != name})


def snapshot(state: Path, target: Path) -> Path:
    """A backup of a state directory, taken while the service may be running."""
    shutil.copytree(state, target, ignore=shutil.ignore_patterns("rogatory.db*"))
    with (
        closing(sqlite3.connect(state / "rogatory.db")) as source,
        closing(sqlite3.connect(target / "rogatory.db")) as copy,
    ):
        source.backup(copy)
    (target / "rogatory.db").chmod(0o600)
    return target


class Operator:
    """Root on a state directory whose service does not run."""

    def __init__(self, state: Path):
        self.state = state
        self._renamed = {}
        self.origin = (state / "origin").read_text().strip()
        with closing(self.database()) as database:
            names = database.execute("select name from sqlite_master where type = 'trigger'").fetchall()
            for (name,) in names:
                database.execute(f"drop trigger {name}")
            database.execute(
                "create table loose (id integer primary key, chain text, seq integer, body blob, hash blob, salt blob,"
                " label blob, statement_id text, recorded_at text)"
            )
            database.execute("insert into loose select * from ledger")
            database.execute("drop table ledger")
            database.execute("alter table loose rename to ledger")

    def database(self):
        return sqlite3.connect(self.state / "rogatory.db", isolation_level=None)

    def do(self, query):
        with closing(self.database()) as database:
            database.execute(query)

    def signers(self):
        for name, kind in LOG_KEYS.items():
            key = load_pem_private_key((self.state / "log" / name).read_bytes(), None)
            yield SignerKey.from_private(self.origin, kind, key)

    # ------------------------------------------------------------ what is there

    def rows(self):
        """All entries in the order of the log."""
        query = (
            "select g.chain, g.body, g.salt, l.ledger_id from log_leaves l left join ledger g on g.id = l.ledger_id"
            " order by l.idx"
        )
        found, batch = [], 0
        with closing(self.database()) as database:
            for chain, body, salt, ledger_id in database.execute(query):
                if ledger_id is None:
                    batch += 1
                elif body is not None:
                    found.append(Row(chain, json.loads(body), salt, batch))
        return found

    def handle(self, kind, owner):
        with closing(self.database()) as database:
            query = "select handle from chains where kind = ? and owner = ?"
            return database.execute(query, (kind, owner)).fetchone()[0]

    def envelope(self, statement_id):
        with closing(self.database()) as database:
            query = "select envelope from statements where id = ?"
            return database.execute(query, (statement_id,)).fetchone()[0]

    def root(self):
        with closing(self.database()) as database:
            return database.execute("select size, root from checkpoints order by size desc limit 1").fetchone()

    # ------------------------------------------------------------ what is made of it

    def lay(self, said):
        """Put a statement among those of the service."""
        with closing(self.database()) as database:
            query = "insert or replace into statements (id, envelope) values (?, ?)"
            database.execute(query, (said.id, said.envelope))
        return said

    def forge(self, envelope, change, *, keys=()):
        """A statement with another payload: under its old signatures, or under those of `keys`."""
        outer = json.loads(envelope)
        said = parse_statement(envelope)
        payload = json.loads(said.body)
        change(payload)
        body = canonical.encode(payload)
        if keys:
            return self.lay(sign(payload, list(keys)))
        outer["payload"] = base64.b64encode(body).decode()
        return self.lay(parse_statement(json.dumps(outer, separators=(",", ":"), sort_keys=True).encode()))

    def entry(self, like, said, **changes):
        """A row like another that carries a statement, made to fit it in everything the operator can write."""
        actor = {"authority": said.authority, "key": said.signatures[0][0]}
        actor |= {"principal": said.principal} if said.principal else {}
        named = {"id": said.id, "envelope": said.envelope_hash}
        fields = like.fields | {"actor": actor, "statement": named, "nonce": secrets.token_hex(16)} | changes
        return replace(like, fields=fields, salt=secrets.token_bytes(32))

    def edit_body(self, row, *, hashed=False, **changes):
        """Change the stored bytes of one entry, and if `hashed` the hash beside them; nothing else."""
        body, place = canonical.encode(row.fields | changes), (row.chain, row.fields["seq"])
        with closing(self.database()) as database:
            database.execute("update ledger set body = ? where chain = ? and seq = ?", (body, *place))
            if hashed:
                digest = sha256(body).digest()
                database.execute("update ledger set hash = ? where chain = ? and seq = ?", (digest, *place))

    def strike(self, row):
        """Take one entry out; its leaf stays."""
        with closing(self.database()) as database:
            database.execute("delete from ledger where chain = ? and seq = ?", (row.chain, row.fields["seq"]))

    def strike_salted(self, salt):
        """Take out the entry that bears this salt; its leaf stays."""
        with closing(self.database()) as database:
            database.execute("delete from ledger where salt = ?", (salt,))

    def rebuild(self, rows, *, linked=True):
        """Make the log of these entries, repaired: everything is computed anew and signed.

        Args:
            rows: In the order of the log.
            linked: Whether `seq` and `prev` are repaired too.
        """
        heads, batches, self._renamed = {}, {}, {}
        with closing(self.database()) as database:
            database.execute("begin")
            for table in EMPTIED:
                database.execute(f"delete from {table}")
            for number, row in enumerate(rows, start=1):
                body, digest, label = self._place(heads, row, linked=linked)
                values = (number, row.chain, json.loads(body)["seq"], body, digest, row.salt, label)
                values += (row.statement_id, row.fields["time"])
                database.execute("insert into ledger values (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
                batches.setdefault(row.batch, []).append(number)
            database.execute("update chains set next_seq = 0, head_hash = null, head_salt = null")
            for chain in {row.chain for row in rows}:
                seq, digest, salt = heads[chain, ""]
                query = "update chains set next_seq = ?, head_hash = ?, head_salt = ? where handle = ?"
                database.execute(query, (seq, digest, salt, chain))
            database.execute("commit")
        self._log(batches)
        return self

    def _place(self, heads, row, *, linked):
        before = heads.get((row.chain, row.before if row.branch else "")) or None
        seq, digest, salt = before or (0, b"", b"")
        links = {"seq": seq, "prev": digest.hex() or ZERO} if linked else {}
        fields, noted = row.fields | links, row.fields.get("noted", {})
        if noted.get("opened") in self._renamed:
            fields["noted"] = noted | {"opened": self._renamed[noted["opened"]]}
        body = canonical.encode(fields)
        if before is None:
            label = leaf.first_label(self.origin, bytes.fromhex(row.chain))
        else:
            label = leaf.next_label(salt, digest)
        found = sha256(body).digest()
        self._renamed[sha256(canonical.encode(row.fields)).hexdigest()] = found.hex()
        heads[row.chain, seq + 1] = (seq + 1, found, row.salt)
        if not row.branch:
            heads[row.chain, ""] = heads[row.chain, seq + 1]
        return body, found, label

    def _log(self, batches):
        engine = connect(f"sqlite:///{self.state / 'rogatory.db'}")
        sequencer = Sequencer(engine, self.origin, list(self.signers()), lambda: datetime.now(UTC))
        try:
            for _, numbers in sorted(batches.items()):
                with closing(self.database()) as database:
                    database.execute("begin")
                    for number in numbers:
                        database.execute("insert into pending values (?)", (number,))
                    database.execute("commit")
                sequencer.run_once()
        finally:
            sequencer.stop()
            engine.dispose()

    # ------------------------------------------------------------ what is handed out

    def _session(self, use):
        engine = connect(f"sqlite:///{self.state / 'rogatory.db'}")
        try:
            with reading(engine) as session:
                return use(session)
        finally:
            engine.dispose()

    def bundle(self, target, chain, *, authority):
        """The bundle the service would hand to an authority."""
        store, witnesses = LocalStore(self.state / "store"), PolicyFile(self.state / "policy")
        runtime = SimpleNamespace(origin=self.origin, store=store, witnesses=witnesses)
        with target.open("wb") as file:
            self._session(
                lambda session: write_exchange(
                    session, file, chain, kind="exchange", authority=authority, runtime=runtime
                )
            )
        return target

    def registry(self, target, authority):
        """The registry the service would show."""
        with target.open("wb") as file:
            self._session(lambda session: write_registry(session, file, authority, origin=self.origin))
        return target

    def mirror(self, target):
        """The log as a mirror of this operator's tiles would hold it."""
        target.mkdir()

        def write(session):
            reader = log_reader.LogReader(session)
            (target / "checkpoint").write_bytes(reader.note)
            for number in range(-(-reader.size // tiles.WIDTH)):
                width = min(tiles.WIDTH, reader.size - number * tiles.WIDTH)
                path = target / tiles.entries_path(number, width)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(log_reader.entry_bundle(session, n=number, width=width))

        self._session(write)
        return target


def kept(rows, condition):
    """The rows for which it holds."""
    return [row for row in rows if condition(row)]


def flip(path, offset, mask=0x10):
    """Flip a bit of a stored file."""
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ mask]))
