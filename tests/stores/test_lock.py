"""One run at a time, and a killed run leaves no lock."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nba.errors import LockHeldError
from nba.stores.lock import project_lock

HOLD = """
import sys, time
from pathlib import Path
from nba.stores.lock import project_lock
with project_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_run_is_told_who_holds_the_lock_and_a_killed_one_leaves_none(
    tmp_path: Path,
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline().strip() == "held"
        with (
            pytest.raises(LockHeldError, match=f"process {other.pid}") as caught,
            project_lock(tmp_path),
        ):
            pass
        assert caught.value.exit_code == 75
        os.kill(other.pid, signal.SIGKILL)
        other.wait()
    with project_lock(tmp_path):
        assert (tmp_path / "lock").read_text() == str(os.getpid())
