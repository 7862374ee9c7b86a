"""All that is wrong in a project's configuration files, found in one go."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

from nba.errors import ConfigError
from nba.settings import Project, read_yaml


def with_all_faults(error: ConfigError, root: Path) -> ConfigError:
    """Return the error with what is wrong in the project's other configuration files.

    Parameters
    ----------
    error : ConfigError
        What a command met first.
    root : Path
        The project's folder.
    """
    others = [line for line in configuration_faults(root) if not _says(error, line)]
    if not others:
        return error
    return ConfigError(
        error.what,
        expected=error.expected,
        found=error.found,
        next_step=error.next_step,
        problems=[*error.problems, *others],
    )


def configuration_faults(root: Path) -> list[str]:
    """Return every fault of every configuration file of a project, a line each."""
    faults: list[str] = []
    for read in _readers(root):
        try:
            read()
        except ConfigError as error:
            what = error.what.replace(f"{root}/", "")
            problems = error.problems or (f"{error.found}, expected {error.expected}",)
            faults += [f"{what}: {problem}".replace(f"{root}/", "") for problem in problems]
    return faults


def _says(error: ConfigError, fault: str) -> bool:
    """Return whether an error says a fault already."""
    problems = error.problems or (error.found,)
    return any(text and text in fault for text in problems)


def _readers(root: Path) -> Iterator[Callable[[], object]]:
    """Yield what reads each file; a later one may stand on an earlier one that is right."""
    from nba.decisions.loading import load_decision_files
    from nba.features import VIEWS, View
    from nba.features.tags import load_tags, with_tags
    from nba.models.spec import read_spec
    from nba.pipeline.train import MODELS
    from nba.stores.feature_repository import SERVICES_FILE, STORE_FILE, TAGS_FILE
    from nba.stores.feature_services import read_services

    features = root / "features"
    yield lambda: Project.open(root)
    for name in MODELS:
        yield partial(read_spec, root / "models" / f"{name}.yaml")
    yield lambda: load_decision_files(root / "serving")
    yield lambda: read_yaml(features / STORE_FILE)
    yield lambda: load_tags(features / TAGS_FILE, VIEWS)

    def services() -> object:
        views: Mapping[str, View] = VIEWS
        with suppress(ConfigError):  # said of the tags already
            views = with_tags(VIEWS, load_tags(features / TAGS_FILE, VIEWS))
        return read_services(features / SERVICES_FILE, views)

    yield services
