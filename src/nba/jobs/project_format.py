"""The format of what a project keeps: brought up to date when it is opened, or refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import nba
from nba.errors import ConfigError
from nba.files import write_text
from nba.settings import Project

#: 1: 0.2.0 and before, which kept no number. 2: the number stands in the data folder.
FORMAT: Final = 2
FILE: Final = "project.json"


def settle(project: Project) -> None:
    """Bring a project's data to the format of this version.

    Raises
    ------
    ConfigError
        When a newer version of nba made it, or its number cannot be read.
    """
    known = _format_of(project.data)
    if known > FORMAT:
        raise ConfigError(
            f"{project.data} was made by a newer version of nba",
            expected=f"format {FORMAT} or before, as nba {nba.__version__} knows it",
            found=f"format {known}",
            next_step="install that version of nba, or start from the tables in a new project",
        )
    if known == FORMAT and (project.data / FILE).exists():
        return
    for step in range(known, FORMAT):
        UPGRADES[step](project.data)
    write_text(
        project.data / FILE, json.dumps({"format": FORMAT, "nba": nba.__version__}, indent=1)
    )


def _format_of(data: Path) -> int:
    """Return the format of a data folder; an empty or absent one has the newest."""
    path = data / FILE
    if not path.exists():
        return 1 if data.is_dir() and any(data.iterdir()) else FORMAT
    try:
        return int(json.loads(path.read_text(encoding="utf-8"))["format"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"cannot read {path}",
            expected='the format of the data folder, as {"format": 2}',
            found=str(error),
            next_step="restore the file from a copy of the project",
        ) from error


def _register_anew(data: Path) -> None:
    """Let Feast register anew: what an older version registered may name another folder.

    All else that an older version kept is read as it is, or made again by the next night.
    """
    for name in ("registry.db", "applied"):
        (data / "feast" / name).unlink(missing_ok=True)


#: What brings a data folder from a format to the next.
UPGRADES: Final[Mapping[int, Callable[[Path], None]]] = {1: _register_anew}
