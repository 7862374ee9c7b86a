"""The schedulers' example files call the command line alone, with options that it has."""

from __future__ import annotations

import ast
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from tests.jobs.conftest import DAY

from nba.cli import app
from nba.errors import ConfigError, InputRefusedError

NBA, SHOP = "/opt/nba/.venv/bin/nba", "/srv/nba"
HOUR = "0 4 * * *"
#: What a scheduler fills in.
PLACE = re.compile(r"\{+ .*? \}+")
#: How an example is loaded and a night run in it; the arguments are the command, then the day.
IN_ENVIRONMENT = {
    "dagster": """
import sys, datetime as dt, dagster as dg, dagster_job as job
*job.COMMAND, day = sys.argv[1:]
config = dg.RunConfig(ops={"run": job.Night(as_of=day)})
assert job.nightly.execute_in_process(run_config=config).success
moment = dt.datetime(2026, 3, 1, 20, tzinfo=dt.timezone.utc)
tick = dg.build_schedule_context(scheduled_execution_time=moment)
assert job.every_night(tick).run_key == "2026-03-02", "the day of the schedule, by its own clock"
""",
    "apache-airflow-core apache-airflow-providers-standard": """
import sys, shlex, subprocess, pathlib, os, datetime as dt
*command, day = sys.argv[1:]
os.environ |= {"AIRFLOW_HOME": os.getcwd(), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
text = pathlib.Path("airflow_dag.py").read_text()
text = text.replace("/opt/nba/.venv/bin/nba --project /srv/nba run", shlex.join(command))
text = text.replace("datetime(2026,", "datetime(2025,")  # no task of a day before it is run
pathlib.Path("dags").mkdir()
pathlib.Path("dags/nightly.py").write_text(text)
airflow = pathlib.Path(sys.executable).with_name("airflow")
subprocess.run([airflow, "db", "migrate"], check=True)
# four in the morning in Shanghai is the day before in UTC
before = f"{dt.date.fromisoformat(day) - dt.timedelta(1)}T20:00:00+00:00"
subprocess.run([airflow, "dags", "test", "nba_nightly", before], check=True)
""",
}


@pytest.fixture
def folder(repository: Path) -> Path:
    return repository / "serving" / "schedulers"


def accepted(command: str) -> None:
    """Parse a command as the command line would."""
    words = shlex.split(PLACE.sub("2026-03-02", command))
    assert words[:3] == [NBA, "--project", SHOP]
    verb = typer.main.get_command(app).commands[words[3]]  # type: ignore[attr-defined]
    verb.make_context(words[3], words[4:])


def test_cron(folder: Path) -> None:
    lines = (folder / "crontab").read_text(encoding="utf-8").splitlines()
    (job,) = [line for line in lines if not line.startswith(("#", "CRON_TZ="))]
    assert job.startswith(HOUR)
    accepted(job.removeprefix(HOUR).partition(">>")[0])


def test_systemd(folder: Path, tmp_path: Path) -> None:
    unit = (folder / "nba.service").read_text(encoding="utf-8")
    accepted(re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)[0])
    if (verify := shutil.which("systemd-analyze")) is None:
        pytest.skip("systemd-analyze is not on this machine")
    (tmp_path / "nba.service").write_text(unit.replace(NBA, shutil.which("true") or "/bin/true"))
    shutil.copy(folder / "nba.timer", tmp_path)
    done = subprocess.run(
        [verify, "verify", *map(str, tmp_path.iterdir())],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_kubernetes(folder: Path, repository: Path) -> None:
    job = yaml.safe_load((folder / "cronjob.yaml").read_text(encoding="utf-8"))
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "CronJob")
    assert job["spec"]["schedule"] == HOUR
    assert job["spec"]["concurrencyPolicy"] == "Forbid"
    work = job["spec"]["jobTemplate"]["spec"]
    (rule,) = work["podFailurePolicy"]["rules"]
    assert rule["onExitCodes"]["values"] == [InputRefusedError.exit_code, ConfigError.exit_code]
    pod = work["template"]["spec"]
    assert pod["restartPolicy"] == "Never"  # a pod failure policy asks for it
    (container,) = pod["containers"]
    image = (repository / "serving" / "Dockerfile").read_text(encoding="utf-8")
    entry = yaml.safe_load(re.findall(r"^ENTRYPOINT (.*)$", image, re.MULTILINE)[0])
    assert rule["onExitCodes"]["containerName"] == container["name"] == entry[0]
    assert entry[-1] == container["volumeMounts"][0]["mountPath"]
    accepted(shlex.join([NBA, "--project", SHOP, *container["args"]]))


def strings(path: Path) -> list[Any]:
    """Return every text and tuple of texts in a program."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    joined = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
    return joined + [
        ast.literal_eval(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Tuple) and all(isinstance(part, ast.Constant) for part in node.elts)
    ]


def test_airflow_and_dagster_call_the_command_line(folder: Path) -> None:
    (task,) = [text for text in strings(folder / "airflow_dag.py") if NBA in text]
    accepted(ast.literal_eval(task.removeprefix("f")).replace("{{", "{").replace("}}", "}"))
    (command,) = [words for words in strings(folder / "dagster_job.py") if NBA in words]
    accepted(shlex.join([*command, "--as-of", "2026-03-02"]))


@pytest.mark.proof
@pytest.mark.parametrize("packages", IN_ENVIRONMENT, ids=["dagster", "airflow"])
def test_it_runs_a_night_in_an_environment_of_its_own(
    packages: str, folder: Path, made: Path, tmp_path: Path
) -> None:
    for path in folder.glob("*.py"):
        shutil.copy(path, tmp_path)
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", *packages.split()], check=True)
    command = [sys.executable, "-m", "nba", "--project", str(made), "run"]
    program = IN_ENVIRONMENT[packages]
    done = subprocess.run(
        [python, "-c", program, *command, str(DAY)], cwd=tmp_path, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert f"the plan of {DAY} stands" in done.stdout + done.stderr
