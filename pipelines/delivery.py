"""What each event of the spool means as a call to MLflow.

Every call may be repeated without harm, since an event can be sent twice when the
process dies between sending it and noting so.
"""

import json
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqloom.pipelines.spool import MAX_PARAMS, Event

if TYPE_CHECKING:
    from mlflow import MlflowClient

RUN_TAG = "seqloom.run_id"
# The UI opens on training runs and curves, not on traces of language models.
EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}

# Answers that stay the same however often one asks. Anything else (no connection, a
# server error, missing rights, a full disk) may pass.
_PERMANENT = {
    "BAD_REQUEST",
    "ENDPOINT_NOT_FOUND",
    "INVALID_PARAMETER_VALUE",
    "MALFORMED_REQUEST",
    "NOT_FOUND",
    "NOT_IMPLEMENTED",
    "RESOURCE_ALREADY_EXISTS",
    "RESOURCE_DOES_NOT_EXIST",
}


class Unavailable(Exception):
    """The tracking server cannot be reached or does not work at the moment."""


class Rejected(Exception):
    """The tracking server has said no to an event, and will say so again."""


def prepare_environment() -> None:
    """Settings that MLflow reads from the environment; the user's own ones win."""
    defaults = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_LOGGING_LEVEL": "WARNING",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


class Delivery:
    """One run of ours on one tracking server.

    Args:
        uri: Tracking address as MLflow takes it.
        run_dir: Directory that the paths in events are relative to.
    """

    def __init__(self, uri: str, run_dir: Path):
        self.uri = uri
        self.run_dir = run_dir
        self.experiment_id = ""
        self.run_id = ""
        self._client: MlflowClient | None = None

    @property
    def client(self) -> "MlflowClient":
        """The MLflow client; the import and a new database take about three seconds."""
        if self._client is None:
            prepare_environment()
            import mlflow

            # The pool's warnings would repeat in MLflow's own error.
            logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
            self._client = mlflow.MlflowClient(self.uri)
        return self._client

    def find(self, run_id: str) -> bool:
        """Go on with the MLflow run `run_id`; False if it is gone."""
        with _translated(permanent=False):
            try:
                info = self.client.get_run(run_id).info
            except Exception as error:
                if _code(error) != "RESOURCE_DOES_NOT_EXIST":
                    raise
                return False
        if info.lifecycle_stage != "active":
            return False
        self.experiment_id, self.run_id = info.experiment_id, run_id
        return True

    def create(self, event: Event) -> None:
        """Find the MLflow run that carries our run id, or create it."""
        with _translated(permanent=False):
            self.experiment_id = self._experiment(event["experiment"])
            found = self.client.search_runs(
                [self.experiment_id],
                filter_string=f"tags.`{RUN_TAG}` = '{event['run']}'",
                max_results=1,
            )
            run = found[0] if found else self._create_run(event)
            self.run_id = run.info.run_id

    def send(self, events: list[Event]) -> None:
        """Send metrics events in one call, or one event of another kind.

        Raises:
            Rejected: MLflow refuses it for good.
            Unavailable: It could not be sent now.
        """
        op = events[0]["op"]
        if op == "create":
            return self.create(events[0])
        with _translated():
            if op == "metrics":
                return self._metrics(events)
            handlers = {
                "params": self._params,
                "tags": self._tags,
                "dataset": self._dataset,
                "artifact": self._artifact,
                "table": self._table,
                "model": self._model,
                "status": self._status,
            }
            if op not in handlers:
                raise Rejected(f"it is not an event that can be sent ({op})")
            return handlers[op](events[0])

    def answers(self) -> bool:
        """Whether the server answers a simple question now."""
        try:
            self.client.search_experiments(max_results=1)
        except Exception:
            return False
        return True

    def _experiment(self, name: str) -> str:
        found = self.client.get_experiment_by_name(name)
        if found is None:
            try:
                location = artifact_location(self.uri)
                return self.client.create_experiment(
                    name, artifact_location=location, tags=EXPERIMENT_TAGS
                )
            except Exception as error:  # another run may have been faster
                if _code(error) != "RESOURCE_ALREADY_EXISTS":
                    raise
                found = self.client.get_experiment_by_name(name)
        if found.lifecycle_stage != "active":
            raise Unavailable(
                f"the experiment '{name}' is deleted there; bring it back with "
                f"`mlflow experiments restore -x {found.experiment_id}` or set "
                "tracking.experiment to another name"
            )
        return found.experiment_id

    def _create_run(self, event: Event) -> Any:
        return self.client.create_run(
            self.experiment_id,
            start_time=event["time"],
            run_name=event["name"],
            tags={**event["tags"], RUN_TAG: event["run"]},
        )

    def _metrics(self, events: list[Event]) -> None:
        from mlflow.entities import Metric

        metrics = [
            Metric(key, float(value), event["time"], event["step"])
            for event in events
            for key, value in event["values"].items()
        ]
        self.client.log_batch(self.run_id, metrics=metrics)

    def _params(self, event: Event) -> None:
        from mlflow.entities import Param

        params = [Param(key, value) for key, value in event["params"].items()]
        for start in range(0, len(params), MAX_PARAMS):
            batch = params[start : start + MAX_PARAMS]
            self.client.log_batch(self.run_id, params=batch)

    def _tags(self, event: Event) -> None:
        from mlflow.entities import RunTag

        tags = [RunTag(key, value) for key, value in event["tags"].items()]
        for start in range(0, len(tags), MAX_PARAMS):
            self.client.log_batch(self.run_id, tags=tags[start : start + MAX_PARAMS])

    def _dataset(self, event: Event) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        dataset = Dataset(
            name=event["name"],
            digest=event["digest"],
            source_type=event["source_type"],
            source=json.dumps({"uri": event["source"]}),
            profile=json.dumps(event["profile"]),
        )
        context = InputTag("mlflow.data.context", event["context"])
        self.client.log_inputs(self.run_id, [DatasetInput(dataset, tags=[context])])

    def _artifact(self, event: Event) -> None:
        path = self.run_dir / event["path"]
        log = self.client.log_artifacts if path.is_dir() else self.client.log_artifact
        log(self.run_id, str(path), event["folder"])

    def _table(self, event: Event) -> None:
        """Upload the table and list it in the tag by which the UI knows tables.

        `MlflowClient.log_table` would append the rows again when it is called again.
        """
        self._artifact(event)
        path = f"{event['folder']}/{Path(event['path']).name}"
        tags = self.client.get_run(self.run_id).data.tags
        tables = json.loads(tags.get("mlflow.loggedArtifacts", "[]"))
        entry = {"path": path, "type": "table"}
        if entry not in tables:
            text = json.dumps([*tables, entry])
            self.client.set_tag(self.run_id, "mlflow.loggedArtifacts", text)

    def _model(self, event: Event) -> None:
        """Attach a model folder, as `mlflow.pyfunc.save_model` wrote it, to the run."""
        from mlflow.entities import LoggedModelOutput
        from mlflow.models import Model

        path = self.run_dir / event["path"]
        description = Model.load(str(path))
        logged = self._logged_model(event["name"])
        outputs = self.client.get_run(self.run_id).outputs
        known = [output.model_id for output in outputs.model_outputs] if outputs else []
        if logged.model_id not in known:
            output = LoggedModelOutput(logged.model_id, step=event["step"])
            self.client.log_outputs(self.run_id, [output])
        self.client.log_model_artifacts(logged.model_id, str(path))
        description.run_id = self.run_id
        description.model_id = description.model_uuid = logged.model_id
        description.artifact_path = logged.artifact_location
        with tempfile.TemporaryDirectory() as folder:  # the run's own copy stays as is
            description.save(f"{folder}/MLmodel")
            self.client.log_model_artifact(logged.model_id, f"{folder}/MLmodel")
        self.client.finalize_logged_model(logged.model_id, "READY")

    def _logged_model(self, name: str) -> Any:
        found = self.client.search_logged_models(
            [self.experiment_id],
            filter_string=f"source_run_id = '{self.run_id}' AND name = '{name}'",
        )
        if found:
            return found[0]
        return self.client.create_logged_model(
            self.experiment_id, name=name, source_run_id=self.run_id
        )

    def _status(self, event: Event) -> None:
        if event["status"] == "RUNNING":
            self.client.update_run(self.run_id, status="RUNNING")
        else:
            self.client.set_terminated(
                self.run_id, status=event["status"], end_time=event["time"]
            )


def artifact_location(uri: str) -> str | None:
    """Where a new experiment keeps its files: beside an sqlite store, else its choice.

    MLflow itself would take `./mlruns` of whatever directory it was started in.
    """
    if not uri.startswith("sqlite:///"):
        return None
    database = Path(uri.removeprefix("sqlite:///").partition("?")[0]).resolve()
    return str(database.parent / "mlflow-artifacts")


@contextmanager
def _translated(permanent: bool = True) -> Iterator[None]:
    """Turn whatever MLflow and its helpers raise into Rejected or Unavailable."""
    try:
        yield
    except (Rejected, Unavailable):
        raise
    except Exception as error:
        text = str(error) or repr(error)
        final = (
            _code(error) in _PERMANENT
            or _status_code(error) in (400, 404, 413)
            or isinstance(error, FileNotFoundError)
        )
        raise (Rejected if permanent and final else Unavailable)(text) from error


def _code(error: Exception) -> str:
    return str(getattr(error, "error_code", ""))


def _status_code(error: Exception) -> int:
    """The HTTP status of an error of `requests`, which artifact uploads raise."""
    response = getattr(error, "response", None)
    return int(getattr(response, "status_code", 0) or 0)
