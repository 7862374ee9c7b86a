"""What the verbs share: options, the project of a call, and how a report is printed."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer

from nba.errors import UsageError
from nba.schema.languages import Language

if TYPE_CHECKING:
    from nba.wiring import Wiring

#: Days outside these years are taken for mistakes.
FIRST_YEAR, LAST_YEAR = 1990, 2199
AsOf = Annotated[
    str, typer.Option("--as-of", help="The day of the plan, YYYY-MM-DD (default: today).")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print a report for machines.")]
Force = Annotated[bool, typer.Option("--force", help="Redo what is there, on changed inputs too.")]
Locale = Annotated[Language, typer.Option(help="The language.")]
Verbose = Annotated[bool, typer.Option("--verbose", help="Print every PASS of the checks too.")]


def wiring_of(context: typer.Context) -> Wiring:
    """Return the adapters of the project that the call names."""
    from nba.cores import limit_cores
    from nba.logs import configure
    from nba.settings import Project

    project = Project.open(context.obj)
    limit_cores(project.settings.threads)  # before what counts threads is loaded

    from nba.jobs.project_format import settle
    from nba.wiring import Wiring

    configure(project.settings.log_level, project.settings.log_format)
    settle(project)
    wiring = Wiring(project)
    _catch_up(wiring)
    return wiring


def _catch_up(wiring: Wiring) -> None:
    """Bring the newest version of the storage here; what only reads goes on where it is away."""
    from nba.errors import UnavailableError

    if wiring.storage is None:
        return
    try:
        wiring.storage.refresh()
    except UnavailableError as error:
        typer.echo(f"nba: working on what is here: {error}", err=True)


def moment(wiring: Wiring, text: str, *, option: str = "--as-of") -> datetime:
    """Return 00:00 of the day named by `text`, or of today in the project's time zone."""
    if not text:
        today = datetime.now(ZoneInfo(wiring.settings.time_zone)).date()
        return datetime(today.year, today.month, today.day)
    try:
        day = datetime.strptime(text, "%Y-%m-%d")
    except ValueError:
        raise UsageError(
            f"{option} is not a day",
            expected="YYYY-MM-DD",
            found=text,
            next_step="give the day that the plan is for",
        ) from None
    if not FIRST_YEAR <= day.year <= LAST_YEAR:
        raise UsageError(
            f"{option} is not a day that can be planned for",
            expected=f"a day of the years {FIRST_YEAR} to {LAST_YEAR}",
            found=text,
            next_step="give the day that the plan is for",
        )
    return day


def emit(as_json: bool, report: Any, lines: Callable[[], list[str]]) -> None:
    """Print a report: as JSON for machines, as lines for people."""
    if as_json:
        typer.echo(json.dumps(report, indent=1, default=str, ensure_ascii=False))
    else:
        for line in lines():
            typer.echo(line)
