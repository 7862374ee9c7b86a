"""The locks pin every extra that a requirement names; pip in hash mode refuses otherwise."""

from __future__ import annotations

import itertools
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LOCKS = ("requirements.lock", "requirements-dev.lock")
PIN = re.compile(r"^[A-Za-z0-9][^\n;]*?==[^\s\\]+", re.MULTILINE)
#: The locks are resolved for every platform and Python: a requirement counts where one needs it.
ENVIRONMENTS = [
    {"python_version": version, "python_full_version": f"{version}.9", **platform}
    for version, platform in itertools.product(
        ("3.11", "3.12", "3.13", "3.14"),
        (
            {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"},
            {"sys_platform": "darwin", "platform_system": "Darwin", "os_name": "posix"},
            {"sys_platform": "win32", "platform_system": "Windows", "os_name": "nt"},
        ),
    )
]


def pinned_extras(lock: str) -> dict[str, set[str]]:
    """Return the extras of each pinned package."""
    extras: defaultdict[str, set[str]] = defaultdict(set)
    for pin in PIN.findall(lock):
        requirement = Requirement(pin)
        extras[canonicalize_name(requirement.name)] |= _names(requirement.extras)
    return dict(extras)


def _names(extras: Iterable[str]) -> set[str]:
    return {canonicalize_name(extra) for extra in extras}


def _applies(requirement: Requirement, extras: Iterable[str]) -> bool:
    return requirement.marker is None or any(
        requirement.marker.evaluate({**environment, "extra": extra})
        for environment in ENVIRONMENTS
        for extra in ("", *extras)
    )


def missing_extras(lock: str, requirements: Mapping[str, list[str]]) -> Iterator[str]:
    """Name each extra that a pinned package asks for and a pin lacks.

    Parameters
    ----------
    lock : str
        The text of a lock file.
    requirements : mapping of str to list of str
        What each installed package asks for (`Requires-Dist`), by canonical name.
    """
    pins = pinned_extras(lock)
    for package in sorted(pins.keys() & requirements.keys()):
        for text in requirements[package]:
            wanted = Requirement(text)
            lacking = _names(wanted.extras) - pins.get(canonicalize_name(wanted.name), set())
            if lacking and _applies(wanted, pins[package]):
                yield f"{package} asks for {wanted.name}[{','.join(sorted(lacking))}]"


@pytest.fixture(scope="module")
def installed() -> dict[str, list[str]]:
    """Return what every installed package asks for."""
    return {
        canonicalize_name(item.metadata["Name"]): list(item.requires or ())
        for item in distributions()
    }


@pytest.mark.parametrize("name", LOCKS)
def test_every_extra_is_pinned(
    name: str, repository: Path, installed: dict[str, list[str]]
) -> None:
    lock = (repository / name).read_text(encoding="utf-8")
    assert list(missing_extras(lock, installed)) == []


@pytest.mark.parametrize("name", LOCKS)
def test_extras_of_the_project_itself_are_pinned(name: str, repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = list(project["project"]["dependencies"])
    if name == "requirements-dev.lock":
        optional = project["project"]["optional-dependencies"]
        groups = project["dependency-groups"]
        for entries in (*optional.values(), *groups.values()):
            wanted += [entry for entry in entries if isinstance(entry, str)]
    pins = pinned_extras((repository / name).read_text(encoding="utf-8"))
    for requirement in map(Requirement, wanted):
        assert _names(requirement.extras) <= pins[canonicalize_name(requirement.name)]


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_without_extras_is_reported(
    name: str, repository: Path, installed: dict[str, list[str]]
) -> None:
    lock = (repository / name).read_text(encoding="utf-8")
    stripped = re.sub(r"^([A-Za-z0-9._-]+)\[[^\]]*\]==", r"\1==", lock, flags=re.MULTILINE)
    reported = list(missing_extras(stripped, installed))
    assert any(line.endswith("asks for uvicorn[standard]") for line in reported), reported
    assert any("[toml]" in line for line in reported) == (name == "requirements-dev.lock")


@pytest.mark.parametrize("name", LOCKS)
def test_locks_name_no_address_and_hash_every_pin(name: str, repository: Path) -> None:
    lock = (repository / name).read_text(encoding="utf-8")
    assert "://" not in lock
    entries = re.split(r"^(?=[A-Za-z0-9])", lock, flags=re.MULTILINE)[1:]
    assert all("--hash=sha256:" in entry for entry in entries)


def test_the_small_lock_agrees_with_the_large_one(repository: Path) -> None:
    locks = [(repository / name).read_text(encoding="utf-8") for name in LOCKS]
    small, large = ({re.sub(r"\[.*?\]", "", pin) for pin in PIN.findall(lock)} for lock in locks)
    assert small <= large
    less, more = map(pinned_extras, locks)
    assert all(extras <= more[name] for name, extras in less.items())
