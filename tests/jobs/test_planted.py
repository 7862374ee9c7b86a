"""Whole nights with a planted fault: each is refused with its reason, and the list stays."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest
import yaml
from tests.jobs import planted
from tests.jobs.conftest import DAY, DAYS, START, wiring

from nba.jobs.doctor import examine
from nba.jobs.ingest import ingest_folder
from nba.jobs.init import init_project
from nba.jobs.nightly import run_nightly
from nba.jobs.progress import silent
from nba.models.kinds import KINDS
from nba.simulation import WorldConfig, simulate

pytestmark = pytest.mark.proof

MIDNIGHT = datetime(DAY.year, DAY.month, DAY.day)
FAULTS = {
    "worse": "worse than the champion: loss +",
    "leak": "too good to be true",
    "harm": "harms the segment store S0002",
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A shop after a night, with a timing model that each fault is held against."""
    with pytest.MonkeyPatch.context() as patch:
        for fault in FAULTS:
            kind = f"tests.jobs.planted:{fault.capitalize()}"
            patch.setitem(KINDS, ("timing", f"planted_{fault}"), kind)
        yield made_shop(tmp_path_factory)


def made_shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("planted")
    config = WorldConfig(customers=400, clerks=4, stores=2, start=START, days=DAYS, seed=7)
    simulate(config, folder / "tables", folder / "truth")
    init_project(folder / "project", {})
    write_model(folder / "project", kind="recency_gap")
    here = wiring(folder / "project")
    ingest_folder(here, folder / "tables", mapping="", progress=silent)
    run_nightly(here, MIDNIGHT, progress=silent)
    tables = here.tables.at(None)
    collect = here.tables.collect
    planted.PURCHASES[:] = [collect(tables["transactions"]).select("customer_id", "ts")]
    stores = collect(tables["customers"]).filter(pl.col("store_id") == "S0002")
    planted.HARMED[:] = [stores["customer_id"].to_list()]
    return folder / "project"


def write_model(project: Path, *, kind: str) -> None:
    path = project / "models" / "timing.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    content |= {"kind": kind, "parameters": {}}
    path.write_text(yaml.safe_dump(content), encoding="utf-8")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_refused_and_the_list_stays(shop: Path, fault: str) -> None:
    served = wiring(shop).runs.of(DAY).read("plan/actions")
    write_model(shop, kind=f"planted_{fault}")
    run_nightly(wiring(shop), MIDNIGHT, progress=silent, force=True, from_step="train")
    found = examine(wiring(shop))
    assert found["champion timing"].startswith("v1")
    assert FAULTS[fault] in found["challenger timing"]
    listed = wiring(shop).runs.of(DAY).read("plan/actions")
    assert listed.height > 0
    assert listed.serialize() == served.serialize()
    others = [reason for name, reason in FAULTS.items() if name != fault]
    if fault == "harm":  # it gains on the whole: nothing else is said against it
        assert not any(reason in found["challenger timing"] for reason in others)
