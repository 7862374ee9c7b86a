"""Encodings are told by what stands in the file, and not guessed where nothing tells."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from nba.data.encodings import detect

CHINESE = "会员号,城市,备注\nc1,上海,喜欢红茶，每周六来\nc2,北京,老客户\n"
GERMAN = "Kunde,Größe,Straße\nMüller,groß,Königsallee\nJäger,klein,Höhe, Fußweg\n"


@pytest.mark.parametrize(
    ("text", "encoding", "found"),
    [
        (CHINESE, "utf-8", "utf-8"),
        (CHINESE, "utf-8-sig", "utf-8"),
        (CHINESE, "gb18030", "gb18030"),
        (CHINESE, "utf-16", "utf-16"),
        (GERMAN, "utf-8", "utf-8"),
        (GERMAN, "latin-1", "other"),
        (GERMAN * 300, "latin-1", "other"),
        ("a,b\n1,2\n", "ascii", "utf-8"),
        ("a,b\n" + "1,2\n" * 2_000_000 + "3,茶叶很好\n", "gb18030", "gb18030"),
    ],
)
def test_detection(tmp_path: Path, text: str, encoding: str, found: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(text.encode(encoding))
    assert detect(path) == found
    if len(text) < 1000:
        packed = tmp_path / "a.csv.gz"
        packed.write_bytes(gzip.compress(text.encode(encoding)))
        assert detect(packed) == found


def test_one_damaged_line_is_no_other_encoding(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(CHINESE.encode() + "c3,广州,茶\n".encode("gb18030"))
    assert detect(path) == "utf-8"
