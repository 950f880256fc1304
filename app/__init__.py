"""The service: it stores what it cannot read, and records what it cannot change."""

from typing import Final

VERSION: Final = "0.1.0"
