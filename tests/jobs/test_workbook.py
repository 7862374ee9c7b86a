"""The plan as a workbook: what a clerk sees, and the filled file read back."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from openpyxl import load_workbook
from tests.command import nba
from tests.jobs.conftest import DAY, wiring

from nba.errors import InputRefusedError
from nba.jobs.workbook import CHOICES, export_workbook, read_feedback
from nba.schema.words import FeedbackKind


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


def test_one_clerk_only(shop: Path, tmp_path: Path) -> None:
    from datetime import datetime, time

    out = tmp_path / "one.xlsx"
    clerk = wiring(shop).plan_store.actions(DAY)["clerk_id"][0]
    export_workbook(wiring(shop), datetime.combine(DAY, time()), out, locale="en", clerk=str(clerk))
    assert len(load_workbook(out).sheetnames) == 1
