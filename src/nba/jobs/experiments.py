"""`nba experiment`: the benchmarks that ship, and the same comparisons on any table.

A run writes its result beside the question in `experiments/NAME`, and logs it to MLflow where
a tracking store is named.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from nba.errors import NotFoundError, UsageError
from nba.jobs.bench import as_text
from nba.jobs.progress import to_stderr

RESULT_FILE: Final = "result.json"


@dataclass(frozen=True)
class Options:
    """What a call gave; each experiment takes what it needs."""

    out: Path
    data: Path | None = None
    mapping: str = ""
    cutoff: str = ""
    time_zone: str = "Asia/Shanghai"
    arm: str = ""
    control: str = ""
    outcome: str = ""
    cost: tuple[str, ...] = ()
    group: str = ""
    propensity: str = ""
    exclude: tuple[str, ...] = ()
    seed: int | None = None
    tracking_uri: str = ""

    def need(self, *names: str) -> None:
        """Raise `UsageError` naming what is missing."""
        missing = [f"--{name}" for name in names if not getattr(self, name)]
        if missing:
            raise UsageError(
                "the experiment needs more options",
                expected=", ".join(missing),
                found="nothing",
                next_step="see `nba experiment run --help`",
            )

    def day(self) -> datetime:
        """Return the cut-off as 00:00 of its day."""
        try:
            return datetime.strptime(self.cutoff, "%Y-%m-%d")
        except ValueError:
            raise UsageError(
                "--cutoff is not a day", expected="YYYY-MM-DD", found=self.cutoff
            ) from None


def _timing(options: Options) -> Any:
    from nba.evaluation.timing_benchmarks import SEED
    from nba.evaluation.timing_report import markdown, write_results
    from nba.jobs.timing_experiments import run_on_folder

    options.need("data", "cutoff")
    assert options.data is not None
    results = run_on_folder(
        options.data,
        mapping=options.mapping or None,
        cutoff=options.day(),
        time_zone=options.time_zone,
        now=datetime.now(UTC),
        seed=SEED if options.seed is None else options.seed,
    )
    command = f"nba experiment run timing --cutoff {options.cutoff}"
    write_results(options.out, results, command=command)
    return markdown(results, command=command)


def _affinity(options: Options) -> Any:
    from nba.jobs.affinity_experiments import run_on_folder
    from nba.jobs.affinity_report import table, write_report

    options.need("data", "cutoff")
    assert options.data is not None
    result = run_on_folder(
        options.data,
        mapping=options.mapping or None,
        cutoff=options.day().date(),
        time_zone=options.time_zone,
        now=datetime.now(UTC),
        seed=options.seed or 0,
    )
    write_report(result, options.out, seconds=0.0)
    return "\n".join(table(one["methods"]) for one in result["cutoffs"].values())


def _mode(options: Options) -> Any:
    from nba.jobs.mode_experiments import run_table

    options.need("data", "arm", "control", "outcome")
    assert options.data is not None
    found = run_table(
        options.data,
        options.out,
        arm=options.arm,
        control=options.control,
        outcome=options.outcome,
        cost=options.cost,
        group=options.group or None,
        propensity=options.propensity or None,
        exclude=options.exclude,
        seed=options.seed or 0,
    )
    return found.markdown()


def _shipped_timing(name: str) -> Callable[[Options], Any]:
    def runner(options: Options) -> Any:
        from nba.evaluation.timing_benchmarks import SEED
        from nba.jobs.timing_experiments import report, run_benchmark

        seed = SEED if options.seed is None else options.seed
        results, findings = run_benchmark(name, seed=seed)
        command = f"nba experiment run {name}"
        return report(name, results, options.out, command=command, findings=findings)

    return runner


def _shipped_affinity(name: str) -> Callable[[Options], Any]:
    def runner(options: Options) -> Any:
        from nba.jobs.affinity_experiments import RUNNERS
        from nba.jobs.affinity_report import table, write_report

        result = RUNNERS[name]()
        write_report(result, options.out, seconds=0.0)
        parts = [one["test"] for one in result.get("protocols", {}).values()]
        parts += [one["methods"] for one in result.get("cutoffs", {}).values()]
        return "\n\n".join(table(methods) for methods in parts)

    return runner


def _shipped_mode(name: str) -> Callable[[Options], Any]:
    def runner(options: Options) -> Any:
        from nba.jobs.mode_experiments import RUNNERS, write_report

        result = RUNNERS[name](to_stderr)
        write_report(name, result, options.out)
        return as_text(result)

    return runner


EXPERIMENTS: Final[Mapping[str, Callable[[Options], Any]]] = {
    "timing": _timing,
    "affinity": _affinity,
    "mode": _mode,
    "timing_cdnow": _shipped_timing("timing_cdnow"),
    "timing_online_retail": _shipped_timing("timing_online_retail"),
    "timing_world": _shipped_timing("timing_world"),
    "affinity_tafeng": _shipped_affinity("affinity_tafeng"),
    "affinity_world": _shipped_affinity("affinity_world"),
    "affinity_online_retail": _shipped_affinity("affinity_online_retail"),
    "mode_hillstrom": _shipped_mode("mode_hillstrom"),
    "mode_world": _shipped_mode("mode_world"),
    "ope_open_bandit": _shipped_mode("ope_open_bandit"),
}


def run_experiment(name: str, options: Options) -> str:
    """Run an experiment, write its result, and return what to print.

    Raises
    ------
    UsageError
        For an unknown name or missing options.
    """
    if name not in EXPERIMENTS:
        raise UsageError(
            f"there is no experiment {name!r}",
            expected=f"one of {', '.join(EXPERIMENTS)}",
            found=name,
        )
    found = EXPERIMENTS[name](options)
    text = found if isinstance(found, str) else as_text(found)
    if not isinstance(found, str):
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / RESULT_FILE).write_text(text + "\n", encoding="utf-8")
    if options.tracking_uri:
        text += f"\nlogged as MLflow run {_log(name, options)}"
    return text


def _log(name: str, options: Options) -> str:
    """Log what a run wrote: its options, every figure in its result, and its files."""
    from nba.stores.runs import log_run

    given = {key: value for key, value in asdict(options).items() if value not in (None, "", ())}
    given.pop("tracking_uri")
    result = options.out / RESULT_FILE
    figures = dict(figures_of(json.loads(result.read_text()))) if result.is_file() else {}
    files = sorted(path for path in options.out.iterdir() if path.is_file())
    return log_run(options.tracking_uri, name, parameters=given, metrics=figures, files=files)


def figures_of(value: Any, place: str = "") -> Iterator[tuple[str, float]]:
    """Yield every number in a result as `place/in/the/result` and its value.

    >>> list(figures_of({"parts": {"2011-08-01": {"auc_7d": 0.8, "seed": None}}}))
    [('parts/2011-08-01/auc_7d', 0.8)]
    """
    if isinstance(value, bool) or value is None:
        return
    if isinstance(value, int | float):
        if math.isfinite(value):
            yield re.sub(r"[^\w./ -]", "_", place)[:250], float(value)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from figures_of(item, f"{place}/{key}" if place else str(key))


def list_experiments(folder: Path) -> list[str]:
    """Return a line per experiment: its name and whether a result is there."""
    names = sorted({*EXPERIMENTS, *(path.parent.name for path in folder.glob("*/README.md"))})
    return [
        f"{name:<26} {'result' if (folder / name / RESULT_FILE).is_file() else '–'}"
        for name in names
    ]


def report_lines(folder: Path, name: str) -> Sequence[str]:
    """Return the page and the result of an experiment.

    Raises
    ------
    NotFoundError
        When there is neither.
    """
    lines: list[str] = []
    page, result = folder / name / "README.md", folder / name / RESULT_FILE
    if page.is_file():
        lines += page.read_text(encoding="utf-8").splitlines()
    if result.is_file():
        lines += json.dumps(json.loads(result.read_text()), indent=1).splitlines()
    if not lines:
        raise NotFoundError(
            f"there is no report of {name!r}",
            expected=f"{page} or {result}",
            next_step=f"run it: nba experiment run {name}",
        )
    return lines
