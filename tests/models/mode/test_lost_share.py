"""What a lost friend takes along: a planted share, and what is said where nothing is known."""

import numpy as np
import polars as pl
import pytest

from nba.models.mode.churn.lost_share import lost_share


def followed(left: int, share: float, *, seed: int = 1, stayed: int = 4000) -> pl.DataFrame:
    """Draw customers whose purchases after follow that before, less `share` where they left."""
    rng = np.random.default_rng(seed)
    count = left + stayed
    lost = np.arange(count) < left
    # who leaves buys more than others: the plain means of both groups mislead
    rate = rng.gamma(1.0, 4.0, count) * np.where(lost, 1.5, 1.0)
    before = rng.poisson(rate * 8.0)
    after = rng.poisson(rate * np.where(lost, 1.0 - share, 1.0))
    return pl.DataFrame({"is_lost": lost, "before_purchases": before, "after_purchases": after})


@pytest.mark.parametrize("share", [0.0, 0.15, 0.6, 1.0])
def test_a_planted_share_is_found_though_other_customers_leave(share: float) -> None:
    found = lost_share(followed(600, share), prior=0.5, prior_error=0.3)
    assert found.left == 600
    assert found.seen == pytest.approx(share, abs=0.1)
    assert found.share == pytest.approx(share, abs=0.1)
    assert found.error < 0.1


def test_few_losses_move_the_belief_a_little_and_none_leave_it() -> None:
    few = lost_share(followed(8, 0.0), prior=0.5, prior_error=0.1)
    assert 0.3 < few.share < 0.55
    for rows in (None, followed(0, 0.2), followed(3, 0.2), followed(0, 0.2, stayed=0)):
        found = lost_share(rows, prior=0.5, prior_error=0.3)
        assert (found.share, found.error, found.seen) == (0.5, 0.3, None)


def test_customers_without_any_purchase_say_nothing() -> None:
    rows = followed(50, 0.2).with_columns(pl.lit(0.0).alias("after_purchases"))
    assert lost_share(rows, prior=0.5, prior_error=0.3).seen is None
