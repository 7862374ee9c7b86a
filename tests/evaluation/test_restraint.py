"""Who got nothing, and why."""

from __future__ import annotations

from typing import Any, cast

import polars as pl

from nba.evaluation.impact.inputs import ImpactInputs
from nba.evaluation.impact.restraint import nothing_table


class Log:
    """The log of a report, which is all that is read."""

    def __init__(self, *rows: tuple[str, str, str, str | None, float | None]) -> None:
        names = ("customer_id", "arm", "mode", "closed", "best_value")
        self.log = pl.DataFrame(
            rows, schema=dict.fromkeys(names, pl.String) | {"best_value": pl.Float64},
            orient="row",
        )  # fmt: skip


def reasons(*rows: Any) -> dict[str, int]:
    table = nothing_table(cast(ImpactInputs, Log(*rows)))
    return dict(table.select("reason", "customers").iter_rows())


def test_the_random_arm_is_left_out_by_the_draw_not_by_minutes() -> None:
    found = reasons(
        ("a", "engine", "none", None, 3.0),
        ("b", "engine", "none", None, -1.0),
        ("c", "random", "none", None, 3.0),
        ("d", "random", "none", None, -1.0),
        ("e", "random", "none", "cool_down", None),
        ("f", "random", "topic_expert", None, 2.0),
        ("g", "holdout", "none", None, 3.0),
    )
    assert found == {"not_drawn": 2, "others_first": 1, "not_worth_it": 1, "cool_down": 1}
