"""One writer per project: an advisory lock that dies with its process."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

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
    with _held(data, "lock", fcntl.LOCK_EX | fcntl.LOCK_NB) as handle:
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        yield


@contextmanager
def partition_lock(data: Path, number: int, count: int) -> Iterator[None]:
    """Hold one partition of a night; other partitions may be held at the same time, no whole run.

    Raises
    ------
    LockHeldError
        When a run, or another process on the same partition, holds it.
    """
    alone = fcntl.LOCK_EX | fcntl.LOCK_NB
    with (
        _held(data, "lock", fcntl.LOCK_SH | fcntl.LOCK_NB),
        _held(data, f"lock.{number + 1}-of-{count}", alone),
    ):
        yield


@contextmanager
def join_lock(data: Path) -> Iterator[None]:
    """Wait until no other process puts partitions together, and be the one that does."""
    with _held(data, "lock.join", fcntl.LOCK_EX):
        yield


@contextmanager
def _held(data: Path, name: str, how: int) -> Iterator[TextIO]:
    data.mkdir(parents=True, exist_ok=True)
    with (data / name).open("a+", encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, how)
        except BlockingIOError:
            handle.seek(0)
            raise LockHeldError(
                f"another run holds the lock of {data.parent}",
                expected="no other run on this project",
                found=f"process {handle.read().strip() or 'unknown'}",
                next_step="try again when it has ended",
            ) from None
        yield handle


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Wait for the lock of a file, and hold it for the length of the block."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
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
