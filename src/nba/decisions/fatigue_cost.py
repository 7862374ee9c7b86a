"""The fatigue cost of a contact: what a contact today takes from the contacts to come.

A small dynamic programme over the coming weeks, worked out for all customers at once. The state
is how many weeks ago the last contact was: right after one the policy asks for a cool-down; what
follows works less (fatigue, which halves every two weeks). What the best contact would be worth
in each week comes from how due the needs will be, less what its minutes cost elsewhere. Where
minutes bind, most contacts are not worth their minutes in most weeks, and fatigue costs next to
nothing.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from nba.arrays import Floats

#: Weeks that are looked ahead.
WEEKS: Final = 6
#: Contacts age in weeks up to this; older ones change nothing.
OLDEST: Final = 4
#: Value of what comes a week later, relative to now: needs are met elsewhere, models err.
DISCOUNT: Final = 0.9
#: Weeks after which a contact wears half as much.
HALF_LIFE_WEEKS: Final = 2.0


def cost_of_fatigue(
    worth: Floats,
    fatigue_slope: float,
    *,
    cool_down_weeks: float,
    place_share: Floats | None = None,
) -> Floats:
    """Return what a contact now takes from the coming weeks, in money, shape (customers,).

    Parameters
    ----------
    worth : array of shape (customers, WEEKS)
        What the best contact of each coming week would earn over the price of its minutes, by a
        rested customer; the first column is a week from now. Never below zero counts.
    fatigue_slope : float
        By how much the log of an effect falls per contact just made, zero or above.
    cool_down_weeks : float
        Share of the next week in which the policy allows no contact after one.
    place_share : array of shape (customers, WEEKS), optional
        How likely a worthwhile contact finds its place among the clerk's minutes; default 1.

    >>> worth = np.array([[8.0] * WEEKS, [0.0] * WEEKS])
    >>> [round(float(price), 2) for price in cost_of_fatigue(worth, 0.3, cool_down_weeks=0.5)]
    [4.72, 0.0]
    """
    gain = np.maximum(worth, 0.0) * (1.0 if place_share is None else place_share)
    # value[a]: from a week on, the last contact being a weeks old (OLDEST: long ago)
    value = np.zeros((OLDEST + 1, len(gain)))
    kept = np.exp(-fatigue_slope * 0.5 ** (np.arange(OLDEST + 1) / HALF_LIFE_WEEKS))
    kept[OLDEST] = 1.0
    kept[1] *= 1.0 - cool_down_weeks
    for week in reversed(range(WEEKS)):
        earned = gain[:, week]
        after = DISCOUNT * value
        older = np.minimum(np.arange(OLDEST + 1) + 1, OLDEST)
        now = kept[:, None] * earned + after[1]
        value = np.maximum(now, after[older])
    return np.asarray(np.maximum(value[OLDEST] - value[1], 0.0))


def worth_ahead(
    value: Floats, ahead: Floats, ahead_days: tuple[int, ...], price: Floats, minutes: Floats
) -> Floats:
    """Return the worth of the best contact in each coming week over its minutes' price.

    Parameters
    ----------
    value : array of shape (customers, alternatives)
        Today's value of each alternative; not above zero where it is not open.
    ahead : array of shape (customers, alternatives, days)
        What the same would be worth after each of `ahead_days`, relative to today.
    price : array of shape (customers,)
        What a minute of the customer's clerk earns.
    minutes : array of shape (customers, alternatives)
    """
    weeks = 7.0 * np.arange(1, WEEKS + 1)
    known = np.array([0.0, *ahead_days])
    ratio = np.concatenate([np.ones((*value.shape, 1)), ahead], axis=2)
    place = np.clip(np.searchsorted(known, weeks) - 1, 0, len(known) - 2)
    part = np.clip((weeks - known[place]) / (known[place + 1] - known[place]), 0.0, 1.0)
    later = ratio[:, :, place] * (1.0 - part) + ratio[:, :, place + 1] * part
    net = np.maximum(value, 0.0)[:, :, None] * later - (price[:, None] * minutes)[:, :, None]
    return np.asarray(net.max(axis=1, initial=0.0))
