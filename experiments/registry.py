"""Every experiment: a folder beside this file whose package holds a `SPEC`."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Final

from nba.jobs.experiment_spec import ExperimentSpec

FOLDER: Final = Path(__file__).resolve().parent


def experiments() -> Mapping[str, ExperimentSpec]:
    """Return all experiments by name."""
    packages = [module.name for module in iter_modules([str(FOLDER)]) if module.ispkg]
    modules = [import_module(f"experiments.{name}") for name in packages if name != "common"]
    specs: list[ExperimentSpec] = [module.SPEC for module in modules]
    return {spec.name: spec for spec in specs}
