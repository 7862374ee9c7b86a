"""What others expect of a project that they join: licence, changelog, hooks and a site."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest
import yaml

import nba


def test_the_licence_is_the_full_text_that_the_package_names(repository: Path) -> None:
    licence = (repository / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License\n                           Version 2.0, January 2004" in licence
    assert "END OF TERMS AND CONDITIONS" in licence
    assert 'license = "Apache-2.0"' in (repository / "pyproject.toml").read_text(encoding="utf-8")


def test_the_changelog_has_a_dated_section_for_this_version(repository: Path) -> None:
    text = (repository / "CHANGELOG.md").read_text(encoding="utf-8")
    sections = re.findall(r"^## (.+)$", text, flags=re.MULTILINE)
    assert sections[0] == "Unreleased"
    released = [re.fullmatch(r"(\d+\.\d+\.\d+) \((\d{4}-\d{2}-\d{2})\)", s) for s in sections[1:]]
    assert all(released)
    versions = [match[1] for match in released if match]
    days = [date.fromisoformat(match[2]) for match in released if match]
    assert versions[0] == nba.__version__
    assert days == sorted(days, reverse=True)


def test_hooks_are_the_projects_own_tools(repository: Path) -> None:
    config = yaml.safe_load((repository / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert [source["repo"] for source in config["repos"]] == ["local"]
    hooks = config["repos"][0]["hooks"]
    assert all(hook["language"] == "system" for hook in hooks)
    assert all(hook["entry"].startswith(".venv/bin/") for hook in hooks)


def test_every_page_is_in_the_site_and_nothing_is_fetched(repository: Path) -> None:
    config = yaml.safe_load((repository / "mkdocs.yml").read_text(encoding="utf-8"))
    assert config["theme"]["font"] is False
    assert config["strict"] is True
    assert "extra_javascript" not in config
    assert "extra_css" not in config
    listed = set(re.findall(r"[\w/.-]+\.md", yaml.safe_dump(config["nav"])))
    docs = repository / "docs"
    assert listed == {str(page.relative_to(docs)) for page in docs.rglob("*.md")}


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "SECURITY.md"])
def test_links_of_the_front_pages_lead_somewhere(name: str, repository: Path) -> None:
    text = (repository / name).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)", text):
        assert (repository / target).exists(), target


def test_every_target_that_the_front_pages_name_is_in_the_makefile(repository: Path) -> None:
    targets = set(
        re.findall(
            r"^([a-z]+):", (repository / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE
        )
    )
    for name in ("README.md", "CONTRIBUTING.md", ".ci/run"):
        named = re.findall(
            r"(?:`|^)make ([a-z]+)", (repository / name).read_text(encoding="utf-8"), re.MULTILINE
        )
        assert named
        assert set(named) <= targets
