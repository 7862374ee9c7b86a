"""The one place that joins adapters to use cases."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypedDict
from zoneinfo import ZoneInfo

import yaml
from pydantic import ValidationError

from nba.cores import cores, limit_cores
from nba.errors import ConfigError, InputRefusedError
from nba.memory import held_beside
from nba.models.kinds import model_class
from nba.models.spec import ModelSpec, read_spec
from nba.pipeline.context import RunContext, run_context
from nba.pipeline.manifest import Manifest
from nba.pipeline.train import MODELS
from nba.settings import Project
from nba.stores.processes import in_processes, tell
from nba.validation import validation_problems

if TYPE_CHECKING:
    from nba.data.identity_keys import IdentityKey
    from nba.data.lake import Lake
    from nba.decisions.loading import DecisionFiles
    from nba.decisions.rules import DecisionRules
    from nba.decisions.settings import DecisionSettings
    from nba.features.engine import DuckDBEngine, Engine
    from nba.pipeline.ports import KeptPlace
    from nba.stores.feature_store import FeastFeatureStore
    from nba.stores.lake_tables import LakeTables
    from nba.stores.operational import OperationalStore
    from nba.stores.registry import MlflowRegistry
    from nba.stores.run_folders import RunFolders
    from nba.stores.working_copy import WorkingCopy

#: Lines of sales of the customers of one task of Spark.
_TASK_LINES: Final = 500_000
#: The night that this process does tasks of, by what decides it: its models are loaded once.
_night: dict[str, RunContext] = {}


def _in_task(
    project: Project,
    as_of: datetime,
    manifest: str,
    work: Callable[[RunContext, int], Any],
    number: int,
) -> Any:
    """Do a piece of work of a night in another process.

    Parameters
    ----------
    project : Project
        With the settings of a task.
    as_of : datetime
    manifest : str
        Inputs and steps of the run so far, as JSON.
    work : callable
        See `Wiring.spread`.
    number : int
    """
    key = f"{project.root} {as_of} {manifest}"
    if key not in _night:
        limit_cores(project.settings.threads)
        _night.clear()
        context = Wiring(project).run(as_of)
        inputs, steps = json.loads(manifest)
        manifest_so_far = Manifest(context.folder, inputs, steps)
        _night[key] = replace(context, manifest=manifest_so_far, progress=tell)
    return work(_night[key], number)


def _yaml(content: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(content), allow_unicode=True, sort_keys=False)


class _Resources(TypedDict):
    memory_limit: str
    threads: int


class Wiring:
    """Real adapters for one project, each made when it is first asked for.

    Keeps `nba.pipeline.ports.Ports`.

    Parameters
    ----------
    project : Project
    store_wait : float
        The longest, in seconds, that the operational store is waited for.
    store_silence : float, optional
        The longest, in seconds, that its server may say nothing while it works.
    """

    #: Whether a service answers from plans during their day.
    is_served: bool = True

    def __init__(
        self, project: Project, *, store_wait: float = 30.0, store_silence: float | None = None
    ) -> None:
        self.project = project
        self.settings = project.settings
        self._store_wait = store_wait
        self._store_silence = store_silence

    def run(self, as_of: datetime) -> RunContext:
        """Return the context of the run of one day (00:00, naive, in the project's time zone)."""
        return run_context(self, self.settings, as_of)

    @cached_property
    def lake(self) -> Lake:
        """The tables as they are kept."""
        from nba.data.lake import Lake

        return Lake(self.project.lake, committed=self.keep)

    @cached_property
    def tables(self) -> LakeTables:
        """The lake's tables as a moment sees them."""
        from nba.stores.engines import duckdb_connection
        from nba.stores.lake_tables import LakeTables

        return LakeTables(
            self.lake,
            time_zone=self.settings.time_zone,
            margin_rate=self.settings.margin_rate,
            connect=lambda: duckdb_connection(**self._resources(), spill=self.project.spill),
        )

    @cached_property
    def runs(self) -> RunFolders:
        """What nightly runs keep."""
        from nba.stores.run_folders import RunFolders

        return RunFolders(self.project.runs, self.storage)

    @cached_property
    def storage(self) -> WorkingCopy | None:
        """Where what is kept is shared with other machines, if anywhere."""
        from nba.stores.prefix import Prefix
        from nba.stores.working_copy import WorkingCopy

        url = self.project.storage_url
        if not url:
            return None
        return WorkingCopy(Prefix.at(url), self.project.data, keep_days=self.settings.storage_days)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Be the one that writes to the project, and to its storage where it has one.

        Raises
        ------
        LockHeldError
            Where another process, here or beside another copy, writes.
        """
        from nba.stores.lock import project_lock

        with (
            project_lock(self.project.data),
            self.storage.writing() if self.storage else nullcontext(),
        ):
            yield

    def keep(self, *, purge: bool = False) -> None:
        """Send what was made to the storage, where there is one; see `WorkingCopy.push`."""
        if self.storage is not None:
            self.storage.push(purge=purge)

    def _resources(self) -> _Resources:
        return {"memory_limit": self.settings.memory_limit, "threads": self.settings.threads}

    def spark_session(self) -> Any:
        """Return the one Spark session of this process, with settings for the lake's size."""
        from nba.stores.spark import session

        lines, settings = self.lake.rows("transactions"), self.settings.spark
        return session(**self._resources(), lines=lines, settings=settings)

    @property
    def parts(self) -> int:
        """In how many partitions a night scores and plans.

        On Spark, where `partitions` says nothing, a task for each core, and more where one would
        have more than half a million lines of sales.
        """
        count = self.settings.partitions
        if self.settings.score_engine == "local" or count > 1:
            return count
        cores = self.spark_session().sparkContext.defaultParallelism
        return max(2, int(cores), -(-self.lake.rows("transactions") // _TASK_LINES))

    def spread(
        self, context: RunContext, work: Callable[[RunContext, int], Any], numbers: Sequence[int]
    ) -> list[Any]:
        """Do a piece of work for each number: here, in processes of this machine, or on Spark.

        With `workers` a single one has a process of its own too: its memory goes with it.
        """
        if self.settings.score_engine == "local":
            if self.settings.workers <= 1 or not numbers:
                return [work(context, number) for number in numbers]
            workers = min(self.settings.workers, len(numbers))
            threads = max(cores() // workers, 1)
            call = self._task(context, work, threads)
            done, held = in_processes(
                call, numbers, workers=workers, threads=threads, told=context.progress
            )
            held_beside(held)
            return done
        from nba.stores.spark import cores_of_task, in_tasks

        session = self.spark_session()
        call = self._task(context, work, cores_of_task(session))
        return in_tasks(session, call, numbers, told=context.progress)

    def _task(
        self, context: RunContext, work: Callable[[RunContext, int], Any], threads: int
    ) -> Callable[[int], Any]:
        """Return a piece of work as another process does it, by its number."""
        own = {"score_engine": "local", "workers": 1, "threads": threads}
        project = replace(self.project, settings=self.settings.model_copy(update=own))
        manifest = json.dumps([context.manifest.inputs, context.manifest.steps])
        return partial(_in_task, project, context.as_of, manifest, work)

    def feature_engine(self) -> Engine:
        """Return a new engine of the kind that the settings choose."""
        from nba.stores.engines import spark_engine

        if self.settings.feature_engine == "spark":
            return spark_engine(self.spark_session())
        return self._duckdb_engine()

    def _duckdb_engine(self) -> DuckDBEngine:
        from nba.stores.engines import duckdb_engine

        return duckdb_engine(**self._resources(), spill=self.project.spill)

    @cached_property
    def feature_store(self) -> FeastFeatureStore:
        """The feature store."""
        from nba.stores.feature_store import FeastFeatureStore

        return FeastFeatureStore(
            self.project.data,
            self.project.root / "features",
            self.tables.at,
            time_zone=self.settings.time_zone,
            input_version=lambda: self.lake.version,
            has_clock=lambda: self.lake.state().has_clock,
            engine=self.feature_engine,
            base_engine=self._duckdb_engine,
            keep_days=self.settings.keep_snapshots_days,
            window_days=lambda: max(spec.window_days for spec in self.specs.values()),
        )

    @cached_property
    def registry(self) -> MlflowRegistry:
        """The model registry."""
        from nba.stores.registry import MlflowRegistry

        return MlflowRegistry(self.project.tracking_uri, self.project.models, model_class)

    @cached_property
    def plan_store(self) -> OperationalStore:
        """The operational store."""
        from nba.stores.operational import OperationalStore

        return OperationalStore(
            self.project.operational_url,
            secret=self.project.secret(),
            wait_seconds=self._store_wait,
            silence_seconds=self._store_silence,
        )

    def pack_records(self, as_of: datetime) -> Iterator[list[tuple[str, bytes]]]:
        """Yield what lake and scores hold of each customer on a plan's day, packed."""
        from nba.stores.records import ahead, pack_records

        day_ends = (as_of + timedelta(days=1)).replace(tzinfo=ZoneInfo(self.settings.time_zone))
        packed = pack_records(
            self.lake,
            self.project.run_folder(as_of.date().isoformat()) / "scores",
            before=day_ends,
            memory=self.settings.memory_limit,
            scratch=self.project.spill,
            threads=self.settings.threads or None,
        )
        return ahead(packed)

    @property
    def kept_places(self) -> tuple[KeptPlace, ...]:
        """Everything beside the operational store that keeps something of customers."""
        from nba.data.erasure import LakeEraser

        lake = LakeEraser(self.lake, lambda: datetime.now(UTC))
        return (lake, self.feature_store, self.runs, self.registry)

    def identity_keys(self, customer_ids: Sequence[str]) -> Mapping[str, Collection[IdentityKey]]:
        """Return every key by which the lake knows some customers."""
        from nba.data.erasure import identity_keys

        return identity_keys(self.lake, customer_ids, self.project.secret())

    @cached_property
    def specs(self) -> Mapping[str, ModelSpec]:
        """The models' YAML files, by name."""
        return {name: read_spec(self.project.root / "models" / f"{name}.yaml") for name in MODELS}

    @cached_property
    def decision_files(self) -> DecisionFiles:
        """Catalogue, contact policy, levers, and the digest of their files."""
        return self._decision_files(self.project.root / "serving")

    def _decision_files(self, folder: Path) -> DecisionFiles:
        from nba.decisions.loading import load_decision_files

        views = self.feature_store.views.values()
        facts = {
            name for view in views if view.entity_keys == ("customer_id",) for name in view.by_name
        }
        tags = tuple(self.feature_store.repository.tags.rules)
        return load_decision_files(folder, facts=facts, tags=tags)

    def _changed_files(self, changes: Mapping[str, Any]) -> DecisionFiles:
        """Return the decision files with some of them replaced, checked as on disk."""
        with tempfile.TemporaryDirectory(prefix="nba-preview-") as scratch:
            for path in (self.project.root / "serving").glob("*.yaml"):
                shutil.copy(path, scratch)
            for name, content in changes.items():
                text = content if isinstance(content, str) else _yaml(content)
                (Path(scratch) / f"{name}.yaml").write_text(text, encoding="utf-8")
            try:
                return self._decision_files(Path(scratch))
            except ConfigError as error:
                problems = [text.removeprefix(f"{scratch}/") for text in error.problems]
                raise InputRefusedError(
                    "the changed decision files are wrong",
                    expected="content that the files in `serving/` could have",
                    found="; ".join(problems),
                    next_step="correct them; docs/decisions.md describes each field",
                ) from error

    def decision_rules(
        self, model_versions: str, *, changes: Mapping[str, Any] | None = None
    ) -> DecisionRules:
        """Return the rules as files and settings stand now, for the models of a run.

        Parameters
        ----------
        model_versions : str
            Recorded with every action.
        changes : mapping of str to mapping or str, optional
            `actions`, `contact_policy`, `levers` or `texts`: what stands in place of the file, or
            its YAML.
        """
        files = self._changed_files(changes) if changes else self.decision_files
        return files.rules(self.decision_settings, model_versions=model_versions)

    @cached_property
    def decision_settings(self) -> DecisionSettings:
        """What `decide` needs to know beside its files."""
        from nba.decisions.settings import DecisionSettings

        settings = self.settings
        given = {
            "salt": settings.salt,
            "seed": settings.seed,
            "arms": settings.arms,
            "policies": settings.policies,
            "outcome_days": settings.outcome_days,
        }
        repeated = sorted(given.keys() & settings.decisions.keys())
        if repeated:
            raise ConfigError(
                "nba.yaml sets a thing twice",
                expected=f"{', '.join(repeated)} at the top level only",
                found="the same under `decisions`",
                next_step="remove it there",
            )
        tests = sorted({"variants", "by_units", "policies_set"} & set(settings.decisions))
        if tests:
            raise ConfigError(
                f"nba.yaml sets `decisions.{tests[0]}`",
                expected="what a test or a night sets to be left to it",
                next_step="remove it; arms with rules of their own: "
                "`nba experiment start NAME --spec FILE`",
            )
        try:
            return DecisionSettings.model_validate({**given, **settings.decisions})
        except ValidationError as error:
            raise validation_problems(
                "nba.yaml: wrong `decisions`", error, DecisionSettings, page="docs/decisions.md"
            ) from error
