"""Those who write records and those who read the log, while the service and its database die under them."""

import hashlib
import secrets
from threading import Event, Thread
from types import SimpleNamespace

import httpx
from rogatory.log import Mirror, PublicLog

from custody import leaf, merkle
from custody.checkpoint import open_checkpoint
from custody.proof import TlogProof
from tests.app import party
from tests.kills.clients import RETRIED, Line, Tokens


class Worker(Thread):
    """Does the same again until it is told to stop; whatever is wrong is told by the test."""

    def __init__(self, service, number):
        super().__init__(daemon=True)
        self.number, self.retried = number, set(RETRIED)
        self.line = Line(service.addresses, number, retried=self.retried)
        self.stopping, self.wrong, self.turned = Event(), [], Event()

    def run(self):
        try:
            while not self.stopping.is_set():
                self.turn()
                self.turned.set()
        except Exception as error:  # noqa: BLE001 - told by the test
            self.wrong.append(error)
        finally:
            self.turned.set()

    def end(self):
        self.stopping.set()
        self.join()


class Writer(Worker):
    """Puts acts on record, in an exchange of its own and in one that all share; remembers what was acknowledged.

    Attributes:
        records: Index → SHA-256 of the entry, and hash of its leaf.
        statements: Ids of the statements.
        roots: Size → root of every checkpoint that a proof ended in.
        again: Acts that were on record already when they were asked for again.
    """

    def __init__(self, service, number, alice, court, shared):
        super().__init__(service, number)
        self.service, self.alice, self.court = service, alice, court
        self.matters = [shared, alice.open_exchange(court)]
        self.tokens = Tokens(self.line, alice)
        self.records, self.statements, self.roots, self.again = {}, set(), {}, 0

    def turn(self):
        matter = self.matters[len(self.records) % 2]
        detail = {"recipients": [self.court.id]}
        said = self.alice.act("package.declared", matter.handle, {"package": secrets.token_hex(16)}, detail)
        body = {"envelope": said.envelope.decode()}
        path = f"/v1/exchanges/{matter.id}/packages"
        answer = self.line.ask("POST", path, json=body, headers=self.tokens[self.alice])
        assert answer.status_code in (200, 201), (answer.status_code, answer.text)
        self.again += answer.status_code == 200
        self.take(answer.json()["record"], said)

    def take(self, record, said):
        made = party.check_record(self.service, record)
        proof = TlogProof.parse(record["proof"].encode())
        shown = proof.verify(
            leaf_data=proof.leaf_data(made.hash), origin=self.service.origin, log=self.service.log_keys
        )
        assert made.statement_id == said.id
        assert record["index"] not in self.records
        kept = hashlib.sha256(made.data).digest(), merkle.leaf_hash(proof.leaf_data(made.hash))
        self.records[record["index"]] = kept
        self.statements.add(said.id)
        assert self.roots.setdefault(shown.size, shown.root) == shown.root


class Reader(Worker):
    """Looks at the log all the time: each checkpoint continues the one before, and one drawn from all before."""

    def __init__(self, service, number, random):
        super().__init__(service, number)
        self.service, self.random, self.roots, self.newest = service, random, {}, 0
        self.log = PublicLog(self, service.origin)

    def request(self, method, path, *, authenticated=True, allow=frozenset()):
        """What the log's tools ask of a connection."""
        assert not authenticated
        answer = self.line.ask(method, path)
        assert answer.status_code == httpx.codes.OK or answer.status_code in allow, (path, answer.status_code)
        return answer

    def turn(self):
        shown, _ = open_checkpoint(self.log.checkpoint(), origin=self.service.origin, log=self.service.log_keys)
        assert shown.size >= self.newest, "the log has become shorter"
        assert self.roots.setdefault(shown.size, shown.root) == shown.root, "two roots of one size"
        for size in {self.newest, self.random.choice(sorted(self.roots))} - {0, shown.size}:
            path = self.log.consistency(size, shown.size)
            roots = {"root1": self.roots[size], "root2": shown.root}
            merkle.verify_consistency(size1=size, size2=shown.size, path=path, **roots)
        self.newest = shown.size
        self.stopping.wait(0.05)

    def mirror(self, directory):
        """Every leaf, label and tail of the log, checked as `rogatory log mirror` does; how it went."""
        trust = SimpleNamespace(origin=self.service.origin, log=tuple(self.service.log_keys), checkpoint=None)
        return Mirror(directory, trust).update(self.log)


def leaves_and_roots(leaves, wanted):
    """Hashes of all leaves; size → root of those prefixes that are wanted."""
    growing, hashes, roots = merkle.CompactRange(), [], {}
    for data in leaves:
        leaf.parse(data)
        hashes.append(merkle.leaf_hash(data))
        growing.append(hashes[-1])
        if growing.size in wanted:
            roots[growing.size] = growing.root()
    return hashes, roots
