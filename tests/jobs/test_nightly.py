"""Which steps of a run are due."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any, cast

import polars as pl
import pytest

from nba.errors import ConflictError
from nba.jobs import nightly
from nba.jobs.estimate import earlier_seconds, time_left
from nba.jobs.nightly import SEQUENCE, STEPS, Due, notices, steps_due
from nba.pipeline.context import RunContext, run_context
from nba.pipeline.manifest import Manifest
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


@pytest.fixture(autouse=True)
def gone(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Return the names of the steps of which what they left is gone: a test adds to it."""
    lost: set[str] = set()
    steps = tuple(
        replace(one, stands=lambda _, name=one.name: name not in lost) for one in SEQUENCE
    )
    monkeypatch.setattr(nightly, "SEQUENCE", steps)
    return lost


def found(run: RunContext, inputs: dict[str, str] = INPUTS, **how: Any) -> Due:
    return steps_due(run, inputs, **{"force": False, "from_step": None} | how)


def due(run: RunContext, inputs: dict[str, str] = INPUTS, **how: Any) -> list[str]:
    return [one.name for one in found(run, inputs, **how).steps]


def test_a_step_alone_is_refused_where_others_are_due_before_it(tmp_path: Path) -> None:
    ready = found(context(tmp_path / "ready", done=["ingest", *NAMES]), from_step="plan")
    nightly.refuse_more_than("plan", ready.steps[:1])
    torn = found(context(tmp_path / "torn", done=["ingest", "features"]), from_step="plan")
    with pytest.raises(ConflictError, match="train, score due"):
        nightly.refuse_more_than("plan", torn.steps[:3])


def test_a_night_is_expected_to_take_as_long_as_the_latest_one(tmp_path: Path) -> None:
    run = context(tmp_path, done=[])
    assert earlier_seconds(run) == {}
    for day, seconds in ((1, 90.0), (28, 12.5)):
        folder = RunFolders(tmp_path).of(date(2026, 2, day))
        folder.write("plan/actions", pl.DataFrame({"customer_id": ["c"]}))
        Manifest(folder).record("score", {"seconds": seconds})
    assert earlier_seconds(run) == {"score": 12.5}
    assert time_left({"score": 12.5}, ["score", "plan"]) == ""


def test_a_first_run_walks_all_steps_and_a_second_none(tmp_path: Path) -> None:
    assert due(context(tmp_path / "first", done=[])) == NAMES
    assert due(context(tmp_path / "second", done=list(STEPS))) == []


def test_a_run_that_was_broken_off_goes_on_where_it_ended(tmp_path: Path) -> None:
    assert due(context(tmp_path, done=["ingest", "features", "train"])) == NAMES[2:]


def test_a_step_asked_for_waits_for_those_that_are_missing(tmp_path: Path) -> None:
    run = context(tmp_path, done=["ingest", "features"])
    assert due(run, from_step="plan") == NAMES[1:]


CHANGED = INPUTS | {"lake": "l2"}


def test_changed_inputs_begin_anew_where_no_plan_is_published(tmp_path: Path) -> None:
    assert due(context(tmp_path, done=["ingest", "features"]), CHANGED) == NAMES


def test_what_changed_after_a_published_plan_waits_and_is_named(tmp_path: Path) -> None:
    published = context(tmp_path, done=list(STEPS))
    for inputs, word in (CHANGED, "tables"), (INPUTS | {"config": "c2"}, "configuration"):
        waits = found(published, inputs)
        assert waits.steps == []
        said = " ".join(notices(published, waits, waits.steps))
        assert f"({word}) waits for the next plan" in said
        assert "--force" in said


def test_a_published_plan_is_redone_on_other_inputs_with_force_alone(tmp_path: Path) -> None:
    published = context(tmp_path, done=list(STEPS))
    with pytest.raises(ConflictError, match="changed since"):
        due(published, CHANGED, from_step="plan")
    assert due(published, CHANGED, force=True, from_step="plan") == ["plan", "publish"]
    assert "plan" not in published.manifest.steps


@pytest.mark.parametrize(
    ("lost", "made_again"),
    [
        ("features", ["features"]),
        ("train", ["train", "score", "plan", "publish"]),
        ("score", ["score"]),
        ("plan", ["plan", "publish"]),
        ("publish", ["publish"]),
    ],
)
def test_a_step_is_done_when_what_it_leaves_is_there(
    tmp_path: Path, gone: set[str], lost: str, made_again: list[str]
) -> None:
    gone.add(lost)
    run = context(tmp_path, done=list(STEPS))
    what = found(run)
    assert [one.name for one in what.steps] == made_again
    assert f"{lost} is gone" in notices(run, what, what.steps)[0]


def test_a_plan_that_is_kept_is_published_again_whatever_changed_since(
    tmp_path: Path, gone: set[str]
) -> None:
    gone.add("publish")
    assert due(context(tmp_path, done=list(STEPS)), CHANGED) == ["publish"]
    gone.add("score")
    with pytest.raises(ConflictError, match="score, publish cannot be made again"):
        due(context(tmp_path, done=list(STEPS)), CHANGED)
