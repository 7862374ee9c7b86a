"""The mode experiment on planted tables: what goes in, what is left out, what comes out."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from nba.errors import InputRefusedError, UsageError
from nba.evaluation.experiment_table import prepare, read_table
from nba.evaluation.mode_baselines import BASELINES, policy_tree
from nba.evaluation.mode_experiment import run_mode_experiment
from nba.evaluation.mode_summary import OURS, SINGLE
from nba.evaluation.overlap import covariate_balance
from nba.models.mode.doubly_robust.nuisance import Sample

ROWS = 1200


def table(rows: int = ROWS, seed: int = 1, *, effect: float = 1.0) -> pl.DataFrame:
    """A randomised test of three unequal arms whose best arm depends on one text column."""
    rng = np.random.default_rng(seed)
    arm = rng.choice(3, rows, p=[0.2, 0.5, 0.3])
    sector = rng.integers(0, 3, rows)
    noise = rng.normal(size=rows)
    outcome = effect * ((arm == 1) * (sector == 0) + (arm == 2) * (sector == 1)) + noise
    return pl.DataFrame(
        {
            "row_id": np.arange(rows),
            "customer": [f"u{i}" for i in range(rows)],
            "sector": np.array(["shoes", "toys", "tea"])[sector],
            "age": np.where(rng.uniform(size=rows) < 0.2, np.nan, rng.normal(40, 10, rows)),
            "constant": 1,
            "since": [f"2026-01-{1 + i % 28:02d}" for i in range(rows)],
            "arm": np.array(["hold", "letter", "call"])[arm],
            "chance": np.array([0.2, 0.5, 0.3])[arm],
            "profit": outcome,
        }
    ).with_columns(pl.col("since").str.to_date())


def run(frame: pl.DataFrame, **more: Any) -> dict[str, Any]:
    found = run_mode_experiment(frame, "arm", "hold", "profit", folds=3, compare=(), **more)
    return found.result


def policy(result: dict[str, Any], name: str = OURS) -> dict[str, Any]:
    row: dict[str, Any] = next(row for row in result["policies"] if row["policy"] == name)
    return row


def test_a_planted_effect_wins_over_the_best_single_arm() -> None:
    found = run_mode_experiment(
        table(3000), "arm", "hold", "profit", propensity="chance", folds=3, compare=("T-learner",)
    )
    ours = policy(found.result)
    assert ours["z"] >= 2
    assert ours["difference"] >= 0.5 / 3  # of the best possible third
    assert policy(found.result, SINGLE)["difference"] == 0
    assert found.table["policy"].to_list() == [SINGLE, OURS, "T-learner"]
    assert found.markdown().count("\n") == 4
    assert found.assignments.height == 3000
    assert found.assignments.filter(pl.col("chosen_arm") == "call").height > 500
    assert found.result["propensity_model"] == "logged"
    assert {note.split(":")[0] for note in found.result["notes"]} == {
        "row_id",
        "customer",
        "constant",
    }


def test_noise_never_loses() -> None:
    ours = policy(run(table(effect=0.0)))
    assert ours["z"] > -1.7


def test_costs_are_deducted_and_arms_are_named() -> None:
    free, dear = run(table()), run(table(), cost={"letter": 5.0, "call": 5.0})
    assert dear["cost"] == {"hold": 0.0, "call": 5.0, "letter": 5.0}
    assert dear["chosen_share"][OURS]["hold"] == 1.0
    assert free["chosen_share"][OURS]["hold"] < 0.5


def test_other_outcomes_are_valued_on_the_same_choices() -> None:
    frame = table().with_columns(twice=2 * pl.col("profit"))
    result = run(frame, also=("twice",))
    assert "twice" not in result["features"]
    ours = next(row for row in result["also"]["twice"] if row["policy"] == OURS)
    assert ours["dr"] == pytest.approx(2 * policy(result)["dr"], rel=0.02)


def test_threads_change_nothing() -> None:
    assert run(table(300))["policies"] == run(table(300), threads=3)["policies"]


def test_groups_and_few_rows_are_fine() -> None:
    frame = table(90).with_columns(household=pl.int_range(pl.len()) // 3)
    result = run(frame, group="household")
    assert "household" not in result["features"]
    assert np.isfinite(policy(result)["dr_error"])


def test_an_arm_that_is_too_small_is_refused_not_chosen() -> None:
    frame = table().with_columns(
        arm=pl.when(pl.col("row_id") < 4).then(pl.lit("gift")).otherwise("arm"),
        profit=pl.when(pl.col("row_id") < 4).then(100.0).otherwise("profit"),
    )
    result = run(frame)
    refused = {one["arm"]: one["refused"] for one in result["overlap"]}
    assert "effective sample size" in refused["gift"]
    assert result["chosen_share"][OURS]["gift"] == 0


def test_what_happened_after_the_arm_is_left_out() -> None:
    rng = np.random.default_rng(7)
    frame = table().with_columns(profit=(pl.col("profit") > 0.7).cast(pl.Float64))
    sent = frame["arm"].to_numpy() != "hold"
    bought = (frame["profit"].to_numpy() > 0) & (rng.uniform(size=ROWS) < 0.3)
    frame = frame.with_columns(
        basket=pl.Series(bought * 7.0),
        exposure=pl.Series(sent & (rng.uniform(size=ROWS) < 0.5)),
        past_exposure=pl.Series(rng.uniform(size=ROWS) < 0.5),
    )
    data = prepare(frame, "arm", "hold", "profit")
    notes = " ".join(data.notes)
    assert "basket: left out, it never happens without the outcome" in notes
    assert "exposure: left out, differs between the arms" in notes
    assert "past_exposure" in data.encoder.names
    kept = prepare(frame, "arm", "hold", "profit", features=["basket", "age"])
    assert kept.encoder.names == ("basket", "age")


def test_columns_that_say_the_arm_are_left_out() -> None:
    frame = table().with_columns(
        treated=(pl.col("arm") != "hold").cast(pl.Int64),
        subject=pl.when(pl.col("arm") == "hold").then(None).otherwise(pl.lit("Dear")),
    )
    data = prepare(frame, "arm", "hold", "profit")
    assert not {"treated", "subject", "chance"} & set(data.encoder.names)
    assert sum("says which arm" in note for note in data.notes) == 3


def test_rows_without_arm_or_outcome_are_left_out_and_counted() -> None:
    frame = table(200).with_columns(
        arm=pl.when(pl.col("row_id") == 3).then(None).otherwise("arm"),
        profit=pl.when(pl.col("row_id") == 5).then(float("nan")).otherwise("profit"),
    )
    data = prepare(frame, "arm", "hold", "profit")
    assert data.row.tolist() == [i for i in range(200) if i not in (3, 5)]
    assert "2 of 200 rows left out" in data.notes[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"control": "none"}, "control is not an arm"),
        ({"outcome": "gain"}, "lacks columns"),
        ({"cost": {"fax": 1.0}}, "cost is given for an arm"),
    ],
)
def test_wrong_calls_are_explained(change: dict[str, Any], message: str) -> None:
    call = {"arm": "arm", "control": "hold", "outcome": "profit"} | change
    with pytest.raises(UsageError, match=message):
        prepare(table(100), **call)


def test_unreadable_and_empty_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputRefusedError, match="cannot read"):
        read_table(tmp_path / "absent.csv")
    table(10).write_csv(tmp_path / "small.csv")
    with pytest.raises(InputRefusedError, match="too few usable rows"):
        prepare(read_table(tmp_path / "small.csv"), "arm", "hold", "profit")


def test_csv_and_parquet_read_alike(tmp_path: Path) -> None:
    table(300).write_csv(tmp_path / "t.csv")
    table(300).write_parquet(tmp_path / "t.parquet")
    pair = [prepare(read_table(tmp_path / f"t.{e}"), "arm", "hold", "profit") for e in
            ("csv", "parquet")]  # fmt: skip
    assert pair[0].arms == pair[1].arms
    assert pair[0].sample.outcome == pytest.approx(pair[1].sample.outcome)


def test_the_policy_tree_finds_the_planted_cut() -> None:
    rng = np.random.default_rng(2)
    x = rng.uniform(-1, 1, (2000, 3))
    scores = np.c_[np.zeros(2000), np.sign(x[:, 1]) + rng.normal(0, 0.5, 2000)]
    sample = Sample(x, rng.integers(0, 2, 2000), rng.normal(size=2000))
    chosen = policy_tree(sample, 2, scores, 0)(x).argmax(axis=1)
    assert ((x[:, 1] > 0) == chosen).mean() > 0.9
    assert list(BASELINES) == [
        "S-learner",
        "T-learner",
        "X-learner",
        "causal forest",
        "policy tree",
    ]


def test_balance_before_and_after_weighting() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(20_000, 1))
    chance = 1 / (1 + np.exp(-x[:, 0]))
    arm = (rng.uniform(size=20_000) < chance).astype(np.int64)
    drawn = np.where(arm == 1, chance, 1 - chance)
    balance = covariate_balance(x, ("x",), arm, drawn, arms=2)
    assert balance["before"].abs().min() > 0.3
    assert balance["after"].abs().max() < 0.05
