"""`nba experiment models|promote|rollback`: which version of a model serves, by hand."""

from __future__ import annotations

from nba.errors import ConflictError, NotFoundError, UsageError
from nba.models.version import ModelVersion
from nba.pipeline.train import MODELS
from nba.wiring import Wiring


def list_models(wiring: Wiring) -> list[dict[str, str]]:
    """Return every version of every model: alias, day, kind, and why it stands where it does."""
    return [row for name in MODELS for row in wiring.registry.versions(name)]


def model_lines(rows: list[dict[str, str]]) -> list[str]:
    """Return versions as lines for people."""
    return [
        f"{row['model']:<9} v{row['version']:<4} {row['alias']:<11} {row['as_of'][:10]}  "
        f"{row['kind']:<16} {row['reason']}".rstrip()
        for row in rows
    ] or ["no model was fitted yet"]


def promote(
    wiring: Wiring, name: str, *, number: str = "", reason: str, override: bool = False
) -> ModelVersion:
    """Make a version the champion, from the next night on.

    Parameters
    ----------
    wiring : Wiring
    name : str
        `timing`, `affinity` or `mode`.
    number : str
        The version; empty: the challenger.
    reason : str
        Written to the version and its run.
    override : bool
        Also where its trial refused it.

    Raises
    ------
    ConflictError
        When its trial refused it and `override` is not given.
    NotFoundError
        When there is no such version.
    """
    _known(name)
    with wiring.at_work():
        registry = wiring.registry
        if not number:
            challenger = registry.challenger(name)
            if challenger is None:
                raise NotFoundError(
                    f"there is no challenger of {name}",
                    expected="a version that was not promoted",
                    next_step="name one with --version; `nba experiment models` lists them",
                )
            number = challenger.version
        version = registry.version(name, number)
        if version.reason and not override:
            raise ConflictError(
                f"version {number} of {name} was not promoted",
                expected="a version that passed its trial",
                found=version.reason,
                next_step="change the model, or give --override with the reason",
            )
        return registry.promote(version, reason=f"promoted by hand: {reason}")


def rollback(wiring: Wiring, name: str, *, number: str = "", reason: str) -> ModelVersion:
    """Make an earlier version the champion and hold it until another is promoted by hand.

    Parameters
    ----------
    wiring : Wiring
    name : str
        `timing`, `affinity` or `mode`.
    number : str
        The version; empty: the champion before this one.
    reason : str
        Written to the version and its run.

    Raises
    ------
    NotFoundError
        When there was no champion before, or there is no such version.
    """
    _known(name)
    with wiring.at_work():
        registry = wiring.registry
        if not number:
            champion = registry.champion(name)
            number = registry.before(champion) if champion is not None else ""
            if not number:
                raise NotFoundError(
                    f"there was no champion of {name} before this one",
                    next_step="name a version; `nba experiment models` lists them",
                )
        version = registry.version(name, number)
        return registry.promote(version, reason=f"rolled back by hand: {reason}", pinned=True)


def describe_change(version: ModelVersion) -> str:
    """Return what to print after a change."""
    held = "; it stays until another is promoted by hand" if version.pinned else ""
    return (
        f"{version.name} v{version.version}, fitted at {version.as_of:%Y-%m-%d}, is the champion: "
        f"{version.reason}{held}. The next `nba run` scores with it; for a day that has a plan "
        "already: `nba run --as-of DAY --from train --force`"
    )


def _known(name: str) -> None:
    if name not in MODELS:
        raise UsageError(
            f"there is no model {name!r}", expected=f"one of {', '.join(MODELS)}", found=name
        )
