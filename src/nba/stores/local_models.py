"""The last good copy of each champion on local disk, checked by SHA-256, swapped atomically.

Layout of the folder: `NAME/VERSION-DIGEST/…` holds a model, `NAME/VERSION-DIGEST.sha256` says what
its files hash to, `NAME/champion.json` points at one of them, `NAME/challenger.json` at the last
one that was refused. A pointer is replaced by one rename, so a reader finds the old champion or the
new.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path

from nba.files import write_text
from nba.models.base import CONFIG_FILE
from nba.models.version import ModelVersion

CHAMPION, CHALLENGER = "champion", "challenger"
_KEPT = 3


@dataclass(frozen=True)
class Pointer:
    """Which local folder is a model's champion, and what its files must hash to."""

    version: str
    run_id: str
    as_of: str
    config_digest: str
    sha256: str
    folder: str
    reason: str = ""
    pinned: bool = False


def folder_digest(folder: Path) -> str:
    """Return the SHA-256 over the names and contents of all files in `folder`."""
    whole = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        whole.update(f"{path.relative_to(folder).as_posix()}\n{content}\n".encode())
    return whole.hexdigest()


class LocalModels:
    """Models on local disk, under one folder.

    Parameters
    ----------
    root : Path
        Made when first written to.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def folder(self, name: str, noted: Path) -> Path:
        """Return where a version lies here, wherever the project stood when it was noted."""
        return self._root / name / noted.name

    def store(self, name: str, version: str, source: Path) -> tuple[Path, str]:
        """Copy `source` in as a version of `name`; return its folder and SHA-256."""
        digest = folder_digest(source)
        target = self._root / name / f"{version}-{digest[:12]}"
        if target.is_dir() and folder_digest(target) == digest:
            self._note(target, digest)
            return target, digest
        target.parent.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(prefix=".staged-", dir=target.parent))
        shutil.copytree(source, staged, dirs_exist_ok=True)
        if target.exists():
            shutil.rmtree(target)
        staged.rename(target)
        self._note(target, digest)
        return target, digest

    def is_good(self, folder: Path) -> bool:
        """Return whether a model is there and its files are as they were stored or amended."""
        if not folder.is_dir():
            return False
        digest, noted = folder_digest(folder), _noted(folder)
        if noted.is_file():
            return noted.read_text(encoding="utf-8") == digest
        # stored before this was noted: the name says how the digest begins
        pointer = self.pointer(folder.parent.name)
        if pointer is not None and pointer.folder == folder.name:
            return pointer.sha256 == digest
        return digest.startswith(folder.name.rpartition("-")[2])

    def _note(self, folder: Path, digest: str) -> None:
        write_text(_noted(folder), digest)

    def point(self, version: ModelVersion, folder: Path, *, alias: str = CHAMPION) -> None:
        """Point an alias of the model at the stored `folder`, atomically.

        Parameters
        ----------
        version : ModelVersion
            What is noted with it.
        folder : Path
            Where its files lie here.
        alias : str
            `champion` or `challenger`.
        """
        pointer = Pointer(
            version=version.version,
            run_id=version.run_id,
            as_of=version.as_of.isoformat(),
            config_digest=version.config_digest,
            sha256=folder_digest(folder),
            folder=folder.name,
            reason=version.reason,
            pinned=version.pinned,
        )
        write_text(
            self._file(version.name, alias), json.dumps(asdict(pointer), indent=1, sort_keys=True)
        )
        self._prune(version.name)

    def clear(self, name: str, alias: str) -> None:
        """Let an alias point at nothing."""
        self._file(name, alias).unlink(missing_ok=True)

    def pointer(self, name: str, alias: str = CHAMPION) -> Pointer | None:
        """Return where an alias of `name` points, or None."""
        try:
            return Pointer(**json.loads(self._file(name, alias).read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def good_copy(self, name: str, alias: str = CHAMPION) -> ModelVersion | None:
        """Return the version of an alias if its files are there and unchanged."""
        pointer = self.pointer(name, alias)
        if pointer is None:
            return None
        folder = self._root / name / pointer.folder
        if not folder.is_dir() or folder_digest(folder) != pointer.sha256:
            return None
        return ModelVersion(
            name=name,
            version=pointer.version,
            run_id=pointer.run_id,
            folder=folder,
            as_of=datetime.fromisoformat(pointer.as_of),
            config_digest=pointer.config_digest,
            reason=pointer.reason,
            pinned=pointer.pinned,
        )

    def _file(self, name: str, alias: str) -> Path:
        return self._root / name / f"{alias}.json"

    def folders(self) -> list[Path]:
        """Return the folder of every model that is kept here."""
        return sorted(path.parent for path in self._root.glob(f"*/*/{CONFIG_FILE}"))

    def amended(self, folder: Path) -> None:
        """Note that a model was changed on purpose."""
        self._note(folder, folder_digest(folder))
        name = folder.parent.name
        for alias in (CHAMPION, CHALLENGER):
            pointer = self.pointer(name, alias)
            if pointer is not None and pointer.folder == folder.name:
                noted = asdict(replace(pointer, sha256=folder_digest(folder)))
                write_text(self._file(name, alias), json.dumps(noted, indent=1, sort_keys=True))

    def _prune(self, name: str) -> None:
        """Keep the newest few versions: a reader may still be loading the last champion."""
        pointers = [self.pointer(name, alias) for alias in (CHAMPION, CHALLENGER)]
        named = {pointer.folder for pointer in pointers if pointer is not None}
        folders = sorted(
            (path for path in (self._root / name).iterdir() if path.is_dir()),
            key=lambda path: path.stat().st_mtime_ns,
            reverse=True,
        )
        for folder in folders[_KEPT:]:
            if folder.name not in named:
                shutil.rmtree(folder, ignore_errors=True)
                _noted(folder).unlink(missing_ok=True)


def _noted(folder: Path) -> Path:
    """Return the file beside a model's folder that holds the SHA-256 of its files."""
    return folder.with_name(f"{folder.name}.sha256")
