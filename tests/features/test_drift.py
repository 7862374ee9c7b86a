"""Drift between snapshots, against numbers worked by hand."""

from __future__ import annotations

import math

import polars as pl
import pytest

from nba.features.drift import categorical_psi, compare, psi
from nba.features.view import Feature, View

VIEW = View(
    "shop",
    ("id",),
    lambda tables, as_of: tables["shop"],
    (Feature("x", "float64", "a number"), Feature("kind", "string", "a name")),
    "a view",
)


def frame(xs: list[float | None], kinds: list[str | None]) -> pl.DataFrame:
    return pl.DataFrame(
        {"id": [str(i) for i in range(len(xs))], "x": xs, "kind": kinds},
        schema={"id": pl.String, "x": pl.Float64, "kind": pl.String},
    )


def test_the_index_of_two_names_by_hand() -> None:
    # .5/.5 to .8/.2: (.8 - .5) ln(.8/.5) + (.2 - .5) ln(.2/.5)
    old = pl.Series(["a"] * 5 + ["b"] * 5)
    new = pl.Series(["a"] * 8 + ["b"] * 2)
    expected = 0.3 * math.log(1.6) - 0.3 * math.log(0.4)
    assert categorical_psi(old, new) == pytest.approx(expected)


def test_the_index_of_two_numbers_is_that_of_two_names() -> None:
    old, new = [0.0] * 5 + [1.0] * 5, [0.0] * 8 + [1.0] * 2
    expected = 0.3 * math.log(1.6) - 0.3 * math.log(0.4)
    assert psi(old, new) == pytest.approx(expected)


def test_what_stands_still_passes() -> None:
    old = frame([float(i) for i in range(100)], ["a", "b"] * 50)
    assert all(check.passed for check in compare(VIEW, old, old))


def test_each_change_warns_by_name() -> None:
    old = frame([float(i) for i in range(100)], ["a", "b"] * 50)
    new = frame([float(i) + 80 for i in range(60)] + [None] * 10, ["c"] * 70)
    lines = [check.line() for check in compare(VIEW, old, new) if not check.passed]
    assert [line.split(":")[0] for line in lines] == [
        "WARN shop rows",
        "WARN shop.x null_rate",
        "WARN shop.x psi",
        "WARN shop.kind new_values",
        "WARN shop.kind psi",
    ]
    assert "100 → 70 (-30.0%)" in lines[0]
    assert "0.000 → 0.143" in lines[1]
