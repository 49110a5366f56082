"""Scores of taggers: spans by seqeval and by conlleval, tokens, known and new words.

All scores are shares between 0 and 1. Two ways of counting spans differ where tags are
no valid IOB2, such as an I-PER after O: seqeval's strict mode ignores it, the official
CoNLL script takes it for the beginning of a span (Lignos & Kamyab 2020, "If You Build
Your Own NER Scorer, Non-replicable Results Will Come", measure what that amounts to).
"""

import warnings
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

from seqloom.tasks.spans import spans as find_spans

Tags = Sequence[Sequence[str]]


class TaggingScores(NamedTuple):
    """What `score_tags` measures.

    Attributes:
        values: Flat scores, for logging.
        per_type: For each span type, or tag: precision, recall, f1, support (its
            number in the references) and predicted (its number in the predictions).
    """

    values: dict[str, float]
    per_type: dict[str, dict[str, float]]


class Counts(NamedTuple):
    """How many there are in the references, in the predictions, and in both."""

    reference: int
    predicted: int
    correct: int

    @property
    def precision(self) -> float:
        return self.correct / self.predicted if self.predicted else 0.0

    @property
    def recall(self) -> float:
        return self.correct / self.reference if self.reference else 0.0

    @property
    def f1(self) -> float:
        return 2 * self.correct / max(self.reference + self.predicted, 1)


def score_tags(
    references: Tags,
    predictions: Tags,
    spans: bool,
    tokens: Sequence[Sequence[str]] | None = None,
    vocabulary: Collection[str] | None = None,
    library: bool = True,
) -> TaggingScores:
    """Score predicted tags against the true ones.

        references   [["B-PER", "I-PER", "O", "B-LOC"]]
        predictions  [["B-PER", "I-PER", "O", "I-LOC"]]
        values       precision 1.0, recall 0.5, f1 0.67, accuracy 0.75,
                     conlleval_precision 1.0, conlleval_recall 1.0, conlleval_f1 1.0

    With `tokens` and `vocabulary`, spans (spans=False: tokens) whose words were all
    seen in training are scored apart from those with a word never seen: `f1_known`,
    `recall_unknown`, ... (`accuracy_known`, `accuracy_unknown`), and `unknown_share`,
    the share of the reference spans (tokens) that are of the second kind. A score
    without anything to count is 0, as in both scorers; a breakdown is left out.

    Args:
        references: True tags, a sequence for each sentence.
        predictions: Predicted tags of the same tokens.
        spans: Whether the tags are IOB2 spans.
        tokens: Words, as they are written.
        vocabulary: Words of the training text, as they are written.
        library: Take precision, recall and f1 from seqeval itself; False counts the
            same here, several times faster, for validation while training.

    Raises:
        ValueError: References and predictions (or tokens) differ in length.
    """
    _check_lengths(references, predictions, "predicted tags")
    pairs = Counter(
        pair
        for reference, prediction in zip(references, predictions, strict=True)
        for pair in zip(reference, prediction, strict=True)
    )
    right = sum(count for (true, guess), count in pairs.items() if true == guess)
    values = {"accuracy": right / max(pairs.total(), 1)}
    known = None
    if tokens is not None and vocabulary is not None:
        _check_lengths(references, tokens, "words")
        seen = vocabulary if isinstance(vocabulary, dict | set) else set(vocabulary)
        known = [[word in seen for word in sentence] for sentence in tokens]
    if spans:
        return _score_spans(references, predictions, values, known, library)
    return _score_tokens(references, predictions, values, known, pairs)


def _score_spans(
    references: Tags,
    predictions: Tags,
    values: dict[str, float],
    known: list[list[bool]] | None,
    library: bool,
) -> TaggingScores:
    true, guessed = (
        _all_spans(tags, strict=True) for tags in (references, predictions)
    )
    strict = _count(true, guessed)
    scores = {"f1": strict.f1, "precision": strict.precision, "recall": strict.recall}
    if library and references:  # it refuses an empty split
        scores = seqeval_scores(references, predictions)
    conlleval = conlleval_counts(references, predictions)
    values = {
        **scores,
        "conlleval_f1": conlleval.f1,
        "conlleval_precision": conlleval.precision,
        "conlleval_recall": conlleval.recall,
        **values,
    }
    if known is not None:

        def is_known(span: tuple) -> bool:
            row, start, end, _ = span
            return all(known[row][start:end])

        for name, keep in (("known", True), ("unknown", False)):
            part = _count(
                *({s for s in a if is_known(s) is keep} for a in (true, guessed))
            )
            if part.reference:
                values[f"f1_{name}"] = part.f1
                values[f"precision_{name}"] = part.precision
                values[f"recall_{name}"] = part.recall
        unknown = sum(not is_known(span) for span in true)
        values["unknown_share"] = unknown / max(len(true), 1)
    per_type = {
        kind: _row(_count(*({s for s in a if s[3] == kind} for a in (true, guessed))))
        for kind in sorted({span[3] for span in true | guessed})
    }
    return TaggingScores(values, per_type)


def _score_tokens(
    references: Tags,
    predictions: Tags,
    values: dict[str, float],
    known: list[list[bool]] | None,
    pairs: Counter,
) -> TaggingScores:
    if known is not None:
        tally: Counter[tuple[bool, bool]] = Counter(
            (seen, true == guess)
            for row in zip(known, references, predictions, strict=True)
            for seen, true, guess in zip(*row, strict=True)
        )
        for name, seen in (("known", True), ("unknown", False)):
            total = tally[seen, True] + tally[seen, False]
            if total:
                values[f"accuracy_{name}"] = tally[seen, True] / total
            if not seen:
                values["unknown_share"] = total / max(tally.total(), 1)
    true: Counter[str] = Counter()
    guessed: Counter[str] = Counter()
    for (reference, prediction), count in pairs.items():
        true[reference] += count
        guessed[prediction] += count
    per_type = {
        tag: _row(Counts(true[tag], guessed[tag], pairs[tag, tag]))
        for tag in sorted(true | guessed)
    }
    return TaggingScores(values, per_type)


def seqeval_scores(references: Tags, predictions: Tags) -> dict[str, float]:
    """f1, precision and recall by the seqeval library, strict mode, IOB2."""
    from seqeval.metrics.v1 import precision_recall_fscore_support
    from seqeval.scheme import IOB2

    with warnings.catch_warnings():  # numpy's, and about types never predicted
        warnings.simplefilter("ignore")
        precision, recall, f1, _ = precision_recall_fscore_support(
            [list(tags) for tags in references],
            [list(tags) for tags in predictions],
            average="micro",
            scheme=IOB2,
            zero_division=0,
        )
    return {"f1": float(f1), "precision": float(precision), "recall": float(recall)}


def conlleval_counts(references: Tags, predictions: Tags) -> Counts:
    """Spans as the official CoNLL-2003 script counts them."""
    return _count(_all_spans(references), _all_spans(predictions))


def worst_errors(
    tokens: Sequence[Sequence[str]],
    references: Tags,
    predictions: Tags,
    scores: Sequence[Sequence[float]],
    limit: int = 100,
) -> list[dict[str, Any]]:
    """The sentences where the tagger was surest of a wrong tag, as rows of a table.

        {"sentence": "Rhea met Ada", "reference": "Rhea/B-PER Ada/B-PER",
         "prediction": "Rhea/B-PER Ada/B-LOC", "score": 0.93, "errors": 1}

    Only words that one side tags with something else than O are written out.

    Args:
        scores: Probability of each predicted tag.
        limit: Rows at most.

    Returns:
        Rows sorted by `score`, that of the surest wrong tag, the highest first.
    """
    rows: list[dict[str, Any]] = []
    for words, true, guess, sure in zip(
        tokens, references, predictions, scores, strict=True
    ):
        wrong = [i for i, tag in enumerate(true) if tag != guess[i]]
        if wrong:
            shown = [
                i
                for i, pair in enumerate(zip(true, guess, strict=True))
                if set(pair) != {"O"}
            ]
            row = {
                "sentence": " ".join(words),
                "reference": " ".join(f"{words[i]}/{true[i]}" for i in shown),
                "prediction": " ".join(f"{words[i]}/{guess[i]}" for i in shown),
                "score": max(float(sure[i]) for i in wrong),
                "errors": len(wrong),
            }
            rows.append(row)
    return sorted(rows, key=lambda row: (-row["score"], -row["errors"]))[:limit]


def _all_spans(tags: Tags, strict: bool = False) -> set[tuple[int, int, int, str]]:
    """(row, start, end, type) of all spans, the end excluded."""
    return {
        (row, *span)
        for row, sentence in enumerate(tags)
        for span in find_spans(sentence, strict=strict)
    }


def _count(true: set, guessed: set) -> Counts:
    return Counts(len(true), len(guessed), len(true & guessed))


def _row(counts: Counts) -> dict[str, float]:
    return {
        "precision": counts.precision,
        "recall": counts.recall,
        "f1": counts.f1,
        "support": counts.reference,
        "predicted": counts.predicted,
    }


def _check_lengths(references: Tags, others: Iterable[Sequence], what: str) -> None:
    lengths, found = [[len(row) for row in rows] for rows in (references, others)]
    if lengths == found:
        return
    if len(lengths) != len(found):
        raise ValueError(
            f"{len(lengths)} sentences have references, but {len(found)} have {what}: "
            "score the same sentences on both sides, in the same order."
        )
    row = next(i for i, (a, b) in enumerate(zip(lengths, found, strict=True)) if a != b)
    raise ValueError(
        f"Sentence {row} has {lengths[row]} reference tags but {found[row]} {what}: "
        "each token needs one. Was it cut or split?"
    )
