"""A refused fit never serves, and a rollback brings the earlier list back to the byte."""

from __future__ import annotations

import json
import shutil
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest
import yaml
from tests.jobs.conftest import DAY, wiring
from typer.testing import CliRunner

from nba.cli import app
from nba.errors import ConflictError
from nba.jobs.doctor import examine
from nba.jobs.nightly import run_nightly
from nba.jobs.progress import silent
from nba.jobs.promotion import list_models, promote

MIDNIGHT = datetime(DAY.year, DAY.month, DAY.day)


def rerun(shop: Path, step: str) -> pl.DataFrame:
    run_nightly(wiring(shop), MIDNIGHT, progress=silent, force=True, from_step=step)
    return actions(shop)


def actions(shop: Path) -> pl.DataFrame:
    return wiring(shop).runs.of(DAY).read("plan/actions")


def write_model(shop: Path, **changes: object) -> None:
    path = shop / "models" / "timing.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8")) | changes
    path.write_text(yaml.safe_dump(content), encoding="utf-8")


@pytest.fixture(scope="module")
def story(made: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """Refuse a fit, promote another, roll back; what was seen on the way."""
    shop = tmp_path_factory.mktemp("promotion") / "project"
    shutil.copytree(made, shop)
    seen: dict[str, object] = {"shop": shop, "first": actions(shop)}
    simple = {"kind": "recency_gap", "parameters": {"cutoff_step_days": 45}}
    write_model(shop, **simple, gates=[{"metric": "auc", "at_least": 0.999}])
    seen["refused"] = rerun(shop, "train")
    seen["shadow"] = wiring(shop).runs.of(DAY).tables("shadow_timing")
    compare = ["--project", str(shop), "experiment", "compare", "timing"]
    seen["compared"] = CliRunner().invoke(app, compare)
    seen["doctor_refused"] = examine(wiring(shop))
    with pytest.raises(ConflictError, match="was not promoted"):
        promote(wiring(shop), "timing", reason="we like it")
    seen["by_hand"] = promote(wiring(shop), "timing", reason="we like it", override=True)
    seen["second"] = rerun(shop, "train")
    call = ["--project", str(shop), "experiment", "rollback", "timing", "--reason", "odd lists"]
    seen["rollback"] = CliRunner().invoke(app, call)
    seen["doctor"] = examine(wiring(shop))
    seen["third"] = rerun(shop, "train")
    seen["models"] = list_models(wiring(shop))
    return seen


def test_a_gate_that_is_not_passed_leaves_the_champion_serving(story: dict[str, object]) -> None:
    assert story["refused"].equals(story["first"])  # type: ignore[attr-defined]
    doctor = story["doctor_refused"]
    assert isinstance(doctor, dict)
    assert doctor["champion timing"].startswith("v1")
    assert "v2, refused:" in doctor["challenger timing"]
    assert "gate" in doctor["challenger timing"]


def test_a_challenger_plans_in_shadow_and_is_compared(story: dict[str, object]) -> None:
    shadow, served = story["shadow"], story["refused"]
    assert isinstance(shadow, dict)
    assert isinstance(served, pl.DataFrame)
    log = shadow["log"]
    assert log["customer_id"].to_list() == sorted(log["customer_id"])
    assert log["model_versions"].unique().to_list() != [None]
    assert not shadow["actions"].equals(served)  # another design lists others
    compared = story["compared"]
    assert compared.exit_code == 0, compared.output  # type: ignore[attr-defined]
    assert "challenger of timing: 1 nights" in compared.output  # type: ignore[attr-defined]
    assert "no outcome of these days is known yet" in compared.output  # type: ignore[attr-defined]
    shop = story["shop"]
    assert isinstance(shop, Path)
    # promoted since: nobody challenges, and nothing of the earlier challenger stays
    assert wiring(shop).runs.of(DAY).read("shadow_timing/log").is_empty()


def test_by_hand_it_serves_and_its_reason_is_kept(story: dict[str, object]) -> None:
    by_hand = story["by_hand"]
    assert by_hand.version == "2"  # type: ignore[attr-defined]
    second = story["second"]
    assert isinstance(second, pl.DataFrame)
    assert second["model_versions"].str.contains("timing:2").all()


def test_a_rollback_restores_the_list_to_the_byte_and_holds(story: dict[str, object]) -> None:
    done = story["rollback"]
    assert done.exit_code == 0, done.output  # type: ignore[attr-defined]
    assert "timing v1" in done.output  # type: ignore[attr-defined]
    third, first = story["third"], story["first"]
    assert isinstance(third, pl.DataFrame)
    assert isinstance(first, pl.DataFrame)
    assert third.equals(first)
    assert third.serialize() == first.serialize()
    doctor = story["doctor"]
    assert isinstance(doctor, dict)
    assert doctor["champion timing"].startswith("v1")
    assert "odd lists" in doctor["champion timing"]


def test_the_runs_say_what_came_of_them(story: dict[str, object]) -> None:
    from mlflow import MlflowClient

    rows = story["models"]
    assert isinstance(rows, list)
    timing = {row["version"]: row for row in rows if row["model"] == "timing"}
    assert timing["1"]["alias"] == "champion"
    client = MlflowClient(wiring(story["shop"]).project.tracking_uri)  # type: ignore[arg-type]
    run = client.get_run(timing["2"]["run_id"])
    assert "refused: " in run.info.run_name
    assert "gate: auc" in run.data.tags["decision"]
    assert run.data.metrics["auc_lower"] < run.data.metrics["auc"] < 0.999
    assert run.data.tags["nba.reason"] == "promoted by hand: we like it"
    assert "What it answers" in run.data.tags["mlflow.note.content"]
    names = {one.path for one in client.list_artifacts(run.info.run_id)}
    assert {"card.en.md", "card.zh.md", "metrics.csv", "segments.csv"} <= names
    assert {"survival.csv", "survival.png"} <= names
    import mlflow.artifacts

    tables = json.loads(run.data.tags["mlflow.loggedArtifacts"])
    assert {one["path"] for one in tables} == {
        "evaluation/by_decile.json",
        "evaluation/by_segment.json",
    }
    held_back = mlflow.artifacts.load_dict(f"{run.info.artifact_uri}/evaluation/by_segment.json")
    assert held_back["columns"] == ["segment", "customers", "predicted", "actual"]
    assert held_back["data"][0][0] == "all customers"
    affinity = next(row for row in rows if row["model"] == "affinity")
    found = {one.path for one in client.list_artifacts(affinity["run_id"])}
    assert {"positions.csv", "positions.png"} <= found
