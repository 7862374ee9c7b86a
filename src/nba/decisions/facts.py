"""One row of facts per customer: what rules, values, reasons and texts read."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

import polars as pl

from nba.decisions.action_types import PRODUCT_KINDS, Brings
from nba.decisions.inputs import CUSTOMER_TABLES, DecisionInputs
from nba.decisions.needs import SERVES
from nba.decisions.policy import ContactPolicy
from nba.features import birthdays
from nba.features.expressions import TAG_PREFIX
from nba.schema.words import CONTACT_MODES, Mode, ServiceCaseKind

EVENT_DAYS: Final = 14

#: Facts that are worked out here, with their meaning.
DERIVED: Final = MappingProxyType(
    {
        **{f"{kind}_products": f"needs that {kind} products serve" for kind in PRODUCT_KINDS},
        **{f"{kind}_relevance": f"best relevance among {kind} products" for kind in PRODUCT_KINDS},
        "due_category": "category that is due first",
        "due_category_p_14d": "probability that it is bought within 14 days",
        "due_category_days": "expected days until it is bought",
        "due_category_overdue": "days since its purchase against its usual gap",
        "benefit_kind": "kind of the unused benefit that lapses first",
        "benefit_amount": "its amount",
        "benefit_days": "days until it lapses",
        "event_days": "days until the next event in the customer's store",
        "event_topic": "its topic",
        "event_match": "1 where its topic meets the customer's tags or loved categories",
        **{f"content_{mode}": f"unseen content for {mode}" for mode in CONTACT_MODES},
        "groups_open": "groups of the clerk that the customer has not joined",
        "days_to_birthday": "days until the birthday",
        "open_questions": "open questions",
        "open_after_sales": "open after-sale cases",
        "friend_days": "days since the customer became a friend",
    }
)
#: Every fact of the default contract.
FACTS: Final = frozenset(
    {column for columns in CUSTOMER_TABLES.values() for column in columns} | set(DERIVED)
)
#: What may be known of a customer who refused profiling: the relation and open matters,
#: nothing that was learned about the person.
NOT_PROFILE: Final = frozenset(
    {
        "customer_id",
        "store_id",
        "clerk_id",
        "is_friend",
        "friend_since",
        "friend_days",
        "is_blocked",
        "consent_contact",
        "consent_profiling",
        "locale",
        "open_service_cases",
        "open_complaints",
        "open_questions",
        "open_after_sales",
        "event_days",
        "event_topic",
        "groups_open",
        "benefit_kind",
        "benefit_amount",
        "benefit_days",
        *(f"content_{mode}" for mode in CONTACT_MODES),
    }
)


def build_facts(
    inputs: DecisionInputs,
    needs: pl.DataFrame,
    *,
    as_of: datetime,
    policy: ContactPolicy,
    tags: Iterable[str],
) -> pl.DataFrame:
    """Return the facts of every customer of `inputs`, sorted by id.

    Customers without `consent_profiling` have null in every fact that is a profile.

    Parameters
    ----------
    inputs : DecisionInputs
    needs : polars.DataFrame
        The open ones, see `nba.decisions.needs`.
    as_of : datetime
        What is due, open or valid counts from here.
    policy : ContactPolicy
        Says for how many days content is not repeated.
    tags : iterable of str
        The tags that rules ask for; each becomes a column.
    """
    facts = inputs["customer_state"].sort("customer_id")
    for name in list(CUSTOMER_TABLES)[1:]:
        table = inputs[name]
        shared = [column for column in table.columns if column in facts.columns]
        facts = facts.join(
            table.drop([column for column in shared if column != "customer_id"]),
            on="customer_id",
            how="left",
        )
    for part in (
        _product_facts(needs),
        _category_facts(inputs),
        next_benefits(inputs, as_of),
        _case_facts(inputs),
        _content_facts(inputs, as_of=as_of, policy=policy),
        _group_facts(inputs),
        _tag_facts(inputs, tags),
    ):
        facts = facts.join(part, on="customer_id", how="left")
    facts = facts.join(
        next_events(inputs, as_of).select("store_id", "event_days", "event_topic"),
        on="store_id",
        how="left",
    ).join(_event_matches(inputs, as_of), on="customer_id", how="left")
    facts = _complete(facts, as_of, tags)
    clerk_modes = inputs["clerk"].select("clerk_id", clerk_modes="modes")
    return (
        _without_profiles(facts)
        .sort("customer_id")
        .join(clerk_modes, on="clerk_id", how="left", maintain_order="left")
    )


def _complete(facts: pl.DataFrame, as_of: datetime, tags: Iterable[str]) -> pl.DataFrame:
    counts = [f"{kind}_products" for kind in PRODUCT_KINDS]
    counts += [
        "event_match",
        "groups_open",
        "open_questions",
        "open_after_sales",
        "open_service_cases",
    ]
    counts += [f"{kind}_relevance" for kind in PRODUCT_KINDS]
    return facts.with_columns(
        *[pl.col(name).fill_null(0.0) for name in counts],
        pl.col("open_complaints").fill_null(0.0),
        *[pl.col(TAG_PREFIX + tag).fill_null(False) for tag in tags],
        days_to_birthday=days_to_birthday(pl.col("birthday"), as_of),
        friend_days=days_since(pl.col("friend_since"), as_of),
    )


def _without_profiles(facts: pl.DataFrame) -> pl.DataFrame:
    profile = [name for name in facts.columns if name not in NOT_PROFILE]
    return facts.with_columns(
        [pl.when(pl.col("consent_profiling")).then(pl.col(name)).alias(name) for name in profile]
    )


def days_since(moment: pl.Expr, as_of: datetime) -> pl.Expr:
    """Return the calendar days from a moment's date to that of `as_of`, whatever the hours."""
    days = (pl.lit(as_of.date()) - moment.dt.date()).dt.total_days()
    return days.cast(pl.Float64)


def days_to_birthday(birthday: pl.Expr, as_of: datetime) -> pl.Expr:
    """Return the days from `as_of` to the next birthday, null for what is none.

    Parameters
    ----------
    birthday : expression of str
        `YYYY-MM-DD` or `MM-DD`.
    """
    month = birthday.str.slice(-5, 2).cast(pl.Int64, strict=False)
    day = birthday.str.slice(-2, 2).cast(pl.Int64, strict=False)
    valid = month.is_between(1, 12) & day.is_between(1, 31)
    return (
        pl.when(valid).then(birthdays.days_to_birthday(month, day, as_of.date())).cast(pl.Float64)
    )


def _product_facts(needs: pl.DataFrame) -> pl.DataFrame:
    """Return, per customer and kind of product, how many there are and the best relevance."""
    serves = {
        kind: pl.col("need").is_in([str(need) for need in SERVES[kind]]) for kind in PRODUCT_KINDS
    }
    serves[Brings.RESTOCKED] = serves[Brings.RESTOCKED] & pl.col("is_restocked")
    return needs.group_by("customer_id").agg(
        *[fits.sum().cast(pl.Float64).alias(f"{kind}_products") for kind, fits in serves.items()],
        *[
            pl.col("relevance").filter(fits).max().alias(f"{kind}_relevance")
            for kind, fits in serves.items()
        ],
    )


def _category_facts(inputs: DecisionInputs) -> pl.DataFrame:
    rows = inputs["timing_category"].sort(
        "customer_id", "p_purchase_14d", "category", descending=[False, True, False]
    )
    return rows.unique("customer_id", keep="first", maintain_order=True).select(
        "customer_id",
        pl.col("category").alias("due_category"),
        pl.col("p_purchase_14d").alias("due_category_p_14d"),
        pl.col("expected_days").alias("due_category_days"),
        pl.col("overdue_ratio").alias("due_category_overdue"),
    )


def next_benefits(inputs: DecisionInputs, as_of: datetime) -> pl.DataFrame:
    """Return the unused benefit of each customer that lapses first."""
    rows = inputs["benefits"].filter(
        (pl.col("used_at").is_null() | (pl.col("used_at") >= as_of))
        & (pl.col("expires_at") >= as_of)
    )
    return (
        rows.sort("customer_id", "expires_at", "benefit_id")
        .unique("customer_id", keep="first", maintain_order=True)
        .select(
            "customer_id",
            "benefit_id",
            pl.col("kind").alias("benefit_kind"),
            pl.col("amount").alias("benefit_amount"),
            (pl.col("expires_at") - as_of).dt.total_days().cast(pl.Float64).alias("benefit_days"),
        )
    )


def next_events(inputs: DecisionInputs, as_of: datetime) -> pl.DataFrame:
    """Return the next event of each store; one without a store is everyone's."""
    rows = inputs["events"].filter(
        (pl.col("starts_at") >= as_of + timedelta(days=1))
        & (pl.col("starts_at") < as_of + timedelta(days=EVENT_DAYS))
    )
    stores = inputs["customer_state"].select("store_id").unique()
    local = rows.drop_nulls("store_id")
    everyone = rows.filter(pl.col("store_id").is_null()).drop("store_id").join(stores, how="cross")
    columns = ["store_id", "event_id", "topic", "starts_at", "link"]
    return (
        pl.concat([local.select(columns), everyone.select(columns)])
        .sort("store_id", "starts_at", "event_id")
        .unique("store_id", keep="first", maintain_order=True)
        .select(
            "store_id",
            "event_id",
            pl.col("topic").alias("event_topic"),
            pl.col("link").alias("event_link"),
            (pl.col("starts_at") - as_of).dt.total_days().cast(pl.Float64).alias("event_days"),
        )
    )


def _case_facts(inputs: DecisionInputs) -> pl.DataFrame:
    rows = inputs["service_cases"].filter(pl.col("closed_at").is_null())

    def count(kind: ServiceCaseKind) -> pl.Expr:
        return (pl.col("kind") == str(kind)).sum().cast(pl.Float64)

    return rows.group_by("customer_id").agg(
        open_questions=count(ServiceCaseKind.QUESTION),
        open_after_sales=count(ServiceCaseKind.AFTER_SALE),
    )


def offered(inputs: DecisionInputs, kind: str) -> pl.DataFrame:
    """Return `customer_id, offer_id, score` of the content or the events that meet a customer."""
    rows = inputs["offers"].filter(pl.col("kind") == kind)
    return rows.select("customer_id", "offer_id", "score").unique(["customer_id", "offer_id"])


def _event_matches(inputs: DecisionInputs, as_of: datetime) -> pl.DataFrame:
    events = next_events(inputs, as_of).select("store_id", offer_id="event_id")
    return (
        inputs["customer_state"]
        .select("customer_id", "store_id")
        .join(events, on="store_id")
        .join(offered(inputs, "event"), on=["customer_id", "offer_id"])
        .select("customer_id", event_match=pl.lit(1.0))
    )


def valid_content(inputs: DecisionInputs, as_of: datetime) -> pl.DataFrame:
    """Return the content that may be shown at `as_of`."""
    return inputs["content"].filter(
        (pl.col("valid_from").is_null() | (pl.col("valid_from") <= as_of))
        & (pl.col("valid_to").is_null() | (pl.col("valid_to") > as_of))
    )


def seen_content(inputs: DecisionInputs, as_of: datetime, policy: ContactPolicy) -> pl.DataFrame:
    """Return (customer, content) pairs that may not be repeated yet."""
    since = as_of - timedelta(days=policy.same_content_days)
    return (
        inputs["interactions"]
        .filter((pl.col("ts") >= since) & (pl.col("mode") != str(Mode.NONE)))
        .select("customer_id", "content_id")
        .drop_nulls()
        .unique()
    )


def _content_facts(
    inputs: DecisionInputs, *, as_of: datetime, policy: ContactPolicy
) -> pl.DataFrame:
    content = valid_content(inputs, as_of).select("content_id", "mode")
    seen = (
        seen_content(inputs, as_of, policy)
        .join(content, on="content_id")
        .group_by("customer_id")
        .agg([(pl.col("mode") == str(mode)).sum().alias(str(mode)) for mode in CONTACT_MODES])
    )
    total: dict[str, int] = dict(content.group_by("mode").len().iter_rows())
    return (
        inputs["customer_state"]
        .select("customer_id")
        .join(seen, on="customer_id", how="left")
        .select(
            "customer_id",
            *[
                (total.get(str(mode), 0) - pl.col(str(mode)).fill_null(0))
                .cast(pl.Float64)
                .alias(f"content_{mode}")
                for mode in CONTACT_MODES
            ],
        )
    )


def _group_facts(inputs: DecisionInputs) -> pl.DataFrame:
    groups = inputs["groups"].select("group_id", "clerk_id")
    people = inputs["customer_state"].select("customer_id", "clerk_id")
    joined = (
        inputs["memberships"]
        .filter(pl.col("left_at").is_null())
        .select("customer_id", "group_id")
        .unique()
        .join(groups, on="group_id")
        .group_by("customer_id", "clerk_id")
        .len("joined")
    )
    return (
        people.join(groups.group_by("clerk_id").len("all"), on="clerk_id", how="left")
        .join(joined, on=["customer_id", "clerk_id"], how="left")
        .select(
            "customer_id",
            (pl.col("all").fill_null(0).cast(pl.Int64) - pl.col("joined").fill_null(0))
            .cast(pl.Float64)
            .alias("groups_open"),
        )
    )


def _tag_facts(inputs: DecisionInputs, tags: Iterable[str]) -> pl.DataFrame:
    wanted = list(tags)
    rows = inputs["customer_tags"].filter(pl.col("tag").is_in(wanted))
    aggregates: list[Any] = [(pl.col("tag") == tag).any().alias(TAG_PREFIX + tag) for tag in wanted]
    return rows.group_by("customer_id").agg(aggregates)
