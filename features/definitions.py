"""What the `feast` command sees in this folder: every object of the project.

They are generated from the views in `nba.features`, from `services.yaml` and from `tags.yaml`.
The `nba` command registers them by itself; this file is for `feast plan`, `feast ui` and the
like, run in this folder.
"""

from pathlib import Path

from nba.stores.feature_repository import open_repository

globals().update(
    {
        f"{type(item).__name__}_{item.name}".lower(): item
        for item in open_repository(Path(__file__).resolve().parent).objects()
    }
)
