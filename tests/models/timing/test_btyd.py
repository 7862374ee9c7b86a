"""Buy-till-you-die fits: published values, closed forms, and simulated customers."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from nba.models.purchases import day_number, purchases_between, read_log
from nba.models.timing.btyd import Btyd, Summary, fit_btyd, fit_regular, summarise


def simulate(k: int, customers: int = 6000, weeks: float = 60.0) -> tuple[Summary, np.ndarray]:
    """Draw from MBG/CNBD-k with r 1.2, alpha 4 / k, a 1, b 3; return summary and 20-week counts."""
    rng = np.random.default_rng(k)
    rate = rng.gamma(1.2, k / 4.0, customers)
    leave = rng.beta(1.0, 3.0, customers)
    alive = rng.random(customers) >= leave
    now, repeats, last = np.zeros(customers), np.zeros(customers), np.zeros(customers)
    logs, later = np.zeros(customers), np.zeros(customers)
    while alive.any():
        gap = rng.gamma(k, 1.0 / rate)
        now = np.where(alive, now + gap, now)
        inside, after = alive & (now <= weeks), alive & (now > weeks) & (now <= weeks + 20)
        repeats += inside
        logs += np.where(inside, np.log(gap), 0.0)
        last = np.where(inside, now, last)
        later += after
        alive &= (now <= weeks + 20) & (rng.random(customers) >= leave)
    return Summary(repeats, last, np.full(customers, weeks), logs), later


@pytest.mark.requires("data")
def test_cdnow_has_the_published_likelihood_and_parameters(real_data: Path) -> None:
    """Fader, Hardie and Lee (2005), table 2: LL −9582.4, r .243, alpha 4.414, a .793, b 2.426."""
    lines = pl.read_parquet(real_data / "cdnow" / "sample_transactions.parquet").select(
        pl.col("master_customer_id").alias("customer_id"),
        pl.col("purchase_date").alias("ts"),
        pl.col("dollar_value").alias("amount"),
    )
    cutoff, end = day_number(datetime(1997, 10, 1)), day_number(datetime(1998, 7, 1))
    log = read_log(lines, as_of=datetime(1998, 7, 1))
    summary, some = summarise(log, cutoff)
    model = fit_btyd(summary)
    assert len(summary.repeats) == 2357
    assert model.log_likelihood == pytest.approx(-9582.4, abs=0.05)
    assert (model.r, model.alpha, model.a, model.b) == pytest.approx(
        (0.243, 4.414, 0.793, 2.426), abs=0.002
    )
    counts = purchases_between(log, cutoff, end)[some]
    expected = model.expected_purchases(summary, 273.0)
    assert np.sqrt(np.mean((expected - counts) ** 2)) == pytest.approx(1.608, abs=0.001)
    assert np.corrcoef(expected, counts)[0, 1] == pytest.approx(0.626, abs=0.001)
    # CDs are bought at random: no regularity is invented
    assert fit_regular(summary).k == 1


@pytest.mark.parametrize("k", [1, 2, 3])
def test_regularity_and_counts_are_recovered(k: int) -> None:
    summary, later = simulate(k)
    model = fit_regular(summary)
    assert model.k == k
    expected = model.expected_purchases(summary, 140.0)
    assert expected.sum() == pytest.approx(later.sum(), rel=0.08)
    bought = 1.0 - model.survival(summary, np.array([140.0]))[:, 0]
    assert bought.mean() == pytest.approx((later > 0).mean(), abs=0.02)


def test_closed_form_equals_the_sum() -> None:
    summary, _ = simulate(1, 200)
    for family in ("bg", "mbg"):
        model = Btyd(family, 1, 0.6, 5.0, 0.8, 2.5, 0.0)
        assert model.expected_purchases(summary, 100.0) == pytest.approx(
            model._expected_by_sum(summary, 100.0 / 7.0), abs=1e-5
        )


@pytest.mark.parametrize(("family", "k"), [("bg", 1), ("mbg", 1), ("mbg", 3)])
def test_slopes_are_those_of_the_likelihood(family: Any, k: int) -> None:
    summary, _ = simulate(k, 200)
    logs, step = np.log([0.6, 5.0, 0.8, 2.5]), 1e-5

    def likelihood(at: np.ndarray) -> np.ndarray:
        return Btyd(family, k, *np.exp(at), 0.0).log_density(summary)

    total, by = Btyd(family, k, *np.exp(logs), 0.0).slopes(summary)
    assert total == pytest.approx(likelihood(logs))
    for i, unit in enumerate(np.eye(4) * step):
        numeric = (likelihood(logs + unit) - likelihood(logs - unit)) / (2 * step)
        assert by[:, i] == pytest.approx(numeric, abs=1e-6)


def test_survival_falls_from_one_towards_the_drop_out() -> None:
    summary, _ = simulate(2, 300)
    model = fit_btyd(summary, family="mbg", k=2)
    curve = model.survival(summary, np.array([0.0, 1.0, 30.0, 365.0, 1e7]))
    assert curve[:, 0] == pytest.approx(1.0)
    assert (np.diff(curve, axis=1) <= 1e-12).all()
    assert curve[:, -1] == pytest.approx(1.0 - model.p_alive(summary), abs=0.05)


def test_nobody_who_may_not_drop_out_is_gone() -> None:
    """With BG/NBD a customer without a repeat purchase is alive for certain."""
    model = Btyd("bg", 1, 0.243, 4.414, 0.793, 2.426, 0.0)
    one = Summary(np.zeros(1), np.zeros(1), np.array([30.0]), np.zeros(1))
    assert model.p_alive(one).tolist() == [1.0]


class Fit(dict[str, Any]):
    """Just enough of a fit for pymc-marketing: named groups, by key and by attribute."""

    def __getattr__(self, name: str) -> Any:
        return self[name]


@pytest.mark.proof
@pytest.mark.filterwarnings("ignore")  # pymc-marketing and its parts warn on import
def test_expectations_are_those_of_pymc_marketing() -> None:
    """The same parameters give the same P(alive) and expected purchases as pymc-marketing."""
    import pandas as pd
    import xarray as xr
    from pymc_marketing.clv import BetaGeoModel, ModifiedBetaGeoModel

    summary, _ = simulate(1, 50)
    frame = pd.DataFrame(
        {
            "customer_id": range(50),
            "frequency": summary.repeats,
            "recency": summary.recency,
            "T": summary.age,
        }
    )
    values = {"r": 0.6, "alpha": 5.0, "a": 0.8, "b": 2.5}
    posterior = xr.Dataset({n: (("chain", "draw"), [[v]]) for n, v in values.items()})
    for family, reference in (("bg", BetaGeoModel), ("mbg", ModifiedBetaGeoModel)):
        theirs = reference(frame)
        theirs.build_model()
        theirs.idata = Fit(posterior=posterior)
        ours = Btyd(family, 1, *values.values(), 0.0)
        alive = theirs.expected_probability_alive(frame).values.ravel()
        counts = theirs.expected_purchases(frame, future_t=20).values.ravel()
        assert ours.p_alive(summary) == pytest.approx(alive, rel=1e-6)
        assert ours.expected_purchases(summary, 140.0) == pytest.approx(counts, rel=1e-4)
