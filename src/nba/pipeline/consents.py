"""Consents that customers gave or withdrew over the API, laid over what the tables say."""

from __future__ import annotations

from datetime import datetime

import polars as pl

CONSENT_COLUMNS = ("consent_contact", "consent_profiling")


def with_consents(
    state: pl.DataFrame, customers: pl.DataFrame, consents: pl.DataFrame, as_of: datetime
) -> pl.DataFrame:
    """Return the view `customer_state` with the consents that the API knew before `as_of`.

    Parameters
    ----------
    state : polars.DataFrame
        A row per customer, with the two consent columns.
    customers : polars.DataFrame
        customer_id and `consent_at` as the tables say, naive local; null where undated.
    consents : polars.DataFrame
        What the API knows, any number of rows per customer: customer_id, the two consent
        columns, `consent_at` (naive local).
    as_of : datetime
        Naive local; what was said later is not known yet.

    Notes
    -----
    The latest said wins. Where the tables do not say when, a "no" of either wins: nobody is
    contacted on a "yes" that may be older than a "no".
    """
    answers = (
        consents.filter(pl.col("consent_at") < as_of)
        .select("customer_id", "consent_at", *CONSENT_COLUMNS)
        .sort("consent_at", maintain_order=True)
        .unique("customer_id", keep="last")
    )
    dated = customers.select("customer_id", table_at="consent_at")
    joined = state.join(
        answers, on="customer_id", how="left", suffix="_said", maintain_order="left"
    ).join(dated, on="customer_id", how="left", maintain_order="left")
    return joined.with_columns(_standing(name) for name in CONSENT_COLUMNS).select(state.columns)


def _standing(name: str) -> pl.Expr:
    table, answer = pl.col(name), pl.col(f"{name}_said")
    return (
        pl.when(answer.is_null() | (pl.col("table_at") > pl.col("consent_at")))
        .then(table)
        .when(pl.col("table_at").is_not_null())
        .then(answer)
        .otherwise(table & answer)
        .alias(name)
    )
