"""Answers serialised once: kept as bytes, compressed once, sent many times."""

from __future__ import annotations

import struct
import threading
import zlib
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from hashlib import sha256
from typing import Final, Generic, TypeVar

from fastapi import Request, Response
from pydantic import BaseModel

from nba.serving.conditional import is_known, unchanged

#: Bytes of answers that one process keeps.
BUDGET: Final = 64 * 1024 * 1024
#: Smaller answers are not worth compressing.
LEAST_ZIPPED: Final = 1024
_GZIP_HEADER: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_JSON: Final = "application/json"
Value = TypeVar("Value")


@dataclass(frozen=True)
class Ready:
    """A JSON object without its last brace, to which a request adds what is of the moment.

    Parameters
    ----------
    head : bytes
        The object's text up to the brace.
    tag : str
        The entity tag.
    until : datetime or None
        From when on it must be made anew; None: while its key stands.
    is_laid : bool
        Whether it lies ready elsewhere, so that it need not be kept when others are used more.
    """

    head: bytes
    tag: str
    until: datetime | None = None
    is_laid: bool = False

    @classmethod
    def of(
        cls, content: BaseModel, tag: str = "", *, leave: str = "", until: datetime | None = None
    ) -> Ready:
        """Return an answer ready to be sent.

        Parameters
        ----------
        content : BaseModel
        tag : str
            The entity tag; by default a strong one of the text.
        leave : str
            A field that each request adds.
        until : datetime, optional
        """
        text = content.model_dump_json(exclude={leave} if leave else None)
        return cls.of_text(text.encode()[:-1], tag, until=until)

    @classmethod
    def of_text(
        cls, head: bytes, tag: str = "", *, until: datetime | None = None, is_laid: bool = False
    ) -> Ready:
        """Return an answer whose text is there already.

        Parameters
        ----------
        head : bytes
            The text up to its last brace.
        tag, until
            As for `of`.
        is_laid : bool
            Whether it lies ready elsewhere.
        """
        return cls(head, tag or f'"{sha256(head).hexdigest()[:24]}"', until, is_laid)

    @property
    def size(self) -> int:
        """Bytes that it takes: what is deflated takes about a quarter."""
        return len(self.head) * 5 // 4

    def is_over(self, now: datetime) -> bool:
        """Whether it must be made anew."""
        return self.until is not None and self.until <= now

    @cached_property
    def _deflated(self) -> tuple[bytes, int]:
        """The head deflated up to a whole byte, and its CRC-32: once, for who takes it so."""
        packer = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
        deflated = packer.compress(self.head) + packer.flush(zlib.Z_FULL_FLUSH)
        return deflated, zlib.crc32(self.head)

    def answer(self, request: Request, tail: bytes = b"") -> Response:
        """Return the answer to a request, or that what the client holds still stands.

        Parameters
        ----------
        request : Request
        tail : bytes
            What the request adds to the object, from its comma on.
        """
        if is_known(request, self.tag):
            return unchanged(self.tag)
        headers = {"ETag": self.tag}
        tail = tail + b"}"
        taken = request.headers.get("accept-encoding", "")
        if len(self.head) < LEAST_ZIPPED or "gzip" not in taken:
            return Response(self.head + tail, headers=headers, media_type=_JSON)
        headers |= {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
        return Response(self._gzip(tail), headers=headers, media_type=_JSON)

    def plain(self) -> Response:
        """Return the answer as it is, whatever the client holds or takes."""
        return Response(self.head + b"}", media_type=_JSON)

    def _gzip(self, tail: bytes) -> bytes:
        """Return the gzip of the whole: of the head it is there already."""
        last = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
        end = last.compress(tail) + last.flush()
        deflated, crc = self._deflated
        length = (len(self.head) + len(tail)) & 0xFFFFFFFF
        sums = struct.pack("<II", zlib.crc32(tail, crc), length)
        return b"".join((_GZIP_HEADER, deflated, end, sums))


class Answers:
    """Ready answers by key: those that were used last as they are, the others compressed.

    Parameters
    ----------
    budget : int
        Bytes that answers take as they are, and half as many compressed; the least used go.
    """

    def __init__(self, budget: int = BUDGET) -> None:
        self._lock = threading.Lock()
        self._used: _Kept[Ready] = _Kept(budget, lambda one: one.size)
        self._packed: _Kept[_Packed] = _Kept(budget // 2, lambda one: len(one.head))

    def get(self, key: Hashable, now: datetime) -> Ready | None:
        """Return the answer of a key, or None where it must be made."""
        with self._lock:
            found = self._used.get(key)
            packed = self._packed.pop(key) if found is None else None
        if packed is not None:
            found = self.put(key, packed.ready())
        return None if found is None or found.is_over(now) else found

    def put(self, key: Hashable, ready: Ready) -> Ready:
        """Keep an answer, and return it."""
        with self._lock:
            gone = self._used.put(key, ready)
        for other, one in gone:
            if one.is_laid:
                continue
            packed = _Packed.of(one)
            with self._lock:
                self._packed.put(other, packed)
        return ready


@dataclass(frozen=True)
class _Packed:
    """An answer compressed."""

    head: bytes
    tag: str
    until: datetime | None

    @classmethod
    def of(cls, ready: Ready) -> _Packed:
        return cls(zlib.compress(ready.head, 1), ready.tag, ready.until)

    def ready(self) -> Ready:
        return Ready(zlib.decompress(self.head), self.tag, self.until)


class _Kept(Generic[Value]):
    """Values by key within a budget of bytes; the least used go first."""

    def __init__(self, budget: int, size: Callable[[Value], int]) -> None:
        self._budget = budget
        self._size_of = size
        self._kept: OrderedDict[Hashable, Value] = OrderedDict()
        self._size = 0

    def get(self, key: Hashable) -> Value | None:
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def pop(self, key: Hashable) -> Value | None:
        found = self._kept.pop(key, None)
        if found is not None:
            self._size -= self._size_of(found)
        return found

    def put(self, key: Hashable, value: Value) -> list[tuple[Hashable, Value]]:
        """Keep a value as the one used last; return those that go for it."""
        self.pop(key)
        self._kept[key] = value
        self._size += self._size_of(value)
        gone = []
        while self._size > self._budget and len(self._kept) > 1:
            gone.append(self._kept.popitem(last=False))
            self._size -= self._size_of(gone[-1][1])
        return gone
