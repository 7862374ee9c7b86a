"""Tags by rule: read, checked, refused by name, and standing beside those of clerks."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nba.errors import ConfigError
from nba.features import VIEWS
from nba.features.expressions import parse_expression
from nba.features.rule_conflicts import example_of_conflict
from nba.features.tags import CUSTOMER_VIEWS, OVER, check_tags, load_tags, with_tags

AS_OF = datetime(2025, 9, 1)
FULL = {"name": {"zh": "甲", "en": "A"}, "ttl_days": 3, "owner": "crm"}


def tag(rule: str, **more: Any) -> dict[str, Any]:
    return {**FULL, "rule": rule, **more}


def problems(raw: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        check_tags(raw, VIEWS, source="tags.yaml")
    return list(caught.value.problems)


def test_the_template_has_thirty_tags_in_two_languages(repository: Path) -> None:
    tags = load_tags(repository / "features" / "tags.yaml", VIEWS)
    assert len(tags.rules) >= 30
    assert all(rule.name.zh and rule.name.en and rule.ttl_days for rule in tags.rules.values())


def test_no_two_customer_views_share_a_feature() -> None:
    names = [name for view in CUSTOMER_VIEWS for name in VIEWS[view].by_name]
    assert len(names) == len(set(names))


def test_contradictory_rules_are_refused_with_both_named() -> None:
    raw = {
        "young": tag("days_since_purchase <= 30", group="age"),
        "old": tag("days_since_purchase >= 20 and orders > 2", group="age"),
        "apart": tag("days_since_purchase > 100 and orders <= 2", group="age"),
    }
    (line,) = problems(raw)
    assert line.startswith("young and old contradict each other")
    assert "'age'" in line
    assert "days_since_purchase" in line


def test_a_rule_that_never_holds_is_refused() -> None:
    assert problems({"never": tag("orders > 3 and orders < 2")}) == [
        "never: the rule can never hold"
    ]


def test_unknown_features_suggest_the_nearest_and_all_problems_come_at_once() -> None:
    found = problems(
        {
            "a": tag("overdue_ration > 1"),
            "b": tag("import os"),
            "c": {"rule": "orders > 1"},
            "d": tag("orders > 'x'"),
            "e": tag("orders + 1"),
        }
    )
    text = "\n".join(found)
    assert "a: unknown fact 'overdue_ration'; did you mean overdue_ratio" in text
    assert "b: cannot read" in text
    assert "c.name" in text
    assert "d: does not fit the types" in text
    assert "e: the rule is not a yes-or-no question" in text


def test_a_tag_named_twice_in_the_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tags.yaml"
    entry = "{name: {zh: 甲, en: A}, rule: orders > 1, ttl_days: 1, owner: x}"
    path.write_text(f"a: {entry}\na: {entry}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="stands twice, in line 1 and in line 2"):
        load_tags(path, VIEWS)


@pytest.fixture(scope="module")
def loaded(make_tables: Callable[..., Any], to_duckdb: Callable[..., Any]) -> dict[str, Any]:
    return to_duckdb(make_tables(7))


def tag_frame(loaded: dict[str, Any], raw: dict[str, Any], as_of: datetime = AS_OF) -> pl.DataFrame:
    tags = check_tags(raw, VIEWS, source="test")
    return with_tags(VIEWS, tags)["customer_tags"].build(loaded, as_of).to_polars()


def test_every_rule_of_the_template_means_what_polars_says(
    loaded: dict[str, Any], repository: Path
) -> None:
    tags = load_tags(repository / "features" / "tags.yaml", VIEWS)
    frame = with_tags(VIEWS, tags)["customer_tags"].build(loaded, AS_OF).to_polars()
    found = frame.filter(pl.col("source") == "rule")
    facts = {
        "customer": VIEWS["customer_state"].build(loaded, AS_OF).to_polars(),
        "customer_category": VIEWS["customer_category"].build(loaded, AS_OF).to_polars(),
        "customer_product": VIEWS["customer_product"].build(loaded, AS_OF).to_polars(),
    }
    for view in OVER["customer"][1:]:
        part = VIEWS[view].build(loaded, AS_OF).to_polars()
        facts["customer"] = facts["customer"].join(part, on="customer_id", how="left")
    held = 0
    for name, rule in tags.rules.items():
        rows = facts[rule.over].filter(tags.expressions[name].polars())
        expected = set(rows["customer_id"])
        assert set(found.filter(pl.col("tag") == name)["customer_id"]) == expected, name
        held += bool(expected)
    assert held > 20


def test_tags_of_a_group_never_stand_together(loaded: dict[str, Any], repository: Path) -> None:
    tags = load_tags(repository / "features" / "tags.yaml", VIEWS)
    frame = with_tags(VIEWS, tags)["customer_tags"].build(loaded, AS_OF).to_polars()
    groups = {name: rule.group for name, rule in tags.rules.items() if rule.group}
    grouped = frame.with_columns(group=pl.col("tag").replace_strict(groups, default=None))
    counted = grouped.filter(pl.col("group").is_not_null()).group_by("customer_id", "group").len()
    assert counted["len"].max() == 1


def test_a_rule_carries_its_value_and_expires(loaded: dict[str, Any]) -> None:
    frame = tag_frame(loaded, {"fan": tag("orders >= 1", value="main_category")})
    rows = frame.filter(pl.col("tag") == "fan")
    behaviour = VIEWS["customer_behaviour"].build(loaded, AS_OF).to_polars()
    joined = rows.join(behaviour, on="customer_id")
    assert (joined["value"] == joined["main_category"]).all()
    assert rows["ts"].unique().to_list() == [AS_OF]
    assert rows["expires_at"].unique().to_list() == [AS_OF + timedelta(days=3)]


def test_a_clerks_tag_wins_over_a_rule_until_it_expires(
    make_tables: Callable[..., Any], make_arrow: Callable[..., Any], to_duckdb: Callable[..., Any]
) -> None:
    arrow = make_tables(7)
    state = VIEWS["customer_state"].build(to_duckdb(arrow), AS_OF - timedelta(days=9)).to_polars()
    who = state["customer_id"].sort()[0]
    until = AS_OF + timedelta(days=1)
    arrow["tags"] = make_arrow(
        "tags",
        {
            "customer_id": [who, who],
            "tag": ["fan", "fan"],
            "ts": [AS_OF - timedelta(days=9), AS_OF - timedelta(days=5)],
            "value": ["older", "said by hand"],
            "source": ["clerk", "clerk"],
            "expires_at": [None, until],
        },
    )
    loaded = to_duckdb(arrow)
    everyone = {"fan": tag("is_friend or not is_friend")}

    def standing(as_of: datetime) -> list[tuple[str | None, str]]:
        rows = tag_frame(loaded, everyone, as_of).filter(pl.col("customer_id") == who)
        return list(rows.select("value", "source").iter_rows())

    assert standing(AS_OF) == [("said by hand", "clerk")]
    assert standing(until) == [(None, "rule")]
    assert standing(AS_OF - timedelta(days=6)) == [("older", "clerk")]


_ATOMS = st.sampled_from(
    [f"{name} {sign} {value}" for name in "ab" for sign in ("<", "<=", "==", "!=", ">", ">=")
     for value in (0, 1, 2)]
    + ["a is None", "b is not None", "a < b", "a >= b", "flag", "k in ['x', 'y']", "k != 'x'",
       "coalesce(a, 1) > 0", "0 < a <= 2"]
)  # fmt: skip


def _rules(depth: int) -> st.SearchStrategy[str]:
    if depth == 0:
        return _ATOMS
    inner = _rules(depth - 1)
    pair = st.tuples(inner, st.sampled_from(["and", "or"]), inner)
    return st.one_of(_ATOMS, pair.map(lambda p: f"({p[0]}) {p[1]} (not ({p[2]}))"))


_GRID = pl.DataFrame(
    [
        {"a": a, "b": b, "flag": flag, "k": k}
        for a in (None, -1.0, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0)
        for b in (None, -1.0, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0)
        for flag in (True, False)
        for k in ("x", "y", "z")
    ],
    schema={"a": pl.Float64, "b": pl.Float64, "flag": pl.Boolean, "k": pl.String},
)


@given(_rules(2), _rules(2))
def test_rules_proven_apart_have_no_row_in_common(one: str, other: str) -> None:
    first, second = parse_expression(one), parse_expression(other)
    together = _GRID.filter(first.polars() & second.polars())
    if example_of_conflict(first, second) is None:
        assert together.is_empty()
    elif "a <" not in one + other and "a >=" not in one + other:
        # Without a comparison between features the procedure is exact on this grid.
        assert not together.is_empty()
