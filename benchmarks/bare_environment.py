"""Prove that a run's MLflow model needs nothing of seqloom.

    make bare RUN=runs/ner/latest

runs this in an environment of its own that holds tensorflow, tensorflow-text and
mlflow alone. It loads the run's MLflow model, asks it the run's golden examples, and
exits with status 1 unless it answers as the model in memory did.
"""

import base64
import importlib.util
import json
import math
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

ABSENT = ("seqloom", "keras_nlp", "keras_hub", "seqeval")
TOLERANCE = 1e-5


def main() -> int:
    if len(sys.argv) != 2:
        print("Usage: python benchmarks/bare_environment.py RUN", file=sys.stderr)
        return 2
    run = Path(sys.argv[1])
    golden_path = run / "golden.json"
    if not golden_path.is_file():
        print(
            f"{golden_path} is missing: export the run first: make export RUN={run}",
            file=sys.stderr,
        )
        return 2
    present = [name for name in ABSENT if importlib.util.find_spec(name)]
    if not report(f"this environment holds none of {', '.join(ABSENT)}", present):
        return 1

    import mlflow
    import numpy as np

    model = mlflow.pyfunc.load_model(str(run / "mlflow_model"))
    report("the MLflow model loads", [])
    example = json.loads(golden_path.read_text(encoding="utf-8"))["serving_default"]
    [(kind, given)] = example["inputs"].items()  # texts, or images
    asked = [base64.b64decode(one) for one in given]
    answers = model.predict(np.array(asked, object))
    wrong = list(differences(example["outputs"], answers))
    passed = report(f"{len(asked)} golden {kind} are answered as in memory", wrong[:3])
    two = asked[:2] if kind == "images" else ["Rhea met Ada in Paris.", ""]
    listed = model.predict(two)
    passed &= report(
        f"a list of {kind} is answered", [] if len(listed) == 2 else [listed]
    )
    none = model.predict(np.array([], object))
    passed &= report(f"no {kind} give no rows", [] if len(none) == 0 else [none])
    loaded = [name for name in ABSENT if name in sys.modules]
    passed &= report("nothing of seqloom was imported", loaded)
    return 0 if passed else 1


# Golden outputs and the columns of the answers that hold the same, a row a text.
COLUMNS = {
    "translations": "translation",
    "captions": "caption",
    "errors": "error",
    "labels": "label",
    "scores": "score",
    "truncated": "truncated",
}


def differences(expected: dict, answers):
    """Compare golden outputs with the answers."""
    if "tokens" in expected:
        yield from tag_differences(expected, answers)
        return
    for name, column in COLUMNS.items():
        if name in expected:
            yield from unequal(name, expected[name], answers[column].tolist())


def tag_differences(expected: dict, answers):
    """Golden outputs are flat: so are the answers made again, row by row."""
    columns = {"tokens": "tokens", "tags": "tags", "scores": "scores"}
    for name, column in columns.items():
        found = [item for row in answers[column] for item in row]
        yield from unequal(name, expected[name], found)
    lengths = [len(row) for row in answers["tokens"]]
    yield from unequal("row_lengths", expected["row_lengths"], lengths)
    if "entity_texts" in expected:
        entities = [entity for row in answers["entities"] for entity in row]
        for name in ("text", "type", "score"):
            found = [entity[name] for entity in entities]
            yield from unequal(name, expected[f"entity_{name}s"], found)


def unequal(name: str, expected: list, found: list):
    if len(expected) != len(found):
        yield f"{name}: {len(expected)} expected, {len(found)} found"
        return
    for index, (want, got) in enumerate(zip(expected, found, strict=True)):
        same = (
            math.isclose(want, got, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
            if isinstance(want, float)
            else want == got
        )
        if not same:
            yield f"{name}[{index}]: expected {want!r}, got {got!r}"


def report(what: str, problems: list) -> bool:
    print(f"FAIL  {what}: {problems}" if problems else f"PASS  {what}", flush=True)
    return not problems


if __name__ == "__main__":
    sys.exit(main())
