"""The walk-through runs as it stands, and it is made of the commands that the README names."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = re.compile(r"^(?:\$ )?nba (.+?)(?: #.*| &)?$", re.MULTILINE)


@pytest.fixture(scope="module")
def walk(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return what the walk-through printed."""
    script = repository / "examples" / "walk_through.py"
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path_factory.mktemp("walk"))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


def verbs(command: str) -> str:
    """Return the verb of a command, with its second word where it has one."""
    words = [word for word in shlex.split(command) if word != "--project"]
    names = [word for word in words if re.fullmatch(r"[a-z]+", word)]
    known = [name for name in names if name not in ("shop", "world")]
    return " ".join(known[:2] if known[0] in ("actions", "keys") else known[:1])


def test_what_was_contacted_or_blocked_is_not_listed_again(walk: str) -> None:
    actions, tomorrow = map(int, re.findall(r"^(\d+) actions today, (\d+) tomorrow", walk, re.M)[0])
    assert actions >= 2
    assert tomorrow
    assert re.search(r"^\S+ was contacted today and is not listed tomorrow$", walk, re.MULTILINE)
    assert re.search(r"^\S+ has blocked the clerk and is not listed tomorrow$", walk, re.MULTILINE)


def test_the_readme_names_commands_that_the_walk_through_runs(walk: str, repository: Path) -> None:
    readme = (repository / "README.md").read_text(encoding="utf-8")
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", readme, flags=re.DOTALL))
    named = {verbs(command) for command in COMMAND.findall(blocks)}
    assert {"init", "ingest", "run", "actions export", "serve"} <= named
    assert named <= {verbs(command) for command in COMMAND.findall(walk)}
