"""The process that brings features online: it takes the work, and ends with the service."""

from __future__ import annotations

import fcntl
import time
from pathlib import Path

from nba.jobs.init import init_project
from nba.serving.processes import refreshing
from nba.serving.services import Access


def _is_held(lock: Path) -> bool:
    if not lock.exists():
        return False
    with lock.open("w") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def test_one_process_is_there_for_fresh_features_while_the_service_runs(tmp_path: Path) -> None:
    root = tmp_path / "shop"
    init_project(root, {})
    lock = root / "data" / "features" / "fresh.lock"
    with refreshing(root, Access.KEYS):
        until = time.monotonic() + 120
        while not _is_held(lock) and time.monotonic() < until:
            time.sleep(0.1)
        assert _is_held(lock)
    assert not _is_held(lock)
