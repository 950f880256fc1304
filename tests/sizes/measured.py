"""What the kernel says of a process's memory."""

import re
from contextlib import suppress
from pathlib import Path


def peak(pid):
    """Most bytes of memory that a process has had at once since its program began (VmHWM)."""
    said = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(re.search(r"^VmHWM:\s+(\d+) kB$", said, re.MULTILINE)[1]) * 1024


def forget_peak():
    """Where the kernel lets us, this process's peak is counted anew from now on; the peak at this moment."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return peak("self")
