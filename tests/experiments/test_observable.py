"""The observable oracle plans with expectations learned in other worlds."""

from __future__ import annotations

import pytest

from experiments.common.compare import prepare
from experiments.common.policies import effect_sample
from experiments.observable.oracle import ObservableEffects, fit_expected, observable_features
from nba.errors import UsageError
from nba.simulation import Preset, World, WorldConfig
from nba.simulation.observed import Rules

CONFIG = WorldConfig(customers=500, days=60, pilot=False)


@pytest.fixture(scope="module")
def expected():
    return fit_expected(CONFIG, seeds=(11, 12), days=14, rounds=60)


def test_expectations_follow_the_truth_of_a_world_not_seen(expected):
    world, observed = prepare(CONFIG.model_copy(update={"seed": 13}))
    truth = effect_sample(world, observed, Rules())
    who = observed.eligible(world.date, Rules())
    found = truth.join(
        expected(world.date, observed, who), on=["customer_id", "mode"], suffix="_hat"
    )
    assert found.height == truth.height
    best = found.sort("effect_amount_hat", descending=True).head(found.height // 5)
    assert best["effect_amount"].mean() > max(2 * found["effect_amount"].mean(), 1.0)


def test_features_come_from_before_the_day(played):
    observed, day = played.observed(), played.world.date
    who = observed.eligible(day, Rules())
    features = observable_features(day, observed, who)
    assert features["customer_id"].to_list() == who["customer_id"].to_list()
    assert features["days_since_purchase"].min() >= 1


@pytest.mark.parametrize("change", [{"seed": 11}, {"preset": Preset.CONSERVATIVE}])
def test_a_world_it_was_fitted_on_or_another_preset_is_refused(expected, change):
    with pytest.raises(UsageError, match="may not plan"):
        expected.policy(World(CONFIG.model_copy(update={"seed": 14, **change})), Rules())


def test_it_reads_back_as_it_was_written(expected, played, tmp_path):
    expected.save(tmp_path)
    read = ObservableEffects.load(tmp_path)
    observed, day = played.observed(), played.world.date
    who = observed.eligible(day, Rules())
    assert read(day, observed, who).equals(expected(day, observed, who))
    assert (read.seeds, read.rows) == ((11, 12), expected.rows)
