"""`nba report`: gather, compute, write, log."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from html import escape
from pathlib import Path
from typing import Any, Final

from nba.errors import UsageError
from nba.evaluation.impact.inputs import ImpactInputs
from nba.evaluation.impact.report import Headline, ImpactReport, build_report
from nba.files import write_text
from nba.jobs.experiment_spec import as_text
from nba.jobs.impact.apprentice import follow_sentence
from nba.jobs.impact.gather import gather, period
from nba.jobs.impact.page import Page, names_of
from nba.jobs.impact.texts import text
from nba.schema.languages import LANGUAGES, Language
from nba.stores.runs import OpenRun, open_run
from nba.wiring import Wiring

#: The MLflow experiment in which reports are logged.
EXPERIMENT: Final = "nba reports"
REPORTS: Final = "reports"
JSON_FILE: Final = "report.json"
TABLES: Final = "tables"


@dataclass(frozen=True)
class Written:
    """A report that was written.

    Parameters
    ----------
    folder : Path
        `report.en.html`, `report.zh.html`, `report.json` and `tables/NAME.csv`.
    report : ImpactReport
    first, last : date
    run_id : str
        Of MLflow.
    """

    folder: Path
    report: ImpactReport
    first: date
    last: date
    run_id: str

    def lines(self, locale: Language, currency: str) -> list[str]:
        """Return what a terminal shows."""
        said = headline_sentence(self.report, locale, currency)
        return [
            f"{self.first} … {self.last}: {said}",
            *(str(self.folder / f"report.{one}.html") for one in LANGUAGES),
            f"{self.folder / JSON_FILE}, {self.folder / TABLES}/*.csv; MLflow run {self.run_id}",
        ]


def headline_sentence(report: ImpactReport, locale: Language, currency: str) -> str:
    """Return what a report says in one sentence."""
    if report.followed is not None and report.watched_only:
        return follow_sentence(report.followed, locale, currency)
    return sentence(report.headline, locale, currency)


def sentence(head: Headline, locale: Language, currency: str) -> str:
    """Return the headline as one sentence."""

    def money(value: float) -> str:
        return f"{value:,.0f} {currency}"

    sentence = text(
        head.verdict, locale, total=money(abs(head.total)), first_known=str(head.known_from)
    )
    if head.verdict in ("no_control", "early"):
        return sentence
    between = text(
        "between",
        locale,
        lower=money(head.lower),
        upper=money(head.upper),
        total=money(head.total),
    )
    return f"{sentence} ({between})"


def write_impact_report(
    wiring: Wiring, first: date | None, last: date | None, *, out: Path | None = None
) -> Written:
    """Write the report of a period as pages, tables and JSON, and log it in MLflow.

    Parameters
    ----------
    wiring : Wiring
    first, last : date, optional
        Both in it; by default the days of all plans that are kept.
    out : Path, optional
        Default: `data/reports/FIRST..LAST`.

    Raises
    ------
    UsageError
        When `first` lies after `last`.
    NotFoundError
        When no plan is kept of these days.
    """
    if first and last and first > last:
        raise UsageError(
            "the report's first day lies after its last", expected=f"--to {first} or later"
        )
    first, last = period(wiring, first, last)
    inputs = gather(wiring, first, last)
    report = build_report(inputs, seed=wiring.settings.seed)
    folder = out or wiring.project.data / REPORTS / f"{first}..{last}"
    currency = wiring.settings.currency
    run = open_run(
        wiring.project.tracking_uri,
        EXPERIMENT,
        name=f"{first} … {last}: {headline_sentence(report, 'en', currency)}"[:250],
        description=_description(report, currency),
    )
    files = _write(wiring, inputs, report, folder, run)
    run.finish(
        parameters={"from": str(first), "to": str(last), "arm": report.headline.arm},
        metrics=report.metrics(),
        files=files,
    )
    return Written(folder, report, first, last, run.run_id)


def _write(
    wiring: Wiring, inputs: ImpactInputs, report: ImpactReport, folder: Path, run: OpenRun
) -> list[Path]:
    """Write every file of a report and return them."""
    tables = folder / TABLES
    tables.mkdir(parents=True, exist_ok=True)
    for name, table in report.tables.items():
        table.write_csv(tables / f"{name}.csv")
    write_text(folder / JSON_FILE, as_text(_finite(report.figures())) + "\n")
    pages = []
    for locale in LANGUAGES:
        link = text("run", locale, run=run.run_id)
        seen = f'<a href="{escape(run.address)}">{escape(link)}</a>' if run.address else link
        links = (seen, escape(text("tables", locale, folder=f"{TABLES}/")))
        names = names_of(inputs, _action_names(wiring, locale), locale)
        page = Page(report, inputs, locale, wiring.settings.currency, names, links)
        pages.append(folder / f"report.{locale}.html")
        write_text(pages[-1], page.html())
    return [*pages, folder / JSON_FILE, tables]


def _action_names(wiring: Wiring, locale: Language) -> Mapping[str, str]:
    actions = wiring.decision_files.catalogue.actions
    return {action.action_type: action.name.of(locale) for action in actions}


def _description(report: ImpactReport, currency: str) -> str:
    parts = [headline_sentence(report, locale, currency) for locale in LANGUAGES]
    return "\n\n".join([*parts, "Pages: `report.en.html`, `report.zh.html`; figures: `tables/`."])


def _finite(value: Any) -> Any:
    """Return plain values without NaN, which JSON does not know."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list) else value
