"""A log that succeeds another in memory: an exchange and registries that go on, honestly or as a test bids it."""

from custody import entry as entries
from custody import leaf, merkle, statement, tiles
from custody.succession import LeavesDigest
from tests.custody.world import TAIL, World

NEXT = "evidence.example.org/log2"
SERVICE = {"authority": entries.SERVICE}


def service_of(world):
    return leaf.registry_handle(world.origin, entries.SERVICE).hex()


def before(*, others=(), auditors=()):
    """The world of an exchange that has just begun, perhaps among more."""
    world = World(seen=False)
    third = [world.enrol(name) for name in (*others, *auditors)]
    world.people = {who.id: who for who in (world.police, world.court, *third)}
    detail = {"parties": sorted(["court.fr", "police.nl", *others])} | ({"auditors": [*auditors]} if auditors else {})
    world.act(world.police, "exchange.opened", detail=detail)
    return world


def ended(world, successor=NEXT):
    """The log names its successor as its last word; its own chain holds more than matters to a reader."""
    vkeys = [str(key.verifier) for key in world.signers]
    world.append(service_of(world), "log.started", actor=SERVICE, noted={"keys": vkeys})
    world.append(service_of(world), "incident.noted", actor=SERVICE, noted={"code": "a-test"})
    world.append(service_of(world), "log.succeeded", actor=SERVICE, noted={"origin": successor})
    world.tick(TAIL)
    return world


def predecessor(world):
    """What a successor's first entry says of a log."""
    leaves, digest = world.leaves(), LeavesDigest()
    digest.add(tiles.encode_entries(leaves))
    root = merkle.root(world.hashes()).hex()
    return {"origin": world.origin, "root": root, "sha3_512": digest.hex(), "size": len(leaves)}


def honestly(name, continues):
    return continues


NOTHING: dict[str, object] = {}


class Successor(World):
    """The log after another.

    `says` changes what the service notes of a chain's past, `first` what it says of the log before (None: nothing at all, as
    a log that succeeds none). Authorities keep their keys, but for `renewed`, which has new ones and lets the old ones
    speak for them, unless it is `silent`.
    """

    origin = NEXT

    def __init__(self, old, *, says=honestly, first=NOTHING, renewed=None, silent=False):
        self.old, self.says, self.first, self.renewed, self.silent = old, says, first, renewed, silent
        super().__init__(seen=False)
        self.handle = old.handle
        for name in sorted(old.people.keys() - self.registries.keys()):  # made in one order, whatever a set has
            self.enrol(name)

    def person(self, name):
        """The same authority as before."""
        if not self.slots and self.first is not None:
            noted = {"keys": [str(key.verifier) for key in self.signers], "predecessor": predecessor(self.old)}
            noted["predecessor"] |= self.first
            self.append(service_of(self), "log.started", actor=SERVICE, noted=noted)
        who, was = super().person(name), self.old.people[name]
        if name != self.renewed:
            who.key, who.recovery, who.identity = was.key, was.recovery, was.identity
        return who

    def say(self, who, kind, chain=None, signers=None, **members):
        """Who has new keys founds its registry by the old one too."""
        if who.id == self.renewed and "recovery" in members and not self.silent:
            signers = [*signers, self.old.people[who.id].key]
        return super().say(who, kind, chain, signers, **members)

    def append(self, handle, event, **members):
        """What goes on notes where it stood before."""
        if event in ("exchange.opened", "authority.enrolled"):
            name = "@exchange" if event == "exchange.opened" else members["subject"]["authority"]
            chain = self.old.chains[self.old.registries.get(name, self.old.handle)]
            continues = {"origin": self.old.origin, "seq": chain[-1].seq, "hash": chain[-1].hash.hex()}
            found = self.says(name, continues)
            members |= {"noted": {"continues": found}} if found else {}
        return super().append(handle, event, **members)

    def goes_on(self, by="police.nl", **detail):
        """The exchange is opened again by an authority, with the parties it had, and exported."""
        opened = self.old.chains[self.old.handle][0].statement_id
        had = statement.parse(self.old.statements[opened]).payload["detail"]
        who = {"police.nl": self.police, "court.fr": self.court}[by]
        self.act(who, "exchange.opened", detail=had | detail)
        return self.exported()
