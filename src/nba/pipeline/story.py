"""What a fit says of itself in MLflow: a sentence, a description, a card in two languages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from types import MappingProxyType
from typing import Any, Final

import polars as pl
import polars.selectors as cs

import nba
from nba.evaluation.drift import MOVED
from nba.evaluation.effect_gains import EffectGains, draw_gains
from nba.evaluation.intervals import Interval
from nba.evaluation.pictures import empty_figure
from nba.evaluation.trials import BASELINE, CHAMPION, Trial
from nba.models.base import Model, ModelInputs
from nba.models.spec import ModelSpec
from nba.models.story import FitStory
from nba.pipeline.answers import SHOWN, draw_answers

#: The metric that a sentence names, by model.
LEADING: Final = MappingProxyType({"timing": "auc", "affinity": "hit_10"})
_ANSWERS: Final = MappingProxyType(
    {
        "timing": ("顾客何时再次购买", "when a customer will buy again"),
        "affinity": ("现在给顾客带什么商品", "which products to bring to a customer now"),
        "mode": ("每种模式的联系会带来什么变化", "what a contact in each mode changes"),
    }
)
_BEWARE: Final = (
    "结果只对最近一段时间的顾客成立;促销、换季或缺货会改变它。它不说明联系是否值得,那由对照组证明。",
    "It holds for the customers of the last weeks: a promotion, a new season or empty shelves "
    "change it. It does not say whether contacting pays; the held-out group does.",
)


@dataclass(frozen=True)
class FitFacts:
    """What is told of a fit.

    Parameters
    ----------
    spec : ModelSpec
    model : Model
        Fitted.
    training : ModelInputs
    trial : Trial or None
    as_of : datetime
    seed : int
    digest : str
        Of the lake that was read.
    decision : str
        Why it became the champion, or was refused.
    drift : DataFrame
        How far its features have moved since the champion's fit; empty where that is not known.
    answers : DataFrame
        What it says by segment, see `nba.pipeline.answers.answers_of`; may be empty.
    gains : EffectGains or None
        How well it ranks whom a contact moves, on draws held back; None where too little was drawn.
    """

    spec: ModelSpec
    model: Model
    training: ModelInputs
    trial: Trial | None
    as_of: datetime
    seed: int
    digest: str
    decision: str
    drift: pl.DataFrame = field(default_factory=pl.DataFrame)
    answers: pl.DataFrame = field(default_factory=pl.DataFrame)
    gains: EffectGains | None = None

    @property
    def rows(self) -> dict[str, int]:
        """Rows of each table that was learned from."""
        return {name: table.height for name, table in self.training.items()}

    @property
    def judged(self) -> dict[str, Interval]:
        """Every metric on days held back, with those of the baseline beside it."""
        trial = self.trial.metrics if self.trial else {}
        return {**trial, **(self.gains.metrics if self.gains else {})}


def fit_metrics(facts: FitFacts) -> dict[str, float]:
    """Return the metrics of a run: rows read, and those of the trial with both ends."""
    metrics = {f"rows_{name}": float(rows) for name, rows in facts.rows.items()}
    metrics |= facts.model.figures()
    if not facts.drift.is_empty():
        moved = facts.drift.filter(pl.col("stability_index") > MOVED)
        metrics["features_moved"] = float(moved.height)
    for name, interval in facts.judged.items():
        metrics[name] = interval.estimate
        if interval.lower != interval.upper:
            metrics |= {f"{name}_lower": interval.lower, f"{name}_upper": interval.upper}
    return metrics


def tell(facts: FitFacts) -> FitStory:
    """Return what a fit says of itself."""
    spec, trial, answers = facts.spec, facts.trial, facts.answers
    shown = {} if answers.is_empty() else {SHOWN[spec.name][0]: answers}
    return FitStory(
        title=_title(facts),
        description=_card(facts, "en"),
        tags={
            "feature_service": spec.feature_service,
            "data": facts.digest,
            "nba": nba.__version__,
            "seed": str(facts.seed),
            "decision": facts.decision,
        },
        rows=facts.rows,
        digest=facts.digest,
        card={language: _card(facts, language) for language in ("zh", "en")},
        tables={
            **_tables(trial),
            **shown,
            **({} if facts.drift.is_empty() else {"drift": facts.drift}),
            **({} if facts.gains is None else {"gains": facts.gains.curves}),
        },
        evaluation=_evaluation(trial),
        pictures={
            **({"calibration": lambda: _calibration(trial)} if trial else {}),
            **{name: lambda: draw_answers(spec.name, answers) for name in shown},
            **({} if facts.drift.is_empty() else {"drift": lambda: _drift(facts.drift)}),
            **({} if facts.gains is None else {"gains": partial(draw_gains, facts.gains)}),
        },
    )


def _title(facts: FitFacts) -> str:
    spec, day = facts.spec, f"{facts.as_of:%Y-%m-%d}"
    name = LEADING.get(spec.name, "")
    if facts.gains is not None:
        found, other = (facts.gains.metrics[one] for one in ("qini", "baseline/qini"))
        return (
            f"{spec.name} by {spec.kind}, as of {day}: Qini {_ends(found)} "
            f"(most due first {other.estimate:.3f}), {facts.decision}"
        )
    if facts.trial is None or name not in facts.trial.metrics:
        return f"{spec.name} by {spec.kind}, as of {day}: {facts.decision}"
    metrics = facts.trial.metrics
    comparisons = [
        f"{other} {metrics[f'{other}/{name}'].estimate:.3f}"
        for other in (CHAMPION, BASELINE)
        if f"{other}/{name}" in metrics
    ]
    against = f" ({', '.join(comparisons)})" if comparisons else ""
    return (
        f"{spec.name} by {spec.kind}, as of {day}: {name} {_ends(metrics[name])}{against}, "
        f"{facts.decision}"
    )


def _ends(found: Interval) -> str:
    return f"{found.estimate:.3f} [{found.lower:.3f}, {found.upper:.3f}]"


def _card(facts: FitFacts, language: str) -> str:
    place = ("zh", "en").index(language)
    spec = facts.spec
    heads = (
        ("用途", "训练数据", "留出检验", "决定", "注意"),
        ("What it answers", "What it learned from", "On days held back", "Decision", "Beware"),
    )[place]
    rows = ", ".join(f"{name} {count:,}" for name, count in facts.rows.items())
    parameters = ", ".join(f"{k}={v}" for k, v in spec.parameters.items()) or "–"
    learned = (
        f"截至 {facts.as_of:%Y-%m-%d} 之前 {spec.window_days} 天;行数:{rows}。参数:{parameters}。",
        f"{spec.window_days} days before {facts.as_of:%Y-%m-%d}; rows: {rows}. "
        f"Parameters: {parameters}.",
    )[place]
    finding = facts.model.finding()
    bodies = (
        f"{_ANSWERS[spec.name][place]} (`{spec.name}` / `{spec.kind}`)",
        f"{learned}\n\n{finding}" if finding else learned,
        _gains_text(facts.gains, place) if facts.gains else _trial_text(facts.trial, place),
        facts.decision,
        _BEWARE[place],
    )
    parts = [f"## {head}\n\n{body}" for head, body in zip(heads, bodies, strict=True)]
    if not facts.drift.is_empty():
        title = ("自上次训练以来的漂移", "Drift since the last fit")[place]
        parts.append(f"## {title}\n\n{_drift_text(facts.drift, place)}")
    return "\n\n".join(parts) + "\n"


def _trial_text(trial: Trial | None, place: int) -> str:
    if trial is None:
        return (
            "未检验:设计与现任模型相同且没有设置门槛,或留出期内顾客太少。",
            "None held: the design is the champion's and no gate is set, or too few customers "
            "were seen in the days held back.",
        )[place]
    verdict = (
        f"{trial.customers:,} 位顾客,{trial.days} 天;方括号内为 95% 区间。",
        f"{trial.customers:,} customers, {trial.days} days; 95 % intervals in brackets.",
    )[place]
    rows = [f"| {name} | {_ends(interval)} |" for name, interval in trial.metrics.items()]
    return "\n".join([verdict, "", "| metric | value |", "|---|---|", *rows])


def _gains_text(gains: EffectGains, place: int) -> str:
    """Return how well a fit ranks whom a contact moves, beside the simple ranking."""
    found, other, apart = (
        _ends(gains.metrics[name]) for name in ("qini", "baseline/qini", "qini-baseline")
    )
    return (
        f"在最近 {gains.days} 天、{gains.rows:,} 个抽签决定的顾客日({gains.listed:,} 个进入名单)上,"
        f"只用这之前的数据重新训练后排序。Qini(越大越好,0 为没有顺序):{found};"
        f"只按「该买了」排序:{other};相差 {apart}。单位:每 100 个顾客日多出的订单;"
        "方括号内为 95% 区间。",
        f"On {gains.days} days and {gains.rows:,} drawn customer days ({gains.listed:,} listed), "
        f"ranked by a fit that had seen nothing of them. Qini (larger is better, 0 is no order): "
        f"{found}; most due first: {other}; difference {apart}. In extra orders per 100 "
        "customer days; 95 % intervals in brackets.",
    )[place]


def _tables(trial: Trial | None) -> Mapping[str, pl.DataFrame]:
    if trial is None:
        return {}
    metrics = pl.DataFrame(
        {"metric": name, **interval.as_dict()} for name, interval in trial.metrics.items()
    )
    tables = {"metrics": metrics, "segments": trial.segments}
    return tables if trial.reliability.is_empty() else {**tables, "reliability": trial.reliability}


def _evaluation(trial: Trial | None) -> Mapping[str, pl.DataFrame]:
    """Return predicted and actual by decile of the prediction and by segment, days held back."""
    if trial is None or trial.by_segment.is_empty():
        return {}
    tables = {"by_segment": trial.by_segment}
    if not trial.reliability.is_empty():
        tables = {"by_decile": _deciles(trial.reliability), **tables}
    return {name: table.with_columns(cs.float().round(4)) for name, table in tables.items()}


def _deciles(reliability: pl.DataFrame) -> pl.DataFrame:
    return reliability.with_row_index("decile", offset=1).select(
        pl.col("decile").cast(pl.Int64), "customers", "predicted", actual="observed"
    )


def _calibration(trial: Trial | None) -> Any | None:
    """Draw predicted against observed shares; None without chances or without matplotlib."""
    if trial is None or trial.reliability.is_empty():
        return None
    figure = empty_figure(5.0, 4.5)
    if figure is None:
        return None
    axes = figure.subplots()
    predicted, observed = trial.reliability["predicted"], trial.reliability["observed"]
    top = max(float(predicted.max() or 0), float(observed.max() or 0), 0.01)  # type: ignore[arg-type]
    axes.plot([0, top], [0, top], color="0.7", linewidth=1)
    axes.plot(predicted.to_numpy(), observed.to_numpy(), "o-", color="#3d6fb6")
    axes.set_xlabel("predicted chance")
    axes.set_ylabel("share that bought")
    axes.set_title(f"Calibration on {trial.days} days held back, {trial.customers:,} customers")
    return figure


def _drift_text(drift: pl.DataFrame, place: int) -> str:
    """Return which features have moved, in a sentence."""
    moved = drift.filter(pl.col("stability_index") > MOVED)
    names = ", ".join(f"{row['feature']} ({row['stability_index']:.2f})" for row in
                      moved.head(8).iter_rows(named=True))  # fmt: skip
    if moved.is_empty():
        return (
            f"{drift.height} 个特征中没有一个明显变化(稳定性指数均不超过 {MOVED})。",
            f"None of {drift.height} features has moved (stability index at most {MOVED}).",
        )[place]
    return (
        f"{drift.height} 个特征中有 {moved.height} 个明显变化(稳定性指数超过 {MOVED}):{names}。",
        f"{moved.height} of {drift.height} features have moved (stability index above {MOVED}): "
        f"{names}.",
    )[place]


def _drift(drift: pl.DataFrame) -> Any | None:
    """Draw the features that moved furthest; None without matplotlib."""
    figure = empty_figure(6.5, 4.5)
    if figure is None:
        return None
    axes, first = figure.subplots(), drift.head(12).reverse()
    names = [f"{row['view']}.{row['feature']}" for row in first.iter_rows(named=True)]
    axes.barh(names, first["stability_index"].to_numpy(), color="#3d6fb6")
    axes.axvline(MOVED, color="0.4", linestyle="--", linewidth=1)
    axes.set_xlabel("stability index since the last fit; beyond the line it has moved")
    axes.tick_params(axis="y", labelsize=7)
    return figure
