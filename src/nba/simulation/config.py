"""The configuration of a world and the parameters of its two presets.

Where each number comes from stands in docs/simulation.md, section by section.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from nba.arrays import Floats


class Preset(StrEnum):
    """The two worlds."""

    PUBLISHED = "published"
    CONSERVATIVE = "conservative"


class Family(StrEnum):
    """How the effects of contacts arise; the preset says which contacts fit whom."""

    CAPTURE = "capture"
    EXTRA_ORDERS = "extra_orders"
    PULL_FORWARD = "pull_forward"
    ATTENTION = "attention"
    NULL = "null"
    HARMFUL = "harmful"
    SEASONAL_GIFT = "seasonal_gift"


class Assortments(StrEnum):
    """What the shops sell."""

    FASHION = "fashion"
    EVERYDAY = "everyday"


class Sector(StrEnum):
    """What a customer mostly buys; each sector is one category kind."""

    APPAREL = "apparel"
    FAMILY = "family"
    LUXURY = "luxury"


SECTORS: Final = tuple(Sector)


class WorldConfig(BaseModel):
    """What a world is made of; the same configuration gives the same bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(7, ge=0, description="Seed of every random stream.")
    preset: Preset = Field(Preset.PUBLISHED, description="`published` or `conservative`.")
    family: Family = Field(Family.CAPTURE, description="How the effects of contacts arise.")
    assortment: Assortments = Field(
        Assortments.FASHION, description="`fashion` or `everyday`: what the shops sell."
    )
    clerk_minutes: tuple[float, ...] = Field(
        (40.0, 60.0, 60.0, 90.0), min_length=1, description="Minutes a day, drawn by clerk."
    )
    customers: int = Field(2000, ge=1, le=2_000_000, description="Customers known at the end.")
    clerks: int = Field(0, ge=0, description="Clerks; 0 takes one per 167 customers.")
    stores: int = Field(0, ge=0, description="Stores; 0 takes one per 3 clerks.")
    start: date = Field(date(2024, 10, 1), description="First day of the history.")
    days: int = Field(365, ge=1, description="Days of history that `simulate` writes.")
    time_zone: str = Field("Asia/Shanghai", description="Zone of the shops' clocks.")
    sector_shares: tuple[float, float, float] = Field(
        (0.5, 0.3, 0.2), description="Shares of customers: apparel, family, luxury."
    )
    products_per_category: int = Field(24, ge=4, le=5_000, description="Products per category.")
    habits: bool = Field(True, description="Clerks contact by habit during the history.")
    pilot: bool = Field(True, description="A randomised pilot runs at the end of the history.")
    pilot_days: int = Field(70, ge=0, description="Length of the pilot, ending with the history.")
    programme_day: int | None = Field(
        None, description="All friends are won around this day (the study of the bands)."
    )

    @model_validator(mode="before")
    @classmethod
    def _derive(cls, values: dict[str, object]) -> dict[str, object]:
        customers = int(str(values.get("customers", 2000)))
        clerks = int(str(values.get("clerks") or 0)) or max(1, round(customers / 167))
        stores = int(str(values.get("stores") or 0)) or max(1, round(clerks / 3))
        return {**values, "clerks": clerks, "stores": min(stores, clerks)}


#: Minutes of clerk time for one contact in each contact mode.
MODE_MINUTES: Final = (2.0, 4.0, 10.0)


@dataclass(frozen=True)
class Effects:
    """How contacts work in a preset.

    Parameters
    ----------
    strength : float
        Scale of a relevant, timely contact in the fitting mode, in log-odds-like units: a
        contact of strength A captures 1 - exp(-A) of what would be bought elsewhere.
    fit : array of shape (3 kinds, 3 modes)
        Relative strength by category kind (short, group, premium) and mode.
    tier_shift : tuple of float
        Price tiers added per unit of strength, by mode.
    """

    strength: float
    fit: Floats
    tier_shift: tuple[float, float, float]


_FIT_PUBLISHED = np.array([[1.0, 0.45, 0.35], [0.45, 1.0, 0.55], [0.2, 0.45, 1.2]])
# The columns are rotated: each kind answers best to a mode that the prior rates low.
_FIT_CONSERVATIVE = _FIT_PUBLISHED[:, [2, 0, 1]]

EFFECTS: Final = MappingProxyType(
    {
        Preset.PUBLISHED: Effects(2.8, _FIT_PUBLISHED, (0.0, 0.1, 0.25)),
        Preset.CONSERVATIVE: Effects(1.8, _FIT_CONSERVATIVE, (0.0, 0.05, 0.1)),
    }
)


class Moment(StrEnum):
    """What decides whether a moment suits a contact."""

    DUE = "due"
    GIFT = "gift"


@dataclass(frozen=True)
class Mechanism:
    """How effects arise in a family.

    Parameters
    ----------
    boost : float
        Weight of a contact's effect on when needs arise and whether they are met here.
    orders : float
        Chance per unit of strength that a contact leads to an order by itself.
    moment : Moment
        When such an order is likely.
    lag_days : tuple of int
        First and last day after the contact on which the order may come.
    swallows : bool
        The order takes the place of the next one that the need would have brought.
    visits : bool
        The contact first leads to visits, some of which end in an order.
    block : float
        Chance that a contact loses the friend, relative.
    demand_loss : float
        Share of later purchases that a lost friend takes elsewhere.
    """

    boost: float = 0.0
    orders: float = 0.0
    moment: Moment = Moment.DUE
    lag_days: tuple[int, int] = (0, 6)
    swallows: bool = False
    visits: bool = False
    block: float = 1.0
    demand_loss: float = 0.15

    @property
    def inert(self) -> bool:
        """Whether contacts change nothing that customers buy."""
        return self.boost == 0 and self.orders == 0 and self.demand_loss == 0


FAMILIES: Final = MappingProxyType(
    {
        Family.CAPTURE: Mechanism(boost=1.0),
        Family.EXTRA_ORDERS: Mechanism(orders=0.12),
        Family.PULL_FORWARD: Mechanism(orders=0.3, swallows=True, lag_days=(0, 4)),
        Family.ATTENTION: Mechanism(orders=0.35, visits=True, lag_days=(3, 8)),
        Family.NULL: Mechanism(demand_loss=0.0),
        Family.HARMFUL: Mechanism(boost=-0.4, block=3.0),
        Family.SEASONAL_GIFT: Mechanism(orders=0.12, moment=Moment.GIFT, lag_days=(0, 5)),
    }
)


@dataclass(frozen=True)
class Growth:
    """How a sector's friends differ from their own past, contacts aside (selection).

    Parameters
    ----------
    share_new : float
        Friends whose demand began around the day they became friends.
    rate_before : float
        Purchase rate of the others before that day, relative to after.
    tier_before : float
        Price tiers below today's before that day.
    lead_days : float
        Mean days by which the rise precedes the friendship.
    """

    share_new: float
    rate_before: float
    tier_before: float
    lead_days: float


GROWTH: Final = (
    Growth(0.58, 1.05, 0.0, 0.0),
    Growth(0.58, 1.00, 0.98, 3.0),
    Growth(0.145, 0.385, 3.4, 0.0),
)

CELLS: Final = 4
"""Categories that one customer buys."""

BOOST_HALF_LIFE: Final = 8.0
"""Days after which half of a contact's effect is gone."""
FATIGUE_HALF_LIFE: Final = 10.0
"""Days after which half of a contact's fatigue is gone."""
HAZARD_SHARE: Final = 0.5
"""Log hazard of a need per unit of strength (the impulse, part of it only pulled forward)."""
MAX_BOOST: Final = 2.0
"""Where the effects of contacts on one category stop adding up."""
BLOCK_PER_CONTACT: Final = (0.0014, 0.0010, 0.0007)
"""Chance that an average contact loses the friend, by mode, before type, fatigue, relevance."""
MOVED: Final = 0.4
"""Chance that a purchase under a contact's effect is of the product that was brought."""
LINE_TWO: Final = 0.15
"""Chance of a second line in a category."""
TIER_RATIO: Final = 1.6
"""Price ratio of neighbouring price tiers."""
