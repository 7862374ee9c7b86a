"""Gain curves of a fit: a planted order is found, the other is told apart, noise has none."""

from __future__ import annotations

import numpy as np

from nba.evaluation.effect_gains import draw_gains, effect_gains, row_gains

ROWS = 8000


def world(seed: int, effect: float) -> tuple[np.ndarray, ...]:
    """Rows of which those with a high `moved` buy more when listed."""
    rng = np.random.default_rng(seed)
    moved, other, past = rng.random(ROWS), rng.random(ROWS), rng.poisson(1.0, ROWS)
    p_none = rng.uniform(0.5, 0.9, ROWS)
    listed = rng.random(ROWS) > p_none
    orders = rng.poisson(0.2 + 0.1 * past + effect * moved * listed).astype(float)
    return moved, other, past[:, None].astype(float), p_none, listed, orders


def test_the_order_that_pays_is_found_and_beats_one_that_does_not() -> None:
    moved, other, past, p_none, listed, orders = world(1, 0.6)
    gain = row_gains(listed, p_none, orders, past)
    assert gain is not None
    customer = np.arange(ROWS) // 4
    found = effect_gains(moved, other, gain, customer=customer, listed=int(listed.sum()), days=28)
    qini, simple = found.metrics["qini"], found.metrics["baseline/qini"]
    # E[(1/2 - rank) x 0.6 x moved] with rank = 1 - moved is 0.6 / 12
    assert qini.lower < 0.05 < qini.upper
    assert qini.lower > 0
    assert simple.lower < 0 < simple.upper
    assert found.metrics["qini-baseline"].lower > 0
    whole = found.curves.group_by("ranking").agg(end="gain").to_dicts()
    assert abs(whole[0]["end"][-1] - whole[1]["end"][-1]) < 1e-9
    assert draw_gains(found) is not None


def test_where_contacts_change_nothing_the_interval_holds_zero_as_often_as_it_says() -> None:
    held = []
    for seed in range(60):
        moved, other, past, p_none, listed, orders = world(seed, 0.0)
        gain = row_gains(listed, p_none, orders, past)
        assert gain is not None
        customer = np.arange(ROWS)
        qini = effect_gains(moved, other, gain, customer=customer, listed=1, days=1).metrics["qini"]
        held.append(qini.lower <= 0 <= qini.upper)
    assert 0.88 <= np.mean(held) <= 1.0


def test_too_few_listings_say_nothing() -> None:
    _, _, past, p_none, _, orders = world(3, 0.5)
    few = np.zeros(ROWS, dtype=bool)
    few[:20] = True
    assert row_gains(few, p_none, orders, past) is None
