"""Statements that several tests make."""

import hashlib

from custody import sealing
from tests.app.party import receivers

CONDITIONS = [{"code": "no-capital-punishment", "text_sha256": "cd" * 32}]


def grant(sender, sent, third):
    """Headers of all items of a package for one more authority, put and named."""
    rows = []
    for item in sorted(sent.items, key=lambda each: each.id):
        header = sealing.build_header(item.key, [third.identity.recipient])
        sender.put_header(sent.package, header)
        rows.append({"id": item.id, "header": {"sha256": hashlib.sha256(header).hexdigest(), "size": len(header)}})
    return sender.say(
        "grant", sent.matter.handle, manifest=sent.manifest.id, sealing="x25519", items=rows,
        recipients=receivers([third]),
    )  # fmt: skip
