"""Write tests/vectors/bundles: one bundle a file, with the one thing that a verifier must find in it.

Run from the checkout: `python tests/vectors/generate_bundles.py`. Every key and nonce follows from one name, so what
is written is the same each time (archives but for what another zlib would spell differently).
"""

import base64
import hashlib
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.custody import test_verify_attacks as attacks
from tests.custody.world import zipped
from tests.vectors.bundle_rows import ROWS
from tests.vectors.seeded import seeded

HERE = Path(__file__).parent
FOLDER = HERE / "bundles"
BROUGHT = ("items", "mirror", "since")
SHARED = {"trust": "bin", "before": "zip", "before_trust": "bin"}
"""What several vectors bring alike lies beside them, under its digest."""


def text(data):
    return base64.b64encode(data).decode()


def spelt(what):
    """Bytes as base64, a directory as paths with the same."""
    return text(what) if isinstance(what, bytes) else {path: text(data) for path, data in sorted(what.items())}


def made(name):
    """(files or archive, what lies beside it, vector) of one row."""
    row = ROWS[name]
    attacks._honest.cache_clear()
    with seeded("bundle vectors"):
        given = row.make()
        trust = given.trust if given.trust is None or isinstance(given.trust, bytes) else given.trust.encode()
    vector = {"about": row.about, "bundle": f"./{name}.zip", "expect": row.expect}
    options = given.options | ({} if trust is None else {"trust": trust})
    beside = {
        f"{option.replace('_', '-')}-{hashlib.sha256(options[option]).hexdigest()[:8]}.{kind}": options[option]
        for option, kind in SHARED.items()
        if option in options
    }
    named = dict(zip((option for option in SHARED if option in options), (f"./{path}" for path in beside), strict=True))
    vector |= {option: spelt(value) for option, value in given.options.items() if option in BROUGHT}
    vector |= {option: value for option, value in given.options.items() if option not in {*BROUGHT, *SHARED}}
    return given.bundle, beside, vector | named


def written(name):
    """Name → bytes of the files of one vector."""
    bundle, beside, vector = made(name)
    archive = bundle if isinstance(bundle, bytes) else zipped(bundle, compress=True)
    return beside | {
        f"{name}.json": (json.dumps(vector, indent=1, sort_keys=True) + "\n").encode(),
        f"{name}.zip": archive,
    }


def main():
    FOLDER.mkdir(exist_ok=True)
    found = {path: data for name in ROWS for path, data in written(name).items()}
    for old in FOLDER.iterdir():
        if old.name not in found:
            old.unlink()
    for path, data in found.items():
        (FOLDER / path).write_bytes(data)
    print(f"{len(ROWS)} vectors in {FOLDER}")


if __name__ == "__main__":
    main()
