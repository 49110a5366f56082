"""ROUGE-L of captions: the longest common subsequence with several references."""

from collections.abc import Sequence

# How many times more recall counts than precision.
BETA = 1.2


def rouge_l(prediction: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Score one caption, from 0 to 1.

        P = max_j lcs(c, r_j) / len(c)    R = max_j lcs(c, r_j) / len(r_j)
        score = (1 + beta^2) P R / (R + beta^2 P)

    Precision and recall may come from different references: so does the COCO caption
    evaluation, while other tools take the best score of one reference. A caption
    without words scores 0.

    Args:
        prediction: The words of a caption.
        references: The words of one caption or more.

    Reference: Lin 2004, https://aclanthology.org/W04-1013, section 3; Chen et al. 2015,
    https://arxiv.org/abs/1504.00325 (beta, several references).
    """
    common = [common_length(prediction, reference) for reference in references]
    if not any(common):
        return 0.0
    precision = max(common) / len(prediction)
    recall = max(
        length / len(reference)
        for length, reference in zip(common, references, strict=True)
        if length
    )
    return (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)


def common_length(first: Sequence[str], second: Sequence[str]) -> int:
    """The length of the longest sequence of words that both have in that order.

    >>> common_length("a dog runs in grass".split(), "dog in the grass".split())
    3
    """
    # longest[i]: with the words of `second` before i.
    longest = [0] * (len(second) + 1)
    for word in first:
        before = 0  # longest[i] without this word
        for i, other in enumerate(second):
            above = longest[i + 1]
            if word == other:
                longest[i + 1] = before + 1
            elif longest[i] > above:
                longest[i + 1] = longest[i]
            before = above
    return longest[-1]
