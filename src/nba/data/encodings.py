"""In which encoding a file of text is: UTF-8, UTF-16 by its bytes, GB18030 by its characters."""

from __future__ import annotations

import codecs
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final

UTF_8, UTF_16, GB18030, OTHER = "utf-8", "utf-16", "gb18030", "other"
#: So many lines with other than plain letters decide.
_LINES: Final = 1000
_BLOCK: Final = 1 << 22
#: So many bytes show whether it is UTF-16, by so large a share of zeros.
_START: Final = 1 << 12
_ZEROS: Final = 0.1
#: Text is Chinese where so large a share of its characters are frequent ones …
_FREQUENT: Final = 0.9
#: … and so large a share of its lines can be read as such.
_READABLE: Final = 0.95
#: Korean and Japanese have the same bytes in EUC, but none of their frequent characters begins
#: with this one or a later one, as one in five of the Chinese does. So many different characters
#: tell which it is, by so small a share.
_LATE: Final = 0xD0
_TELLING: Final = 30
_FEW: Final = 0.03


def detect(path: Path) -> str:
    """Return the encoding of a CSV file; `other` where most of what is no ASCII reads as none.

    Parameters
    ----------
    path : Path
        Plain or gzipped.

    Notes
    -----
    What is `other` is of single bytes (Latin-1, for one), of which one cannot be told from
    another.
    """
    opener: Any = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rb") as stream:
        start = stream.read(_START)
        if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return UTF_16
        if zeros := _zeros(start):
            return f"{UTF_16}-{zeros}"
        stream.seek(0)
        lines = [line for line, _ in zip(_foreign_lines(stream), range(_LINES), strict=False)]
    broken = [line for line in lines if not _reads(line, UTF_8)]
    if 2 * len(broken) <= len(lines):
        return UTF_8
    return GB18030 if _is_chinese(broken) else OTHER


def _zeros(start: bytes) -> str:
    """Return the order of bytes of UTF-16 without a mark: plain letters have a zero beside them."""
    odd, even = start[1::2].count(0), start[::2].count(0)
    if max(odd, even) < _ZEROS * len(start):
        return ""
    return "le" if odd > even else "be"


def _foreign_lines(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield the lines that hold other than ASCII."""
    while block := stream.read(_BLOCK):
        if block.isascii():
            continue
        block += stream.readline()
        yield from (line for line in block.split(b"\n") if not line.isascii())


def _reads(line: bytes, encoding: str) -> bool:
    try:
        line.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _is_chinese(lines: list[bytes]) -> bool:
    """Whether lines are text in GB18030: most characters are of the two-byte plane of GB 2312."""
    readable = [line for line in lines if _reads(line, GB18030)]
    if len(readable) < _READABLE * len(lines):
        return False
    characters = [
        character
        for line in readable
        for character in line.decode(GB18030)
        if not character.isascii()
    ]
    frequent = [character for character in characters if _is_frequent(character)]
    if not characters or len(frequent) < _FREQUENT * len(characters):
        return False
    different = {character for character in frequent if "一" <= character <= "鿿"}
    late = sum(character.encode("gb2312")[0] >= _LATE for character in different)
    return len(different) < _TELLING or late >= _FEW * len(different)


def _is_frequent(character: str) -> bool:
    return (
        "一" <= character <= "鿿" or "　" <= character <= "〿" or "！" <= character <= "￥"
    ) and (_reads_as_gb2312(character))


def _reads_as_gb2312(character: str) -> bool:
    try:
        character.encode("gb2312")
    except UnicodeEncodeError:
        return False
    return True
