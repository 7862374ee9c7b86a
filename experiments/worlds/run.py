"""`python -m experiments worlds`: worlds of different shape, the engine beside simple lists."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import polars as pl

from experiments.common.compare import append_rows, world_configs
from experiments.common.policies import PolicyFactory, actions, fill
from experiments.worlds.engine import EnginePolicy
from experiments.worlds.lists import LISTS, last_products
from experiments.worlds.observable import ObservableOracle, fit_observable
from experiments.worlds.play import Plays, play_world
from nba.schema.words import CONTACT_MODES, Mode
from nba.simulation.config import MODE_MINUTES, Family, WorldConfig
from nba.simulation.observed import ObservedTables, Rules
from nba.simulation.world import World

FAMILIES: Final = tuple(str(family) for family in Family)
#: Where scratch projects stand: memory where the system has such a folder.
SCRATCH: Final = next((p for p in ("/dev/shm",) if os.access(p, os.W_OK)), None)


@dataclass(frozen=True)
class WorldsResult:
    """A row per preset, family, seed and policy, see `play_world`, and what was played."""

    rows: list[dict[str, Any]]
    about: dict[str, Any] = field(default_factory=dict)


class TopPropensity:
    """The list by the engine's own P(purchase in 30 days), one mode, the product bought last."""

    def __init__(self, engine: EnginePolicy, rules: Rules) -> None:
        self.engine, self.rules = engine, rules

    def plan(self, day: Any, observed: ObservedTables) -> pl.DataFrame | None:
        """Return the day's actions."""
        self.engine.plan(day, observed)
        scores = self.engine.kept(day, "scores/timing").select(
            "customer_id", score="p_purchase_30d"
        )
        who = observed.eligible(day, self.rules).join(scores, on="customer_id", how="left")
        if who.is_empty():
            return None
        mode = CONTACT_MODES.index(Mode.SHOPPING_ASSISTANT)
        scored = who.with_columns(
            pl.col("score").fill_null(0.0),
            mode=pl.lit(mode),
            minutes=pl.lit(MODE_MINUTES[mode]),
        )
        chosen = fill(scored).join(last_products(observed), on="customer_id", how="left")
        return actions(chosen, day, "top_propensity")


def makers(
    policies: Sequence[str], config: WorldConfig, scratch: Path, *, observable_worlds: int
) -> dict[str, PolicyFactory]:
    """Return the makers of policies by name, `no_contact` first: what all are held against."""
    made: dict[str, PolicyFactory] = {"no_contact": LISTS["no_contact"]}
    for name in policies:
        if name == "engine":
            made[name] = lambda world, rules: EnginePolicy(project_folder(scratch))
        elif name == "top_propensity":
            made[name] = lambda world, rules: TopPropensity(
                EnginePolicy(project_folder(scratch)), rules
            )
        elif name == "observable_oracle":
            boosters = fit_observable(config, worlds=observable_worlds)
            made[name] = partial(_observable, boosters)
        else:
            made[name] = LISTS[name]
    return made


def _observable(boosters: Sequence[Any], world: World, rules: Rules) -> ObservableOracle:
    return ObservableOracle(rules, boosters)


def project_folder(scratch: Path) -> Path:
    """Return a folder of its own for a project."""
    return Path(tempfile.mkdtemp(dir=scratch)) / "project"


def play_worlds(
    *,
    presets: Sequence[str] = ("published", "conservative"),
    families: Sequence[str] = FAMILIES,
    seeds: Sequence[int] = (1, 2, 3),
    policies: Sequence[str] = (
        "random",
        "recency_spend",
        "most_overdue",
        "top_propensity",
        "due_worth",
        "engine",
        "oracle",
    ),
    customers: int = 2000,
    clerks: int = 12,
    days: int = 365,
    weeks: int = 6,
    tail_weeks: int = 4,
    assortment: str = "fashion",
    contacts_before: bool = True,
    observable_worlds: int = 3,
    log: str = "",
) -> WorldsResult:
    """Play the engine and simple lists in worlds of different shape, on common random numbers.

    Parameters
    ----------
    presets, families : sequence of str
        Which contacts fit whom, and how effects arise.
    seeds : sequence of int
        One world each, for every preset and family.
    policies : sequence of str
        Beside `no_contact`, which is always played.
    customers, clerks : int
        Size of each world.
    days : int
        Of history, before the first contact of a policy.
    weeks, tail_weeks : int
        With contact, then without any, so that what was pulled forward is charged.
    assortment : str
        `fashion` or `everyday`.
    contacts_before : bool
        Clerks wrote by habit, and a pilot ran, before; else the engine begins without any contact.
    observable_worlds : int
        Worlds of seeds from 1001 on that `observable_oracle` learns from, where it is played.
    log : str
        A file that each world's rows are appended to as they come, one JSON per line; worlds
        and policies that it holds already are not played again.
    """
    kept = _read(Path(log)) if log else []
    rows = list(kept)
    scratch = Path(tempfile.mkdtemp(prefix="nba-worlds-", dir=SCRATCH))
    try:
        worlds = world_configs(
            presets,
            families,
            seeds,
            customers=customers,
            clerks=clerks,
            days=days,
            assortment=assortment,
            habits=contacts_before,
            pilot=contacts_before,
        )
        for config in worlds:
            key = (config.preset, config.family, config.seed)
            known = {
                row["policy"] for row in kept if (row["preset"], row["family"], row["seed"]) == key
            }
            todo = [name for name in policies if name not in known]
            if todo:
                made = makers(todo, config, scratch, observable_worlds=observable_worlds)
                played = play_world(config, made, Plays(weeks, tail_weeks), say=print_line)
                new = [row for row in played if row["policy"] not in known]
                rows += new
                append_rows(log, new)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    about = {
        "customers": customers,
        "clerks": clerks,
        "weeks": weeks,
        "tail_weeks": tail_weeks,
        "assortment": assortment,
        "contacts_before": contacts_before,
    }
    return WorldsResult(rows, about)


def print_line(text: str) -> None:
    """Print a line of progress at once."""
    print(text, flush=True)


def _read(log: Path) -> list[dict[str, Any]]:
    if not log.exists():
        return []
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
