"""One contact about two needs: both products, where attention divided still earns more."""

from __future__ import annotations

from typing import Final

import polars as pl

from nba.models.mode.scores import MODES
from nba.models.needs.words import Need

#: A pair is kept where it earns so much more than its first need alone, in some mode.
LEAST_GAIN: Final = 1.05
_AMOUNTS: Final = ("chance", "uplift_amount", "uplift_lower", "uplift_drawn")


def with_pairs(needs: pl.DataFrame, share: float) -> pl.DataFrame:
    """Add, per customer, the pair of the two due needs that are worth most.

    Parameters
    ----------
    needs : DataFrame
        As in `NEED_SCORE_SCHEMA`.
    share : float
        What is left of the effect on each need when a contact is about two.

    Returns
    -------
    DataFrame
        The same, and a row for each customer for whom a pair earns more than its first need. It
        stands for its first need, and is worth both; `goods` is 2: both products have to be
        brought, first the first need's.
    """
    most = pl.max_horizontal(f"uplift_amount_{mode}" for mode in MODES)
    due = needs.filter((pl.col("need") == str(Need.DUE)) & (most > 0)).with_columns(most=most)
    due = due.sort("customer_id", "most", "need_id", descending=[False, True, False])
    first = due.unique("customer_id", keep="first", maintain_order=True)
    rest = due.join(
        first.select("customer_id", "need_id"), on=["customer_id", "need_id"], how="anti"
    )
    second = rest.unique("customer_id", keep="first", maintain_order=True)
    both = first.join(second, on="customer_id", suffix="_second", maintain_order="left")
    worth = [
        (pl.col(f"{name}_{mode}") + pl.col(f"{name}_{mode}_second")) * share
        for name in _AMOUNTS
        for mode in MODES
    ]
    pays = pl.any_horizontal(
        share * (pl.col(f"uplift_amount_{mode}") + pl.col(f"uplift_amount_{mode}_second"))
        > LEAST_GAIN * pl.col(f"uplift_amount_{mode}")
        for mode in MODES
    )
    pairs = both.filter(pays).with_columns(
        *worth,
        need_id=pl.format("{}+{}", "need_id", "need_id_second"),
        product_ids=pl.concat_list(
            pl.col("product_ids").list.first(), pl.col("product_ids_second").list.first()
        ),
        goods=pl.lit(2, pl.Int64),
    )
    return pl.concat([needs, pairs.select(needs.columns)]).sort("customer_id", "need_id")
