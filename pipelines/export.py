"""Exporting a trained model: SavedModel, golden examples, MLflow model, all verified.

In the run directory:

    saved_model/     raw strings or image bytes in, strings and scores out
    golden.json      inputs of every signature, and what the model in memory gave
    mlflow_model/    the SavedModel again, as an MLflow pyfunc (see mlflow_model.py)
"""

import shutil
import tempfile
from collections.abc import Collection, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from seqloom.pipelines import mlflow_model
from seqloom.pipelines.checkpoints import write_json
from seqloom.pipelines.delivery import prepare_environment
from seqloom.pipelines.errors import UserError
from seqloom.pipelines.golden import GOLDEN_SEARCH, GOLDEN_TEXTS, golden_images
from seqloom.pipelines.verify import (
    GOLDEN_FILE,
    MLFLOW_FOLDER,
    SAVED_MODEL_FOLDER,
    call_signature,
    encode,
    plain,
    verify,
)

if TYPE_CHECKING:
    from seqloom.pipelines.trained import Trained

SIGNATURES = ("serving_default", "tokens", "attention", "search", "score")
RUNTIME_PACKAGES = ("tensorflow", "tensorflow-text", "mlflow")


def export_run(trained: "Trained") -> None:
    """Export a run into its directory: verified, or nothing is changed there.

    Raises:
        VerificationError: An export does not answer as the model in memory does.
        UserError: The directory cannot be written.
    """
    module = trained.task.serving_module(trained.model)
    folder = trained.run.folder
    try:
        with tempfile.TemporaryDirectory(prefix=".export-", dir=folder) as scratch:
            staged = Path(scratch)
            export(module, staged)
            save_pyfunc(staged)
            verify(staged)
            for name in (SAVED_MODEL_FOLDER, GOLDEN_FILE, MLFLOW_FOLDER):
                _replace(staged / name, folder / name)
    except OSError as error:
        raise UserError(
            f"The model could not be exported into {folder}: {error}. Free some space "
            f"or set the folder's rights, then: make export RUN={folder}"
        ) from error


def export(module: tf.Module, run_dir: Path) -> Path:
    """Save a serving module as `run_dir/saved_model`, and its golden examples beside.

    Args:
        module: Its functions of the names in `SIGNATURES` become signatures; see
            `TaggingServing`, `ClassificationServing`, `TranslationServing` and
            `CaptioningServing`.
        run_dir: An existing folder. The SavedModel appears there whole or not at all.
    """
    functions = {
        name: getattr(module, name) for name in SIGNATURES if hasattr(module, name)
    }
    target = run_dir / SAVED_MODEL_FOLDER
    with tempfile.TemporaryDirectory(prefix=".saved-", dir=run_dir) as scratch:
        staged = Path(scratch) / SAVED_MODEL_FOLDER
        tf.saved_model.save(module, str(staged), signatures=functions)
        _replace(staged, target)
    write_json(run_dir / GOLDEN_FILE, golden_examples(functions))
    return target


def golden_examples(functions: Mapping[str, Any]) -> dict[str, dict]:
    """Inputs of each signature, as `verify.call_signature` takes them, and outputs."""
    examples: dict[str, dict] = {}
    asked = functions["serving_default"].input_signature[0].name
    questions = golden_images() if asked == "images" else GOLDEN_TEXTS
    for name, function in functions.items():
        inputs: dict[str, Any] = {asked: encode(questions)}
        if name == "tokens":
            found = examples["serving_default"]["outputs"]
            words = [word.encode() for word in found["tokens"]]
            inputs = {"words": encode(words), "row_lengths": found["row_lengths"]}
        elif name == "search":
            inputs |= GOLDEN_SEARCH
        elif name == "score":
            found = examples["serving_default"]["outputs"]["translations"]
            inputs["translations"] = encode([text.encode() for text in found])
        outputs = plain(call_signature(function, inputs))
        examples[name] = {"inputs": inputs, "outputs": outputs}
    return examples


def save_pyfunc(run_dir: Path) -> Path:
    """Save `run_dir/saved_model` as an MLflow model in `run_dir/mlflow_model`.

    It holds its own code and loads where only tensorflow, tensorflow-text and mlflow
    are installed, in the versions used here.
    """
    prepare_environment()
    import mlflow  # takes seconds, and not every caller exports

    saved_model = run_dir / SAVED_MODEL_FOLDER
    serve = tf.saved_model.load(str(saved_model)).signatures["serving_default"]
    outputs = serve.structured_outputs
    example: str | bytes = "Rhea met Ada in Paris."
    if "images" in serve.structured_input_signature[1]:
        example = golden_images()[0]
    target = run_dir / MLFLOW_FOLDER
    with tempfile.TemporaryDirectory(prefix=".mlflow-", dir=run_dir) as scratch:
        staged = Path(scratch) / MLFLOW_FOLDER
        mlflow.pyfunc.save_model(
            str(staged),
            python_model=mlflow_model.__file__,
            artifacts={SAVED_MODEL_FOLDER: str(saved_model)},
            signature=_pyfunc_signature(outputs),
            input_example=np.array([example], object),
            pip_requirements=[f"{name}=={version(name)}" for name in RUNTIME_PACKAGES],
        )
        _replace(staged, target)
    return target


def _pyfunc_signature(names: Collection[str]) -> Any:
    """The MLflow signature of a model whose `serving_default` gives these outputs."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema

    kind = DataType.binary if "captions" in names else DataType.string
    if "captions" in names:
        columns = _caption_columns()
    elif "translations" in names:
        columns = _translation_columns()
    else:
        columns = _label_columns() if "label_names" in names else _tag_columns(names)
    # Without a name the column takes lists and arrays too; a named one refuses them.
    return ModelSignature(Schema([ColSpec(kind)]), Schema(columns))


def _caption_columns() -> list:
    from mlflow.types import ColSpec, DataType

    return [
        ColSpec(DataType.string, "caption"),
        ColSpec(DataType.double, "score"),
        ColSpec(DataType.string, "error"),
    ]


def _translation_columns() -> list:
    from mlflow.types import ColSpec, DataType

    return [
        ColSpec(DataType.string, "translation"),
        ColSpec(DataType.double, "score"),
        ColSpec(DataType.boolean, "truncated"),
    ]


def _label_columns() -> list:
    from mlflow.types import ColSpec, DataType
    from mlflow.types.schema import Map

    return [
        ColSpec(DataType.string, "label"),
        ColSpec(DataType.double, "score"),
        ColSpec(Map(DataType.double), "probabilities"),
        ColSpec(DataType.boolean, "truncated"),
    ]


def _tag_columns(names: Collection[str]) -> list:
    from mlflow.types import ColSpec, DataType
    from mlflow.types.schema import Array, Object, Property

    columns = {
        "tokens": DataType.string,
        "tags": DataType.string,
        "scores": DataType.double,
    }
    outputs = [ColSpec(Array(kind), name) for name, kind in columns.items()]
    if "entity_texts" in names:
        parts: Sequence[tuple[str, DataType]] = (
            ("text", DataType.string),
            ("type", DataType.string),
            ("start", DataType.long),
            ("end", DataType.long),
            ("score", DataType.double),
        )
        entity = Object([Property(name, kind) for name, kind in parts])
        outputs.append(ColSpec(Array(entity), "entities"))
    return outputs


def _replace(source: Path, target: Path) -> None:
    """Move a file or folder to its place, instead of what is there."""
    if target.is_dir():
        old = source.with_name(f"old-{target.name}")
        target.rename(old)
        source.rename(target)
        shutil.rmtree(old)
    else:
        source.replace(target)
