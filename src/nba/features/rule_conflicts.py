"""Whether rules can hold together: a small decision procedure over one-feature comparisons.

A rule is written as a choice between conjunctions of atoms. An atom that compares one feature
with plain values restricts that feature to an interval or a set; any other atom is taken as a
free yes or no, equal where its text is equal. Features are taken as continuous and as
independent of each other, so that "cannot hold together" is a proof and an example is a
likely one.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Final, TypeAlias

from nba.features.expressions import Expression

_MAX_CASES: Final = 20_000
Plain: TypeAlias = str | int | float | bool

_OPERATORS: Final = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
}
_NEGATED: Final = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}
_ORDERINGS: Final[dict[str, tuple[Plain, ...]]] = {
    "<": ("less",),
    "<=": ("less", "equal"),
    ">": ("greater",),
    ">=": ("greater", "equal"),
    "==": ("equal",),
    "!=": ("less", "greater"),
}
_FLIPPED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}


@dataclass(frozen=True)
class Atom:
    """One condition: `name operator values`; the operator `free` for what is not understood."""

    name: str
    operator: str
    values: tuple[Plain, ...] = ()


Case: TypeAlias = tuple[Atom, ...]


def example_of_conflict(*rules: Expression) -> dict[str, str] | None:
    """Return an example for which all `rules` hold, or None where there cannot be one.

    Returns
    -------
    dict of str to str
        Feature to a value, as in ``{"orders": "= 2"}``.

    Examples
    --------
    >>> from nba.features.expressions import parse_expression
    >>> example_of_conflict(parse_expression("a > 1"), parse_expression("a <= 1")) is None
    True
    >>> example_of_conflict(parse_expression("a > 1"), parse_expression("a < 3"))
    {'a': '= 2'}
    """
    for combination in product(*(_cases(rule.tree, True) for rule in rules)):
        example = _example([atom for case in combination for atom in case])
        if example is not None:
            return example
    return None


def _cases(node: ast.expr, wanted: bool) -> list[Case]:
    """Return the conjunctions of which one must hold for `node` to be `wanted`."""
    match node:
        case ast.Constant(value=bool(value)):
            return [()] if value is wanted else []
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return _cases(operand, not wanted)
        case ast.BoolOp(op=op, values=values):
            parts = [_cases(value, wanted) for value in values]
            if isinstance(op, ast.And) is wanted:
                return _all_of(parts)
            return [case for part in parts for case in part]
        case ast.Compare():
            pairs = zip([node.left, *node.comparators], node.ops, node.comparators, strict=False)
            parts = [_compared(left, op, right, wanted) for left, op, right in pairs]
            return _all_of(parts) if wanted else [case for part in parts for case in part]
        case ast.Name() | ast.Attribute():
            return [(Atom(_name(node) or "", "==", (wanted,)),)]
    return [(Atom(ast.unparse(node), "free", (wanted,)),)]


def _all_of(parts: list[list[Case]]) -> list[Case]:
    if math.prod(len(part) for part in parts) > _MAX_CASES:
        return [()]
    return [tuple(atom for case in cases for atom in case) for cases in product(*parts)]


def _compared(left: ast.expr, op: ast.cmpop, right: ast.expr, wanted: bool) -> list[Case]:
    if isinstance(op, ast.Is | ast.IsNot):
        null = isinstance(op, ast.Is) is wanted
        name = _name(left) or ast.unparse(left)
        return [(Atom(name, "null" if null else "known"),)]
    if isinstance(op, ast.In | ast.NotIn):
        inside = isinstance(op, ast.In) is wanted
        name = _name(left) or ast.unparse(left)
        values = tuple(_plain(item) for item in getattr(right, "elts", ()))
        return [(Atom(name, "in" if inside else "out", tuple(v for v in values if v is not None)),)]
    sign = _OPERATORS[type(op)]
    if _plain(left) is not None:
        left, right, sign = right, left, _FLIPPED[sign]
    bound = _plain(right)
    sign = sign if wanted else _NEGATED[sign]
    if bound is None:
        return [(_relation(ast.unparse(left), sign, ast.unparse(right)),)]
    single = _name(left)
    if single is not None:
        return [(Atom(single, sign, (bound,)),)]
    return list(_coalesced(left, sign, bound))


def _relation(left: str, sign: str, right: str) -> Atom:
    """Return the comparison of two features: which of less, equal, greater is left."""
    if right < left:
        left, sign, right = right, _FLIPPED[sign], left
    return Atom(f"{left} against {right}", "in", _ORDERINGS[sign])


def _coalesced(left: ast.expr, sign: str, bound: Plain) -> Iterator[Case]:
    """Take `coalesce(x, 3) > 2` apart; anything else is compared as a whole."""
    match left:
        case ast.Call(func=ast.Name(id="coalesce"), args=[first, last]):
            name, fallback = _name(first), _plain(last)
            if name is not None and fallback is not None:
                yield (Atom(name, sign, (bound,)),)
                if _holds(fallback, sign, bound):
                    yield (Atom(name, "null"),)
                return
    yield (Atom(ast.unparse(left), sign, (bound,)),)


def _name(node: ast.expr) -> str | None:
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(attr=name):
            return name
        case ast.Call(func=ast.Name(id="tag")):
            return ast.unparse(node)
    return None


def _plain(node: ast.expr) -> Plain | None:
    match node:
        case ast.Constant(value=bool() | int() | float() | str() as value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
    return None


def _holds(value: Plain, sign: str, bound: Plain) -> bool:
    if sign in ("==", "!="):
        return (value == bound) is (sign == "==")
    if isinstance(value, str) or isinstance(bound, str):
        return True
    return {"<": value < bound, "<=": value <= bound, ">": value > bound}.get(sign, value >= bound)


@dataclass
class _Range:
    """What one feature may still be."""

    low: float = -math.inf
    low_open: bool = True
    high: float = math.inf
    high_open: bool = True
    allowed: set[Plain] | None = None
    refused: set[Plain] = field(default_factory=set)
    null: bool | None = None

    def take(self, atom: Atom) -> None:
        """Narrow the range by an atom."""
        if atom.operator in ("null", "known"):
            wanted = atom.operator == "null"
            self.null = wanted if self.null in (None, wanted) else None
            if self.null is None:
                self.allowed = set()
            return
        if self.null is True:
            self.allowed = set()
        self.null = False if self.null is None else self.null
        value = atom.values[0] if atom.values else None
        if atom.operator in ("==", "in", "free"):
            allowed = set(atom.values)
            self.allowed = allowed if self.allowed is None else self.allowed & allowed
        elif atom.operator in ("!=", "out"):
            self.refused |= set(atom.values)
        elif isinstance(value, int | float):
            self._bound(atom.operator, float(value))

    def _bound(self, sign: str, value: float) -> None:
        is_open = sign in ("<", ">")
        if sign in (">", ">=") and (value, is_open) > (self.low, self.low_open):
            self.low, self.low_open = value, is_open
        if sign in ("<", "<=") and (value, not is_open) < (self.high, not self.high_open):
            self.high, self.high_open = value, is_open

    def _inside(self, value: Plain) -> bool:
        if value in self.refused:
            return False
        if isinstance(value, str):
            return True
        above = value > self.low or (value == self.low and not self.low_open)
        below = value < self.high or (value == self.high and not self.high_open)
        return above and below

    def example(self) -> str | None:
        """Return a value inside, or None where nothing is left."""
        if self.null is True:
            return None if self.allowed is not None else "is unknown"
        if self.allowed is not None:
            inside = sorted((v for v in self.allowed if self._inside(v)), key=str)
            return f"= {inside[0]}" if inside else None
        if self.low > self.high or (self.low == self.high and (self.low_open or self.high_open)):
            return None
        for candidate in self._candidates():
            if self._inside(candidate):
                return f"= {candidate:g}"
        return None

    def _candidates(self) -> Iterator[float]:
        low = self.low if math.isfinite(self.low) else min(self.high, 0.0) - 2.0
        high = self.high if math.isfinite(self.high) else max(low, 0.0) + 2.0
        for i in range(1, len(self.refused) + 3):
            yield low + (high - low) / (i + 1)
        yield from (low, high)


def _example(atoms: list[Atom]) -> dict[str, str] | None:
    ranges: dict[str, _Range] = {}
    for atom in atoms:
        ranges.setdefault(atom.name, _Range()).take(atom)
    example = {name: narrowed.example() for name, narrowed in ranges.items()}
    if any(value is None for value in example.values()):
        return None
    return {name: value for name, value in example.items() if value is not None}
