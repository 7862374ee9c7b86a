"""A folder of tables, what has landed, or what the quarantine holds, into the lake."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from nba.data.ingest import ingest, retry
from nba.data.report import IngestReport, Status
from nba.errors import ConfigError
from nba.files import write_text
from nba.jobs.init import with_settings
from nba.jobs.progress import Progress, silent
from nba.pipeline.plan import WARNINGS
from nba.settings import SETTINGS_FILE
from nba.wiring import Wiring


def ingest_folder(
    wiring: Wiring,
    folder: Path,
    *,
    mapping: str = "",
    check_only: bool = False,
    encoding: str = "",
    dates: str = "",
    progress: Progress = silent,
) -> IngestReport:
    """Load a folder of tables; see `nba.data.ingest.ingest` for what it raises.

    Parameters
    ----------
    wiring : Wiring
    folder : Path
        Holds a file or a folder per table.
    mapping : str
        A mapping's name or file; empty: the tables' own names, and exports by their header.
    check_only : bool
        Read and check; load nothing.
    encoding, dates : str
        What files without a mapping do not show: their encoding, the order of day and month.
    progress : Progress
        Where the step is shown.
    """
    with wiring.at_work(), progress.step("tables") as current:
        report = _load(
            wiring,
            folder,
            mapping or None,
            check_only=check_only,
            encoding=encoding,
            dates=dates,
        )
        current.report.update(_counts(report))
        return report


def _load(
    wiring: Wiring,
    folder: Path,
    mapping: str | Path | None,
    *,
    check_only: bool = False,
    encoding: str = "",
    dates: str = "",
) -> IngestReport:
    report = ingest(
        folder,
        wiring.lake,
        mapping=mapping,
        time_zone=wiring.settings.time_zone,
        now=datetime.now(UTC),
        check_only=check_only,
        tombstones=wiring.plan_store.tombstones(),
        currency=wiring.settings.currency,
        secret=wiring.project.secret(),
        encoding=encoding,
        dates=dates,
    )
    wiring.plan_store.add_tombstone_keys(report.learned)
    _adopt_currency(wiring, report)
    return report


def _adopt_currency(wiring: Wiring, report: IngestReport) -> None:
    """Write the currency of a project's first sales into its settings, where the load says it."""
    currency, before = report.currency, wiring.settings.currency
    if not currency or currency == before or not report.committed:
        return
    path = wiring.project.root / SETTINGS_FILE
    write_text(path, with_settings(path.read_text(encoding="utf-8"), {"currency": currency}))
    report.recognised.append(f"{SETTINGS_FILE}: currency is now {currency}, it was {before}")


def _counts(report: IngestReport) -> dict[str, int]:
    tables = report.tables.values()
    return {
        "tables": len(tables),
        "rows": sum(table.read.rows for table in tables),
        "quarantined": sum(table.quarantined.rows for table in tables),
    }


#: In the data folder: what lay in the landing folder when it was loaded last.
LANDED: Final = "landing.json"


def ingest_landed(wiring: Wiring) -> dict[str, Any]:
    """Load the landing folder if it is set and holds anything new; return counts and warnings.

    Nothing in the folder is moved or deleted: it may belong to whoever fills it. What was there
    at the last load is told by names, sizes and times of change. Names that begin with a dot are
    left alone, so that a file may be written under such a name and renamed when it is whole.

    Raises
    ------
    ConfigError
        Where the folder that is set does not exist.
    LoadRefusedError
        Where a table cannot be loaded; nothing was committed, and the next call tries again.
    """
    folder = wiring.project.landing
    if folder is None:
        return {}
    if not folder.is_dir():
        raise ConfigError(
            "there is no landing folder",
            expected=f"a folder {folder}",
            found="no such folder",
            next_step="make it, or take `landing` out of nba.yaml",
        )
    files = landed_anew(wiring)
    if not files:
        return {}
    landing = wiring.settings.landing
    report = _load(
        wiring,
        folder,
        wiring.project.landing_mapping,
        encoding=landing.encoding,
        dates=landing.dates,
    )
    write_text(wiring.project.data / LANDED, json.dumps(files, indent=1))
    warnings = [check.line() for check in report.checks if check.status is not Status.PASS]
    return {**_counts(report), WARNINGS: warnings}


def landed_anew(wiring: Wiring) -> dict[str, Any]:
    """Return the files of the landing folder where it holds anything else than at the last load."""
    folder, noted = wiring.project.landing, wiring.project.data / LANDED
    files = _landed_files(folder) if folder is not None and folder.is_dir() else {}
    return {} if noted.exists() and json.loads(noted.read_text()) == files else files


def _landed_files(folder: Path) -> dict[str, Any]:
    """Return size and time of change of every file in a folder, hidden ones aside."""
    states: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") for part in name.parts):
            state = path.stat()
            states[str(name)] = [state.st_size, state.st_mtime_ns]
    return states


def retry_quarantine(wiring: Wiring, *, mapping: str = "") -> IngestReport:
    """Try the quarantined rows again, with a corrected mapping or changed rules."""
    with wiring.at_work():
        report = retry(
            wiring.lake,
            mapping=mapping or None,
            time_zone=wiring.settings.time_zone,
            now=datetime.now(UTC),
            tombstones=wiring.plan_store.tombstones(),
            secret=wiring.project.secret(),
        )
        wiring.plan_store.add_tombstone_keys(report.learned)
        return report
