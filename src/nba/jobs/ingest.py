"""A folder of tables, or what the quarantine holds, into the lake."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from nba.data.ingest import ingest, retry
from nba.data.report import IngestReport
from nba.files import write_text
from nba.jobs.init import with_settings
from nba.jobs.lock import project_lock
from nba.jobs.progress import Progress, silent
from nba.settings import SETTINGS_FILE
from nba.wiring import Wiring


def ingest_folder(
    wiring: Wiring,
    folder: Path,
    *,
    mapping: str = "",
    check_only: bool = False,
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
    progress : Progress
        Where the step is shown.
    """
    with project_lock(wiring.project.data), progress.step("tables") as current:
        report = ingest(
            folder,
            wiring.lake,
            mapping=mapping or None,
            time_zone=wiring.settings.time_zone,
            now=datetime.now(UTC),
            check_only=check_only,
            erased=wiring.plan_store.keeper(),
            currency=wiring.settings.currency,
            secret=wiring.project.secret(),
        )
        tables = report.tables.values()
        _adopt_currency(wiring, report)
        current.report["tables"] = len(tables)
        current.report["rows"] = sum(table.read.rows for table in tables)
        current.report["quarantined"] = sum(table.quarantined.rows for table in tables)
        return report


def _adopt_currency(wiring: Wiring, report: IngestReport) -> None:
    """Write the currency of a project's first sales into its settings, where files say it."""
    currency, before = report.currency, wiring.settings.currency
    if not currency or currency == before or not report.committed:
        return
    path = wiring.project.root / SETTINGS_FILE
    write_text(path, with_settings(path.read_text(encoding="utf-8"), {"currency": currency}))
    report.recognised.append(f"{SETTINGS_FILE}: currency is now {currency}, it was {before}")


def retry_quarantine(wiring: Wiring, *, mapping: str = "") -> IngestReport:
    """Try the quarantined rows again, with a corrected mapping or changed rules."""
    with project_lock(wiring.project.data):
        return retry(
            wiring.lake,
            mapping=mapping or None,
            time_zone=wiring.settings.time_zone,
            now=datetime.now(UTC),
            erased=wiring.plan_store.keeper(),
        )
