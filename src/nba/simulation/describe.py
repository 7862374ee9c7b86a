"""The rates and bands that a world shows, computed from its tables and its truth."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from nba.schema.words import CONTACT_MODES
from nba.simulation.bands import MODE_SECTORS, band_study
from nba.simulation.config import Preset, WorldConfig
from nba.simulation.messages import CHANNELS
from nba.simulation.world import World


def rates(world_config: WorldConfig) -> dict[str, float]:
    """Play a year and return its rates.

    Returns
    -------
    dict of str to float
        Purchases, contacts, responses and blocks as a retailer would count them, and the
        share of friends' margin that contacts caused (the same year without any contact).
    """
    world, still = World(world_config), World(world_config)
    tables: dict[str, list[pl.DataFrame]] = {}
    for day in range(world_config.days):
        outcome = world.step(day, habitual=True)
        still.step(day)
        for name in ("transactions", "interactions", "responses"):
            if name in outcome.tables:
                tables.setdefault(name, []).append(outcome.tables[name])
    found = {name: pl.concat(parts) for name, parts in tables.items()}
    friends = np.flatnonzero(np.isfinite(world.state.friend_since))
    caused = (world.state.margin - still.state.margin)[friends].sum()
    observed = _observed(world, found)
    return {**observed, "margin caused by contact, share": float(
        caused / world.state.margin[friends].sum()
    )}  # fmt: skip


def _observed(world: World, tables: Mapping[str, pl.DataFrame]) -> dict[str, float]:
    sales = tables["transactions"].filter(
        pl.col("quantity") > 0, pl.col("customer_id").is_not_null()
    )
    days = sales.select(
        "customer_id", pl.col("ts").dt.convert_time_zone(world.config.time_zone).dt.date()
    ).unique()
    gaps = days.sort("customer_id", "ts").with_columns(
        (pl.col("ts").shift(-1).over("customer_id") - pl.col("ts")).dt.total_days().alias("gap")
    )
    last = pl.lit(world.date).cast(pl.Date)
    seen = gaps.filter((last - pl.col("ts")).dt.total_days() > 30)
    made = tables["interactions"].filter(pl.col("mode") != "none")
    chats = made.filter(pl.col("channel") != str(CHANNELS[0]))
    kinds = tables["responses"]
    count = {
        kind: kinds.filter(pl.col("kind") == kind).height
        for kind in ("read", "clicked", "replied", "blocked", "complained")
    }
    engaged = kinds.filter(pl.col("kind").is_in(["clicked", "replied", "joined", "attended"]))
    recent = engaged.filter(pl.col("ts").dt.date() >= last - pl.duration(days=30))
    friends = int(world.state.friend.sum())
    returned = tables["transactions"].filter(pl.col("quantity") < 0).height
    responded = engaged["interaction_id"].drop_nulls().n_unique()
    return {
        "purchase days per buyer and year": days.height / days["customer_id"].n_unique(),
        "bought again within 30 days": float((seen["gap"] <= 30).fill_null(False).mean()),  # type: ignore[arg-type]
        "lines returned": returned / sales.height,
        "contacts per friend and year": made.height / max(friends, 1),
        "chats read": count["read"] / max(chats.height, 1),
        "chats clicked": count["clicked"] / max(chats.height, 1),
        "chats replied": count["replied"] / max(chats.height, 1),
        "chats responded to": responded / max(chats.height, 1),
        "friends who engaged in the last 30 days": recent["customer_id"].n_unique()
        / max(friends, 1),
        "blocks per contact": count["blocked"] / max(made.height, 1),
        "complaints per contact": count["complained"] / max(made.height, 1),
        "friends lost in the year": float(np.isfinite(world.state.blocked).sum())
        / max(friends + int(np.isfinite(world.state.blocked).sum()), 1),
    }


def describe(world: World | WorldConfig, *, study_customers: int = 3000) -> str:
    """Return the rates and bands of a world's preset as text.

    Parameters
    ----------
    world : World or WorldConfig
        The rates are of a year of this configuration; the bands of three worlds of its
        preset and seed, one for each mode in its fitting sector.
    study_customers : int
        Customers of each of those three worlds; 0 leaves the bands out.
    """
    config = world.config if isinstance(world, World) else world
    lines = [f"world: preset {config.preset}, seed {config.seed}, {config.customers} customers"]
    lines += [f"  {name:<42} {value:8.3f}" for name, value in rates(config).items()]
    if not study_customers:
        return "\n".join(lines)
    lines += ["", "a programme of one year against the year before, contacted friends:"]
    lines += [
        f"  {'mode':<20} {'sector':<9} {'measure':<22} {'change':>8} {'caused':>8} {'share':>6}"
    ]
    for mode in CONTACT_MODES:
        sector = MODE_SECTORS[mode]
        study = band_study(Preset(config.preset), mode, config.seed, study_customers)
        for row in study.iter_rows(named=True):
            share = row["caused"] / row["change"] if abs(row["change"]) > 0.02 else float("nan")
            lines.append(
                f"  {mode:<20} {sector:<9} {row['measure']:<22} {row['change']:>+8.1%} "
                f"{row['caused']:>+8.1%} {share:>6.2f}"
            )
    return "\n".join(lines)
