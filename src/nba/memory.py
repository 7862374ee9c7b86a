"""How much memory a stretch of work took at its peak, and how much processor."""

from __future__ import annotations

import os
import resource
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

_PROCESS: Final = Path("/proc/self")
#: The most that other processes of ours held together since `begin_peak`.
_beside = 0


def begin_peak() -> None:
    """Let the peak count from now on, where the kernel can (Linux)."""
    global _beside
    _beside = 0
    with suppress(OSError):
        (_PROCESS / "clear_refs").write_text("5", encoding="ascii")


def held_beside(mb: int) -> None:
    """Let the peak count what other processes held that worked for this one."""
    global _beside
    _beside = max(_beside, mb)


def peak_mb() -> int:
    """Return the most memory that was held since `begin_peak`, in MB of 10^6 bytes, at most.

    Resident memory of this process and its threads, and what was held beside it; not of Spark's
    virtual machine. Elsewhere than on Linux it is the peak since the process began.
    """
    return own_peak_mb() + _beside


def own_peak_mb() -> int:
    """Return the most resident memory of this process alone since `begin_peak`, in MB.

    Not `ru_maxrss` on Linux: that of a new process begins at what its parent held.
    """
    with suppress(OSError):
        for line in (_PROCESS / "status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return round(int(line.split()[1]) * 1024 / 1e6)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(most * (1 if sys.platform == "darwin" else 1024) / 1e6)


def cpu_seconds() -> float:
    """Return the seconds of processor of this process so far, and of its children that ended.

    Unlike seconds of the clock they hardly depend on what else the machine does.
    """
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system
