"""Feast is imported in one place, without the rewriting of its classes, and typeguard is restored.

What costs seconds at import is paid for where it is used: the command line's help, an ingest and a
run with nothing to do import neither Feast nor MLflow.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PROBE = """
import sys, typeguard
before = typeguard.typechecked
import nba.stores.feast_import
from feast import Entity
assert typeguard.typechecked is before
names = {name for function in vars(Entity).values() if hasattr(function, "__code__")
         for name in function.__code__.co_names}
assert not any("check_" in name and "type" in name for name in names), names
"""


def imports(path: Path) -> set[str]:
    """Return the top-level packages that a module imports, lazily or not."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def test_only_one_module_imports_feast(repository: Path) -> None:
    source = repository / "src" / "nba"
    found = [
        str(path.relative_to(source)) for path in source.rglob("*.py") if "feast" in imports(path)
    ]
    assert found == ["stores/feast_import.py"]


def test_feasts_classes_are_as_written_and_typeguard_is_restored() -> None:
    subprocess.run([sys.executable, "-W", "ignore", "-c", PROBE], check=True)


@pytest.mark.parametrize(
    "module", ["nba.cli", "nba.jobs.ingest", "nba.jobs.nightly", "nba.serving.run"]
)
def test_what_costs_seconds_waits_for_its_use(module: str) -> None:
    heavy = "{'feast', 'mlflow', 'pyspark', 'matplotlib', 'cornac', 'lightgbm'}"
    code = f"import sys, {module}; print(*sorted({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == []
