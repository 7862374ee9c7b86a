"""The closed loop: the nightly job plans, a world acts it out, outcomes come back in.

The engine meets the world only through what a retailer has: tables in, `nba run`, actions
out. Policies without an engine play beside it on the same random numbers.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter

import polars as pl

from experiments.closed_loop.regret import night_ablation, night_regret
from experiments.closed_loop.report import LoopResult, LoopWorld
from experiments.common.compare import compare_policies
from experiments.common.policies import BASELINES, PolicyFactory, actions, fill, usual_products
from experiments.observable.oracle import ObservableEffects
from nba.data.ingest import ingest
from nba.jobs.init import init_project
from nba.jobs.nightly import run_nightly
from nba.jobs.progress import Progress, silent
from nba.schema.words import CONTACT_MODES, Mode
from nba.settings import Project
from nba.simulation import Preset, WorldConfig
from nba.simulation.config import MODE_MINUTES
from nba.simulation.observed import ObservedTables, Rules
from nba.simulation.world import World
from nba.wiring import Wiring

#: Every so many nights a plan is held against the truth.
REGRET_DAYS = 7
#: The engine's project in the loop: nobody is held out, since the world itself knows what
#: would have happened without a contact.
LOOP_SETTINGS = {"arms": {"holdout": 0.0}, "time_zone": "Asia/Shanghai"}


class EnginePolicy:
    """The whole engine as a policy: a project of its own, fed with each day's increment.

    Parameters
    ----------
    folder : Path
        Where the project is made.
    progress : Progress
        Shows the steps of each night.
    world : World or None
        Where given, every seventh night is held against its truth, after the fact, and beside
        lists that leave out a factor.
    """

    def __init__(
        self,
        folder: Path,
        *,
        progress: Progress = silent,
        world: World | None = None,
    ) -> None:
        init_project(folder, LOOP_SETTINGS)
        self.project = Project.open(folder)
        self.progress = progress
        self.seconds: list[float] = []
        self.regrets: list[dict[str, float]] = []
        self.ablations: list[dict[str, float]] = []
        self._world = world
        self._started = False

    def plan(self, day: date, observed: ObservedTables) -> pl.DataFrame | None:
        """Ingest what came in since the last plan, run the night, and return the actions."""
        started = perf_counter()
        wiring = Wiring(self.project)
        self._ingest(wiring, observed.latest if self._started else observed.delivered())
        self._started = True
        as_of = datetime(day.year, day.month, day.day)
        run_nightly(wiring, as_of, progress=self.progress)
        self.seconds.append(perf_counter() - started)
        folder = self.project.run_folder(day.isoformat())
        if self._world is not None and (len(self.seconds) - 1) % REGRET_DAYS == 0:
            self.regrets.append(night_regret(self._world, folder))
            self.ablations.append(night_ablation(self._world, wiring.run(as_of)))
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

    def __init__(self, folder: Path, rules: Rules, *, progress: Progress = silent) -> None:
        super().__init__(folder, progress=progress)
        self.rules = rules
        # It reads no effects: the model that is trained fastest stands in.
        spec = folder / "models" / "mode.yaml"
        text = re.sub(r"^kind: .*$", "kind: prior", spec.read_text("utf-8"), flags=re.MULTILINE)
        spec.write_text(text, "utf-8")
        self.project = Project.open(folder)

    def plan(self, day: date, observed: ObservedTables) -> pl.DataFrame | None:
        """Score, rank the eligible by P(purchase in 30 days), and fill the clerks' minutes."""
        started = perf_counter()
        wiring = Wiring(self.project)
        self._ingest(wiring, observed.latest if self._started else observed.delivered())
        self._started = True
        as_of = datetime(day.year, day.month, day.day)
        run_nightly(wiring, as_of, progress=self.progress, until_step="score")
        folder = self.project.run_folder(day.isoformat())
        scores = pl.read_parquet(folder / "scores" / "timing.parquet").select(
            "customer_id", score="p_purchase_30d"
        )
        who = observed.eligible(day, self.rules).join(scores, on="customer_id", how="left")
        self.seconds.append(perf_counter() - started)
        if who.is_empty():
            return None
        mode = CONTACT_MODES.index(Mode.SHOPPING_ASSISTANT)
        scored = who.with_columns(
            pl.col("score").fill_null(0.0),
            mode=pl.lit(mode),
            minutes=pl.lit(MODE_MINUTES[mode]),
        )
        brought = usual_products(observed)
        return actions(
            fill(scored).join(brought, on="customer_id", how="left"), day, "top_propensity"
        )


@dataclass(frozen=True)
class Loop:
    """What is played in each world.

    Parameters
    ----------
    config : WorldConfig
        Its seed is replaced by the world's.
    weeks : int
        Weeks in which the policies contact; four weeks without contact follow.
    baselines : bool
        Play the policies without an engine, and the top propensity, too.
    observable : str
        Folder of the observable oracle's regression (experiment `observable`); empty: none.
    rules : Rules
        What the baselines keep; the engine keeps its own contact policy.
    """

    config: WorldConfig
    weeks: int
    baselines: bool = True
    observable: str = ""
    rules: Rules = field(default_factory=Rules)

    def play(self, seed: int) -> LoopWorld:
        """Play one world with every policy."""
        engines: list[EnginePolicy] = []
        scratch = Path(tempfile.mkdtemp(prefix="nba-loop-"))

        def engine(world: World, _: Rules) -> EnginePolicy:
            engines.append(EnginePolicy(scratch / "engine", world=world))
            return engines[0]

        def top_propensity(world: World, kept: Rules) -> TopPropensity:
            return TopPropensity(scratch / "propensity", kept)

        policies: dict[str, PolicyFactory] = {"engine": engine}
        if self.baselines:
            policies = {**BASELINES, "top_propensity": top_propensity, **policies}
        if self.observable:
            known = ObservableEffects.load(Path(self.observable))
            policies["observable_oracle"] = known.policy
        try:
            rows = compare_policies(
                self.config,
                policies,
                seeds=[seed],
                weeks=self.weeks,
                rules=self.rules,
                paired_with="engine",
            )
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        played = engines[0]
        return LoopWorld(rows, played.seconds, played.regrets, played.ablations)


def bench_closed_loop(
    *,
    preset: str = "published",
    customers: int = 4000,
    clerks: int = 24,
    weeks: int = 8,
    seeds: Sequence[int] = (1, 2, 3),
    baselines: bool = True,
    observable: str = "",
    workers: int = 1,
) -> LoopResult:
    """Play the engine and the baselines in the same worlds, on the same random numbers.

    Parameters
    ----------
    preset : str
        `published` or `conservative`.
    customers, clerks : int
        Size of each world.
    weeks : int
        Weeks in which the policies contact; four weeks without contact follow.
    seeds : sequence of int
        One world each.
    baselines : bool
        Play the policies without an engine too.
    observable : str
        Folder in which the experiment `observable` kept its regression; empty leaves its oracle
        out.
    workers : int
        Worlds played at once, each in a process of its own.
    """
    config = WorldConfig(preset=Preset(preset), customers=customers, clerks=clerks)
    loop = Loop(config, weeks, baselines, observable)
    if workers > 1:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            played = list(pool.map(loop.play, seeds))
    else:
        played = [loop.play(seed) for seed in seeds]
    return LoopResult.of(preset, played)
