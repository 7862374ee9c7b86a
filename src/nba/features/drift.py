"""What changed between two snapshots of a view: drift, null rates, new categories, rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from nba.features.view import Feature, View

#: The usual reading of the population stability index: above .1 a shift, above .25 a large one.
PSI_WARN: Final = 0.25
NULL_RATE_WARN: Final = 0.05
ROWS_WARN: Final = 0.2
_BINS: Final = 10
#: The least share of a bin, so that an empty one does not make the index infinite.
_FLOOR: Final = 1e-4


@dataclass(frozen=True)
class Check:
    """One line of a comparison.

    Parameters
    ----------
    view, feature : str
        `feature` is empty for what concerns the view.
    what : str
        `rows`, `psi`, `null_rate`, `new_values`.
    passed : bool
    detail : str
    value : float
    """

    view: str
    feature: str
    what: str
    passed: bool
    detail: str
    value: float

    def line(self) -> str:
        """Return the check as one line of text."""
        mark = "PASS" if self.passed else "WARN"
        name = f"{self.view}.{self.feature}" if self.feature else self.view
        return f"{mark} {name} {self.what}: {self.detail}"


def psi(old: Sequence[float] | pl.Series, new: Sequence[float] | pl.Series) -> float:
    """Return the population stability index of two samples of numbers.

    Bins are the deciles of `old`, so that each holds a tenth of it where values differ enough.

    Parameters
    ----------
    old, new : sequence of float
        Without nulls.

    Examples
    --------
    >>> psi([1, 2, 3, 4], [1, 2, 3, 4])
    0.0
    """
    before, after = np.asarray(old, dtype=float), np.asarray(new, dtype=float)
    if not before.size or not after.size:
        return 0.0
    # A value on an edge belongs to the bin above it: few distinct values keep bins apart.
    edges = np.unique(np.quantile(before, np.linspace(0, 1, _BINS + 1)[1:-1], method="lower"))
    shares = [
        np.bincount(np.searchsorted(edges, sample, side="right"), minlength=edges.size + 1)
        / sample.size
        for sample in (before, after)
    ]
    return _index(*shares)


def categorical_psi(old: pl.Series, new: pl.Series) -> float:
    """Return the population stability index of two samples of names."""
    if old.is_empty() or new.is_empty():
        return 0.0
    names = sorted({*old.unique(), *new.unique()}, key=str)
    shares = []
    for sample in (old, new):
        counts = dict(sample.value_counts().iter_rows())
        shares.append(np.array([counts.get(name, 0) for name in names]) / sample.len())
    return _index(*shares)


def _index(old: np.ndarray, new: np.ndarray) -> float:
    old, new = np.maximum(old, _FLOOR), np.maximum(new, _FLOOR)
    return float(np.sum((new - old) * np.log(new / old)))


def compare(view: View, old: pl.DataFrame, new: pl.DataFrame) -> list[Check]:
    """Return the checks of two snapshots of `view`, the older first."""
    change = new.height / max(old.height, 1) - 1
    rows = Check(
        view.name,
        "",
        "rows",
        abs(change) <= ROWS_WARN,
        f"{old.height} → {new.height} ({change:+.1%})",
        change,
    )
    return [rows, *(c for f in view.features for c in _feature_checks(view, f, old, new))]


def _feature_checks(
    view: View, feature: Feature, old: pl.DataFrame, new: pl.DataFrame
) -> list[Check]:
    before, after = old[feature.name], new[feature.name]
    rates = [s.null_count() / max(s.len(), 1) for s in (before, after)]
    change = rates[1] - rates[0]
    checks = [
        Check(
            view.name,
            feature.name,
            "null_rate",
            abs(change) <= NULL_RATE_WARN,
            f"{rates[0]:.3f} → {rates[1]:.3f}",
            change,
        )
    ]
    before, after = before.drop_nulls(), after.drop_nulls()
    if feature.dtype in ("float64", "int64", "bool"):
        index = psi(before.cast(pl.Float64), after.cast(pl.Float64))
    elif feature.dtype == "string" and not _is_identifier(before):
        index = categorical_psi(before, after)
        checks.append(_new_values(view, feature, before, after))
    else:
        return checks
    checks.append(Check(view.name, feature.name, "psi", index <= PSI_WARN, f"{index:.4f}", index))
    return checks


def _is_identifier(values: pl.Series) -> bool:
    """Say whether nearly every row has a value of its own: names and links do not drift."""
    return values.n_unique() > max(50, values.len() / 2)


def _new_values(view: View, feature: Feature, before: pl.Series, after: pl.Series) -> Check:
    new = sorted(set(after.unique()) - set(before.unique()))
    shown = ", ".join(new[:5]) + (f" and {len(new) - 5} more" if len(new) > 5 else "")
    detail = shown or "none"
    return Check(view.name, feature.name, "new_values", not new, detail, float(len(new)))


def compare_views(
    views: Mapping[str, View],
    old: Mapping[str, pl.DataFrame],
    new: Mapping[str, pl.DataFrame],
) -> list[Check]:
    """Return the checks of all views that stand in both."""
    return [
        check
        for name, view in views.items()
        if name in old and name in new
        for check in compare(view, old[name], new[name])
    ]
