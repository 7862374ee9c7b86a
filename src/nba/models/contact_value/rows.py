"""What contacts are learned from: one row per assignment and category, as it stood at the time.

Everything is worked out from the log at the very moment of each assignment: how due the category
was, how often the customer had answered, what went before. A moment without a contact gets the need
that would have been brought, and one other category, so that what is bought anyway is learned from
as many categories as can be brought.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
import polars as pl

from nba.features.prepare import sales_lines
from nba.models.contact_value.responsiveness import ANSWERED, CONTACTS, READ_CONTACTS, READS
from nba.models.mode.assignments.outcomes import friends_of
from nba.models.mode.assignments.records import (
    engine_assignments,
    recorded_assignments,
    sampled_moments,
    thinned,
)
from nba.models.mode.scores import MODES
from nba.models.needs.build import LEAST_DUE, NEW_DAYS, RECENT_DAYS, due_worth
from nba.models.needs.rhythm import EVERYTHING, Rhythm, chance_without
from nba.models.needs.words import Need
from nba.schema.words import (
    ENGAGED_RESPONSES,
    FEED_CHANNELS,
    SERVICE_CATEGORY,
    Mode,
    ResponseKind,
)

TABLE: Final = "contact_rows"
#: Of the contacts that are learned from, those of clerks' own choice keep so much.
LEAST_CHOSEN: Final = 0.25
#: Categories of one contact that count, at most.
MOST_CATEGORIES: Final = 3
FATIGUE_HALF_LIFE: Final = 14.0
#: Responses that only somebody who has read the message gives; who joined or attended came to the
#: store, which is close to the outcome.
READ_KINDS: Final = tuple(
    str(kind) for kind in (ResponseKind.READ, ResponseKind.REPLIED, ResponseKind.CLICKED)
)
OUTCOME_DAYS: Final = 14
#: Moments without a contact that are drawn per customer, and rows of the engine's log that were
#: left alone, kept per listed one.
MOMENTS_PER_CUSTOMER: Final = 6
NONE_PER_LISTED: Final = 2.0
BEFORE_DAYS: Final = (14, 28, 90)
_TIME: Final = pl.Datetime("us")
_PAIR: Final = ["customer_id", "category"]


@dataclass(frozen=True)
class History:
    """What happened, as polars tables.

    Parameters
    ----------
    sales : DataFrame
        `customer_id, product_id, category, ts, quantity, margin`.
    interactions, responses, products, customers : DataFrame
        As in the data contract.
    """

    sales: pl.DataFrame
    interactions: pl.DataFrame
    responses: pl.DataFrame
    products: pl.DataFrame
    customers: pl.DataFrame

    @classmethod
    def of(cls, tables: Mapping[str, Any], as_of: datetime) -> History:
        """Read what is visible at `as_of`."""
        lines = sales_lines(tables, as_of)
        lines = lines.filter(lines.customer_id.notnull())
        sales = lines.select("customer_id", "product_id", "category", "ts", "quantity", "margin")
        made = tables["interactions"]
        made = made.filter(made.ts < as_of)
        wanted = (
            "interaction_id",
            "customer_id",
            "clerk_id",
            "ts",
            "mode",
            "channel",
            "product_ids",
        )
        said = tables["responses"]
        said = said.filter(said.ts < as_of)
        return cls(
            sales.to_polars(),
            made.select(*wanted).to_polars(),
            said.select("interaction_id", "ts", "kind").to_polars(),
            tables["products"].select("product_id", "category", "launched_at").to_polars(),
            tables["customers"].select("customer_id", "birthday").to_polars(),
        )


def known_assignments(
    tables: Mapping[str, Any],
    as_of: datetime,
    *,
    log: pl.DataFrame | None,
    window_days: int,
    outcome_days: int = OUTCOME_DAYS,
    seed: int = 0,
) -> pl.DataFrame:
    """Return who was contacted, who was left alone, and moments without a contact.

    Parameters
    ----------
    tables : mapping of str to ibis.Table
        The tables of the contract, as loaded at `as_of`.
    log : DataFrame or None
        The engine's decision log, see `nba.models.mode.assignments.records.decision_rows`; its
        `category` says what was, or would have been, brought.
    """
    begin = as_of - timedelta(days=window_days)
    made: pl.DataFrame = tables["interactions"].to_polars()
    made = made.filter(pl.col("ts").is_between(begin, as_of, closed="left"))
    parts = [recorded_assignments(made)]
    if log is not None and log.height:
        few = thinned(log, per_listed=NONE_PER_LISTED, seed=seed)
        parts.append(_with_category(engine_assignments(few, made), few))
    moments = sampled_moments(
        friends_of(tables, as_of),
        made,
        begin=begin,
        end=as_of - timedelta(days=outcome_days),
        per_customer=MOMENTS_PER_CUSTOMER,
        clear_days=0,
        seed=seed,
    )
    return pl.concat([*parts, moments], how="diagonal_relaxed")


def _with_category(assignments: pl.DataFrame, log: pl.DataFrame) -> pl.DataFrame:
    """Add the category that the log says was, or would have been, brought."""
    if "category" not in log.columns:
        return assignments
    named = log.select("customer_id", pl.col("as_of").cast(_TIME).alias("ts"), "category")
    return assignments.join(named, on=["customer_id", "ts"], how="left", maintain_order="left")


def contact_rows(
    assignments: pl.DataFrame,
    history: History,
    rhythm: Rhythm,
    *,
    as_of: datetime,
    outcome_days: int = OUTCOME_DAYS,
    most: tuple[int, int] = (120_000, 40_000),
    seed: int = 0,
) -> pl.DataFrame:
    """Return the rows that effects are learned from.

    Parameters
    ----------
    assignments : DataFrame
        As in `ASSIGNMENT_SCHEMA`; `category` where the log says what was, or would have been,
        brought.
    history : History
    rhythm : Rhythm
        Typical gaps, as of `as_of`.
    as_of : datetime
        Windows that have not closed by then are left out.
    outcome_days : int
        Length of the window.
    most : tuple of int
        Contacts, and moments without one, that are used at most.
    seed : int
        Which of more, and which categories stand beside the one that is most due.

    Returns
    -------
    DataFrame
        Per row what `nba.models.contact_value.model` makes its design of, and `orders` and
        `margin` in the category in the window, `later_orders` in as many days after it,
        `all_orders` and `all_margin` over everything.
    """
    closed = assignments.filter(pl.col("ts") + pl.duration(days=outcome_days) <= pl.lit(as_of))
    closed = _sampled(closed, most, seed)
    days = purchase_days(history.sales)
    brought = _brought(closed, history, days, rhythm, seed)
    rows = with_pair_state(brought, days, rhythm)
    whole = with_pair_state(rows.with_columns(category=pl.lit(EVERYTHING)), days, rhythm)
    rows = rows.with_columns(whole["due"].alias("overall_due"))
    rows = _with_needs(rows, history)
    rows = _with_answers(rows, history)
    rows = _with_reading(rows, history, outcome_days)
    return _with_orders(rows, days, as_of, outcome_days).sort("assignment_id", "category")


def _sampled(assignments: pl.DataFrame, most: tuple[int, int], seed: int) -> pl.DataFrame:
    """Return at most so many contacts and moments, the same ones for the same seed.

    What was drawn by chance is kept first, contacts and who was left alone at one rate: each row
    keeps its propensity.
    """
    is_none = assignments["mode"].cast(pl.String) == str(Mode.NONE)
    drawn = assignments["propensity"].is_not_null()
    by_chance = min(int(drawn.sum()), most[0])
    chosen = max(most[0] - by_chance, round(LEAST_CHOSEN * most[0]))
    parts = []
    for rows, limit in ((drawn, most[0]), (~drawn & ~is_none, chosen), (~drawn & is_none, most[1])):
        part = assignments.filter(rows).sort("assignment_id")
        parts.append(part.sample(limit, seed=seed) if part.height > limit else part)
    return pl.concat(parts).sort("assignment_id")


def purchase_days(sales: pl.DataFrame) -> pl.DataFrame:
    """Return the purchase days per customer and category, and over everything, with totals so far.

    Columns: customer_id, category, ts (of the first line of the day), first_ts, count, margin: the
    first purchase, and how often and how much up to and with this day.
    """
    bought = sales.filter((pl.col("quantity") > 0) & (pl.col("category") != SERVICE_CATEGORY))
    bought = bought.with_columns(pl.col("ts").cast(_TIME), pl.col("category").cast(pl.String))
    whole = bought.with_columns(category=pl.lit(EVERYTHING))
    day = pl.col("ts").dt.truncate("1d").alias("day")
    return (
        pl.concat([bought, whole], how="vertical_relaxed")
        .group_by(*_PAIR, day)
        .agg(pl.col("ts").min(), pl.col("margin").cast(pl.Float64).fill_null(0.0).sum())
        .sort("ts", *_PAIR)
        .with_columns(
            first_ts=pl.col("ts").first().over(_PAIR),
            count=pl.col("ts").cum_count().over(_PAIR).cast(pl.Float64),
            margin=pl.col("margin").cum_sum().over(_PAIR),
        )
        .drop("day")
    )


def _latest(rows: pl.DataFrame, days: pl.DataFrame, offset_days: int) -> pl.DataFrame:
    """Return what `days` held for each row before `ts` plus `offset_days`, in row order."""
    at = rows.select(*_PAIR, end=pl.col("ts") + pl.duration(days=offset_days))
    return (
        at.with_row_index("position")
        .sort("end")
        .join_asof(
            days.with_columns(seen=pl.col("ts")),
            left_on="end",
            right_on="ts",
            by=_PAIR,
            strategy="backward",
            allow_exact_matches=False,
            check_sortedness=False,
        )
        .sort("position")
    )


def with_pair_state(rows: pl.DataFrame, days: pl.DataFrame, rhythm: Rhythm) -> pl.DataFrame:
    """Add times, days_since, gap_days, due and p_without of the row's category at its `ts`."""
    found = _latest(rows, days, 0)
    day = 86_400.0
    times = found["count"].fill_null(0.0).to_numpy()
    since = (found["end"] - found["seen"]).dt.total_seconds().cast(pl.Float64) / day
    span = (found["seen"] - found["first_ts"]).dt.total_seconds().cast(pl.Float64) / day
    since_days = since.fill_null(float("nan")).to_numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        mean_gap = span.fill_null(float("nan")).to_numpy() / (times - 1.0)
    gap = rhythm.gaps(rows["category"], times, np.where(times > 1, mean_gap, np.nan))
    due = since_days / gap
    without = chance_without(np.nan_to_num(due, nan=9.0), gap, float(OUTCOME_DAYS))
    never = times == 0
    return rows.with_columns(
        times=pl.Series(times),
        days_since=pl.Series(since_days, nan_to_null=True),
        gap_days=pl.Series(gap),
        due=pl.Series(due, nan_to_null=True),
        p_without=pl.Series(np.where(never, 0.01, without)),
    )


def _brought(
    assignments: pl.DataFrame, history: History, days: pl.DataFrame, rhythm: Rhythm, seed: int
) -> pl.DataFrame:
    """Return a row per assignment and category that was, or would have been, brought."""
    is_contact = pl.col("mode").cast(pl.String) != str(Mode.NONE)
    known = pl.col("interaction_id").is_not_null()
    contacts = _with_products(assignments.filter(is_contact & known), history)
    rest = assignments.filter(~(is_contact & known))
    named = pl.lit(False)
    if "category" in rest.columns:
        named = pl.col("category").is_not_null()
    logged = rest.filter(named)
    open_ = rest.filter(~named)
    would = _would_be_brought(open_.drop("category", strict=False), days, rhythm, seed)
    parts = [
        contacts,
        logged.with_columns(product_id=pl.lit(None, pl.String), several=pl.lit(1.0)),
        would,
    ]
    return pl.concat(parts, how="diagonal_relaxed").with_columns(
        pl.col("category").fill_null(EVERYTHING)
    )


def _with_products(contacts: pl.DataFrame, history: History) -> pl.DataFrame:
    """Return contacts by category of what they brought; one row where they brought nothing."""
    goods = history.products.select("product_id", brought=pl.col("category").fill_null("unknown"))
    lists = history.interactions.select("interaction_id", "clerk_id", "product_ids")
    rows = (
        contacts.drop("category", strict=False)
        .join(lists, on="interaction_id", how="left", maintain_order="left")
        .explode("product_ids")
        .rename({"product_ids": "product_id"})
        .join(goods, on="product_id", how="left", maintain_order="left")
        .with_columns(category=pl.col("brought").cast(pl.String).fill_null(EVERYTHING))
        .drop("brought")
        .unique(["assignment_id", "category"], keep="first", maintain_order=True)
    )
    some = (pl.col("category") != EVERYTHING).any().over("assignment_id")
    rows = rows.filter(~some | (pl.col("category") != EVERYTHING))
    place = pl.int_range(pl.len()).over("assignment_id")
    return rows.with_columns(several=pl.len().over("assignment_id").cast(pl.Float64)).filter(
        place < MOST_CATEGORIES
    )


def _would_be_brought(
    moments: pl.DataFrame, days: pl.DataFrame, rhythm: Rhythm, seed: int
) -> pl.DataFrame:
    """Return, per moment, the category that is most due, others, and everything."""
    pairs = days.filter(pl.col("category") != EVERYTHING).select(_PAIR).unique().sort(_PAIR)
    crossed = moments.join(pairs, on="customer_id", how="inner").sort("assignment_id", "category")
    state = with_pair_state(crossed, days, rhythm).filter(pl.col("times") > 0)
    state = state.with_columns(order_margin=pl.lit(1.0))
    ready = pl.when(pl.col("due") >= LEAST_DUE).then(due_worth(state)).otherwise(0.0)
    other = np.random.default_rng(seed).uniform(size=state.height)
    state = state.with_columns(worth=ready, other=pl.Series(other))
    best = state.sort("assignment_id", "worth", "category", descending=[False, True, False]).unique(
        "assignment_id", keep="first", maintain_order=True
    )
    beside = (
        state.join(best.select("assignment_id", "category"), on=["assignment_id", "category"],
                   how="anti")
        .sort("assignment_id", "other")
        .unique("assignment_id", keep="first", maintain_order=True)
    )  # fmt: skip
    whole = moments.with_columns(category=pl.lit(EVERYTHING))
    chosen = [part.select(*moments.columns, "category") for part in (best, beside, whole)]
    chosen.append(_any_category(moments, pairs, seed))
    return pl.concat(chosen).with_columns(product_id=pl.lit(None, pl.String), several=pl.lit(1.0))


def _any_category(moments: pl.DataFrame, pairs: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Return a category per moment that the customer never bought, where one is drawn."""
    names = pairs["category"].unique().sort()
    if names.is_empty():
        return moments.clear().with_columns(category=pl.lit(None, pl.String))
    drawn = np.random.default_rng([seed, 1]).integers(0, len(names), moments.height)
    return moments.with_columns(category=names.gather(drawn)).join(
        pairs, on=_PAIR, how="anti", maintain_order="left"
    )


def _with_needs(rows: pl.DataFrame, history: History) -> pl.DataFrame:
    """Add the kind of need, whether the product was known, and the days to the birthday."""
    first = (
        history.sales.filter(pl.col("quantity") > 0)
        .group_by("customer_id", "product_id")
        .agg(first_bought=pl.col("ts").min().cast(_TIME))
    )
    launched = history.products.select("product_id", pl.col("launched_at").cast(_TIME))
    rows = rows.join(first, on=["customer_id", "product_id"], how="left", maintain_order="left")
    rows = rows.join(launched, on="product_id", how="left", maintain_order="left")
    known = (pl.col("first_bought") < pl.col("ts")).fill_null(False)
    known = known | pl.col("product_id").is_null()
    age = (pl.col("ts") - pl.col("launched_at")).dt.total_days()
    everything = pl.col("category") == EVERYTHING
    bought = pl.col("times") > 0
    need = (
        pl.when(everything)
        .then(pl.lit(str(Need.CONTENT)))
        .when(bought & ~known & age.is_between(0, NEW_DAYS))
        .then(pl.lit(str(Need.NEW)))
        .when(bought)
        .then(pl.lit(str(Need.DUE)))
        .when(pl.col("recent") <= RECENT_DAYS)
        .then(pl.lit(str(Need.COMPANION)))
        .otherwise(pl.lit(str(Need.DISCOVERY)))
    )
    days = purchase_days(history.sales).filter(pl.col("category") == EVERYTHING)
    whole = rows.with_columns(category=pl.lit(EVERYTHING))
    latest = _latest(whole, days, 0)
    recent = (latest["end"] - latest["seen"]).dt.total_seconds().cast(pl.Float64) / 86_400
    counts = [
        (
            latest["count"].fill_null(0.0) - _latest(whole, days, -back)["count"].fill_null(0.0)
        ).alias(f"before_{back}d")
        for back in BEFORE_DAYS
    ]
    rows = rows.with_columns(recent.alias("recent"), *counts)
    rows = rows.with_columns(need=need, is_known=known)
    birthdays = history.customers.unique("customer_id", keep="last").select(
        "customer_id", birthday=pl.col("birthday").cast(pl.String)
    )
    rows = rows.join(birthdays, on="customer_id", how="left", maintain_order="left")
    return rows.with_columns(birthday=near_birthday(pl.col("birthday"), pl.col("ts"))).drop(
        "first_bought", "launched_at"
    )


def near_birthday(birthday: pl.Expr, ts: pl.Expr, days: int = 7) -> pl.Expr:
    """Return 1 where the next birthday is at most so many days away, else 0."""
    month = birthday.str.slice(-5, 2).cast(pl.Int64, strict=False)
    day = birthday.str.slice(-2, 2).cast(pl.Int64, strict=False)
    place = (month - 1) * 30.4 + day
    now = (ts.dt.month().cast(pl.Int64) - 1) * 30.4 + ts.dt.day().cast(pl.Int64)
    away = (place - now) % 365.0
    return (away <= days).fill_null(False).cast(pl.Float64)


def _with_answers(rows: pl.DataFrame, history: History) -> pl.DataFrame:
    """Add contacts and answers before, by mode, reads of late, and fatigue.

    As the view `customer_contact` counts them: posts in a feed are no contacts, an answer to one
    relieves.
    """
    made = history.interactions.filter(pl.col("mode").cast(pl.String) != str(Mode.NONE))
    kinds = history.responses.with_columns(pl.col("kind").cast(pl.String))
    engaged = kinds.filter(pl.col("kind").is_in([str(kind) for kind in ENGAGED_RESPONSES]))
    read = kinds.filter(pl.col("kind") == "read")
    origin = datetime(2020, 1, 1)
    age = (pl.col("ts").cast(_TIME) - origin).dt.total_seconds() / 86_400 / FATIGUE_HALF_LIFE
    weight = (age * np.log(2.0)).exp()
    in_feed = pl.col("channel").cast(pl.String).is_in([str(one) for one in FEED_CHANNELS])

    def flag(which: pl.DataFrame, name: str) -> pl.DataFrame:
        return which.select(pl.col("interaction_id").unique(), pl.lit(1.0).alias(name))

    contacts = (
        made.join(flag(engaged, "answered"), on="interaction_id", how="left")
        .join(flag(read, "read"), on="interaction_id", how="left")
        .with_columns(pl.col("answered", "read").fill_null(0.0), pl.col("mode").cast(pl.String))
        .with_columns(relief=pl.col("answered") * weight, asked=(~in_feed).fill_null(True))
        .with_columns(
            pl.col("answered", "read") * pl.col("asked").cast(pl.Float64),
            wear=weight * pl.col("asked").cast(pl.Float64),
        )
        .sort("ts", "interaction_id")
    )
    totals = contacts.select(
        "customer_id",
        pl.col("ts").cast(_TIME),
        *[
            (pl.col("asked") & (pl.col("mode") == mode))
            .cast(pl.Float64)
            .cum_sum()
            .over("customer_id")
            .alias(made_)
            for mode, made_ in zip(MODES, CONTACTS, strict=True)
        ],
        *[
            ((pl.col("mode") == mode).cast(pl.Float64) * pl.col("answered"))
            .cum_sum()
            .over("customer_id")
            .alias(name)
            for mode, name in zip(MODES, ANSWERED, strict=True)
        ],
        *[pl.col(name).cum_sum().over("customer_id") for name in ("read", "wear", "relief")],
    ).sort("ts")

    def before(back: int) -> pl.DataFrame:
        ends = rows.select("customer_id", end=pl.col("ts") - pl.duration(days=back))
        return (
            ends.with_row_index("position")
            .sort("end")
            .join_asof(
                totals, left_on="end", right_on="ts", by="customer_id", strategy="backward",
                allow_exact_matches=False, check_sortedness=False,
            )
            .sort("position")
            .drop("position", "ts", strict=False)
            .with_columns(pl.exclude("customer_id", "end").fill_null(0.0))
        )  # fmt: skip

    now, then = before(0), before(90)
    decay = now.select(
        (
            -(pl.col("end") - origin).dt.total_seconds() / 86_400 / FATIGUE_HALF_LIFE * np.log(2.0)
        ).exp()
    ).to_series()
    all_made = sum(
        (now[name] - then[name] for name in CONTACTS[1:]), now[CONTACTS[0]] - then[CONTACTS[0]]
    )
    return rows.with_columns(
        *[now[name] for name in (*CONTACTS, *ANSWERED)],
        all_made.alias(READ_CONTACTS),
        (now["read"] - then["read"]).alias(READS),
        (now["wear"] * decay / (1.0 + now["relief"] * decay)).alias("fatigue"),
    )


def _with_reading(rows: pl.DataFrame, history: History, outcome_days: int) -> pl.DataFrame:
    """Add whether the contact of each row was read within the window."""
    contacts = rows.select("interaction_id", made="ts").drop_nulls().unique("interaction_id")
    read = (
        history.responses.filter(pl.col("kind").cast(pl.String).is_in(READ_KINDS))
        .select("interaction_id", pl.col("ts").cast(_TIME))
        .join(contacts, on="interaction_id")
        .filter(pl.col("ts") < pl.col("made") + pl.duration(days=outcome_days))
        .select(pl.col("interaction_id").unique(), is_read=pl.lit(True))
    )
    joined = rows.join(read, on="interaction_id", how="left", maintain_order="left")
    return joined.with_columns(pl.col("is_read").fill_null(False))


def _with_orders(
    rows: pl.DataFrame, days: pl.DataFrame, as_of: datetime, outcome_days: int
) -> pl.DataFrame:
    """Add orders and margin in the window, in the category and over everything."""
    whole = rows.with_columns(category=pl.lit(EVERYTHING))

    def counted(at: pl.DataFrame, last: int, name: str) -> pl.Series:
        return _latest(at, days, last)[name].fill_null(0.0)

    start, end = counted(rows, 0, "count"), counted(rows, outcome_days, "count")
    late = counted(rows, 2 * outcome_days, "count")
    checked = rows.select(
        (pl.col("ts") + pl.duration(days=2 * outcome_days) <= pl.lit(as_of)).alias("x")
    )["x"]
    return rows.with_columns(
        orders=end - start,
        margin=counted(rows, outcome_days, "margin") - counted(rows, 0, "margin"),
        later_orders=(late - end),
        is_checked=checked,
        all_orders=counted(whole, outcome_days, "count") - counted(whole, 0, "count"),
        all_margin=counted(whole, outcome_days, "margin") - counted(whole, 0, "margin"),
    ).with_columns(later_orders=pl.when("is_checked").then("later_orders"))
