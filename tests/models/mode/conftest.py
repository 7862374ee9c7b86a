"""Planted worlds for the tests of mode models."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

_PATH = Path(__file__).parent / "planted.py"


@pytest.fixture(scope="session")
def planted() -> Callable[..., Any]:
    spec = importlib.util.spec_from_file_location("planted_worlds", _PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.planted
