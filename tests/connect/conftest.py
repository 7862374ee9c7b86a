"""A receiver of webhooks on the loopback address."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from tests.jobs.test_alerts import Receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()
