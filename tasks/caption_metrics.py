"""Scores of captions: BLEU, ROUGE-L and CIDEr-D, and how much captions differ.

All take rows of predictions as the captioning task writes them:

    {"references": ["Two dogs run in grass.", "Dogs play on a lawn."],
     "prediction": "Two dogs play in the grass.", ...}

They count as the COCO caption evaluation does, the tool behind the numbers of papers:
on the words of `caption_words`, with all references at once. BLEU and ROUGE-L lie
between 0 and 100, as papers write them, and CIDEr-D between 0 and 10, as that tool
writes it; papers often give it times 100. The other scores are shares of 1, or numbers
of words.

METEOR and SPICE, which papers also give, are left out: both are Java programs, with
WordNet and a table of paraphrases, or with a parser. What could be counted without
them would be another score under the same name.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from statistics import fmean
from typing import Any

from sacrebleu.metrics import BLEU

from seqloom.tasks.caption_words import TOKENIZATION, caption_words
from seqloom.tasks.cider import MAX_ORDER, SIGMA, cider_d
from seqloom.tasks.rouge import BETA, rouge_l

Row = Mapping[str, Any]

# The last mean length of the references, in words, of all ranges but the open last one.
LAST_LENGTHS = (8, 10, 12, 15)


@dataclass(frozen=True)
class CaptionScores:
    """What `score_captions` measures.

    Attributes:
        values: Flat scores, for logging.
        per_type: For each range of the mean length of an image's references, such as
            `9-10` words, that has images, the shortest first: bleu_4, rouge_l, cider_d
            and count, the number of its images.
        signatures: How bleu, rouge_l and cider_d were counted: number of references,
            rule of the words, version, ...
    """

    values: dict[str, float]
    per_type: dict[str, dict[str, float]]
    signatures: dict[str, str]


@dataclass(frozen=True)
class _Caption:
    """The words of a row, and its own scores; those of the set are their means."""

    prediction: list[str]
    references: list[list[str]]
    rouge_l: float
    cider_d: float


def score_captions(
    rows: Sequence[Row], quick: bool = False, known: Collection[str] | None = None
) -> CaptionScores:
    """Score captions of a test set against one reference or more each.

        references   "Two dogs run in grass.", "Dogs play on a lawn."   "A red ball."
        prediction   "Two dogs play in the grass."                      "A ball."
        values       bleu_1 87.5, bleu_3 0.0, rouge_l 75.6, cider_d 1.85, ...

    `bleu_1` to `bleu_4` are those of all captions together, without smoothing, by the
    reference length closest to each; `rouge_l` and `cider_d` are means. `length_ratio`
    is the words of all captions by those closest lengths. On how captions differ:
    `distinct`, the share of different ones; `novel`, the share of those not in `known`;
    `words_used`, the number of different words; `mean_length` in words. Without rows,
    all are 0.

    Args:
        quick: Leave `per_type` out, for validation while training.
        known: What `known_captions` makes of the training captions. Without, there is
            no `novel`.

    Raises:
        ValueError: If a row has no reference.

    Reference: Papineni et al. 2002 (BLEU), https://aclanthology.org/P02-1040; Chen et
    al. 2015 (the COCO caption evaluation), https://arxiv.org/abs/1504.00325; see also
    `rouge_l` and `cider_d`.
    """
    captions = _read(rows)
    bleu, signature = _bleu(captions)
    values = {**bleu, **_means(captions), **_diversity(captions, known)}
    per_type = {} if quick else _by_reference_length(captions)
    return CaptionScores(values, per_type, _signatures(signature))


def known_captions(captions: Iterable[str]) -> frozenset[str]:
    """Captions to look new ones up in: case and punctuation do not count."""
    return frozenset(" ".join(caption_words(caption)) for caption in captions)


def row_scores(rows: Sequence[Row]) -> list[dict[str, float]]:
    """rouge_l and cider_d of each row, on the scales of `score_captions`.

    cider_d depends on what is rare in all the rows: hand in the whole test set.
    """
    return [_means([caption]) for caption in _read(rows)]


def _read(rows: Sequence[Row]) -> list[_Caption]:
    for number, row in enumerate(rows):
        if not row["references"]:
            raise ValueError(
                f"Row {number} of {len(rows)} has no reference for its caption "
                f"{row['prediction']!r}. Leave out images that nobody has described."
            )
    predictions = [caption_words(row["prediction"]) for row in rows]
    references = [[caption_words(text) for text in row["references"]] for row in rows]
    return [
        _Caption(words, others, rouge_l(words, others), cider)
        for words, others, cider in zip(
            predictions, references, cider_d(predictions, references), strict=True
        )
    ]


def _means(captions: Sequence[_Caption]) -> dict[str, float]:
    if not captions:
        return {"rouge_l": 0.0, "cider_d": 0.0}
    return {
        "rouge_l": 100 * fmean(caption.rouge_l for caption in captions),
        "cider_d": fmean(caption.cider_d for caption in captions),
    }


def _bleu(captions: Sequence[_Caption]) -> tuple[dict[str, float], str]:
    """bleu_1 to bleu_4 and length_ratio, and sacreBLEU's signature."""
    scorer = BLEU(lowercase=True, force=True, tokenize="none", smooth_method="none")
    # It fails without any sentence; an empty one scores 0.
    predictions = [" ".join(caption.prediction) for caption in captions] or [""]
    score = scorer.corpus_score(predictions, _streams(captions) or [[""]])
    values = {
        f"bleu_{order}": scorer.compute_bleu(
            score.counts[:order],
            score.totals[:order],
            score.sys_len,
            score.ref_len,
            max_ngram_order=order,
        ).score
        for order in range(1, scorer.max_ngram_order + 1)
    }
    values["length_ratio"] = score.sys_len / max(score.ref_len, 1)
    return values, str(scorer.get_signature())


def _streams(captions: Sequence[_Caption]) -> list[list[str | None]]:
    """The first references of all, the second ones, ...; None where one has fewer."""
    most = max((len(caption.references) for caption in captions), default=0)
    return [
        [
            " ".join(caption.references[i]) if i < len(caption.references) else None
            for caption in captions
        ]
        for i in range(most)
    ]


def _diversity(
    captions: Sequence[_Caption], known: Collection[str] | None
) -> dict[str, float]:
    texts = [" ".join(caption.prediction) for caption in captions]
    words = [word for caption in captions for word in caption.prediction]
    size = max(len(texts), 1)
    values = {
        "distinct": len(set(texts)) / size,
        "words_used": float(len(set(words))),
        "mean_length": len(words) / size,
    }
    if known is not None:
        # Nothing at all is nothing new.
        values["novel"] = sum(text not in known for text in texts if text) / size
    return values


def _by_reference_length(captions: Sequence[_Caption]) -> dict[str, dict[str, float]]:
    firsts = [1, *(last + 1 for last in LAST_LENGTHS)]
    names = [f"{a}-{b}" for a, b in zip(firsts, LAST_LENGTHS, strict=False)]
    ranges: dict[str, list[_Caption]] = {
        name: [] for name in [*names, f"{firsts[-1]}+"]
    }
    for caption in captions:
        length = fmean(len(words) for words in caption.references)
        position = sum(length > last for last in LAST_LENGTHS)
        list(ranges.values())[position].append(caption)
    return {
        name: {
            "bleu_4": _bleu(some)[0]["bleu_4"],
            **_means(some),
            "count": len(some),
        }
        for name, some in ranges.items()
        if some
    }


def _signatures(bleu: str) -> dict[str, str]:
    """As sacreBLEU writes its own, so that readers know what they compare."""
    references = bleu.split("|", maxsplit=1)[0]
    ours = f"words:{TOKENIZATION}|version:{version('seqloom')}"
    return {
        "bleu": f"{bleu}|words:{TOKENIZATION}",
        "rouge_l": f"{references}|beta:{BETA:g}|max:p,r|{ours}",
        "cider_d": f"{references}|n:{MAX_ORDER}|sigma:{SIGMA:g}|df:test|{ours}",
    }
