"""What is brought: products, content, the next event or a group, for each contact drawn."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import polars as pl

from nba.decisions.action_types import PRODUCT_KINDS, Brings
from nba.decisions.facts import next_events, offered, seen_content, valid_content
from nba.decisions.inputs import DecisionInputs
from nba.decisions.needs import open_needs
from nba.decisions.rules import DecisionRules

#: What texts say of the need that a product serves.
NEED_FACTS: Final = {
    "need": pl.col("need"),
    "need_category": pl.col("category"),
    "need_days": pl.col("last_days"),
    "need_last": pl.col("last_name").fill_null(""),
    "need_gap": pl.col("own_gap_days"),
    "need_usual_gap": pl.col("usual_gap_days"),
    "need_due": pl.col("due"),
    "need_times": pl.col("times"),
    "need_elsewhere": pl.col("only_elsewhere").list.any().cast(pl.Float64),
}
#: Purchase days from which on a customer has a rhythm of their own.
OWN_RHYTHM_DAYS: Final = 3


def what_is_brought(
    inputs: DecisionInputs, rows: pl.DataFrame, rules: DecisionRules, *, as_of: datetime
) -> pl.DataFrame:
    """Return what each contact brings, in the order of `rows`.

    Parameters
    ----------
    inputs : DecisionInputs
        Confined to the customers of `rows`.
    rows : DataFrame
        customer_id, action_type, need_id, clerk_id, store_id, main_category.

    Returns
    -------
    DataFrame
        `rows`' keys with product_ids, product_name (of the need), product_names (of
        all that is brought), product_category, lasts (some of it is not used up), in_store (the
        store is known to have all of it), content_id, title, content_link, event_id, event_link,
        group_topic and `NEED_FACTS`; null where
        there is none.
    """
    contacts = rows.select(
        "customer_id", "action_type", "need_id", "store_id", "clerk_id", "main_category"
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
    )  # fmt: skip


def _products(
    inputs: DecisionInputs, contacts: pl.DataFrame, rules: DecisionRules, *, as_of: datetime
) -> pl.DataFrame:
    """Return what serves the need of each contact: as many products as the action brings."""
    most = pl.DataFrame(
        [
            (action.action_type, action.products)
            for action in rules.catalogue.actions
            if action.brings in PRODUCT_KINDS
        ],
        schema={"action_type": pl.String, "most": pl.Int64},
        orient="row",
    )
    wanted = contacts.join(most, on="action_type").select("customer_id", "need_id", "most")
    people = wanted.select("customer_id", consent_profiling=pl.lit(True))
    needs = open_needs(inputs, people, {}, as_of=as_of, policy=rules.policy).rows
    named = inputs["product"].select("product_id", "name", lasts=~pl.col("replenishable"))
    count = pl.max_horizontal("most", "goods")
    served = (
        wanted.join(needs, on=["customer_id", "need_id"])
        .with_columns(pl.col("product_ids", "in_store", "only_elsewhere").list.head(count))
        .with_columns(
            pl.col("product_ids").list.get(place, null_on_oob=True).alias(key)
            for place, key in enumerate(("product_id", "second_id"))
        )
    )
    return (
        served.join(_last_bought(inputs, served), on="customer_id", how="left")
        .join(named, on="product_id", how="left")
        .join(
            named.rename({"product_id": "second_id", "name": "second", "lasts": "second_lasts"}),
            on="second_id",
            how="left",
        )
        .with_columns(pl.coalesce("name", "product_id"), pl.coalesce("second", "second_id"))
        .select(
            "customer_id",
            "product_ids",
            product_name="name",
            product_names=pl.when(pl.col("goods") > 1)
            .then(joined_names("name", "second"))
            .otherwise("name"),
            product_category="category",
            lasts=pl.any_horizontal("lasts", "second_lasts").fill_null(False),
            in_store=pl.col("in_store").list.all(),
            **NEED_FACTS,
        )
    )


def _last_bought(inputs: DecisionInputs, served: pl.DataFrame) -> pl.DataFrame:
    """Return what the customer of each need bought last of its category, and how often they do.

    What was sent back is no purchase. Where several items of a product were bought and some sent
    back, nobody can tell from which day they were: a purchase that this might be is not told.

    Parameters
    ----------
    served : DataFrame
        customer_id, category, days_since, product_id (what is brought); a row per customer.

    Returns
    -------
    DataFrame
        customer_id, last_days, last_name and own_gap_days (from `OWN_RHYTHM_DAYS` purchase days
        on, nothing of it sent back); null where it is not known.
    """
    asked = served.select("customer_id", "category", "days_since", brought="product_id")
    names = inputs["product"].select("product_id", "name")
    sent_back = (pl.col("days_since_return") <= pl.col("days_since_purchase")).fill_null(False)
    doubtful = sent_back & (pl.col("quantity") > 1).fill_null(True)
    days = pl.col("days_since_purchase")
    bought = (
        inputs["customer_product"]
        .filter(pl.col("purchase_days") > 0)
        .join(asked, on=["customer_id", "category"])
        .join(names, on="product_id", how="left")
        .sort("customer_id", days, pl.col("product_id") != pl.col("brought"), "product_id")
        .group_by("customer_id")
        .agg(
            kept_days=days.filter(~sent_back).first(),
            doubtful_days=days.filter(doubtful).first(),
            any_sent_back=sent_back.any(),
            kept_name=pl.coalesce("name", "product_id").filter(~sent_back).first(),
        )
    )
    rhythm = inputs["customer_category"].filter(pl.col("purchase_days") >= OWN_RHYTHM_DAYS)
    is_told = (pl.col("kept_days") <= pl.col("doubtful_days")).fill_null(True)
    return (
        asked.join(bought, on="customer_id", how="left")
        .join(
            rhythm.select("customer_id", "category", "gap_days_median"),
            on=["customer_id", "category"],
            how="left",
        )
        .select(
            "customer_id",
            last_days=pl.when(pl.col("any_sent_back").is_null())
            .then("days_since")
            .when(is_told)
            .then("kept_days"),
            last_name=pl.when(is_told).then("kept_name"),
            own_gap_days=pl.when(~pl.col("any_sent_back").fill_null(False)).then("gap_days_median"),
        )
    )


def joined_names(first: str, second: str) -> pl.Expr:
    """Return two names joined, in each language of `中文 | English`."""
    in_zh, in_en = (
        pl.format(join, *(pl.col(name).str.split(" | ").list.get(at) for name in (first, second)))
        for at, join in ((0, "{}和{}"), (-1, "{} and {}"))
    )
    return pl.format("{} | {}", in_zh, in_en)


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
