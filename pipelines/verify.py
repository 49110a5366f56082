"""Checking that an export answers as the model in memory did.

`golden.json` holds inputs and what the model in memory gave for them; the reloaded
SavedModel and the MLflow model are asked the same: strings and integers must be equal,
scores to 1e-5, of what is above 1 that share of it. In a process of its own:

    python -m seqloom.pipelines.verify runs/ner/latest
"""

import base64
import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_text  # noqa: F401  registers the ops of the tokenizer

from seqloom.pipelines.errors import UserError
from seqloom.pipelines.mlflow_model import prediction_rows

SAVED_MODEL_FOLDER = "saved_model"
MLFLOW_FOLDER = "mlflow_model"
GOLDEN_FILE = "golden.json"
TOLERANCE = 1e-5


class VerificationError(UserError):
    """An exported model does not answer as the model it was made from."""


def verify(run_dir: Path, module: tf.Module | None = None) -> list[str]:
    """Compare the exports in a run directory with its golden examples.

    Args:
        run_dir: Holds saved_model/, golden.json and mlflow_model/.
        module: A serving module in memory to compare as well.

    Returns:
        What was compared, a line each.

    Raises:
        VerificationError: The first difference.
        UserError: Something is missing, or cannot be read.
    """
    golden = _read_golden(run_dir / GOLDEN_FILE)
    saved_model = run_dir / SAVED_MODEL_FOLDER
    if not (saved_model / "saved_model.pb").is_file():
        raise UserError(
            f"There is no SavedModel at {saved_model}. Export the run: make export "
            f"RUN={run_dir}"
        )
    loaded = tf.saved_model.load(str(saved_model))
    models: dict[str, Callable[[str], Any]] = {
        "the reloaded SavedModel": loaded.signatures.__getitem__
    }
    if module is not None:
        models["the model in memory"] = lambda name: getattr(module, name)
    done = []
    for title, function_of in models.items():
        for name, example in golden.items():
            outputs = plain(call_signature(function_of(name), example["inputs"]))
            compare(example["outputs"], outputs, f"{title}, signature {name}")
            done.append(f"{title}: {name} equal")
    _verify_pyfunc(run_dir / MLFLOW_FOLDER, golden["serving_default"])
    return [*done, "the MLflow model: equal"]


def _verify_pyfunc(folder: Path, example: Mapping) -> None:
    if not folder.is_dir():
        raise UserError(
            f"There is no MLflow model at {folder}. Export the run: make export "
            f"RUN={folder.parent}"
        )
    import mlflow  # takes seconds

    [questions] = example["inputs"].values()
    texts = decode(questions)
    outputs = {name: _array(values) for name, values in example["outputs"].items()}
    expected = prediction_rows(texts, outputs)
    answers = mlflow.pyfunc.load_model(str(folder)).predict(np.array(texts, object))
    for row, (want, got) in enumerate(
        zip(expected, answers.to_dict("records"), strict=True)
    ):
        want.pop("text", None)
        compare(want, got, f"the MLflow model, row {row}")


def call_signature(function: Any, inputs: Mapping[str, Any]) -> dict:
    """Call a signature with the inputs of a golden example."""
    return function(**{name: _tensor(value) for name, value in inputs.items()})


def _tensor(value: Any) -> tf.Tensor:
    """Of a list of strings or of integers, or of a number with its type."""
    if isinstance(value, Mapping):
        [(dtype, number)] = value.items()
        return tf.constant(number, dtype)
    if all(isinstance(item, str) for item in value):
        return tf.constant(decode(value), tf.string)
    return tf.constant(value, tf.int64)


def encode(values: Sequence[bytes]) -> list[str]:
    """Strings as golden inputs hold them: in base64, since they need not be UTF-8."""
    return [base64.b64encode(value).decode() for value in values]


def decode(values: Sequence[str]) -> list[bytes]:
    """What `encode` was given."""
    return [base64.b64decode(value) for value in values]


def plain(outputs: Mapping[str, Any]) -> dict[str, list]:
    """Output tensors as lists for JSON; strings come out of a graph as UTF-8.

    Infinity, which JSON lacks, is written as a string.
    """
    return {
        name: _plain(np.asarray(value).tolist())
        for name, value in sorted(outputs.items())
    }


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and math.isinf(value):
        return str(value)
    return value.decode() if isinstance(value, bytes) else value


def compare(expected: Any, got: Any, where: str) -> None:
    """Raise at the first difference between two JSON-like values."""
    if isinstance(expected, dict) and isinstance(got, dict):
        if set(expected) != set(got):
            raise _difference(where, sorted(expected), sorted(got))
        for name, value in expected.items():
            compare(value, got[name], f"{where}, {name}")
    elif isinstance(expected, list) and isinstance(got, list):
        if len(expected) != len(got):
            raise _difference(f"{where}, length", len(expected), len(got))
        for index, pair in enumerate(zip(expected, got, strict=True)):
            compare(*pair, f"{where}[{index}]")
    elif isinstance(expected, float) and isinstance(got, float):
        if not abs(expected - got) <= TOLERANCE * max(1.0, abs(expected)):  # or nan
            raise _difference(where, expected, got)
    elif expected != got:
        raise _difference(where, expected, got)


def _difference(where: str, expected: Any, got: Any) -> VerificationError:
    return VerificationError(
        f"The export does not answer as the model did when {GOLDEN_FILE} was written: "
        f"{where}: expected {expected!r}, got {got!r}. Do not use this export. Export "
        "the run again; if it differs again, the export of this model is at fault."
    )


def _read_golden(path: Path) -> dict[str, dict]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(
            f"There are no golden examples at {path}. Export the run: make export "
            f"RUN={path.parent}"
        ) from error
    except ValueError as error:
        raise UserError(
            f"{path} is no JSON file: {error}. Export the run again: make export "
            f"RUN={path.parent}"
        ) from error


def _array(values: list) -> np.ndarray:
    if values and isinstance(values[0], str):
        return np.array([value.encode() for value in values], object)
    return np.array(values)


def main() -> int:
    if len(sys.argv) != 2:
        print("Usage: python -m seqloom.pipelines.verify RUN", file=sys.stderr)
        return 2
    try:
        print("\n".join(verify(Path(sys.argv[1]))))
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
