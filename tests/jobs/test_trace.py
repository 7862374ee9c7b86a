"""A night as an MLflow trace: a span per step; and nights that go on without MLflow."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from pathlib import Path

import pytest
import yaml
from mlflow import MlflowClient
from mlflow.entities import Trace
from mlflow.tracing.client import TracingClient
from tests.jobs.conftest import DAY, wiring

from nba.errors import ConfigError
from nba.jobs.progress import Progress
from nba.jobs.trace import traced
from nba.stores.night_traces import EXPERIMENT
from nba.stores.registry import quiet
from nba.wiring import Wiring

AS_OF = dt.datetime.combine(DAY, dt.time())


@pytest.fixture
def shop(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "shop")
    return tmp_path / "shop"


class Heard(Progress):
    """Keeps what is said."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def __call__(self, line: str) -> None:
        self.lines.append(line)


def walk(wired: Wiring, *, fails: bool = False) -> list[str]:
    """Walk two steps as a night does."""
    progress = Heard()
    with traced(wired, AS_OF, progress):
        with progress.step("ingest") as current:
            current.report["rows"] = 3
        with progress.step("plan"):
            if fails:
                raise ConfigError("customer zoe-17 is odd")
    return progress.lines


def traces(wired: Wiring) -> list[str]:
    """Return the traces of a project's nights, the latest first."""
    uri = wired.project.tracking_uri
    with quiet():  # MLflow's libraries warn
        experiment = MlflowClient(uri).get_experiment_by_name(EXPERIMENT)
        if experiment is None:
            return []
        found = TracingClient(uri).search_traces(locations=[experiment.experiment_id])
    return [trace.info.trace_id for trace in found]


def read(wired: Wiring, trace_id: str) -> Trace:
    """Return a trace with its spans."""
    with quiet():
        return TracingClient(wired.project.tracking_uri).get_trace(trace_id)


def test_a_night_leaves_a_span_per_step_with_seconds_rows_and_memory(made: Path) -> None:
    wired = wiring(made)
    (trace_id,) = traces(wired)
    trace = read(wired, trace_id)
    assert trace.info.tags["as_of"] == str(DAY)
    root, *steps = trace.data.spans
    assert root.name == f"night of {DAY}"
    names = ["ingest", "features", "train", "score", "plan", "publish"]
    assert [step.name for step in steps] == names
    assert {step.parent_id for step in steps} == {root.span_id}
    manifest = json.loads(
        (made / "data" / "runs" / str(DAY) / "manifest.json").read_text(encoding="utf-8")
    )
    for step in steps:
        noted = manifest["steps"][step.name]
        assert step.attributes["seconds"] == noted["seconds"]
        assert step.attributes["peak_mb"] == noted["peak_mb"]
        lasted = (step.end_time_ns - step.start_time_ns) / 1e9
        assert lasted >= noted["seconds"] - 0.01
    planned = next(step for step in steps if step.name == "plan")
    assert planned.attributes["actions"] == manifest["steps"]["plan"]["actions"]
    assert trace.info.state == "OK"


def test_a_night_that_fails_is_traced_without_what_it_was_about(shop: Path) -> None:
    wired = wiring(shop)
    before = set(traces(wired))
    with pytest.raises(ConfigError):
        walk(wired, fails=True)
    (trace_id,) = set(traces(wired)) - before
    trace = read(wired, trace_id)
    assert trace.info.state == "ERROR"
    assert "ConfigError" in str(trace.data.spans[-1].status)
    assert "zoe-17" not in str(trace.to_dict())


def test_a_night_without_mlflow_goes_on_and_says_so(shop: Path) -> None:
    change(shop, tracking_uri="http://127.0.0.1:9")
    (said,) = [line for line in walk(wiring(shop)) if line.startswith("WARN")]
    assert said.startswith("WARN the night is not traced in MLflow: ")


def test_nights_are_not_traced_where_that_is_switched_off(shop: Path) -> None:
    change(shop, trace_nights=False)
    before = traces(wiring(shop))
    assert walk(wiring(shop)) == []
    assert traces(wiring(shop)) == before


def change(shop: Path, **settings: object) -> None:
    path = shop / "nba.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8")) | settings
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
