"""Which steps of a run are due."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, cast

import pytest

from nba.errors import ConflictError
from nba.jobs.nightly import SEQUENCE, STEPS, steps_due
from nba.pipeline.context import RunContext, run_context
from nba.pipeline.ports import Ports
from nba.settings import Settings
from nba.stores.run_folders import RunFolders

INPUTS = {"lake": "l1", "config": "c1", "nba": "1"}
NAMES = [one.name for one in SEQUENCE]


class OnlyRuns:
    """Ports of which nothing but the run folders is asked."""

    def __init__(self, root: Path) -> None:
        self.runs = RunFolders(root)


def context(tmp_path: Path, *, done: list[str]) -> RunContext:
    """Return a run that did some steps on `INPUTS`, read back from its folder."""

    def opened() -> RunContext:
        ports = cast("Ports", OnlyRuns(tmp_path))
        return run_context(ports, Settings(), datetime(2026, 3, 2))

    run = opened()
    run.manifest.inputs = dict(INPUTS)
    for name in done:
        run.manifest.record(name, {"rows": 1})
    return opened()


def due(run: RunContext, inputs: dict[str, str] = INPUTS, **how: Any) -> list[str]:
    return [one.name for one in steps_due(run, inputs, **{"force": False, "from_step": None} | how)]


def test_a_first_run_walks_all_steps_and_a_second_none(tmp_path: Path) -> None:
    assert due(context(tmp_path / "first", done=[])) == NAMES
    assert due(context(tmp_path / "second", done=list(STEPS))) == []


def test_a_run_that_was_broken_off_goes_on_where_it_ended(tmp_path: Path) -> None:
    assert due(context(tmp_path, done=["ingest", "features", "train"])) == NAMES[2:]


def test_a_step_asked_for_waits_for_those_that_are_missing(tmp_path: Path) -> None:
    run = context(tmp_path, done=["ingest", "features"])
    assert due(run, from_step="plan") == NAMES[1:]


def test_changed_inputs_begin_anew_and_never_replace_a_published_plan(tmp_path: Path) -> None:
    changed = INPUTS | {"lake": "l2"}
    assert due(context(tmp_path / "a", done=["ingest", "features"]), changed) == NAMES
    published = context(tmp_path / "b", done=list(STEPS))
    with pytest.raises(ConflictError, match="changed since"):
        due(published, changed)
    assert due(published, changed, force=True, from_step="plan") == ["plan", "publish"]
    assert "plan" not in published.manifest.steps
