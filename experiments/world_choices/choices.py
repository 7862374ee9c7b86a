"""Where a list loses: one choice after another replaced by the truth's, one step ahead.

On the same night, under the same minutes of each clerk, a list is worth the sum of the true effects
of its contacts. What it gains when only its products, only its modes, both, or also its
customers are the truth's says which choice costs how much.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from experiments.common.policies import allocate
from nba.arrays import Floats, Ints
from nba.schema.words import CONTACT_MODES
from nba.simulation.config import MODE_MINUTES
from nba.simulation.observed import ObservedTables, Rules
from nba.simulation.world import World

LISTED, PRODUCTS, MODES, BOTH, CUSTOMERS = (
    "listed",
    "true_products",
    "true_modes",
    "true_products_and_modes",
    "true_customers_too",
)
_MODES: Final = tuple(str(mode) for mode in CONTACT_MODES)


def replaced_choices(
    world: World, observed: ObservedTables, plan: pl.DataFrame, rules: Rules
) -> dict[str, float]:
    """Return the true worth of a night's list, and with choices replaced by the truth's.

    Parameters
    ----------
    world : World
        Standing at the day of the plan.
    observed : ObservedTables
    plan : DataFrame
        As `nba actions export` gives it; only chats with one customer are counted.
    rules : Rules
        Who may be contacted where the customers are the truth's.
    """
    listed = plan.filter(pl.col("mode").cast(pl.String).is_in(_MODES))
    who = observed.eligible(world.date, rules)
    if listed.is_empty():
        return dict.fromkeys((LISTED, PRODUCTS, MODES, BOTH), 0.0) | {
            CUSTOMERS: _best_of_all(world, who)
        }
    customers, products = listed["customer_id"], listed["product_ids"]
    at = np.arange(listed.height)
    code = {mode: place for place, mode in enumerate(_MODES)}
    mode = listed["mode"].cast(pl.String).replace_strict(code, return_dtype=pl.Int64).to_numpy()
    own, best = _values(world, customers, products), _values(world, customers, None)
    clerk, budget = _budgets(listed["clerk_id"], np.array(MODE_MINUTES)[mode])
    return {
        LISTED: float(own[at, mode].sum()),
        PRODUCTS: float(best[at, mode].sum()),
        MODES: _allocated(own, clerk, budget),
        BOTH: _allocated(best, clerk, budget),
        CUSTOMERS: _best_of_all(world, who),
    }


def _values(world: World, customers: pl.Series, products: pl.Series | None) -> Floats:
    """Return the true effect of each mode for each customer (customers × modes)."""
    return np.column_stack(
        [
            world.true_effect(world.day, customers, mode, products)["effect_amount"].to_numpy()
            for mode in _MODES
        ]
    )


def _budgets(clerks: pl.Series, minutes: Floats) -> tuple[Ints, Floats]:
    """Return each row's clerk as a position, and the minutes that its list takes."""
    clerk = clerks.rank("dense").to_numpy().astype(np.int64) - 1
    budget: Floats = np.bincount(clerk, weights=minutes).astype(np.float64)
    return clerk, budget


def _best_of_all(world: World, who: pl.DataFrame) -> float:
    if who.is_empty():
        return 0.0
    clerk = who["clerk_id"].rank("dense").to_numpy().astype(np.int64) - 1
    budget = np.zeros(clerk.max() + 1)
    budget[clerk] = who["budget"].to_numpy()
    return _allocated(_values(world, who["customer_id"], None), clerk, budget)


def _allocated(value: Floats, clerk: Ints, budget: Floats) -> float:
    choice = allocate(value, np.array(MODE_MINUTES), clerk, budget)
    taken = np.flatnonzero(choice >= 0)
    return float(value[taken, choice[taken]].sum())
