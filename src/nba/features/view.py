"""What a feature and a feature view are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, TypeAlias

import ibis
from ibis.expr import types as ir

#: The tables of the contract by name, as `nba.data` loads them, and what was prepared from them.
Tables: TypeAlias = Mapping[str, ir.Table]
Builder: TypeAlias = Callable[[Tables, datetime], ir.Table]

#: How each feature type is called in Ibis.
IBIS_TYPES: Final[Mapping[str, str]] = {
    "float64": "float64",
    "int64": "int64",
    "bool": "boolean",
    "string": "string",
    "timestamp": "timestamp(6)",
    "list<string>": "array<string>",
}


@dataclass(frozen=True)
class Feature:
    """One column of a feature view.

    Parameters
    ----------
    name : str
    dtype : str
        `float64`, `int64`, `bool`, `string`, `timestamp` (naive local) or `list<string>`.
    meaning : str
        One line that a marketer understands.
    unit : str
        `days`, `amount`, `count`, `share`, `ratio`, `hour`, ... ; empty for names and flags.
    window : str
        The history it looks at: `all`, `90d`, `now`.
    null_rule : str
        When the value is null; `never` where it always stands.
    """

    name: str
    dtype: str
    meaning: str
    unit: str = ""
    window: str = "all"
    null_rule: str = "never"

    def __post_init__(self) -> None:
        if self.dtype not in IBIS_TYPES:
            raise ValueError(f"{self.name}: {self.dtype!r} is not one of {sorted(IBIS_TYPES)}")


@dataclass(frozen=True)
class View:
    """A feature view: a pure function of tables and a moment, keyed by entity.

    Parameters
    ----------
    name : str
    entity_keys : tuple of str
        One row per distinct combination of these.
    builder : callable
        `(tables, as_of) -> ibis table` with at least the keys and the features.
    features : tuple of Feature
    meaning : str
        What one row says.
    owner : str
        Who answers for it.
    ttl_days : int
        How long a value may be served or joined after its moment.
    needs : tuple of str
        The names of the views whose result this one reads.
    """

    name: str
    entity_keys: tuple[str, ...]
    builder: Builder
    features: tuple[Feature, ...]
    meaning: str
    owner: str = "data"
    ttl_days: int = 3
    needs: tuple[str, ...] = ()
    by_name: Mapping[str, Feature] = field(init=False, repr=False, compare=False)
    #: Names of the features that are moments.
    moments: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        names = [feature.name for feature in self.features]
        repeated = {name for name in names if names.count(name) > 1}
        if repeated:
            raise ValueError(f"{self.name}: features named twice: {sorted(repeated)}")
        object.__setattr__(self, "by_name", {feature.name: feature for feature in self.features})
        moments = tuple(one.name for one in self.features if one.dtype == "timestamp")
        object.__setattr__(self, "moments", moments)

    @property
    def columns(self) -> tuple[str, ...]:
        """The keys, then the features, in the order of every snapshot."""
        return (*self.entity_keys, *self.by_name)

    def build(self, tables: Tables, as_of: datetime) -> ir.Table:
        """Return the view at `as_of` as an Ibis expression with exactly `columns`.

        Parameters
        ----------
        tables : mapping of str to ibis table
            The tables of the contract: naive local timestamps, money as float64.
        as_of : datetime
            Naive local; what has `ts >= as_of` is not seen.

        Notes
        -----
        Floats that are not finite become null: a store hands them out in too many ways.
        """
        built = self.builder(tables, as_of)
        keys = {name: built[name].cast("string") for name in self.entity_keys}
        features = {
            feature.name: _typed(built[feature.name], feature.dtype) for feature in self.features
        }
        return built.select(**keys, **features)


def _typed(column: ir.Value, dtype: str) -> ir.Value:
    target = ibis.dtype(IBIS_TYPES[dtype])
    return column if column.type() == target else column.cast(target)
