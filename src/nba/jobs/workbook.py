"""The plan as a workbook: names, links and a choice of feedback per row, and the way back.

For shops without an app: a clerk fills the workbook in, and what they chose is read as feedback.
Rows are known by the action's id in a hidden column, never by their place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile

import polars as pl
from openpyxl import Workbook, load_workbook
from openpyxl.cell import Cell
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE
from openpyxl.styles import Alignment, Font, PatternFill
from openpyxl.utils import get_column_letter
from openpyxl.utils.exceptions import InvalidFileException
from openpyxl.worksheet.datavalidation import DataValidation
from openpyxl.worksheet.worksheet import Worksheet

from nba.errors import InputRefusedError, NotFoundError
from nba.files import replacing
from nba.jobs.export import by_store_clocks
from nba.jobs.listing import MODES
from nba.schema.languages import Language, in_language, language_of
from nba.schema.words import FeedbackKind
from nba.stores.feedback import Feedback
from nba.wiring import Wiring

ENDING: Final = ".xlsx"
#: What a clerk can choose, in both languages.
CHOICES: Final[Mapping[FeedbackKind, Mapping[str, str]]] = {
    FeedbackKind.SENT: {"en": "sent", "zh": "已发送"},
    FeedbackKind.SKIPPED: {"en": "skipped", "zh": "跳过"},
    FeedbackKind.DISMISSED: {"en": "not fitting", "zh": "不合适"},
    FeedbackKind.UNDELIVERED: {"en": "not delivered", "zh": "未送达"},
}
_KINDS: Final = {word: kind for kind, words in CHOICES.items() for word in words.values()}
#: Column: its heading in both languages, and its width in characters.
_COLUMNS: Final[Mapping[str, tuple[str, str, int]]] = {
    "clerk": ("clerk", "导购", 12),
    "rank": ("#", "#", 5),
    "customer": ("customer", "顾客", 18),
    "action": ("action", "动作", 22),
    "bring": ("bring", "带什么", 30),
    "when": ("when", "时间", 14),
    "minutes": ("min", "分钟", 6),
    "text": ("what to say", "话术", 50),
    "why": ("why", "理由", 50),
    "feedback": ("feedback", "反馈", 14),
    "reason": ("remark", "备注", 24),
    "action_id": ("action_id", "action_id", 10),
}
_HIDDEN: Final = "action_id"
_FILL_IN: Final = ("feedback", "reason")
_HEAD = PatternFill("solid", fgColor="DDE7F0")
_INPUT = PatternFill("solid", fgColor="FFF8E1")


def export_workbook(wiring: Wiring, as_of: datetime, out: Path, *, locale: str, clerk: str) -> int:
    """Write the listed actions of a plan as a workbook and return the number of rows.

    Parameters
    ----------
    wiring : Wiring
    as_of : datetime
        The day of the plan.
    out : Path
        Ends in `.xlsx`.
    locale : str
        `en` or `zh`: of headings, names and texts.
    clerk : str
        One clerk's list; empty for a sheet per clerk.

    Raises
    ------
    NotFoundError
        Where the plan lists nobody, or not this clerk.
    """
    language = language_of(locale, "en")
    actions = wiring.plan_store.actions(as_of.date()).filter(pl.col("mode") != "none")
    if clerk:
        actions = actions.filter(pl.col("clerk_id") == clerk)
    if actions.is_empty():
        raise NotFoundError(
            f"the plan of {as_of.date()} lists nobody" + (f" for clerk {clerk!r}" if clerk else ""),
            next_step="see `nba plan --explain`, or check the clerk's id",
        )
    actions = by_store_clocks(wiring, as_of, actions)
    names = _Names.of(wiring, as_of, language)
    book = Workbook()
    book.remove(book.active)
    for number, (clerk_id,) in enumerate(
        actions.select("clerk_id").unique().sort("clerk_id").rows()
    ):
        rows = actions.filter(pl.col("clerk_id") == clerk_id).sort("rank")
        _sheet(book, number, str(clerk_id), rows, names)
    with replacing(out) as temporary:
        book.save(temporary)
    return actions.height


@dataclass(frozen=True)
class _Names:
    """What ids are called in one language."""

    language: Language
    customers: Mapping[str, str]
    clerks: Mapping[str, str]
    products: Mapping[str, tuple[str, str | None]]
    kinds: Mapping[str, str]

    @classmethod
    def of(cls, wiring: Wiring, as_of: datetime, language: Language) -> _Names:
        tables = wiring.tables.at(as_of)

        def rows(table: str, *columns: str) -> list[tuple[Any, ...]]:
            names = wiring.tables.collect(tables[table].select(*columns))
            return [tuple(row) for row in names.iter_rows()]

        return cls(
            language,
            {row[0]: str(row[1] or row[2] or row[0]) for row in rows("customers", *_PERSON)},
            {
                row[0]: in_language(str(row[1] or row[0]), language)
                for row in rows("clerks", "clerk_id", "name")
            },
            {
                row[0]: (in_language(str(row[1] or row[0]), language), row[2])
                for row in rows("products", "product_id", "name", "link")
            },
            {
                kind.action_type: kind.name.of(language)
                for kind in wiring.decision_files.catalogue.actions
            },
        )


_PERSON: Final = ("customer_id", "alias", "name")


def _sheet(book: Workbook, number: int, clerk: str, rows: pl.DataFrame, names: _Names) -> None:
    """Add one clerk's sheet."""
    name = ILLEGAL_CHARACTERS_RE.sub("", names.clerks.get(clerk, clerk))
    title = "".join(sign for sign in name if sign not in "[]:*?/\\'")
    sheet = book.create_sheet(f"{number + 1} {title}"[:31])
    place = 1 if names.language == "zh" else 0
    for column, (heading, (*_, width)) in enumerate(_COLUMNS.items(), start=1):
        cell = sheet.cell(1, column, _COLUMNS[heading][place])
        cell.font, cell.fill = Font(bold=True), _HEAD
        sheet.column_dimensions[get_column_letter(column)].width = width
    for line, row in enumerate(rows.iter_rows(named=True), start=2):
        _row(sheet, line, row, names)
    letters = {name: get_column_letter(at) for at, name in enumerate(_COLUMNS, start=1)}
    words = [words[names.language] for words in CHOICES.values()]
    choice = DataValidation(type="list", formula1=f'"{",".join(words)}"', allow_blank=True)
    choice.error = " / ".join(words)
    sheet.add_data_validation(choice)
    choice.add(f"{letters['feedback']}2:{letters['feedback']}{rows.height + 1}")
    sheet.column_dimensions[letters[_HIDDEN]].hidden = True
    sheet.freeze_panes = "D2"


def _row(sheet: Worksheet, line: int, row: Mapping[str, Any], names: _Names) -> None:
    products = [
        names.products.get(product_id, (product_id, None))
        for product_id in row["product_ids"] or ()
    ]
    language = names.language
    values = {
        "clerk": names.clerks.get(row["clerk_id"], row["clerk_id"]),
        "rank": row["rank"],
        "customer": names.customers.get(row["customer_id"], row["customer_id"]),
        "action": f"{names.kinds.get(row['action_type'], row['action_type'])}\n"
        f"({MODES[row['mode']][language]})",
        "bring": "\n".join(name for name, _ in products) or row["content_id"] or "",
        "when": f"{row['contact_from']:%H:%M}–{row['contact_to']:%H:%M}",
        "minutes": row["minutes"],
        "text": row["talking_point"] or "",
        "why": "\n".join(str(reason[language]) for reason in row["reasons"] or ()),
        _HIDDEN: row["action_id"],
    }
    for column, name in enumerate(_COLUMNS, start=1):
        cell = sheet.cell(line, column)
        _fill(cell, values.get(name))
        cell.alignment = Alignment(wrap_text=True, vertical="top")
        if name in _FILL_IN:
            cell.fill = _INPUT
        link = next((link for _, link in products if link), None)
        if name == "bring" and link and link.startswith(("https://", "http://")):
            cell.hyperlink = link
            cell.font = Font(color="0563C1", underline="single")


def _fill(cell: Cell, value: object) -> None:
    """Set a value; a formula stays a text, and signs that no cell may hold are left out."""
    cell.value = ILLEGAL_CHARACTERS_RE.sub("", value) if isinstance(value, str) else value
    if isinstance(value, str):
        cell.data_type = "s"


# ------------------------------------------------------------------ the way back


@dataclass
class Taken:
    """What became of a filled workbook.

    Parameters
    ----------
    accepted, repeated, blank : int
        Rows recorded, recorded before, and left empty by the clerk.
    refused : list of str
        A line per row that could not be taken, with the reason.
    """

    accepted: int = 0
    repeated: int = 0
    blank: int = 0
    refused: list[str] = field(default_factory=list)


def read_feedback(wiring: Wiring, path: Path, *, now: datetime | None = None) -> Taken:
    """Record what clerks chose in a filled workbook; the same file again changes nothing.

    Parameters
    ----------
    wiring : Wiring
    path : Path
    now : datetime, optional
        Aware; the moment of feedback. The file's own time where it is absent, so that a second
        reading of the same file says the same.

    Raises
    ------
    InputRefusedError
        Where the file is no such workbook.
    """
    taken = Taken()
    for where, cells in _lines(path):
        word = str(cells.get("feedback") or "").strip()
        action_id = str(cells.get(_HIDDEN) or "").strip()
        if not word:
            taken.blank += bool(action_id)
            continue
        kind = _KINDS.get(word)
        if kind is None or not action_id:
            what = f"{word!r} is none of {', '.join(_KINDS)}" if kind is None else "no action_id"
            taken.refused.append(f"{where}: {what}")
            continue
        moment = now or datetime.fromtimestamp(path.stat().st_mtime, UTC)
        remark = str(cells.get("reason") or "").strip() or None
        try:
            outcome = _record(wiring, action_id, kind, remark, moment)
        except NotFoundError as error:
            taken.refused.append(f"{where}: {error}")
            continue
        taken.accepted += outcome == "accepted"
        taken.repeated += outcome != "accepted"
    return taken


def _record(
    wiring: Wiring, action_id: str, kind: FeedbackKind, remark: str | None, moment: datetime
) -> str:
    """Record one choice under an id that the choice itself makes."""
    digest = hashlib.sha256(f"{action_id}|{kind}|{remark or ''}".encode()).hexdigest()[:20]
    with wiring.plan_store.writing() as writer:
        action = writer.action(action_id)
        entry = Feedback(f"xlsx:{digest}", action_id, str(action["clerk_id"]), moment, kind, remark)
        return writer.record(entry)


def _lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every row below a heading, by the names of columns in either language."""
    known = {words[place]: name for name, words in _COLUMNS.items() for place in (0, 1)}
    try:
        book = load_workbook(path, read_only=True)
    except (OSError, BadZipFile, InvalidFileException, KeyError, ValueError) as error:
        raise InputRefusedError(
            f"{path} cannot be read as a workbook",
            expected="a file that `nba actions export --out LIST.xlsx` wrote, filled in",
            found=str(error),
            next_step="save it as .xlsx, or export it again",
        ) from error
    has_link = False
    for sheet in book.worksheets:
        rows = sheet.iter_rows(values_only=True)
        head = [known.get(str(cell or "").strip(), "") for cell in next(rows, ())]
        if "feedback" not in head or _HIDDEN not in head:
            continue
        has_link = True
        for number, row in enumerate(rows, start=2):
            yield f"{sheet.title}, row {number}", dict(zip(head, row, strict=False))
    book.close()
    if not has_link:
        raise InputRefusedError(
            f"{path} holds no list",
            expected="a sheet with the columns `feedback` and `action_id`",
            found=", ".join(book.sheetnames),
            next_step="keep the hidden column `action_id`; export the list again",
        )
