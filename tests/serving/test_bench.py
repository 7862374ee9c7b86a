"""The bench's own parts: kinds of requests in turns, each sent to its server and counted."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from nba.errors import UnavailableError
from nba.serving.bench import Server, in_turns
from nba.serving.bench_copy import copied

ASKED: Counter[str] = Counter()


class Handler(BaseHTTPRequestHandler):
    """Answers `/slow` after a while, `/wrong` with an error, and all else at once."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        ASKED[self.path] += 1
        if self.path == "/slow":
            time.sleep(0.05)
        self.send_response(500 if self.path == "/wrong" else 200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    opened = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=opened.serve_forever, daemon=True).start()
    yield Server(opened.server_address[1], "key")
    opened.shutdown()
    opened.server_close()


def test_kinds_of_requests_are_measured_in_turns(server: Server) -> None:
    kinds = [(server, lambda path=path: ("GET", path, None)) for path in ("/quick", "/slow")]
    ASKED.clear()
    quick, slow = in_turns(kinds, seconds=0.4, connections=2)
    assert quick.p50 < slow.p50
    assert 50 <= slow.p50 <= slow.p99
    assert quick.rate > slow.rate > 0
    assert set(ASKED) == {"/quick", "/slow"}


def test_an_answer_that_is_none_ends_the_measurement(server: Server) -> None:
    with pytest.raises(UnavailableError, match="answered 500"):
        in_turns([(server, lambda: ("GET", "/wrong", None))], seconds=0.1, connections=1)


def test_a_bench_works_on_a_copy_of_a_project(tmp_path: Path) -> None:
    root = tmp_path / "shop"
    (root / "data" / "tmp").mkdir(parents=True)
    (root / "nba.yaml").write_text("{}")
    (root / "data" / "tmp" / "rest").write_text("x")
    database = root / "data" / "operational.db"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE rows AS SELECT 1 AS one")
        connection.commit()
        with copied(str(root)) as copy:
            with closing(sqlite3.connect(Path(copy, "data", "operational.db"))) as other:
                assert other.execute("SELECT one FROM rows").fetchall() == [(1,)]
                other.execute("DELETE FROM rows")
                other.commit()
            assert not Path(copy, "data", "tmp").exists()
        assert connection.execute("SELECT one FROM rows").fetchall() == [(1,)]
    assert not Path(copy).exists()
    assert [one.name for one in tmp_path.iterdir()] == ["shop"]


def test_a_store_that_is_elsewhere_is_not_copied(tmp_path: Path) -> None:
    (tmp_path / "nba.yaml").write_text(f"operational_url: sqlite:///{tmp_path}/elsewhere.db")
    for folder in (tmp_path, tmp_path / "none"):
        with copied(str(folder)) as given:
            assert given == str(folder)
