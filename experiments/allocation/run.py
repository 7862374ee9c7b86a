"""The allocation measured: exactness, speed, and what strictness and exploration cost."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import polars as pl

from experiments.common.integer_plan import integer_plan
from nba.arrays import Floats, Ints
from nba.decisions.allocation import Programme, solve
from nba.decisions.assignment import Day, assign
from nba.decisions.rounding import draw
from nba.decisions.settings import DecisionSettings, Rounding
from nba.jobs.experiment_spec import write_json
from nba.jobs.progress import to_stderr

_T = TypeVar("_T")


@dataclass(frozen=True)
class Line:
    """One line of the report: what was measured, the figure, the bar and if it is met."""

    name: str
    figure: float
    bar: str
    met: bool | None

    def __str__(self) -> str:
        verdict = {True: "PASS", False: "FAIL", None: "info"}[self.met]
        return f"{verdict}  {self.name:<62} {self.figure:>12.6g}  {self.bar}"


def bench_programme(
    customers: int, clerks: int, *, minutes: float, seed: int, shared: bool = True
) -> Programme:
    """Return customers with three modes of 2, 4 and 10 minutes, a quarter of them useless.

    Parameters
    ----------
    shared : bool
        Customers differ in how much any contact moves them, modes vary around it by half
        either way, and longer modes move more, with the root of their minutes. Else each
        value is drawn for itself, which leaves ten minutes worth no more than two: the
        harshest case for a floor under every mode.
    """
    rng = np.random.default_rng(seed)
    minutes_of = np.array([2.0, 4.0, 10.0])
    if shared:
        moved = rng.gamma(2.0, 1.0, size=(customers, 1))
        value = moved * np.sqrt(minutes_of) * rng.uniform(0.5, 1.5, size=(customers, 3))
    else:
        value = rng.exponential(1.0, size=(customers, 3))
    value = np.where(rng.random((customers, 1)) < 0.25, -0.2 * value, value)
    return Programme(
        clerk=np.sort(rng.integers(0, clerks, customers)),
        value=value,
        minutes=np.broadcast_to(minutes_of, value.shape).copy(),
        open=np.ones(value.shape, dtype=bool),
        budget=np.full(clerks, minutes),
    )


def _timed(work: Callable[[], _T], repeats: int = 3) -> tuple[_T, float]:
    """Return the result and the best time of a few runs."""
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        result = work()
        best = min(best, time.perf_counter() - start)
    return result, best


def reference_objective(programme: Programme, clerk: int, floor: float = 0.0) -> float:
    """Return one clerk's optimum by HiGHS, the independent solver in SciPy."""
    from scipy.optimize import linprog
    from scipy.sparse import block_diag, csr_matrix, vstack

    rows = np.flatnonzero(programme.clerk == clerk)
    if not rows.size:
        return 0.0
    value, minutes = programme.value[rows], programme.minutes[rows]
    is_open = programme.open[rows]
    one_each = block_diag([np.ones((1, value.shape[1]))] * len(rows))
    rules = vstack([one_each, csr_matrix(minutes.reshape(1, -1))])
    limits = np.append(np.full(len(rows), 1.0 - floor), programme.budget[clerk])
    bounds = [(floor if o else 0.0, 1.0 if o else 0.0) for o in is_open.ravel()]
    answer = linprog(-value.ravel(), A_ub=rules.tocsr(), b_ub=limits, bounds=bounds, method="highs")
    return float(-answer.fun)


def frequency_chi_square(
    counts: Floats, x: Floats, draws: int, *, least: float = 1e-4
) -> tuple[float, int]:
    """Return the chi-square per cell of drawn counts against probabilities, and the cells.

    Each cell is one alternative of one customer: (count - n p)^2 / (n p (1 - p)).
    """
    cells = (x > least) & (x < 1 - least)
    expected = draws * x[cells]
    statistic = (counts[cells] - expected) ** 2 / (expected * (1 - x[cells]))
    return float(statistic.mean()), int(cells.sum())


def bench_allocation(
    *,
    customers: int = 1_000_000,
    clerks: int = 1_000,
    minutes: float = 60.0,
    draws: int = 2_000,
    checked_clerks: int = 200,
    seed: int = 0,
) -> list[Line]:
    """Measure the allocation and print a line per bar.

    Parameters
    ----------
    draws : int
        Draws over which frequencies are compared with probabilities.
    checked_clerks : int
        Clerks on which the linear programme is compared with HiGHS.
    """
    programme = bench_programme(customers, clerks, minutes=minutes, seed=seed)
    lines: list[Line] = []

    def add(name: str, figure: float, bar: str = "", met: bool | None = None) -> None:
        lines.append(Line(name, float(figure), bar, met))
        to_stderr(str(lines[-1]))

    relaxed, seconds = _timed(lambda: solve(programme))
    add("linear programme, seconds", seconds, "<= 3", seconds <= 3)
    gap = _reference_gap(programme, relaxed.objective, checked_clerks)
    add(f"largest relative gap to HiGHS, {checked_clerks} clerks", gap, "<= 1e-6", gap <= 1e-6)
    kept = float((relaxed.x * programme.value).sum() / relaxed.objective.sum())
    add("value of the probabilities over the bound", kept, ">= 0.9999", kept >= 0.9999)

    plan, seconds = _timed(lambda: integer_plan(programme, relaxed), 1)
    add("strict integer plan, seconds", seconds)
    total, worst, over = _integer_figures(programme, plan, relaxed.objective)
    add("strict integer plan over the bound, total", total, ">= 0.997", total >= 0.997)
    add("strict integer plan over the bound, worst clerk", worst, ">= 0.90", worst >= 0.9)
    add("strict integer plan, most minutes over", over, "<= 0", over <= 1e-9)

    _bench_floor(programme, relaxed.objective, draws, seed, add)
    _bench_harsh(customers, clerks, minutes, seed, add)
    return lines


def write(lines: list[Line], folder: Path) -> str:
    """Write `result.json` and a PASS or FAIL per bar, and return these lines."""
    write_json(lines, folder)
    text = "\n".join(map(str, lines))
    (folder / "result.txt").write_text(text + "\n", encoding="utf-8")
    return text


def _reference_gap(programme: Programme, objective: Floats, count: int) -> float:
    chosen = np.linspace(0, len(objective) - 1, min(count, len(objective))).astype(int)
    gaps = [
        abs(reference_objective(programme, clerk) - objective[clerk]) / max(objective[clerk], 1e-9)
        for clerk in chosen
    ]
    return float(max(gaps, default=0.0))


def _integer_figures(programme: Programme, plan: Ints, bound: Floats) -> tuple[float, float, float]:
    """Return the share of the bound in total and for the worst clerk, and minutes over."""
    clerks = len(bound)
    at = np.maximum(plan, 0)[:, None]
    taken = plan >= 0
    value = np.where(taken, np.take_along_axis(programme.value, at, 1)[:, 0], 0.0)
    spent = np.where(taken, np.take_along_axis(programme.minutes, at, 1)[:, 0], 0.0)
    gained = np.bincount(programme.clerk, weights=value, minlength=clerks)
    used = np.bincount(programme.clerk, weights=spent, minlength=clerks)
    ratio = gained[bound > 0] / bound[bound > 0]
    over = float((used - programme.budget).max())
    return float(gained.sum() / bound.sum()), float(ratio.min()), over


def _bench_day(programme: Programme, seed: int) -> Day:
    count, clerks = len(programme.clerk), len(programme.budget)
    return Day(
        programme,
        np.zeros(count, dtype=bool),
        pl.Series([f"c{i}" for i in range(count)], dtype=pl.String),
        pl.Series([f"k{i}" for i in range(clerks)], dtype=pl.String),
        f"{seed}",
    )


def _settings(rounding: Rounding) -> DecisionSettings:
    return DecisionSettings(rounding=rounding, exploration_floor=0.01, shortlist_size=40)


def _bench_floor(
    programme: Programme, bound: Floats, draws: int, seed: int, add: Callable[..., None]
) -> None:
    """Measure shortlist, floor and both ways to draw, `expected` and `strict`."""
    day = _bench_day(programme, seed)
    for rounding in (Rounding.EXPECTED, Rounding.STRICT):
        settings = _settings(rounding)
        start = time.perf_counter()
        done = assign(day, settings)
        seconds = time.perf_counter() - start
        add(f"{rounding}: shortlist, probabilities and draw, seconds", seconds)
        kept = float((done.marginal * programme.value).sum() / bound.sum())
        add(f"{rounding}: value with the floor over the bound", kept, ">= 0.95", kept >= 0.95)
        sure = done.p_shortlist == 1.0
        least = float(done.marginal[sure].min(initial=1.0))
        met = abs(least - 0.01) < 1e-9
        add(f"{rounding}: least probability of an open action", least, "= 0.01", met)
        none = float((1 - done.marginal[sure].sum(axis=1)).min(initial=1.0))
        add(f"{rounding}: least probability of none", none, ">= 0.01", none >= 0.01 - 1e-9)
        expected = (done.marginal * programme.minutes).sum(axis=1)
        used = np.bincount(programme.clerk, weights=expected, minlength=len(bound))
        over = float((used - programme.budget).max())
        add(f"{rounding}: expected minutes over the budget, most", over, "<= 0", over <= 1e-6)
        if rounding is Rounding.EXPECTED:
            _bench_rounding(programme, done.marginal * sure[:, None], draws, seed, add)
        else:
            _bench_lottery(day, settings, min(draws, 40), add)


def _bench_harsh(
    customers: int, clerks: int, minutes: float, seed: int, add: Callable[..., None]
) -> None:
    """Say what the floor costs where the values of the modes have nothing in common."""
    programme = bench_programme(
        max(customers // 5, 1), max(clerks // 5, 1), minutes=minutes, seed=seed, shared=False
    )
    bound = solve(programme).objective.sum()
    for rounding in (Rounding.EXPECTED, Rounding.STRICT):
        done = assign(_bench_day(programme, seed), _settings(rounding))
        kept = float((done.marginal * programme.value).sum() / bound)
        add(f"{rounding}: the same with independent values", kept)


def _bench_rounding(
    programme: Programme, x: Floats, draws: int, seed: int, add: Callable[..., None]
) -> None:
    """Draw again and again from fixed probabilities; compare frequencies and minutes."""
    clerks = len(programme.budget)
    rows = np.flatnonzero(x.sum(axis=1) > 0)
    clerk, x, minutes = programme.clerk[rows], x[rows], programme.minutes[rows]
    expected = np.bincount(clerk, weights=(x * minutes).sum(axis=1), minlength=clerks)
    rng = np.random.default_rng(seed)
    counts = np.zeros((len(rows), x.shape[1] + 1))
    worst, slowest = 0.0, 0.0
    line = np.arange(len(rows))
    for _ in range(draws):
        start = time.perf_counter()
        drawn = draw(clerk, x, minutes, rng=rng, clerks=clerks)
        slowest = max(slowest, time.perf_counter() - start)
        counts[line, drawn] += 1
        spent = np.where(drawn >= 0, minutes[line, np.maximum(drawn, 0)], 0.0)
        used = np.bincount(clerk, weights=spent, minlength=clerks)
        worst = max(worst, float((used - expected).max()))
    add("rounding, seconds of the slowest draw", slowest, "<= 1", slowest <= 1)
    longest = float(minutes.max(initial=0.0))
    add("rounding, most minutes over the expected ones", worst, f"<= {longest:g}", worst <= longest)
    ratio, cells = frequency_chi_square(counts[:, :-1], x, draws)
    add(f"rounding, chi-square per cell, {draws} draws, {cells} cells", ratio, ".97-1.03",
        0.97 <= ratio <= 1.03)  # fmt: skip


def _bench_lottery(
    day: Day, settings: DecisionSettings, draws: int, add: Callable[..., None]
) -> None:
    """Draw strict days under new seeds; no clerk is ever above the minutes."""
    worst = -np.inf
    programme = day.programme
    clerks = min(len(programme.budget), 50)
    rows = slice(0, int(np.searchsorted(programme.clerk, clerks)))
    small = Programme(
        programme.clerk[rows], programme.value[rows], programme.minutes[rows],
        programme.open[rows], programme.budget[:clerks],
    )  # fmt: skip
    for number in range(draws):
        done = assign(
            Day(small, day.arm[rows], day.customers[rows], day.clerks[:clerks], f"d{number}"),
            settings,
        )
        at = np.maximum(done.drawn, 0)[:, None]
        spent = np.where(done.drawn >= 0, np.take_along_axis(small.minutes, at, 1)[:, 0], 0.0)
        used = np.bincount(small.clerk, weights=spent, minlength=clerks)
        worst = max(worst, float((used - small.budget).max()))
    add(f"strict: most minutes over, {draws} draws", worst, "<= 0", worst <= 1e-9)
