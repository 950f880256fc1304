"""docs/operations/settings.md: every variable of the service, from the fields that read them."""

from dataclasses import fields

from app.settings import Settings, variable


def page() -> str:
    """The page, whole."""
    lines = [
        "# Settings",
        "",
        "The service reads these environment variables once, when it starts. An empty variable counts as absent.",
        "Sizes are bytes and may be written `16MiB`; durations may be written `250ms`, `60s`, `10min`, `24h`, `7d`,",
        "and a bare number is seconds. `rogatory-server check-config` tells what is wrong before anything starts.",
        "",
        "This page is made from `app/settings.py` by `make docs`.",
        "",
        "| variable | default | meaning |",
        "| --- | --- | --- |",
    ]
    for each in fields(Settings):
        default = each.metadata["shown"] or f"`{_spelt(each.default)}`"
        lines.append(f"| `{variable(each.name)}` | {default} | {each.metadata['doc']} |")
    return "\n".join(lines) + "\n"


def _spelt(value: object) -> str:
    return ",".join(value) if isinstance(value, tuple) else str(value)
