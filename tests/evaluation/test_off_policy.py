"""Off-policy estimators against a hand-worked log and against simulated truth."""

import numpy as np
import pytest

from nba.errors import ModelError
from nba.evaluation.off_policy import (
    Log,
    Method,
    mean_interval,
    one_arm,
    paired_difference,
    policy_value,
    row_scores,
)

# Four rows, two arms. The policy plays arm 1 with probability 1/2, 1, 0 and 1.
ARM = np.array([1, 1, 0, 0])
OUTCOME = np.array([4.0, 2.0, 1.0, 3.0])
PROPENSITY = np.array([0.5, 0.25, 0.5, 0.75])
POLICY = np.array([[0.5, 0.5], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
PREDICTED = np.array([[1.0, 3.0], [1.0, 2.0], [2.0, 2.0], [1.0, 5.0]])
LOG = Log(ARM, OUTCOME, PROPENSITY)


def test_hand_worked_ips() -> None:
    # weights .5/.5 = 1, 1/.25 = 4, 1/.5 = 2, 0/.75 = 0; (4 + 8 + 2 + 0) / 4
    estimate = policy_value(LOG, POLICY, method=Method.IPS)
    assert estimate.value == pytest.approx(14 / 4)
    assert estimate.mean_weight == pytest.approx(7 / 4)
    assert estimate.effective_rows == pytest.approx(49 / 21)


def test_hand_worked_snips() -> None:
    estimate = policy_value(LOG, POLICY, method=Method.SNIPS)
    assert estimate.value == pytest.approx(14 / 7)
    # delta method: the sum of (w (y - 2) / (7/4))^2 is (2^2 + 0 + 2^2 + 0) / (49/16)
    assert estimate.standard_error == pytest.approx(np.sqrt(8 * 16 / 49 * 4 / 3) / 4)


def test_hand_worked_doubly_robust() -> None:
    # model means 2, 2, 2, 5; residuals 1, 0, -1, 2 times weights 1, 4, 2, 0
    estimate = policy_value(LOG, POLICY, method=Method.DR, predicted=PREDICTED)
    assert estimate.contributions.tolist() == [3.0, 2.0, 0.0, 5.0]
    assert estimate.value == pytest.approx(10 / 4)
    assert estimate.standard_error == pytest.approx(np.sqrt(13 / 3) / 2)


def test_scores_average_to_the_value_of_one_arm() -> None:
    scores = row_scores(LOG, 2, PREDICTED)
    assert scores[:, 1].tolist() == [5.0, 2.0, 2.0, 5.0]  # 3 + (4 - 3) / .5 in the first row
    estimate = policy_value(LOG, one_arm(1, 2, 4), predicted=PREDICTED)
    assert scores[:, 1].mean() == pytest.approx(estimate.value)


def test_clipping_is_done_and_stated() -> None:
    estimate = policy_value(
        Log(ARM, OUTCOME, PROPENSITY, max_weight=2.0), POLICY, method=Method.IPS
    )
    assert estimate.value == pytest.approx(10 / 4)
    assert estimate.clipped_share == pytest.approx(1 / 4)


def test_groups_widen_the_interval() -> None:
    values = np.repeat([1.0, 3.0, 8.0], 50)
    group = np.repeat([0, 1, 2], 50)
    _, alone, _, _ = mean_interval(values)
    _, grouped, _, _ = mean_interval(values, group=group)
    assert grouped == pytest.approx(np.std([1, 3, 8], ddof=1) / np.sqrt(3))
    assert grouped > 5 * alone


def test_a_thin_estimate_is_refused() -> None:
    estimate = policy_value(LOG, POLICY, method=Method.IPS)
    assert len(estimate.problems) == 2
    with pytest.raises(ModelError, match="effective sample size 2"):
        estimate.trusted()


def test_a_policy_equal_to_the_logging_one_is_trusted() -> None:
    rng = np.random.default_rng(3)
    arm = rng.integers(0, 2, 500)
    log = Log(arm, rng.normal(size=500), np.full(500, 0.5))
    estimate = policy_value(log, np.full((500, 2), 0.5), method=Method.IPS)
    assert estimate.trusted().value == pytest.approx(log.outcome.mean())


def test_impossible_propensities_are_refused() -> None:
    with pytest.raises(ModelError, match="0 < propensity"):
        Log(ARM, OUTCOME, np.array([0.5, 0.0, 0.5, 0.75]))
    with pytest.raises(ModelError, match="differ in length"):
        Log(ARM[:2], OUTCOME, PROPENSITY)


def test_pairing_cancels_shared_noise() -> None:
    first = policy_value(LOG, POLICY, predicted=PREDICTED)
    same = paired_difference(first, first)
    assert (same.value, same.z) == (0.0, 0.0)


def simulated(seed: int, rows: int = 1000) -> dict[str, tuple[float, float, float]]:
    """One log with known truth: the intervals of three estimators and of a paired difference."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, rows)
    chance = 1 / (1 + np.exp(-x))
    propensity = np.c_[1 - chance, chance] * 0.8 + 0.1
    arm = (rng.uniform(size=rows) < propensity[:, 1]).astype(np.int64)
    mean = np.c_[1 + x, 1.2 + 2 * x]
    outcome = mean[np.arange(rows), arm] + rng.normal(size=rows)
    log = Log(arm, outcome, propensity[np.arange(rows), arm])
    policy = one_arm((x > 0).astype(np.int64), 2, rows)
    rough = np.c_[1 + 0.8 * x, 1 + 1.7 * x]  # a wrong outcome model: DR must not mind
    kinds = {method: policy_value(log, policy, method=method, predicted=rough) for method in Method}
    found = {str(k): (e.value, e.lower, e.upper) for k, e in kinds.items()}
    other = policy_value(log, one_arm(1, 2, rows), predicted=rough)
    gap = paired_difference(kinds[Method.DR], other)
    return found | {"paired": (gap.value, gap.lower, gap.upper)}


# E[1 + x; x <= 0] + E[1.2 + 2x; x > 0] = (1 - 1/2)/2 + (1.2 + 1)/2; all on arm 1: 1.2
TRUTH = {"ips": 1.35, "snips": 1.35, "dr": 1.35, "paired": 0.15}


def test_estimators_agree_with_simulated_truth() -> None:
    runs = [simulated(seed) for seed in range(60)]
    for name, truth in TRUTH.items():
        values = np.array([run[name][0] for run in runs])
        assert abs(values.mean() - truth) < 4 * values.std() / np.sqrt(60)
    spread = {name: np.std([run[name][0] for run in runs]) for name in TRUTH}
    assert spread["dr"] < spread["snips"] < spread["ips"]


@pytest.mark.proof
def test_intervals_cover_the_truth_over_2000_seeds() -> None:
    runs = [simulated(seed) for seed in range(2000)]
    for name, truth in TRUTH.items():
        covered = np.mean([run[name][1] <= truth <= run[name][2] for run in runs])
        print(f"coverage of the 95 % interval, {name}: {covered:.4f}")
        assert 0.935 <= covered <= 0.965, name
