"""Whether one system translates better than another, or was just lucky."""

from collections.abc import Sequence

import numpy as np

from seqloom.tasks.translation_metrics import Row, metrics

SEED = 12345  # sacreBLEU's


def compare_translations(
    first: Sequence[Row],
    second: Sequence[Row],
    num_samples: int = 1000,
    seed: int = SEED,
) -> dict[str, dict[str, float]]:
    """Compare BLEU and chrF of two systems by paired bootstrap resampling.

    Test sets of the same size are drawn from the sentences with replacement; both
    systems are scored on each, which gives a difference d* each time.

        low, high = the quantiles 0.025 and 0.975 of d*
        p = (1 + number of |d* - mean d*| >= |d|) / (1 + number of d*)

    p is how often a difference as large as the d that was measured comes about by
    chance, whichever system is better. sacreBLEU counts one side: where the systems
    differ clearly, its p is about half as large.

    Args:
        first, second: Rows of predictions of the two systems, for the same sentences
            in the same order.
        num_samples: Test sets to draw.
        seed: Of the drawing: the same seed draws the sets that sacreBLEU draws.

    Returns:
        For `bleu` and `chrf`: first and second, the scores from 0 to 100; difference,
        second minus first; low and high, its 95% interval; p_value; second_wins, the
        share of test sets on which the second system is better (Koehn's figure);
        num_samples.

    Raises:
        ValueError: The systems were not tested on the same sentences, there are none,
            or there is nothing to draw.

    Reference: Koehn 2004, https://aclanthology.org/W04-3250.
    """
    _check_same_test_set(first, second)
    if num_samples < 1:
        raise ValueError(
            f"compare_translations needs num_samples >= 1, got {num_samples}. Try 1000."
        )
    return {
        name: _compared(scorer, first, second, num_samples, seed)
        for name, scorer in metrics().items()
    }


def _compared(scorer, first, second, num_samples, seed) -> dict[str, float]:
    statistics = [_statistics(scorer, rows) for rows in (first, second)]  # (N, F) each
    whole = [_score(scorer, table.sum(axis=0)) for table in statistics]
    drawn = resampled_scores(scorer, statistics, num_samples, seed)  # (2, num_samples)
    differences = drawn[1] - drawn[0]
    difference = whole[1] - whole[0]
    low, high = np.quantile(differences, [0.025, 0.975])
    chance = np.abs(differences - differences.mean()) >= abs(difference)
    return {
        "first": whole[0],
        "second": whole[1],
        "difference": difference,
        "low": float(low),
        "high": float(high),
        "p_value": (1 + int(chance.sum())) / (1 + num_samples),
        "second_wins": float((differences > 0).mean()),
        "num_samples": num_samples,
    }


def resampled_scores(
    scorer, statistics: Sequence[np.ndarray], num_samples: int, seed: int
) -> np.ndarray:
    """Scores `(systems, num_samples)` of systems on the same drawn test sets.

    Args:
        scorer: One of sacreBLEU's.
        statistics: For each system, what the scorer counts in each sentence, `(N, F)`.
    """
    generator = np.random.default_rng(seed)
    size = len(statistics[0])
    scores = np.empty([len(statistics), num_samples])
    for column in range(num_samples):
        rows = generator.choice(size, size)
        for system, table in enumerate(statistics):
            scores[system, column] = _score(scorer, table[rows].sum(axis=0))
    return scores


# The scores of a test set follow from sums over its sentences, so a sentence is looked
# at once. sacreBLEU has no public name for that; its own test takes the same steps.


def _statistics(scorer, rows: Sequence[Row]) -> np.ndarray:
    predictions = [row["prediction"] for row in rows]
    references = [row["reference"] for row in rows]
    return np.array(scorer._extract_corpus_statistics(predictions, [references]))


def _score(scorer, summed: np.ndarray) -> float:
    return float(scorer._compute_score_from_stats(summed.tolist()).score)


def _check_same_test_set(first: Sequence[Row], second: Sequence[Row]) -> None:
    if not first or len(first) != len(second):
        raise ValueError(
            f"The first system has {len(first)} translations and the second "
            f"{len(second)}: only translations of the same test set, of one sentence "
            "at the least, can be compared. Evaluate both runs on the same data."
        )
    for number, (row, other) in enumerate(zip(first, second, strict=True)):
        for side in ("source", "reference"):
            if row[side] != other[side]:
                raise ValueError(
                    f"Row {number} has the {side} {row[side]!r} in the first system "
                    f"and {other[side]!r} in the second: they were not tested on the "
                    "same sentences in the same order. Evaluate both runs on the same "
                    "data."
                )
