"""The parameters of a contact's effect: what they multiply, and what is shared among them.

The effect of a contact that was read is a share of what the customer buys in the window without
it. That share is the prior's, scaled, plus levels in units of the prior's mean share:

    share(kind, tier, mode) = prior x (scale + scale of the mode)
                              + level + mode + kind + kind in the mode

History has two more: what contacts chosen by clerks look like without any effect (by kind, and
by mode), and what readers would have bought anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from nba.arrays import Floats, Ints
from nba.models.mode.prior import KINDS, TIERS
from nba.models.mode.scores import MODES

SCALE, MODE_SCALE, LEVEL, PAIR, CELL, CHOICE, MODE_CHOICE, READING = range(8)
#: Parameters of the effect: 1 + 3 scales, 1 + 3 + 3 levels, 9 of kind and mode.
EFFECT_BLOCKS: Final = np.array(
    [SCALE] + [MODE_SCALE] * 3 + [LEVEL] + [PAIR] * 6 + [CELL] * 9, dtype=np.int64
)
#: Parameters of how clerks choose and who reads.
CHOICE_BLOCKS: Final = np.array([CHOICE] * 4 + [MODE_CHOICE] * 3 + [READING], dtype=np.int64)
BLOCKS: Final = np.concatenate([EFFECT_BLOCKS, CHOICE_BLOCKS])
CENTRE: Final = (BLOCKS == SCALE).astype(np.float64)


@dataclass(frozen=True)
class ContactRows:
    """Assignments as matrices.

    Parameters
    ----------
    arm : int array of shape (rows,)
        0 is none, 1 to 3 the contact modes.
    propensity : array of shape (rows, 4)
        Probability of every arm.
    is_read : float array of shape (rows,)
        1 where a contact was read (or sent, where reading is not recorded).
    p_read : array of shape (rows, 3)
        Its probability had the customer been listed for the mode.
    known : float array of shape (rows,)
        1 where something was brought that the customer had bought before, or nothing is recorded.
    is_history : bool array of shape (rows,)
    kind, tier : int arrays of shape (rows,)
    base : array of shape (rows,)
        What the customer buys in the window without a contact.
    modifiers : array of shape (rows, 2)
        Logs of what effects may grow with, see `nba.models.mode.effects.modifiers`.
    """

    arm: Ints
    propensity: Floats
    is_read: Floats
    p_read: Floats
    known: Floats
    is_history: Floats
    kind: Ints
    tier: Ints
    base: Floats
    modifiers: Floats


def effect_table(share: Floats, unit: float) -> Floats:
    """Return what each effect parameter multiplies, shape (kinds, tiers, modes, parameters).

    Parameters
    ----------
    share : array of shape (kinds, tiers, modes)
        The prior's effect of a contact that was read, as a share of what is bought in the window.
    unit : float
        The unit of levels.
    """
    modes, kinds = len(MODES), len(KINDS)
    table = np.zeros((kinds, TIERS, modes, len(EFFECT_BLOCKS)))
    table[..., 0] = share
    table[..., 4] = unit
    for a in range(modes):
        table[:, :, a, 1 + a] = share[:, :, a]
        table[:, :, a, 5 + a] = unit
    for k in range(kinds):
        table[k, :, :, 8 + k] = unit
        for a in range(modes):
            table[k, :, a, 11 + modes * k + a] = unit
    return table


def design(
    contacts: ContactRows,
    table: Floats,
    unit: float,
    *,
    unknown_share: float,
    powers: Sequence[float],
) -> Floats:
    """Return the design matrix, shape (rows, parameters).

    Parameters
    ----------
    unknown_share : float
        Effect of a contact that brings nothing known, relative to one that does.
    powers : sequence of 2 floats
        Powers of `modifiers`.
    """
    listed = (contacts.arm[:, None] == np.arange(1, 4)).astype(np.float64)
    dose = contacts.known + (1 - contacts.known) * unknown_share
    read = listed * (contacts.is_read * dose)[:, None]
    mean_dose = _mean_dose(contacts, listed, dose)
    surprise = read - contacts.propensity[:, 1:] * contacts.p_read * mean_dose
    sized = surprise * (contacts.base * np.exp(contacts.modifiers @ np.array(powers)))[:, None]
    effects = np.einsum("na,nap->np", sized, table[contacts.kind, contacts.tier])
    chosen = (listed - contacts.propensity[:, 1:]) * (contacts.base * contacts.is_history * unit)[
        :, None
    ]
    every = chosen.sum(axis=1)
    by_kind = every[:, None] * (contacts.kind[:, None] == np.arange(len(KINDS)))
    reading = contacts.is_read - (listed * contacts.p_read).sum(axis=1)
    return np.column_stack([effects, every, by_kind, chosen, reading * contacts.base * unit])


def _mean_dose(contacts: ContactRows, listed: Floats, dose: Floats) -> Floats:
    """Return the mean dose of what was read, by origin and mode, for every row."""
    mean = np.ones((len(dose), listed.shape[1]))
    for origin in (0.0, 1.0):
        rows = contacts.is_history == origin
        weight = listed[rows] * contacts.is_read[rows, None]
        total = weight.sum(axis=0)
        held = (weight * dose[rows, None]).sum(axis=0) / np.maximum(total, 1.0)
        mean[rows] = np.where(total > 0, held, 1.0)
    return mean
