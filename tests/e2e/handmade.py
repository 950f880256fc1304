"""A package made step by step, as a foreign tool would: declared, sealed here, uploaded by whoever, sealed by us."""

import io
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from blake3 import blake3
from rogatory import Terms
from rogatory.send import put_header

from custody.digest import GridDigester, grid
from custody.inventory import InventoryWriter, Line
from custody.manifest import sealed_item
from custody.sealing import key_commitment, read_header, seal, unwrap


@dataclass
class Sealed:
    """An item as an age file, taken apart."""

    id: str
    header: bytes
    body: bytes
    file_key: bytes

    @property
    def member(self):
        part_size = grid(len(self.body))
        cut = GridDigester(part_size, whole=True)
        cut.update(self.body)
        parts = cut.finish()
        return sealed_item(
            item_id=self.id,
            header=self.header,
            header_sha256=sha256(self.header).digest(),
            key_commitment=key_commitment(self.file_key, bytes.fromhex(self.id)),
            part_size=part_size,
            parts=parts,
            size=cut.body.size,
            sha256=cut.body.sha256,
            blake3=cut.body.blake3,
        )


class HandMade:
    """One package of one file for one authority, sealed to the sender too so that the file key is known."""

    def __init__(self, client, exchange, to):
        self.client, self.exchange = client, client.exchange(exchange)
        self.id = secrets.token_hex(16)
        self.recipients = client.directory.recipients(sorted({to, client.profile.authority}))
        self.keys = [recipient for row in self.recipients for recipient in row.recipients()]

    def declare(self):
        detail = {"recipients": sorted(row.authority for row in self.recipients), "handling": "evidence"}
        said = self.client.speaker.act(
            "package.declared", self.exchange.handle, subject={"package": self.id}, detail=detail
        )
        self.client.lodge.lodge(f"/v1/exchanges/{self.exchange.id}/packages", said, event="package.declared")

    def seal_item(self, plaintext):
        """Seal some bytes; the header is brought by PUT."""
        whole = io.BytesIO()
        seal(io.BytesIO(plaintext), whole, self.keys)
        header = read_header(whole.getvalue()).raw
        file_key = unwrap(header, self.client.identities)
        put_header(self.client.connection, self.id, header)
        return Sealed(secrets.token_hex(16), header, whole.getvalue()[len(header) :], file_key)

    def inventory(self, name, plaintext, item):
        """The sealed inventory of one file, and its commitment."""
        target = io.BytesIO()
        writer = InventoryWriter(target, package=self.id, count=1)
        writer.add(
            Line(
                path=name,
                type="file",
                size=len(plaintext),
                sha256=sha256(plaintext).digest(),
                blake3=blake3(plaintext).digest(),
                extents=[(item.id, 0, len(plaintext))],
            )
        )
        commitment = writer.finish()
        return self.seal_item(target.getvalue()), commitment.hex()

    def manifest(self, item, inventory, commitment, **changes):
        """The signed manifest; `changes` go into the item's member, to make a wrong one."""
        terms = Terms(retain_until=datetime.now(UTC) + timedelta(days=2)).members()
        return self.client.speaker.say(
            "manifest",
            self.exchange.handle,
            package=self.id,
            recipients=[row.fields() for row in self.recipients],
            sealing=self.keys[0].kind,
            inventory=inventory.member,
            inventory_commitment=commitment,
            items=[item.member | changes],
            **terms,
        )

    def lodge(self, manifest):
        return self.client.lodge.lodge(f"/v1/packages/{self.id}/seal", manifest, event="package.sealed")

    def bearer(self):
        """An access token, as a foreign tool would ask for one."""
        return self.client.connection._bearer()

    def uploads(self, item):
        """Where tus uploads of an item begin."""
        return f"{self.client.profile.server}/v1/packages/{self.id}/items/{item.id}/uploads"
