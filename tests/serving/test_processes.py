"""The process that brings features online: it takes the work, and ends with the service."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
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


#: Serves nothing, and says which process of it brings features online.
_SERVICE = """
import sys, time, multiprocessing
from pathlib import Path
from nba.serving.processes import refreshing
from nba.serving.services import Access
if __name__ == "__main__":
    with refreshing(Path(sys.argv[1]), Access.KEYS):
        print(multiprocessing.active_children()[0].pid, flush=True)
        time.sleep(600)
"""


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_it_ends_with_a_service_that_was_killed(tmp_path: Path) -> None:
    root, script = tmp_path / "shop", tmp_path / "service.py"
    init_project(root, {})
    script.write_text(_SERVICE)
    command = [sys.executable, str(script), str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as service:
        assert service.stdout is not None
        refresher = int(service.stdout.readline())
        _until(lambda: _is_held(root / "data" / "features" / "fresh.lock"))
        service.send_signal(signal.SIGKILL)
    _until(lambda: not _runs(refresher))


def _until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.1)


def test_one_process_is_there_for_fresh_features_while_the_service_runs(tmp_path: Path) -> None:
    root = tmp_path / "shop"
    init_project(root, {})
    lock = root / "data" / "features" / "fresh.lock"
    with refreshing(root, Access.KEYS):
        _until(lambda: _is_held(lock))
    assert not _is_held(lock)
