"""Customers without purchases: what others of their store, tags and other traits buy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt
import polars as pl
import scipy.sparse as sp

from nba.models.affinity.candidates.sources import keep_top
from nba.models.affinity.config import TwoStageConfig
from nba.models.base import ModelInputs
from nba.models.purchases import PurchaseLog

#: What is known of a customer before the first purchase.
TRAITS: Final = ("store_id", "gender", "city")
_PRODUCTS: Final = 200


@dataclass(frozen=True)
class Segments:
    """What groups of customers buy, by store, other traits and tags.

    Parameters
    ----------
    values : polars.Series of str
        The groups, as "trait=value", sorted.
    shares : (groups, products) sparse matrix
        Share of the group's customers who bought the product lately, shrunk towards the whole
        shop's.
    """

    values: pl.Series
    shares: sp.csr_matrix

    @classmethod
    def none(cls) -> Self:
        """Return segments that know nothing."""
        return cls(pl.Series("value", [], dtype=pl.String), sp.csr_matrix((0, 0), dtype=np.float32))

    @classmethod
    def fit(cls, training: ModelInputs, recent: PurchaseLog, config: TwoStageConfig) -> Self:
        """Count what the groups of `customer_state` and `customer_tags` bought lately."""
        people = recent.customer_ids
        known = traits_of(training, people)
        if known.is_empty():
            return cls.none()
        values = known["value"].unique().sort()
        member = _members(known, people, values)
        bought = sp.csr_matrix(
            (np.ones(len(recent), np.float32), (recent.customer, recent.product)),
            (len(people), recent.n_products),
        )
        bought.data[:] = 1.0
        active = sp.diags((np.diff(bought.indptr) > 0).astype(np.float32))
        size = np.asarray((active @ member).sum(axis=0)).ravel()
        weight = config.segment_weight
        whole = np.asarray(bought.sum(axis=0)).ravel() / max(active.diagonal().sum(), 1.0)
        rows = [
            keep_top(
                ((member[:, [at]].T @ bought).toarray() + weight * whole) / (size[at] + weight),
                _PRODUCTS,
            )
            for at in range(len(values))
        ]
        return cls(values, sp.vstack(rows, format="csr", dtype=np.float32))

    def scores(self, inputs: ModelInputs, people: pl.Series) -> npt.NDArray[np.float32] | None:
        """Return per customer the mean share over the groups they belong to, zero for none."""
        if not len(self.values) or not len(people):
            return None
        member = _members(traits_of(inputs, people), people, self.values)
        count = np.maximum(np.asarray(member.sum(axis=1)).ravel(), 1)
        return np.asarray((sp.diags(1 / count) @ member @ self.shares).toarray(), np.float32)


def traits_of(inputs: ModelInputs, people: pl.Series) -> pl.DataFrame:
    """Return `customer_id`, `value` of the customers: store, other traits, tags."""
    mine = pl.DataFrame({"customer_id": people}).unique()
    none = pl.DataFrame(schema={"customer_id": pl.String, "value": pl.String})
    return pl.concat([none, *_parts(inputs, mine)]).unique()


def _parts(inputs: ModelInputs, mine: pl.DataFrame) -> Iterable[pl.DataFrame]:
    for view, traits in (("customer_state", TRAITS), ("customer_tags", ("tag",))):
        if view not in inputs:
            continue
        known = [trait for trait in traits if trait in inputs[view].columns]
        table = inputs[view].select(pl.col("customer_id").cast(pl.String), *known)
        table = table.join(mine, on="customer_id", how="semi")
        for trait in known:
            named = pl.lit(f"{trait}=") + pl.col(trait).cast(pl.String)
            yield table.select("customer_id", value=named).drop_nulls()


def _members(known: pl.DataFrame, people: pl.Series, values: pl.Series) -> sp.csr_matrix:
    """Return customers × groups as 0/1."""
    rows = known.join(
        pl.DataFrame({"customer_id": people}).with_row_index("row"), on="customer_id"
    ).join(pl.DataFrame({"value": values}).with_row_index("column"), on="value")
    shape = (len(people), len(values))
    place = (rows["row"].to_numpy(), rows["column"].to_numpy())
    return sp.csr_matrix((np.ones(len(rows), np.float32), place), shape)
