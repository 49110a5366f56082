"""What a classifier must beat: TF-IDF of words and word pairs, logistic regression.

    python benchmarks/baseline.py [vader|sst2|sst5] [data.phrases=true ...]

It learns from the same training split as `make train TASK=sentiment`. The validation
split chooses how strongly weights are held back, and the test split is scored once.
Nothing is drawn at random, so that a run repeats to the digit.
"""

import sys
import time
from collections.abc import Sequence

from turns import report

from seqloom.pipelines.data import load_splits
from seqloom.pipelines.errors import UserError
from seqloom.pipelines.settings import resolve
from seqloom.tasks.records import DataError

CORPORA = ("vader", "sst2", "sst5")
INVERSE_STRENGTHS = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)


def main() -> None:
    corpus, *settings = sys.argv[1:] or ["vader"]
    if corpus not in CORPORA:
        sys.exit(f"error: no corpus {corpus!r}. There are: {', '.join(CORPORA)}.")
    try:
        config = resolve("sentiment", None, [f"data.corpus={corpus}", *settings]).config
        splits = load_splits(config.data, "sentiment")
    except (UserError, DataError) as error:
        sys.exit(f"error: {error}")
    sizes = ", ".join(f"{len(getattr(splits, n)):,}" for n in ("train", "dev", "test"))
    print(f"{corpus}: {sizes} texts to learn from, to choose with and to score")
    measure_baseline(corpus, splits)


def measure_baseline(corpus: str, splits) -> None:
    started = time.perf_counter()
    strength, model = fit_best(splits.train, splits.dev)
    seconds = time.perf_counter() - started
    accuracy, macro_f1 = score(model, splits.test)
    report(corpus, f"accuracy on test, % (C={strength:g})", 100 * accuracy)
    report(corpus, "macro F1 on test, %", 100 * macro_f1)
    report(corpus, f"seconds, {len(INVERSE_STRENGTHS)} fits and validations", seconds)


def fit_best(train: Sequence, dev: Sequence):
    """The C with the best accuracy on `dev`, the first of equals, and its model."""
    try:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
    except ImportError:
        sys.exit(
            "error: the baseline needs scikit-learn: .venv/bin/python -m pip install "
            "--constraint requirements.lock --editable '.[bench]'"
        )
    texts, labels = columns(train)
    found = []
    for strength in INVERSE_STRENGTHS:
        model = make_pipeline(
            TfidfVectorizer(ngram_range=(1, 2)),
            LogisticRegression(C=strength, max_iter=2000),
        )
        model.fit(texts, labels)
        found.append((score(model, dev)[0], strength, model))
    _, strength, model = max(found, key=lambda entry: entry[0])
    return strength, model


def score(model, records: Sequence) -> tuple[float, float]:
    """Accuracy, and the mean F1 of all labels that training has."""
    from sklearn.metrics import accuracy_score, f1_score

    texts, labels = columns(records)
    guessed = model.predict(texts)
    macro_f1 = f1_score(
        labels, guessed, labels=model.classes_, average="macro", zero_division=0
    )
    return float(accuracy_score(labels, guessed)), float(macro_f1)


def columns(records: Sequence) -> tuple[list[str], list[str]]:
    return [record.text for record in records], [record.label for record in records]


if __name__ == "__main__":
    main()
