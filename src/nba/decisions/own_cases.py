"""A customer's own case is answered whatever arm the customer was drawn for.

Service is not treatment: who is held out to measure what contacting earns, or drawn at random to
learn, still gets an answer to what they asked. Nothing else is open to them then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from nba.arrays import Ints
from nba.decisions.assignment import arm_places
from nba.decisions.pool import Pool
from nba.decisions.rules import DecisionRules
from nba.schema.words import LISTED_ARMS, SIMPLE_ARMS, Arm

#: The arms whose list would leave a case unanswered, or to chance.
_ANSWERED_BY_OTHERS: Final = (str(Arm.HOLDOUT), str(Arm.RANDOM))


def with_own_cases(pool: Pool, rules: DecisionRules) -> tuple[Pool, Ints]:
    """Return the pool with held-out customers' cases open, and who plans each customer.

    Parameters
    ----------
    pool : Pool
    rules : DecisionRules

    Returns
    -------
    pool : Pool
        Whose case is planned by another arm than their own has service open and nothing else.
    place : array of int, shape (customers,)
        Position in `LISTED_ARMS` of the arm that plans the customer; -1: none. It is the
        customer's own but for open cases of the holdout and the random arm, which the arm with the
        largest list answers.

    Notes
    -----
    The customer's arm, which the analysis goes by, stays what it was drawn as.
    """
    own = arm_places(pool.people["arm"])
    service = np.array([*(action.service for action in rules.actions), False], dtype=bool)
    serves = (pool.action >= 0) & service[pool.action]
    moved = serves.any(axis=1) & pool.people["arm"].is_in(_ANSWERED_BY_OTHERS).to_numpy()
    place = np.where(moved, LISTED_ARMS.index(_largest_list(rules.settings.shares)), own)
    action = np.where(moved[:, None] & ~serves, -1, pool.action)
    return replace(pool, action=action), place


def _largest_list(shares: Mapping[str, float]) -> Arm:
    return max((Arm.ENGINE, *SIMPLE_ARMS), key=lambda arm: shares[arm])
