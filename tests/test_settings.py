"""A project's settings: read once, all problems at once."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

import nba
from nba.decisions.action_types import Catalogue
from nba.decisions.policy import ContactPolicy, Levers
from nba.errors import ConfigError
from nba.settings import PolicyShares, Project, Settings, read_settings
from nba.validation import problem_lines


def test_defaults_stand_where_the_file_is_silent(tmp_path: Path) -> None:
    path = tmp_path / "nba.yaml"
    path.write_text("currency: GBP\n")
    settings = read_settings(path)
    assert (settings.currency, settings.time_zone) == ("GBP", "Asia/Shanghai")
    assert settings.arms.holdout == 0.10


def test_all_problems_are_reported_together(tmp_path: Path) -> None:
    path = tmp_path / "nba.yaml"
    path.write_text(
        "time_zone: Mars/Base\ncurency: CNY\narms: {holdout: .7, random: .6}\nseed: -1\n"
    )
    with pytest.raises(ConfigError) as caught:
        read_settings(path)
    message = str(caught.value)
    assert caught.value.exit_code == 78
    for part in ("Mars/Base", "curency", "1.3, more than 1", "seed"):
        assert part in message


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("currency: RMB", "CNY"),
        ("currency: XYZ", "'XYZ' is no ISO 4217 code"),
        ("country: XX", "'XX' is no ISO 3166 code"),
        ("country: UK", "GB"),
    ],
)
def test_codes_that_there_are_not_are_refused(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "nba.yaml"
    path.write_text(f"{line}\n")
    with pytest.raises(ConfigError) as caught:
        read_settings(path)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("partitons: 2", "partitons: unknown field; did you mean partitions?; found: partitons"),
        (
            "arms: {houldout: 0.2}",
            "arms.houldout: unknown field; did you mean holdout?; expected: ",
        ),
        ("holdout: 0.2", "holdout: unknown field; did you mean arms.holdout?; found: holdout"),
        ("workers: two", "workers: wrong value; expected: a whole number; found: 'two'"),
        ("workers: 1.5", "workers: wrong value; expected: a whole number; found: 1.5"),
        ("workers: 0", "workers: wrong value; expected: at least 1; found: 0"),
        ("workers: 300", "workers: wrong value; expected: at most 256; found: 300"),
        ("workers:", "workers: wrong value; expected: a whole number; found: nothing"),
        ("arms: {random: much}", "arms.random: wrong value; expected: a number; found: 'much'"),
        ("trace_nights: maybe", "trace_nights: wrong value; expected: true or false; found: 'may"),
        ("salt: 1", "salt: wrong value; expected: a text; found: 1"),
        ("salt: ''", "salt: wrong value; expected: a length of at least 1; found: ''"),
        ("currency: euro", "currency: wrong value; expected: a text of the form ^[A-Z]{3}$"),
        ("arms: 3", "arms: wrong value; expected: a mapping of names to values; found: 3"),
        ("chat: {tags: a}", "chat.tags: wrong value; expected: a list; found: 'a'"),
        ("log_level: wraning", "log_level: wrong value; did you mean warning?; expected: 'debug',"),
        ("chat: {modes: [sales]}", "chat.modes.0: wrong value; expected: 'shopping_assistant'"),
        ("oidc: {roles: {x: clark}}", "oidc.roles.x: wrong value; did you mean clerk?; expected"),
    ],
)
def test_a_wrong_setting_is_told_in_plain_words(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "nba.yaml"
    path.write_text(f"{text}\n")
    with pytest.raises(ConfigError) as caught:
        read_settings(path)
    assert said in str(caught.value)
    assert "docs/settings.md" in caught.value.next_step
    assert "Input should" not in str(caught.value)


def test_a_wrong_secret_is_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "nba.yaml"
    path.write_text("alerts: {webhook_secret: 4711, webook_secret: whsec_4711}\n")
    with pytest.raises(ConfigError, match="expected: a text; found: int") as caught:
        read_settings(path)
    assert "4711" not in str(caught.value)


def test_fields_within_mappings_lists_and_unions_are_known() -> None:
    class Inner(BaseModel, extra="forbid"):
        share: float
        either: int | list[str] | None = None

    class Outer(BaseModel):
        named: dict[str, Inner]
        listed: tuple[Inner, ...] | None = None

    given = {"named": {"a": {"shar": 1}}, "listed": [{"share": 1, "either": {}}]}
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate(given)
    assert problem_lines(caught.value, Outer) == [
        "named.a.share: a required field is absent; expected: a value; found: nothing",
        "named.a.shar: unknown field; did you mean share?; expected: either, share; found: shar",
        "listed.0.either: wrong value; expected: a whole number; found: {}",
        "listed.0.either: wrong value; expected: a list; found: {}",
    ]


def test_codes_of_countries_and_their_parts_are_taken() -> None:
    for country in ("", "CN", "GB", "GB-ENG", "TW"):
        assert Settings(country=country).country == country


def test_a_broken_file_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "nba.yaml"
    path.write_text("seed: 1\narms: [\n")
    with pytest.raises(ConfigError, match="line 3"):
        read_settings(path)


def test_a_folder_without_settings_is_no_project(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nba init"):
        Project.open(tmp_path)


def test_the_config_digest_follows_what_people_edit(tmp_path: Path) -> None:
    (tmp_path / "nba.yaml").write_text("seed: 1\n")
    (tmp_path / "serving").mkdir()
    before = Project.open(tmp_path).config_digest()
    (tmp_path / "serving" / "levers.yaml").write_text("levers: {}\n")
    assert Project.open(tmp_path).config_digest() != before


def test_who_asks_at_once_gets_the_same_secret(tmp_path: Path) -> None:
    (tmp_path / "nba.yaml").write_text("seed: 1\n")
    project = Project.open(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        secrets = {found.result() for found in [pool.submit(project.secret) for _ in range(64)]}
    assert [len(secret) for secret in secrets] == [64]


def test_an_empty_secret_is_none(tmp_path: Path) -> None:
    (tmp_path / "nba.yaml").write_text("seed: 1\n")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "secret").touch()
    with pytest.raises(ConfigError, match="is empty"):
        Project.open(tmp_path).secret()


def test_threads_that_wait_do_not_spin_unless_the_environment_says_so() -> None:
    code = "import os, nba; print(os.environ['OMP_WAIT_POLICY'])"
    for given, expected in ({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE"):
        environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"} | given
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == expected


def parts_of(model: type[BaseModel]) -> set[type[BaseModel]]:
    """Return a model and all that its fields are made of."""
    texts = {repr(field.annotation) for field in model.model_fields.values()}
    known = {f"{one.__module__}.{one.__qualname__}": one for one in BaseModel.__subclasses__()}
    waiting = list(known.values())
    while waiting:
        for one in waiting.pop().__subclasses__():
            known[f"{one.__module__}.{one.__qualname__}"] = one
            waiting.append(one)
    found = {one for name, one in known.items() for text in texts if name in text}
    return {model}.union(*(parts_of(one) for one in found - {model}))


def test_every_setting_is_read() -> None:
    source = "".join(path.read_text() for path in Path(nba.__file__).parent.rglob("*.py"))
    read = set(re.findall(r"\.([a-z]\w*)", source))
    models = {one for top in (Settings, ContactPolicy, Levers, Catalogue) for one in parts_of(top)}
    assert len(models) > 15
    unread = {
        f"{one.__name__}.{name}"
        for one in models - {PolicyShares}  # by name: `PolicyShares.of`
        for name in one.model_fields
        if name not in read
    }
    assert not unread
