"""One MLflow store and one MLflow server for all tests of the tracking."""

import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from seqloom.pipelines import tracking
from seqloom.pipelines.delivery import prepare_environment
from seqloom.pipelines.ui import SERVER_ENVIRONMENT


@dataclass
class Settings:
    """The `tracking` section of a config."""

    uri: str | None = None
    enabled: bool = True
    experiment: str | None = "tests"
    system_metrics: bool = False
    log_every_steps: int = 1


@pytest.fixture
def tracking_settings() -> type[Settings]:
    return Settings


@pytest.fixture(scope="session")
def store_uri(tmp_path_factory) -> str:
    """An sqlite store of MLflow's, made once: that takes seconds."""
    prepare_environment()
    return f"sqlite:///{tmp_path_factory.mktemp('store')}/mlflow.db"


@pytest.fixture(scope="session")
def client(store_uri):
    """MLflow's own view of the store."""
    import mlflow

    return mlflow.MlflowClient(store_uri)


@pytest.fixture
def current_store(client, store_uri):
    """Makes the store the one that `import mlflow` means."""
    import mlflow

    mlflow.set_tracking_uri(store_uri)
    yield mlflow
    mlflow.set_tracking_uri(None)


@pytest.fixture
def run_dir(tmp_path, request) -> Path:
    """A new run directory; its name, the run's id, differs from test to test."""
    unique = f"{abs(hash(request.node.nodeid)):x}"[:8]
    path = tmp_path / "runs" / "ner" / f"20260101-120000-{unique}"
    path.mkdir(parents=True)
    return path


@pytest.fixture
def begin(run_dir) -> Iterator[Callable]:
    """Starts trackers, collects what they say, and ends them after the test."""
    started = []

    def start(settings, resume=False, folder=None):
        lines: list[str] = []
        tracker = tracking.start(
            settings, folder or run_dir, "ner", "a run", resume, say=lines.append
        )
        tracker.lines = lines
        started.append(tracker)
        return tracker

    yield start
    for tracker in started:
        tracker.close("KILLED", timeout_seconds=20)


@pytest.fixture(scope="session")
def server(store_uri) -> Iterator[int]:
    """Port of a real MLflow server on the store."""
    folder = Path(store_uri.removeprefix("sqlite:///")).parent
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", store_uri]
    command += ["--artifacts-destination", str(folder / "server-artifacts")]
    environment = {**os.environ, **SERVER_ENVIRONMENT}
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, env=environment
        )
    try:
        wait_until(lambda: _healthy(port), "the MLflow server to start", seconds=120)
        yield port
    finally:
        process.terminate()
        process.wait(timeout=30)


@pytest.fixture
def line(server) -> Iterator["Line"]:
    """A connection to the server that a test can cut."""
    line = Line(server)
    yield line
    line.cut()


class Line:
    """Passes bytes between clients and a server, until it is cut.

    `cut` refuses and breaks connections, as a server does that died; `freeze` takes
    connections and never answers, as an overloaded one does.
    """

    def __init__(self, target: int):
        self.target = target
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self.frozen = False
        self._sockets: list[socket.socket] = []
        self._listener: socket.socket | None = None
        self.mend()

    def mend(self) -> None:
        """Let connections through."""
        self.frozen = False
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(
            target=self._accept, args=(self._listener,), daemon=True
        ).start()

    def cut(self) -> None:
        """Break all connections and refuse new ones."""
        if self._listener:
            # Closing alone would leave the thread in `accept`, and the port open.
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        for end in self._sockets:
            end.close()
        self._sockets.clear()

    def freeze(self) -> None:
        """Take new connections, and answer nothing."""
        self.cut()
        self.mend()
        self.frozen = True

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            self._sockets.append(near)
            if self.frozen:
                continue
            far = socket.create_connection(("127.0.0.1", self.target))
            self._sockets.append(far)
            for source, drain in ((near, far), (far, near)):
                threading.Thread(
                    target=_pump, args=(source, drain), daemon=True
                ).start()


def _pump(source: socket.socket, drain: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            drain.sendall(data)
        drain.shutdown(socket.SHUT_WR)
    except OSError:
        for end in (source, drain):
            end.close()


def _healthy(port: int) -> bool:
    try:
        address = f"http://127.0.0.1:{port}/health"
        return urllib.request.urlopen(address, timeout=2).status == 200
    except OSError:
        return False


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.fixture
def dead_uri() -> str:
    """An address where nothing listens."""
    return f"http://127.0.0.1:{free_port()}"


@pytest.fixture
def wait_for() -> Callable:
    return wait_until


def wait_until(done: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Fail, rather than hang, if something does not come true."""
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            pytest.fail(f"waited {seconds} seconds for {what}")
        time.sleep(0.05)
