"""What a changed file would have earned: a kept day planned anew and valued, or refused."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from tests.jobs.conftest import DAY, wiring
from typer.testing import CliRunner, Result

from nba.cli import app
from nba.jobs.ingest import ingest_folder
from nba.jobs.nightly import run_nightly
from nba.jobs.progress import silent

OUTCOME_DAYS, PLANNED = 2, 3
LAST = DAY + dt.timedelta(days=PLANNED + OUTCOME_DAYS - 2)


@pytest.fixture(scope="module")
def shop(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop with three planned days whose outcome is known."""
    folder = tmp_path_factory.mktemp("what-if")
    shop = folder / "project"
    shutil.copytree(made, shop)
    settings = shop / "nba.yaml"
    content = yaml.safe_load(settings.read_text(encoding="utf-8")) or {}
    settings.write_text(yaml.safe_dump({**content, "outcome_days": OUTCOME_DAYS}), "utf-8")
    wired = wiring(shop)
    customers = wired.runs.of(DAY).read("plan/log")["customer_id"]
    products = wired.tables.collect(wired.tables.at(dt.datetime(2025, 6, 1))["products"])
    rng = np.random.default_rng(1)
    buyers = customers.filter(pl.Series(rng.random(len(customers)) < 0.4))
    tables = folder / "sales"
    tables.mkdir()
    pl.DataFrame(
        {
            "order_id": [f"later-{one}" for one in buyers],
            "customer_id": buyers,
            "product_id": rng.choice(products["product_id"].to_numpy(), len(buyers)),
            "ts": [
                dt.datetime.combine(DAY, dt.time(12)) + dt.timedelta(days=int(d))
                for d in rng.integers(0, PLANNED + OUTCOME_DAYS - 1, len(buyers))
            ],
            "quantity": 1,
            "unit_price": rng.uniform(50, 200, len(buyers)),
        }
    ).write_parquet(tables / "transactions.parquet")
    ingest_folder(wired, tables)
    for day in range(1, PLANNED):
        moment = dt.datetime.combine(DAY + dt.timedelta(days=day), dt.time())
        run_nightly(wiring(shop), moment, progress=silent, until_step="plan")
    return shop


def ask(shop: Path, *options: str | Path) -> Result:
    days = ["--from", str(DAY), "--to", str(LAST)]
    words = ["--project", str(shop), "experiment", "what-if", *map(str, options), *days]
    return CliRunner().invoke(app, words)


def draft(shop: Path, folder: Path, name: str, **changes: object) -> Path:
    content = yaml.safe_load((shop / "serving" / name).read_text(encoding="utf-8"))
    path = folder / name
    path.write_text(yaml.safe_dump(content | changes, allow_unicode=True), encoding="utf-8")
    return path


def figures(done: Result) -> dict[str, Any]:
    assert done.exit_code == 0, done.output
    told = json.loads(done.output)
    assert isinstance(told, dict)
    return told


def test_a_changed_policy_and_levers_are_valued_with_interval_and_sample(
    shop: Path, tmp_path: Path
) -> None:
    levers = draft(shop, tmp_path, "levers.yaml", categories={"nowhere": 20})
    policy = draft(shop, tmp_path, "contact_policy.yaml", same_content_days=61)
    told = figures(ask(shop, "--levers", levers, "--policy", policy, "--json"))
    assert told["lower"] <= told["value"] <= told["upper"]
    assert told["effective_rows"] >= 100
    assert told["days"] == PLANNED
    done = ask(shop, "--levers", levers)
    assert done.exit_code == 0, done.output
    assert "of margin a week against what was done" in done.output
    assert "worth" in done.output


def test_the_version_that_served_differs_by_nothing(shop: Path) -> None:
    told = figures(ask(shop, "--model", "timing=1", "--json"))
    assert told["value"] == pytest.approx(0.0, abs=1e-9)
    assert told["unseen_share"] == pytest.approx(0.0, abs=1e-9)


def test_a_version_that_has_learned_from_the_days_is_refused(shop: Path, tmp_path: Path) -> None:
    folder = tmp_path / "later"
    shutil.copytree(shop, folder)
    path = folder / "models" / "timing.yaml"
    simple = {"kind": "recency_gap", "parameters": {"cutoff_step_days": 45}}
    content = yaml.safe_load(path.read_text(encoding="utf-8")) | simple
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    after = dt.datetime.combine(LAST + dt.timedelta(days=1), dt.time())
    run_nightly(wiring(folder), after, progress=silent, until_step="train")
    done = ask(folder, "--model", "timing=2")
    assert done.exit_code == 1
    said = str(done.exception) + done.output
    assert "the version has learned from these days" in said
    assert f"days from {after.date()} on" in said


def test_a_catalogue_of_other_contacts_is_refused_by_name(shop: Path, tmp_path: Path) -> None:
    catalogue = yaml.safe_load((shop / "serving" / "actions.yaml").read_text(encoding="utf-8"))
    for action in catalogue["actions"]:
        action["action_type"] += "_new"
    folder = shop.parent / "renamed"
    shutil.copytree(shop, folder)
    (folder / "serving" / "texts.yaml").unlink()
    write = {"levers.yaml": {"version": 1}}
    policy = yaml.safe_load((shop / "serving" / "contact_policy.yaml").read_text(encoding="utf-8"))
    write["contact_policy.yaml"] = {**policy, "floors": []}
    for name, content in write.items():
        (folder / "serving" / name).write_text(yaml.safe_dump(content), encoding="utf-8")
    path = tmp_path / "actions.yaml"
    path.write_text(yaml.safe_dump(catalogue, allow_unicode=True), encoding="utf-8")
    done = ask(folder, "--catalogue", path)
    assert done.exit_code == 1
    assert "never open" in str(done.exception) + done.output
    assert "_new" in str(done.exception) + done.output


def test_a_call_that_says_nothing_or_too_much_is_refused(shop: Path, tmp_path: Path) -> None:
    policy = draft(shop, tmp_path, "contact_policy.yaml")
    for call in ((), ("times 0.5", "--policy", policy), ("--model", "timing")):
        done = ask(shop, *call)
        assert done.exit_code == 2 or "UsageError" in repr(done.exception)
    done = ask(shop, "--model", "timing=9")
    assert "no version 9" in str(done.exception) + done.output
