"""A pytest plugin that keeps what each suite came to, with its date: `make proof` uses it.

`--record FOLDER` writes `results.json` and `results.md` there. A suite is a test file; suites that
were not run this time keep their earlier line.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import nba

OUTCOMES = ("passed", "failed", "skipped")


class Record:
    """Counts outcomes per suite while the tests run.

    Parameters
    ----------
    folder : Path
        Where the two files are kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.outcomes: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.seconds: defaultdict[str, float] = defaultdict(float)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count one phase of one test: its call, or what kept it from one."""
        suite = report.nodeid.partition("::")[0].removeprefix("tests/")
        self.seconds[suite] += report.duration
        if report.when == "call" or report.outcome != "passed":
            self.outcomes[suite][report.outcome] += 1

    def pytest_sessionfinish(self) -> None:
        """Write the results of the suites that were run over those kept before."""
        path = self.folder / "results.json"
        results = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        for suite, counts in self.outcomes.items():
            results[suite] = {
                "date": datetime.now(UTC).date().isoformat(),
                "version": nba.__version__,
                **{outcome: counts[outcome] for outcome in OUTCOMES},
                "seconds": round(self.seconds[suite], 1),
            }
        results = dict(sorted(results.items()))
        self.folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        (self.folder / "results.md").write_text(table(results), encoding="utf-8")


def table(results: dict[str, dict[str, Any]]) -> str:
    """Return the results as a page: a line per suite."""
    lines = [
        "# What the long suites came to",
        "",
        "Written by `make proof`; each suite with the day of its latest run.",
        "",
        "| suite | date | version | passed | failed | skipped | seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| `{suite}` | " + " | ".join(str(value) for value in result.values()) + " |"
        for suite, result in results.items()
    ]
    return "\n".join(lines) + "\n"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the folder of the record."""
    parser.addoption("--record", type=Path, default=None, help="Keep each suite's result there.")


def pytest_configure(config: pytest.Config) -> None:
    """Begin to count where a folder is given."""
    folder = config.getoption("--record")
    if folder is not None:
        config.pluginmanager.register(Record(folder), "proof-record")
