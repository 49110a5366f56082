"""What training leaves out of pairs of sentences: too long, uneven, there before."""

from collections import Counter
from collections.abc import Iterable, Iterator

from seqloom.pipelines.text_set import TextSet
from seqloom.tasks.records import SentencePair


def filter_pairs(
    pairs: Iterable[SentencePair],
    max_words: int | None,
    max_ratio: float | None,
    drop_duplicates: bool,
    left_out: Counter[str],
) -> Iterator[SentencePair]:
    """Pass on the pairs that are fit for training.

        ratio = characters of the longer side / characters of the shorter side

    Characters, since not every language puts blanks between its words.

    Args:
        pairs: None with an empty side.
        max_words: Most words (between blanks) of a side; None: any number.
        max_ratio: Highest ratio; None: any.
        drop_duplicates: Drop a pair whose source and target were there before. A pair
            that was is known by a hash, see `TextSet`.
        left_out: Counts what is left out, by its reason.
    """
    too_long = f"with a side of more than data.max_words={max_words} words"
    uneven = f"with a side longer than data.max_ratio={max_ratio} times the other"
    repeated = "that were there before (data.duplicates=drop)"
    seen = TextSet()
    for pair in pairs:
        if max_words is not None and _most_words(pair) > max_words:
            left_out[too_long] += 1
        elif max_ratio is not None and _ratio(pair) > max_ratio:
            left_out[uneven] += 1
        elif drop_duplicates and not seen.add(_both_sides(pair)):
            left_out[repeated] += 1
        else:
            yield pair


def _both_sides(pair: SentencePair) -> str:
    return f"{len(pair.source)} {pair.source}{pair.target}"


def _most_words(pair: SentencePair) -> int:
    return max(len(pair.source.split()), len(pair.target.split()))


def _ratio(pair: SentencePair) -> float:
    shorter, longer = sorted((len(pair.source), len(pair.target)))
    return longer / shorter
