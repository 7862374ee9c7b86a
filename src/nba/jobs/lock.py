"""One writer per project: an advisory lock that dies with its process."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nba.errors import LockHeldError


@contextmanager
def project_lock(data: Path) -> Iterator[None]:
    """Hold the project's lock for the length of the block.

    The lock is the kernel's (`flock`), so that a killed run never leaves it behind.

    Raises
    ------
    LockHeldError
        When another process holds it.
    """
    data.mkdir(parents=True, exist_ok=True)
    with (data / "lock").open("a+", encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            raise LockHeldError(
                f"another run holds the lock of {data.parent}",
                expected="no other run on this project",
                found=f"process {handle.read().strip() or 'unknown'}",
                next_step="try again when it has ended",
            ) from None
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        yield


def is_locked(data: Path) -> bool:
    """Return whether a process holds the project's lock; takes nothing that lasts."""
    if not (data / "lock").exists():
        return False
    with (data / "lock").open(encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
