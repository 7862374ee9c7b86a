"""A night that is asked to stop ends at once, leaves no lock, and says how to go on."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

from tests.jobs.conftest import DAY, wiring

from nba.pipeline.manifest import Manifest
from nba.stores.lock import is_locked


def test_sigterm_ends_a_night_cleanly(made: Path, tmp_path: Path) -> None:
    shop, day = Path(shutil.copytree(made, tmp_path / "shop")), DAY + timedelta(days=1)
    command = [sys.executable, "-m", "nba", "--project", shop, "run", "--as-of", str(day)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        while "Z ingest " not in running.stderr.readline():
            assert running.poll() is None
        running.send_signal(signal.SIGTERM)
        said = running.stderr.read()
    assert running.returncode == 128 + signal.SIGTERM
    assert "the same call goes on" in said
    assert "Traceback" not in said
    assert not is_locked(shop / "data")
    wired = wiring(shop)
    night = wired.plan_store.last_night()
    assert night is not None
    assert night.failure is not None
    assert (night.as_of, night.failure.error) == (day, "Stopped")
    assert not list(wired.project.spill.glob("*"))
    manifest = Manifest.read(wired.runs.of(day))
    assert set(manifest.steps) <= {"ingest", "features"}
