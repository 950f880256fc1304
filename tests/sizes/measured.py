"""What the kernel says of a process's memory."""

import re
from pathlib import Path


def peak(pid):
    """Most bytes of memory that a process has had at once since its program began (VmHWM)."""
    said = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(re.search(r"^VmHWM:\s+(\d+) kB$", said, re.MULTILINE)[1]) * 1024
