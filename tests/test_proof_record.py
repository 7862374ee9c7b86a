"""What `make proof` keeps: a date and a result per suite."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from tests.proof_record import Record

SUITE = """
import pytest

def test_right(): pass

def test_wrong(): assert False

@pytest.mark.skip
def test_later(): pass
"""


def test_each_suite_has_a_date_and_a_result(repository: Path, tmp_path: Path) -> None:
    record, suite = tmp_path / "record", tmp_path / "test_suite.py"
    record.mkdir()
    kept = {"date": "2026-01-01", "version": "0.1.0", "passed": 2, "failed": 0, "skipped": 0}
    (record / "results.json").write_text(json.dumps({"test_kept.py": {**kept, "seconds": 1.0}}))
    suite.write_text(SUITE)
    results = run(repository, record, suite)
    assert results["test_kept.py"]["date"] == "2026-01-01"
    (ran,) = (result for name, result in results.items() if name.endswith("test_suite.py"))
    assert (ran["passed"], ran["failed"], ran["skipped"]) == (1, 1, 1)
    assert date.fromisoformat(ran["date"])
    suite.write_text(SUITE.replace("assert False", "pass"))
    results = run(repository, record, suite, "-k", "right or wrong", code=0)
    (part,) = (result for name, result in results.items() if name.endswith("test_suite.py"))
    # what was not run keeps its earlier outcome
    assert (part["passed"], part["failed"], part["skipped"]) == (2, 0, 1)
    page = (record / "results.md").read_text()
    assert page.count("\n| `") == 2
    assert "`test_kept.py` | 2026-01-01 | 0.1.0 | 2 | 0 | 0 | 0 | 1.0 |" in page
    assert "`jobs/test_kills.py`" in page.partition("Not run on this version yet: ")[2]


def test_a_suite_that_was_broken_off_says_what_is_missing(tmp_path: Path) -> None:
    record = Record(tmp_path, is_part=False)
    one = "tests/a/test_b.py::test_one"
    record.begin([one, "tests/a/test_b.py::test_two"])
    for when in ("setup", "call", "teardown"):
        report = pytest.TestReport(
            "tests/a/test_b.py::test_one", ("", 0, ""), {}, "passed", None, when
        )
        record.pytest_runtest_logreport(report)
    assert "| `a/test_b.py` |" in (page := (tmp_path / "results.md").read_text())
    assert " | 1 | 0 | 0 | 1 | " in page


def run(
    repository: Path, record: Path, suite: Path, *chosen: str, code: int = 1
) -> dict[str, dict[str, Any]]:
    """Run a suite in a process of its own, and return what is kept."""
    options = ["-p", "tests.proof_record", "-p", "no:cacheprovider", "--record", str(record)]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            *options,
            "--rootdir",
            str(suite.parent),
            str(suite),
            *chosen,
        ],
        cwd=repository,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(repository / "src"), str(repository)]),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    results: dict[str, dict[str, Any]] = json.loads((record / "results.json").read_text())
    return results
