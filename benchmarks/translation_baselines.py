"""What a translator must beat: the source itself, and the nearest training sentence.

    python benchmarks/translation_baselines.py [data.pair=en-de ...]

`copy` answers with the source. `nearest` answers with the translation of the training
source that is most like it: cosine of TF-IDF over 2 to 5 letters. Both are scored on
the test split that `make train TASK=translation` is scored on, with the same settings.
"""

import sys
from collections.abc import Sequence

from turns import report

from seqloom.pipelines.data import load_splits
from seqloom.pipelines.errors import UserError
from seqloom.pipelines.settings import resolve
from seqloom.tasks.records import DataError, SentencePair
from seqloom.tasks.translation_metrics import score_translations


def main() -> None:
    try:
        config = resolve("translation", None, sys.argv[1:]).config
        splits = load_splits(config.data, "translation", config.seed)
    except (UserError, DataError) as error:
        sys.exit(f"error: {error}")
    print(f"{splits.title}: {len(splits.test):,} test pairs")
    answers = {
        "copy": [pair.source for pair in splits.test],
        "nearest": nearest(splits.train, splits.test),
    }
    for name, texts in answers.items():
        rows = [
            {"source": pair.source, "reference": pair.target, "prediction": text}
            for pair, text in zip(splits.test, texts, strict=True)
        ]
        values = score_translations(rows, quick=True).values
        for metric in ("bleu", "chrf"):
            report(name, f"{metric} on test", values[metric])


def nearest(train: Sequence[SentencePair], test: Sequence[SentencePair]) -> list[str]:
    """For each test pair the target of the training pair with the likest source."""
    try:
        from sklearn.feature_extraction.text import TfidfVectorizer
    except ImportError:
        sys.exit(
            "error: the baseline needs scikit-learn: .venv/bin/python -m pip install "
            "--constraint requirements.lock --editable '.[bench]'"
        )
    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5))
    known = vectorizer.fit_transform([pair.source for pair in train])
    asked = vectorizer.transform([pair.source for pair in test])
    # Rows have length 1, so products are cosines.
    best = (asked @ known.T).toarray().argmax(axis=1)
    return [train[place].target for place in best]


if __name__ == "__main__":
    main()
