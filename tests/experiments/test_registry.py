"""Every experiment can be listed and run in one way, and has its question beside it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from experiments.registry import FOLDER, experiments
from nba.errors import UsageError
from nba.jobs.experiment_spec import ExperimentSpec, run_experiment

SPECS = experiments()


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_an_experiment_holds_together(spec: ExperimentSpec) -> None:
    assert spec.folder == FOLDER / spec.name
    page = (spec.folder / "README.md").read_text(encoding="utf-8")
    assert "**Question.**" in page
    assert f"python -m experiments {spec.name}" in page
    assert callable(spec.function)
    assert callable(spec.writer)
    assert set(spec.options) <= set(spec.parameters)


def test_every_page_has_an_experiment() -> None:
    pages = {path.parent.name for path in FOLDER.glob("*/README.md")}
    assert pages - set(SPECS) == {"own_tables"}


def in_repository(repository: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "experiments", *arguments]
    return subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)


def test_without_a_name_all_are_listed_with_one_line_each(repository: Path) -> None:
    listed = in_repository(repository).stdout.splitlines()
    assert [line.split()[0] for line in listed] == list(SPECS)
    assert all(
        line.endswith(spec.question) for line, spec in zip(listed, SPECS.values(), strict=True)
    )


def test_options_are_shown_and_a_wrong_one_is_refused(repository: Path) -> None:
    shown = in_repository(repository, "mode_bench", "--options").stdout
    assert "assignments=20000" in shown
    refused = in_repository(repository, "mode_bench", "sizes=5")
    assert refused.returncode == 2
    assert "mode_bench has no option sizes" in refused.stderr


def test_one_runs_with_options_and_writes_where_it_is_told(tmp_path: Path) -> None:
    spec = SPECS["allocation"]
    given = spec.parse(["customers=2000", "clerks=2", "draws=20", "checked_clerks=2"])
    text = run_experiment(spec, given, tmp_path)
    assert (tmp_path / "result.txt").read_text(encoding="utf-8") == text + "\n"
    assert (tmp_path / "result.json").is_file()


def test_a_value_of_the_wrong_kind_is_refused() -> None:
    with pytest.raises(UsageError, match="customers is a number"):
        SPECS["allocation"].parse(["customers=many"])
    with pytest.raises(UsageError, match="KEY=VALUE"):
        SPECS["allocation"].parse(["customers"])
