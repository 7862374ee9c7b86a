"""Encodings are told by what stands in the file, and not guessed where nothing tells."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from nba.data.encodings import detect

CHINESE = (
    "会员号,城市,备注\nc1,上海,喜欢红茶，每周六来\nc2,北京,老客户\n"
    "c3,成都,上次买的那双鞋子小了一点，想要换大一码，下个月过生日\n"
)
#: The same bytes as Chinese in EUC, and other characters.
KOREAN = (
    "회원,도시,메모\nc1,서울,홍차를 좋아하고 매주 토요일에 온다\n"
    "c2,부산,오래된 손님이며 선물을 자주 산다\nc3,대구,새로운 화장품이 나오면 알려 달라고 했다\n"
)
JAPANESE = "品名\n" + "\n".join(
    ("化粧水", "美容液", "口紅", "香水", "手袋", "財布", "革靴", "帽子", "指輪", "腕時計", "毛布",
     "石鹸", "洗顔料", "乳液", "日焼止", "眼鏡", "雨傘", "絹織物", "綿製品", "革製鞄")
)  # fmt: skip
GERMAN = "Kunde,Größe,Straße\nMüller,groß,Königsallee\nJäger,klein,Höhe, Fußweg\n"


@pytest.mark.parametrize(
    ("text", "encoding", "found"),
    [
        (CHINESE, "utf-8", "utf-8"),
        (CHINESE, "utf-8-sig", "utf-8"),
        (CHINESE, "gb18030", "gb18030"),
        (CHINESE, "utf-16", "utf-16"),
        (CHINESE, "utf-16-le", "utf-16-le"),
        ("c1,上海\n", "utf-16-be", "utf-16-be"),
        (KOREAN, "euc-kr", "other"),
        (JAPANESE, "euc-jp", "other"),
        (CHINESE * 300, "gb2312", "gb18030"),
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
