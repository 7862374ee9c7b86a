"""`nba init`: a retailer's own copy of the folders that people edit."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import yaml

from nba.errors import ConflictError
from nba.settings import EDITABLE_FOLDERS, SETTINGS_FILE, Project

_CACHES = shutil.ignore_patterns("__pycache__", "*.pyc")
#: Where a folder of the template stands in the repository, unless it is the folder itself.
_IN_REPOSITORY = {"experiments": "experiments/own_tables"}


def template_path(name: str) -> Path:
    """Return a folder or file of the template: in the installed package, or the repository."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "template"
    if installed.is_dir():
        return installed / name
    return package.parent.parent / _IN_REPOSITORY.get(name, name)


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
    folder.mkdir(parents=True, exist_ok=True)
    for name in EDITABLE_FOLDERS:
        shutil.copytree(template_path(name), folder / name, ignore=_CACHES, dirs_exist_ok=True)
    text = template_path(SETTINGS_FILE).read_text(encoding="utf-8")
    (folder / SETTINGS_FILE).write_text(with_settings(text, settings), encoding="utf-8")
    return Project.open(folder)


def with_settings(text: str, settings: Mapping[str, object]) -> str:
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
