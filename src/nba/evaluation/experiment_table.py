"""A test's table made ready: arms, net outcomes, propensities, features, and what was left out.

Columns that stand in the table but happened after the arm (a conversion beside a visit) would
leak the outcome. They are found where they never happen without the outcome, or where they differ
between arms and are named like an outcome; whatever is left out is reported.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from nba.arrays import Floats, Ints
from nba.errors import InputRefusedError, UsageError
from nba.evaluation.overlap import covariate_balance
from nba.models.mode.doubly_robust.nuisance import Sample
from nba.models.mode.estimators.encoder import Encoder, is_number

#: A column this many standard errors off balance between randomised arms is suspicious.
OFF_BALANCE_Z: Final = 4.0
#: Names that outcomes carry.
OUTCOME_NAME: Final = re.compile(
    r"visit|conver|spend|spent|exposure|click|revenue|sale|purchas|order|outcome|response|respond|"
    r"churn|block|complain|margin|target|label|reward|profit|redeem|open|unsub",
    re.IGNORECASE,
)
#: Names that say that a column was known before.
PAST_NAME: Final = re.compile(
    r"past|prev|prior|hist|last|before|since|ago|\d+_?d(ays)?\b|recen|avg|mean|base|pre_|lag",
    re.IGNORECASE,
)
#: Names of a logged probability that was not given as one.
PROPENSITY_NAME: Final = re.compile(r"propensity|p_?score|probability", re.IGNORECASE)
#: A column whose values give the arm away for more than this share of the rows says the arm.
GIVEN_AWAY: Final = 0.999
#: Columns with more distinct values are not asked whether they say the arm.
MAX_DISTINCT: Final = 200
MIN_ROWS: Final = 20
#: So many coincidences are none.
MIN_EVENTS: Final = 20


@dataclass(frozen=True)
class TestTable:
    """A randomised or logged test on plain matrices.

    Parameters
    ----------
    sample : Sample
        Arm 0 is the control; the outcome is gross of costs.
    arms : tuple of str
    cost : array of shape (arms,)
    encoder : Encoder
    notes : tuple of str
        What was left out, and why.
    row : int array
        The row of the file that each row of the sample came from.
    """

    __test__ = False

    sample: Sample
    arms: tuple[str, ...]
    cost: Floats
    encoder: Encoder
    notes: tuple[str, ...]
    row: Ints


def read_table(path: Path) -> pl.DataFrame:
    """Read a Parquet or CSV file (also gzip).

    Raises
    ------
    InputRefusedError
        When the file is missing or unreadable.
    """
    try:
        if path.suffix == ".parquet":
            return pl.read_parquet(path)
        return pl.read_csv(path, infer_schema_length=10_000, null_values=["", "NA", "NaN", "null"])
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InputRefusedError(
            f"cannot read {path}",
            expected="a Parquet or CSV file with one row per assignment",
            found=str(error).splitlines()[0] if str(error) else type(error).__name__,
            next_step="check the path and the format",
        ) from error


def prepare(
    table: pl.DataFrame,
    arm: str,
    control: str,
    outcome: str,
    *,
    cost: Mapping[str, float] | None = None,
    group: str | None = None,
    propensity: str | None = None,
    features: Sequence[str] | None = None,
    exclude: Sequence[str] = (),
) -> TestTable:
    """Turn a table into a sample

    Parameters
    ----------
    table : polars.DataFrame
        One row per assignment.
    arm, control : str
        The column of the arm, and the arm that the others are compared with.
    outcome : str
        The column to maximise, in money or as a number.
    cost : mapping of str to float, optional
        What an assignment costs by arm, in the unit of the outcome; 0 where not named.
    group : str, optional
        A column of units whose rows belong together, such as customers.
    propensity : str, optional
        A column of the logged chance of the arm that was drawn; estimated where absent.
    features : sequence of str, optional
        The columns to learn from; by default all that differ and were known before the arm.
    exclude : sequence of str
        Columns never to learn from.
    """
    named = [name for name in (arm, outcome, group, propensity) if name is not None]
    _require(table, [*named, *(features or ()), *exclude])
    _refuse_doubles(named)
    notes: list[str] = []
    rows, row = _usable(table, arm, outcome, propensity, notes)
    arms = _arms(rows[arm], control)
    code = rows[arm].replace_strict(list(arms), list(range(len(arms))), return_dtype=pl.Int64)
    groups = None if group is None else rows[group].cast(pl.String).fill_null("").rank("dense")
    own = set(named) | set(exclude)
    candidates = [n for n in (features or table.columns) if n not in own]
    logged = None if propensity is None else rows[propensity].to_numpy().astype(np.float64)
    codes = code.to_numpy().astype(np.int64)
    y = rows[outcome].to_numpy().astype(np.float64)
    if features is None:
        late = _after_the_arm(rows, candidates, codes, len(arms), y, logged)
        candidates = [name for name in candidates if name not in late]
        notes += [f"{name}: left out, {reason}" for name, reason in late.items()]
    encoder = Encoder.fit(rows, candidates)
    notes += [f"{name}: left out, {reason}" for name, reason in encoder.dropped]
    if not encoder.names:
        raise InputRefusedError(
            "the table has no column to learn from",
            expected="at least one column, known before the arm, that differs between rows",
            found="; ".join(notes) or "no further column",
            next_step="add what was known of each row before its arm was drawn",
        )
    sample = Sample(
        x=encoder.transform(rows),
        arm=codes,
        outcome=y,
        propensity=logged,
        group=None if groups is None else groups.to_numpy().astype(np.int64),
    )
    return TestTable(sample, arms, _costs(cost, arms), encoder, tuple(notes), row)


def _require(table: pl.DataFrame, names: Sequence[str]) -> None:
    missing = [name for name in names if name not in table.columns]
    if missing:
        raise UsageError(
            "the table lacks columns that the call names",
            expected=", ".join(missing),
            found=", ".join(table.columns),
            next_step="correct the column names",
        )


def _refuse_doubles(names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(
            "a column is named for two things",
            expected="different columns for arm, outcome, group and propensity",
            found=", ".join(twice),
            next_step="correct the column names",
        )


def _usable(
    table: pl.DataFrame, arm: str, outcome: str, propensity: str | None, notes: list[str]
) -> tuple[pl.DataFrame, Ints]:
    """Return the rows with an arm, a finite outcome and a possible propensity."""
    numeric = table.with_row_index("row__").with_columns(
        pl.col(arm).cast(pl.String),
        *(
            pl.col(name).cast(pl.Float64, strict=False)
            for name in (outcome, propensity)
            if name is not None
        ),
    )
    good = pl.col(arm).is_not_null() & pl.col(outcome).is_finite().fill_null(False)
    if propensity is not None:
        good &= pl.col(propensity).is_between(0, 1, closed="right").fill_null(False)
    complete = numeric.filter(good)
    lost = table.height - complete.height
    if lost:
        notes.append(f"{lost} of {table.height} rows left out: no arm, outcome or propensity")
    if complete.height < MIN_ROWS:
        raise InputRefusedError(
            "too few usable rows",
            expected=f"at least {MIN_ROWS} rows with an arm and a numeric outcome",
            found=f"{complete.height} of {table.height}",
            next_step="check the outcome, arm and propensity columns",
        )
    return complete.drop("row__"), complete["row__"].to_numpy().astype(np.int64)


def _arms(column: pl.Series, control: str) -> tuple[str, ...]:
    values = sorted(column.unique().to_list())
    if control not in values or len(values) < 2:
        raise UsageError(
            "the control is not an arm of the test",
            expected=f"{control!r} and at least one other value",
            found=", ".join(map(repr, values[:20])),
            next_step="name one of the values as the control",
        )
    return (control, *(value for value in values if value != control))


def _costs(cost: Mapping[str, float] | None, arms: tuple[str, ...]) -> Floats:
    unknown = sorted(set(cost or {}) - set(arms))
    if unknown:
        raise UsageError(
            "a cost is given for an arm that the table does not have",
            expected=", ".join(arms),
            found=", ".join(unknown),
            next_step="write --cost ARM=COST with an arm of the table",
        )
    return np.array([(cost or {}).get(name, 0.0) for name in arms], dtype=np.float64)


def _after_the_arm(
    table: pl.DataFrame,
    candidates: Sequence[str],
    arm: Ints,
    arms: int,
    outcome: Floats,
    propensity: Floats | None,
) -> dict[str, str]:
    """Find columns that can only have happened after the arm was drawn."""
    late = {name: "it says which arm it was" for name in candidates if _says_arm(table[name], arm)}
    numbers = [n for n in candidates if is_number(table[n].dtype) and n not in late]
    if not numbers:
        return late
    x = Encoder(tuple(numbers), ()).transform(table)
    share = np.bincount(arm, minlength=arms)[arm] / len(arm)
    balance = covariate_balance(
        x, tuple(numbers), arm, share if propensity is None else propensity, arms=arms
    )
    worst = balance.group_by("column").agg(pl.col("z").abs().max())
    off = set(worst.filter(pl.col("z") > OFF_BALANCE_Z)["column"].to_list())
    for i, name in enumerate(numbers):
        if _implies(x[:, i], outcome):
            late[name] = "it never happens without the outcome"
        elif name in off and not PAST_NAME.search(name):
            if OUTCOME_NAME.search(name):
                late[name] = "differs between the arms and is named like an outcome"
            elif _implies(outcome, x[:, i]):
                late[name] = "differs between the arms and the outcome never happens without it"
    return late


def _says_arm(column: pl.Series, arm: Ints) -> bool:
    """Whether a column gives away the arm, or whether it was the control."""
    if PROPENSITY_NAME.search(column.name):
        return True
    if column.dtype.is_nested() or not 1 < column.n_unique() <= MAX_DISTINCT:
        return False
    value = column.rank("dense").fill_null(0).to_numpy().astype(np.int64)
    for label in (arm, (arm > 0).astype(np.int64)):
        table = np.zeros((int(value.max()) + 1, int(label.max()) + 1))
        np.add.at(table, (value, label), 1.0)
        known, guessed = table.max(axis=1).sum() / len(arm), table.sum(axis=0).max() / len(arm)
        if known > GIVEN_AWAY > guessed:
            return True
    return False


def _implies(event: Floats, other: Floats) -> bool:
    """Whether a sparse event, seen often enough, never happens without another sparse one."""
    mine, theirs = event > 0, other > 0
    if mine.sum() < MIN_EVENTS or mine.mean() > 0.5 or theirs.mean() > 0.7:
        return False
    return bool((mine <= theirs).all())
