"""What an experiment or a bench is, and the one way to run it.

A specification names a function by its place, so that listing many costs no import. The
function's keyword arguments are the options.
"""

from __future__ import annotations

import inspect
import json
import math
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import polars as pl

from nba.errors import UsageError

RESULT_FILE: Final = "result.json"


@dataclass(frozen=True)
class ExperimentSpec:
    """One experiment.

    Parameters
    ----------
    name : str
        As it is called by; also the name of its folder.
    question : str
        What it answers, in one line.
    run : str
        `module:function`; its keyword arguments are the options, what it returns is the result.
    options : mapping
        Options of the published result, where they are not the function's own defaults.
    write : str
        `module:function` that takes `(result, folder)`, writes files and returns what to print;
        by default `result.json` is written, and its text returned.
    folder : Path, optional
        Where question, configuration and latest result stand; by default the caller says.
    """

    name: str
    question: str
    run: str
    options: Mapping[str, Any] = field(default_factory=dict)
    write: str = ""
    folder: Path | None = None

    @property
    def function(self) -> Callable[..., Any]:
        """What runs the experiment."""
        return _named(self.run)

    @property
    def writer(self) -> Callable[[Any, Path], str]:
        """What writes its files."""
        return _named(self.write) if self.write else write_json

    @property
    def parameters(self) -> dict[str, Any]:
        """Every option and its value where none is given; `inspect.Parameter.empty`: needed."""
        known = inspect.signature(self.function).parameters
        return {name: self.options.get(name, known[name].default) for name in known}

    def call(self, given: Mapping[str, Any]) -> Any:
        """Run it and return the result.

        Raises
        ------
        UsageError
            For an option that it does not have, or one that it needs and was not given.
        """
        known = self.parameters
        unknown = sorted(set(given) - set(known))
        if unknown:
            raise UsageError(
                f"{self.name} has no option {', '.join(unknown)}",
                expected=", ".join(known) or "none",
                found=", ".join(unknown),
            )
        missing = [
            name
            for name, value in known.items()
            if value is inspect.Parameter.empty and name not in given
        ]
        if missing:
            raise UsageError(
                f"{self.name} needs more options",
                expected=", ".join(missing),
                found=", ".join(given) or "nothing",
            )
        return self.function(**{**self.options, **given})

    def parse(self, pairs: Sequence[str]) -> dict[str, Any]:
        """Return `KEY=VALUE` pairs as options, values read like YAML's: `5`, `[1, 2]`, `text`.

        Raises
        ------
        UsageError
            When a pair has no `=`, or a number is asked for and something else given.
        """
        wrong = [pair for pair in pairs if "=" not in pair]
        if wrong:
            raise UsageError("an option is KEY=VALUE", found=", ".join(wrong))
        known = self.parameters
        texts = dict(pair.split("=", 1) for pair in pairs)
        return {key: _parse(key, text, known.get(key)) for key, text in texts.items()}


def run_experiment(
    spec: ExperimentSpec, given: Mapping[str, Any], folder: Path, *, tracking_uri: str = ""
) -> str:
    """Run an experiment, write its files into `folder`, and return what to print.

    Parameters
    ----------
    spec : ExperimentSpec
    given : mapping
        Options by name.
    folder : Path
        Made when it does not exist.
    tracking_uri : str
        The MLflow store in which options, figures and files are logged; empty: none.

    Raises
    ------
    UsageError
        For unknown or missing options.
    """
    began, started = time.perf_counter(), time.time()
    result = spec.call(given)
    if isinstance(result, dict):
        result.setdefault("seconds", round(time.perf_counter() - began, 1))
    folder.mkdir(parents=True, exist_ok=True)
    text = spec.writer(result, folder)
    if tracking_uri:
        files = sorted(path for path in folder.iterdir() if path.stat().st_mtime >= started - 1)
        text += f"\nlogged as MLflow run {_log(spec.name, given, files, tracking_uri)}"
    return text


def write_json(result: Any, folder: Path) -> str:
    """Write `result.json` into `folder` and return its text."""
    text = as_text(result)
    (folder / RESULT_FILE).write_text(text + "\n", encoding="utf-8")
    return text


def as_text(result: Any) -> str:
    """Return a result of tables, dataclasses and mappings as JSON."""
    return json.dumps(_plain(result), indent=1, default=str, ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, pl.DataFrame):
        return value.to_dicts()
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def figures_of(value: Any, place: str = "") -> Iterator[tuple[str, float]]:
    """Yield every number in a result as `place/in/the/result` and its value.

    >>> list(figures_of({"parts": {"2011-08-01": {"auc_7d": 0.8, "seed": None}}}))
    [('parts/2011-08-01/auc_7d', 0.8)]

    A row of a table is named by its first text:

    >>> list(figures_of({"summary": [{"policy": "oracle", "blocks": 3}]}))
    [('summary/oracle/blocks', 3.0)]
    """
    if isinstance(value, bool) or value is None:
        return
    if isinstance(value, int | float):
        if math.isfinite(value):
            yield re.sub(r"[^\w./ -]", "_", place)[:250], float(value)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from figures_of(item, f"{place}/{key}" if place else str(key))
    elif isinstance(value, list):
        for row in value:
            texts = row.values() if isinstance(row, Mapping) else ()
            name = next((text for text in texts if isinstance(text, str)), "")
            if name:
                yield from figures_of(row, f"{place}/{name}" if place else name)


def _log(name: str, given: Mapping[str, Any], files: Sequence[Path], tracking_uri: str) -> str:
    """Log what a run wrote: its options, every figure in its results, and its files."""
    from nba.stores.runs import log_run

    figures: dict[str, float] = {}
    for path in files:
        if path.suffix == ".json":
            place = "" if path.name == RESULT_FILE else path.stem
            figures |= figures_of(json.loads(path.read_text(encoding="utf-8")), place)
    return log_run(tracking_uri, name, parameters=given, metrics=figures, files=files)


def _named(place: str) -> Callable[..., Any]:
    module, _, attribute = place.partition(":")
    function: Callable[..., Any] = getattr(import_module(module), attribute)
    return function


def _parse(key: str, text: str, default: Any) -> Any:
    import yaml

    value = yaml.safe_load(text)
    if isinstance(default, tuple | list) and not isinstance(value, list):
        value = [value]
    if isinstance(default, int | float) and not isinstance(value, int | float):
        raise UsageError(f"option {key} is a number", expected=f"like {default}", found=text)
    return value
