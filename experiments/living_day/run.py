"""One day of a shop, hour by hour: lists that are filled again beside lists that only shrink.

The night is a real one. Then the same things happen to two copies of its operational store; one of
them has no reserve to fill free places from.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from sqlalchemy import select

from experiments.allocation.run import frequency_chi_square
from experiments.living_day.checks import Rules, broken_rules
from nba.decisions.modes import MODES
from nba.decisions.replacement import draw_replacements
from nba.decisions.settings import DecisionSettings
from nba.files import write_parquet
from nba.jobs.ingest import ingest_folder
from nba.jobs.init import init_project
from nba.jobs.nightly import run_nightly
from nba.jobs.progress import Progress
from nba.schema.words import FeedbackKind, Mode
from nba.serving.run import services_of
from nba.serving.services import Access, Services
from nba.serving.settling import settled_book
from nba.settings import Project
from nba.simulation import World, WorldConfig
from nba.stores import books
from nba.stores.books import DayDecision
from nba.stores.database import canonical
from nba.stores.feedback import Feedback
from nba.stores.lists import Slice
from nba.stores.operational import OperationalStore
from nba.stores.outbox import Event
from nba.stores.people import Consent
from nba.stores.schema import reserves
from nba.stores.stock import StockChange
from nba.wiring import Wiring

START: Final = date(2025, 1, 1)
#: The hours of the day, and when a clerk falls out and a shelf is empty.
HOURS: Final = range(9, 21)
SICK_AT, SOLD_OUT_AT = 11, 14
#: What befalls a customer of a list or a reserve during the day, and with what chance.
FATES: Final = {
    "bought": 0.12,
    "contacted": 0.04,
    "complained": 0.02,
    "blocked": 0.01,
    "opted_out": 0.01,
}
#: What a clerk does with an action instead of sending it, and with what chance.
SKIPPED, UNDELIVERED = 0.10, 0.03
#: Draws that a cell must expect to count: fewer are no normal error.
LEAST_EXPECTED: Final = 5
#: Hours over which a clerk spreads a list.
PACE_HOURS: Final = 7


@dataclass
class Shop:
    """One copy of the night's store, and what was done with it.

    Parameters
    ----------
    services : Services
        Over the copy, with a clock that the day sets.
    """

    services: Services
    sent: dict[str, dict[str, Any]] = field(default_factory=dict)
    spent: dict[str, float] = field(default_factory=dict)
    broken: dict[str, int] = field(default_factory=dict)
    steps: int = 0
    hours: list[dict[str, Any]] = field(default_factory=list)

    @property
    def store(self) -> OperationalStore:
        """The copy."""
        return self.services.store


class Clock:
    """The moment of the day."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        """Return the moment."""
        return self.now


def living_day(
    *,
    customers: int = 1_600,
    clerks: int = 16,
    history: int = 240,
    replacements: int = 10_000,
    seed: int = 3,
    project: str = "",
) -> dict[str, Any]:
    """Live a day with and without replacement, and check every step.

    Parameters
    ----------
    customers, clerks, history : int
        Of the simulated shop, and its days before.
    replacements : int
        How many are drawn again with other seeds, to hold frequencies against propensities.
    seed : int
        Of the world and of what happens during the day.
    project : str
        A folder in which the night is kept, and used again by a second call.

    Returns
    -------
    dict
        Minutes and value by variant, the `hours`, `broken` rules by name, and `replay`,
        `chi_square` with its cells and draws.
    """
    day = START + timedelta(days=history)
    with tempfile.TemporaryDirectory(prefix="nba-day-") as scratch:
        root = Path(project or scratch) / "shop"
        wiring = _night(
            root,
            day,
            WorldConfig(customers=customers, clerks=clerks, stores=4, start=START, seed=seed),
        )
        lived = {
            name: _live(wiring, Path(scratch) / f"{name}.db", day, seed, with_reserve=with_reserve)
            for name, with_reserve in (("with", True), ("without", False))
        }
        decided = lived["with"].store.day_decisions(day)
        planned = _plan(wiring.plan_store, day)
        found = {
            "customers": customers,
            "clerks": planned["clerk_id"].n_unique(),
            "seed": seed,
            "day": day.isoformat(),
            "planned": _sums(planned.to_dicts()),
            **{name: _sums(list(shop.sent.values())) for name, shop in lived.items()},
            "hours": {name: shop.hours for name, shop in lived.items()},
            "steps": {name: shop.steps for name, shop in lived.items()},
            "broken": {name: shop.broken for name, shop in lived.items()},
            "decisions": len(decided),
            "replacements": sum(len(one.drawn()) for one in decided),
            "replayed_to_the_byte": sum(
                canonical(one.drawn()) == canonical(one.again()) for one in decided
            ),
            **_frequencies(decided, replacements),
        }
        for shop in lived.values():
            shop.store.close()
    return found


def _night(root: Path, day: date, config: WorldConfig) -> Wiring:
    """Make a project with the world's history and the night of a day, unless it stands."""
    is_new = not root.exists()
    if is_new:
        init_project(root, {})
    wiring, quiet = Wiring(Project.open(root)), Progress()
    if is_new:
        world = World(config)
        parts: dict[str, list[pl.DataFrame]] = {}
        for number in range((day - START).days):
            for name, frame in world.step(number, habitual=True).tables.items():
                parts.setdefault(name, []).append(frame)
        with tempfile.TemporaryDirectory() as folder:
            for name, frames in parts.items():
                write_parquet(pl.concat(frames), Path(folder) / f"{name}.parquet")
            ingest_folder(wiring, Path(folder), progress=quiet)
    run_nightly(wiring, datetime.combine(day, time()), progress=quiet)
    return wiring


def _plan(store: OperationalStore, day: date) -> pl.DataFrame:
    return store.actions(day).filter((pl.col("mode") != Mode.NONE) & pl.col("rank").is_not_null())


def _live(wiring: Wiring, path: Path, day: date, seed: int, *, with_reserve: bool) -> Shop:
    """Live through the day on a copy of the night's store.

    Parameters
    ----------
    wiring : Wiring
        With the night of the day.
    path : Path
        Of the copy.
    day : date
    seed : int
        Of what happens.
    with_reserve : bool
        Without it nobody takes a free place.
    """
    shutil.copy(wiring.project.operational_url.removeprefix("sqlite:///"), path)
    services = services_of(wiring, Access.KEYS)
    clock = Clock(datetime.combine(day, time(HOURS[0]), services.zone))
    store = OperationalStore(f"sqlite:///{path}", clock=clock, secret=wiring.project.secret())
    with store.writing() as writer:
        people = writer.connection.execute(
            select(reserves.c.customer_id).where(reserves.c.as_of == day)
        )
        waiting = {str(one) for one in people.scalars()}
        if not with_reserve:
            books.delete_reserve(writer.connection, day)
    shop = Shop(replace(services, store=store, clock=clock))
    plan = _plan(store, day)
    fates = _fates(sorted({*plan["customer_id"], *waiting}), seed)
    rules = Rules.of(wiring, day)
    minutes = dict(plan.group_by("clerk_id").agg(pl.col("minutes").sum()).iter_rows())
    sick = plan.group_by("clerk_id").len().sort("len", "clerk_id").row(-1)[0]
    _step(shop, rules, minutes, day)
    for hour in HOURS:
        before = len(shop.sent)
        for number, events in enumerate(_happenings(shop, fates, plan, sick, hour)):
            clock.now = datetime.combine(day, time(hour, 2 * number), services.zone)
            events()
            _step(shop, rules, minutes, day)
        clock.now = datetime.combine(day, time(hour, 45), services.zone)
        for clerk_id in sorted(minutes):
            _work(shop, clerk_id, minutes[clerk_id] / PACE_HOURS, hour, seed)
            _step(shop, rules, minutes, day)
        shop.hours.append(_hour(shop, hour, day, len(shop.sent) - before))
    return shop


def _fates(customer_ids: Sequence[str], seed: int) -> dict[str, tuple[str, int]]:
    """Return what befalls customers during the day, and in which hour."""
    rng = np.random.default_rng([seed, 18])
    names = [*FATES, ""]
    chances = [*FATES.values(), 1 - sum(FATES.values())]
    kinds = rng.choice(names, size=len(customer_ids), p=chances)
    hours = rng.integers(HOURS[0], HOURS[-1] + 1, len(customer_ids))
    return {
        one: (str(kind), int(hour))
        for one, kind, hour in zip(customer_ids, kinds, hours, strict=True)
        if kind
    }


def _happenings(
    shop: Shop, fates: Mapping[str, tuple[str, int]], plan: pl.DataFrame, sick: str, hour: int
) -> list[Any]:
    """Return what happens in an hour, as calls: first to customers, then to shop and clerk.

    Parameters
    ----------
    shop : Shop
    fates : mapping
        As of `_fates`.
    plan : DataFrame
        The night's list.
    sick : str
        The clerk who falls out.
    hour : int
    """
    store, clock = shop.store, shop.services.clock
    now = [(one, kind) for one, (kind, when) in fates.items() if when == hour]

    def befall() -> None:
        for customer_id, kind in now:
            if kind == "opted_out":
                store.put_consent(customer_id, Consent(False, False, clock()))
        events = [_event(one, kind, clock()) for one, kind in now if kind != "opted_out"]
        store.accept(events)

    def fall_out() -> None:
        store.accept([Event("absences", {"clerk_id": sick, "date": plan["as_of"][0]})])

    def sell_out() -> None:
        rows = plan.filter(pl.col("product_ids").list.len() == 1).explode("product_ids")
        counts = rows.group_by("product_ids").len().sort("len", "product_ids")
        product = counts["product_ids"][-1]
        store_of = {one.clerk_id: one.store_id for one in shop.services.cards.clerks()}
        stores = sorted({str(one) for one in store_of.values()})
        with store.writing() as writer:
            changes = [StockChange(product, one, 0.0, clock()) for one in stores]
            writer.note_stock(changes, shop.services.clerks_of)

    found: list[Any] = [befall]
    if hour == SICK_AT:
        found.append(fall_out)
    if hour == SOLD_OUT_AT:
        found.append(sell_out)
    return found


def _event(customer_id: str, kind: str, now: datetime) -> Event:
    if kind == "bought":
        sale = {"order_id": f"day-{customer_id}", "line_no": "1", "product_id": "day"}
        return Event(
            "transactions", sale | {"customer_id": customer_id, "ts": now, "quantity": Decimal(1)}
        )
    if kind == "contacted":
        row = {"interaction_id": f"day-{customer_id}", "mode": "private_partner", "ts": now}
        return Event("interactions", row | {"customer_id": customer_id, "channel": "phone"})
    row = {"response_id": f"day-{customer_id}", "customer_id": customer_id, "ts": now}
    return Event("responses", row | {"kind": kind})


def _open(shop: Shop, clerk_id: str) -> list[dict[str, Any]]:
    """Return a clerk's list as the service would show it."""
    services = shop.services
    book = settled_book(services, clerk_id)
    part = Slice(
        "clerk_id",
        clerk_id,
        limit=1_000,
        unprofiled=services.unprofiled,
        services=services.serving_types,
    )
    rows = shop.store.open_actions(None, part, since=services.day_begins)[1]
    return [] if book is None or book.absent else rows


def _work(shop: Shop, clerk_id: str, pace: float, hour: int, seed: int) -> None:
    """Let a clerk work a list from the top for an hour: send, skip, or fail to deliver."""
    left = pace
    for row in _open(shop, clerk_id):
        window = row["contact_from"]
        if left <= 0 or (window is not None and window.hour > hour):
            continue
        chance = np.random.default_rng([seed, *row["action_id"].encode()]).random()
        kind = FeedbackKind.SENT
        if chance < SKIPPED + UNDELIVERED:
            kind = FeedbackKind.SKIPPED if chance < SKIPPED else FeedbackKind.UNDELIVERED
        said = Feedback(
            f"day-{row['action_id']}", row["action_id"], clerk_id, shop.services.clock(), kind
        )
        shop.store.record([said])
        if kind is FeedbackKind.SENT:
            left -= row["minutes"]
            shop.sent[row["action_id"]] = row
            shop.spent[clerk_id] = shop.spent.get(clerk_id, 0.0) + row["minutes"]


def _step(shop: Shop, rules: Rules, minutes: Mapping[str, float], day: date) -> None:
    """Settle what is touched, and check every list."""
    for clerk_id in shop.store.touched():
        settled_book(shop.services, clerk_id)
    shop.steps += 1
    lists = {clerk_id: _open(shop, clerk_id) for clerk_id in minutes}
    for name in broken_rules(shop.store, lists, shop.sent, shop.spent, minutes, rules, day):
        shop.broken[name] = shop.broken.get(name, 0) + 1


def _hour(shop: Shop, hour: int, day: date, sent: int) -> dict[str, Any]:
    decided = shop.store.day_decisions(day)
    return {
        "hour": hour,
        "sent": sent,
        "minutes_used": round(sum(shop.spent.values()), 1),
        "value_sent": round(sum(row["value"] for row in shop.sent.values()), 1),
        "replaced": sum(len(one.drawn()) for one in decided),
    }


def _sums(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    return {
        "actions": len(rows),
        "minutes": round(float(sum(row["minutes"] for row in rows)), 1),
        "value": round(float(sum(row["value"] for row in rows)), 1),
    }


def _frequencies(decided: Sequence[DayDecision], replacements: int) -> dict[str, Any]:
    """Draw the day's decisions again with other seeds, and hold counts against propensities."""
    drawn = sum(len(one.drawn()) for one in decided)
    draws = -(-replacements * 21 // (20 * max(drawn, 1)))  # some draws leave the place empty
    counts, shares = [], []
    for one in decided:
        options, share = _options(one)
        settings = DecisionSettings.model_validate(one.settings)
        count = np.zeros_like(share)
        people = one.rows["customer_id"].to_list()
        for number in range(draws):
            seed = f"again/{one.clerk_id}/{one.sequence}/{number}"
            draw = draw_replacements(options, one.minutes, settings, seed=seed).drawn
            for customer_id, mode in draw.select("customer_id", "mode").iter_rows():
                count[people.index(customer_id), MODES.index(Mode(mode))] += 1
        counts.append(count)
        shares.append(share)
    total = np.concatenate(counts)
    share = np.concatenate(shares)
    ratio, cells = frequency_chi_square(total, share, draws, least=LEAST_EXPECTED / draws)
    ratio_all, all_cells = frequency_chi_square(total, share, draws)
    return {
        "chi_square": round(ratio, 4),
        "cells": cells,
        "chi_square_all": round(ratio_all, 4),
        "all_cells": all_cells,
        "draws_of_each": draws,
        "drawn_again": int(total.sum()),
    }


def _options(one: DayDecision) -> tuple[pl.DataFrame, np.ndarray[Any, Any]]:
    """Return who stood for a decision, and the logged propensities, (customers, modes)."""
    rows = one.rows.select("customer_id", "arm", "alternatives").explode("alternatives")
    rows = rows.unnest("alternatives").filter(pl.col("mode") != str(Mode.NONE))
    share = np.zeros((one.rows.height, len(MODES)))
    people = {name: place for place, name in enumerate(one.rows["customer_id"])}
    for customer_id, mode, chance in rows.select("customer_id", "mode", "probability").iter_rows():
        share[people[customer_id], MODES.index(Mode(mode))] = chance
    return rows.drop("probability"), share
