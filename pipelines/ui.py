"""The MLflow user interface on the store that the runs are logged to."""

import os
import socket
import sys
from pathlib import Path

from seqloom.pipelines.delivery import prepare_environment
from seqloom.pipelines.errors import UserError


def serve_ui(runs_dir: Path, port: int) -> None:
    """Become MLflow's server on `runs_dir`'s store, or name the one there is.

    `MLFLOW_TRACKING_URI` wins over `<runs_dir>/mlflow.db`. An http address is a server
    that runs already: it is named, and none is started.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or _local_store(runs_dir)
    if uri.startswith(("http://", "https://")):
        print(f"MLFLOW_TRACKING_URI names a server that runs already: open {uri}")
        return
    if not _free(port):
        raise UserError(
            f"Port {port} is in use. Take another: make ui PORT={port + 1}, or "
            f"seqloom ui --port {port + 1}."
        )
    print(f"MLflow on {uri}: http://127.0.0.1:{port} (Ctrl-C ends it)")
    for name, page in _pages(uri):
        print(f"  {name:12} http://127.0.0.1:{port}/{page}")
    sys.stdout.flush()
    command = server_command(uri, runs_dir / "mlflow-artifacts", port)
    os.execve(sys.executable, command, {**os.environ, **SERVER_ENVIRONMENT})


SERVER_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    # Eight more processes, for jobs on language models: 1.5 GB for nothing here.
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
}


def server_command(uri: str, artifacts_dir: Path, port: int) -> list[str]:
    """The command line of MLflow's server, for this computer alone."""
    return [
        *(sys.executable, "-m", "mlflow", "server"),
        *("--backend-store-uri", uri),
        *("--artifacts-destination", str(artifacts_dir.resolve())),
        *("--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        # Quiet, also at Ctrl-C; and without a look for containers to clean up.
        *("--uvicorn-opts", "--lifespan off --log-level warning"),
    ]


def _pages(uri: str) -> list[tuple[str, str]]:
    """Each experiment that has runs, and where they are shown.

    Whoever comes by MLflow's start page is shown traces of language models instead,
    whatever an experiment's tags say.
    """
    prepare_environment()
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    client = MlflowClient(uri)
    page = "#/experiments/{}/runs?workflowType=machine_learning"
    try:
        return [
            (experiment.name, page.format(experiment.experiment_id))
            for experiment in client.search_experiments(order_by=["name ASC"])
            if client.search_runs([experiment.experiment_id], max_results=1)
        ]
    except MlflowException as error:
        raise UserError(f"MLflow cannot read {uri}: {error}") from error


def _local_store(runs_dir: Path) -> str:
    database = runs_dir / "mlflow.db"
    if not database.is_file():
        raise UserError(
            f"There is no {database}: nothing has been tracked here yet. Train first "
            "(make train TASK=ner), or go to the folder where you trained."
        )
    return f"sqlite:///{database}"


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
