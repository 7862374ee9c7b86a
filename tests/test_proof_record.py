"""What `make proof` keeps: a date and a result per suite."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path

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
    options = ["-p", "tests.proof_record", "-p", "no:cacheprovider", "--record", str(record)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--rootdir", str(tmp_path), str(suite)],
        cwd=repository,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(repository / "src"), str(repository)]),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    results = json.loads((record / "results.json").read_text())
    assert results["test_kept.py"]["date"] == "2026-01-01"
    (ran,) = (result for name, result in results.items() if name.endswith("test_suite.py"))
    assert (ran["passed"], ran["failed"], ran["skipped"]) == (1, 1, 1)
    assert date.fromisoformat(ran["date"])
    page = (record / "results.md").read_text()
    assert page.count("\n| `") == 2
    assert "`test_kept.py` | 2026-01-01 | 0.1.0 | 2 | 0 | 0 | 1.0 |" in page
