"""Compose and Kubernetes examples: as their schemas say, and calling what this project has."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from nba.cli import app

#: Variables that the code reads, by a look into it.
VARIABLE = re.compile(r"NBA_[A-Z_]+")


@pytest.fixture
def folder(repository: Path) -> Path:
    return repository / "serving" / "deploy"


@pytest.fixture
def read_by_code(repository: Path) -> set[str]:
    files = (repository / "src" / "nba").rglob("*.py")
    return {name for path in files for name in VARIABLE.findall(path.read_text(encoding="utf-8"))}


def accepted(words: list[str]) -> None:
    """Parse a command as the command line would."""
    command = typer.main.get_command(app).commands[words[0]]  # type: ignore[attr-defined]
    command.make_context(words[0], words[1:])


def compose_problem(text: str) -> str:
    """Return what the specification of compose files finds wrong."""
    compose = pytest.importorskip("compose_spec")
    read = yaml.safe_load(text)  # with merged keys written out
    plain = {name: part for name, part in read.items() if not name.startswith("x-")}
    try:
        found = compose.PyCompose.from_json(json.dumps(plain))
        found.validate_networks()
        found.validate_volumes()
    except Exception as error:
        return str(error)
    return ""


def test_compose_is_valid_and_runs_what_there_is(folder: Path, read_by_code: set[str]) -> None:
    text = (folder / "compose.yaml").read_text(encoding="utf-8")
    assert compose_problem(text) == ""
    assert "expected u64" in compose_problem(text.replace("replicas: 2", "replicas: two"))
    assert "deployy" in compose_problem(text.replace("    deploy:", "    deployy:"))
    services: dict[str, Any] = yaml.safe_load(text)["services"]
    assert set(services) == {"postgres", "redis", "mlflow", "api", "nightly"}
    assert services["api"]["deploy"]["replicas"] == 2
    for name in ("api", "nightly"):
        accepted(list(services[name]["command"]))
        assert set(services[name]["environment"]) <= read_by_code
        assert services[name]["volumes"] == [".:/project"]
        hosts = {"postgres": "NBA_OPERATIONAL_URL", "redis": "NBA_RATE_LIMITS_URL"}
        for host, variable in {**hosts, "mlflow": "NBA_TRACKING_URI"}.items():
            assert re.search(rf"[/@]{host}\b", services[name]["environment"][variable])


def kubernetes_problem(document: dict[str, Any]) -> str:
    """Return what the schemas of Kubernetes find wrong."""
    kubernetes = pytest.importorskip("kubernetes_validate")
    try:
        kubernetes.validate(document, "1.33", strict=True)
    except kubernetes.ValidationError as error:
        return str(error)
    return ""


def test_kubernetes_is_valid_and_runs_what_there_is(folder: Path, read_by_code: set[str]) -> None:
    text = (folder / "kubernetes.yaml").read_text(encoding="utf-8")
    nightly = (folder.parent / "schedulers" / "cronjob.yaml").read_text(encoding="utf-8")
    documents = [*yaml.safe_load_all(text), yaml.safe_load(nightly)]
    assert [kubernetes_problem(one) for one in documents] == [""] * 5
    by_kind = {one["kind"]: one for one in documents}
    wrong = copy.deepcopy(by_kind["Deployment"])
    wrong["spec"]["template"]["spec"]["container"] = []
    assert "container" in kubernetes_problem(wrong)
    pod = by_kind["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    accepted(container["args"])
    labels = by_kind["Deployment"]["spec"]["template"]["metadata"]["labels"]
    for selected in ("Service", "PodDisruptionBudget"):
        selector = by_kind[selected]["spec"]["selector"]
        assert selector.get("matchLabels", selector) == labels
    job = by_kind["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    claims = {one["volumes"][0]["persistentVolumeClaim"]["claimName"] for one in (pod, job)}
    assert claims == {by_kind["PersistentVolumeClaim"]["metadata"]["name"]}
    assert set(VARIABLE.findall(text)) <= read_by_code
