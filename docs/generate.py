"""Writes the parts of the documentation that follow from the code. `make docs` runs it.

Events, schemas, settings and errors stand in the code once; what is written here is their copy for readers, and
tests/architecture/test_docs.py holds the two together. Nothing here decides anything.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "client")]

from rogatory.cli import guide  # noqa: E402

from docs.pages import errors, events, schemas, settings  # noqa: E402

OWNED = ("docs/spec/schemas/*.json",)
"""Files of these patterns are written here or do not exist."""


def pages() -> dict[str, str]:
    """Path below the root → whole text of every generated file."""
    return {
        "docs/errors.md": errors.page(),
        "docs/guide/cli.md": guide.page(),
        "docs/operations/settings.md": settings.page(),
        "docs/spec/events.md": events.page(),
        **{f"docs/spec/schemas/{name}": text for name, text in schemas.files().items()},
    }


def left_over() -> list[Path]:
    """Files that look generated and are not any more."""
    wanted = {ROOT / path for path in pages()}
    return sorted(path for pattern in OWNED for path in ROOT.glob(pattern) if path not in wanted)


def main() -> None:
    """Write what changed, remove what is left over, say which."""
    for path in left_over():
        path.unlink()
        sys.stdout.write(f"removed {path.relative_to(ROOT)}\n")
    for name, text in pages().items():
        path = ROOT / name
        if not path.exists() or path.read_text("utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8", newline="\n")
            sys.stdout.write(f"written {name}\n")


if __name__ == "__main__":
    main()
