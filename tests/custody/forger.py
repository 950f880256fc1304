"""The operator of a world in memory, who owns all of it but the keys of the authorities."""

import copy
import json
import secrets
from dataclasses import dataclass, field

from custody import canonical, statement
from custody import entry as entries
from custody.entry import Entry
from custody.text import to_base64


@dataclass
class Slot:
    """A leaf of the log: the next entry of a chain, a tail, or a dummy."""

    chain: str
    salt: bytes = field(default_factory=lambda: secrets.token_bytes(32))


class Forger:
    """Changes what the service holds and makes every later `seq`, hash and leaf again; see `tests.custody.world`."""

    def forge(self, seq, *, handle=None, **fields):
        """Change members of an entry (`a__b` for a member of a member), and make all later hashes again."""
        chain = self.chains[handle or self.handle]
        changed = copy.deepcopy(chain[seq].fields)
        for name, value in fields.items():
            *path, last = name.split("__")
            place = changed
            for step in path:
                place = place[step]
            place[last] = value
        return self._rechain(handle or self.handle, [*chain[:seq], changed, *chain[seq + 1 :]])

    def drop(self, seq, *, handle=None):
        """Remove an entry and its leaf, and make all later seq and hashes again."""
        handle = handle or self.handle
        chain = self.chains[handle]
        place = [number for number, slot in enumerate(self.slots) if slot.chain == handle][seq]
        del self.slots[place]
        return self._rechain(handle, [*chain[:seq], *chain[seq + 1 :]])

    def double(self, seq):
        """Put an entry into the log a second time, right after itself."""
        chain = self.chains[self.handle]
        place = [number for number, slot in enumerate(self.slots) if slot.chain == self.handle][seq]
        self.slots.insert(place, Slot(self.handle))
        return self._rechain(self.handle, [*chain[: seq + 1], *chain[seq:]])

    def swap(self, first, second, *, handle=None):
        """Exchange the places of two entries."""
        handle = handle or self.handle
        chain = list(self.chains[handle])
        chain[first], chain[second] = chain[second], chain[first]
        return self._rechain(handle, chain)

    def _rechain(self, handle, rows):
        made, prev = [], entries.ZERO
        for seq, row in enumerate(rows):
            fields = (row if isinstance(row, dict) else row.fields) | {"seq": seq, "prev": prev}
            data = canonical.dump(fields)
            made.append(Entry.of(data, fields))
            prev = made[-1].hash.hex()
        self.chains[handle] = made
        return self

    def resay(self, seq, **changes):
        """Put another payload under the act at `seq`, with the old signatures: all that an operator can do."""
        old = statement.parse(self.statements.pop(self.chains[self.handle][seq].statement_id))
        body = canonical.encode(old.payload | changes)
        outer = json.loads(old.envelope)
        outer["payload"] = to_base64(body)
        forged = statement.parse(canonical.dump(outer))
        self.statements[forged.id] = forged.envelope
        named = {"statement": {"id": forged.id, "envelope": forged.envelope_hash}}
        return self.forge(seq, **named)
