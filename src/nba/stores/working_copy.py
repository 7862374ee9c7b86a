"""A project's data folder as a working copy of what an object store keeps.

``PREFIX/current.json`` names every file of a version and the object that holds it. The object of
``runs/2026-03-02/plan/log.parquet`` is ``runs/2026-03-02/plan/3fa9c20d81b64e55-log.parquet``, after
the SHA-256 of its content, and is never written again. A version is sent object by object,
`current.json` last: whoever reads it has that version whole. One copy writes at a time: it holds
an object below ``PREFIX/locks`` while it does.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import socket
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path, PurePosixPath
from typing import Any, Final
from uuid import uuid4

from nba.errors import ConfigError, ConflictError, LockHeldError, NotFoundError, UnavailableError
from nba.files import write_text
from nba.logs import log
from nba.stores.lock import file_lock, project_lock
from nba.stores.prefix import Listed, Prefix, at_once

CURRENT: Final = "current.json"
FORMAT: Final = 1
#: In the data folder: the version that is here, and which of its files.
INDEX: Final = "storage.json"
_LOCKS: Final = "locks"
#: Seconds for which an object that no version needs any more stays for those who read an older one.
GRACE_SECONDS: Final = 3600.0
#: Seconds after which a writer that was not heard of is gone, and how often one is heard of.
LEASE_SECONDS, HEARD_SECONDS = 300.0, 60.0
_TRIES: Final = 4
_DIGITS: Final = 16
_RUNS: Final = "runs"
_TOPS: Final = ("lake", "features", "models", _RUNS, "experiments")
_PLAN: Final = "plan/actions.parquet"


@dataclass(frozen=True)
class Version:
    """A version of what is kept: the content of `current.json`.

    Parameters
    ----------
    place : str
        A random id of the prefix, made with its first version.
    number : int
    files : mapping of str to (str, int)
        Object and size in bytes of each file, by its path in the data folder.
    retired : mapping of str to float
        Objects that no file needs any more, and since when, in seconds since 1970.
    """

    place: str = ""
    number: int = 0
    files: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    retired: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the content of `current.json`."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Version:
        """Read `current.json`; `ConfigError` where another version of nba wrote it."""
        if content.get("format") != FORMAT:
            raise ConfigError(
                "the storage was written by another version of nba",
                expected=f"format {FORMAT}",
                found=f"format {content.get('format')}",
                next_step="use that version of nba, or another prefix",
            )
        files = {path: (str(one[0]), int(one[1])) for path, one in content["files"].items()}
        return cls(content["place"], content["number"], files, dict(content["retired"]))

    def days(self) -> list[date]:
        """Return the days of which a plan is kept, in order."""
        parts = (path.split("/", 2) for path in self.files)
        return sorted(
            date.fromisoformat(one[1]) for one in parts if one[0] == _RUNS and one[2:] == [_PLAN]
        )


@dataclass(frozen=True)
class Index:
    """What the data folder holds of a version.

    Parameters
    ----------
    copy : str
        A random id of the working copy.
    version : Version
    here : mapping of str to (int, int)
        Size and time of change of each file when it was as the version has it.
    """

    copy: str
    version: Version = field(default_factory=Version)
    here: Mapping[str, tuple[int, int]] = field(default_factory=dict)


def is_kept(path: PurePosixPath) -> bool:
    """Return whether a file of the data folder belongs to what the storage keeps.

    Tables, snapshots, champions, runs and live tests do. What is served from, what is written at
    the moment and what is secret does not.
    """
    parts = path.parts
    if any(part.startswith(".") for part in parts):
        return False
    match parts[0]:
        case "lake":
            return parts[1] != "scratch"
        case "features":
            names = ("manifests", "tag_changes")
            return len(parts) > 2 and (parts[1] in names or parts[2].startswith("as_of="))
    return parts[0] in _TOPS


class WorkingCopy:
    """The data folder of a project, and the prefix whose versions it holds.

    Parameters
    ----------
    prefix : Prefix
    data : Path
        The project's data folder.
    keep_days : int
        Runs of so many days up to the newest stay here; older ones are fetched when asked for.
    """

    def __init__(self, prefix: Prefix, data: Path, *, keep_days: int) -> None:
        self._prefix = prefix
        self._data = data
        self._keep_days = keep_days
        self._known: tuple[int, Index] | None = None

    # ------------------------------------------------------------------ reading

    def refresh(self) -> bool:
        """Bring the newest version here where nothing writes to this copy; return whether it did.

        A copy with work that was not sent, on the newest version, stays as it is.
        """
        newest, here = self.newest() or Version(), self.version
        if (newest.place, newest.number) == (here.place, here.number):
            return False  # without the lock, which a night may ask for
        try:
            with project_lock(self._data):
                return self._follow(self.newest())
        except LockHeldError:
            return False

    def newest(self) -> Version | None:
        """Return the newest version of the prefix, or None before the first."""
        content = self._prefix.read(CURRENT)
        return None if content is None else Version.from_json(json.loads(content))

    @property
    def version(self) -> Version:
        """The version that is here."""
        return self._index().version

    def days(self) -> list[date]:
        """Return the days of which the version has a plan, here or not."""
        return self.version.days()

    def fetch(self, folder: str) -> None:
        """Bring the files below a folder, such as `runs/2026-03-02`, that are not here."""
        index = self._index()
        missing = [
            path
            for path in index.version.files
            if path.startswith(f"{folder}/") and not (self._data / path).exists()
        ]
        if missing:
            self._bring(index, index.version, missing)

    def _follow(self, newest: Version | None, tries: int = 3) -> bool:
        """Bring a version here; return whether another was here before."""
        index = self._index()
        before = index.version
        if newest is None or not before.number:
            self._check_first(newest, before)
        if newest is None:
            return False
        if before.number and before.place != newest.place:
            raise _of_another_place()
        if newest.number == before.number:
            return False
        began = time.perf_counter()
        try:
            brought = self._bring(index, newest, self._wanted(newest) | self._known_of(newest))
        except NotFoundError:  # a writer has removed what this version needed
            again = self.newest()
            if again is None or again.number == newest.number or not tries:
                raise
            return self._follow(again, tries - 1)
        self._remove_but(newest.files)
        self._evict()
        log().info(
            "storage",
            brought=f"version {newest.number}",
            files=len(brought),
            bytes=sum(newest.files[path][1] for path in brought),
            seconds=round(time.perf_counter() - began, 2),
        )
        return True

    def _check_first(self, newest: Version | None, before: Version) -> None:
        """Refuse to mix what two places keep."""
        if newest is None:
            if before.number:
                raise _emptied()
            return
        mine, theirs = self._data / "lake/manifest.json", newest.files.get("lake/manifest.json")
        if mine.exists() and (theirs is None or _object("lake/manifest.json", mine) != theirs[0]):
            raise ConfigError(
                "this project and its storage hold different tables",
                expected="an empty data folder, or an empty prefix",
                found=f"a lake in {self._data}, and version {newest.number} in the storage",
                next_step="move the data folder away to work on what the storage holds, or name "
                "another prefix in `storage_url`",
            )

    def _known_of(self, version: Version) -> set[str]:
        """Return the files of a version that are here, perhaps as another version has them."""
        return set(self._local()).intersection(version.files)

    def _wanted(self, version: Version) -> set[str]:
        """Return the files of a version that a copy holds."""
        days = version.days()
        first = days[-1] - timedelta(days=self._keep_days) if days else date.min
        return {path for path in version.files if not _is_run_before(path, first)}

    def _bring(self, index: Index, version: Version, paths: Collection[str]) -> list[str]:
        """Fetch files of a version that are not here as it has them; return which.

        What names others, `*.json`, comes last.
        """
        here = dict(index.here)
        old = index.version.files

        def is_here(path: str) -> bool:
            file, (name, size) = self._data / path, version.files[path]
            state = _state(file)
            if state is None or state[0] != size:
                return False
            known = old.get(path, ("",))[0] == name and here.get(path) == state
            return known or _object(path, file) == name

        def bring(path: str) -> None:
            name = version.files[path][0]
            self._prefix.fetch(name, self._data / path, _digest_of(name))

        missing = [path for path in paths if not is_here(path)]
        for is_last in (False, True):
            at_once(bring, [path for path in missing if path.endswith(".json") is is_last])
        states = {path: _state(self._data / path) for path in paths}
        here |= {path: state for path, state in states.items() if state is not None}
        self._note(replace(index, version=version, here=_only(here, version.files)))
        return missing

    def _remove_but(self, kept: Collection[str]) -> None:
        """Remove what the version does not have."""
        for path in set(self._local()).difference(kept):
            self._unlink(path)

    def _evict(self) -> None:
        """Remove runs that are older than a copy keeps, where they are as the version has them."""
        index = self._index()
        stay = self._wanted(index.version)
        gone = [
            path
            for path, state in index.here.items()
            if path not in stay and _state(self._data / path) == state
        ]
        if gone:
            self._note(replace(index, here=_only(index.here, set(index.here).difference(gone))))
            for path in gone:
                self._unlink(path)

    def _unlink(self, path: str) -> None:
        file = self._data / path
        file.unlink(missing_ok=True)
        with suppress(OSError):  # it holds something else
            while file.parent != self._data:
                file = file.parent
                file.rmdir()

    # ------------------------------------------------------------------ writing

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Be the one copy that writes: bring the newest version here, and send what was made.

        For who holds the project's lock. Work that an earlier call made and could not send is
        sent with it, unless another copy has sent a newer version since: then it is made again.

        Raises
        ------
        LockHeldError
            Where another copy writes.
        UnavailableError
            Where the storage does not answer.
        """
        with self._lease():
            self._follow(self.newest())
            yield
            self.push()

    @contextmanager
    def joining(self) -> Iterator[None]:
        """Work on a part of a night beside other processes of this copy, and no other copy."""
        with self._lease(leave=True):
            yield

    def push(self, *, purge: bool = False) -> Version:
        """Send what was made here as the next version; return the one that stands.

        Parameters
        ----------
        purge : bool
            Remove at once every object that the version does not need, for those who erase.

        Raises
        ------
        ConflictError
            Where another copy has sent a version since this one was brought here.
        """
        began, index = time.perf_counter(), self._index()
        newest = self.newest()
        before = newest or Version(place=uuid4().hex)
        if before.number != index.version.number:
            raise ConflictError(
                "another copy has sent a newer version",
                expected=f"version {index.version.number}, which is here",
                found=f"version {before.number}",
                next_step="call again: what this copy made is made again where it is missing",
            )
        local = self._local()
        unknown = [path for path, state in local.items() if index.here.get(path) != state]
        changed = {
            path: found
            for path, found in zip(unknown, at_once(self._send, unknown), strict=True)
            if found is not None and before.files.get(path) != found
        }
        gone = {path for path in index.here if path not in local}
        files = {path: one for path, one in before.files.items() if path not in gone} | changed
        retired = self._retired(before, files, purge=purge)
        version = before
        if files != before.files or retired != before.retired:
            version = Version(before.place, before.number + 1, files, retired)
            self._prefix.write(CURRENT, json.dumps(version.to_json()).encode())
        self._note(replace(index, version=version, here=_only(local, files)))
        if purge:
            self._purge(version)
        self._evict()
        if changed or gone:
            log().info(
                "storage",
                sent=f"version {version.number}",
                files=len(changed),
                bytes=sum(size for _, size in changed.values()),
                seconds=round(time.perf_counter() - began, 2),
            )
        return version

    def _send(self, path: str) -> tuple[str, int] | None:
        """Send a file; return its object and size, or None where it is gone meanwhile."""
        try:
            handle = (self._data / path).open("rb")
        except FileNotFoundError:
            return None
        with handle:
            name = _named(path, hashlib.file_digest(handle, "sha256").hexdigest())
            self._prefix.send(handle, name)
            return name, os.fstat(handle.fileno()).st_size

    def _retired(
        self, before: Version, files: Mapping[str, tuple[str, int]], *, purge: bool
    ) -> dict[str, float]:
        """Remove what was retired long ago; return what is, since when."""
        used, now = {name for name, _ in files.values()}, time.time()
        dropped = {name for name, _ in before.files.values()} - used
        retired = {**dict.fromkeys(dropped, now), **before.retired}
        retired = {name: since for name, since in retired.items() if name not in used}
        if purge:
            return {}
        over = [name for name, since in retired.items() if since < now - GRACE_SECONDS]
        at_once(self._prefix.delete, over)
        return {name: since for name, since in retired.items() if name not in over}

    def _purge(self, version: Version) -> None:
        """Remove every object that a version does not need."""
        used = {CURRENT, *(name for name, _ in version.files.values())}
        found = [name for name in self._prefix.list() if not name.startswith(f"{_LOCKS}/")]
        at_once(self._prefix.delete, [name for name in found if name not in used])

    @property
    def lease(self) -> str:
        """The object that says that this copy writes; a folder that was copied has another."""
        folder = hashlib.sha256(str(self._data).encode()).hexdigest()[:8]
        return f"{_LOCKS}/{self._index().copy}-{folder}.json"

    @contextmanager
    def _lease(self, *, leave: bool = False) -> Iterator[None]:
        """Hold the prefix for this copy; `leave` it to others of the copy at the end."""
        name = self.lease
        content = json.dumps(
            {"host": socket.gethostname(), "process": os.getpid(), "folder": str(self._data)}
        ).encode()
        self._take(name, content)
        ending = threading.Event()

        def beat() -> None:
            while not ending.wait(HEARD_SECONDS):
                with suppress(UnavailableError):  # `push` looks whether another came between
                    self._prefix.write(name, content)

        heart = threading.Thread(target=beat, name="storage lease", daemon=True)
        heart.start()
        try:
            yield
        finally:
            ending.set()
            heart.join()
            if not leave:
                self.release()

    def release(self) -> None:
        """Let another copy write; where the storage is away, the lease ends by itself."""
        with suppress(UnavailableError):
            self._prefix.delete(self.lease)

    def _take(self, name: str, content: bytes) -> None:
        """Write this copy's lease; of two that do so at once, each sees the other's and leaves."""
        for attempt in range(1, _TRIES + 1):
            self._prefix.write(name, content)
            leases = self._prefix.list(_LOCKS)
            others = self._alive(leases, name)
            if not others:
                return
            self._prefix.delete(name)
            if attempt < _TRIES:
                time.sleep(random.uniform(0.05, 0.4))
        held = json.loads(self._prefix.read(others[0]) or b"{}")
        raise LockHeldError(
            "another copy of the project writes to its storage",
            expected="one writer at a time",
            found=f"process {held.get('process')} on {held.get('host')}, in {held.get('folder')}",
            next_step="try again when it has ended; one that was killed is forgotten after "
            f"{LEASE_SECONDS / 60:.0f} minutes",
        )

    def _alive(self, leases: Mapping[str, Listed], mine: str) -> list[str]:
        """Return the leases of other copies that were heard of, by the store's own clock."""
        others = [name for name in leases if name != mine]
        if mine not in leases:
            return others
        limit = leases[mine].modified_ns - int(LEASE_SECONDS * 1e9)
        over = [name for name in others if leases[name].modified_ns < limit]
        for name in over:
            self._prefix.delete(name)
        return [name for name in others if name not in over]

    # ------------------------------------------------------------------ files

    def _local(self) -> dict[str, tuple[int, int]]:
        """Return size and time of change of every file here that the storage keeps."""
        found = {}
        for top in _TOPS:
            for file in (self._data / top).rglob("*"):
                path = PurePosixPath(file.relative_to(self._data).as_posix())
                if is_kept(path) and (state := _state(file)) is not None:
                    found[str(path)] = state
        return found

    def _index(self) -> Index:
        file = self._data / INDEX
        state = _state(file)
        if state is None:
            index = Index(uuid4().hex)
            self._note(index)
            return index
        if self._known is None or self._known[0] != state[1]:
            content = json.loads(file.read_text(encoding="utf-8"))
            here = {path: (one[0], one[1]) for path, one in content["here"].items()}
            version = Version.from_json(content["version"])
            self._known = state[1], Index(content["copy"], version, here)
        return self._known[1]

    def _note(self, index: Index) -> None:
        content = {"copy": index.copy, "version": index.version.to_json(), "here": index.here}
        with file_lock(self._data / f".{INDEX}.lock"):
            write_text(self._data / INDEX, json.dumps(content))
        self._known = None


def _object(path: str, file: Path) -> str:
    """Return the name of the object that holds a file."""
    with file.open("rb") as handle:
        return _named(path, hashlib.file_digest(handle, "sha256").hexdigest())


def _named(path: str, digest: str) -> str:
    pure = PurePosixPath(path)
    return str(pure.with_name(f"{digest[:_DIGITS]}-{pure.name}"))


def _digest_of(name: str) -> str:
    """Return the beginning of the SHA-256 that the name of an object says."""
    return PurePosixPath(name).name[:_DIGITS]


def _state(file: Path) -> tuple[int, int] | None:
    """Return size and time of change of a file, or None where there is none."""
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    return (found.st_size, found.st_mtime_ns) if file.is_file() else None


def _only(
    here: Mapping[str, tuple[int, int]], paths: Collection[str]
) -> dict[str, tuple[int, int]]:
    return {path: state for path, state in here.items() if path in paths}


def _is_run_before(path: str, first: date) -> bool:
    top, _, rest = path.partition("/")
    return top == _RUNS and rest.partition("/")[0] < first.isoformat()


def _of_another_place() -> ConfigError:
    return ConfigError(
        "the data folder is a copy of another prefix",
        expected="the `storage_url` that it was made from",
        found="a prefix with versions of its own",
        next_step="name the old prefix, or move the data folder away",
    )


def _emptied() -> ConfigError:
    return ConfigError(
        "the storage is empty, and the data folder is a copy of what it held",
        expected=f"an object {CURRENT} below the prefix",
        found="none",
        next_step=f"restore the bucket, or remove data/{INDEX} to send what is here as its first "
        "version",
    )
