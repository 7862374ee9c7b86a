"""What a world is (fixed) and what it is like today (state)."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, time, timedelta
from functools import cached_property

import numpy as np
import polars as pl

from nba.arrays import Bools, Floats, Ints
from nba.simulation.assortment import Assortment, build_assortment
from nba.simulation.config import CELLS, EFFECTS, FAMILIES, Effects, Mechanism, WorldConfig
from nba.simulation.people import People, Shops, build_people, build_shops
from nba.simulation.streams import Streams
from nba.simulation.tables import timestamps, zone_offsets


@dataclass(frozen=True)
class Scene:
    """All that never changes: configuration, people, shops, goods and random streams."""

    config: WorldConfig
    streams: Streams
    assortment: Assortment
    shops: Shops
    people: People
    effects: Effects
    family: Mechanism

    @cached_property
    def start_us(self) -> int:
        """The first day's midnight, as naive local microseconds."""
        midnight = datetime.combine(self.config.start, time(), tzinfo=UTC)
        return int(midnight.timestamp()) * 1_000_000

    @cached_property
    def offsets(self) -> Ints:
        """Microseconds from UTC to local time by day."""
        return zone_offsets(self.config.start, self.config.days + 1500, self.config.time_zone)

    def birthday_near(self, customer: Ints, day: int) -> Bools:
        """Whether a customer's birthday is on a day or within the three days after it."""
        near: Bools = (self.people.birthday[customer] - self.year_day(day)) % 365 < 4
        return near

    def year_day(self, day: int) -> int:
        """Return the days since the first of January."""
        return (self.config.start + timedelta(days=day)).timetuple().tm_yday - 1

    def cells_of(self, customer: Ints) -> Ints:
        """Return the flat positions of some customers' cells (customers × 4)."""
        result: Ints = customer[:, None] * CELLS + np.arange(CELLS)
        return result

    def timestamps(self, days: object) -> pl.Series:
        """Return the UTC time of local days since the start."""
        return timestamps(days, self.start_us, self.offsets)

    @cached_property
    def customer_ids(self) -> pl.Series:
        """Customer ids by position."""
        return _ids("C", self.people.count, 7)

    @cached_property
    def product_ids(self) -> pl.Series:
        """Product ids by position."""
        return _ids("P", self.assortment.count, 5)

    @cached_property
    def clerk_ids(self) -> pl.Series:
        """Clerk ids by position."""
        return _ids("K", self.shops.clerks, 5)

    @cached_property
    def store_ids(self) -> pl.Series:
        """Store ids by position."""
        return _ids("S", self.shops.stores, 4)

    @cached_property
    def unit_margin(self) -> tuple[Floats, Floats]:
        """Return a grid of price tiers and the expected margin of a piece, by category.

        Averages over a category's products with the weights of `demand.choice_logits`,
        taste aside.
        """
        grid = np.linspace(-1.0, 7.0, 81)
        goods = self.assortment
        tier = goods.tier.reshape(-1, goods.slots)
        margin = (goods.price - goods.cost).reshape(-1, goods.slots)
        weight = np.exp(
            -TIER_WEIGHT * (tier[:, None, :] - grid[None, :, None]) ** 2
            + goods.popularity.reshape(-1, goods.slots)[:, None, :]
        )
        return grid, (weight * margin[:, None, :]).sum(2) / weight.sum(2)

    def cell_margin(self, category: Ints, tier: Floats) -> Floats:
        """Return the expected margin of one purchase in a category at a price tier."""
        grid, table = self.unit_margin
        place = np.clip((tier - grid[0]) / (grid[1] - grid[0]), 0, len(grid) - 1.001)
        low = place.astype(np.int64)
        part = place - low
        unit = table[category, low] * (1 - part) + table[category, low + 1] * part
        pieces = np.where(self.assortment.replenishable[category], 1.55, 1.08)
        result: Floats = unit * pieces * 1.15
        return result


#: How fast a product's appeal falls with its distance from the customer's price tier.
TIER_WEIGHT = 0.9


@dataclass
class State:
    """All that changes from day to day; arrays by customer or by cell."""

    day: int
    friend: Bools
    friend_since: Floats
    blocked: Floats
    fatigue: Floats
    last: Floats
    last_order: Floats
    order_day: Floats
    order_product: Ints
    owed: Ints
    visit_day: Floats
    boost: Floats
    boost_tier: Floats
    brought: Ints
    favourite: Ints
    group: Ints
    last_visit: Floats
    spend: Floats
    visits: Ints
    margin: Floats
    contact_day: Floats
    contact_ordinal: Ints
    contact_hour: Floats
    contacts: Ints
    attributed: Floats
    case_until: Floats
    consent_contact: Bools
    consent_profiling: Bools
    coupon_day: Floats
    returns: dict[int, list[pl.DataFrame]] = field(default_factory=dict)
    closings: dict[int, list[pl.DataFrame]] = field(default_factory=dict)

    def copy(self) -> State:
        """Return an independent copy (what a counterfactual starts from)."""
        return copy.deepcopy(self)

    def arrays(self) -> dict[str, object]:
        """Return the arrays by name."""
        return {
            f.name: getattr(self, f.name)
            for f in fields(self)
            if f.name not in ("returns", "closings")
        }


def build_scene(config: WorldConfig) -> Scene:
    """Draw everything about a world that never changes."""
    streams = Streams(config.seed)
    assortment = build_assortment(config, streams)
    shops = build_shops(config, streams)
    people = build_people(config, assortment, shops, streams)
    return Scene(config, streams, assortment, shops, people, EFFECTS[config.preset],
                 FAMILIES[config.family])  # fmt: skip


def first_state(scene: Scene) -> State:
    """Return the state at the start of the first day."""
    people = scene.people
    n = people.count
    shape = (n, CELLS)
    friend = people.friend_day < 0
    none = np.full(n, -np.inf)
    return State(
        day=0,
        friend=friend,
        friend_since=np.where(friend, people.friend_day, np.inf),
        blocked=np.full(n, np.inf),
        fatigue=np.zeros(n),
        last=people.cell_last.copy(),
        last_order=np.full(shape, -np.inf),
        order_day=np.full(shape, np.inf),
        order_product=np.full(shape, -1),
        owed=np.zeros(shape, dtype=np.int64),
        visit_day=none.copy(),
        boost=np.zeros(shape),
        boost_tier=np.zeros(shape),
        brought=np.full(shape, -1),
        favourite=np.full(shape, -1),
        group=np.full(n, -1),
        last_visit=none.copy(),
        spend=np.zeros(n),
        visits=np.zeros(n, dtype=np.int64),
        margin=np.zeros(n),
        contact_day=none.copy(),
        contact_ordinal=np.zeros(n, dtype=np.int64),
        contact_hour=none.copy(),
        contacts=np.zeros(n, dtype=np.int64),
        attributed=none.copy(),
        case_until=none.copy(),
        consent_contact=people.consent_contact.copy(),
        consent_profiling=people.consent_profiling.copy(),
        coupon_day=none.copy(),
    )


def _ids(prefix: str, count: int, width: int) -> pl.Series:
    return pl.select(
        pl.lit(prefix) + pl.int_range(1, count + 1, eager=False).cast(pl.String).str.zfill(width)
    ).to_series()
