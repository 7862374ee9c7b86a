"""`nba init`: a retailer's own copy of the folders that people edit."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import yaml

from nba.errors import ConflictError
from nba.settings import EDITABLE_FOLDERS, SETTINGS_FILE, Project

#: What an experiment leaves behind stays out of the template.
_RESULTS = shutil.ignore_patterns(
    "result*", "table.md", "*.png", "*.svg", "*.parquet", "__pycache__", "*.pyc"
)


def template_folder() -> Path:
    """Return the template: inside the installed package, or the repository's own folders."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "template"
    return installed if installed.is_dir() else package.parent.parent


def init_project(folder: Path, settings: Mapping[str, object]) -> Project:
    """Make a project in `folder`.

    Parameters
    ----------
    folder : Path
        Must not hold a project yet.
    settings : mapping
        Fields of `nba.yaml` that differ from the template's.

    Raises
    ------
    ConflictError
        When the folder holds a project already; nothing is touched.
    """
    if (folder / SETTINGS_FILE).exists():
        raise ConflictError(
            f"{folder} is a project already",
            expected="a folder without nba.yaml",
            found=str(folder / SETTINGS_FILE),
            next_step="choose another folder",
        )
    template = template_folder()
    folder.mkdir(parents=True, exist_ok=True)
    for name in EDITABLE_FOLDERS:
        shutil.copytree(template / name, folder / name, ignore=_RESULTS, dirs_exist_ok=True)
    text = (template / SETTINGS_FILE).read_text(encoding="utf-8")
    (folder / SETTINGS_FILE).write_text(_with_settings(text, settings), encoding="utf-8")
    return Project.open(folder)


def _with_settings(text: str, settings: Mapping[str, object]) -> str:
    """Return the settings file with the entries of `settings` replaced or added."""
    lines = text.splitlines()
    for name, value in settings.items():
        entry = yaml.safe_dump({name: value}, allow_unicode=True).splitlines()
        start = next((i for i, old in enumerate(lines) if old.startswith(f"{name}:")), len(lines))
        end = start + 1
        while end < len(lines) and lines[end].startswith((" ", "\t")):
            end += 1
        lines[start:end] = entry
    return "\n".join(lines) + "\n"
