"""What names a registered model: written by the registry, noted in manifests."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path


@dataclass(frozen=True)
class ModelVersion:
    """A registered model: name, version, run, the moment it was fitted at, and its files.

    `config_digest` is a digest of the model's kind and parameters, so that a changed
    `models/NAME.yaml` makes a fit due. `reason` says why it is the champion or was refused; a
    version that is `pinned` was chosen by hand and stays until another is promoted by hand.
    """

    name: str
    version: str
    run_id: str
    folder: Path
    as_of: datetime
    config_digest: str
    reason: str = ""
    pinned: bool = False


def describe_version(version: ModelVersion, why: str) -> dict[str, str]:
    """Return a model version as the manifest notes it."""
    return {
        "version": version.version,
        "run_id": version.run_id,
        "folder": version.folder.name,
        "as_of": version.as_of.isoformat(),
        "config_digest": version.config_digest,
        "fitted_because": why,
    }


def read_version(name: str, noted: dict[str, str]) -> ModelVersion:
    """Return the model version that `describe_version` noted."""
    return ModelVersion(
        name=name,
        version=noted["version"],
        run_id=noted["run_id"],
        folder=Path(noted["folder"]),
        as_of=datetime.fromisoformat(noted["as_of"]),
        config_digest=noted["config_digest"],
    )
