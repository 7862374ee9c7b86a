"""Where the public data sets of the experiments lie."""

from __future__ import annotations

import os
from pathlib import Path

from nba.errors import InputRefusedError


def public_data() -> Path:
    """Return the folder of public data sets: NBA_DATA, else `shared/data` beside the repository."""
    beside = Path(__file__).resolve().parents[4] / "shared" / "data"
    return Path(os.environ.get("NBA_DATA", beside))


def data_folder(name: str) -> Path:
    """Return the folder of one public data set.

    Raises
    ------
    InputRefusedError
        It is not there; says how to point to it.
    """
    folder = public_data() / name
    if not folder.is_dir():
        raise InputRefusedError(
            f"the data set {name} is not there",
            expected=f"a folder {folder}",
            found="no such folder",
            next_step="set NBA_DATA to the folder that holds it",
        )
    return folder
