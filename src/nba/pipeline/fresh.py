"""Fresh features: what was accepted of a customer during the day, online within moments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl

from nba.errors import NotFoundError
from nba.models.purchases import PURCHASES
from nba.pipeline.inputs import CUSTOMER_VIEWS, STATE
from nba.pipeline.plan import POLICY_DAYS
from nba.pipeline.ports import FreshBase, Ports

#: Tables that policies read of a customer: as a whole, and of the last days.
WHOLE = ("benefits", "service_cases", "friendships")
RECENT = ("interactions", "responses")
#: Views of a customer that models and decisions read.
VIEWS = (STATE, *CUSTOMER_VIEWS, "customer_category", "customer_product", "customer_tags")


def refresh(ports: Ports, customer_ids: Sequence[str], *, now: datetime, zone: ZoneInfo) -> None:
    """Compute the features of some customers from base and day, and push them online.

    Parameters
    ----------
    ports : Ports
    customer_ids : sequence of str
    now : datetime
        Aware.
    zone : ZoneInfo
        The project's.

    Raises
    ------
    NotFoundError
        Where no snapshot was brought online here.
    """
    day = _day_of(ports, customer_ids, zone)
    ports.feature_store.refresh(day, customer_ids, now=_local(now, zone))


def prepare(ports: Ports, *, now: datetime, zone: ZoneInfo) -> None:
    """Compile and plan the queries of the day at `now` (aware), so that no request waits for it."""
    ports.feature_store.prepare(now=_local(now, zone))


def heard_today(ports: Ports, zone: ZoneInfo) -> Sequence[str]:
    """Return the customers of whom the base does not know all; none without a base."""
    base = ports.feature_store.base()
    return [] if base is None else ports.plan_store.heard_of(*_moments(base, zone))


def fresh_tables(
    ports: Ports, customer_id: str, *, now: datetime, zone: ZoneInfo
) -> dict[str, pl.DataFrame]:
    """Return what models read of a customer who was heard of since the night, by table.

    The views as they stand online, and the rows that policies count; nothing where the views
    stand as the night left them.

    Parameters
    ----------
    ports : Ports
    customer_id : str
    now : datetime
        Aware.
    zone : ZoneInfo
        The project's.
    """
    store = ports.feature_store
    if not store.is_refreshed(customer_id):
        return {}
    day, moment = _day_of(ports, [customer_id], zone), _local(now, zone)
    rows = store.fresh_tables(day, [customer_id], now=moment)
    since = moment - timedelta(days=POLICY_DAYS)
    recent = {name: rows[name].filter(pl.col("ts") >= since) for name in RECENT}
    whole = {name: rows[name] for name in (PURCHASES, *WHOLE)}
    views = {view: store.online_rows(view, [customer_id]) for view in VIEWS}
    who = views[STATE].select("customer_id")
    for view in CUSTOMER_VIEWS:  # a row for everybody, as the night has it
        views[view] = who.join(views[view], on="customer_id", how="left")
    return {**views, **whole, **recent}


def _day_of(
    ports: Ports, customer_ids: Sequence[str], zone: ZoneInfo
) -> Mapping[str, pl.DataFrame]:
    base = ports.feature_store.base()
    if base is None:
        raise NotFoundError(
            "no snapshot was brought online here",
            expected="the base of the day's features, beside the snapshots",
            next_step="publish a plan with `nba run`",
        )
    return ports.plan_store.day_frames(customer_ids, *_moments(base, zone))


def _moments(base: FreshBase, zone: ZoneInfo) -> tuple[datetime, datetime]:
    return base.as_of.replace(tzinfo=zone).astimezone(UTC), base.made_at


def _local(moment: datetime, zone: ZoneInfo) -> datetime:
    return moment.astimezone(zone).replace(tzinfo=None)
