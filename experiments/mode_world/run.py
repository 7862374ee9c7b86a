"""The mode experiment in the simulated world: what is learned about modes, against the truth.

A year of clerks' habits with a randomised pilot at its end; the mode models learn from the tables
alone and are then asked about every friend. Truth is the expected margin that one contact today,
bringing what the customer buys most, would add within the outcome window, as the world knows it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import ibis
import numpy as np
import polars as pl
from scipy import stats

from experiments.common.compare import prepare
from experiments.common.policies import usual_products
from nba.arrays import Floats
from nba.data.ingest import ingest
from nba.data.lake import Lake
from nba.data.tables import load_tables
from nba.evaluation.mode_baselines import BASELINES
from nba.features import VIEWS
from nba.features.table_rules import apply_table_rules
from nba.jobs.progress import to_stderr
from nba.models.base import ModelInputs
from nba.models.mode.assignments.features import assignment_features
from nba.models.mode.assignments.outcomes import CHECK_DAYS, OUTCOME_DAYS, assignments_of
from nba.models.mode.assignments.records import AssignmentSource
from nba.models.mode.doubly_robust.nuisance import Sample
from nba.models.mode.effects.contacts import ARMS
from nba.models.mode.estimators.encoder import Encoder
from nba.models.mode.prior import PriorMode
from nba.models.mode.residual_effects import ResidualEffectsConfig, ResidualEffectsMode
from nba.models.mode.scores import BEHAVIOUR, CONTACT, MODES, customer_table
from nba.simulation import Preset, WorldConfig
from nba.simulation.observed import ObservedTables
from nba.simulation.world import World

ZONE: Final = "Asia/Shanghai"
STATE: Final = "customer_state"
MARGIN_RATE: Final = 0.4
#: Weeks of contacts that are known, over which the learning curve is drawn.
WEEKS: Final = (0, 13, 26, 52)
#: Customers are put into so many groups by predicted effect, to see whether bounds hold.
GROUPS: Final = 20


@dataclass(frozen=True)
class Setting:
    """One world at the end of its history: features of today, truth of today, the past."""

    inputs: ModelInputs
    truth: Floats
    assignments: pl.DataFrame
    features: pl.DataFrame
    as_of: datetime


def mode_world(
    *,
    presets: Sequence[str] = ("published", "conservative"),
    seeds: Sequence[int] = (1, 2, 3),
    customers: int = 8000,
    weeks: Sequence[int] = WEEKS,
) -> dict[str, Any]:
    """Compare prior, learned model, T- and X-learner with the truth, per preset and seed.

    Parameters
    ----------
    customers : int
        Size of the world.
    weeks : sequence of int
        Weeks since the history began of which assignments are known.
    """
    rows: list[dict[str, Any]] = []
    for preset in presets:
        for seed in seeds:
            setting = play(preset, seed, customers)
            for week in weeks:
                last = week == max(weeks)
                for name, found in _models(setting, seed, week, last=last).items():
                    row = {"preset": preset, "seed": seed, "weeks": week, "model": name}
                    rows.append(row | judge(setting.truth, *found))
            to_stderr(f"{preset} seed {seed}: " + _line(rows, preset, seed))
    return {
        "question": "What does the mode model know about each customer, against the truth?",
        "protocol": f"{customers} customers, a year of clerks' habits, a pilot in its last ten "
        "weeks (16 % of friends, once a fortnight, each mode .2, none .4); asked about all friends "
        "at the end; truth: margin within 14 days of a contact that brings the two things most "
        "bought; value of choosing the best predicted mode or none, as a share of the oracle's",
        "rows": rows,
        "customers": customers,
        "seeds": list(seeds),
    }


def _line(rows: Sequence[dict[str, Any]], preset: str, seed: int) -> str:
    mine = [row for row in rows if row["preset"] == preset and row["seed"] == seed]
    last = max(row["weeks"] for row in mine)
    return ", ".join(
        f"{row['model']} {row['share_of_oracle']:.3f}/{row['rank_correlation']:.3f}"
        for row in mine
        if row["weeks"] == last
    )


def play(preset: str, seed: int, customers: int) -> Setting:
    """Simulate, ingest, and compute what models and judge need."""
    config = WorldConfig(preset=Preset(preset), seed=seed, customers=customers)
    start = datetime(config.start.year, config.start.month, config.start.day)
    as_of = start + timedelta(days=config.days)
    world, observed = prepare(config)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        lake = _lake(folder, observed)

        def load(moment: datetime) -> dict[str, Any]:
            connection = ibis.duckdb.connect(threads=2)
            tables = load_tables(lake, as_of=moment, time_zone=ZONE, connection=connection)
            return dict(apply_table_rules(tables, margin_rate=MARGIN_RATE))

        def snapshot(view: str, moment: datetime) -> pl.DataFrame:
            if moment not in loaded:
                loaded.clear()
                loaded[moment] = load(moment)
            frame: pl.DataFrame = VIEWS[view].build(loaded[moment], moment).to_polars()
            return frame

        loaded: dict[datetime, dict[str, Any]] = {}
        known = assignments_of(load(as_of), as_of, seed=seed, history=True)
        features = assignment_features(known, snapshot)
        state = snapshot(STATE, as_of)
        friends = state.filter(pl.col("is_friend") & pl.col("consent_contact"))
        usual = usual_products(observed)
        friends = friends.join(usual, on="customer_id", how="inner").sort("customer_id")
        chosen = friends.select("customer_id")
        inputs = ModelInputs(
            {
                STATE: friends.drop("product_ids"),
                BEHAVIOUR: snapshot(BEHAVIOUR, as_of).join(chosen, on="customer_id", how="semi"),
                CONTACT: snapshot(CONTACT, as_of).join(chosen, on="customer_id", how="semi"),
            }
        )
    return Setting(inputs, _truth(world, friends), known, features, as_of)


def _lake(folder: Path, observed: ObservedTables) -> Lake:
    for name, frame in observed.delivered().items():
        if frame.height:
            (folder / "tables").mkdir(exist_ok=True)
            frame.write_parquet(folder / "tables" / f"{name}.parquet")
    lake = Lake(folder / "lake")
    ingest(folder / "tables", lake, time_zone=ZONE, now=datetime.now(UTC))
    return lake


def _truth(world: World, friends: pl.DataFrame) -> Floats:
    """Return the true effect of bringing the usual products, shape (friends, modes)."""
    rows = [
        world.true_effect(world.day, friends["customer_id"], mode, friends["product_ids"])
        for mode in MODES
    ]
    return np.column_stack([effect["window_amount"].to_numpy() for effect in rows])


def _models(
    setting: Setting, seed: int, weeks: int, *, last: bool
) -> dict[str, tuple[Floats, Floats | None]]:
    """Return predicted effects (and lower bounds) of each model, shape (friends, 3)."""
    begin = setting.assignments["ts"].min()
    assert isinstance(begin, datetime)
    # an assignment counts in a week when its outcome window had closed by then
    now = pl.lit(begin + timedelta(weeks=weeks))
    closed, checked = (
        pl.col("ts") + pl.duration(days=days) <= now for days in (OUTCOME_DAYS, CHECK_DAYS)
    )
    until = setting.assignments.filter(closed).with_columns(
        margin_check_amount=pl.when(checked).then("margin_check_amount")
    )
    known = setting.assignments if last else until
    models: dict[str, tuple[Floats, Floats | None]] = {
        "learned": _scored(_fitted(setting, known, seed), setting)
    }
    if not last:
        return models
    prior = PriorMode().fit(setting.inputs, as_of=setting.as_of, seed=seed)
    models["prior"] = _scored(prior, setting)
    pilot = known.filter(pl.col("source") == str(AssignmentSource.LOGGED))
    models["learned, pilot only"] = _scored(_fitted(setting, pilot, seed), setting)
    habits = known.filter(pl.col("source") == str(AssignmentSource.HISTORY))
    models["learned, history only"] = _scored(_fitted(setting, habits, seed), setting)
    models |= _usual(pilot, setting, seed)
    others = _usual(known, setting, seed)
    return models | {f"{name}, history too": value for name, value in others.items()}


def _fitted(setting: Setting, known: pl.DataFrame, seed: int) -> ResidualEffectsMode:
    tables = {"assignments": known, "assignment_features": setting.features}
    training = ModelInputs({**setting.inputs, **tables})
    return ResidualEffectsMode().fit(training, as_of=setting.as_of, seed=seed)


def _scored(model: ResidualEffectsMode | PriorMode, setting: Setting) -> tuple[Floats, Floats]:
    scores = model.score(setting.inputs, as_of=setting.as_of)
    values = scores.select("uplift_amount", "uplift_lower").to_numpy().reshape(-1, len(MODES), 2)
    return values[:, :, 0], values[:, :, 1]


def _usual(
    known: pl.DataFrame, setting: Setting, seed: int
) -> dict[str, tuple[Floats, Floats | None]]:
    """Return what T- and X-learner say, on the same columns, arms and outcomes."""
    config = ResidualEffectsConfig()
    names = [*config.behaviour, *config.contact]
    features = setting.features.select("assignment_id", *names)
    rows = known.join(features, on="assignment_id", how="inner").sort("assignment_id")
    encoder = Encoder.fit(rows, names)
    sample = Sample(
        x=encoder.transform(rows),
        arm=rows["mode"]
        .replace_strict(list(ARMS), list(range(len(ARMS))), return_dtype=pl.Int64)
        .to_numpy()
        .astype(np.int64),
        outcome=rows["margin_amount"].to_numpy().astype(np.float64),
    )
    today = customer_table(setting.inputs, config.behaviour, config.contact)
    at = encoder.transform(today)
    models: dict[str, tuple[Floats, Floats | None]] = {}
    for name in ("T-learner", "X-learner"):
        values = BASELINES[name](sample, len(ARMS), np.zeros((0, len(ARMS))), seed)(at)
        models[name] = (values[:, 1:] - values[:, [0]], None)
    return models


def judge(truth: Floats, effect: Floats, lower: Floats | None) -> dict[str, Any]:
    """Compare predicted with true effects, shape (friends, modes)."""
    rows = np.arange(len(truth))
    offered = np.c_[np.zeros(len(truth)), effect]
    true = np.c_[np.zeros(len(truth)), truth]
    value = true[rows, offered.argmax(axis=1)].mean()
    best = true.max(axis=1).mean()
    forced = truth[rows, effect.argmax(axis=1)].mean()
    within = [
        stats.spearmanr(effect[:, k], truth[:, k]).statistic
        for k in range(truth.shape[1])
        if np.ptp(effect[:, k]) > 0
    ]
    return {
        "rank_correlation": float(stats.spearmanr(effect.ravel(), truth.ravel()).statistic),
        "rank_correlation_within_modes": float(np.mean(within)) if within else 0.0,
        "share_of_oracle": float(value / best),
        "share_of_best_mode": float(forced / truth.max(axis=1).mean()),
        "share_of_random_mode": float(truth.mean() / truth.max(axis=1).mean()),
        "bias_amount": float((effect - truth).mean()),
        "true_amount": float(truth.mean()),
        "coverage_of_lower_bound": None if lower is None else float((lower <= truth).mean()),
        "coverage_in_groups": None if lower is None else _group_coverage(truth, effect, lower),
    }


def _group_coverage(truth: Floats, effect: Floats, lower: Floats) -> float:
    """Return the share of groups of alike customers whose mean truth lies above the mean bound."""
    held = []
    for mode in range(truth.shape[1]):
        order = np.argsort(effect[:, mode], kind="stable")
        held += [
            lower[rows, mode].mean() <= truth[rows, mode].mean()
            for rows in np.array_split(order, GROUPS)
        ]
    return float(np.mean(held))
