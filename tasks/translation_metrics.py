"""Scores of translations: BLEU and chrF by sacreBLEU, and BLEU by source length.

All take rows of predictions as the translation task writes them:

    {"source": "A red ball.", "reference": "Ein roter Ball.",
     "prediction": "Ein roter Ball.", "score": -0.7, ...}

Texts are scored as they are written, cased and not tokenized beforehand. BLEU and chrF
lie between 0 and 100, as everybody writes them; the other scores are shares of 1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sacrebleu.metrics import BLEU, CHRF

Row = Mapping[str, Any]

# The last length, in words, of all ranges but the last one, which is open.
LAST_LENGTHS = (5, 10, 15, 20, 30)


@dataclass(frozen=True)
class TranslationScores:
    """What `score_translations` measures.

    Attributes:
        values: Flat scores, for logging.
        per_type: For each range of source lengths, such as `6-10`, that has sentences,
            the shortest first: bleu and count, the number of its sentences.
        signatures: How sacreBLEU counted bleu and chrf: tokenizer, version, ...
    """

    values: dict[str, float]
    per_type: dict[str, dict[str, float]]
    signatures: dict[str, str]


def metrics() -> dict[str, BLEU | CHRF]:
    """New scorers with sacreBLEU's default settings, by name."""
    # Forced, or it would warn each time that translations look tokenized.
    return {"bleu": BLEU(force=True), "chrf": CHRF()}


def score_translations(rows: Sequence[Row], quick: bool = False) -> TranslationScores:
    """Score translations of a test set against one reference each.

        reference    "Ein roter Ball liegt hier."   "Ja."
        prediction   "Ein roter Ball liegt da."     "Ja."
        values       bleu 55.8, chrf 77.4, exact_match 0.5, length_ratio 1.0

    bleu and chrf are those of all sentences together. `exact_match` is the share of
    translations that equal their reference, `length_ratio` the words of all
    translations by those of all references, as BLEU counts both. Without rows, all
    are 0.

    Args:
        quick: Leave `per_type` out, for validation while training.

    Reference: Papineni et al. 2002 (BLEU), https://aclanthology.org/P02-1040; Popović
    2015 (chrF), https://aclanthology.org/W15-3049; Post 2018 (sacreBLEU),
    https://arxiv.org/abs/1804.08771.
    """
    scorers = metrics()
    scores = {name: _corpus_score(scorer, rows) for name, scorer in scorers.items()}
    right = sum(row["prediction"] == row["reference"] for row in rows)
    values = {
        **{name: float(score.score) for name, score in scores.items()},
        "exact_match": right / max(len(rows), 1),
        "length_ratio": float(scores["bleu"].ratio),
    }
    signatures = {name: str(scorer.get_signature()) for name, scorer in scorers.items()}
    per_type = {} if quick else bleu_by_source_length(rows)
    return TranslationScores(values, per_type, signatures)


def bleu_by_source_length(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """BLEU of short and of long sentences; see `TranslationScores.per_type`.

    Lengths are counted in words between white space.
    """
    ranges: dict[str, list[Row]] = {name: [] for name in _range_names()}
    for row in rows:
        ranges[_range_name(len(row["source"].split()))].append(row)
    scorer = metrics()["bleu"]
    return {
        name: {
            "bleu": float(_corpus_score(scorer, some).score),
            "count": len(some),
        }
        for name, some in ranges.items()
        if some
    }


def _corpus_score(scorer, rows: Sequence[Row]):
    # It fails without any sentence; an empty one scores 0.
    predictions = [row["prediction"] for row in rows] or [""]
    references = [row["reference"] for row in rows] or [""]
    return scorer.corpus_score(predictions, [references])


def _range_names() -> list[str]:
    firsts = [1, *(last + 1 for last in LAST_LENGTHS)]
    closed = [f"{a}-{b}" for a, b in zip(firsts, LAST_LENGTHS, strict=False)]
    return [*closed, f"{firsts[-1]}+"]


def _range_name(length: int) -> str:
    """The range that so many words are in; no words are in the first."""
    return _range_names()[sum(length > last for last in LAST_LENGTHS)]
