"""The page of this folder names cases that are there, three at least for each kind."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

KINDS = (
    "guessing", "done twice differently", "mutable keys", "absence as normal",
    "stale state", "text and paths", "young data", "escaped errors",
)  # fmt: skip


def test_each_kind_has_three_named_cases_that_exist() -> None:
    folder = Path(__file__).parent
    page = (folder / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([a-z ]+) \| `(test_\w+)` \|", page, re.MULTILINE)
    tests = " ".join(path.read_text(encoding="utf-8") for path in folder.glob("test_*.py"))
    assert [name for _, name in rows if f"def {name}(" not in tests] == []
    counted = Counter(kind for kind, _ in rows)
    assert set(counted) == set(KINDS)
    assert min(counted.values()) >= 3
