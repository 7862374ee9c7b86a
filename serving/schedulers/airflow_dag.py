"""The nightly job from Airflow 3: one task that calls the command line.

Copy this file to the folder of DAGs. The day of the schedule is handed over, so that a task that is
run again plans the day it belongs to.
"""

import pendulum
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

ZONE = "Asia/Shanghai"

with DAG(
    dag_id="nba_nightly",
    schedule="0 4 * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz=ZONE),
    catchup=False,
    max_active_runs=1,
):
    BashOperator(
        task_id="run",
        bash_command=(
            "/opt/nba/.venv/bin/nba --project /srv/nba run "
            f"--as-of {{{{ logical_date.in_timezone('{ZONE}') | ds }}}}"
        ),
        retries=2,
        retry_delay=pendulum.duration(minutes=10),
    )
