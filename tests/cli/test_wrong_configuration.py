"""Every configuration file that is wrong ends in a message, whatever stands in it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from nba.cli import main
from nba.decisions.loading import load_decision_files
from nba.errors import ConfigError
from nba.features.tags import load_tags
from nba.jobs.configuration import configuration_faults, with_all_faults
from nba.jobs.init import init_project
from nba.models.spec import read_spec
from nba.settings import Settings, read_yaml
from nba.stores.database import Database
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


FILES = (
    "nba.yaml", "models/timing.yaml", "models/affinity.yaml", "models/mode.yaml",
    "serving/actions.yaml", "serving/contact_policy.yaml", "serving/levers.yaml",
    "features/services.yaml", "features/tags.yaml",
)  # fmt: skip


@pytest.mark.parametrize("verb", [("run",), ("doctor",), ("serve",), ("keys", "create", "admin")])
def test_all_faults_of_all_files_come_at_once(
    shop: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    verb: tuple[str, ...],
) -> None:
    project = shutil.copytree(shop, tmp_path / "shop")
    for name in FILES:
        spoil(project / name, b"one: 1\ntwo: 2\n")
    spoil(project / "features" / "feature_store.yaml", b"- 1\n")
    monkeypatch.setattr(sys, "argv", ["nba", "--project", str(project), *verb])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == ConfigError.exit_code
    said = capsys.readouterr().err
    lines = said.splitlines()
    for name in FILES:
        assert [line for line in lines if Path(name).name in line], name
    assert "feature_store.yaml" in said
    assert len([line for line in lines if line.startswith("  - ")]) >= 2 * len(FILES) - 2


def test_right_files_add_nothing_to_an_error(shop: Path) -> None:
    assert configuration_faults(shop) == []
    error = ConfigError("something else", found="x")
    assert with_all_faults(error, shop) is error


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("nonsense", "no URL"),
        ("sqlite://", "without a database"),
        ("mysql://root:secret@host/x", "type mysql"),
        ("postgresql://host", "without a database"),
    ],
)
def test_an_operational_store_that_cannot_be(url: str, found: str) -> None:
    with pytest.raises(ConfigError, match=found) as raised:
        Database(url)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    "content", [{"currency": ""}, {"currency": "x" * 500}, {"margin_rate": -1}, {"seed": 10**39}]
)
def test_settings_beyond_sense(content: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate(content)
