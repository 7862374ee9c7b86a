"""`nba demo`: the whole path on a generated shop or on a retailer's own tables."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from nba.jobs.ingest import ingest_folder
from nba.jobs.init import init_project
from nba.jobs.listing import print_list
from nba.jobs.nightly import run_night
from nba.jobs.progress import to_stderr
from nba.jobs.worlds import make_world
from nba.settings import SETTINGS_FILE, Project
from nba.wiring import Wiring

SHOP = {"customers": 2000, "clerks": 12, "stores": 4, "days": 365, "seed": 1}


def run_demo(
    folder: Path, *, data: Path | None = None, mapping: str = "", as_of: str = "", locale: str
) -> None:
    """Make a project, bring tables in, walk the nightly job and print one clerk's list.

    Parameters
    ----------
    folder : Path
        The project's folder; made when there is none.
    data : Path, optional
        A folder of tables; a shop is generated where it is not given.
    mapping : str
        A mapping's name or file.
    as_of : str
        The plan's day; default: what the mapping names, else the day after the last sale.
    locale : str
        Language of the list, `zh` or `en`.
    """
    defaults = _defaults(mapping)
    if not (folder / SETTINGS_FILE).exists():
        init_project(folder, defaults)
    wiring = Wiring(Project.open(folder))
    tables = data if data is not None else _shop(folder)
    report = ingest_folder(wiring, tables, mapping=mapping)
    for line in report.lines():
        to_stderr(line)
    day = as_of or _mapped_day(mapping) or _last_day(wiring)
    moment = datetime.strptime(day, "%Y-%m-%d")
    to_stderr(f"nba run --as-of {day}")
    run_night(wiring, moment, say=to_stderr)
    print_list(wiring, moment, locale=locale)


def _defaults(mapping: str) -> dict[str, object]:
    """Return the project settings that a mapping proposes."""
    if not mapping:
        return {}
    from nba.data.mapping import read_mapping

    project = read_mapping(mapping).project.model_dump(exclude_none=True)
    return {name: value for name, value in project.items() if name != "as_of"}


def _mapped_day(mapping: str) -> str:
    if not mapping:
        return ""
    from nba.data.mapping import read_mapping

    day = read_mapping(mapping).project.as_of
    return day.isoformat() if day else ""


def _shop(folder: Path) -> Path:
    """Return the tables of the generated shop, made on the first call."""
    shop = folder / "shop"
    if not (shop / "tables").exists():
        to_stderr("generating a shop: 2,000 customers, 12 clerks in 4 stores, a year")
        make_world(shop, preset="published", describe_it=False, **SHOP)
    return shop / "tables"


def _last_day(wiring: Wiring) -> str:
    """Return the day after the last sale."""
    last = wiring.tables(None)["transactions"].ts.max().execute()
    return str((last + timedelta(days=1)).date())
