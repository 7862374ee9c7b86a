"""The closed loop: the nightly job plans, a world acts it out, outcomes come back in.

The engine meets the world only through what a retailer has: tables in, `nba run`, actions
out. Policies without an engine play beside it on the same random numbers.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from time import perf_counter

import polars as pl

from nba.data.ingest import ingest
from nba.jobs.init import init_project
from nba.jobs.nightly import run_night
from nba.jobs.progress import Say, silent
from nba.jobs.regret import night_regret
from nba.schema.words import CONTACT_MODES, Mode
from nba.settings import Project
from nba.simulation import Preset, WorldConfig
from nba.simulation.books import Books, Rules
from nba.simulation.compare import compare_policies, summary
from nba.simulation.config import MODE_MINUTES
from nba.simulation.observable import fit_expected, observable_oracle
from nba.simulation.policies import BASELINES, PolicyFactory, actions, fill, usual_products
from nba.simulation.world import World
from nba.stores.runs import log_run
from nba.wiring import Wiring

#: Seeds of the worlds that an observable oracle learns from begin here.
OTHER_SEEDS = 1001
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
    say : callable
        Takes lines of progress.
    configure : callable or None
        Changes the fresh project's files, for an ablation.
    world : World or None
        Where given, every seventh night is held against its truth, after the fact.
    """

    def __init__(
        self,
        folder: Path,
        *,
        say: Say = silent,
        configure: Callable[[Path], None] | None = None,
        world: World | None = None,
    ) -> None:
        init_project(folder, LOOP_SETTINGS)
        if configure is not None:
            configure(folder)
        self.project = Project.open(folder)
        self.say = say
        self.seconds: list[float] = []
        self.regrets: list[dict[str, float]] = []
        self._world = world
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
        if self._world is not None and (len(self.seconds) - 1) % REGRET_DAYS == 0:
            self.regrets.append(night_regret(self._world, folder))
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
    observable_worlds : int
        Worlds of other seeds on which the observable oracle is fitted; 0: leave it out.
    rules : Rules
        What the baselines keep; the engine keeps its own contact policy.
    """

    config: WorldConfig
    weeks: int
    baselines: bool = True
    observable_worlds: int = 0
    rules: Rules = field(default_factory=Rules)

    def play(self, seed: int) -> tuple[pl.DataFrame, list[float], list[dict[str, float]]]:
        """Play one world; return a row per policy, the engine's seconds and its regrets."""
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
        if self.observable_worlds:
            policies["observable_oracle"] = self._observable()
        try:
            rows = compare_policies(
                self.config, policies, seeds=[seed], weeks=self.weeks, rules=self.rules
            )
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return rows, engines[0].seconds, engines[0].regrets

    def _observable(self) -> PolicyFactory:
        seeds = range(OTHER_SEEDS, OTHER_SEEDS + self.observable_worlds)
        return observable_oracle(
            fit_expected(self.config, seeds=seeds, rules=self.rules), seeds=seeds
        )


@dataclass(frozen=True)
class LoopResult:
    """What a closed loop gave: per seed and policy, the summary, the engine's nights.

    `regret` is the share of the best plan's true value, over every seventh night, that was
    lost by `prediction` and by `allocation`; see `nba.jobs.regret`.
    """

    by_seed: pl.DataFrame
    summary: pl.DataFrame
    regret: dict[str, float]
    median_night_seconds: float
    slowest_night_seconds: float


def bench_closed_loop(
    *,
    preset: str = "report",
    customers: int = 4000,
    clerks: int = 24,
    weeks: int = 8,
    seeds: Sequence[int] = (1, 2, 3),
    baselines: bool = True,
    observable_worlds: int = 0,
    workers: int = 1,
    folder: str = "",
    tracking_uri: str = "",
) -> LoopResult:
    """Play the engine and the baselines in the same worlds, on the same random numbers.

    Parameters
    ----------
    preset : str
        `report` or `sober`.
    customers, clerks : int
        Size of each world.
    weeks : int
        Weeks in which the policies contact; four weeks without contact follow.
    seeds : sequence of int
        One world each.
    baselines : bool
        Play the policies without an engine too.
    observable_worlds : int
        Worlds of other seeds that the observable oracle is fitted on; 0 leaves it out.
    workers : int
        Worlds played at once, each in a process of its own.
    folder : str
        Where `PRESET.md` and `PRESET.png` are written; empty: nowhere.
    tracking_uri : str
        The MLflow store in which the run is logged; empty: none.
    """
    config = WorldConfig(preset=Preset(preset), customers=customers, clerks=clerks)
    loop = Loop(config, weeks, baselines, observable_worlds)
    if workers > 1:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            played = list(pool.map(loop.play, seeds))
    else:
        played = [loop.play(seed) for seed in seeds]
    rows = pl.concat([rows for rows, _, _ in played], how="diagonal_relaxed")
    seconds = [second for _, nights, _ in played for second in nights]
    regret = split_regret([night for _, _, nights in played for night in nights])
    result = LoopResult(rows, summary(rows), regret, median(seconds), max(seconds))
    files = write_loop(result, preset, Path(folder)) if folder else []
    if tracking_uri:
        given = {"preset": preset, "customers": customers, "clerks": clerks, "weeks": weeks}
        log_run(
            tracking_uri,
            "closed_loop",
            parameters={**given, "seeds": str(list(seeds))},
            metrics=loop_metrics(result),
            files=files,
        )
    return result


def split_regret(nights: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the shares of the best plan's value lost by prediction and by allocation."""
    best = sum(night["best"] for night in nights)
    if best <= 0:
        return {"prediction": 0.0, "allocation": 0.0}
    predicted = sum(night["predicted"] for night in nights)
    drawn = sum(night["drawn"] for night in nights)
    return {"prediction": 1 - predicted / best, "allocation": (predicted - drawn) / best}


def loop_metrics(result: LoopResult) -> dict[str, float]:
    """Return the figures of a loop by name, as MLflow keeps them."""
    metrics = {f"regret_{name}": value for name, value in result.regret.items()}
    metrics["median_night_seconds"] = result.median_night_seconds
    for row in result.summary.iter_rows(named=True):
        metrics[f"incremental_amount_{row['policy']}"] = row["incremental_amount"]
        metrics[f"share_of_oracle_{row['policy']}"] = row["share_of_oracle"]
    return metrics


def write_loop(result: LoopResult, preset: str, folder: Path) -> list[Path]:
    """Write the table and the plot of a loop, and return their paths."""
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    table = result.summary.sort("incremental_amount")
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    axis = figure.subplots()
    middle = table["incremental_amount"].to_numpy()
    span = [middle - table["low"].to_numpy(), table["high"].to_numpy() - middle]
    axis.barh(table["policy"].to_list(), middle, xerr=span, color="#4a7")
    axis.set_title(
        f"{preset}: incremental margin over no contact, with 95 % intervals", fontsize=10
    )
    axis.ticklabel_format(axis="x", style="plain")
    plot, page = folder / f"{preset}.png", folder / f"{preset}.md"
    figure.savefig(plot, dpi=110)
    lines = [
        "| policy | incremental margin | 95 % | share of oracle | contacts | minutes | blocks |"
    ]
    lines.append("|---|---|---|---|---|---|---|")
    lines += [
        f"| {row['policy']} | {row['incremental_amount']:,.0f} | {row['low']:,.0f} … "
        f"{row['high']:,.0f} | {row['share_of_oracle']:.3f} | {row['contacts']:,.0f} | "
        f"{row['minutes']:,.0f} | {row['blocks']:,.1f} |"
        for row in table.reverse().iter_rows(named=True)
    ]
    page.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return [page, plot]
