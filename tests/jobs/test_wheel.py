"""`nba init` gives the same project from a wheel as from the repository."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

from nba.jobs.init import init_project
from nba.settings import EDITABLE_FOLDERS


def contents(folder: Path) -> dict[str, bytes]:
    """Return the template's files by their path in the project."""
    files = [folder / "nba.yaml"]
    files += [path for name in EDITABLE_FOLDERS for path in (folder / name).rglob("*")]
    return {str(f.relative_to(folder)): f.read_bytes() for f in files if f.is_file()}


def test_init_from_a_wheel_equals_init_from_the_repository(
    repository: Path, tmp_path: Path
) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=repository, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    made = tmp_path / "made"
    subprocess.run(
        [sys.executable, "-m", "nba", "init", str(made)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        check=True,
        capture_output=True,
    )
    init_project(tmp_path / "own", {})
    assert contents(made) == contents(tmp_path / "own")
