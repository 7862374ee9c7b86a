"""`nba bench NAME`: measurements that anyone can run again."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from importlib import import_module
from typing import Any, Final

import polars as pl

from nba.errors import UsageError

#: Name → "module:function"; the function's keyword arguments are the options.
BENCHES: Final[Mapping[str, str]] = {
    "affinity": "nba.jobs.bench_affinity:bench_affinity",
    "allocation": "nba.decisions.bench:bench_allocation",
    "closed_loop": "nba.jobs.closed_loop:bench_closed_loop",
    "engines": "nba.jobs.bench_features:bench_engines",
    "features": "nba.features.benchmark:bench_features",
    "ingest": "nba.data.bench:bench_ingest",
    "mode": "nba.evaluation.mode_bench:bench_mode",
    "observable": "nba.simulation.bench:bench_observable",
    "online": "nba.jobs.bench_features:bench_online",
    "policies": "nba.simulation.bench:bench_policies",
    "serving": "nba.serving.bench:bench_serving",
    "timing": "nba.evaluation.timing_bench:bench_timing",
}


def run_bench(name: str, options: Mapping[str, str]) -> Any:
    """Run a bench with options given as text.

    Raises
    ------
    UsageError
        For an unknown bench, an unknown option, or a value of the wrong type.
    """
    if name not in BENCHES:
        raise UsageError(
            f"there is no bench {name!r}", expected=f"one of {', '.join(BENCHES)}", found=name
        )
    module, _, attribute = BENCHES[name].partition(":")
    function = getattr(import_module(module), attribute)
    known = inspect.signature(function).parameters
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise UsageError(
            f"bench {name} has no option {', '.join(unknown)}",
            expected=", ".join(known),
            found=", ".join(unknown),
        )
    return function(**{key: _parse(key, text, known[key]) for key, text in options.items()})


def _parse(key: str, text: str, parameter: inspect.Parameter) -> Any:
    """Read a value as YAML's scalars and lists are read: `5`, `0.5`, `[1, 2]`, `text`."""
    import yaml

    value = yaml.safe_load(text)
    default = parameter.default
    if isinstance(default, tuple | list) and not isinstance(value, list):
        value = [value]
    if isinstance(default, int | float) and not isinstance(value, int | float):
        raise UsageError(f"option {key} is a number", expected=f"like {default}", found=text)
    return value


def parse_options(pairs: list[str]) -> dict[str, str]:
    """Return `KEY=VALUE` pairs as a dict."""
    wrong = [pair for pair in pairs if "=" not in pair]
    if wrong:
        raise UsageError("an option is KEY=VALUE", found=", ".join(wrong))
    return dict(pair.split("=", 1) for pair in pairs)


def as_text(result: Any) -> str:
    """Return what a bench gave as JSON."""
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
