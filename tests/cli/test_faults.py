"""No traceback reaches a user, whatever the command line is given."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

from nba.cli import main
from nba.errors import NbaError

EXIT_CODES = {0, 1, 2, 65, 75, 78}
EXPERIMENT = ("--arm", "arm", "--control", "a", "--outcome", "y")


def call(monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> int:
    monkeypatch.setattr(sys, "argv", ["nba", *map(str, words)])
    monkeypatch.delenv("NBA_LOG_LEVEL", raising=False)
    with pytest.raises(SystemExit) as ended:
        main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


def rows(*columns: str, count: int = 60) -> bytes:
    draw = random.Random(1)
    values = {
        "arm": lambda: draw.choice("ab"),
        "y": lambda: f"{draw.random():.3f}",
        "p": lambda: draw.choice("01"),
        "same": lambda: "1",
    }
    lines = [",".join(columns)] + [
        ",".join(values[name]() for name in columns) for _ in range(count)
    ]
    return "\n".join(lines).encode()


FILES = {
    "empty.csv": b"",
    "empty.parquet": b"",
    "binary.csv": bytes(range(256)) * 8,
    "binary.parquet": bytes(range(256)) * 8,
    "header.csv": b"arm,y\n",
    "latin.csv": "arm,y\né,ü\n".encode("latin-1"),
    "no_column_to_learn_from.csv": rows("arm", "y"),
    "one_value.csv": rows("arm", "y", "same"),
    "no_rows_of_an_arm.csv": b"arm,y,x\n" + b"b,1,2\n" * 30,
    "text_as_outcome.csv": b"arm,y,x\n" + b"a,one,2\nb,two,3\n" * 30,
}


@pytest.mark.parametrize("name", [*FILES, "missing.csv", "folder.csv"])
def test_an_experiment_on_a_wrong_file_says_what_is_wrong(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / name
    if name in FILES:
        file.write_bytes(FILES[name])
    elif name == "folder.csv":
        file.mkdir()
    out = tmp_path / "out"
    code = call(monkeypatch, "experiment", "run", "mode", "--data", file, *EXPERIMENT, "--out", out)
    told = capsys.readouterr().err
    assert code in {2, 65}
    assert "expected" in told
    assert "does not explain" not in told


def test_propensities_of_zero_and_one_end_without_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "certain.csv"
    file.write_bytes(rows("arm", "y", "p"))
    words = ("experiment", "run", "mode", "--data", file, *EXPERIMENT, "--propensity", "p")
    assert call(monkeypatch, *words, "--out", tmp_path / "out") in {0, 65}
    assert "does not explain" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            (
                "experiment",
                "run",
                "mode",
                "--data",
                "x.csv",
                "--arm",
                "y",
                "--control",
                "a",
                "--outcome",
                "y",
            ),
            65,
        ),
        (("run", "--as-of", "9999-12-31"), 2),
        (("run", "--as-of", "0001-01-01"), 2),
        (("run", "--as-of", "tomorrow"), 2),
        (("actions", "show", "--locale", "fr"), 2),
        (("actions", "outlook", "--locale", "fr"), 2),
        (("demo", "--locale", "fr"), 2),
        (("serve", "--port", "99999"), 2),
        (("serve", "--port", "-1"), 2),
        (("serve", "--access", "open", "--host", "shop.example"), 2),
        (("serve", "--access", "open", "--host", ""), 2),
        (("serve", "--access", "maybe"), 2),
        (("bench", "nothing"), 2),
        (("experiment", "report", "nothing"), 1),
    ],
)
def test_wrong_calls_end_with_their_code(
    words: tuple[str, ...],
    expected: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    project = tmp_path / "shop"
    assert call(monkeypatch, "init", project) == 0
    assert call(monkeypatch, "--project", project, *words) == expected
    assert "does not explain" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "error", [KeyError("x"), ValueError("two\nlines"), PermissionError(13, "no", "f")]
)
def test_a_fault_of_our_own_is_one_message(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails() -> None:
        raise error

    monkeypatch.setattr("nba.cli.app", fails)
    assert call(monkeypatch) == NbaError.exit_code
    told = capsys.readouterr().err
    assert told.startswith("nba: ")
    assert "Traceback" not in told
