"""The page: what a head of sales reads in three minutes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any, Final

from nba.evaluation.impact.cohort import CONTROL
from nba.evaluation.impact.contacts import STAGES
from nba.evaluation.impact.inputs import ImpactInputs
from nba.evaluation.impact.report import ImpactReport
from nba.jobs.impact.apprentice import follow_lines, follow_sentence
from nba.jobs.impact.charts import Scale, bar, curve, html_table, whisker
from nba.jobs.impact.style import STYLE
from nba.jobs.impact.texts import CURRENCIES, text
from nba.schema.languages import LANGUAGES, Language, in_language

#: Below this the arms' sizes do not fit their shares.
RATIO_ALARM: Final = 0.001
#: Beyond so many weeks it is said that waiting will not tell.
LONGEST_WAIT: Final = 104
DASH: Final = "–"
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Page:
    """Writes a report as HTML in one language.

    Parameters
    ----------
    report : ImpactReport
    inputs : ImpactInputs
    locale : str
        `zh` or `en`.
    currency : str
        ISO 4217 code.
    names : mapping of str to str
        Names of action types, content, stores and clerks in this language, by id.
    links : sequence of str
        HTML of what leads on: the MLflow run, the tables.
    """

    report: ImpactReport
    inputs: ImpactInputs
    locale: Language
    currency: str
    names: Mapping[str, str] = field(default_factory=dict)
    links: Sequence[str] = ()

    def html(self) -> str:
        """Return the whole page."""
        other = next(locale for locale in LANGUAGES if locale != self.locale)
        span = self.t(
            "span",
            first=str(self.inputs.first),
            last=str(self.inputs.last),
            weeks=f"{self.inputs.weeks:.0f}",
        )
        sections = "".join(make() for make in self._sections())
        return (
            f'<!doctype html><html lang="{self.locale}"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{self.t('title')}</title><style>{STYLE}</style></head><body><main>"
            f'<header><p class="span"><a href="report.{other}.html">{self.t("other_language")}</a>'
            f"{self.t('title')} · {span}</p>{self._headline()}</header>"
            f"{sections}</main></body></html>"
        )

    def t(self, key: str, **values: str) -> str:
        """Return a text of the page, escaped."""
        return escape(text(key, self.locale, **values))

    def name(self, value: str | None) -> str:
        """Return the name of an id, else the text of a word, escaped."""
        if value is None:
            return self.t("all")
        return escape(self.names[value]) if value in self.names else self.t(value)

    def money(self, value: float | None, *, signed: bool = False) -> str:
        """Return an amount with three significant digits or more, as people write it."""
        if value is None or not math.isfinite(value):
            return DASH
        digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 1 else 2
        sign = "−" if value < 0 else "+" if signed else ""
        symbol = CURRENCIES.get(self.currency, f"{self.currency} ")
        return f"{sign}{symbol}{abs(value):,.{digits}f}"

    def share(self, value: float | None, *, signed: bool = False, digits: int = 0) -> str:
        """Return a share in percent."""
        if value is None or not math.isfinite(value):
            return DASH
        rounded = round(value, digits + 2)
        sign = "−" if rounded < 0 else "+" if signed and rounded > 0 else ""
        return f"{sign}{100 * abs(value):.{digits}f} %"

    def _sections(self) -> list[Callable[[], str]]:
        return [
            self._follow,
            self._arms,
            self._levers,
            self._modes,
            self._yardsticks,
            self._funnel,
            self._gains,
            self._segments,
            self._stores,
            self._clerks,
            self._content,
            self._minutes,
            self._nothing,
            self._restraint,
            self._method,
        ]

    def _table(self, name: str) -> list[dict[str, Any]]:
        return self.report.tables[name].to_dicts()

    def _section(self, key: str, body: str, note: str = "") -> str:
        small = f'<p class="note">{note}</p>' if note else ""
        return f'<section id="{key}"><h2>{self.t(key)}</h2>{body}{small}</section>'

    # -- the headline -----------------------------------------------------------------

    def _headline(self) -> str:
        head = self.report.headline
        total = self.money(abs(head.total)) if math.isfinite(head.total) else DASH
        title = self.t(head.verdict, total=total, first_known=str(head.known_from))
        lines = []
        if self.report.followed is not None and self.report.watched_only:
            said = follow_sentence(self.report.followed, self.locale, self.currency)
            return f"<h1>{escape(said)}</h1>"
        if head.verdict == "early":
            lines.append(self.t("early_note", days=str(self.inputs.outcome_days)))
        elif head.verdict != "no_control":
            lines.append(
                self.t(
                    "between",
                    lower=self.money(head.lower, signed=True),
                    upper=self.money(head.upper, signed=True),
                    total=self.money(head.total, signed=True),
                )
            )
        else:
            lines.append(self.t("hold_out"))
        if head.verdict == "open" and head.weeks_to_tell > LONGEST_WAIT:
            lines.append(self.t("wait_long"))
        elif head.verdict == "open" and math.isfinite(head.weeks_to_tell):
            lines.append(self.t("wait", weeks=str(math.ceil(head.weeks_to_tell))))
        lines.extend(self._lists())
        lines.extend(self._own_arms())
        lines.extend(self._drawn_by_units())
        if head.ratio_p < RATIO_ALARM:
            lines.append(f'<strong class="alarm">{self._ratio()}</strong>')
        body = "".join(f"<p>{line}</p>" for line in lines)
        return f'<h1 class="{head.verdict}">{title}</h1>{body}{self._numbers()}'

    def _lists(self) -> list[str]:
        """Return the sentence on the engine against the best simple list, where one ran."""
        rows = self._table("against_lists")
        if not rows or not math.isfinite(rows[0]["estimate"]):
            return []
        row = rows[0]
        key = "level_with_lists"
        if row["lower"] > 0:
            key = "beats_lists"
        elif row["upper"] < 0:
            key = "below_lists"
        return [
            self.t(
                key,
                arm=self.t(row["arm"]),
                estimate=self.money(abs(row["estimate"])),
                lower=self.money(row["lower"], signed=True),
                upper=self.money(row["upper"], signed=True),
            )
        ]

    def _own_arms(self) -> list[str]:
        """Return a sentence per arm with rules of its own against the engine."""
        lines = []
        for row in self._table("own_arms"):
            if not math.isfinite(row["estimate"]):
                continue
            key = "own_level"
            if row["lower"] > 0:
                key = "own_beats"
            elif row["upper"] < 0:
                key = "own_below"
            told = self.t(
                key,
                arm=text(row["arm"], self.locale),
                changes=self._changes(row["arm"]),
                estimate=self.money(abs(row["estimate"])),
                lower=self.money(row["lower"], signed=True),
                upper=self.money(row["upper"], signed=True),
            )
            lines.append(told)
        return lines

    def _drawn_by_units(self) -> list[str]:
        """Return a sentence on who drew the arms of a test, where customers did not."""
        draw = self.inputs.by_units
        if draw is None:
            return []
        rows = [*self._table("own_arms"), *self._table("against_lists")]
        counts = {str(row["units"] + row["units_held"]) for row in rows if row["units"]}
        if not counts:
            return []
        unit = self.t(f"whole_{draw.unit}")
        return [self.t("drawn_by_units", unit=unit, count=max(counts, key=int))]

    def _changes(self, arm: str) -> str:
        """Return what an arm changes, in words."""
        words = [text(f"own_{one}", self.locale) for one in self.inputs.changes[arm]]
        return ("、" if self.locale == "zh" else ", ").join(
            word.removeprefix("own ") for word in words
        )

    def _numbers(self) -> str:
        head = self.report.headline
        restraint = {row["what"]: row["value"] for row in self._table("restraint")}
        minutes = self._table("minutes")
        hours = (minutes[0]["used"] or 0.0) / 60 if minutes else 0.0
        known, beyond = math.isfinite(head.total), math.isfinite(head.hours)
        facts = {
            "customers": f"{head.effect.treated:,}",
            "held_out": f"{head.effect.control:,}",
            "contacts": f"{restraint['contacts']:,.0f}",
            "hours": f"{hours:,.0f}",
            "per_week": self.money(head.total / head.weeks, signed=True) if known else DASH,
            "hours_beyond": f"{head.hours:,.0f}" if beyond else DASH,
            "per_hour": self.money(head.per_hour, signed=True) if known and beyond else DASH,
        }
        cells = "".join(
            f"<div><b>{value}</b><span>{self.t(key)}</span></div>" for key, value in facts.items()
        )
        return f'<div class="facts">{cells}</div>'

    # -- who and by which lever ----------------------------------------------------------

    def _gains(self) -> str:
        found = self.report.gains
        if found is None or found.curve.is_empty():
            return ""
        said = self.t(
            f"gains_{found.verdict}",
            qini=f"{found.qini:,.3f}",
            lower=f"{found.lower:,.3f}",
            upper=f"{found.upper:,.3f}",
        )
        picture = curve(found.curve["share"].to_list(), found.curve["gain"].to_list())
        body = f"<p>{said}</p>{picture}"
        return self._section("gains", body, self.t("gains_note", rows=f"{found.rows:,}"))

    def _follow(self) -> str:
        if self.report.followed is None:
            return ""
        first, *rest = follow_lines(self.report.followed, self.locale, self.currency)
        body = f"<p><strong>{escape(first)}</strong></p><p>{escape(rest[0].strip())}</p>"
        return self._section("follow", body, escape(rest[1].strip()))

    def _arms(self) -> str:
        rows = self._table("arms")
        scale = Scale.of([row.get(end) for row in rows for end in ("total_lower", "total_upper")])
        cells = [
            [
                self.name(row["arm"]),
                f"{row['customers']:,}",
                self.money(row["margin_mean"]),
                self._per(row) if row["arm"] != CONTROL else DASH,
                self._in_all(row, scale) if row["arm"] != CONTROL else "",
                self.money(row.get("total"), signed=True) if row["arm"] != CONTROL else "",
            ]
            for row in rows
        ]
        head = self._heads(
            "arm", "customers", "margin_mean", "effect_per", "interval", "effect_total"
        )
        return self._section("arms", html_table(head, cells), self.t("arms_note"))

    def _heads(self, *keys: str) -> list[str]:
        return [text(key, self.locale) for key in keys]

    def _per(self, row: Row) -> str:
        return self.money(row.get("estimate"), signed=True)

    def _in_all(self, row: Row, scale: Scale) -> str:
        return whisker(scale, row.get("total"), row.get("total_lower"), row.get("total_upper")) + (
            f"<small>{self.money(row.get('total_lower'), signed=True)} … "
            f"{self.money(row.get('total_upper'), signed=True)}</small>"
        )

    def _levers(self) -> str:
        cards = []
        for row in self._table("levers"):
            sure = row["lower"] > 0 or row["upper"] < 0
            tone = ("up" if row["lower"] > 0 else "down") if sure else "open"
            label = "lever_share" if row["lever"] != "all" else "per_customer"
            amount = self.money(row["amount"], signed=True)
            detail = self.t(label, amount=amount) if label == "lever_share" else amount
            cards.append(
                f'<div class="card {tone}"><span>{self.t(row["lever"])}</span>'
                f"<b>{self.share(row['estimate'], signed=True)}</b>"
                f"<small>{self._between(row['lower'], row['upper'])}"
                f"{'' if sure else ' · ' + self.t('unsure')}<br>{detail}</small></div>"
            )
        if not cards:
            return ""
        return self._section("levers", f'<div class="cards">{"".join(cards)}</div>')

    def _between(self, lower: float | None, upper: float | None) -> str:
        if lower is None or upper is None or not (math.isfinite(lower) and math.isfinite(upper)):
            return DASH
        return f"{self.share(lower, signed=True)} … {self.share(upper, signed=True)}"

    # -- where --------------------------------------------------------------------------

    def _modes(self) -> str:
        body = self._listings("modes", "mode", "mode")
        for table, key in (("action_types", "action_type"), ("sequences", "sequence")):
            body += f"<h3>{self.t(table)}</h3>" + self._listings(table, key, key)
        note = self.t("modes_note", days=str(self.inputs.outcome_days))
        return self._section("modes", body, note)

    def _listings(self, table: str, key: str, head: str) -> str:
        rows = self._table(table)
        scale = Scale.of([row[end] for row in rows for end in ("lower", "upper")])
        cells = []
        for row in rows:
            known = row["estimate"] is not None
            strip = whisker(scale, row["estimate"], row["lower"], row["upper"])
            cells.append(
                [
                    self.name(row[key]),
                    f"{row['listings']:,}",
                    self._per(row) if known else f"<small>{self.t('cannot')}</small>",
                    strip + self._money_range(row) if known else "",
                    self.money(row["total"], signed=True) if known else DASH,
                ]
            )
        heads = self._heads(head, "listings", "per_listing", "interval", "effect_total")
        return html_table(heads, cells)

    def _money_range(self, row: Row) -> str:
        low, high = self.money(row["lower"], signed=True), self.money(row["upper"], signed=True)
        return f"<small>{low} … {high}</small>"

    def _groups(self, table: str, key: str, head: str) -> str:
        rows = [row for row in self._table(table) if row[key] is not None]
        scale = Scale.of([row[end] for row in rows for end in ("total_lower", "total_upper")])
        cells = [
            [
                self.name(row[key]),
                f"{row['customers']:,}",
                f"{row['held_out']:,}",
                self._per(row),
                self._in_all(row, scale),
                self.money(row["total"], signed=True),
            ]
            for row in rows
        ]
        heads = self._heads(head, "customers", "held_out", "effect_per", "interval", "effect_total")
        return html_table(heads, cells)

    def _segments(self) -> str:
        return self._section("segments", self._groups("segments", "segment", "segment"))

    def _stores(self) -> str:
        body = self._groups("stores", "store_id", "store")
        return self._section("stores", body, self.t("shrunk_note"))

    def _clerks(self) -> str:
        body = self._groups("clerks", "clerk_id", "clerk")
        count = self.report.tables["clerks"].height
        summary = f"<summary>{count} {self.t('clerks_many')}</summary>"
        folded = f"<details{' open' if count <= 12 else ''}>{summary}{body}</details>"
        return self._section("clerks", folded, self.t("shrunk_note"))

    # -- what was done -------------------------------------------------------------------

    def _yardsticks(self) -> str:
        raw = {row["mode"]: row for row in self._table("yardsticks_raw")}
        caused: dict[str | None, Row] = {row["mode"]: row for row in self._table("modes")}
        levers = {row["lever"]: row for row in self._table("levers")}
        caused[None] = {
            f"{name}{end}": row[column]
            for name, row in levers.items()
            for end, column in (("", "estimate"), ("_lower", "lower"), ("_upper", "upper"))
        }
        names = ("active", "frequency", "order_value")
        cells = []
        for mode, row in raw.items():
            line = [
                self.t("all_modes") if mode is None else self.name(mode),
                self.share(row["repurchasing"], signed=True),
            ]
            for name in names:
                effect = caused.get(mode, {})
                line += [
                    self.share(row[name], signed=True),
                    f"{self.share(effect.get(name), signed=True)}<br><small>"
                    f"{self._between(effect.get(f'{name}_lower'), effect.get(f'{name}_upper'))}"
                    "</small>",
                ]
            cells.append(line)
        keys = {"active": "friends_active", "frequency": "frequency", "order_value": "order_value"}
        ways = [text(way, self.locale) for way in ("raw", "caused")]
        heads = [
            text("mode", self.locale),
            f"{text('repurchasing', self.locale)} · {ways[0]}",
            *(f"{text(keys[name], self.locale)} · {way}" for name in names for way in ways),
        ]
        note = self.t("yardsticks_note", days=str(self.inputs.outcome_days))
        return self._section("yardsticks", html_table(heads, cells), note)

    def _funnel(self) -> str:
        rows = self._table("funnel")
        everything = rows[0]
        planned = max(everything["planned"], 1)
        lines = []
        for place, stage in enumerate(STAGES):
            count = everything[stage]
            label = f"{count:,}"
            if place:
                before = max(everything[STAGES[place - 1]], 1)
                if count <= before:
                    label += " · " + text(
                        "of_before", self.locale, share=self.share(count / before)
                    )
            lines.append(f"<li><span>{self.t(stage)}</span>{bar(count / planned, label)}</li>")
        modes = [
            [self.name(row["mode"]), *(f"{row[stage]:,}" for stage in STAGES)] for row in rows[1:]
        ]
        table = html_table(self._heads("mode", *STAGES), modes)
        cells = "".join(
            f"<div><b>{row['count']:,}</b><span>{self.t(row['what'])}</span></div>"
            for row in self._table("relations")
        )
        body = f'<ol class="funnel">{"".join(lines)}</ol>{table}<div class="facts">{cells}</div>'
        return self._section(
            "funnel", body, self.t("funnel_note", days=str(self.inputs.outcome_days))
        )

    def _content(self) -> str:
        cells = []
        for row in self._table("content"):
            tone = "down" if row["tires"] else ""
            mark = f' <span class="tag">{self.t("tires")}</span>' if row["tires"] else ""
            title = self.name(row["content"])
            cells.append(
                [
                    title + mark,
                    f"{row['sent']:,}",
                    *(
                        self.share(row[name], digits=1)
                        for name in ("read_rate", "reply_rate", "buy_rate", "negative_rate")
                    ),
                    f'<span class="{tone}">{self.share(row["early_rate"], digits=1)} → '
                    f"{self.share(row['late_rate'], digits=1)}</span>",
                ]
            )
        heads = self._heads(
            "content_name",
            "sent",
            "read_rate",
            "reply_rate",
            "buy_rate",
            "negative_rate",
            "early_late",
        )
        return self._section("content", html_table(heads, cells))

    # -- minutes, those left out, restraint ------------------------------------------------

    def _minutes(self) -> str:
        cells = [
            [
                self.name(row["store_id"]),
                *(f"{(row[name] or 0) / 60:,.0f}" for name in ("minutes", "planned", "used")),
                f"{self.money(row['hour_value'])}<br><small>{self.money(row['hour_lower'])} … "
                f"{self.money(row['hour_upper'])}</small>",
            ]
            for row in self._table("minutes")
        ]
        if cells:
            cells[0][0] = self.t("stores_all")
        heads = self._heads("store", "available", "planned_hours", "used_hours", "hour_value")
        return self._section("minutes", html_table(heads, cells), self.t("hour_note"))

    def _nothing(self) -> str:
        rows = self._table("nothing")
        if not rows:
            return self._section("nothing", f"<p>{self.t('nobody')}</p>")
        cells = [
            [
                self.t(row["reason"]),
                f"{row['customers']:,}",
                bar(row["share"], self.share(row["share"])),
            ]
            for row in rows
        ]
        heads = self._heads("reason", "customers", "share")
        return self._section("nothing", html_table(heads, cells))

    def _restraint(self) -> str:
        cells = "".join(
            f"<div><b>{row['value']:,.{1 if 'per' in row['what'] else 0}f}</b>"
            f"<span>{self.t(row['what'])}</span></div>"
            for row in self._table("restraint")
        )
        return self._section(
            "restraint", f'<div class="facts">{cells}</div>', self.t("avoided_note")
        )

    def _ratio(self) -> str:
        p = self.report.headline.ratio_p
        key = "ratio_bad" if p < RATIO_ALARM else "ratio_good"
        return self.t(key, p=f"{p:.2g}")

    def _method(self) -> str:
        links = "".join(f"<li>{link}</li>" for link in self.links)
        body = f"<p>{self.t('method_note')}</p><p>{self._ratio()}</p><ul>{links}</ul>"
        return self._section("method", body)


def names_of(
    inputs: ImpactInputs, action_names: Mapping[str, str], language: Language
) -> dict[str, str]:
    """Return the names of action types, content, stores and clerks by id, in one language."""
    named = dict(action_names)
    for table, key, column in (
        (inputs.content, "content_id", "title"),
        (inputs.stores, "store_id", "name"),
        (inputs.clerks, "clerk_id", "name"),
    ):
        for key_value, name in table.select(key, column).iter_rows():
            named[key_value] = in_language(name, language) if name else key_value
    return named
