"""`nba actions export`: one row per action of a plan, as a file."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl

from nba.data.moments import at
from nba.errors import UsageError
from nba.files import replacing
from nba.pipeline.plan import CLOCKS, GROUP, INPUTS
from nba.schema.zones import zone_or
from nba.wiring import Wiring

#: With these a spreadsheet takes a cell for a formula; Parquet and JSON lines are for programs.
FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


#: The moments of an action that stand by the clocks of its clerk's store.
STORE_MOMENTS = ("contact_from", "contact_to", "expires_at")
WINDOW = ("contact_from", "contact_to")
ENDINGS = (".csv", ".parquet", ".jsonl")


@dataclass(frozen=True)
class CsvStyle:
    """How CSV is written: for people with a spreadsheet, or raw for programs.

    Parameters
    ----------
    bom : bool
        Begin with a byte order mark, by which spreadsheets know UTF-8.
    raw : bool
        Leave texts that a spreadsheet would take for formulas as they are.
    """

    bom: bool = False
    raw: bool = False


FOR_PEOPLE = CsvStyle()


def export_actions(
    wiring: Wiring,
    as_of: datetime,
    out: Path,
    *,
    everything: bool,
    style: CsvStyle = FOR_PEOPLE,
) -> int:
    """Write the actions of a plan, or its whole decision log, and return the number of rows.

    Parameters
    ----------
    wiring : Wiring
    as_of : datetime
    out : Path
        Ends in `.csv`, `.parquet` or `.jsonl`. In CSV, lists and structures are JSON, and texts
        that a spreadsheet would take for formulas have an apostrophe before them. Moments carry
        the offset of the store's time zone where they are the store's, else of the project's; in
        Parquet, whose columns have one zone each, all stand in the project's.
    everything : bool
        Also every row of the decision log.
    style : CsvStyle, optional

    Raises
    ------
    NotFoundError
        When there is no plan of `as_of`.
    UsageError
        When the file's ending is not known.
    """
    require_known_ending(out)
    folder = wiring.runs.planned(as_of.date())
    actions = folder.read(f"{GROUP}/actions")
    if everything:
        log = folder.read(f"{GROUP}/log")
        actions = pl.concat(
            [actions, log.join(actions, on="customer_id", how="anti")], how="diagonal_relaxed"
        )
    here = ZoneInfo(wiring.settings.time_zone)
    zones, as_text = store_zones(wiring, as_of), out.suffix != ".parquet"
    write_table(with_offsets(actions, zones, here, as_text=as_text), out, style)
    return actions.height


def store_zones(wiring: Wiring, as_of: datetime) -> dict[str, str]:
    """Return the zones of the clerks whose store has clocks of its own, as the plan had them."""
    folder, clocks = wiring.runs.planned(as_of.date()), f"{INPUTS}/{CLOCKS}"
    if not folder.has(clocks):
        return {}
    return dict(folder.read(clocks).select("clerk_id", "timezone").iter_rows())


def by_store_clocks(wiring: Wiring, as_of: datetime, frame: pl.DataFrame) -> pl.DataFrame:
    """Return rows with `contact_from` and `contact_to` as the clocks of the clerk's store say.

    A plan has them by the project's clocks; who reads hours without a zone stands in the store.
    """
    zones, here = store_zones(wiring, as_of), ZoneInfo(wiring.settings.time_zone)
    if not zones:
        return frame
    return frame.with_columns(
        pl.Series(
            name,
            [
                moment
                if moment is None or clerk not in zones
                else at(moment, here)
                .value.astimezone(zone_or(zones[clerk], here))
                .replace(tzinfo=None)
                for moment, clerk in zip(frame[name], frame["clerk_id"], strict=True)
            ],
            dtype=frame.schema[name],
        )
        for name in WINDOW
    )


def require_known_ending(out: Path) -> None:
    """Refuse a file whose name does not say its format.

    Raises
    ------
    UsageError
    """
    if out.suffix not in ENDINGS:
        raise UsageError(
            f"cannot tell the format of {out}",
            expected="a name that ends in .csv, .parquet or .jsonl",
            found=out.suffix or "no ending",
        )


def with_offsets(
    frame: pl.DataFrame, zones: Mapping[str, str], here: ZoneInfo, *, as_text: bool
) -> pl.DataFrame:
    """Return a plan's table with its local times as moments.

    Parameters
    ----------
    frame : DataFrame
        With naive times by the project's clocks.
    zones : mapping of clerk_id to IANA name
        Of clerks whose store has clocks of its own.
    here : ZoneInfo
        The project's.
    as_text : bool
        ISO 8601 with the offset of the store's clocks; else moments in the project's zone.
    """
    clerks = frame["clerk_id"].to_list()
    columns = []
    for name, dtype in frame.schema.items():
        if dtype != pl.Datetime("us"):
            continue
        moments = [None if moment is None else at(moment, here).value for moment in frame[name]]
        if not as_text:
            utc = pl.Series(name, moments, dtype=pl.Datetime("us", "UTC"))
            columns.append(utc.dt.convert_time_zone(here.key))
            continue
        own = zones if name in STORE_MOMENTS else {}
        texts = [
            None if moment is None else moment.astimezone(zone_or(own.get(clerk), here)).isoformat()
            for moment, clerk in zip(moments, clerks, strict=True)
        ]
        columns.append(pl.Series(name, texts, dtype=pl.String))
    return frame.with_columns(columns)


def write_table(frame: pl.DataFrame, out: Path, style: CsvStyle = FOR_PEOPLE) -> None:
    """Write a table whole or not at all, as Parquet, JSON lines or CSV by the file's name.

    Raises
    ------
    UsageError
        When the file's ending is not known.
    """
    require_known_ending(out)
    with replacing(out) as temporary:
        if out.suffix == ".parquet":
            frame.write_parquet(temporary)
        elif out.suffix == ".jsonl":
            _write_json_lines(frame, temporary)
        else:
            _write_csv(frame, temporary, style)


def _write_json_lines(frame: pl.DataFrame, out: Path) -> None:
    with out.open("w", encoding="utf-8") as handle:
        for row in frame.iter_rows(named=True):
            handle.write(json.dumps(row, default=_text, ensure_ascii=False) + "\n")


def _write_csv(frame: pl.DataFrame, out: Path, style: CsvStyle) -> None:
    encoding = "utf-8-sig" if style.bom else "utf-8"
    with out.open("w", encoding=encoding, newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(frame.columns)
        writer.writerows(
            [_cell(value, raw=style.raw) for value in row] for row in frame.iter_rows()
        )


def _cell(value: object, *, raw: bool) -> object:
    if isinstance(value, list | dict):
        return json.dumps(value, default=_text, ensure_ascii=False)
    if isinstance(value, str) and not raw and value.startswith(FORMULA_SIGNS):
        return f"'{value}"
    return _text(value) if isinstance(value, date) else value


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)
