"""Read the YAML files of decisions as a whole: every problem in one report, with file and line."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from nba.decisions.action_types import Catalogue
from nba.decisions.facts import FACTS
from nba.decisions.names import Texts
from nba.decisions.policy import ContactPolicy, Levers
from nba.decisions.reasons import PHRASES
from nba.decisions.rules import DecisionRules
from nba.decisions.settings import DecisionSettings
from nba.errors import ConfigError
from nba.features.expressions import TAG_PREFIX, parse_expression
from nba.validation import described, nearest, short

CATALOGUE_FILE: Final = "actions.yaml"
POLICY_FILE: Final = "contact_policy.yaml"
LEVERS_FILE: Final = "levers.yaml"
#: Names and variants of texts; a project may do without.
TEXTS_FILE: Final = "texts.yaml"
_Location = tuple[str | int, ...]
_M = TypeVar("_M", bound=BaseModel)


@dataclass(frozen=True)
class DecisionFiles:
    """The files, read and checked, and a digest of their bytes."""

    catalogue: Catalogue
    policy: ContactPolicy
    levers: Levers
    version: str
    texts: Texts = field(default_factory=Texts)

    def rules(self, settings: DecisionSettings, *, model_versions: str = "") -> DecisionRules:
        """Return these files with `settings` as the rules of a plan.

        Parameters
        ----------
        settings : DecisionSettings
        model_versions : str
            The versions of the models whose scores are decided on.
        """
        return DecisionRules(
            catalogue=self.catalogue,
            policy=self.policy,
            levers=self.levers,
            settings=settings,
            texts=self.texts,
            policy_version=self.version,
            model_versions=model_versions,
        )


@dataclass
class _Source:
    """One YAML file with the line of each of its parts."""

    path: Path
    data: Any
    lines: dict[_Location, int]

    def line(self, location: _Location) -> int:
        """Return the line of `location`, or of the nearest part that encloses it."""
        while location and location not in self.lines:
            location = location[:-1]
        return self.lines.get(location, 1)

    def problem(
        self, location: _Location, message: str, found: object = None, expected: str = ""
    ) -> str:
        return self.told(location, message, expected, "" if found is None else short(found))

    def told(self, location: _Location, message: str, expected: str, found: str) -> str:
        where = ".".join(map(str, location)) or "file"
        tail = f"; expected: {expected}" if expected else ""
        tail += f"; found: {found}" if found else ""
        return f"{self.path}:{self.line(location)}: {where}: {message}{tail}"


def load_decision_files(
    folder: Path, *, facts: Iterable[str] = (), tags: Iterable[str] | None = None
) -> DecisionFiles:
    """Read `actions.yaml`, `contact_policy.yaml`, `levers.yaml` and `texts.yaml` from `folder`.

    Parameters
    ----------
    facts : iterable of str
        Names that rules may use beside `nba.decisions.facts.FACTS`: the columns of the
        feature views with a row per customer.
    tags : iterable of str, optional
        The declared tags; None leaves tags unchecked.

    Raises
    ------
    ConfigError
        With every problem of the files.
    """
    problems: list[str] = []
    catalogue = _read(folder / CATALOGUE_FILE, Catalogue, problems)
    policy = _read(folder / POLICY_FILE, ContactPolicy, problems)
    levers = _read(folder / LEVERS_FILE, Levers, problems)
    texts = _read_texts(folder / TEXTS_FILE, problems)
    if catalogue is not None:
        problems += _unknown_names(*catalogue, {*FACTS, *facts}, tags)
        if levers is not None:
            problems += _idle_levers(*levers, catalogue[1])
        if policy is not None:
            problems += _idle_floors(*policy, catalogue[1])
        problems += _idle_variants(*texts, catalogue[1])
    if problems or catalogue is None or policy is None or levers is None:
        raise ConfigError(
            f"{folder}: {len(problems)} problem(s) in the decision files",
            next_step="correct them; docs/decisions.md describes each field",
            problems=problems,
        )
    version = files_version(folder)
    return DecisionFiles(catalogue[1], policy[1], levers[1], version, texts[1])


def files_version(folder: Path) -> str:
    """Return a digest of the bytes of the files."""
    digest = hashlib.sha256()
    for name in (CATALOGUE_FILE, POLICY_FILE, LEVERS_FILE, TEXTS_FILE):
        if name == TEXTS_FILE and not (folder / name).exists():
            continue
        content = (folder / name).read_bytes()
        digest.update(f"{name}:{len(content)}:".encode() + content)
    return digest.hexdigest()[:16]


def _read(path: Path, model: type[_M], problems: list[str]) -> tuple[_Source, _M] | None:
    source = _parse(path, problems)
    if source is None:
        return None
    try:
        return source, model.model_validate(source.data)
    except ValidationError as error:
        problems += [source.told(*described(item, model)) for item in error.errors()]
    return None


def _read_texts(path: Path, problems: list[str]) -> tuple[_Source, Texts]:
    """Return the names and variants; none where there is no such file."""
    found = _read(path, Texts, problems) if path.exists() else None
    return found or (_Source(path, {}, {}), Texts())


def _parse(path: Path, problems: list[str]) -> _Source | None:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        problems.append(f"{path}:1: cannot be read; expected: a UTF-8 YAML file; found: {error}")
        return None
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
        source = _Source(path, {} if data is None else data, {})
        if node is not None:
            _collect(node, (), source, problems)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark is not None else 1
        problems.append(
            f"{path}:{line}: not YAML; expected: a mapping; "
            f"found: {getattr(error, 'problem', None) or error}"
        )
        return None
    return source


def _collect(node: yaml.Node, location: _Location, source: _Source, problems: list[str]) -> None:
    """Note the line of each part, and refuse keys that stand twice."""
    source.lines.setdefault(location, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            place = (*location, str(key.value))
            if place in source.lines:
                line = key.start_mark.line + 1
                problems.append(
                    f"{source.path}:{line}: {'.'.join(map(str, place))}: stands twice; "
                    f"expected: once; found: first on line {source.lines[place]}"
                )
            source.lines[place] = key.start_mark.line + 1
            _collect(value, place, source, problems)
    elif isinstance(node, yaml.SequenceNode):
        for position, item in enumerate(node.value):
            _collect(item, (*location, position), source, problems)


def _unknown_names(
    source: _Source, catalogue: Catalogue, facts: set[str], tags: Iterable[str] | None
) -> list[str]:
    known_tags = None if tags is None else {TAG_PREFIX + tag for tag in tags}
    problems = []
    for position, name, text in catalogue.rules():
        rule = parse_expression(text)
        allowed = facts | (
            {name for name in rule.names if name.startswith(TAG_PREFIX)}
            if known_tags is None
            else known_tags
        )
        location = ("actions", position, name)
        problems += [source.problem(location, line, text) for line in rule.problems(allowed)]
    for position, action in enumerate(catalogue.actions):
        for code in (*action.reasons, action.caution):
            if code not in PHRASES:
                field = "caution" if code == action.caution else "reasons"
                hint = nearest(code, PHRASES)
                message = f"unknown phrase {code!r}" + (f"; {hint}" if hint else "")
                problems.append(source.problem(("actions", position, field), message, code))
    return problems


def _idle_variants(source: _Source, texts: Texts, catalogue: Catalogue) -> list[str]:
    """Report variants of what is in no catalogue."""
    known = {action.action_type for action in catalogue.actions}
    return [
        source.problem((part, name), "no action of the catalogue has it", name)
        for part in ("variants", "lasting", "in_store")
        for name in getattr(texts, part)
        if name not in known
    ]


def _idle_floors(source: _Source, policy: ContactPolicy, catalogue: Catalogue) -> list[str]:
    """Report floors for what is in no catalogue."""
    known = {action.action_type for action in catalogue.actions}
    problems = []
    for position, floor in enumerate(policy.floors):
        for name in floor.action_types:
            if name not in known:
                hint = nearest(name, known)
                message = "no action of the catalogue has it" + (f"; {hint}" if hint else "")
                location = ("floors", position, "action_types")
                problems.append(source.problem(location, message, name))
    return problems


def _idle_levers(source: _Source, levers: Levers, catalogue: Catalogue) -> list[str]:
    """Report levers that pull at nothing."""
    names = {
        "actions": {action.action_type for action in catalogue.actions},
        "groups": {action.group for action in catalogue.actions},
    }
    problems = []
    for part, known in names.items():
        for name in getattr(levers, part):
            if name not in known:
                hint = nearest(name, known)
                message = "no action of the catalogue has it" + (f"; {hint}" if hint else "")
                problems.append(source.problem((part, name), message, name))
    return problems
