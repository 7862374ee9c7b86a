"""The model registry on MLflow: fits as runs, models as versions, one champion per name."""

from __future__ import annotations

import json
import logging
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlparse
from urllib.request import url2pathname

from nba.data.erasure import Leaving, Tally
from nba.errors import LostModelError, ModelError, NbaError, NotFoundError, UnavailableError
from nba.models.base import Model, read_head
from nba.models.story import FitStory
from nba.models.version import ModelVersion
from nba.stores.local_models import CHALLENGER, CHAMPION, LocalModels, folder_digest
from nba.stores.tracking_place import ARTIFACTS, follow

#: Where a model lies in the artifacts of its version.
_ARTIFACT = "artifacts/model"
_SHA_TAG, _AS_OF_TAG, _CONFIG_TAG = "nba.sha256", "nba.as_of", "nba.config_digest"
#: Why a version was promoted or refused, and which was champion before it.
_REASON_TAG, _REFUSED_TAG, _BEFORE_TAG = "nba.reason", "nba.refused", "nba.champion_before"
#: What MLflow shows as the description of a run.
_NOTE_TAG = "mlflow.note.content"
_ENVIRONMENT = {
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}

Loader = Callable[[str, str], type[Model]]


@dataclass(frozen=True)
class Fit:
    """What is noted about a fit beside the model itself."""

    as_of: datetime
    seed: int
    config_digest: str
    parameters: dict[str, Any]
    metrics: dict[str, float]
    story: FitStory


class MlflowRegistry:
    """Keeps the `ModelRegistry` port with MLflow, and the last good champions on disk.

    Parameters
    ----------
    tracking_uri : str
        `sqlite:///PATH` for one machine, `http(s)://…` for a team's server.
    cache_folder : Path
        Where the last good copies lie.
    loader : callable
        Maps (name, kind) to the model's class; a module-level function, since versions
        name it by its import path.
    experiment : str

    Notes
    -----
    `champion` never asks the tracking server while a good local copy exists: a champion
    promoted on another machine arrives with `refresh`.
    """

    place: ClassVar[str] = "models"

    def __init__(
        self, tracking_uri: str, cache_folder: Path, loader: Loader, *, experiment: str = "nba"
    ) -> None:
        self._uri = tracking_uri
        self._experiment = experiment
        self._loader = loader
        self._local = LocalModels(cache_folder)
        self._client_made: Any = None
        self._experiment_id: str | None = None

    def __repr__(self) -> str:
        return f"MlflowRegistry(experiment={self._experiment!r})"

    # -- the port ---------------------------------------------------------------------

    def register(
        self,
        model: Model,
        *,
        as_of: datetime,
        parameters: Mapping[str, Any],
        metrics: Mapping[str, float],
        seed: int,
        config_digest: str,
        story: FitStory | None = None,
    ) -> ModelVersion:
        """Log the fit as a run, store the model and return its version (not yet champion).

        Parameters
        ----------
        model : Model
        as_of : datetime
            The moment of the fit; the model has seen nothing from it on.
        parameters, metrics : mapping
            Logged with the run.
        seed : int
        config_digest : str
            Of the model's file: with another one the model is due again.
        story : FitStory, optional
            What the run says of itself.
        """
        told = story or FitStory(title=model.name, description="")
        fit = Fit(as_of, seed, config_digest, dict(parameters), dict(metrics), told)
        with quiet(), tempfile.TemporaryDirectory(prefix="nba-model-") as scratch:
            saved = Path(scratch) / "model"
            model.save(saved)
            run_id = self._start_run(model, fit)
            self._log_story(run_id, told, Path(scratch) / "story")
            version = self._log_version(model, fit, saved, run_id, Path(scratch) / "pyfunc")
            self._client.set_terminated(run_id)
            folder, _ = self._local.store(model.name, version, saved)
        return ModelVersion(model.name, version, run_id, folder, as_of, config_digest)

    def promote(
        self, version: ModelVersion, *, reason: str = "", pinned: bool = False
    ) -> ModelVersion:
        """Point the `champion` alias at `version`, on the server and in the local copy.

        Parameters
        ----------
        version : ModelVersion
        reason : str
            Written to the version and its run.
        pinned : bool
            Keep it until another is promoted by hand.
        """
        promoted = replace(version, reason=reason, pinned=pinned)
        with quiet():
            before = self._aliased(version.name, CHAMPION)
            if before is not None and not pinned and before.version != version.version:
                self._tag(version, _BEFORE_TAG, str(before.version))
            self._tag(version, _REASON_TAG, reason)
            self._client.set_registered_model_alias(version.name, CHAMPION, version.version)
            challenger = self._aliased(version.name, CHALLENGER)
            if challenger is not None and str(challenger.version) == version.version:
                self._client.delete_registered_model_alias(version.name, CHALLENGER)
                self._local.clear(version.name, CHALLENGER)
        self._install(promoted)
        return promoted

    def refuse(self, version: ModelVersion, *, reason: str) -> ModelVersion:
        """Keep `version` as the challenger that was not promoted, and write why."""
        refused = replace(version, reason=reason)
        with quiet():
            self._tag(version, _REFUSED_TAG, reason)
            self._client.set_registered_model_alias(version.name, CHALLENGER, version.version)
        folder, _ = self._local.store(version.name, version.version, version.folder)
        self._local.point(refused, folder, alias=CHALLENGER)
        return refused

    def champion(self, name: str) -> ModelVersion | None:
        """Return the champion's version from the last good local copy, or None before a fit.

        Raises
        ------
        ModelError
            When there is no good local copy and the tracking server cannot be read, or
            (`LostModelError`) has no good one either.
        UnavailableError
            When there is no good local copy and the artifact store does not give its own.
        """
        good = self._local.good_copy(name)
        if good is None:
            return self.refresh(name) if self._tracking_may_answer() else None
        return good

    def challenger(self, name: str) -> ModelVersion | None:
        """Return the version that was refused last, as far as none was promoted since."""
        return self._local.good_copy(name, CHALLENGER)

    def has(self, version: ModelVersion) -> bool:
        """Return whether the version is on disk, or known to the tracking server."""
        if self._local.folder(version.name, version.folder).is_dir():
            return True
        if not self._tracking_may_answer():
            return False
        from mlflow.exceptions import MlflowException

        try:
            with quiet():
                self._client.get_model_version(version.name, version.version)
        except MlflowException:
            return False
        return True

    def load(self, version: ModelVersion) -> Model:
        """Return the model of `version`, fetched again where its local copy is gone or changed.

        Raises
        ------
        ModelError
            When the tracking server has no copy that is as it was registered.
        """
        folder = self._local.folder(version.name, version.folder)
        if not self._local.is_good(folder):
            folder = self._fetched_again(version, folder)
        head = read_head(folder)
        return self._loader(head["name"], head["kind"]).load(folder)

    def _fetched_again(self, version: ModelVersion, folder: Path) -> Path:
        from mlflow.exceptions import MlflowException

        what = "was changed after it was registered" if folder.is_dir() else "is not on disk"
        try:
            if not self._tracking_may_answer():
                raise FileNotFoundError("there is no tracking database")
            with quiet():
                found = self._client.get_model_version(version.name, version.version)
            return self._fetch(found).folder
        except (MlflowException, OSError) as error:
            raise ModelError(
                f"version {version.version} of the model {version.name!r} {what}",
                expected="files with the SHA-256 of their registration, here or on the "
                "tracking server",
                found=str(error).partition("\n")[0],
                next_step="start the tracking server, or train again",
            ) from error

    # -- beyond the port --------------------------------------------------------------

    def versions(self, name: str) -> list[dict[str, str]]:
        """Return every version of a model, the latest first: what `nba experiment models` shows."""
        if not self._tracking_may_answer():
            return []
        with quiet():
            found = self._client.search_model_versions(f"name = '{name}'", max_results=1000)
            aliases = {
                alias: str(one.version)
                for alias in (CHAMPION, CHALLENGER)
                if (one := self._aliased(name, alias)) is not None
            }
        rows = [
            {
                "model": name,
                "version": str(one.version),
                "kind": one.tags.get("kind", ""),
                "as_of": one.tags.get(_AS_OF_TAG, ""),
                "alias": ", ".join(a for a, v in aliases.items() if v == str(one.version)),
                "reason": one.tags.get(_REASON_TAG) or one.tags.get(_REFUSED_TAG, ""),
                "run_id": one.run_id,
            }
            for one in found
        ]
        return sorted(rows, key=lambda row: -int(row["version"]))

    def version(self, name: str, number: str) -> ModelVersion:
        """Return a version by its number, fetched where it is not here.

        Raises
        ------
        NotFoundError
            When there is no such version.
        """
        known = {row["version"] for row in self.versions(name)}
        if number not in known:
            raise NotFoundError(
                f"there is no version {number} of the model {name!r}",
                expected=f"one of {', '.join(sorted(known, key=int)) or 'none'}",
                next_step="`nba experiment models` lists them",
            )
        with quiet():
            found = self._client.get_model_version(name, number)
        refused = found.tags.get(_REFUSED_TAG, "")
        return replace(self._fetch(found), reason=refused)

    def before(self, version: ModelVersion) -> str:
        """Return the number of the version that was champion before `version`; empty: none."""
        with quiet():
            found = self._client.get_model_version(version.name, version.version)
        return str(found.tags.get(_BEFORE_TAG, ""))

    def refresh(self, name: str) -> ModelVersion | None:
        """Fetch the champion that the tracking server names and return it, or None."""
        found = self._server_champion(name)
        if found is None:
            return None
        version = self._fetch(found)
        self._install(version)
        return version

    def erase(self, leaving: Leaving) -> Tally:
        """Take customers' ids out of every model that is kept, here and in the artifact store.

        Raises
        ------
        ModelError
            When the tracking server does not answer.
        """
        tally = Tally()
        for folder in self._local.folders():
            if self._take_out(folder, leaving, tally):
                self._local.amended(folder)
        if self._tracking_may_answer():
            from mlflow.exceptions import MlflowException

            try:
                with quiet():
                    for found in self._versions():
                        self._erase_artifacts(found, leaving, tally)
            except MlflowException as error:
                raise ModelError(
                    "the models of the tracking server cannot be searched for erased customers",
                    expected="a tracking server that answers",
                    found=str(error).partition("\n")[0],
                    next_step="start it; the next night goes on with the erasure",
                ) from error
        return tally

    # -- inside -----------------------------------------------------------------------

    def _take_out(self, folder: Path, leaving: Leaving, tally: Tally) -> bool:
        """Take the ids out of one saved model; return whether it held any."""
        head = read_head(folder)
        found = self._loader(head["name"], head["kind"]).erase(folder, leaving.customer_ids)
        return tally.add((one, 1) for one in found)

    def _versions(self) -> Iterator[Any]:
        """Yield every version of every registered model."""
        for model in self._client.search_registered_models(max_results=1000):
            yield from self._client.search_model_versions(
                f"name = '{model.name}'", max_results=10_000
            )

    def _erase_artifacts(self, found: Any, leaving: Leaving, tally: Tally) -> None:
        """Take the ids out of the artifacts of one version, and note their new SHA-256."""
        import mlflow.artifacts

        is_local = found.source.startswith("file:")
        with tempfile.TemporaryDirectory(prefix="nba-model-") as scratch:
            if is_local:
                folder = Path(url2pathname(urlparse(found.source).path)) / _ARTIFACT
                if not folder.is_dir():
                    return
            else:
                folder = Path(
                    mlflow.artifacts.download_artifacts(
                        artifact_uri=f"{found.source}/{_ARTIFACT}",
                        dst_path=str(Path(scratch) / "artifacts"),
                        tracking_uri=self._uri,
                    )
                )
            if not self._take_out(folder, leaving, tally):
                return
            if not is_local:
                self._client.log_model_artifacts(found.model_id, scratch)
            digest = folder_digest(folder)
        self._client.set_model_version_tag(found.name, found.version, _SHA_TAG, digest)

    @property
    def _client(self) -> Any:
        if self._client_made is None:
            from mlflow.tracking import MlflowClient

            path = self._sqlite_path()
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                follow(path)
            self._client_made = MlflowClient(tracking_uri=self._uri, registry_uri=self._uri)
        return self._client_made

    def _sqlite_path(self) -> Path | None:
        prefix = "sqlite:///"
        return Path(self._uri.removeprefix(prefix)) if self._uri.startswith(prefix) else None

    def _tracking_may_answer(self) -> bool:
        """Return False for a SQLite file that does not exist: asking would create it."""
        path = self._sqlite_path()
        return path is None or path.exists()

    def _experiment_of_runs(self) -> str:
        if self._experiment_id is None:
            known = self._client.get_experiment_by_name(self._experiment)
            self._experiment_id = known.experiment_id if known else self._create_experiment()
        return self._experiment_id

    def _create_experiment(self) -> str:
        path = self._sqlite_path()
        location = (path.parent / ARTIFACTS).resolve().as_uri() if path else None
        return str(self._client.create_experiment(self._experiment, artifact_location=location))

    def _start_run(self, model: Model, fit: Fit) -> str:
        from mlflow.entities import Metric, Param, RunTag

        run = self._client.create_run(self._experiment_of_runs(), run_name=fit.story.title[:250])
        now = int(time.time() * 1000)
        tags = {
            "as_of": fit.as_of.isoformat(),
            "model": model.name,
            "kind": model.kind,
            **fit.story.tags,
        }
        if found := model.finding():
            tags["finding"] = found
        if fit.story.description:
            tags[_NOTE_TAG] = fit.story.description
        given = {**fit.parameters, "seed": fit.seed}
        self._client.log_batch(
            run.info.run_id,
            metrics=[Metric(key, float(value), now, 0) for key, value in fit.metrics.items()],
            params=[Param(key, _text(value)) for key, value in given.items()],
            tags=[RunTag(key, value) for key, value in tags.items()],
        )
        return str(run.info.run_id)

    def _log_story(self, run_id: str, story: FitStory, folder: Path) -> None:
        """Keep the datasets, cards, tables and pictures of a fit with its run."""
        if story.rows:
            self._client.log_inputs(run_id, _datasets(story))
        if not (story.card or story.tables):
            return
        folder.mkdir()
        for language, card in story.card.items():
            (folder / f"card.{language}.md").write_text(card, encoding="utf-8")
        for name, table in story.tables.items():
            table.write_csv(folder / f"{name}.csv")
        for name, draw in story.pictures.items():
            figure = draw()
            if figure is not None:
                figure.savefig(folder / f"{name}.png", dpi=120)
        self._client.log_artifacts(run_id, str(folder))
        for name, table in story.evaluation.items():
            columns = table.to_dict(as_series=False)
            self._client.log_table(run_id, columns, f"evaluation/{name}.json")

    def _aliased(self, name: str, alias: str) -> Any:
        """Return the version under an alias on the server, or None."""
        from mlflow.exceptions import MlflowException

        try:
            return self._client.get_model_version_by_alias(name, alias)
        except MlflowException:
            return None

    def _tag(self, version: ModelVersion, name: str, value: str) -> None:
        """Write a tag to a version and to its run."""
        if value:
            self._client.set_model_version_tag(version.name, version.version, name, value)
            self._client.set_tag(version.run_id, name, value)

    def _log_version(self, model: Model, fit: Fit, saved: Path, run_id: str, package: Path) -> str:
        import mlflow.pyfunc
        from mlflow.exceptions import MlflowException

        loader = f"{self._loader.__module__}:{self._loader.__qualname__}"
        mlflow.pyfunc.save_model(
            str(package),
            python_model=str(Path(__file__).with_name("pyfunc_model.py")),
            artifacts={"model": str(saved)},
            model_config={"loader": loader},
            pip_requirements=["nba"],
        )
        logged = self._client.create_logged_model(
            self._experiment_of_runs(), name=model.name, source_run_id=run_id, model_type="nba"
        )
        self._client.log_model_artifacts(logged.model_id, str(package))
        logged = self._client.finalize_logged_model(logged.model_id, "READY")
        try:
            self._client.create_registered_model(model.name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        version = self._client.create_model_version(
            model.name,
            source=logged.artifact_location,
            run_id=run_id,
            model_id=logged.model_id,
            description=fit.story.description or None,
            tags={
                "kind": model.kind,
                _SHA_TAG: folder_digest(saved),
                _AS_OF_TAG: fit.as_of.isoformat(),
                _CONFIG_TAG: fit.config_digest,
            },
        )
        return str(version.version)

    def _install(self, version: ModelVersion) -> None:
        folder, _ = self._local.store(version.name, version.version, version.folder)
        self._local.point(version, folder)

    def _fetch(self, found: Any) -> ModelVersion:
        """Bring a version from the artifact store to local disk, checked by its SHA-256."""
        with quiet(), tempfile.TemporaryDirectory(prefix="nba-model-") as scratch:
            import mlflow.artifacts
            from mlflow.exceptions import MlflowException

            source = f"{found.source}/{_ARTIFACT}"
            try:
                fetched = mlflow.artifacts.download_artifacts(
                    artifact_uri=source, dst_path=scratch, tracking_uri=self._uri
                )
            except (MlflowException, OSError) as error:
                raise self._not_fetched(found, source, error) from error
            self._check(found, Path(fetched))
            folder, _ = self._local.store(found.name, str(found.version), Path(fetched))
        return ModelVersion(
            name=found.name,
            version=str(found.version),
            run_id=found.run_id,
            folder=folder,
            as_of=datetime.fromisoformat(found.tags[_AS_OF_TAG]),
            config_digest=found.tags[_CONFIG_TAG],
        )

    def _not_fetched(self, found: Any, source: str, error: Exception) -> NbaError:
        """Return that the files are lost, or, where they may be there, that they are away."""
        import mlflow.artifacts
        from mlflow.exceptions import MlflowException

        what = f"version {found.version} of the model {found.name!r} cannot be fetched"
        expected, reason = f"its files in {source}", str(error).partition("\n")[0]
        try:
            gone = not mlflow.artifacts.list_artifacts(artifact_uri=source, tracking_uri=self._uri)
        except (MlflowException, OSError):
            gone = False
        if not gone:
            hint = "look at the artifact store; the night tries again"
            return UnavailableError(what, expected=expected, found=reason, next_step=hint)
        hint = "train again, or restore the artifact store"
        return LostModelError(what, expected=expected, found=reason, next_step=hint)

    def _server_champion(self, name: str) -> Any:
        """Return the version under the champion alias, or None; `ModelError` if unreachable."""
        from mlflow.exceptions import MlflowException

        try:
            with quiet():
                return self._client.get_model_version_by_alias(name, CHAMPION)
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise self._unreadable(name, str(error)) from error

    def _check(self, found: Any, fetched: Path) -> None:
        expected, actual = found.tags.get(_SHA_TAG), folder_digest(fetched)
        if expected != actual:
            raise LostModelError(
                f"version {found.version} of the model {found.name!r} was changed after it "
                "was registered",
                expected=f"files with SHA-256 {expected}",
                found=actual,
                next_step="train again, or restore the artifact store",
            )

    def _unreadable(self, name: str, reason: str) -> ModelError:
        return ModelError(
            f"there is no champion of {name!r} to load",
            expected="a good local copy, or a tracking server that answers",
            found=reason,
            next_step="start the tracking server, or train again",
        )


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence MLflow's own log and warnings: its outcome is what counts here."""
    os.environ.update(_ENVIRONMENT)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import_module("mlflow.pyfunc")  # configures the loggers whose levels are then set
        loggers = [logging.getLogger(name) for name in ("mlflow", "alembic")]
        levels = [logger.level for logger in loggers]
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _datasets(story: FitStory) -> list[Any]:
    """Return the tables that were learned from, as MLflow notes datasets."""
    from mlflow.entities import Dataset, DatasetInput

    return [
        DatasetInput(
            Dataset(
                name=name,
                digest=story.digest[:32] or "unknown",
                source_type="lake",
                source=json.dumps({"lake": story.digest, "table": name}),
                profile=json.dumps({"num_rows": rows}),
            )
        )
        for name, rows in story.rows.items()
    ]
