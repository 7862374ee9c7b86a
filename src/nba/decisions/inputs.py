"""The tables that decisions read: which columns, and what stands where one is absent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

import polars as pl

from nba.decisions.plain_needs import plain_needs
from nba.errors import InputRefusedError
from nba.models.needs.base import NEED_SCORE_SCHEMA
from nba.schema.words import CONTACT_MODES, ONLINE_CHANNELS

_TEXT: Final = pl.String
_NUMBER: Final = pl.Float64
_TIME: Final = pl.Datetime("us")
_FLAG: Final = pl.Boolean
_IDS: Final = pl.List(pl.String)

#: Facts of one customer that the default catalogue and the code read, by table.
CUSTOMER_TABLES: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "customer_state": {
            "customer_id": _TEXT,
            "store_id": _TEXT,
            "clerk_id": _TEXT,
            "is_friend": _FLAG,
            "friend_since": _TIME,
            "is_blocked": _FLAG,
            "consent_contact": _FLAG,
            "consent_profiling": _FLAG,
            "birthday": _TEXT,
            "locale": _TEXT,
            "open_service_cases": _NUMBER,
            "open_complaints": _NUMBER,
        },
        "customer_behaviour": {
            "customer_id": _TEXT,
            "days_since_purchase": _NUMBER,
            "days_since_first_purchase": _NUMBER,
            "purchase_days": _NUMBER,
            "purchase_days_365d": _NUMBER,
            "spend_365d_amount": _NUMBER,
            "margin_365d_amount": _NUMBER,
            "average_order_amount": _NUMBER,
            "gap_days_median": _NUMBER,
            "overdue_ratio": _NUMBER,
            "price_tier": _NUMBER,
            "discount_share": _NUMBER,
            "main_category": _TEXT,
            "main_category_kind": _TEXT,
            "purchase_hour_peak": _NUMBER,
            **{f"channel_{channel}_share": _NUMBER for channel in ONLINE_CHANNELS},
        },
        "customer_contact": {
            "customer_id": _TEXT,
            "contacts_30d": _NUMBER,
            "contacts_90d": _NUMBER,
            "days_since_contact": _NUMBER,
            "responses_90d": _NUMBER,
            "response_rate": _NUMBER,
            **{f"response_rate_{mode}": _NUMBER for mode in CONTACT_MODES},
            **{f"contacts_{mode}_365d": _NUMBER for mode in CONTACT_MODES},
            "unanswered_streak": _NUMBER,
            "friend_days": _NUMBER,
            "groups_joined": _NUMBER,
            "is_silent_friend": _FLAG,
            "fatigue": _NUMBER,
            "response_hour_peak": _NUMBER,
        },
        "timing": {
            "customer_id": _TEXT,
            "p_purchase_7d": _NUMBER,
            "p_purchase_14d": _NUMBER,
            "p_purchase_30d": _NUMBER,
            "p_purchase_90d": _NUMBER,
            "expected_days": _NUMBER,
            "p_alive": _NUMBER,
            "expected_margin_90d": _NUMBER,
            "expected_margin_365d": _NUMBER,
        },
    }
)
#: The other tables.
OTHER_TABLES: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "clerk": {
            "clerk_id": _TEXT,
            "store_id": _TEXT,
            "name": _TEXT,
            "minutes_per_day": _NUMBER,
            "works_today": _FLAG,
            "shift_start": _TEXT,
            "shift_end": _TEXT,
            "modes": _IDS,
            "left_at": _TIME,
        },
        "product": {
            "product_id": _TEXT,
            "name": _TEXT,
            "category": _TEXT,
            "brand": _TEXT,
            "price": _NUMBER,
            "margin_rate": _NUMBER,
            "replenishable": _FLAG,
            "is_retired": _FLAG,
            "launched_days": _NUMBER,
            "on_hand": _NUMBER,
            "days_since_restock": _NUMBER,
        },
        "store_stock": {
            "product_id": _TEXT,
            "store_id": _TEXT,
            "on_hand": _NUMBER,
            "days_since_restock": _NUMBER,
        },
        "customer_product": {
            "customer_id": _TEXT,
            "product_id": _TEXT,
            "category": _TEXT,
            "purchase_days": _NUMBER,
            "quantity": _NUMBER,
            "days_since_purchase": _NUMBER,
            "days_since_return": _NUMBER,
        },
        "customer_category": {
            "customer_id": _TEXT,
            "category": _TEXT,
            "purchase_days": _NUMBER,
            "gap_days_median": _NUMBER,
        },
        "customer_tags": {"customer_id": _TEXT, "tag": _TEXT, "value": _TEXT},
        "categories": {"category": _TEXT, "name": _TEXT},
        "names": {"customer_id": _TEXT, "name": _TEXT, "alias": _TEXT, "gender": _TEXT},
        "snoozes": {"customer_id": _TEXT, "until": _TIME},
        "said": {"customer_id": _TEXT, "text": _TEXT},
        "timing_category": {
            "customer_id": _TEXT,
            "category": _TEXT,
            "p_purchase_14d": _NUMBER,
            "p_purchase_30d": _NUMBER,
            "expected_days": _NUMBER,
            "overdue_ratio": _NUMBER,
        },
        "affinity": {
            "customer_id": _TEXT,
            "rank": pl.Int64,
            "product_id": _TEXT,
            "category": _TEXT,
            "score": _NUMBER,
            "relevance": _NUMBER,
            "source": _TEXT,
            "times_bought": _NUMBER,
            "days_since_purchase": _NUMBER,
            "gap_days": _NUMBER,
        },
        "needs": NEED_SCORE_SCHEMA,
        "mode": {
            "customer_id": _TEXT,
            "mode": _TEXT,
            "uplift_amount": _NUMBER,
            "uplift_lower": _NUMBER,
            "uplift_drawn": _NUMBER,
            "risk": _NUMBER,
            "lost_share": _NUMBER,
            "reach": pl.List(pl.Float64),
        },
        "preferred_mode": {"customer_id": _TEXT, "mode": _TEXT},
        "contributions": {"customer_id": _TEXT, "feature": _TEXT, "contribution": _NUMBER},
        "content": {
            "content_id": _TEXT,
            "mode": _TEXT,
            "title": _TEXT,
            "theme": _TEXT,
            "category": _TEXT,
            "product_ids": _IDS,
            "link": _TEXT,
            "locale": _TEXT,
            "valid_from": _TIME,
            "valid_to": _TIME,
        },
        "events": {
            "event_id": _TEXT,
            "topic": _TEXT,
            "store_id": _TEXT,
            "starts_at": _TIME,
            "capacity": _NUMBER,
            "link": _TEXT,
        },
        "offers": {
            "customer_id": _TEXT,
            "kind": _TEXT,
            "offer_id": _TEXT,
            "score": _NUMBER,
        },
        "benefits": {
            "benefit_id": _TEXT,
            "customer_id": _TEXT,
            "kind": _TEXT,
            "amount": _NUMBER,
            "expires_at": _TIME,
            "used_at": _TIME,
        },
        "service_cases": {
            "case_id": _TEXT,
            "customer_id": _TEXT,
            "kind": _TEXT,
            "opened_at": _TIME,
            "closed_at": _TIME,
        },
        "interactions": {
            "interaction_id": _TEXT,
            "customer_id": _TEXT,
            "clerk_id": _TEXT,
            "ts": _TIME,
            "mode": _TEXT,
            "action_type": _TEXT,
            "channel": _TEXT,
            "content_id": _TEXT,
            "product_ids": _IDS,
        },
        "clocks": {"clerk_id": _TEXT, "timezone": _TEXT, "ahead_minutes": _NUMBER},
        "responses": {"interaction_id": _TEXT, "customer_id": _TEXT, "ts": _TIME, "kind": _TEXT},
        "quota": {"customer_id": _TEXT, "channel": _TEXT, "remaining": _NUMBER},
        "groups": {"group_id": _TEXT, "clerk_id": _TEXT, "topic": _TEXT, "created_at": _TIME},
        "memberships": {
            "group_id": _TEXT,
            "customer_id": _TEXT,
            "joined_at": _TIME,
            "left_at": _TIME,
        },
        "friendships": {
            "customer_id": _TEXT,
            "clerk_id": _TEXT,
            "since": _TIME,
            "ended_at": _TIME,
        },
        "handovers": {"customer_id": _TEXT, "ts": _TIME},
    }
)
#: Other tables with one row per id.
_UNIQUE: Final = MappingProxyType(
    {"clerk": "clerk_id", "product": "product_id", "clocks": "clerk_id"}
)
#: Tables that must be given; the others may be absent and count as empty.
REQUIRED: Final = ("customer_state", "clerk")
_DEFAULTS: Final[Mapping[tuple[str, str], Any]] = MappingProxyType(
    {
        ("customer_state", "is_friend"): False,
        ("customer_state", "is_blocked"): False,
        ("customer_state", "consent_contact"): True,
        ("customer_state", "consent_profiling"): True,
        ("clerk", "minutes_per_day"): 60.0,
        ("clerk", "works_today"): True,
    }
)


@dataclass(frozen=True)
class DecisionInputs:
    """The tables of one plan, each with at least the columns of the contract.

    Parameters
    ----------
    tables : mapping of str to DataFrame
    heard_until : datetime, optional
        Up to when contacts and responses count for who is asked about during the day. Without it
        those before the plan's day alone, as a plan must have it.
    """

    tables: Mapping[str, pl.DataFrame]
    heard_until: datetime | None = None

    def __getitem__(self, name: str) -> pl.DataFrame:
        return self.tables[name]

    def counted(self, name: str, as_of: datetime) -> pl.DataFrame:
        """Return the contacts or responses that count at `as_of`: see `heard_until`."""
        until = as_of if self.heard_until is None else max(as_of, self.heard_until)
        return self.tables[name].filter(pl.col("ts") < until)

    def of_customers(self, ids: pl.Series) -> DecisionInputs:
        """Return the inputs confined to the customers `ids`; other tables stay whole."""
        keep = pl.DataFrame({"customer_id": ids})
        return DecisionInputs(
            {
                name: table.join(keep, on="customer_id", how="semi")
                if "customer_id" in table.columns
                else table
                for name, table in self.tables.items()
            },
            self.heard_until,
        )


def _conform(name: str, table: pl.DataFrame, columns: Mapping[str, Any]) -> pl.DataFrame:
    """Add absent columns, cast the known ones, put the defaults; keep what is extra."""
    known = [
        (pl.col(column).cast(dtype) if column in table.columns else pl.lit(None, dtype=dtype))
        .alias(column)
        .fill_null(_DEFAULTS.get((name, column)))
        if (name, column) in _DEFAULTS
        else (
            pl.col(column).cast(dtype) if column in table.columns else pl.lit(None, dtype=dtype)
        ).alias(column)
        for column, dtype in columns.items()
    ]
    if not table.columns:
        return pl.DataFrame(schema=dict(columns))
    return table.with_columns(known)


def with_customers(responses: pl.DataFrame, interactions: pl.DataFrame) -> pl.DataFrame:
    """Name the customer of responses that name their interaction only."""
    owners = interactions.select("interaction_id", owner_id="customer_id").drop_nulls()
    owners = owners.unique("interaction_id")
    return (
        responses.join(owners, on="interaction_id", how="left")
        .with_columns(customer_id=pl.coalesce("customer_id", "owner_id"))
        .drop("owner_id")
    )


def _refuse_repeated(name: str, ids: pl.Series) -> None:
    repeated = ids.filter(ids.is_duplicated())
    if len(repeated):
        raise InputRefusedError(
            f"the table {name!r} names {repeated[0]!r} more than once",
            expected=f"one row per {ids.name}",
            found=f"{len(repeated)} rows that repeat one",
            next_step="pass one snapshot",
        )


def conform_inputs(inputs: Mapping[str, pl.DataFrame]) -> DecisionInputs:
    """Check and complete the tables given to `decide`.

    Raises
    ------
    InputRefusedError
        When a required table is absent, or an id stands twice where it may stand once.
    """
    contract = {**CUSTOMER_TABLES, **OTHER_TABLES}
    for name in REQUIRED:
        if name not in inputs:
            raise InputRefusedError(
                f"decisions need the table {name!r}",
                expected=", ".join(REQUIRED),
                found=", ".join(sorted(inputs)) or "no table",
                next_step="pass the feature view of this name",
            )
    tables = {
        name: _conform(name, inputs.get(name, pl.DataFrame()), columns)
        for name, columns in contract.items()
    }
    if tables["needs"].is_empty():
        tables["needs"] = plain_needs(tables)
    tables["responses"] = with_customers(tables["responses"], tables["interactions"])
    for name, key in {**dict.fromkeys(CUSTOMER_TABLES, "customer_id"), **_UNIQUE}.items():
        _refuse_repeated(name, tables[name][key])
    return DecisionInputs(tables)
