"""The rule language: what it reads, what it refuses, what it means."""

import polars as pl
import pytest

from nba.features.expressions import ExpressionError, parse_expression

FACTS = pl.DataFrame(
    {
        "a": [1.0, 2.0, None],
        "kind": ["short", "group", None],
        "tag:vip": [True, False, False],
        "product.price": [5.0, 50.0, 500.0],
    }
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a > 1", [False, True, None]),
        ("not a > 1", [True, False, None]),
        ("0 < a < 2", [True, False, None]),
        ('kind in ["short", "premium"]', [True, False, None]),
        ('kind not in ["short"]', [False, True, None]),
        ("a is None", [False, False, True]),
        ("a is not None and tag('vip')", [True, False, False]),
        ("product.price * 2 - 10 >= 90", [False, True, True]),
        ("coalesce(a, 0) + 1", [2.0, 3.0, 1.0]),
        ("clip(coalesce(a, 9), 0, 3)", [1.0, 2.0, 3.0]),
        ("when(tag('vip'), 1, 0)", [1, 0, 0]),
        ("greatest(a, 1.5)", [1.5, 2.0, 1.5]),
        ("-a", [-1.0, -2.0, None]),
        ("true_fact == 1 or True", None),
    ],
)
def test_meaning(text: str, expected: list[object] | None) -> None:
    rule = parse_expression(text)
    if expected is None:
        assert rule.problems(FACTS.columns) == ["unknown fact 'true_fact'"]
        return
    assert FACTS.select(rule.polars().alias("x"))["x"].to_list() == expected


@pytest.mark.parametrize(
    "text",
    ["", "a >", "__import__('os')", "a[0]", "lambda: 1", "a if b else c", "open('x')", "a is 1",
     "f'{a}'", "a in b", "clip(a)", "tag(a)", "[x for x in a]", "a ** 9", "min(a, key=b)"],
)  # fmt: skip
def test_refuses_what_is_not_of_the_language(text: str) -> None:
    with pytest.raises(ExpressionError):
        parse_expression(text)


def test_unknown_names_suggest_the_nearest() -> None:
    rule = parse_expression("overdue_ration > 1 and tag('vipp')")
    assert rule.problems(["overdue_ratio", "tag:vip"]) == [
        "unknown fact 'overdue_ration'; did you mean overdue_ratio?",
        "unknown tag 'vipp'; did you mean vip?",
    ]
