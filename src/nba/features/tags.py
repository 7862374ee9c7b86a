"""Tags by rule: `features/tags.yaml`, read, checked and compiled to Ibis.

A rule is an expression of `nba.features.expressions` over the features of one entity. Tags
with the same `group` exclude each other: their rules are proven to have no customer in common,
else both are refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import combinations
from pathlib import Path
from typing import Any, Final, Literal

import ibis
import yaml
from ibis.expr import types as ir
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nba.errors import ConfigError
from nba.features import customer_tags
from nba.features.expressions import Engine, Expression, ExpressionError, parse_expression
from nba.features.rule_conflicts import example_of_conflict
from nba.features.view import IBIS_TYPES, Feature, Tables, View
from nba.schema.words import CUSTOMER_ID, TagSource
from nba.validation import problem_lines

#: The views whose features a rule over the customer reads, one row per customer.
CUSTOMER_VIEWS: Final = (
    "customer_state",
    "customer_behaviour",
    "customer_contact",
    "customer_browsing",
)
#: What a rule can be over: the views it reads, and how rows of one customer are ordered.
OVER: Final[Mapping[str, tuple[str, ...]]] = {
    "customer": CUSTOMER_VIEWS,
    "customer_category": ("customer_category",),
    "customer_product": ("customer_product",),
}


_TAG_SCHEMA: Final = {
    CUSTOMER_ID: "string",
    "tag": "string",
    "value": "string",
    "source": "string",
    "ts": "timestamp(6)",
    "expires_at": "timestamp(6)",
}


class TagName(BaseModel):
    """A tag's name as clerks read it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    zh: str = Field(description="Chinese name.", min_length=1)
    en: str = Field(description="English name.", min_length=1)


class TagRule(BaseModel):
    """One entry of `tags.yaml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: TagName = Field(description="What clerks read.")
    rule: str = Field(description="When it stands: an expression over features.")
    over: Literal["customer", "customer_category", "customer_product"] = Field(
        "customer",
        description="What the rule is over. Over pairs the tag stands where any pair fits.",
    )
    value: str = Field(
        "", description="The feature whose value the tag carries; over pairs the key counts too."
    )
    ttl_days: int = Field(description="Days for which it stands.", ge=1, le=3650)
    owner: str = Field(description="Who answers for it.", min_length=1)
    group: str = Field("", description="Tags of one group exclude each other.")


@dataclass(frozen=True)
class TagSet:
    """The checked rules of a project.

    Parameters
    ----------
    rules : mapping of str to TagRule
    expressions : mapping of str to Expression
    """

    rules: Mapping[str, TagRule]
    expressions: Mapping[str, Expression]

    def over(self, what: str) -> list[str]:
        """Return the names of the tags whose rule is over `what`."""
        return [name for name, rule in self.rules.items() if rule.over == what]


NO_TAGS: Final = TagSet({}, {})


def facts_of(what: str, views: Mapping[str, View]) -> dict[str, Feature]:
    """Return what a rule over `what` may read; a name that two views share needs its view."""
    features: dict[str, Feature] = {}
    for view_name in OVER[what]:
        view = views[view_name]
        for key in view.entity_keys[1:]:
            features[key] = Feature(key, "string", key)
        for name, feature in view.by_name.items():
            features[f"{view_name}.{name}"] = feature
            features.setdefault(name, feature)
    return features


def load_tags(path: Path, views: Mapping[str, View]) -> TagSet:
    """Read and check `tags.yaml`; an absent file holds no tags.

    Raises
    ------
    ConfigError
        With every problem: what cannot be read, unknown features with the nearest names,
        rules that can never hold, and contradictory rules, both named.
    """
    if not path.exists():
        return NO_TAGS
    try:
        raw = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeys)
        rules = {} if raw is None else dict(raw)
    except (OSError, ValueError, TypeError, yaml.YAMLError, RecursionError) as error:
        raise ConfigError(
            f"{path} cannot be read",
            expected="a UTF-8 YAML file that maps the names of tags to their rules",
            found=str(error),
            next_step="correct the file",
        ) from error
    return check_tags(rules, views, source=str(path))


def check_tags(raw: Mapping[str, Any], views: Mapping[str, View], *, source: str) -> TagSet:
    """Return the rules in `raw`, checked; see `load_tags`."""
    rules: dict[str, TagRule] = {}
    expressions: dict[str, Expression] = {}
    problems: list[str] = []
    for name, entry in raw.items():
        try:
            rules[name] = TagRule.model_validate(entry)
            expressions[name] = parse_expression(rules[name].rule)
        except ValidationError as error:
            problems += [f"{name}.{line}" for line in problem_lines(error, TagRule)]
        except ExpressionError as error:
            problems.append(f"{name}: {error}")
        else:
            problems += [f"{name}: {p}" for p in _problems(rules[name], expressions[name], views)]
    if not problems:
        problems = _contradictions(rules, expressions)
    if problems:
        raise ConfigError(
            f"{source} is wrong", next_step="correct the rules named", problems=problems
        )
    return TagSet(rules, expressions)


def _problems(rule: TagRule, expression: Expression, views: Mapping[str, View]) -> list[str]:
    facts = facts_of(rule.over, views)
    problems = expression.problems(facts)
    if rule.value:
        try:
            problems += parse_expression(rule.value).problems(facts)
        except ExpressionError as error:
            problems.append(f"value: {error}")
    if rule.group and rule.over != "customer":
        problems.append("a group is for rules over the customer: several pairs may fit at once")
    if not problems:
        try:
            built = expression.build(_engine(_sample(facts)))
        except Exception as error:  # an operator that does not fit the types of the features
            return [f"does not fit the types of its features: {error}".splitlines()[0]]
        if not isinstance(built, ir.BooleanValue | bool):
            problems.append("the rule is not a yes-or-no question")
    return problems


def _contradictions(
    rules: Mapping[str, TagRule], expressions: Mapping[str, Expression]
) -> list[str]:
    problems = [
        f"{name}: the rule can never hold"
        for name, expression in expressions.items()
        if example_of_conflict(expression) is None
    ]
    for rule, other in combinations(rules, 2):
        group = rules[rule].group
        if not group or group != rules[other].group or rules[rule].over != rules[other].over:
            continue
        example = example_of_conflict(expressions[rule], expressions[other])
        if example is not None:
            shown = ", ".join(f"{name} {value}" for name, value in sorted(example.items()))
            problems.append(
                f"{rule} and {other} contradict each other: both are of the group {group!r}, yet "
                f"both hold for {shown or 'every customer'}"
            )
    return problems


def _sample(facts: Mapping[str, Feature]) -> ir.Table:
    return ibis.table({name: IBIS_TYPES[fact.dtype] for name, fact in facts.items()}, name="facts")


def _value(value: Any) -> ir.Value:
    return value if isinstance(value, ir.Value) else ibis.literal(value)


def _engine(table: ir.Table) -> Engine:
    """Return the rule language on the columns of an Ibis table."""

    def column(name: str) -> ir.Value:
        return table[name] if name in table.columns else table[name.rpartition(".")[2]]

    return Engine(
        column=column,
        isin=lambda value, values: _value(value).isin(values),
        is_null=lambda value: _value(value).isnull(),
        functions={
            "coalesce": lambda *values: ibis.coalesce(*map(_value, values)),
            "least": lambda *values: ibis.least(*map(_value, values)),
            "greatest": lambda *values: ibis.greatest(*map(_value, values)),
            "clip": lambda value, low, high: ibis.greatest(ibis.least(value, high), low),
            "abs": lambda value: _value(value).abs(),
            "sqrt": lambda value: _value(value).sqrt(),
            "log1p": lambda value: (_value(value) + 1).ln(),
            "when": lambda test, yes, no: ibis.ifelse(_value(test), yes, no),
        },
    )


def _entity_table(
    what: str, tables: Tables, as_of: datetime, views: Mapping[str, View]
) -> ir.Table:
    """Return the features that rules over `what` read, joined on the customer."""
    joined: ir.Table | None = None
    for name in OVER[what]:
        built = (
            tables[f"view:{name}"] if f"view:{name}" in tables else views[name].build(tables, as_of)
        )
        if joined is None:
            joined = built
            continue
        shared = [column for column in built.columns[1:] if column in joined.columns]
        joined = joined.left_join(built.drop(*shared), CUSTOMER_ID).drop("customer_id_right")
    assert joined is not None
    return joined


def ruled(
    tags: TagSet, what: str, tables: Tables, as_of: datetime, views: Mapping[str, View]
) -> ir.Table | None:
    """Return the tags that the rules over `what` give at `as_of`, or None without such rules.

    Parameters
    ----------
    tags : TagSet
    what : str
        A key of `OVER`: `customer`, or a pair such as `customer_category`.
    tables : mapping of str to ibis.Table
        Tables of the contract; a view that stands there as `view:NAME` is not built again.
    as_of : datetime
    views : mapping of str to View
        By name, for those that the rules read.
    """
    names = tags.over(what)
    if not names:
        return None
    facts = _entity_table(what, tables, as_of, views)
    engine = _engine(facts)
    held = [
        ibis.ifelse(_value(tags.expressions[name].build(engine)), ibis.literal(name), None)
        for name in names
    ]
    valued = {name: tags.rules[name].value for name in names if tags.rules[name].value}
    values = {
        f"value_{i}": _value(parse_expression(text).build(engine)).cast("string")
        for i, text in enumerate(valued.values())
    }
    rows = facts.select(CUSTOMER_ID, **values, tag=ibis.array(held).unnest())
    rows = rows.filter(rows.tag.notnull())
    branches = [(rows.tag == name, rows[f"value_{i}"]) for i, name in enumerate(valued)]
    nothing = ibis.literal(None, type="string")
    value = ibis.cases(*branches, else_=nothing) if branches else nothing
    tagged = rows.select(CUSTOMER_ID, "tag", value=value)
    # Over pairs several rows may fit: the tag stands once, with the first value by name.
    return tagged.group_by([CUSTOMER_ID, "tag"]).agg(value=tagged.value.min())


def _expiry(tags: TagSet, tag: ir.StringColumn, as_of: datetime) -> ir.Value:
    by_days: dict[int, list[str]] = {}
    for name, rule in tags.rules.items():
        by_days.setdefault(rule.ttl_days, []).append(name)
    return ibis.cases(
        *(
            (tag.isin(names), ibis.timestamp(as_of + timedelta(days=days)))
            for days, names in by_days.items()
        ),
        else_=ibis.literal(None, type="timestamp"),
    )


def tag_view(tags: TagSet, views: Mapping[str, View]) -> View:
    """Return the view `customer_tags` with the rules of a project beside the declared tags."""
    if not tags.rules:
        return customer_tags.VIEW

    def build(tables: Tables, as_of: datetime) -> ir.Table:
        parts = [customer_tags.declared(tables, as_of)]
        for what in OVER:
            tagged = ruled(tags, what, tables, as_of, views)
            if tagged is not None:
                parts.append(
                    tagged.select(
                        CUSTOMER_ID,
                        "tag",
                        "value",
                        source=ibis.literal(str(TagSource.RULE)),
                        ts=ibis.timestamp(as_of),
                        expires_at=_expiry(tags, tagged.tag, as_of),
                    )
                )
        typed = [part.cast(_TAG_SCHEMA) for part in parts]
        return customer_tags.strongest(ibis.union(*typed) if len(typed) > 1 else typed[0])

    needs = tuple(name for what in OVER if tags.over(what) for name in OVER[what])
    base = customer_tags.VIEW
    return View(
        base.name,
        base.entity_keys,
        build,
        base.features,
        base.meaning,
        base.owner,
        base.ttl_days,
        needs,
    )


def with_tags(views: Mapping[str, View], tags: TagSet) -> dict[str, View]:
    """Return `views` with the tag view of a project in its place."""
    return {
        name: tag_view(tags, views) if name == customer_tags.VIEW.name else view
        for name, view in views.items()
    }


class _UniqueKeys(yaml.SafeLoader):
    """YAML that refuses the same key twice: the second would silently win."""


def _mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: dict[Any, yaml.Node] = {}
    for key_node, _ in node.value:
        key = loader.construct_object(key_node)
        if key in seen:
            raise yaml.constructor.ConstructorError(
                None,
                None,
                f"{key!r} stands twice, in line {seen[key].start_mark.line + 1} and in line "
                f"{key_node.start_mark.line + 1}",
                key_node.start_mark,
            )
        seen[key] = key_node
    return loader.construct_mapping(node, deep=True)


_UniqueKeys.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
