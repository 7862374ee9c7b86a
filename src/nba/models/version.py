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
