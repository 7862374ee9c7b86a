"""Fixtures of the decision tests."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl
import pytest

from nba.decisions import DecisionFiles, load_decision_files

HERE = Path(__file__).parent
SERVING = HERE.parents[1] / "serving"


def _world() -> ModuleType:
    name = "decisions_world"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, HERE / "world.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture(scope="session")
def world() -> Any:
    """The module that makes random inputs."""
    return _world()


@pytest.fixture(scope="session")
def make_inputs(world: Any) -> Callable[..., dict[str, pl.DataFrame]]:
    return world.make_inputs  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def files() -> DecisionFiles:
    """The catalogue, policy and levers of the template."""
    return load_decision_files(SERVING)
