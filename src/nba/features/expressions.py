"""One small rule language for tags, eligibility and values.

A rule is a Python-like expression over named facts: comparisons, arithmetic, `and`, `or`,
`not`, `in [...]`, `is None`, `tag("name")` and a few functions. It is parsed once into a
whitelisted syntax tree and then built for any engine whose columns overload the operators:
polars here, Ibis (DuckDB, Spark) in the feature views.

An unknown fact (null) makes a comparison unknown; who filters with a rule treats unknown
as false.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any, Final

import polars as pl

from nba.validation import nearest

#: Functions of the language: name to (fewest, most) arguments.
FUNCTIONS: Final[Mapping[str, tuple[int, int]]] = {
    "coalesce": (2, 8),
    "least": (2, 8),
    "greatest": (2, 8),
    "clip": (3, 3),
    "abs": (1, 1),
    "sqrt": (1, 1),
    "log1p": (1, 1),
    "when": (3, 3),
}
#: `tag("name")` reads the fact of this name.
TAG_PREFIX: Final = "tag:"

_BINARY: Final[Mapping[type[ast.operator], Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_COMPARE: Final[Mapping[type[ast.cmpop], Callable[[Any, Any], Any]]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_Literal = str | int | float | bool


class ExpressionError(ValueError):
    """A rule cannot be read; the message names the part that is wrong."""


@dataclass(frozen=True)
class Engine:
    """What a rule needs from an engine beyond overloaded operators.

    Parameters
    ----------
    column : callable
        From the name of a fact to a column.
    isin, is_null : callable
        `isin(value, list)` and `is_null(value)`.
    functions : mapping
        An implementation for every name in `FUNCTIONS`.
    """

    column: Callable[[str], Any]
    isin: Callable[[Any, list[_Literal]], Any]
    is_null: Callable[[Any], Any]
    functions: Mapping[str, Callable[..., Any]]


@dataclass(frozen=True)
class Expression:
    """A parsed rule.

    Parameters
    ----------
    text : str
        As written.
    names : frozenset of str
        The facts that it reads; a tag reads `tag:NAME`.

    Examples
    --------
    >>> rule = parse_expression('overdue_ratio > 1 and not tag("vip")')
    >>> sorted(rule.names)
    ['overdue_ratio', 'tag:vip']
    """

    text: str
    tree: ast.expr
    names: frozenset[str]

    def build(self, engine: Engine) -> Any:
        """Return the rule as an expression of `engine`."""
        return _build(self.tree, engine)

    def polars(self) -> pl.Expr:
        """Return the rule as a polars expression over columns named like the facts."""
        built = self.build(POLARS)
        return built if isinstance(built, pl.Expr) else pl.lit(built)

    def problems(self, known: Iterable[str]) -> list[str]:
        """Return a line for each fact that is not among `known`, with the nearest names."""
        known = set(known)
        lines = []
        for name in sorted(self.names - known):
            is_tag = name.startswith(TAG_PREFIX)
            same_kind = {other for other in known if other.startswith(TAG_PREFIX) == is_tag}
            shown = name.removeprefix(TAG_PREFIX)
            hint = nearest(shown, (other.removeprefix(TAG_PREFIX) for other in same_kind))
            kind = "tag" if is_tag else "fact"
            lines.append(f"unknown {kind} {shown!r}" + (f"; {hint}" if hint else ""))
        return lines


def parse_expression(text: str | int | float | bool) -> Expression:
    """Parse a rule.

    Raises
    ------
    ExpressionError
        When the text is not of the language.
    """
    source = str(text).strip()
    try:
        tree = ast.parse(source, mode="eval").body
    except (SyntaxError, ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        raise ExpressionError(f"cannot read {source!r}: {reason}") from error
    names: set[str] = set()
    _check(tree, names)
    return Expression(source, tree, frozenset(names))


def _check(node: ast.expr, names: set[str]) -> None:
    """Refuse what is not of the language and collect the names of facts."""
    match node:
        case ast.Constant(value=bool() | int() | float() | str()):
            return
        case ast.Name(id=name):
            names.add(name)
        case ast.Attribute():
            names.add(_dotted(node))
        case ast.BoolOp(values=values):
            for value in values:
                _check(value, names)
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            _check(operand, names)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            _check(left, names)
            _check(right, names)
        case ast.Compare():
            _check_compare(node, names)
        case ast.Call():
            _check_call(node, names)
        case _:
            raise ExpressionError(f"{ast.unparse(node)!r} is not part of the rule language")


def _check_compare(node: ast.Compare, names: set[str]) -> None:
    _check(node.left, names)
    for op, right in zip(node.ops, node.comparators, strict=True):
        if isinstance(op, ast.In | ast.NotIn):
            _literals(right)
        elif isinstance(op, ast.Is | ast.IsNot):
            if not (isinstance(right, ast.Constant) and right.value is None):
                raise ExpressionError(f"'is' compares with None only: {ast.unparse(node)!r}")
        elif type(op) in _COMPARE:
            _check(right, names)
        else:
            raise ExpressionError(f"{ast.unparse(node)!r} is not part of the rule language")


def _check_call(node: ast.Call, names: set[str]) -> None:
    name = node.func.id if isinstance(node.func, ast.Name) else ast.unparse(node.func)
    if node.keywords:
        raise ExpressionError(f"{name}() takes no named arguments")
    if name == "tag":
        names.add(_tag(node))
        return
    if name not in FUNCTIONS:
        hint = nearest(name, [*FUNCTIONS, "tag"])
        raise ExpressionError(f"unknown function {name!r}" + (f"; {hint}" if hint else ""))
    fewest, most = FUNCTIONS[name]
    if not fewest <= len(node.args) <= most:
        raise ExpressionError(f"{name}() takes {fewest} to {most} arguments, got {len(node.args)}")
    for argument in node.args:
        _check(argument, names)


def _tag(node: ast.Call) -> str:
    match node.args:
        case [ast.Constant(value=str(tag))]:
            return TAG_PREFIX + tag
    raise ExpressionError('tag() takes one name in quotes, as in tag("vip")')


def _dotted(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=attribute):
            return f"{_dotted(value)}.{attribute}"
    raise ExpressionError(f"{ast.unparse(node)!r} is not part of the rule language")


def _literals(node: ast.expr) -> list[_Literal]:
    if isinstance(node, ast.List | ast.Tuple) and all(
        isinstance(item, ast.Constant) and isinstance(item.value, str | int | float)
        for item in node.elts
    ):
        return [item.value for item in node.elts if isinstance(item, ast.Constant)]  # type: ignore[misc]
    raise ExpressionError(f"'in' wants a list of plain values, found {ast.unparse(node)!r}")


def _build(node: ast.expr, engine: Engine) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name() | ast.Attribute():
            return engine.column(_dotted(node))
        case ast.BoolOp(op=op, values=values):
            join = operator.and_ if isinstance(op, ast.And) else operator.or_
            return reduce(join, [_build(value, engine) for value in values])
        case ast.UnaryOp(op=op, operand=operand):
            return _build_unary(op, _build(operand, engine))
        case ast.BinOp(left=left, op=binary, right=right):
            return _BINARY[type(binary)](_build(left, engine), _build(right, engine))
        case ast.Compare():
            return _build_compare(node, engine)
        case ast.Call(func=ast.Name(id="tag")):
            return engine.column(_tag(node))
        case ast.Call(func=ast.Name(id=name), args=args):
            return engine.functions[name](*[_build(argument, engine) for argument in args])
    raise ExpressionError(f"{ast.unparse(node)!r} is not part of the rule language")


def _build_unary(op: ast.unaryop, value: Any) -> Any:
    if isinstance(op, ast.USub):
        return -value
    return (not value) if isinstance(value, bool) else ~value


def _build_compare(node: ast.Compare, engine: Engine) -> Any:
    parts = []
    left = _build(node.left, engine)
    for op, right_node in zip(node.ops, node.comparators, strict=True):
        if isinstance(op, ast.In | ast.NotIn):
            inside = engine.isin(left, _literals(right_node))
            parts.append(~inside if isinstance(op, ast.NotIn) else inside)
        elif isinstance(op, ast.Is | ast.IsNot):
            null = engine.is_null(left)
            parts.append(~null if isinstance(op, ast.IsNot) else null)
        else:
            right = _build(right_node, engine)
            parts.append(_COMPARE[type(op)](left, right))
            left = right
    return reduce(operator.and_, parts)


def _expr(value: Any) -> pl.Expr:
    return value if isinstance(value, pl.Expr) else pl.lit(value)


#: The language on polars.
POLARS: Final = Engine(
    column=pl.col,
    isin=lambda value, values: _expr(value).is_in(values),
    is_null=lambda value: _expr(value).is_null(),
    functions={
        "coalesce": lambda *values: pl.coalesce([_expr(value) for value in values]),
        "least": lambda *values: pl.min_horizontal([_expr(value) for value in values]),
        "greatest": lambda *values: pl.max_horizontal([_expr(value) for value in values]),
        "clip": lambda value, low, high: _expr(value).clip(low, high),
        "abs": lambda value: _expr(value).abs(),
        "sqrt": lambda value: _expr(value).sqrt(),
        "log1p": lambda value: _expr(value).log1p(),
        "when": lambda condition, yes, no: (
            pl.when(_expr(condition)).then(_expr(yes)).otherwise(_expr(no))
        ),
    },
)
