"""`nba demo`: the whole path on a generated shop or on a retailer's own tables."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from nba.errors import UsageError
from nba.jobs.ingest import ingest_folder
from nba.jobs.init import init_project
from nba.jobs.listing import print_list
from nba.jobs.nightly import run_nightly
from nba.jobs.progress import Progress, shown
from nba.jobs.project_format import settle
from nba.jobs.worlds import make_world
from nba.logs import configure
from nba.settings import SETTINGS_FILE, Project
from nba.wiring import Wiring

_SHOP: Final = "shop"
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
    _refuse_other_shop(folder, is_generated=data is None)
    wiring = Wiring(Project.open(folder))
    settle(wiring.project)
    configure(wiring.settings.log_level, wiring.settings.log_format)
    progress = shown()
    tables = data if data is not None else _shop(folder, progress)
    report = ingest_folder(wiring, tables, mapping=mapping, progress=progress)
    for line in report.lines():
        progress(line)
    day = as_of or _mapped_day(mapping) or _last_day(wiring)
    moment = datetime.strptime(day, "%Y-%m-%d")
    progress(f"nba run --as-of {day}")
    run_nightly(wiring, moment, progress=progress)
    print_list(wiring, moment, locale=locale)
    for line in next_steps(folder, day, locale=locale):
        print(line)


def next_steps(folder: Path, day: str, *, locale: str = "en") -> list[str]:
    """Return what a newcomer can do with the project next, each a command that runs as it stands.

    Parameters
    ----------
    folder : Path
        The project's folder.
    day : str
        The plan's day.
    locale : str
        Language of the headings, `zh` or `en`.
    """
    nba = f"nba --project {folder}"
    steps = {
        "the clerk's page, at http://127.0.0.1:8321/": f"{nba} serve --access open",
        "the plan as a file": f"{nba} actions export --as-of {day} --out {folder}/actions.csv",
        "what is in force, and what is there": f"{nba} doctor",
        "your own tables, in a project of their own": "nba init shop",
        "then as often as there is something new": "nba --project shop ingest TABLES",
    }
    chinese = (
        "导购页面:http://127.0.0.1:8321/",
        "把计划导出为文件",
        "当前的设置与状态",
        "用自己的数据:新建一个项目",
        "之后每有新数据就导入",
    )
    headings = steps if locale == "en" else chinese
    return [
        "",
        "What next" if locale == "en" else "接下来",
        *(
            f"  {command:<72} # {text}"
            for text, command in zip(headings, steps.values(), strict=True)
        ),
    ]


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


def _shop(folder: Path, progress: Progress) -> Path:
    """Return the tables of the generated shop, made on the first call."""
    shop = folder / _SHOP
    if not (shop / "tables").exists():
        progress("a generated shop: 2,000 customers, 12 clerks in 4 stores, a year")
        with progress.step("shop") as current:
            make_world(shop, preset="published", family="capture", describe_it=False, **SHOP)
            current.report.update(SHOP)
    return shop / "tables"


def _refuse_other_shop(folder: Path, *, is_generated: bool) -> None:
    """Refuse to mix the generated shop with a retailer's own tables in one project."""
    there = (folder / _SHOP / "tables").exists()
    is_new = not Wiring(Project.open(folder)).lake.rows("transactions")
    if there != is_generated and not is_new:
        raise UsageError(
            f"the project {folder} holds {'the generated shop' if there else 'other tables'}",
            expected="a project of its own for each shop",
            found=f"{'the generated shop' if is_generated else 'tables of your own'} to load",
            next_step=f"name another one, such as `nba --project {folder}-2 demo` "
            "(`make demo DEMO=folder`)",
        )


def _last_day(wiring: Wiring) -> str:
    """Return the day after the last sale."""
    last = wiring.tables.at(None)["transactions"].ts.max().execute()
    return str((last + timedelta(days=1)).date())
