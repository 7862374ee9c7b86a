"""A trial refuses what is worse, what peeks and what harms a part, and passes what is better."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl
import pytest

from nba.evaluation.trials import (
    BASELINE,
    CHAMPION,
    Answers,
    Trial,
    affinity_answers,
    hold_trial,
    timing_answers,
)
from nba.models.spec import Gate

ROWS = 3000
RNG = np.random.default_rng(11)
TRUE = RNG.beta(1.5, 4.0, ROWS)
BOUGHT = RNG.random(ROWS) < TRUE
STORE = pl.Series(["S1", "S2", "S3"]).gather(np.arange(ROWS) % 3)


def noisy(spread: float, rows: np.ndarray | None = None) -> np.ndarray:
    """The true chances, blurred on the log-odds scale (for some rows only)."""
    blur = np.random.default_rng(5).normal(0, spread, ROWS)
    if rows is not None:
        blur = np.where(rows, blur, 0.0)
    odds = np.log(TRUE / (1 - TRUE)) + blur
    return np.asarray(1 / (1 + np.exp(-odds)))


def answers(probability: np.ndarray) -> Answers:
    return timing_answers(probability, BOUGHT, 0.5)


def trial(new: np.ndarray, others: Mapping[str, np.ndarray], *gates: Gate) -> Trial:
    held = {name: answers(one) for name, one in others.items()}
    return hold_trial(answers(new), held, {"store": STORE}, gates, days=30, seed=1)


def test_a_better_design_passes_with_metrics_beside_those_of_the_others() -> None:
    found = trial(
        TRUE,
        {CHAMPION: noisy(1.0), BASELINE: np.full(ROWS, BOUGHT.mean())},
        Gate(metric="auc", margin=0.0, baseline=CHAMPION),
        Gate(metric="calibration_error", at_most=0.05),
        Gate(metric="agreement", at_least=0.5),
        Gate(metric="seconds", at_most=60),
    )
    assert found.refusals == ()
    assert found.metrics["auc"].estimate > found.metrics["champion/auc"].estimate
    assert found.metrics["log_loss-champion"].lower > 0
    assert found.segments.height == 3
    told = {row[0]: row[1:] for row in found.by_segment.iter_rows()}
    assert told["all customers"] == (ROWS, pytest.approx(TRUE.mean()), pytest.approx(BOUGHT.mean()))
    assert sum(count for name, (count, *_) in told.items() if name != "all customers") == ROWS
    store = STORE.unique().sort()[0]
    mine = (store == STORE).to_numpy()
    assert told[f"store {store}"][1:] == pytest.approx((TRUE[mine].mean(), BOUGHT[mine].mean()))


def test_a_worse_design_is_refused_with_the_loss() -> None:
    found = trial(noisy(1.5), {CHAMPION: TRUE})
    assert any(text.startswith("worse than the champion: loss +") for text in found.refusals)


def test_a_design_no_better_than_the_simple_one_by_noise_passes_and_a_worse_one_does_not() -> None:
    assert trial(TRUE, {BASELINE: TRUE}).refusals == ()
    assert "worse than the baseline" in trial(noisy(1.5), {BASELINE: TRUE}).refusals[0]


def test_a_design_that_reads_what_it_is_asked_about_is_refused() -> None:
    leak = np.where(BOUGHT, 0.9, 0.05) + RNG.normal(0, 0.01, ROWS)
    found = trial(leak, {CHAMPION: TRUE})
    assert any("too good to be true" in text for text in found.refusals)


def test_harm_to_one_store_is_refused_although_the_whole_gains() -> None:
    in_store = (STORE == "S3").to_numpy()
    champion = np.where(in_store, TRUE, noisy(2.5))
    new = np.where(in_store, noisy(1.5), TRUE)
    found = trial(new, {CHAMPION: champion})
    assert found.metrics["log_loss-champion"].lower > 0
    assert len(found.refusals) == 1
    assert found.refusals[0].startswith("harms the segment store S3")


def test_a_gate_must_be_passed_with_confidence() -> None:
    near = trial(TRUE, {}).metrics["auc"]
    between = (near.lower + near.estimate) / 2
    (refusal,) = trial(TRUE, {}, Gate(metric="auc", at_least=between)).refusals
    assert "not at least" in refusal
    (refusal,) = trial(TRUE, {}, Gate(metric="auc", at_least=0.999)).refusals
    assert f"{near.estimate:.4g}" in refusal
    (refusal,) = trial(TRUE, {}, Gate(metric="aucc", at_least=0.5)).refusals
    assert "no such metric; there are auc" in refusal


def test_a_gate_over_a_champion_waits_for_one() -> None:
    assert trial(TRUE, {}, Gate(metric="auc", margin=0.1, baseline=CHAMPION)).refusals == ()


@pytest.mark.parametrize("worse", [False, True])
def test_lists_are_judged_by_whether_one_of_ten_was_bought(worse: bool) -> None:
    rng = np.random.default_rng(3)
    hit, other = rng.random(800) < 0.4, rng.random(800) < 0.25
    new, champion = (other, hit) if worse else (hit, other)
    found = hold_trial(
        affinity_answers(new, rng.random(800), 0.1),
        {CHAMPION: affinity_answers(champion, rng.random(800), 0.1)},
        {},
        (),
        days=30,
        seed=1,
    )
    assert bool(found.refusals) is worse
    assert found.metrics["hit_10"].estimate == pytest.approx(new.mean())
