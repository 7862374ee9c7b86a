"""What is brought: products, content, the next event or a group, for each contact drawn."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import polars as pl

from nba.decisions.action_types import PRODUCT_KINDS, Brings
from nba.decisions.facts import bringable, next_events, offered, seen_content, valid_content
from nba.decisions.inputs import DecisionInputs
from nba.decisions.rules import DecisionRules

#: A product is brought beside the best one if it is at least so relevant, relative to it.
NEAR_SHARE: Final = 0.6
#: Where a product's margin rate is not known, for the order of what is brought only.
USUAL_MARGIN_RATE: Final = 0.3


def what_is_brought(
    inputs: DecisionInputs, rows: pl.DataFrame, rules: DecisionRules, *, as_of: datetime
) -> pl.DataFrame:
    """Return what each contact brings, in the order of `rows`.

    Parameters
    ----------
    inputs : DecisionInputs
        Confined to the customers of `rows`.
    rows : DataFrame
        customer_id, action_type, clerk_id, store_id, main_category, due_category.

    Returns
    -------
    DataFrame
        `rows`' keys with product_ids, product_name, product_category, content_id, title,
        content_link, event_id, event_link and group_topic; null where there is none.
    """
    contacts = rows.select(
        "customer_id", "action_type", "store_id", "clerk_id", "main_category", "due_category"
    )
    events = next_events(inputs, as_of).select("store_id", "event_id", "event_link")
    return (
        contacts.join(
            _products(inputs, contacts, rules, as_of=as_of),
            on="customer_id", how="left", maintain_order="left",
        )
        .join(
            _content(inputs, contacts, rules, as_of=as_of),
            on="customer_id", how="left", maintain_order="left",
        )
        .join(events, on="store_id", how="left", maintain_order="left")
        .join(_groups(inputs, contacts), on="customer_id", how="left", maintain_order="left")
        .drop("due_category")
    )  # fmt: skip


def _products(
    inputs: DecisionInputs, contacts: pl.DataFrame, rules: DecisionRules, *, as_of: datetime
) -> pl.DataFrame:
    kinds = pl.DataFrame(
        [
            (action.action_type, str(action.brings), action.products)
            for action in rules.catalogue.actions
            if action.brings in PRODUCT_KINDS
        ],
        schema={"action_type": pl.String, "kind": pl.String, "most": pl.Int64},
        orient="row",
    )
    wanted = contacts.join(kinds, on="action_type").select(
        "customer_id", "due_category", "kind", "most"
    )
    rows = bringable(inputs, as_of=as_of, policy=rules.policy).join(wanted, on="customer_id")
    fits = pl.any_horizontal(
        [(pl.col("kind") == str(kind)) & pl.col(f"is_{kind}") for kind in PRODUCT_KINDS]
    )
    due = (pl.col("kind") == str(Brings.REPEAT)) & (pl.col("category") == pl.col("due_category"))
    rows = rows.filter(fits.fill_null(False)).with_columns(is_due=due.fill_null(False))
    rows = worth_bringing(rows)
    rows = rows.filter(pl.int_range(pl.len()).over("customer_id") < pl.col("most"))
    return rows.group_by("customer_id", maintain_order=True).agg(
        product_ids=pl.col("product_id"),
        product_name=pl.coalesce("name", "product_id").first(),
        product_category=pl.col("category").first(),
    )


def worth_bringing(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the best product of each category, ordered by relevance times unit margin.

    A message holds few things: one per need, none that is far less relevant than the best.
    Products without a category each count as a need of their own. What a reminder is about
    (`is_due`) comes before everything else.
    """
    near = pl.col("relevance") >= NEAR_SHARE * pl.col("relevance").max().over("customer_id")
    near = near | pl.col("is_due")
    need = pl.coalesce("category", pl.format("product {}", "product_id"))
    margin = pl.col("price") * pl.col("margin_rate").fill_null(USUAL_MARGIN_RATE)
    return (
        rows.filter(near.fill_null(True))
        .with_columns(need=need, promise=pl.col("relevance") * margin.clip(lower_bound=0.0))
        .sort("customer_id", "rank", "product_id")
        .unique(["customer_id", "need"], keep="first", maintain_order=True)
        .sort(
            "customer_id", "is_due", "promise", "rank", "product_id",
            descending=[False, True, True, False, False], nulls_last=True,
        )
    )  # fmt: skip


def _content(
    inputs: DecisionInputs, contacts: pl.DataFrame, rules: DecisionRules, *, as_of: datetime
) -> pl.DataFrame:
    """Return the unseen content of each customer.

    What meets their tags and lists comes first, then what is of the main category, then what is
    newest; who may not be profiled gets what is newest.
    """
    modes = pl.DataFrame(
        [
            (action.action_type, str(action.mode))
            for action in rules.catalogue.actions
            if action.brings is Brings.CONTENT
        ],
        schema={"action_type": pl.String, "mode": pl.String},
        orient="row",
    )
    wanted = contacts.join(modes, on="action_type").select("customer_id", "main_category", "mode")
    content = valid_content(inputs, as_of).select(
        "content_id", "mode", "title", "category", "valid_from", content_link="link"
    )
    pairs = wanted.join(content, on="mode").join(
        seen_content(inputs, as_of, rules.policy), on=["customer_id", "content_id"], how="anti"
    )
    fits = (pl.col("category") == pl.col("main_category")).fill_null(False)
    profiled = inputs["customer_state"].filter(pl.col("consent_profiling")).select("customer_id")
    liked = offered(inputs, "content").rename({"offer_id": "content_id"})
    liked = liked.join(profiled, on="customer_id", how="semi")
    return (
        pairs.join(liked, on=["customer_id", "content_id"], how="left")
        .with_columns(pl.col("score").fill_null(0.0), fits=fits)
        .sort(
            "customer_id", "score", "fits", "valid_from", "content_id",
            descending=[False, True, True, True, False], nulls_last=True,
        )
        .unique("customer_id", keep="first", maintain_order=True)
        .select("customer_id", "content_id", "title", "content_link")
    )  # fmt: skip


def _groups(inputs: DecisionInputs, contacts: pl.DataFrame) -> pl.DataFrame:
    """Return the topic of the clerk's newest group that the customer has not joined."""
    joined = inputs["memberships"].filter(pl.col("left_at").is_null())
    return (
        contacts.select("customer_id", "clerk_id")
        .join(inputs["groups"], on="clerk_id")
        .join(joined.select("customer_id", "group_id"), on=["customer_id", "group_id"], how="anti")
        .sort("customer_id", "created_at", "group_id", descending=[False, True, False])
        .unique("customer_id", keep="first", maintain_order=True)
        .select("customer_id", group_topic="topic")
    )
