"""What, when and why of the actions that were drawn: the rows that a clerk sees."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import polars as pl

from nba.decisions.candidates import used_tags
from nba.decisions.catalogue import PRODUCT_KINDS, ActionType, Brings, Catalogue
from nba.decisions.facts import (
    bringable,
    build_facts,
    next_benefits,
    next_events,
    offered,
    seen_content,
    valid_content,
)
from nba.decisions.inputs import DecisionInputs
from nba.decisions.policy import ContactPolicy
from nba.decisions.reasons import REASON_TYPE, phrase_flags, reasons_of
from nba.decisions.settings import DecisionSettings
from nba.decisions.when import contact_windows, reachable_hours
from nba.schema.words import Mode

#: The columns of `nba actions export`, in order.
ACTION_SCHEMA: Final[Mapping[str, Any]] = {
    "action_id": pl.String,
    "as_of": pl.Datetime("us"),
    "clerk_id": pl.String,
    "rank": pl.Int64,
    "customer_id": pl.String,
    "mode": pl.String,
    "action_type": pl.String,
    "channel": pl.String,
    "product_ids": pl.List(pl.String),
    "content_id": pl.String,
    "contact_from": pl.Datetime("us"),
    "contact_to": pl.Datetime("us"),
    "minutes": pl.Float64,
    "value": pl.Float64,
    "uplift": pl.Float64,
    "p_repurchase_30d": pl.Float64,
    "propensity": pl.Float64,
    "explored": pl.Boolean,
    "arm": pl.String,
    "reasons": REASON_TYPE,
    "talking_point": pl.String,
    "policy_version": pl.String,
    "model_versions": pl.String,
    "expires_at": pl.Datetime("us"),
}
#: A product is brought beside the best one if it is at least so relevant, relative to it.
NEAR_SHARE: Final = 0.6
#: Where a product's margin rate is not known, for the order of what is brought only.
USUAL_MARGIN_RATE: Final = 0.3
_BENEFIT_WORDS: Final = {
    "coupon": ("优惠券", "coupon"),
    "points": ("积分", "points"),
    "gift": ("礼品", "gift"),
}


@dataclass(frozen=True)
class Stamp:
    """What every row of a plan carries."""

    as_of: datetime
    policy_version: str
    model_versions: str


def action_id(as_of: datetime, customer_id: str, action_type: str) -> str:
    """Return the id of an action: the same for the same day, customer and action type."""
    content = json.dumps([as_of.isoformat(), customer_id, action_type], ensure_ascii=False)
    return "a" + hashlib.blake2b(content.encode(), digest_size=12).hexdigest()


def write_actions(
    inputs: DecisionInputs,
    drawn: pl.DataFrame,
    catalogue: Catalogue,
    policy: ContactPolicy,
    stamp: Stamp,
    settings: DecisionSettings,
) -> pl.DataFrame:
    """Return the actions of `drawn` with products, window, reasons and talking point.

    Parameters
    ----------
    drawn : DataFrame
        customer_id, clerk_id, arm, action_type, mode, value, uplift, minutes, propensity,
        explored; `action_type` null marks a customer who is held out.
    """
    listed = drawn.filter(pl.col("action_type").is_not_null()).sort("customer_id")
    rows = _contacts(inputs, listed, catalogue, policy, stamp, settings)
    held = _held_out(inputs, drawn.filter(pl.col("action_type").is_null()), stamp)
    return pl.concat([rows, held]).sort("clerk_id", "rank", "customer_id", nulls_last=True)


def _contacts(
    inputs: DecisionInputs,
    listed: pl.DataFrame,
    catalogue: Catalogue,
    policy: ContactPolicy,
    stamp: Stamp,
    settings: DecisionSettings,
) -> pl.DataFrame:
    if not listed.height:
        return pl.DataFrame(schema=dict(ACTION_SCHEMA))
    here = inputs.of_customers(listed["customer_id"])
    facts = build_facts(
        here, as_of=stamp.as_of, policy=policy, tags=used_tags(catalogue.actions)
    ).drop("clerk_id")
    rows = (
        listed.join(facts, on="customer_id", how="left", maintain_order="left")
        .join(_names(here), on="clerk_id", how="left", maintain_order="left")
        .join(
            reachable_hours(inputs["clerk"], policy),
            on="clerk_id",
            how="left",
            maintain_order="left",
        )
    )
    starts, ends = contact_windows(rows, as_of=stamp.as_of, policy=policy)
    brought = _brought(here, rows, catalogue, policy, stamp.as_of)
    weights = _weights(here)
    texts = _texts(rows, brought, weights, catalogue, stamp, settings)
    days = {action.action_type: action.expires_days for action in catalogue.actions}
    channels = {action.action_type: str(action.channel) for action in catalogue.actions}
    service = [action.action_type for action in catalogue.actions if action.service]
    frame = rows.with_columns(
        starts,
        ends,
        *[pl.Series(name, values, dtype=ACTION_SCHEMA[name]) for name, values in texts.items()],
        as_of=pl.lit(stamp.as_of),
        channel=pl.col("action_type").replace_strict(channels, return_dtype=pl.String),
        p_repurchase_30d=pl.col("p_purchase_30d"),
        policy_version=pl.lit(stamp.policy_version),
        model_versions=pl.lit(stamp.model_versions),
        expires_at=pl.lit(stamp.as_of)
        + pl.duration(days=pl.col("action_type").replace_strict(days, return_dtype=pl.Int64)),
        rank=pl.struct(~pl.col("action_type").is_in(service), -pl.col("value"), "customer_id")
        .rank("ordinal")
        .over("clerk_id")
        .cast(pl.Int64),
    )
    return frame.select([pl.col(name).cast(dtype) for name, dtype in ACTION_SCHEMA.items()])


def _names(inputs: DecisionInputs) -> pl.DataFrame:
    stores = inputs.tables.get("store")
    clerks = inputs["clerk"].select("clerk_id", clerk_store="store_id", clerk_name="name")
    if stores is None or "name" not in stores.columns:
        return clerks.with_columns(store_name=pl.lit(None, dtype=pl.String))
    return clerks.join(
        stores.select(clerk_store="store_id", store_name="name"), on="clerk_store", how="left"
    )


def _held_out(inputs: DecisionInputs, held: pl.DataFrame, stamp: Stamp) -> pl.DataFrame:
    timing = inputs["timing"].select("customer_id", p_repurchase_30d="p_purchase_30d")
    may = inputs["customer_state"].filter(pl.col("consent_profiling")).select("customer_id")
    rows = held.join(timing.join(may, on="customer_id", how="semi"), on="customer_id", how="left")
    ids = [action_id(stamp.as_of, customer, str(Mode.NONE)) for customer in rows["customer_id"]]
    constant = {
        "as_of": pl.lit(stamp.as_of),
        "mode": pl.lit(str(Mode.NONE)),
        "minutes": pl.lit(0.0),
        "value": pl.lit(0.0),
        "uplift": pl.lit(0.0),
        "explored": pl.lit(False),
        "policy_version": pl.lit(stamp.policy_version),
        "model_versions": pl.lit(stamp.model_versions),
        "expires_at": pl.lit(stamp.as_of + timedelta(days=1)),
    }
    rows = rows.with_columns(pl.Series("action_id", ids, dtype=pl.String)).with_columns(**constant)
    return rows.select(
        [
            (pl.col(name) if name in rows.columns else pl.lit(None)).cast(dtype).alias(name)
            for name, dtype in ACTION_SCHEMA.items()
        ]
    )


def _brought(
    inputs: DecisionInputs,
    rows: pl.DataFrame,
    catalogue: Catalogue,
    policy: ContactPolicy,
    as_of: datetime,
) -> pl.DataFrame:
    """Return, in the order of `rows`, product ids and names, content, event and benefit."""
    base = rows.select(
        "customer_id", "action_type", "store_id", "clerk_id", "main_category", "due_category"
    )
    products = _products(inputs, base, catalogue, policy, as_of)
    content = _contents(inputs, base, catalogue, policy, as_of)
    events = next_events(inputs, as_of).select("store_id", "event_id", "event_link")
    benefits = next_benefits(inputs, as_of).select("customer_id", "benefit_id")
    groups = _groups(inputs, base)
    for part, key in (
        (products, "customer_id"),
        (content, "customer_id"),
        (events, "store_id"),
        (benefits, "customer_id"),
        (groups, "customer_id"),
    ):
        base = base.join(part, on=key, how="left", maintain_order="left")
    return base.drop("due_category")


def _products(
    inputs: DecisionInputs,
    base: pl.DataFrame,
    catalogue: Catalogue,
    policy: ContactPolicy,
    as_of: datetime,
) -> pl.DataFrame:
    kinds = {
        action.action_type: (str(action.brings), action.products)
        for action in catalogue.actions
        if action.brings in PRODUCT_KINDS
    }
    wanted = base.filter(pl.col("action_type").is_in(list(kinds))).select(
        "customer_id",
        "due_category",
        kind=pl.col("action_type").replace_strict(
            {name: kind for name, (kind, _) in kinds.items()}, default=None, return_dtype=pl.String
        ),
        most=pl.col("action_type").replace_strict(
            {name: most for name, (_, most) in kinds.items()}, default=None, return_dtype=pl.Int64
        ),
    )
    rows = bringable(inputs, as_of=as_of, policy=policy).join(wanted, on="customer_id")
    fits = pl.any_horizontal(
        [(pl.col("kind") == str(kind)) & pl.col(f"is_{kind}") for kind in PRODUCT_KINDS]
    )
    due = (pl.col("kind") == str(Brings.REPEAT)) & (pl.col("category") == pl.col("due_category"))
    rows = rows.filter(fits.fill_null(False)).with_columns(is_due=due.fill_null(False))
    rows = _worth_bringing(rows)
    rows = rows.filter(pl.int_range(pl.len()).over("customer_id") < pl.col("most"))
    return rows.group_by("customer_id", maintain_order=True).agg(
        product_ids=pl.col("product_id"),
        product_name=pl.coalesce("name", "product_id").first(),
        product_category=pl.col("category").first(),
    )


def _worth_bringing(rows: pl.DataFrame) -> pl.DataFrame:
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


def _contents(
    inputs: DecisionInputs,
    base: pl.DataFrame,
    catalogue: Catalogue,
    policy: ContactPolicy,
    as_of: datetime,
) -> pl.DataFrame:
    """Return the unseen content of each customer.

    What meets their tags and lists comes first, then what is of the main category, then what is
    newest; who may not be profiled gets what is newest.
    """
    modes = {
        action.action_type: str(action.mode)
        for action in catalogue.actions
        if action.brings is Brings.CONTENT
    }
    wanted = base.filter(pl.col("action_type").is_in(list(modes))).select(
        "customer_id",
        "main_category",
        mode=pl.col("action_type").replace_strict(modes, default=None, return_dtype=pl.String),
    )
    content = valid_content(inputs, as_of).select(
        "content_id", "mode", "title", "category", "valid_from", content_link="link"
    )
    pairs = wanted.join(content, on="mode").join(
        seen_content(inputs, as_of, policy), on=["customer_id", "content_id"], how="anti"
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


def _groups(inputs: DecisionInputs, base: pl.DataFrame) -> pl.DataFrame:
    """Return the topic of the clerk's newest group that the customer has not joined."""
    joined = inputs["memberships"].filter(pl.col("left_at").is_null())
    return (
        base.select("customer_id", "clerk_id")
        .join(inputs["groups"], on="clerk_id")
        .join(joined.select("customer_id", "group_id"), on=["customer_id", "group_id"], how="anti")
        .sort("customer_id", "created_at", "group_id", descending=[False, True, False])
        .unique("customer_id", keep="first", maintain_order=True)
        .select("customer_id", "group_id", group_topic="topic")
    )


def _weights(inputs: DecisionInputs) -> dict[str, dict[str, float]]:
    """Return the models' contributions per customer and feature, where they are given."""
    given: dict[str, dict[str, float]] = {}
    rows = inputs["contributions"].drop_nulls()
    for customer, feature, contribution in rows.sort("customer_id", "feature").iter_rows():
        given.setdefault(customer, {})[feature] = contribution
    return given


def _texts(
    rows: pl.DataFrame,
    brought: pl.DataFrame,
    weights: Mapping[str, Mapping[str, float]],
    catalogue: Catalogue,
    stamp: Stamp,
    settings: DecisionSettings,
) -> dict[str, list[Any]]:
    """Return ids, reasons and talking points; grows with the clerks' minutes only."""
    by_name = {action.action_type: action for action in catalogue.actions}
    flags = phrase_flags(rows)
    out: dict[str, list[Any]] = {
        name: [] for name in ("action_id", "product_ids", "content_id", "reasons", "talking_point")
    }
    for fact, flag, thing in zip(
        rows.iter_rows(named=True),
        flags.iter_rows(named=True),
        brought.iter_rows(named=True),
        strict=True,
    ):
        action = by_name[fact["action_type"]]
        out["action_id"].append(action_id(stamp.as_of, fact["customer_id"], action.action_type))
        out["product_ids"].append(thing["product_ids"] or [])
        out["content_id"].append(_content_of(action, thing))
        out["reasons"].append(
            reasons_of(
                fact,
                flag,
                first=action.reasons,
                caution=action.caution,
                service=action.service,
                weights=weights.get(fact["customer_id"]),
            )
        )
        out["talking_point"].append(_talking_point(action, fact, thing, stamp.as_of, settings))
    return out


def _content_of(action: ActionType, thing: Mapping[str, Any]) -> str | None:
    """Return the id of what is brought beside products: content, event, benefit or group."""
    column = {
        Brings.CONTENT: "content_id",
        Brings.EVENT: "event_id",
    }.get(action.brings)
    return None if column is None else thing[column]


def _talking_point(
    action: ActionType,
    fact: Mapping[str, Any],
    thing: Mapping[str, Any],
    as_of: datetime,
    settings: DecisionSettings,
) -> str:
    language = "zh" if (fact["locale"] or settings.locale).startswith("zh") else "en"
    first = language == "zh"
    event_day = as_of + timedelta(days=fact["event_days"] or 0)
    benefit = _BENEFIT_WORDS.get(fact["benefit_kind"] or "", ("权益", "benefit"))
    fields = {
        "customer": fact.get("attr_name") or ("" if first else "there"),
        "clerk": fact["clerk_name"] or "",
        "store": fact["store_name"] or ("店里" if first else "our store"),
        "product": thing["product_name"] or ("您喜欢的商品" if first else "what you like"),
        "category": thing["product_category"] or fact["due_category"] or "",
        "days": f"{fact['benefit_days'] or 0:.0f}",
        "date": f"{event_day.month}月{event_day.day}日" if first else f"{event_day:%d %B}",
        "event": fact["event_topic"] or "",
        "title": (thing["group_topic"] if action.brings is Brings.GROUP else thing["title"]) or "",
        "benefit": benefit[0] if first else benefit[1],
        "link": thing["event_link" if action.brings is Brings.EVENT else "content_link"] or "",
    }
    return " ".join(action.talking_point.of(language).format_map(fields).split())
