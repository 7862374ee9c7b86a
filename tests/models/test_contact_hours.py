"""Habits of reading are found again, and nothing is said where nothing is known."""

from __future__ import annotations

import numpy as np
import polars as pl

from nba.models.contact_value.hours import READ, SENT, HourHabits
from nba.schema.words import HOUR_BANDS

BANDS = list(HOUR_BANDS)


def contacts(
    customers: int = 1500, each: int = 14, seed: int = 3
) -> tuple[pl.DataFrame, np.ndarray]:
    """Return counts of customers who read at noon (a third) or in the evening."""
    rng = np.random.default_rng(seed)
    noon = rng.random(customers) < 1 / 3
    early = np.where(np.isin(BANDS, ["noon"]), 0.7, 0.25)
    late = np.where(np.isin(BANDS, ["evening", "late_evening"]), 0.7, 0.25)
    chance = np.where(noon[:, None], early, late)
    sent = rng.multinomial(each, [0, 0.2, 0.2, 0.2, 0.2, 0.2, 0], customers)
    read = rng.binomial(sent, chance)
    columns = {name: sent[:, place] for place, name in enumerate(SENT)}
    columns |= {name: read[:, place] for place, name in enumerate(READ)}
    ids = [f"c{i:05d}" for i in range(customers)]
    return pl.DataFrame({"customer_id": ids, **columns}), noon


def test_habits_are_found_again() -> None:
    table, noon = contacts()
    habits = HourHabits.of(table)
    curves = np.array(habits.curves(table)["reach"].to_list())
    prefers_noon = curves[:, 12] > curves[:, 19]
    assert (prefers_noon == noon).mean() > 0.8
    # what is told is what happens: the mean chance at noon of those who are said to read then
    assert abs(curves[prefers_noon, 12].mean() - 0.62) < 0.1
    again = HourHabits.read(habits.state())
    assert again.curves(table).equals(habits.curves(table))


def test_a_stranger_gets_the_usual_curve_and_batches_do_not_matter() -> None:
    table, _ = contacts()
    habits = HourHabits.of(table)
    nobody = table.head(1).with_columns(pl.lit(0).alias(name) for name in (*SENT, *READ))
    usual = np.array(habits.curves(nobody)["reach"][0].to_list())
    assert usual[19] > usual[9]
    assert habits.curves(table[7:8]).equals(habits.curves(table)[7:8])


def test_without_reads_or_with_few_contacts_nothing_is_said() -> None:
    table, _ = contacts()
    unread = table.with_columns(pl.lit(0).alias(name) for name in READ)
    for given in (unread, table.head(5), table.clear(), table.select("customer_id")):
        habits = HourHabits.of(given)
        assert not habits.is_known
        assert habits.curves(given)["reach"].null_count() == given.height
