"""Feature snapshots on disk: one Parquet folder per view and moment, and a manifest per moment.

``ROOT/VIEW/as_of=20111101T000000/part-0.parquet`` and ``ROOT/manifests/20111101T000000.json``.
A build is written beside and renamed, its manifest last: what has no manifest does not exist.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import polars as pl

import nba.features
from nba.errors import NotFoundError, UnavailableError
from nba.features.view import View
from nba.files import write_text

STAMP: Final = "%Y%m%dT%H%M%S"
NIGHTLY: Final = "nightly"
TRAINING: Final = "training"


#: Modules of the feature package on which no value of a feature depends.
_BESIDE: Final = frozenset({"agreement.py", "benchmark.py", "catalogue.py", "drift.py", "fresh.py"})


def views_digest(views: Mapping[str, View], rules: object = None) -> str:
    """Return a digest of names, keys, features, code and tag rules of the views.

    The code counts by the source of the feature package, so that a changed expression makes
    another digest although no name changed.
    """
    content = hashlib.sha256(repr(rules).encode())
    for view in views.values():
        parts = (view.name, view.entity_keys, view.features, view.ttl_days)
        content.update(repr(parts).encode())
    for path in sorted(Path(nba.features.__file__).parent.glob("*.py")):
        if path.name not in _BESIDE:
            content.update(path.read_bytes())
    return content.hexdigest()[:16]


@dataclass(frozen=True)
class Snapshots:
    """The snapshots under one folder.

    Parameters
    ----------
    root : Path
        Absolute.
    """

    root: Path

    def folder(self, view: str, as_of: datetime) -> Path:
        """Return the folder of a view's snapshot."""
        return self.root / view / f"as_of={as_of.strftime(STAMP)}"

    def glob(self, view: str) -> str:
        """Return the pattern that finds every snapshot of a view."""
        return str(self.root / view / "*" / "*.parquet")

    def stands(self, view: str, as_of: datetime) -> bool:
        """Return whether the files of a view's snapshot are there."""
        return any(self.folder(view, as_of).glob("*.parquet"))

    def _manifest(self, as_of: datetime) -> Path:
        return self.root / "manifests" / f"{as_of.strftime(STAMP)}.json"

    def manifest(self, as_of: datetime) -> dict[str, Any] | None:
        """Return the manifest of `as_of`, or None where nothing was built."""
        path = self._manifest(as_of)
        if not path.exists():
            return None
        manifest: dict[str, Any] = json.loads(path.read_text())
        return manifest

    def moments(self) -> list[datetime]:
        """Return every moment that was built, in order."""
        folder = self.root / "manifests"
        return sorted(datetime.strptime(path.stem, STAMP) for path in folder.glob("*.json"))

    def moments_of(self, view: str) -> list[datetime]:
        """Return every moment at which a view was built, in order; trainings build some only."""
        return [
            moment
            for moment in self.moments()
            if view in (self.manifest(moment) or {"views": ()})["views"]
        ]

    def staging(self, view: str, as_of: datetime) -> Path:
        """Return the folder in which a snapshot is written before it is moved."""
        return self.root / "staging" / as_of.strftime(STAMP) / view

    def commit(self, views: Mapping[str, View], as_of: datetime, manifest: dict[str, Any]) -> None:
        """Move the staged views into place of all that stood there and write the manifest."""
        self.remove(as_of)
        for name in views:
            target = self.folder(name, as_of)
            target.parent.mkdir(parents=True, exist_ok=True)
            self.staging(name, as_of).rename(target)
        shutil.rmtree(self.root / "staging", ignore_errors=True)
        self._write(as_of, manifest)

    def amend(self, as_of: datetime, view: str, *, rows: int, digest: str) -> None:
        """Note the new rows and digest of a view from which rows were erased.

        Parameters
        ----------
        as_of : datetime
        view : str
            Its name.
        rows : int
        digest : str
            Of the rows that are left, whatever their order.
        """
        manifest = self.manifest(as_of)
        if manifest is None:
            return
        manifest["views"][view] |= {"rows": rows, "digest": digest, "erased": True}
        self._write(as_of, manifest)

    def _write(self, as_of: datetime, manifest: dict[str, Any]) -> None:
        write_text(self._manifest(as_of), json.dumps(manifest, indent=1, sort_keys=True))

    def remove(self, as_of: datetime) -> None:
        """Remove the snapshots of `as_of`, the manifest first."""
        self._manifest(as_of).unlink(missing_ok=True)
        stamp = as_of.strftime(STAMP)
        for folder in self.root.glob(f"*/as_of={stamp}"):
            shutil.rmtree(folder)

    def prune(self, before: datetime, *, keep_days: int) -> list[datetime]:
        """Remove nightly snapshots more than `keep_days` days before `before`; return which."""
        removed = []
        for moment in self.moments():
            manifest = self.manifest(moment) or {}
            old = moment < before - timedelta(days=keep_days)
            if old and manifest.get("purpose") == NIGHTLY:
                self.remove(moment)
                removed.append(moment)
        return removed

    def keys(self, view: View, as_of: datetime) -> pl.DataFrame:
        """Return the entity keys of one view as built at `as_of`."""
        files = str(self.folder(view.name, as_of) / "*.parquet")
        return pl.read_parquet(files, columns=list(view.entity_keys), hive_partitioning=False)

    def read(self, view: View, as_of: datetime, among: pl.DataFrame | None = None) -> pl.DataFrame:
        """Return one view as built at `as_of`: keys and features, sorted by key.

        Raises
        ------
        NotFoundError
            When nothing was built at `as_of`.
        """
        if self.manifest(as_of) is None:
            known = [moment.isoformat() for moment in self.moments()]
            raise NotFoundError(
                f"there is no feature snapshot of {as_of.isoformat()}",
                expected=f"one of {known[-5:]}" if known else "a snapshot",
                next_step=f"nba features build --as-of {as_of.date().isoformat()}",
            )
        rows = self._scan(view, as_of).select(view.columns)
        if among is not None and "customer_id" in view.entity_keys:
            # A filter is pushed into the reader, a join is not: others never come to memory.
            rows = rows.filter(pl.col("customer_id").is_in(among["customer_id"].implode()))
        return rows.sort(view.entity_keys).collect()

    def read_served(self, view: View, as_of: datetime) -> pl.DataFrame:
        """Return one view of a published plan as far as its files hold it, sorted by key.

        A column that this version has learned since is empty until the next night.

        Raises
        ------
        UnavailableError
            Where the files are gone, cut off or of no use.
        """
        try:
            rows = self._scan(view, as_of)
            held = rows.collect_schema().names()
            columns = [pl.col(one) if one in held else pl.lit(None).alias(one)
                       for one in view.columns]  # fmt: skip
            return rows.select(columns).sort(view.entity_keys).collect()
        except (pl.exceptions.PolarsError, OSError) as error:
            raise UnavailableError(
                "features of the plan's day cannot be read",
                expected=f"the view {view.name} of {as_of.date().isoformat()}",
                found=type(error).__name__,
                next_step="run the night again: `nba run --from features --force`",
            ) from error

    def _scan(self, view: View, as_of: datetime) -> pl.LazyFrame:
        files = str(self.folder(view.name, as_of) / "*.parquet")
        return pl.scan_parquet(files, hive_partitioning=False)
