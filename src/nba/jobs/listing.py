"""One clerk's list as a table on a terminal."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

import polars as pl
from rich.console import Console
from rich.table import Table

from nba.errors import NotFoundError
from nba.jobs.export import by_store_clocks
from nba.schema.languages import Language, in_language, language_of
from nba.wiring import Wiring

HEADINGS = {
    "en": ("#", "customer", "action", "bring", "when", "min", "value", "why"),
    "zh": ("#", "顾客", "动作", "带什么", "时间", "分钟", "价值", "理由"),
}
MODES = {
    "shopping_assistant": {"en": "shopping assistant", "zh": "购物助手"},
    "topic_expert": {"en": "topic expert", "zh": "话题专家"},
    "private_partner": {"en": "private partner", "zh": "私人伙伴"},
}

#: What stands before a reason, a caution, and what would change the advice.
MARKS = {"reason": "·", "caution": "!", "change": "↻"}
#: Columns where no terminal says how wide it is.
WIDE = 164


def clerk_list(actions: pl.DataFrame, clerk_id: str) -> tuple[str, pl.DataFrame]:
    """Return the clerk and the listed actions by rank; the first clerk where none is named."""
    listed = actions.filter(pl.col("mode") != "none")
    clerks = listed["clerk_id"].unique().sort()
    if clerks.is_empty():
        raise NotFoundError("the plan lists nobody", next_step="see `nba plan --explain`")
    chosen = clerk_id or str(clerks[0])
    rows = listed.filter(pl.col("clerk_id") == chosen).sort("rank")
    if rows.is_empty():
        raise NotFoundError(
            f"the plan has no list for clerk {chosen!r}",
            expected=f"one of {clerks.len()} clerks, for example {clerks[0]}",
            next_step="check the id, or the clerk's working days",
        )
    return chosen, rows


def print_list(
    wiring: Wiring,
    as_of: datetime,
    *,
    clerk_id: str = "",
    locale: str = "en",
    limit: int = 12,
    svg: Path | None = None,
) -> None:
    """Print a clerk's list of the published plan as a table with reasons.

    Parameters
    ----------
    wiring : Wiring
    as_of : datetime
        The day of the plan.
    clerk_id : str
        Whose list; empty for the first clerk's.
    locale : str
        `en` or `zh`.
    limit : int
        Rows at most.
    svg : Path, optional
        A picture of the table to write beside.
    """
    if wiring.plan_store.plan(as_of.date()) is None:
        newest = wiring.plan_store.mark()
        raise NotFoundError(
            f"there is no plan of {as_of.date()}",
            expected="a day whose nightly job has published",
            found=f"the newest is of {newest[0]}" if newest else "no plan at all",
            next_step=f"add `--as-of {newest[0]}`" if newest else "run `nba run`",
        )
    chosen, rows = clerk_list(wiring.plan_store.actions(as_of.date()), clerk_id)
    language = language_of(locale, "en")
    names = _product_names(wiring, as_of, language)
    minutes, shown = float(rows["minutes"].sum()), by_store_clocks(wiring, as_of, rows.head(limit))
    of = "" if shown.height == rows.height else f"{shown.height} of "
    table = Table(
        title=f"{as_of.date()} · {chosen} · {of}{rows.height} actions · {minutes:g} min",
        show_lines=True,
    )
    for heading in HEADINGS[locale][:-1]:
        table.add_column(heading, overflow="fold")
    table.add_column(HEADINGS[locale][-1], overflow="fold", min_width=44)
    catalogue = wiring.decision_files.catalogue
    kinds = {kind.action_type: kind.name.of(locale) for kind in catalogue.actions}
    for row in shown.iter_rows(named=True):
        table.add_row(*_cells(row, names, kinds, locale, wiring.settings.currency))
    plain = svg is not None or not sys.stdout.isatty()
    console = Console(record=svg is not None, width=WIDE if plain else None)
    console.print(table)
    if svg is not None:
        console.save_svg(str(svg), title="nba actions show")


def _cells(
    row: dict[str, object],
    names: dict[str, str],
    kinds: dict[str, str],
    locale: str,
    currency: str,
) -> tuple[str, ...]:
    products = [names.get(product, product) for product in _list(row["product_ids"])]
    reasons = [
        f"{MARKS.get(str(reason['kind']), '·')} {reason[locale]}"
        for reason in _dicts(row["reasons"])
    ]
    bring = "\n".join(f"· {name}" for name in products) or str(row["content_id"] or "–")
    window = f"{row['contact_from']:%H:%M}–{row['contact_to']:%H:%M}"
    return (
        str(row["rank"]),
        str(row["customer_id"]),
        f"{kinds.get(str(row['action_type']), row['action_type'])}\n"
        f"({MODES[str(row['mode'])][locale]})",
        bring,
        window,
        f"{row['minutes']:g}",
        "–" if row["value"] is None else f"{row['value']:.2f} {currency}",
        "\n".join(reasons),
    )


def _list(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []


def _dicts(value: object) -> list[dict[str, object]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _product_names(wiring: Wiring, as_of: datetime, language: Language) -> dict[str, str]:
    products = wiring.feature_store.snapshot("product", as_of)
    names = products.select("product_id", pl.coalesce("name", "product_id").alias("name"))
    return {product: in_language(name, language) for product, name in names.iter_rows()}
