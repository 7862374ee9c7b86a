"""Contacts as data: who, by whom, when, in which mode and channel, with what."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import polars as pl

from nba.arrays import Bools, Floats, Ints
from nba.schema.words import CHAT_CHANNELS, Channel
from nba.simulation.config import MODE_MINUTES
from nba.simulation.scene import Scene

CHANNELS: Final = tuple(Channel)
IS_CHAT: Final = np.array([c in CHAT_CHANNELS for c in CHANNELS])
#: Strength, fatigue and block weight of a channel, relative to a chat.
CHANNEL_STRENGTH: Final = np.array(
    [0.25 if c == "moments" else 0.5 if c in ("subscription", "mini_program") else
     0.7 if c == "group" else 1.0 for c in CHANNELS])  # fmt: skip
CHANNEL_FATIGUE: Final = np.array(
    [0.25 if c == "moments" else 0.5 if c in ("subscription", "mini_program", "group") else 1.0
     for c in CHANNELS])  # fmt: skip
MAX_PRODUCTS: Final = 6


@dataclass(frozen=True)
class Contacts:
    """Contacts of one day, one entry each; products are positions, -1 for none."""

    customer: Ints
    clerk: Ints
    mode: Ints
    hour: Floats
    channel: Ints
    products: Ints
    action_type: pl.Series
    content_id: pl.Series
    group: Ints
    minutes: Floats
    propensity: Floats
    action_id: pl.Series

    def __len__(self) -> int:
        return len(self.customer)

    def take(self, rows: Ints | Bools) -> Contacts:
        """Return some of the contacts, in the order given."""
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        values = {
            name: value.gather(rows) if isinstance(value, pl.Series) else value[rows]
            for name, value in self.__dict__.items()
        }
        return replace(self, **values)  # type: ignore[arg-type]


def contacts(
    *,
    customer: Ints,
    clerk: Ints,
    mode: Ints,
    hour: Floats,
    channel: Ints,
    products: Ints,
    action_type: pl.Series | None = None,
) -> Contacts:
    """Return contacts with the mode's minutes and nothing else known.

    Parameters
    ----------
    customer, clerk : arrays of int
        Shape (contacts,), positions.
    mode, channel : arrays of int
        Shape (contacts,): positions in `CONTACT_MODES` (3 for none) and in `CHANNELS`.
    hour : array of float
        Shape (contacts,), of the day.
    products : array of int
        Shape (contacts, any number), positions, -1 for none; the first `MAX_PRODUCTS` count.
    action_type : polars.Series, optional
        One per contact.
    """
    n = len(customer)
    wide = np.full((n, MAX_PRODUCTS), -1)
    wide[:, : products.shape[1]] = products[:, :MAX_PRODUCTS]
    empty = pl.Series([None] * n, dtype=pl.String)
    kinds = empty if action_type is None else action_type
    return Contacts(
        customer, clerk, mode, hour, channel, wide, kinds, empty,
        np.full(n, -1), np.array([*MODE_MINUTES, 0.0])[mode], np.full(n, np.nan), empty,
    )  # fmt: skip


def join(parts: list[Contacts]) -> Contacts:
    """Return all contacts in one, in the given order."""
    values = {}
    for name, value in parts[0].__dict__.items():
        columns = [part.__dict__[name] for part in parts]
        values[name] = (
            pl.concat(columns) if isinstance(value, pl.Series) else np.concatenate(columns)
        )
    return replace(parts[0], **values)  # type: ignore[arg-type]


def is_service(action_type: pl.Series) -> Bools:
    """Whether a contact answers a case instead of selling."""
    named = action_type.fill_null("").str.contains("complaint|after_sale|question|service")
    result: Bools = named.to_numpy()
    return result


def product_lists(scene: Scene, products: Ints) -> pl.Series:
    """Return lists of product ids from positions, without the missing ones."""
    rows = np.repeat(np.arange(len(products)), products.shape[1])
    flat = products.reshape(-1)
    keep = flat >= 0
    lists = (
        pl.DataFrame({"row": rows[keep], "id": scene.product_ids.gather(flat[keep])})
        .group_by("row", maintain_order=True)
        .agg("id")
    )
    return (
        pl.DataFrame({"row": np.arange(len(products))})
        .join(lists, on="row", how="left", maintain_order="left")["id"]
        .alias("product_ids")
    )
