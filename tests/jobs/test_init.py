"""A project is made from the one template, with the settings asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from nba.errors import ConflictError
from nba.jobs.init import init_project
from nba.settings import EDITABLE_FOLDERS


def test_a_project_holds_the_editable_folders_and_its_settings(tmp_path: Path) -> None:
    arms = {"holdout": 0.25, "random": 0.05}
    project = init_project(tmp_path / "p", {"time_zone": "Europe/London", "arms": arms})
    assert all((project.root / folder).is_dir() for folder in EDITABLE_FOLDERS)
    assert project.settings.time_zone == "Europe/London"
    assert (project.settings.arms.holdout, project.settings.arms.random) == (0.25, 0.05)
    assert project.settings.arms.business_as_usual == 0.0
    assert project.settings.currency == "CNY"


def test_a_project_is_never_overwritten(tmp_path: Path) -> None:
    init_project(tmp_path, {})
    (tmp_path / "nba.yaml").write_text("seed: 5\n")
    with pytest.raises(ConflictError, match="project already"):
        init_project(tmp_path, {})
    assert (tmp_path / "nba.yaml").read_text() == "seed: 5\n"


def test_a_project_holds_no_experiment_of_ours(tmp_path: Path) -> None:
    init_project(tmp_path, {})
    assert [path.name for path in (tmp_path / "experiments").rglob("*")] == ["README.md"]
