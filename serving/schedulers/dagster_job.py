"""The nightly job from Dagster: one op that calls the command line, once a day.

Load it with `dagster dev -f dagster_job.py`. The day of the schedule is handed over, so that an op
that is run again plans the day it belongs to; what the job prints stands in the log of the op.
"""

import subprocess
from zoneinfo import ZoneInfo

import dagster as dg

ZONE = "Asia/Shanghai"
COMMAND = ("/opt/nba/.venv/bin/nba", "--project", "/srv/nba", "run")


class Night(dg.Config):
    """The day to plan for."""

    as_of: str


@dg.op(retry_policy=dg.RetryPolicy(max_retries=2, delay=600))
def run(context: dg.OpExecutionContext, config: Night) -> None:
    """Run the nightly job; refused input and bad configuration are not tried again."""
    done = subprocess.run(
        [*COMMAND, "--as-of", config.as_of], capture_output=True, text=True, check=False
    )
    context.log.info(done.stderr)
    if done.returncode:
        raise dg.Failure(
            f"nba run ended with {done.returncode}", allow_retries=done.returncode not in (65, 78)
        )


@dg.job
def nightly() -> None:
    """Plan the day."""
    run()


@dg.schedule(job=nightly, cron_schedule="0 4 * * *", execution_timezone=ZONE)
def every_night(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Plan the day on which the schedule ticks."""
    day = f"{context.scheduled_execution_time.astimezone(ZoneInfo(ZONE)):%Y-%m-%d}"
    return dg.RunRequest(run_key=day, run_config=dg.RunConfig(ops={"run": Night(as_of=day)}))


defs = dg.Definitions(jobs=[nightly], schedules=[every_night])
