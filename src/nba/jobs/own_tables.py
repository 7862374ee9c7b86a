"""Timing, affinity and mode compared on a retailer's own tables: `nba experiment run`."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import polars as pl

from nba.errors import InputRefusedError, UsageError
from nba.evaluation.affinity import SIMPLE as RULE
from nba.evaluation.affinity_experiment import DATED, run_affinity_experiment
from nba.evaluation.mode_experiment import run_mode_experiment
from nba.evaluation.mode_summary import ModeExperiment
from nba.evaluation.pace import Pace
from nba.evaluation.timing import SHIPS, SIMPLE, TimingResult, run_timing_experiment
from nba.evaluation.timing_report import PAGE_FILE, TimingRun
from nba.jobs.affinity_report import table, write_report
from nba.jobs.experiment_spec import RESULT_FILE
from nba.jobs.progress import to_stderr
from nba.models.affinity.config import TwoStageConfig
from nba.models.timing.hazard import HazardConfig

TIME_ZONE: Final = "Asia/Shanghai"
TIMING_SEED: Final = 20261121
#: Asked about are customers who bought so many days before the cut-off; followed so many after.
ACTIVE_DAYS: Final = 365
HORIZON_DAYS: Final = 90
#: The time limit of a comparison.
MINUTES: Final = 10.0


@dataclass(frozen=True)
class OwnTables:
    """A retailer's folder of tables, read through a lake of its own.

    Parameters
    ----------
    folder : Path
    mapping : str or Path, optional
        A mapping's name or file.
    time_zone : str
        Where naive times stand, unless the mapping says.
    now : datetime
        The moment of the load.
    """

    folder: Path
    mapping: str | Path | None
    time_zone: str
    now: datetime

    def read(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Return the purchases of known customers, and the catalogue.

        Returns
        -------
        purchases : polars.DataFrame
            `customer_id`, `product_id`, `store_id`, `ts` (naive, of the zone), `quantity` above
            zero, `amount` (zero where there is no price).
        products : polars.DataFrame
            `product_id`, `name`, `category`, `brand`.

        Raises
        ------
        InputRefusedError
            When the folder or a file in it cannot be loaded; the message says which.
        """
        import ibis

        from nba.data.ingest import ingest
        from nba.data.lake import Lake
        from nba.data.tables import load_tables

        zone = self.time_zone
        with tempfile.TemporaryDirectory(prefix="nba-experiment-") as place:
            lake = Lake(Path(place))
            ingest(self.folder, lake, mapping=self.mapping, time_zone=zone, now=self.now)
            connection = ibis.duckdb.connect()
            tables = load_tables(lake, as_of=None, time_zone=zone, connection=connection)
            lines = tables["transactions"]
            lines = lines.filter(lines.customer_id.notnull() & (lines.quantity > 0))
            amount = lines.quantity * lines.unit_price.fill_null(0.0)
            columns = ("customer_id", "product_id", "store_id", "ts")
            purchases = lines.select(*columns, quantity=lines.quantity, amount=amount).to_polars()
            catalogue = tables["products"]
            products = catalogue.select("product_id", "name", "category", "brand").to_polars()
            connection.disconnect()
        return purchases.with_columns(pl.col("ts").cast(pl.Datetime("us"))), products


def _day(cutoff: str) -> datetime:
    try:
        return datetime.strptime(cutoff, "%Y-%m-%d")
    except ValueError:
        raise UsageError("--cutoff is not a day", expected="YYYY-MM-DD", found=cutoff) from None


# -- timing -------------------------------------------------------------------------------


def timing(
    *,
    data: Path,
    cutoff: str,
    mapping: str = "",
    time_zone: str = TIME_ZONE,
    minutes: float = MINUTES,
    seed: int = TIMING_SEED,
) -> TimingRun:
    """Run the timing protocol on any transactions table, with all baselines.

    Parameters
    ----------
    data : Path
        Folder of tables.
    cutoff : str
        The day from which it is predicted, `YYYY-MM-DD`.
    mapping : str
        A mapping's name or file; empty: none.
    time_zone : str
        Where naive times stand, unless the mapping says.
    minutes : float
        When they have passed, baselines and intervals are left out.
    seed : int
    """
    day, pace = _day(cutoff), Pace(to_stderr, minutes)
    tables = OwnTables(data, mapping or None, time_zone, datetime.now(UTC))
    command = f"nba experiment run timing --cutoff {cutoff}"
    parts = timing_of(tables, day, seed=seed, pace=pace)
    verdict = timing_verdict(next(iter(parts.values())))
    return TimingRun(command, parts, verdict=verdict)


def timing_verdict(result: TimingResult) -> str:
    """Return which kind of timing model to use on these tables, in a sentence."""
    ships, simple = result.metrics[SHIPS], result.metrics[SIMPLE]
    better = ships["integrated_brier"] <= simple["integrated_brier"]
    kind, other = ("hazard", SIMPLE) if better else (SIMPLE, "hazard")
    mine, its = (ships, simple) if better else (simple, ships)
    return (
        f"**Use `kind: {kind}` in `models/timing.yaml`:** integrated Brier score "
        f"{mine['integrated_brier']:.4f} against {its['integrated_brier']:.4f} of {other}, "
        f"concordance {mine['concordance']:.3f} against {its['concordance']:.3f}, "
        f"{result.customers:,} customers from {result.protocol.cutoff.date()} on."
    )


def timing_of(
    tables: OwnTables,
    cutoff: datetime,
    *,
    config: HazardConfig | None = None,
    draws: int = 100,
    seed: int = TIMING_SEED,
    pace: Pace | None = None,
) -> dict[str, TimingResult]:
    """Return the result of the timing protocol at one cut-off, by its day.

    Parameters
    ----------
    tables : OwnTables
    cutoff : datetime
        00:00 of the day from which it is predicted.
    config : HazardConfig, optional
    draws : int
        Bootstrap draws of the intervals.
    seed : int
    pace : Pace, optional
    """
    pace = pace or Pace()
    pace.begin("reading the tables")
    purchases, _ = tables.read()
    result = run_timing_experiment(
        purchases.select("customer_id", "ts", "quantity", "amount"),
        cutoff=cutoff,
        horizon_days=HORIZON_DAYS,
        active_days=ACTIVE_DAYS,
        config=config or HazardConfig(active_days=ACTIVE_DAYS),
        ships=True,
        pace=pace,
        draws=draws,
        seed=seed,
        threads=0,
    )
    return {cutoff.date().isoformat(): result}


# -- affinity -----------------------------------------------------------------------------


def affinity(
    *,
    data: Path,
    cutoff: str,
    mapping: str = "",
    time_zone: str = TIME_ZONE,
    minutes: float = MINUTES,
    seed: int = 0,
) -> dict[str, Any]:
    """Compare all methods on a retailer's own tables.

    Parameters
    ----------
    data : Path
        Folder of tables.
    cutoff : str
        The day from which it is predicted, `YYYY-MM-DD`.
    mapping : str
        A mapping's name or file; empty: none.
    time_zone : str
        Where naive times stand, unless the mapping says.
    minutes : float
        When they have passed, methods that are no simple rule are left out.
    seed : int
    """
    day, pace = _day(cutoff), Pace(to_stderr, minutes)
    tables = OwnTables(data, mapping or None, time_zone, datetime.now(UTC))
    result = affinity_of(tables, day, seed=seed, pace=pace)
    return {**result, "verdict": affinity_verdict(next(iter(result["cutoffs"].values())))}


def affinity_verdict(report: Mapping[str, Any]) -> str:
    """Return which kind of affinity model to use on these tables, in a sentence."""
    kinds = ("two_stage", RULE)
    recall, ndcg = (
        {kind: report["methods"][kind][name][0] for kind in kinds}
        for name in ("recall@10", "ndcg@10")
    )
    kind, other = kinds if recall["two_stage"] >= recall[RULE] else kinds[::-1]
    return (
        f"**Use `kind: {kind}` in `models/affinity.yaml`:** recall@10 {recall[kind]:.4f} against "
        f"{recall[other]:.4f} of {other}, ndcg@10 {ndcg[kind]:.4f} against {ndcg[other]:.4f}, "
        f"next baskets of {report['customers']:,} customers."
    )


def affinity_of(
    tables: OwnTables,
    cutoff: datetime,
    *,
    config: TwoStageConfig = DATED,
    seed: int = 0,
    horizon: int = 60,
    pace: Pace | None = None,
) -> dict[str, Any]:
    """Return the comparison of all methods at one cut-off.

    Parameters
    ----------
    tables : OwnTables
    cutoff : datetime
        00:00 of the day from which it is predicted.
    config : TwoStageConfig
    seed : int
    horizon : int
        Days within which the next basket counts.
    pace : Pace, optional

    Raises
    ------
    InputRefusedError
        When the folder cannot be loaded, or nobody can be asked about at the cut-off.
    """
    pace = pace or Pace()
    pace.begin("reading the tables")
    purchases, products = tables.read()
    kinds = purchases["product_id"].n_unique()
    if kinds < 2:
        raise InputRefusedError(
            f"{tables.folder} holds no products to choose from",
            expected="transactions of two products or more",
            found=f"{kinds} product" if kinds == 1 else "no transactions of known customers",
            next_step="map a column to product_id; without products only timing can be compared",
        )
    priced = pl.when(pl.col("amount") > 0).then("amount")
    return run_affinity_experiment(
        purchases.with_columns(amount=priced),
        cutoffs=[cutoff.date()],
        products=products,
        config=config,
        seed=seed,
        horizon=horizon,
        pace=pace,
    )


def write_affinity(result: Mapping[str, Any], folder: Path) -> str:
    """Write result, table, plot and page, and return the page."""
    write_report(result, folder)
    tables = "\n".join(table(report["methods"]) for report in result["cutoffs"].values())
    page = f"{tables}\n\n{result['verdict']}\n"
    (folder / PAGE_FILE).write_text(f"# What is in the next basket?\n\n{page}")
    return page


# -- mode ---------------------------------------------------------------------------------


def mode(
    *,
    data: Path,
    arm: str,
    control: str,
    outcome: str,
    cost: Sequence[str] = (),
    group: str = "",
    propensity: str = "",
    exclude: Sequence[str] = (),
    seed: int = 0,
) -> ModeExperiment:
    """Compare who should get which arm of a test, on any table of one.

    Parameters
    ----------
    data : Path
        The test's file, one row per assignment.
    arm, control, outcome : str
        The arm's column, the control's value in it, the outcome's column.
    cost : sequence of str
        `ARM=COST`.
    group : str
        Rows of equal value belong together.
    propensity : str
        The logged propensity's column.
    exclude : sequence of str
        Columns never to learn from.
    seed : int
    """
    found = run_mode_experiment(
        data,
        arm,
        control,
        outcome,
        cost=dict(_cost(pair) for pair in cost),
        group=group or None,
        propensity=propensity or None,
        exclude=exclude,
        repeats=1,
        seed=seed,
    )
    return replace(found, result={"data": data.name, **found.result})


def _cost(pair: str) -> tuple[str, float]:
    name, _, amount = pair.rpartition("=")
    try:
        return name, float(amount)
    except ValueError:
        raise UsageError("a cost is not a number", expected="--cost ARM=COST", found=pair) from None


def write_mode(found: ModeExperiment, folder: Path) -> str:
    """Write result, page and the choice for every row, and return the comparison."""
    text = json.dumps(found.result, indent=1, sort_keys=True)
    (folder / RESULT_FILE).write_text(text + "\n")
    found.assignments.write_parquet(folder / "assignments.parquet")
    (folder / "README.md").write_text(_mode_page(found))
    return found.markdown()


def _mode_page(found: ModeExperiment) -> str:
    result = found.result
    uplift = result["uplift"]
    lines = [
        f"# Which arm for whom: {result['data']}",
        "",
        f"{result['rows']} rows, arms {', '.join(result['arms'])}; {result['folds']}-fold "
        f"cross-fitting, {result['repeats']} repeat(s), seed {result['seed']}; propensities: "
        f"{result['propensity_model']}. The best single arm is chosen on the training folds.",
        "",
        found.markdown(),
        "",
        f"AUUC {uplift['auuc']:.4g} ± {uplift['auuc_error']:.2g}, Qini {uplift['qini']:.4g} ± "
        f"{uplift['qini_error']:.2g} ({uplift['normalisation']}).",
        "",
        "| arm | against | calibration slope | t |",
        "|---|---|---|---|",
        *(
            f"| {row['arm']} | {row['against']} | {row['slope']:.2f} | {row['t']:.1f} |"
            for row in result["calibration"]
        ),
        "",
    ]
    refused = [one for one in result["overlap"] if one["refused"]]
    lines += [f"- arm {one['arm']} is not learned: {one['refused']}" for one in refused]
    lines += [f"- {note}" for note in result["notes"]]
    return "\n".join(lines) + "\n"
