"""What every mode model answers: the worth of a contact per customer, need and mode."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, Final

import numpy as np
import polars as pl

from nba.arrays import Floats
from nba.models.base import Model, ModelInputs
from nba.models.mode.scores import CONTACT, MODES, score_table
from nba.models.needs.build import build_needs, rhythm_of
from nba.models.needs.words import NEED_SCHEMA, PRODUCT_NEEDS

#: Days ahead for which it is said what the same contact would be worth then.
AHEAD_DAYS: Final = (7, 14, 28)
#: Share of a mode's uplift that a contact earns which brings nothing of use, where a model does not
#: tell needs apart.
FIT_FLOOR: Final = 0.6
#: Groups of factors that are said for explanations.
FACTORS: Final = ("need", "due", "goods", "customer", "moment", "level")
#: A row per customer and need with what a contact in each mode is worth.
NEED_SCORE_SCHEMA: Final[dict[str, Any]] = {
    **NEED_SCHEMA,
    **{f"{name}_{mode}": pl.Float64 for mode in MODES for name in
       ("chance", "uplift_amount", "uplift_lower", "uplift_drawn")},
    **{f"factor_{name}": pl.Float64 for name in FACTORS},
    **{f"ahead_{days}d": pl.Float64 for days in AHEAD_DAYS},
}  # fmt: skip


def need_columns() -> list[pl.Expr]:
    """Return the columns of `NEED_SCORE_SCHEMA` in order."""
    return [pl.col(name).cast(kind) for name, kind in NEED_SCORE_SCHEMA.items()]


class ModeModel(Model):
    """A mode model scores customers by mode, and each of their needs by mode."""

    name: ClassVar[str] = "mode"

    def score_modes(
        self, needs: pl.DataFrame, inputs: ModelInputs, *, as_of: datetime
    ) -> pl.DataFrame:
        """Return what `score` would, given the needs that `score_needs` returned."""
        return self.score(inputs, as_of=as_of)

    def score_needs(self, inputs: ModelInputs, *, as_of: datetime) -> pl.DataFrame:
        """Return a row per customer and need, as in `NEED_SCORE_SCHEMA`.

        By default a need is worth the mode's uplift times how well what is brought fits.
        """
        needs = build_needs(inputs, rhythm_of(inputs))
        return plain_worth(needs, self.score(inputs, as_of=as_of), FIT_FLOOR)


def best_of_needs(
    needs: pl.DataFrame,
    customer_id: pl.Series,
    risk: Floats,
    lost_share: float,
    reach: pl.Series | None = None,
) -> pl.DataFrame:
    """Return per customer and mode what the contact about the best need of goods is worth.

    Parameters
    ----------
    needs : DataFrame
        As in `NEED_SCORE_SCHEMA`.
    customer_id : Series of n ids, sorted
        Customers without any such need are worth nothing.
    risk : array of shape (n, modes)
    lost_share : float
    reach : Series of n lists, optional
        See `nba.models.mode.scores.score_table`.
    """
    goods = needs.filter(pl.col("need").is_in([str(need) for need in PRODUCT_NEEDS]))
    parts = []
    for name in ("uplift_amount", "uplift_lower", "uplift_drawn"):
        best = goods.group_by("customer_id").agg(pl.col(f"{name}_{mode}").max() for mode in MODES)
        joined = customer_id.to_frame("customer_id").join(
            best, on="customer_id", how="left", maintain_order="left"
        )
        wide = joined.select(pl.col(f"{name}_{mode}").fill_null(0.0) for mode in MODES)
        parts.append(wide.to_numpy())
    uplift, lower, drawn = parts
    return score_table(
        customer_id, uplift=uplift, lower=lower, drawn=drawn, risk=risk, lost_share=lost_share,
        reach=reach,
    )  # fmt: skip


def fatigue_frame(customer_id: pl.Series, inputs: ModelInputs) -> pl.DataFrame:
    """Return `customer_id, fatigue` of the customers, null where it is not known."""
    frame = customer_id.to_frame("customer_id")
    if CONTACT not in inputs or "fatigue" not in inputs[CONTACT].columns:
        return frame.with_columns(fatigue=pl.lit(None, pl.Float64))
    table = inputs[CONTACT].select("customer_id", "fatigue")
    return frame.join(table, on="customer_id", how="left", maintain_order="left")


def plain_worth(needs: pl.DataFrame, modes: pl.DataFrame, floor: float) -> pl.DataFrame:
    """Return needs priced by mode scores alone: the mode's uplift times how well it fits.

    Parameters
    ----------
    needs : DataFrame
        As in `NEED_SCHEMA`.
    modes : DataFrame
        Mode scores, as in `SCORE_SCHEMA`.
    floor : float
        Share of the uplift that a contact earns which brings nothing of use.
    """
    fit = floor + (1.0 - floor) * (
        pl.when(pl.col("is_known") & (pl.col("product_ids").list.len() > 0))
        .then(1.0)
        .otherwise(pl.col("relevance").fill_null(0.1).clip(0.0, 1.0))
    )
    table = needs.with_columns(fit=fit)
    for mode in MODES:
        scores = modes.filter(pl.col("mode") == mode).select(
            "customer_id",
            pl.col("uplift_amount").alias(f"uplift_amount_{mode}"),
            pl.col("uplift_lower").alias(f"uplift_lower_{mode}"),
            pl.coalesce("uplift_drawn", "uplift_amount").alias(f"uplift_drawn_{mode}"),
        )
        table = table.join(scores.unique("customer_id"), on="customer_id", how="left",
                           maintain_order="left")  # fmt: skip
        table = table.with_columns(
            *[
                (pl.col(f"{name}_{mode}").fill_null(0.0) * pl.col("fit")).alias(f"{name}_{mode}")
                for name in ("uplift_amount", "uplift_lower", "uplift_drawn")
            ]
        ).with_columns(
            (pl.col(f"uplift_amount_{mode}") / pl.col("order_margin").clip(lower_bound=0.01))
            .alias(f"chance_{mode}")
        )  # fmt: skip
    return table.with_columns(
        *[pl.lit(1.0).alias(f"factor_{name}") for name in FACTORS if name != "goods"],
        *[pl.lit(1.0).alias(f"ahead_{days}d") for days in AHEAD_DAYS],
        factor_goods=pl.col("fit"),
    ).select(need_columns())


def needs_customers(needs: pl.DataFrame) -> pl.Series:
    """Return the customers of the needs, each once, sorted."""
    return pl.Series("customer_id", np.unique(needs["customer_id"].to_numpy()), dtype=pl.String)
