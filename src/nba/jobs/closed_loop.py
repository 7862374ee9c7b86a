"""The closed loop: the nightly job plans, a world acts it out, outcomes come back in.

The engine meets the world only through what a retailer has: tables in, `nba run`, actions
out. Policies without an engine play beside it on the same random numbers.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from time import perf_counter

import polars as pl

from nba.data.ingest import ingest
from nba.jobs.init import init_project
from nba.jobs.nightly import run_night
from nba.jobs.progress import Say, silent
from nba.schema.words import CONTACT_MODES, Mode
from nba.settings import Project
from nba.simulation import Preset, WorldConfig
from nba.simulation.books import Books, Rules
from nba.simulation.compare import compare_policies, summary
from nba.simulation.config import MODE_MINUTES
from nba.simulation.policies import BASELINES, PolicyFactory, actions, fill, usual_products
from nba.simulation.world import World
from nba.wiring import Wiring

#: The engine's project in the loop: nobody is held out, since the world itself knows what
#: would have happened without a contact.
LOOP_SETTINGS = {"arms": {"holdout": 0.0}, "time_zone": "Asia/Shanghai"}


class EnginePolicy:
    """The whole engine as a policy: a project of its own, fed with each day's increment.

    Parameters
    ----------
    folder : Path
        Where the project is made.
    say : callable
        Takes lines of progress.
    configure : callable or None
        Changes the fresh project's files, for an ablation.
    """

    def __init__(
        self,
        folder: Path,
        *,
        say: Say = silent,
        configure: Callable[[Path], None] | None = None,
    ) -> None:
        init_project(folder, LOOP_SETTINGS)
        if configure is not None:
            configure(folder)
        self.project = Project.open(folder)
        self.say = say
        self.seconds: list[float] = []
        self._started = False

    def plan(self, day: date, books: Books) -> pl.DataFrame | None:
        """Ingest what came in since the last plan, run the night, and return the actions."""
        started = perf_counter()
        wiring = Wiring(self.project)
        self._ingest(wiring, books.latest if self._started else books.delivered())
        self._started = True
        as_of = datetime(day.year, day.month, day.day)
        run_night(wiring, as_of, say=self.say)
        self.seconds.append(perf_counter() - started)
        folder = self.project.run_folder(day.isoformat())
        return pl.read_parquet(folder / "plan" / "actions.parquet")

    def _ingest(self, wiring: Wiring, tables: object) -> None:
        if not isinstance(tables, dict):
            raise TypeError("increments come as a dict of tables")
        with tempfile.TemporaryDirectory() as scratch:
            for name, frame in tables.items():
                if frame.height:
                    frame.write_parquet(Path(scratch) / f"{name}.parquet")
            ingest(
                Path(scratch),
                wiring.lake,
                time_zone=wiring.settings.time_zone,
                now=datetime.now(UTC),
            )


class TopPropensity(EnginePolicy):
    """The list by predicted repurchase alone, one mode for all: what a score without effects does.

    It reads the engine's own timing scores, in a project of its own, and keeps the rules of
    the other baselines.
    """

    def __init__(self, folder: Path, rules: Rules, *, say: Say = silent) -> None:
        super().__init__(folder, say=say)
        self.rules = rules

    def plan(self, day: date, books: Books) -> pl.DataFrame | None:
        """Score, rank the eligible by P(purchase in 30 days), and fill the clerks' minutes."""
        started = perf_counter()
        wiring = Wiring(self.project)
        self._ingest(wiring, books.latest if self._started else books.delivered())
        self._started = True
        as_of = datetime(day.year, day.month, day.day)
        run_night(wiring, as_of, say=self.say, until_step="score")
        folder = self.project.run_folder(day.isoformat())
        scores = pl.read_parquet(folder / "scores" / "timing.parquet").select(
            "customer_id", score="p_purchase_30d"
        )
        who = books.eligible(day, self.rules).join(scores, on="customer_id", how="left")
        self.seconds.append(perf_counter() - started)
        if who.is_empty():
            return None
        mode = CONTACT_MODES.index(Mode.SHOPPING_ASSISTANT)
        scored = who.with_columns(
            pl.col("score").fill_null(0.0),
            mode=pl.lit(mode),
            minutes=pl.lit(MODE_MINUTES[mode]),
        )
        brought = usual_products(books)
        return actions(
            fill(scored).join(brought, on="customer_id", how="left"), day, "top_propensity"
        )


@dataclass(frozen=True)
class LoopResult:
    """What a closed loop gave: per seed and policy, the summary, seconds per night."""

    by_seed: pl.DataFrame
    summary: pl.DataFrame
    night_seconds: list[float]


def run_closed_loop(
    config: WorldConfig,
    *,
    seeds: Sequence[int],
    weeks: int,
    say: Say,
    rules: Rules | None = None,
    baselines: bool = True,
) -> LoopResult:
    """Play the engine and the baselines in the same worlds.

    Parameters
    ----------
    config : WorldConfig
    seeds : sequence of int
    weeks : int
        Weeks in which the policies contact; four weeks without contact follow.
    say : callable
        Takes lines of progress.
    rules : Rules or None
        What the baselines keep; the engine keeps its own contact policy.
    baselines : bool
        Play the baselines too.
    """
    engines: list[EnginePolicy] = []
    scratch = Path(tempfile.mkdtemp(prefix="nba-loop-"))

    def engine(world: World, _: Rules) -> EnginePolicy:
        folder = scratch / f"seed-{world.config.seed}"
        policy = EnginePolicy(folder, say=say)
        engines.append(policy)
        return policy

    def top_propensity(world: World, kept: Rules) -> TopPropensity:
        return TopPropensity(scratch / f"propensity-{world.config.seed}", kept, say=say)

    policies: dict[str, PolicyFactory] = {"engine": engine}
    if baselines:
        policies = {**BASELINES, "top_propensity": top_propensity, **policies}
    try:
        results = compare_policies(config, policies, seeds=seeds, weeks=weeks, rules=rules)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    seconds = [second for policy in engines for second in policy.seconds]
    return LoopResult(results, summary(results), seconds)


def bench_closed_loop(
    *,
    preset: str = "report",
    customers: int = 4000,
    clerks: int = 24,
    weeks: int = 8,
    seeds: Sequence[int] = (1, 2, 3),
    baselines: bool = True,
) -> LoopResult:
    """Play the engine and the baselines; print a line per policy.

    Parameters
    ----------
    preset : str
        `report` or `sober`.
    customers, clerks : int
        Size of the world.
    weeks : int
        Weeks in which the policies contact.
    seeds : sequence of int
        One world each.
    """
    config = WorldConfig(preset=Preset(preset), customers=customers, clerks=clerks)
    return run_closed_loop(config, seeds=seeds, weeks=weeks, say=silent, baselines=baselines)
