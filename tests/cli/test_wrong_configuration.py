"""Every configuration file that is wrong ends in a message, whatever stands in it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from nba.decisions.loading import load_decision_files
from nba.errors import ConfigError
from nba.features.tags import load_tags
from nba.jobs.init import init_project
from nba.models.spec import read_spec
from nba.settings import read_yaml
from nba.stores.feature_services import read_services

WRONG = {
    "no YAML": b"a: {b: [}",
    "cut off": b"[1, 2",
    "text": b"just text",
    "a list": b"- 1\n- 2\n",
    "no UTF-8": bytes(range(128, 256)),
    "an object": b"!!python/object:os.system x",
    "holds itself": b"a: &x [*x]",
    "too deep": b"x: " + b"[" * 3000,
    "unknown keys": b"unknown_key: 1\nother: 2\n",
    "a folder": None,
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop") / "shop"
    init_project(folder, {})
    return folder


def spoil(path: Path, content: bytes | None) -> Path:
    path.unlink(missing_ok=True)
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    return path


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("name", ["actions", "contact_policy", "levers"])
def test_decision_files(shop: Path, tmp_path: Path, name: str, wrong: str) -> None:
    folder = shutil.copytree(shop / "serving", tmp_path / "serving")
    spoil(folder / f"{name}.yaml", WRONG[wrong])
    with pytest.raises(ConfigError) as raised:
        load_decision_files(folder)
    assert raised.value.problems


@pytest.mark.parametrize("wrong", WRONG)
def test_models_services_and_tags(tmp_path: Path, wrong: str) -> None:
    path = spoil(tmp_path / "a.yaml", WRONG[wrong])
    with pytest.raises(ConfigError):
        read_spec(path)
    with pytest.raises(ConfigError):
        read_services(path, {})
    with pytest.raises(ConfigError):
        load_tags(path, {})


@pytest.mark.parametrize(
    "wrong", [name for name in WRONG if name not in ("unknown keys", "holds itself")]
)
def test_settings(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        read_yaml(spoil(tmp_path / "nba.yaml", WRONG[wrong]))


def test_all_faults_of_the_decision_files_come_at_once(shop: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(shop / "serving", tmp_path / "serving")
    for name in ("actions", "contact_policy", "levers"):
        spoil(folder / f"{name}.yaml", b"one: 1\ntwo: 2\n")
    with pytest.raises(ConfigError) as raised:
        load_decision_files(folder)
    for name in ("actions", "contact_policy", "levers"):
        assert sum(f"{name}.yaml" in problem for problem in raised.value.problems) >= 2
