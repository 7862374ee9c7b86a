"""Machines with empty disks and the same project files work from one prefix."""

from __future__ import annotations

import csv
import json
import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from tests.command import nba
from tests.jobs.conftest import DAY, wiring

from nba.serving.app import create_app
from nba.serving.following import bring_newest
from nba.serving.processes import answering
from nba.serving.services import Access

TOMORROW = DAY + timedelta(days=1)


@pytest.fixture
def machines(made: Path, s3_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a project that has a plan, and two with its files and nothing kept."""
    monkeypatch.setenv("NBA_STORAGE_URL", f"{s3_bucket}/shops/1")
    shutil.copytree(made, tmp_path / "one")
    for name in ("two", "three"):
        shutil.copytree(made, tmp_path / name, ignore=shutil.ignore_patterns("data"))
    return tmp_path


def exported(project: Path, out: Path, *, day: object = DAY) -> str:
    nba("--project", project, "actions", "export", "--as-of", day, "--out", out)
    return out.read_text(encoding="utf-8")


def test_a_night_on_one_machine_is_read_and_served_on_others(machines: Path) -> None:
    one, two, three = (machines / name for name in ("one", "two", "three"))
    said = nba("--project", one, "run", "--as-of", DAY)
    assert f"the plan of {DAY} stands" in said
    assert "sent=version 1" in said
    plan = exported(one, machines / "one.csv")
    assert exported(two, machines / "two.csv") == plan

    nba("--project", two, "run", "--as-of", TOMORROW)
    next_plan = exported(one, machines / "one.csv", day=TOMORROW)
    assert next_plan == exported(two, machines / "two.csv", day=TOMORROW)
    assert next_plan != plan
    assert f"the plan of {TOMORROW} stands" in nba("--project", one, "run", "--as-of", TOMORROW)

    bring_newest(wiring(three))
    app = create_app(answering(wiring(three).project, Access.OPEN))
    with TestClient(app, "http://127.0.0.1", client=("127.0.0.1", 50000)) as service:
        first = next(row for row in csv.DictReader(next_plan.splitlines()) if row["mode"] != "none")
        clerk, customer = first["clerk_id"], first["customer_id"]
        listed = service.get(f"/v1/clerks/{clerk}/actions").json()["actions"]
        assert listed
        assert any(one["customer_id"] == customer for one in listed)
        assert service.get(f"/v1/customers/{customer}").status_code == 200
        assert service.get(f"/v1/customers/{customer}/actions").status_code == 200

    report, _ = json.JSONDecoder().raw_decode(nba("--project", three, "doctor", "--json"))
    assert report["storage"].startswith("version ")
    assert "PROBLEM" not in json.dumps(report)
