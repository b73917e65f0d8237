"""A small finished run, and a server of some pages in a thread, asked over real HTTP."""

from __future__ import annotations

import http.client
import importlib
import importlib.util
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

import imagelab
from imagelab import Experiment, Gaussian, Runtime, Textures
from imagelab.server.app import Site, application

TOKEN = "a-token-for-tests"


def small(runs: Path, **changes: Any) -> Experiment:
    """A loop of a closed form that takes a second."""
    settings: dict[str, Any] = {
        "name": "small",
        "data": Textures(size=16),
        "generator": Gaussian(components=8),
        "generations": 2,
        "images": 24,
        "heldout": 24,
        "tracked": 4,
        "metrics": ("pixel_variance",),
        "runtime": Runtime(device="cpu", runs=runs, workers=1),
    }
    return Experiment(**{**settings, **changes})


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run; for tests that change nothing in it."""
    return imagelab.run(small(tmp_path_factory.mktemp("runs"))).path


@pytest.fixture
def a_run(finished_run: Path, tmp_path: Path) -> Path:
    """A copy of the finished run."""
    return Path(shutil.copytree(finished_run, tmp_path / "runs" / finished_run.name))


@dataclass
class Client:
    """Asks a server; with its cookie unless another one is given."""

    site: Site
    headers: dict[str, str] = field(default_factory=dict)

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body of the response, as they were sent."""
        connection = http.client.HTTPConnection("127.0.0.1", self.site.port, timeout=20)
        given = {"Cookie": f"{self.site.cookie}={TOKEN}", **self.headers, **(headers or {})}
        try:
            connection.putrequest(method, path, skip_host="Host" in given, skip_accept_encoding=True)
            for name, value in given.items():
                connection.putheader(name, value)
            if body is not None and "Content-Length" not in given:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        return self.ask("GET", path, headers=headers)

    def post(self, path: str, fields: Mapping[str, str], **headers: str) -> tuple[int, dict[str, str], bytes]:
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return self.ask("POST", path, urlencode(fields).encode(), {**kind, **headers})


@pytest.fixture
def serve() -> Iterator[Callable[[Sequence[Any]], Client]]:
    """Return a function that serves routes in a thread until the test ends."""
    uvicorn: Any = importlib.import_module("uvicorn")
    running: list[tuple[Any, threading.Thread, Any]] = []

    def start(routes: Sequence[Any]) -> Client:
        import socket

        sock = socket.create_server(("127.0.0.1", 0))
        site = Site(sock.getsockname()[1], TOKEN)
        settings = {"log_level": "critical", "server_header": False, "date_header": False, "lifespan": "off"}
        server = uvicorn.Server(uvicorn.Config(application(site, routes), **settings))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        running.append((server, thread, sock))
        return Client(site)

    yield start
    for server, thread, sock in running:
        server.should_exit = True
        thread.join(10)
        sock.close()
