"""The bench of a night: what it measures adds up."""

from __future__ import annotations

from pathlib import Path

import pytest

from nba.jobs.nightly import SEQUENCE
from nba.jobs.nightly_bench import Measured, _grown, bench_nightly

#: What a night lays ready once its plan stands.
LAID = ("lists", "cards", "next_actions")


@pytest.mark.proof
def test_two_nights_are_measured_step_by_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = bench_nightly(customers=80, days=90, threads=1, folder=str(tmp_path))
    for night in ("first", "second"):
        steps = [one for one in found if one.night == night and one.step != "ingest"]
        assert [one.step for one in steps] == [*(step.name for step in SEQUENCE), *LAID]
        assert sum(one.share for one in steps) == pytest.approx(1, abs=0.01)
        assert all(one.seconds > 0 and one.peak_mb > 50 for one in steps)
        assert [one.step for one in steps if not one.disk_mb] == list(LAID)
        assert [one.step for one in steps if not one.over_limit] == ["train", *LAID]
        assert all(one.cpu_seconds > 0 for one in steps if one.step != "train")
    said = capsys.readouterr().err
    assert [said.count(f"Z {step.name} ") for step in SEQUENCE] == [2] * len(SEQUENCE)
    loaded = next(one for one in found if one.step == "ingest")
    assert loaded.peak_mb > 50
    assert [one.step for one in found if one.night == "limit"] == [
        "LightGBM predict", "Parquet write", "DuckDB scan",
    ]  # fmt: skip


def test_growth_is_per_customer() -> None:
    def shop(seconds: float, spent: float) -> list[Measured]:
        return [Measured("second", "score", seconds, spent, 1.0, 1, 1, 100)]

    less, more = _grown(shop(2.0, 3.0), shop(8.0, 6.0), ratio=2.0)
    assert (less.growth, less.cpu_growth) == (0.0, 0.0)
    assert (more.growth, more.cpu_growth) == (2.0, 1.0)
