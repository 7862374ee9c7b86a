"""The layer contract holds, and it bites."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    return subprocess.run(
        [sys.executable, "-c", code, "--no-cache"],
        cwd=folder,
        env={"PYTHONPATH": str(folder / "src"), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


def planted(
    repository: Path, folder: Path, module: str, imported: str
) -> subprocess.CompletedProcess[str]:
    """Check a copy of the code in which one module imports what it must not."""
    for tree in ("src", "experiments"):
        shutil.copytree(repository / tree, folder / tree)
    shutil.copy(repository / "pyproject.toml", folder)
    path = folder / "src" / "nba" / module
    path.write_text(path.read_text() + f"\nimport {imported}\n")
    return lint_imports(folder)


def test_the_import_contract_holds(repository: Path) -> None:
    result = lint_imports(repository)
    assert result.returncode == 0, result.stdout


def test_a_planted_upstream_import_is_reported(repository: Path, tmp_path: Path) -> None:
    result = planted(repository, tmp_path, "schema/words.py", "nba.serving")
    assert result.returncode != 0
    assert "nba.schema.words -> nba.serving" in result.stdout


def test_a_planted_library_below_the_stores_is_reported(repository: Path, tmp_path: Path) -> None:
    result = planted(repository, tmp_path, "models/base.py", "mlflow")
    assert result.returncode != 0
    assert "nba.models.base -> mlflow" in result.stdout


def test_the_walk_of_a_night_names_files_and_goes_down_the_layers(repository: Path) -> None:
    page = (repository / "docs" / "architecture.md").read_text(encoding="utf-8")
    walk = page.partition("## A night, file by file")[2].partition("\n## ")[0]
    steps = re.findall(r"^\d+\. (.+(?:\n   .+)*)", walk, flags=re.MULTILINE)
    files = [re.findall(r"`([\w/]+\.py)`", step) for step in steps]
    assert all((repository / "src" / "nba" / name).is_file() for names in files for name in names)
    order = ["cli", "jobs", "wiring.py", "pipeline"]
    depths = [order.index(names[0].partition("/")[0]) for names in files]
    assert depths == sorted(depths)


def test_a_planted_import_of_the_lab_is_reported(repository: Path, tmp_path: Path) -> None:
    result = planted(repository, tmp_path, "jobs/demo.py", "experiments.registry")
    assert result.returncode != 0
    assert "nba.jobs.demo -> experiments.registry" in result.stdout


def test_every_file_that_the_walk_of_a_night_names_is_there(repository: Path) -> None:
    page = (repository / "docs" / "architecture.md").read_text(encoding="utf-8")
    walk = page.partition("## A night, file by file")[2].partition("\n## ")[0]
    named = re.findall(r"`([\w/]+\.py)`", walk)
    assert len(named) > 10
    assert not [name for name in named if not (repository / "src" / "nba" / name).is_file()]
