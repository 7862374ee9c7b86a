"""What is kept, shared through a prefix: whole versions, one writer, nothing lost, nothing left."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from nba.errors import ConfigError, ConflictError, LockHeldError, NbaError, UnavailableError
from nba.stores import working_copy
from nba.stores.lock import project_lock
from nba.stores.prefix import Prefix
from nba.stores.run_folders import RunFolders
from nba.stores.working_copy import CURRENT, WorkingCopy

LAKE = "lake/manifest.json"
TABLE = pl.DataFrame({"customer_id": ["c1"], "action_id": ["a1"]})
KEPT = {
    LAKE: "{}",
    "lake/tables/stores/all/1.parquet": "rows",
    "features/manifests/20260302T000000.json": "{}",
    "features/clerk/as_of=20260302T000000/part-0.parquet": "rows",
    "models/timing/1-54c640dbfa4b/model.txt": "trees",
    "models/timing/1-54c640dbfa4b.sha256": "digest",
    "models/timing/champion.json": "{}",
    "runs/2026-03-02/plan/actions.parquet": "rows",
    "experiments/lists.json": "a live test",
}
LEFT = (
    "secret",
    "operational.db",
    "feast/online.db",
    "lake/.lock",
    "lake/scratch/1/part",
    "features/fresh.duckdb",
    "features/staging/20260302T000000/clerk/part-0.parquet",
)


class Machines:
    """Working copies of one prefix, each in a folder of its own."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.prefix = Prefix.at(url)
        self.folder = folder

    def of(self, name: str, *, keep_days: int = 92) -> WorkingCopy:
        return WorkingCopy(Prefix.at(self.url), self.data(name), keep_days=keep_days)

    def data(self, name: str) -> Path:
        return self.folder / name / "data"

    def write(self, name: str, path: str, content: str) -> None:
        file = self.data(name) / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)

    def read(self, name: str) -> dict[str, str]:
        data = self.data(name)
        return {
            str(file.relative_to(data)): file.read_text()
            for top in ("lake", "features", "models", "runs", "experiments")
            for file in sorted((data / top).rglob("*"))
            if file.is_file()
        }


@pytest.fixture
def machines(storage_url: str, tmp_path: Path) -> Machines:
    """Return machines of which `one` has sent a first version."""
    made = Machines(storage_url, tmp_path)
    for path, content in KEPT.items():
        made.write("one", path, content)
    for path in LEFT:
        made.write("one", path, "not to be sent")
    with made.of("one").writing():
        pass
    return made


def test_another_machine_gets_what_is_kept_and_nothing_else(machines: Machines) -> None:
    assert machines.of("two").refresh()
    assert machines.read("two") == KEPT
    with project_lock(machines.data("one")):
        assert not machines.of("one").refresh(), "nothing is new"
    with machines.of("two").writing():
        machines.write("two", "runs/2026-03-03/plan/actions.parquet", "more")
        (machines.data("two") / "models/timing/champion.json").unlink()
    assert machines.of("one").refresh()
    here = machines.read("one")
    assert here["runs/2026-03-03/plan/actions.parquet"] == "more"
    assert "models/timing/champion.json" not in here
    assert {path: here[path] for path in LEFT if path in here} == {
        path: "not to be sent" for path in LEFT if path.startswith(("lake", "features"))
    }


def test_what_was_sent_in_part_is_not_there(
    machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Prefix.write

    def broken_off(self: Prefix, name: str, content: bytes) -> None:
        if name == CURRENT:
            raise UnavailableError("gone")
        whole(self, name, content)

    monkeypatch.setattr(Prefix, "write", broken_off)
    with pytest.raises(UnavailableError), machines.of("one").writing():
        machines.write("one", LAKE, "newer")
    monkeypatch.undo()
    machines.of("two").refresh()
    assert machines.read("two") == KEPT
    with machines.of("one").writing():
        pass
    machines.of("two").refresh()
    assert machines.read("two")[LAKE] == "newer"


def test_a_version_whose_note_was_lost_is_taken_up(machines: Machines) -> None:
    index = machines.data("one") / working_copy.INDEX
    before = index.read_text()
    with machines.of("one").writing():
        machines.write("one", LAKE, "newer")
    index.write_text(before)
    with machines.of("one").writing():
        assert machines.read("one")[LAKE] == "newer"
    assert machines.of("one").version.number == 2


def test_one_writes_at_a_time(machines: Machines, monkeypatch: pytest.MonkeyPatch) -> None:
    with machines.of("one").writing():
        with pytest.raises(LockHeldError, match="process") as raised, machines.of("two").writing():
            pass
        assert raised.value.exit_code == 75
        assert machines.of("two").refresh(), "who only reads is not kept out"
    with machines.of("two").writing():
        pass
    assert not machines.prefix.list("locks")
    # one that was killed is forgotten after a while, and keeps its own machine from nothing
    machines.prefix.write("locks/killed.json", b"{}")
    with pytest.raises(LockHeldError), machines.of("two").writing():
        pass
    monkeypatch.setattr(working_copy, "LEASE_SECONDS", -5.0)
    with machines.of("two").writing():
        pass
    assert not machines.prefix.list("locks")


def test_a_killed_writer_goes_on_at_once(machines: Machines) -> None:
    machines.prefix.write(machines.of("one").lease, b"{}")
    with machines.of("one").writing():
        pass


def test_what_was_not_sent_gives_way_to_what_was(machines: Machines) -> None:
    machines.of("two").refresh()
    machines.write("one", LAKE, "not sent")
    machines.write("one", "runs/2026-03-03/scores/timing.parquet", "not sent")
    with machines.of("two").writing():
        machines.write("two", LAKE, "sent")
    with pytest.raises(ConflictError, match="newer version"):
        machines.of("one").push()
    with machines.of("one").writing():
        assert machines.read("one") == {**KEPT, LAKE: "sent"} | {
            path: "not to be sent" for path in LEFT if path.startswith(("lake", "features"))
        }


def test_older_runs_are_fetched_when_they_are_asked_for(machines: Machines) -> None:
    runs = RunFolders(machines.data("one") / "runs", machines.of("one", keep_days=2))
    days = [date(2026, 3, day) for day in (2, 3, 4, 5)]
    with machines.of("one", keep_days=2).writing():
        for day in days:
            runs.of(day).write("plan/actions", TABLE)
    here = machines.data("one") / "runs"
    assert sorted(path.name for path in here.iterdir()) == [
        "2026-03-03",
        "2026-03-04",
        "2026-03-05",
    ]
    assert runs.planned_days() == days
    assert runs.planned(days[0]).read("plan/actions").equals(TABLE)
    with machines.of("one", keep_days=2).writing():
        pass
    assert not (here / "2026-03-02").exists()
    assert machines.of("one").version.days() == days, "what is not here stays in the storage"
    assert len(runs.action_ids([])) == 0
    assert (here / "2026-03-02").exists(), "an erasure looks at every run"


def test_what_no_version_needs_goes(machines: Machines, monkeypatch: pytest.MonkeyPatch) -> None:
    with machines.of("one").writing():
        machines.write("one", "lake/tables/stores/all/1.parquet", "other rows")
    assert len(objects(machines)) == len(KEPT) + 1, "who reads the version before may go on"
    monkeypatch.setattr(working_copy, "GRACE_SECONDS", -1.0)
    with machines.of("one").writing():
        machines.write("one", LAKE, "newer")
    with machines.of("one").writing():
        pass
    assert len(objects(machines)) == len(KEPT)
    machines.prefix.write("lake/tables/left-by-a-crash", b"rows of an erased customer")
    machines.of("one").push(purge=True)
    assert len(objects(machines)) == len(KEPT)


def objects(machines: Machines) -> list[str]:
    return [name for name in machines.prefix.list() if name != CURRENT]


def test_an_object_that_was_changed_is_refused(machines: Machines) -> None:
    (name,) = (one for one in objects(machines) if one.endswith("model.txt"))
    machines.prefix.write(name, b"other trees")
    with pytest.raises(NbaError, match="was changed"):
        machines.of("two").refresh()


def test_two_places_are_not_mixed(machines: Machines, tmp_path: Path) -> None:
    machines.write("other", LAKE, "a lake of its own")
    with pytest.raises(ConfigError, match="different tables"):
        machines.of("other").refresh()
    machines.write("moved", LAKE, KEPT[LAKE])
    machines.of("moved").refresh()
    assert machines.read("moved") == KEPT
    elsewhere = Machines((tmp_path / "elsewhere").as_uri(), tmp_path)
    with pytest.raises(ConfigError, match="is empty"), elsewhere.of("one").writing():
        pass
    with elsewhere.of("third").writing():
        pass
    machines.write("third", LAKE, "x")
    with elsewhere.of("third").writing():
        pass
    with pytest.raises(ConfigError, match="another prefix"):
        elsewhere.of("one").refresh()


def test_a_storage_that_is_away_is_told(
    s3_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    copy = WorkingCopy(Prefix.at(f"{s3_bucket}/x"), tmp_path, keep_days=1)
    with pytest.raises(UnavailableError, match="storage_url"):
        copy.refresh()
    monkeypatch.undo()
    missing = WorkingCopy(Prefix.at("s3://no-such-bucket/x"), tmp_path, keep_days=1)
    with pytest.raises(UnavailableError), missing.writing():
        pass
