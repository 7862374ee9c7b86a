"""A prefix of an object store, as pyarrow's filesystems reach it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Self, TypeVar
from urllib.parse import urlsplit

from nba.errors import NbaError, NotFoundError, UnavailableError
from nba.files import replacing

#: Objects that are sent or fetched at the same time.
_AT_ONCE: Final = 8
_CHUNK: Final = 4 << 20
#: Seconds for a connection and for an answer; how often a request is tried.
_CONNECT, _ANSWER, _TRIES = 5.0, 20.0, 5

One = TypeVar("One")
Other = TypeVar("Other")


@dataclass(frozen=True)
class Listed:
    """An object as a listing shows it.

    Parameters
    ----------
    size : int
        In bytes.
    modified_ns : int
        When it was written, in nanoseconds since 1970 by the store's clock.
    """

    size: int
    modified_ns: int


class Prefix:
    """Objects under one prefix, by names such as `lake/manifest.json`.

    An object is there as a whole or not at all, and whoever lists sees what was written before,
    as S3 and what keeps its promises do.

    Parameters
    ----------
    files : pyarrow.fs.FileSystem
    root : str
        Bucket and prefix, without a slash at the end.
    is_local : bool
        A folder of this machine.
    """

    def __init__(self, files: Any, root: str, *, is_local: bool) -> None:
        self._files = files
        self._root = root
        self._is_local = is_local

    @classmethod
    def at(cls, url: str) -> Self:
        """Return the prefix of `s3://BUCKET/PREFIX` or of `file:///FOLDER`.

        Credentials, region and endpoint of S3 are those of the environment, as every AWS tool
        reads them: `AWS_ACCESS_KEY_ID`, `AWS_PROFILE`, an instance's role, `AWS_REGION`,
        `AWS_ENDPOINT_URL`.
        """
        from pyarrow import fs

        parts = urlsplit(url)
        if parts.scheme == "file":
            return cls(fs.LocalFileSystem(), parts.path.rstrip("/"), is_local=True)
        environment = os.environ
        endpoint = environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL")
        region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
        files = fs.S3FileSystem(
            region=region,
            endpoint_override=endpoint,
            connect_timeout=_CONNECT,
            request_timeout=_ANSWER,
            retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=_TRIES),
            allow_delayed_open=True,
        )
        return cls(files, f"{parts.netloc}{parts.path}".rstrip("/"), is_local=False)

    def read(self, name: str) -> bytes | None:
        """Return an object, or None where there is none."""
        with _asking(name):
            try:
                with self._files.open_input_stream(self._path(name)) as stream:
                    return bytes(stream.read())
            except FileNotFoundError:
                return None

    def write(self, name: str, content: bytes) -> None:
        """Write a small object."""
        with _asking(name):
            self._put(name, [content])

    def send(self, handle: IO[bytes], name: str) -> None:
        """Write an object from an open file; nothing where one of its size is there.

        For names that say the content.
        """
        size = os.fstat(handle.fileno()).st_size
        with _asking(name):
            info = self._files.get_file_info(self._path(name))
            if not (info.is_file and info.size == size):
                handle.seek(0)
                self._put(name, iter(lambda: handle.read(_CHUNK), b""))

    def _put(self, name: str, chunks: Iterable[bytes]) -> None:
        path = self._path(name)
        if not self._is_local:
            with self._files.open_output_stream(path) as stream:
                for chunk in chunks:
                    stream.write(chunk)
            return
        with replacing(Path(path)) as temporary, temporary.open("wb") as file:
            for chunk in chunks:
                file.write(chunk)

    def fetch(self, name: str, path: Path, digest: str) -> None:
        """Bring an object to a file, whole or not at all.

        Parameters
        ----------
        name : str
        path : Path
        digest : str
            How its SHA-256 begins, in hexadecimal digits.

        Raises
        ------
        NotFoundError
            Where there is no such object.
        NbaError
            Where it is not what it was when it was written.
        """
        found = hashlib.sha256()
        with _asking(name), replacing(path) as temporary:
            try:
                with (
                    self._files.open_input_stream(self._path(name)) as stream,
                    temporary.open("wb") as file,
                ):
                    while chunk := stream.read(_CHUNK):
                        found.update(chunk)
                        file.write(chunk)
            except FileNotFoundError as error:
                raise NotFoundError(f"the storage holds no object {name}") from error
            if not found.hexdigest().startswith(digest):
                raise NbaError(
                    f"the object {name} of the storage was changed",
                    expected=f"a SHA-256 that begins with {digest}",
                    found=found.hexdigest(),
                    next_step="restore it, or make what it holds again with `nba run --force`",
                )

    def list(self, folder: str = "") -> dict[str, Listed]:
        """Return every object below a folder, by name."""
        from pyarrow import fs

        with _asking(folder or "objects"):
            chosen = fs.FileSelector(self._path(folder), recursive=True, allow_not_found=True)
            found = self._files.get_file_info(chosen)
        return {
            info.path.removeprefix(f"{self._root}/"): Listed(info.size, info.mtime_ns)
            for info in found
            if info.is_file
        }

    def delete(self, name: str) -> None:
        """Remove an object; nothing where there is none."""
        with _asking(name):
            try:
                self._files.delete_file(self._path(name))
            except FileNotFoundError:
                return

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}".rstrip("/")


def at_once(work: Callable[[One], Other], items: Iterable[One]) -> list[Other]:
    """Return what some work gives for each item, in order; a few items are worked on at a time."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(work, items))


@contextmanager
def _asking(what: str) -> Iterator[None]:
    """Tell of a store that does not answer, or refuses, with what to do."""
    try:
        yield
    except OSError as error:
        raise UnavailableError(
            f"the storage does not give or take {what}",
            expected="an object store that answers, a bucket that exists, and credentials",
            found=str(error).partition("\n")[0],
            next_step="check `storage_url` and the environment's AWS_… variables, then call again: "
            "what is done is not done again",
        ) from error
