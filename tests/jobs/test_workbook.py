"""The plan as a workbook: what a clerk sees, and the filled file read back."""

from __future__ import annotations

import shutil
from datetime import datetime, time
from pathlib import Path

import polars as pl
import pytest
from openpyxl import Workbook, load_workbook
from tests.command import nba
from tests.jobs.conftest import DAY, wiring

from nba.errors import InputRefusedError
from nba.jobs.workbook import CHOICES, _fill, export_workbook, read_feedback
from nba.pipeline.plan import CLOCKS, INPUTS
from nba.schema.words import FeedbackKind

AS_OF = datetime.combine(DAY, time())


@pytest.fixture
def shop(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "shop")
    return tmp_path / "shop"


@pytest.mark.parametrize("locale", ["en", "zh"])
def test_a_filled_workbook_is_feedback_and_counts_once(
    shop: Path, tmp_path: Path, locale: str
) -> None:
    out = tmp_path / "list.xlsx"
    printed = nba("--project", shop, "actions", "export", "--as-of", DAY, "--out", out,
                  "--locale", locale)  # fmt: skip
    book = load_workbook(out)
    rows = sum(sheet.max_row - 1 for sheet in book.worksheets)
    assert f"wrote {rows} rows" in printed
    sheet = book.worksheets[0]
    heads = {cell.value: cell.column_letter for cell in sheet[1]}
    feedback, remark = (heads[word] for word in {"en": ("feedback", "remark"),
                                                 "zh": ("反馈", "备注")}[locale])  # fmt: skip
    (choice,) = sheet.data_validations.dataValidation
    assert choice.formula1 == f'"{",".join(words[locale] for words in CHOICES.values())}"'
    assert sheet.column_dimensions[heads["action_id"]].hidden
    names = {row[0].value for row in sheet.iter_rows(min_row=2, min_col=3, max_col=3)}
    assert not any(str(name).startswith("C0") for name in names)  # people, not ids
    sheet[f"{feedback}2"] = CHOICES[FeedbackKind.SENT][locale]
    sheet[f"{remark}2"] = "=1+1 is what she said"
    sheet[f"{feedback}3"] = "perhaps"
    action_id = sheet[f"{heads['action_id']}2"].value
    sheet.move_range(f"A2:{heads['action_id']}{sheet.max_row}", rows=1)  # rows keep no place
    book.save(out)
    first, again = (nba("--project", shop, "actions", "feedback", out, code=1) for _ in range(2))
    assert f"1 recorded, 0 recorded before, {rows - 2} left empty" in first
    assert "'perhaps' is none of" in first
    assert "0 recorded, 1 recorded before" in again
    (row,) = wiring(shop).plan_store.feedback(action_id)
    assert (row["kind"], row["reason"]) == ("sent", "=1+1 is what she said")


def test_what_is_no_workbook_says_so(shop: Path, tmp_path: Path) -> None:
    path = tmp_path / "list.xlsx"
    with pytest.raises(InputRefusedError, match="cannot be read as a workbook"):
        read_feedback(wiring(shop), path)
    path.write_text("a,b")
    with pytest.raises(InputRefusedError, match="cannot be read as a workbook"):
        read_feedback(wiring(shop), path)


def test_a_day_without_a_plan_is_told_with_the_newest(shop: Path) -> None:
    told = nba("--project", shop, "actions", "show", "--as-of", "2031-01-01", code=1)
    assert "there is no plan of 2031-01-01" in told
    assert f"add `--as-of {DAY}`" in told


def test_hours_are_those_of_the_clerks_store(shop: Path, tmp_path: Path) -> None:
    """A project in Shanghai, a store in Tokyo: its clocks are an hour ahead."""

    def hours() -> tuple[list[str], str]:
        out = tmp_path / "one.xlsx"
        export_workbook(wiring(shop), AS_OF, out, locale="en", clerk=clerk)
        sheet = load_workbook(out).worksheets[0]
        column = next(cell.column for cell in sheet[1] if cell.value == "when")
        when = [row[column - 1] for row in sheet.iter_rows(min_row=2, values_only=True)]
        return when, nba("--project", shop, "actions", "show", "--as-of", DAY, "--clerk", clerk)

    clerk = str(wiring(shop).plan_store.actions(DAY)["clerk_id"][0])
    before, _ = hours()
    clocks = pl.DataFrame({"clerk_id": [clerk], "timezone": ["Asia/Tokyo"], "ahead_minutes": 60.0})
    wiring(shop).runs.planned(DAY).write(f"{INPUTS}/{CLOCKS}", clocks)
    after, shown = hours()

    def later(when: str) -> str:
        return "–".join(f"{int(part[:2]) + 1:02}{part[2:]}" for part in when.split("–"))

    assert after == [later(when) for when in before]
    assert all(when in shown for when in after[:5])


def test_signs_that_no_cell_may_hold_are_left_out() -> None:
    cell = Workbook().create_sheet().cell(1, 1)
    _fill(cell, "Wang\x0b Fang")
    assert (cell.value, cell.data_type) == ("Wang Fang", "s")


def test_one_clerk_only(shop: Path, tmp_path: Path) -> None:
    out = tmp_path / "one.xlsx"
    clerk = wiring(shop).plan_store.actions(DAY)["clerk_id"][0]
    export_workbook(wiring(shop), AS_OF, out, locale="en", clerk=str(clerk))
    assert len(load_workbook(out).sheetnames) == 1
