"""`nba actions export`: one row per action of a plan, as a file."""

from __future__ import annotations

import csv
import json
from datetime import date, datetime
from pathlib import Path

import polars as pl

from nba.errors import UsageError
from nba.files import replacing
from nba.pipeline.plan import GROUP
from nba.wiring import Wiring

#: With these a spreadsheet takes a cell for a formula; Parquet and JSON lines are for programs.
FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def export_actions(
    wiring: Wiring, as_of: datetime, out: Path, *, everything: bool, with_bom: bool = False
) -> int:
    """Write the actions of a plan, or its whole decision log, and return the number of rows.

    Parameters
    ----------
    wiring : Wiring
    as_of : datetime
    out : Path
        Ends in `.csv`, `.parquet` or `.jsonl`. In CSV, lists and structures are JSON, and texts
        that a spreadsheet would take for formulas have an apostrophe before them.
    everything : bool
        Also every row of the decision log.
    with_bom : bool
        Begin a CSV file with a byte order mark, by which spreadsheets know UTF-8.

    Raises
    ------
    NotFoundError
        When there is no plan of `as_of`.
    UsageError
        When the file's ending is not known.
    """
    if out.suffix not in (".csv", ".parquet", ".jsonl"):
        raise UsageError(
            f"cannot tell the format of {out}",
            expected="a name that ends in .csv, .parquet or .jsonl",
            found=out.suffix or "no ending",
        )
    folder = wiring.runs.planned(as_of.date())
    frame = folder.read(f"{GROUP}/actions")
    if everything:
        log = folder.read(f"{GROUP}/log")
        frame = pl.concat(
            [frame, log.join(frame, on="customer_id", how="anti")], how="diagonal_relaxed"
        )
    write_table(frame, out, with_bom=with_bom)
    return frame.height


def write_table(frame: pl.DataFrame, out: Path, *, with_bom: bool = False) -> None:
    """Write a table whole or not at all, as Parquet, JSON lines or CSV by the file's name."""
    with replacing(out) as temporary:
        if out.suffix == ".parquet":
            frame.write_parquet(temporary)
        elif out.suffix == ".jsonl":
            _write_json_lines(frame, temporary)
        else:
            _write_csv(frame, temporary, with_bom=with_bom)


def _write_json_lines(frame: pl.DataFrame, out: Path) -> None:
    with out.open("w", encoding="utf-8") as handle:
        for row in frame.iter_rows(named=True):
            handle.write(json.dumps(row, default=_text, ensure_ascii=False) + "\n")


def _write_csv(frame: pl.DataFrame, out: Path, *, with_bom: bool) -> None:
    encoding = "utf-8-sig" if with_bom else "utf-8"
    with out.open("w", encoding=encoding, newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(frame.columns)
        writer.writerows([_cell(value) for value in row] for row in frame.iter_rows())


def _cell(value: object) -> object:
    if isinstance(value, list | dict):
        return json.dumps(value, default=_text, ensure_ascii=False)
    if isinstance(value, str) and value.startswith(FORMULA_SIGNS):
        return f"'{value}"
    return _text(value) if isinstance(value, date) else value


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)
