"""The last good copy of each champion on local disk, checked by SHA-256, swapped atomically.

Layout of the folder: `NAME/VERSION-DIGEST/…` holds a model, `NAME/VERSION-DIGEST.sha256` says what
its files hash to, `NAME/champion.json` points at one of them. The pointer is replaced by one
rename, so a reader finds the old champion or the new.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from nba.files import write_text
from nba.models.base import CONFIG_FILE

_POINTER = "champion.json"
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

    def point(
        self, name: str, folder: Path, *, version: str, run_id: str, as_of: str, config_digest: str
    ) -> None:
        """Make the stored `folder` the champion of `name`, atomically.

        Parameters
        ----------
        name : str
        folder : Path
            From `store`.
        version, run_id : str
            Of the registry.
        as_of : str
            The moment of the fit, ISO 8601.
        config_digest : str
            Of the model's file.
        """
        pointer = Pointer(version, run_id, as_of, config_digest, folder_digest(folder), folder.name)
        write_text(
            self._root / name / _POINTER, json.dumps(asdict(pointer), indent=1, sort_keys=True)
        )
        self._prune(name, folder)

    def pointer(self, name: str) -> Pointer | None:
        """Return where the champion of `name` points, or None."""
        try:
            return Pointer(**json.loads((self._root / name / _POINTER).read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def good_copy(self, name: str) -> tuple[Path, Pointer] | None:
        """Return the champion's folder if it is there and its files are unchanged."""
        pointer = self.pointer(name)
        if pointer is None:
            return None
        folder = self._root / name / pointer.folder
        if not folder.is_dir() or folder_digest(folder) != pointer.sha256:
            return None
        return folder, pointer

    def folders(self) -> list[Path]:
        """Return the folder of every model that is kept here."""
        return sorted(path.parent for path in self._root.glob(f"*/*/{CONFIG_FILE}"))

    def amended(self, folder: Path) -> None:
        """Note that a model was changed on purpose."""
        self._note(folder, folder_digest(folder))
        pointer = self.pointer(folder.parent.name)
        if pointer is not None and pointer.folder == folder.name:
            noted = asdict(replace(pointer, sha256=folder_digest(folder)))
            write_text(folder.parent / _POINTER, json.dumps(noted, indent=1, sort_keys=True))

    def _prune(self, name: str, champion: Path) -> None:
        """Keep the newest few versions: a reader may still be loading the last champion."""
        folders = sorted(
            (path for path in (self._root / name).iterdir() if path.is_dir()),
            key=lambda path: path.stat().st_mtime_ns,
            reverse=True,
        )
        for folder in folders[_KEPT:]:
            if folder != champion:
                shutil.rmtree(folder, ignore_errors=True)
                _noted(folder).unlink(missing_ok=True)


def _noted(folder: Path) -> Path:
    """Return the file beside a model's folder that holds the SHA-256 of its files."""
    return folder.with_name(f"{folder.name}.sha256")
