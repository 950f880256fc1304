"""What every command reads of its command line, how it speaks, and with which code it ends."""

import argparse
import sys
from typing import Any

from app.settings import Settings, Tls

OK, INTERNAL, USAGE, TEMPORARY, REFUSED, TAMPERED = 0, 1, 2, 5, 7, 20


def settings_of(options: argparse.Namespace, port: int | None = None) -> Settings:
    """The settings, with what the command line says before the environment."""
    overrides: dict[str, Any] = {}
    if options.state is not None:
        overrides["state"] = options.state
    if port is not None:
        overrides["port"] = port
    if getattr(options, "behind_proxy", False):
        overrides["tls"] = Tls.BEHIND_PROXY
    return Settings.from_environment(**overrides)


def say(text: str) -> None:
    """Tell the operator, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def fail(error: str, hint: str, code: int) -> int:
    """Tell what went wrong, and what may help; the code."""
    sys.stderr.write(f"error: {error}\n" + (f"hint: {hint}\n" if hint else ""))
    return code
