"""Work in several processes: results in order, errors as they are, nobody left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nba.cores import environment
from nba.errors import ConfigError, NbaError
from nba.stores.processes import in_processes, tell

_NAPS = """
from functools import partial
from tests.stores.test_processes import noted, two
if __name__ == "__main__":
    two(partial(noted, {folder!r}), [1, 2])
"""


def two(call: object, numbers: list[int], told: list[str] | None = None) -> list[object]:
    said = told if told is not None else []
    return in_processes(call, numbers, workers=2, threads=1, told=said.append)[0]  # type: ignore[arg-type]


def squared(number: int) -> tuple[int, int, str]:
    return number**2, os.getpid(), os.environ["OMP_NUM_THREADS"]


def talking(number: int) -> int:
    tell(f"{number} begins")
    tell("9" * 5_000)
    return number


def refused(number: int) -> int:
    if number == 2:
        raise ConfigError("two is wrong", expected="one", found="2", problems=["a", "b"])
    time.sleep(0.1)
    return number


def killed(number: int) -> int:
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(600)
    return number


def noted(folder: str, number: int) -> None:
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(600)


def test_what_processes_tell_is_shown_by_the_one_that_started_them() -> None:
    said: list[str] = []
    assert two(talking, [1, 2, 3], said) == [1, 2, 3]
    assert {"1 begins", "2 begins", "3 begins"} <= set(said)
    assert sum("of 3 done" in line for line in said) == 3
    assert sum(line == "9" * 1_000 for line in said) == 3
    tell("to nobody")


def test_memory_of_a_process_is_its_own() -> None:
    much = b"1" * 1_000_000_000
    _, peak = in_processes(squared, [1], workers=1, threads=1, told=lambda line: None)
    assert 20 < peak < len(much) / 2e6


def test_results_come_in_order_from_processes_with_their_share_of_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    said: list[str] = []
    found = two(squared, [3, 1, 2], said)
    assert [one[0] for one in found] == [9, 1, 4]  # type: ignore[index]
    assert os.getpid() not in {one[1] for one in found}  # type: ignore[index]
    assert {one[2] for one in found} == {"1"}  # type: ignore[index]
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert len(said) == 3
    assert said[-1].startswith("3 of 3 done")


def test_what_a_piece_of_work_refuses_is_said_as_it_was() -> None:
    with pytest.raises(ConfigError, match="two is wrong") as raised:
        two(refused, [1, 2, 3])
    assert raised.value.problems == ("a", "b")


def test_a_process_that_dies_ends_the_others_at_once() -> None:
    began = time.monotonic()
    with pytest.raises(NbaError, match="fewer `workers`"):
        two(killed, [1, 2])
    assert time.monotonic() - began < 300


def test_nobody_works_on_for_a_parent_that_was_killed(tmp_path: Path) -> None:
    script = tmp_path / "naps.py"
    folder = tmp_path / "pids"
    folder.mkdir()
    script.write_text(_NAPS.format(folder=str(folder)), encoding="utf-8")
    paths = os.pathsep.join(path for path in sys.path if path)
    parent = subprocess.Popen(
        [sys.executable, str(script)], env={**os.environ, **environment(1), "PYTHONPATH": paths}
    )
    until = time.monotonic() + 60
    while len(workers := [int(file.name) for file in folder.iterdir()]) < 2:
        assert time.monotonic() < until
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    until = time.monotonic() + 5
    while any(map(_is_running, workers)):
        assert time.monotonic() < until, "a worker outlived its parent"
        time.sleep(0.05)


def _is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
