"""`features/services.yaml`: which features are read together, by models and by serving."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nba.errors import ConfigError
from nba.features import View
from nba.settings import read_yaml
from nba.validation import nearest, problem_lines

ALL: Final = "all"


class Service(BaseModel):
    """One entry of `services.yaml`: which features are read together."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    meaning: str = Field(description="Who reads it and what for.")
    views: dict[str, list[str] | str] = Field(
        description="View to the list of its features, or `all`."
    )


def read_services(path: Path, views: Mapping[str, View]) -> dict[str, Service]:
    """Read `services.yaml`; every view is a service of its own as well.

    Raises
    ------
    ConfigError
        With all problems: unknown views and features come with the nearest names.
    """
    services = {
        view.name: Service(meaning=view.meaning, views={view.name: ALL}) for view in views.values()
    }
    raw = read_yaml(path) if path.exists() else {}
    problems: list[str] = []
    for name, entry in raw.items():
        if name in views:
            problems.append(f"{name}: a view of this name is a service already")
            continue
        try:
            services[name] = Service.model_validate(entry)
        except ValidationError as error:
            problems += [f"{name}.{line}" for line in problem_lines(error, Service)]
            continue
        problems += [f"{name}: {problem}" for problem in _unknown(services[name], views)]
    if problems:
        raise ConfigError(f"{path} is wrong", problems=problems)
    return services


def _unknown(service: Service, views: Mapping[str, View]) -> list[str]:
    problems = []
    for view, names in service.views.items():
        if view not in views:
            problems.append(f"unknown view {view!r}; {nearest(view, views)}")
        elif isinstance(names, str):
            if names != ALL:
                problems.append(f"{view}: expected a list of features or `all`, found {names!r}")
        else:
            known = views[view].by_name
            problems += [
                f"unknown feature {view}.{name}; {nearest(name, known)}"
                for name in names
                if name not in known
            ]
    return problems
