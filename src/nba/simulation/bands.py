"""What the brands of the reports saw, repeated in the world: a programme year and the year before.

The reports compare contacted friends with their own past. Three worlds, each of one sector,
play two years: one without contact, then one in which clerks contact the friends they have
just won in the sector's mode, choosing those who seem alive. A twin world plays the second
year without contact on the same random numbers: the difference is what contact caused, and
the rest of the change is selection (customers become friends when their demand grows).
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
import polars as pl

from nba.arrays import Floats, Ints
from nba.schema.words import CONTACT_MODES, Mode
from nba.simulation.config import SECTORS, Preset, Sector, WorldConfig
from nba.simulation.habits import CHAT, contactable, works_on
from nba.simulation.messages import Contacts, contacts
from nba.simulation.tables import canonical
from nba.simulation.world import World

MODE_SECTORS: Final = MappingProxyType(
    {
        Mode.SHOPPING_ASSISTANT: Sector.APPAREL,
        Mode.TOPIC_EXPERT: Sector.FAMILY,
        Mode.PRIVATE_PARTNER: Sector.LUXURY,
    }
)
#: The bands of the reports, as relative changes (low, high) of active friends, repurchasing
#: friends, purchase frequency and average order value; none was reported for a blank.
REPORTED: Final = MappingProxyType(
    {
        Mode.SHOPPING_ASSISTANT: ((0.7, 1.0), (0.7, 1.0), (0.8, 1.0), None),
        Mode.TOPIC_EXPERT: ((0.5, 0.6), (0.7, 1.0), (0.8, 1.0), (0.2, 0.3)),
        Mode.PRIVATE_PARTNER: ((0.1, 0.2), (0.15, 0.2), (0.7, 1.0), (0.8, 1.0)),
    }
)
MEASURES: Final = (
    "active friends",
    "repurchasing friends",
    "purchase frequency",
    "average order value",
)
YEAR: Final = 365
#: Days between two contacts of a friend in the programme, by mode.
CONTACT_GAP: Final = (12, 12, 18)


@dataclass
class _Year:
    """Orders and money by customer in one year."""

    orders: Floats
    amount: Floats

    @staticmethod
    def of(world: World, frames: list[pl.DataFrame]) -> _Year:
        count = world.scene.people.count
        sold = pl.concat(frames).filter(
            pl.col("customer_id").is_not_null() & (pl.col("quantity") > 0)
        )
        amount = (
            pl.col("quantity").cast(pl.Float64) * pl.col("unit_price").cast(pl.Float64)
            - pl.col("discount").cast(pl.Float64)
        ).sum()
        by = sold.group_by("customer_id").agg(pl.col("order_id").n_unique(), amount.alias("amount"))
        place = by["customer_id"].str.slice(1).cast(pl.Int64).to_numpy() - 1
        orders, total = np.zeros(count), np.zeros(count)
        orders[place], total[place] = by["order_id"].to_numpy(), by["amount"].to_numpy()
        return _Year(orders, total)

    def measures(self, who: Ints) -> Floats:
        """Return the four measures of some friends."""
        orders, amount = self.orders[who], self.amount[who]
        return np.array(
            [
                (orders >= 1).sum(),
                (orders >= 2).sum(),
                orders.sum(),
                amount.sum() / max(orders.sum(), 1),
            ]
        )


def programme_contacts(world: World, mode: int) -> Contacts | None:
    """Return the day's contacts of a programme: friends of the day's turn who seem alive."""
    scene, state, day = world.scene, world.state, world.day
    people = scene.people
    turn = (np.arange(people.count) + day) % CONTACT_GAP[mode] == 0
    alive = day - state.last_visit < 150
    works = works_on(scene, day)[people.clerk]
    who = np.flatnonzero(turn & alive & works & contactable(scene, state, day))
    if not len(who):
        return None
    known = state.favourite[who]
    age = np.where(known >= 0, (day - state.last[who]) / people.cell_gap[who], -np.inf)
    cell = np.argmax(age, axis=1)
    product = known[np.arange(len(who)), cell]
    hour = np.clip(people.chat_hour[who], 10.0, 20.5)
    kinds = pl.repeat("programme", len(who), dtype=pl.String, eager=True)
    return contacts(
        customer=who, clerk=people.clerk[who], mode=np.full(len(who), mode), hour=hour,
        channel=np.full(len(who), CHAT), products=product[:, None], action_type=kinds,
    )  # fmt: skip


def band_study(preset: Preset, mode: Mode, seed: int, customers: int) -> pl.DataFrame:
    """Return change against the year before, and the part that contact caused, by measure.

    Parameters
    ----------
    preset : Preset
        Decides how strongly contacts work.
    mode : Mode
        The only mode in which customers are contacted, in its own sector.
    seed : int
    customers : int
        Size of the world.

    Returns
    -------
    DataFrame
        measure, change (relative), caused (relative, in the same unit), and the number of
        contacted friends.
    """
    sector = MODE_SECTORS[mode]
    shares = tuple(float(s == sector) for s in SECTORS)
    config = WorldConfig(
        seed=seed, preset=preset, customers=customers, days=2 * YEAR, pilot=False, habits=False,
        sector_shares=shares, programme_day=YEAR,
    )  # fmt: skip
    world = World(config)
    before = _Year.of(world, [_sales(world, None) for _ in range(YEAR)])
    twin = world.copy()
    position = CONTACT_MODES.index(mode)
    with_contact = _Year.of(world, [_sales(world, position) for _ in range(YEAR)])
    without = _Year.of(twin, [_sales(twin, None) for _ in range(YEAR)])
    who = np.flatnonzero(world.state.contacts > 0)
    base, after, alone = (year.measures(who) for year in (before, with_contact, without))
    return pl.DataFrame(
        {
            "measure": MEASURES,
            "change": after / base - 1,
            "caused": (after - alone) / base,
            "friends": [len(who)] * len(MEASURES),
        }
    )


def _sales(world: World, mode: int | None) -> pl.DataFrame:
    made = None if mode is None else programme_contacts(world, mode)
    outcome = world.step_with(made)
    columns = ["customer_id", "order_id", "quantity", "unit_price", "discount"]
    return outcome.tables.get("transactions", canonical("transactions", [])).select(columns)
