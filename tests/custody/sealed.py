"""Items for a world in memory, really sealed."""

import hashlib
import secrets

from blake3 import blake3

from custody import sealing
from custody.manifest import sealed_item

GRID = 2**24


class Item:
    """A sealed item: header, body, and its member of a manifest."""

    def __init__(self, plaintext, recipients):
        self.id, key = secrets.token_hex(16), sealing.new_file_key()
        sealer = sealing.BodySealer(key)
        self.key, self.header = key, sealing.build_header(key, recipients)
        self.body = sealer.update(plaintext) + sealer.finish()
        self.parts = hashlib.sha256(self.body).digest()
        self.member = sealed_item(
            item_id=self.id,
            header=self.header,
            header_sha256=hashlib.sha256(self.header).digest(),
            key_commitment=sealing.key_commitment(key, bytes.fromhex(self.id)),
            part_size=GRID,
            parts=[self.parts],
            size=len(self.body),
            sha256=self.parts,
            blake3=blake3(self.body).digest(),
        )
