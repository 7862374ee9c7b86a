"""`nba actions export`: one row per action of a plan, as a file."""

from __future__ import annotations

import csv
import json
from datetime import date, datetime
from pathlib import Path

import polars as pl

from nba.errors import NotFoundError, UsageError
from nba.wiring import Wiring


def export_actions(wiring: Wiring, as_of: datetime, out: Path, *, everything: bool) -> int:
    """Write the actions of a plan, or its whole decision log, and return the number of rows.

    Parameters
    ----------
    wiring : Wiring
    as_of : datetime
    out : Path
        Ends in `.csv`, `.parquet` or `.jsonl`. In CSV, lists and structures are JSON.
    everything : bool
        Also every row of the decision log.

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
    folder = require_plan(wiring, as_of)
    frame = pl.read_parquet(folder / "actions.parquet")
    if everything:
        log = pl.read_parquet(folder / "log.parquet")
        frame = pl.concat(
            [frame, log.join(frame, on="customer_id", how="anti")], how="diagonal_relaxed"
        )
    write_table(frame, out)
    return frame.height


def require_plan(wiring: Wiring, as_of: datetime) -> Path:
    """Return the folder of the kept plan of `as_of`, or raise `NotFoundError`."""
    folder = wiring.project.run_folder(as_of.date().isoformat()) / "plan"
    if not (folder / "actions.parquet").is_file():
        raise NotFoundError(
            f"there is no plan of {as_of.date()}",
            expected=f"a run of `nba run --as-of {as_of.date()}`",
            found=f"plans of {_plans(wiring) or 'no day'}",
            next_step="run the nightly job for that day, or choose another",
        )
    return folder


def _plans(wiring: Wiring) -> str:
    runs = sorted(path.parent.parent.name for path in wiring.project.data.glob("runs/*/plan/log*"))
    return ", ".join(runs[-3:])


def write_table(frame: pl.DataFrame, out: Path) -> None:
    """Write a table whole or not at all, as Parquet, JSON lines or CSV by the file's name."""
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.tmp")
    if out.suffix == ".parquet":
        frame.write_parquet(temporary)
    elif out.suffix == ".jsonl":
        with temporary.open("w", encoding="utf-8") as handle:
            for row in frame.iter_rows(named=True):
                handle.write(json.dumps(row, default=_text, ensure_ascii=False) + "\n")
    else:
        with temporary.open("w", encoding="utf-8", newline="") as handle:
            writer = csv.writer(handle)
            writer.writerow(frame.columns)
            writer.writerows([_cell(value) for value in row] for row in frame.iter_rows())
    temporary.replace(out)


def _cell(value: object) -> object:
    if isinstance(value, list | dict):
        return json.dumps(value, default=_text, ensure_ascii=False)
    return _text(value) if isinstance(value, date) else value


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)
