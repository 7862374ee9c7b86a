"""Sums that do not depend on the order of rows: whole numbers of a small unit.

Floats added in another order differ in their last digits, and engines add in any order: a
feature that changes from run to run changes models and digests. What is summed is therefore
counted in whole units first, ten-thousandths for money and quantities (the scale of the lake),
finer ones for weights, and becomes a float again after the sum. Rounding is written as
multiply, add a half, floor, which every engine does alike.
"""

from __future__ import annotations

from typing import Final

from ibis.expr import types as ir

#: Units in one: money and quantities, as in the lake.
MONEY_UNITS: Final = 10_000
#: Price levels weighted by quantity.
LEVEL_UNITS: Final = 1_000_000_000
#: Weights between 0 and 1, and logarithms.
WEIGHT_UNITS: Final = 1_000_000_000_000


#: More units than any value of the contract has; nine thousand of them can be added.
MOST_UNITS: Final = 1e15


def units(value: ir.NumericValue, per_one: int = MONEY_UNITS) -> ir.IntegerColumn:
    """Return `value` in whole units, to the nearest, and at most `MOST_UNITS` of them."""
    counted = (value * float(per_one) + 0.5).clip(lower=-MOST_UNITS, upper=MOST_UNITS)
    return counted.floor().cast("int64")


def total(
    value: ir.IntegerColumn, where: ir.BooleanValue | None = None, *, per_one: int = MONEY_UNITS
) -> ir.FloatingScalar:
    """Return the sum of whole units as a float; 0 where nothing is summed."""
    return value.sum(where=where).fill_null(0).cast("float64") / float(per_one)


def total_units(value: ir.IntegerColumn, where: ir.BooleanValue | None = None) -> ir.IntegerScalar:
    """Return the sum of whole units as whole units; 0 where nothing is summed."""
    return value.sum(where=where).fill_null(0).cast("int64")
