"""A pytest plugin that keeps what each suite came to, with its date: `make proof` uses it.

`--record FOLDER` writes `results.json` and `results.md` there after each test, so that a suite may
be run in parts. A suite is a test file; suites that were not run this time keep their earlier line,
and tests of a suite that were not selected (`-k`, `FILE::TEST`) keep their earlier outcome. The
page says how many tests of a suite have none yet, and names the suites that have no line at all.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import nba

OUTCOMES = ("passed", "failed", "skipped")
_COLUMNS = ("date", "version", *OUTCOMES, "not_run", "seconds")
#: How a test says that it is a proof.
_MARK = "pytest.mark." + "proof"
_TESTS = Path(__file__).parent


class Record:
    """Keeps the outcome of each test while they run.

    Parameters
    ----------
    folder : Path
        Where the two files are kept.
    is_part : bool
        Some tests of the suites were not selected.
    """

    def __init__(self, folder: Path, *, is_part: bool) -> None:
        self.folder = folder
        self.is_part = is_part
        self.has_begun = False
        path = folder / "results.json"
        self.results: dict[str, dict[str, Any]] = (
            json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        )

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Begin, where the tests run in this process."""
        self.begin([item.nodeid for item in session.items])

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        """Begin, where they run in others."""
        self.begin(ids)

    def begin(self, ids: Sequence[str]) -> None:
        """Forget what the suites came to before, but for tests that are not run this time."""
        if self.has_begun or not ids:
            return
        self.has_begun = True
        chosen = {(_suite(one), _test(one)) for one in ids}
        for suite in {suite for suite, _ in chosen}:
            before = self.results.get(suite, {}).get("tests", {}) if self.is_part else {}
            kept = {name: one for name, one in before.items() if (suite, name) not in chosen}
            known = self.results.get(suite, {}).get("collected", 0) if self.is_part else 0
            number = len({test for own, test in chosen if own == suite} | kept.keys())
            self.results[suite] = {"tests": kept, "collected": max(number, known)}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take one phase of one test: its call, or what kept it from one."""
        tests = self.results[_suite(report.nodeid)]["tests"]
        result = tests.setdefault(_test(report.nodeid), {"outcome": "", "seconds": 0.0})
        result["seconds"] = round(result["seconds"] + report.duration, 1)
        if report.when == "call" or report.outcome != "passed":
            result["outcome"] = report.outcome
            result["date"] = datetime.now(UTC).date().isoformat()
        if report.when == "teardown":
            self.write()

    def write(self) -> None:
        """Write the results of all suites."""
        for suite, result in self.results.items():
            if tests := result.get("tests"):
                self.results[suite] = _summed(tests, result.get("collected", len(tests)))
        results = {suite: one for suite, one in sorted(self.results.items()) if "passed" in one}
        self.folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(results, indent=1) + "\n"
        (self.folder / "results.json").write_text(text, encoding="utf-8")
        (self.folder / "results.md").write_text(table(results), encoding="utf-8")


def _suite(nodeid: str) -> str:
    return nodeid.partition("::")[0].removeprefix("tests/")


def _test(nodeid: str) -> str:
    return nodeid.partition("::")[2]


def _summed(tests: dict[str, dict[str, Any]], collected: int) -> dict[str, Any]:
    """Return a suite's line: its latest date, how many tests came to what, their seconds."""
    outcomes = Counter(test["outcome"] for test in tests.values())
    return {
        "date": max(test.get("date", "") for test in tests.values()),
        "version": nba.__version__,
        **{outcome: outcomes[outcome] for outcome in OUTCOMES},
        "not_run": max(collected - sum(outcomes[outcome] for outcome in OUTCOMES), 0),
        "collected": collected,
        "seconds": round(sum(test["seconds"] for test in tests.values()), 1),
        "tests": tests,
    }


def proof_suites() -> list[str]:
    """Return the files of the tests that hold a proof."""
    paths = sorted(_TESTS.rglob("test_*.py"))
    return [
        path.relative_to(_TESTS).as_posix()
        for path in paths
        if _MARK in path.read_text(encoding="utf-8")
    ]


def table(results: dict[str, dict[str, Any]]) -> str:
    """Return the results as a page: a line per suite."""
    lines = [
        "# What the long suites came to",
        "",
        "Written by `make proof`; each suite with the day of its latest run.",
        "",
        "| suite | date | version | passed | failed | skipped | not run | seconds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| `{suite}` | " + " | ".join(str(result.get(name, 0)) for name in _COLUMNS) + " |"
        for suite, result in results.items()
    ]
    if waiting := [suite for suite in proof_suites() if suite not in results]:
        lines += ["", "Not run on this version yet: " + ", ".join(f"`{s}`" for s in waiting) + "."]
    return "\n".join(lines) + "\n"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the folder of the record."""
    parser.addoption("--record", type=Path, default=None, help="Keep each suite's result there.")


def pytest_configure(config: pytest.Config) -> None:
    """Begin to count where a folder is given."""
    folder = config.getoption("--record")
    if folder is not None and not hasattr(config, "workerinput"):
        is_part = bool(config.option.keyword) or any("::" in name for name in config.args)
        config.pluginmanager.register(Record(folder, is_part=is_part), "proof-record")
