"""CIDEr-D: how well a caption says what people said of the image, rare words first."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

MAX_ORDER = 4
SIGMA = 6.0

Words = Sequence[str]
Ngram = tuple[str, ...]
Vector = dict[Ngram, float]


def cider_d(
    predictions: Sequence[Words], references: Sequence[Sequence[Words]]
) -> list[float]:
    """Score each caption of a test set, from 0 to 10.

    For the n-grams w of each order n, with h the count in a caption and N images:

        g(c)[w] = h(c)[w] log(N / number of images with w in a reference)
        CIDEr-D_n = 10 / m sum_j exp(-(l(c) - l(s_j))^2 / (2 sigma^2))
                    min(g(c), g(s_j)) · g(s_j) / (|g(c)| |g(s_j)|)

    and the score is the mean over n from 1 to 4; that of a test set is the mean of its
    captions. What people say of every image counts nothing, so one image alone scores
    0: hand in the whole test set, and compare scores of the same one only. Without an
    n-gram of some order, as in captions of 3 words, that order gives 0.

    The paper divides h by the length of the caption. The COCO caption evaluation, with
    which published numbers are made, does not, nor does this; min tells the two apart.

    Args:
        predictions: The words of the caption of each image.
        references: For each image, the words of one caption or more.

    Reference: Vedantam et al. 2015, https://arxiv.org/abs/1411.5726, CIDEr-D; Chen et
    al. 2015, https://arxiv.org/abs/1504.00325 (the evaluation server).
    """
    counts = [[_ngrams(words) for words in captions] for captions in references]
    rarity = _rarity(counts)
    scores = []
    for words, captions, tables in zip(predictions, references, counts, strict=True):
        guess = _weighted(_ngrams(words), rarity, len(counts))
        total = 0.0
        for caption, table in zip(captions, tables, strict=True):
            other = _weighted(table, rarity, len(counts))
            away = len(words) - len(caption)
            total += math.exp(-(away**2) / (2 * SIGMA**2)) * _similarity(guess, other)
        scores.append(10 * total / len(captions))
    return scores


def _ngrams(words: Words) -> Counter[Ngram]:
    """The n-grams of all orders, counted."""
    return Counter(
        tuple(words[i : i + order])
        for order in range(1, MAX_ORDER + 1)
        for i in range(len(words) - order + 1)
    )


def _rarity(counts: Sequence[Sequence[Counter[Ngram]]]) -> dict[Ngram, float]:
    """What one n-gram of the references weighs: 0 if all images have it."""
    images = Counter(ngram for tables in counts for ngram in set().union(*tables))
    return {ngram: math.log(len(counts) / number) for ngram, number in images.items()}


def _weighted(
    counts: Counter[Ngram], rarity: Mapping[Ngram, float], num_images: int
) -> list[tuple[Vector, float]]:
    """For each order: the weighted counts, and the length of that vector."""
    unseen = math.log(num_images)  # no reference has it: as if one had
    vectors: list[Vector] = [{} for _ in range(MAX_ORDER)]
    for ngram, count in counts.items():
        vectors[len(ngram) - 1][ngram] = count * rarity.get(ngram, unseen)
    return [(vector, math.hypot(*vector.values())) for vector in vectors]


def _similarity(guess, other) -> float:
    """The mean over the orders of the clipped cosine."""
    total = 0.0
    for (ours, our_length), (theirs, their_length) in zip(guess, other, strict=True):
        if our_length and their_length:
            total += sum(
                min(weight, theirs[ngram]) * theirs[ngram]
                for ngram, weight in ours.items()
                if ngram in theirs
            ) / (our_length * their_length)
    return total / MAX_ORDER
