"""A quarter of a world in which a simple list makes the contacts, with its log and the truth."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from nba.arrays import Floats
from nba.decisions.inputs import DecisionInputs
from nba.decisions.pool import with_arms
from nba.decisions.settings import DecisionSettings
from nba.jobs.ingest import ingest_folder
from nba.jobs.init import init_project
from nba.pipeline.plan import GROUP
from nba.schema.tables import TABLES, VALID_FROM
from nba.schema.words import CONTACT_MODES, Arm
from nba.settings import ArmShares, Project
from nba.simulation.config import MODE_MINUTES, WorldConfig
from nba.simulation.observed import ObservedTables, Rules
from nba.simulation.world import World
from nba.wiring import Wiring

SALT: Final = "report"
ACTION_TYPES: Final = ("new_arrival", "expert_advice", "personal_styling")
#: Chance of a listing of the due, and of the others; then the modes' shares of it.
CHANCES: Final = (0.16, 0.05)
MODE_SHARES: Final = (0.4, 0.3, 0.3)
#: A customer is due from so many days after the last purchase on.
DUE_DAYS: Final = 25


@dataclass
class Quarter:
    """What was played.

    Parameters
    ----------
    world : World
        As it stands at the end.
    first, last : date
        The days with a list.
    observed : ObservedTables
        Everything that a retailer saw.
    plans : dict of date to dict of DataFrame
        `log`, `actions` and `clerks` of each day, as a night keeps them.
    gain : array of shape (customers,)
        Margin of the period over the same world without contacts.
    """

    world: World
    first: dt.date
    last: dt.date
    observed: ObservedTables
    plans: dict[dt.date, dict[str, pl.DataFrame]] = field(default_factory=dict)
    gain: Floats = field(default_factory=lambda: np.zeros(0))

    @property
    def truth(self) -> pl.DataFrame:
        """The true gain of each customer: customer_id, gain."""
        return pl.DataFrame({"customer_id": self.world.scene.customer_ids, "gain": self.gain})


def play_quarter(
    config: WorldConfig, shares: ArmShares, *, history: int = 200, days: int = 91
) -> Quarter:
    """Play a history by habit, then days on which a simple list makes every contact.

    Parameters
    ----------
    config : WorldConfig
    shares : ArmShares
        Of the engine's arm, which the list plans, and of the holdout.
    history, days : int
        Without and with a list.
    """
    world, observed = World(config), ObservedTables(config.time_zone)
    for _ in range(history):
        observed.add(world.step(world.day, habitual=True).tables)
    twin, first = world.copy(), world.date
    before = world.state.margin.copy()
    rng = np.random.default_rng(config.seed)
    quarter = Quarter(world, first, first + dt.timedelta(days=days - 1), observed)
    for _ in range(days):
        plan = listed(world.date, observed, shares, rng)
        quarter.plans[world.date] = plan
        observed.add(world.step(world.day, plan["actions"]).tables)
        twin.step(twin.day)
    quarter.gain = (world.state.margin - before) - (twin.state.margin - before)
    return quarter


def listed(
    day: dt.date, observed: ObservedTables, shares: ArmShares, rng: np.random.Generator
) -> dict[str, pl.DataFrame]:
    """Return the list of a day with its log: chances by how long ago a customer bought."""
    friends = observed.table("customers").filter(
        pl.col("friend_since").is_not_null() & pl.col("consent_contact")
    )
    people = friends.select("customer_id", "clerk_id").sort("customer_id")
    settings = DecisionSettings(salt=SALT, arms=shares)
    groups = DecisionInputs({"memberships": observed.table("memberships")})
    moment = dt.datetime.combine(day, dt.time())
    open_ = observed.eligible(day, Rules(per_week=2, per_month=8, rest_days=1))
    last = observed.purchases().group_by("customer_id").agg(last=pl.col("date").max())
    people = (
        with_arms(groups, people, settings, as_of=moment)
        .join(last, on="customer_id", how="left", maintain_order="left")
        .with_columns(
            open=pl.col("customer_id").is_in(open_["customer_id"].to_list()),
            due=((pl.lit(day) - pl.col("last")).dt.total_days() > DUE_DAYS).fill_null(True),
        )
    )
    listable = (people["open"] & (people["arm"] == str(Arm.ENGINE))).to_numpy()
    chance = np.where(people["due"].to_numpy(), *CHANCES) * listable
    modes = chance[:, None] * np.array(MODE_SHARES)
    edges = np.cumsum(modes, axis=1)
    draw = (rng.random(len(chance))[:, None] >= edges).sum(axis=1)
    return _tables(day, people, modes, draw, listable)


def _tables(
    day: dt.date, people: pl.DataFrame, modes: Floats, draw: Floats, listable: Floats
) -> dict[str, pl.DataFrame]:
    count, width = modes.shape
    names = [str(mode) for mode in CONTACT_MODES]
    chosen = np.minimum(draw, width - 1)
    taken = (draw < width) & listable.astype(bool)
    moment = dt.datetime.combine(day, dt.time())
    propensity = np.where(taken, modes[np.arange(count), chosen], 1 - modes.sum(1))
    log = people.select("customer_id", "clerk_id", "arm").with_columns(
        as_of=pl.lit(moment),
        closed=pl.when(people["open"]).then(None).otherwise(pl.lit("cool_down")),
        alternatives=_alternatives(modes, listable),
        mode=pl.when(pl.Series(taken)).then(pl.Series(names).gather(chosen)).otherwise(
            pl.lit("none")
        ),
        action_type=pl.when(pl.Series(taken)).then(pl.Series(ACTION_TYPES).gather(chosen)),
        propensity=pl.Series(propensity),
    )  # fmt: skip
    actions = (
        log.filter(pl.col("mode") != "none")
        .with_columns(
            action_id=pl.concat_str(pl.lit(f"{day:%Y%m%d}-"), "customer_id"),
            minutes=pl.Series(np.array(MODE_MINUTES)[chosen[taken]]),
            channel=pl.lit("chat"),
            rank=pl.int_range(1, pl.len() + 1).over("clerk_id"),
        )
        .drop("alternatives", "closed")
    )
    clerks = people.select("clerk_id").unique().sort("clerk_id")
    spent = actions.group_by("clerk_id").agg(minutes_planned=pl.col("minutes").sum())
    ledger = clerks.join(spent, on="clerk_id", how="left").with_columns(
        pl.col("minutes_planned").fill_null(0.0),
        store_id=pl.lit(None, dtype=pl.String),
        minutes=pl.lit(60.0),
        price_per_minute=pl.lit(0.5) + (pl.col("clerk_id").hash() % 100) / 400,
    )
    return {"log": log, "actions": actions, "clerks": ledger}


def _alternatives(modes: Floats, listable: Floats) -> pl.Series:
    """Return the open alternatives, `none` last, as a night writes them."""
    names = [*(str(mode) for mode in CONTACT_MODES), "none"]
    kinds = [*ACTION_TYPES, "none"]
    values = [1.0, 1.0, 1.0, 0.0]
    chances = np.column_stack([modes, 1 - modes.sum(1)])
    rows = np.repeat(np.arange(len(modes)), len(names))
    keep = listable.astype(bool)[rows] | (np.tile(np.arange(4), len(modes)) == 3)
    table = pl.DataFrame(
        {
            "row": rows,
            "action_type": kinds * len(modes),
            "mode": names * len(modes),
            "value": values * len(modes),
            "probability": chances.ravel(),
        }
    ).filter(pl.Series(keep))
    lists = table.group_by("row", maintain_order=True).agg(
        pl.struct("action_type", "mode", "value", "probability").alias("alternatives")
    )
    return lists["alternatives"]


def make_project(quarter: Quarter, folder: Path, shares: ArmShares) -> Wiring:
    """Make a project of what was played: its tables in the lake, its plans in the run folders."""
    settings = {
        "salt": SALT,
        "time_zone": quarter.world.config.time_zone,
        "arms": shares.model_dump(),
    }
    init_project(folder, settings)
    wiring = Wiring(Project.open(folder))
    tables = folder / "tables"
    write_tables(quarter.observed, tables)
    ingest_folder(wiring, tables)
    stores = quarter.observed.table("clerks").select("clerk_id", "store_id").unique("clerk_id")
    for day, plan in quarter.plans.items():
        kept = wiring.runs.of(day)
        ledger = plan["clerks"].drop("store_id").join(stores, on="clerk_id", how="left")
        for name, table in {**plan, "clerks": ledger}.items():
            kept.write(f"{GROUP}/{name}", table)
    return wiring


def write_tables(observed: ObservedTables, folder: Path) -> None:
    """Write everything that was seen as Parquet files, the last row of each key."""
    folder.mkdir(parents=True, exist_ok=True)
    delivered: Mapping[str, pl.DataFrame] = observed.delivered()
    for name, table in delivered.items():
        key = [column for column in TABLES[name].key if column in table.columns]
        if VALID_FROM not in table.columns:
            key = [column for column in key if column != VALID_FROM]
        table.unique(key, keep="last", maintain_order=True).write_parquet(
            folder / f"{name}.parquet"
        )
