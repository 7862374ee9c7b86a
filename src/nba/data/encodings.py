"""In which encoding a file of text is: UTF-8, UTF-16 by its bytes, GB18030 by its characters.

What is in another one is refused as a whole until somebody names it.
"""

from __future__ import annotations

import codecs
import gzip
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final

from nba.errors import InputRefusedError

UTF_8, UTF_16, UTF_32, GB18030, OTHER = "utf-8", "utf-16", "utf-32", "gb18030", "other"
#: What a refusal tries on a file that is in none of these, as people of several regions write.
_CANDIDATES: Final = ("big5", "shift_jis", "euc_jp", "euc_kr", "windows-1252")
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
    with _opened(path) as stream:
        start = stream.read(_START)
        if start.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
            return UTF_32
        if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return UTF_16
        if zeros := _zeros(start):
            return f"{UTF_16}-{zeros}"
    lines = _first_foreign_lines(path)
    broken = [line for line in lines if not _reads(line, UTF_8)]
    if 2 * len(broken) <= len(lines):
        return UTF_8
    return GB18030 if _is_chinese(broken) else OTHER


def is_utf8(encoding: str) -> bool:
    """Whether an encoding is UTF-8, however it is written."""
    return encoding.lower().replace("_", "-") in {"utf-8", "utf8", "utf-8-sig"}


def transcode(path: Path, encoding: str, target: Path) -> None:
    """Write a file as UTF-8.

    Where most lines can be read, the bytes that cannot stay as they are and spoil their line only.

    Raises
    ------
    LookupError
        Where there is no such encoding.
    UnicodeError
        Where most of the file is in another one.
    """
    lines = _first_foreign_lines(path)
    readable = sum(_reads(line, encoding) for line in lines)
    errors = "surrogateescape" if readable >= _READABLE * len(lines) else "strict"
    opener: Any = gzip.open if path.suffix.lower() == ".gz" else open
    with (
        opener(path, "rt", encoding=encoding, errors=errors, newline="") as source,
        target.open("w", encoding=UTF_8, errors=errors, newline="") as copy,
    ):
        shutil.copyfileobj(source, copy, 1 << 20)


def refusal(shown: str, path: Path) -> InputRefusedError:
    """Return the error of a file in an encoding that nobody can tell, with how it might read.

    Parameters
    ----------
    shown : str
        What reports call it.
    path : Path
    """
    return InputRefusedError(
        f"nobody can tell in which encoding {shown} is",
        expected="text in UTF-8, UTF-16 or GB18030, which are recognised",
        found=_readings(path),
        next_step="save it as UTF-8 (in a spreadsheet: CSV UTF-8), or name its encoding with "
        "`--encoding`, or with `encoding` in a mapping; with `utf-8` only the lines that are not "
        "are set aside",
    )


def _readings(path: Path) -> str:
    """Show the first text that is no UTF-8 as each encoding that people may have meant has it."""
    lines = _first_foreign_lines(path)
    line = next(line for line in lines if not _reads(line, UTF_8))
    fields = re.split(rb'[,;\t|"\r]', line)
    # bytes of two-byte encodings may look like a separator
    part = next((field for field in fields if not _reads(field, UTF_8)), line)
    shown = [
        f"{part.decode(encoding)!r} as {encoding}"
        for encoding in _CANDIDATES
        if _reads(part, encoding) and all(_reads(one, encoding) for one in lines)
    ]
    return f"bytes that read {', '.join(shown)}" if shown else f"the bytes {part[:40]!r}"


def _opened(path: Path) -> IO[bytes]:
    opener: Any = gzip.open if path.suffix.lower() == ".gz" else open
    stream: IO[bytes] = opener(path, "rb")
    return stream


def _first_foreign_lines(path: Path) -> list[bytes]:
    with _opened(path) as stream:
        return [line for line, _ in zip(_foreign_lines(stream), range(_LINES), strict=False)]


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
