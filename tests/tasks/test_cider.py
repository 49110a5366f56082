"""CIDEr-D worked by hand, and against dense vectors in NumPy."""

from math import exp
from random import Random

import numpy as np
import pytest

from seqloom.tasks.cider import cider_d


def split(*captions):
    return [caption.split() for caption in captions]


def scores(*images):
    """Scores of images, each a caption followed by its references."""
    return cider_d(
        split(*(caption for caption, *_ in images)),
        [split(*references) for _, *references in images],
    )


def grams(words, order):
    return [" ".join(words[i : i + order]) for i in range(len(words) - order + 1)]


def dense(predictions, references):
    """CIDEr-D with one column for each n-gram that exists."""
    results = np.zeros(len(predictions))
    everything = [*predictions, *(words for image in references for words in image)]
    for order in range(1, 5):
        columns = sorted({gram for words in everything for gram in grams(words, order)})

        def count(words, order=order, columns=columns):
            found = grams(words, order)
            return np.array([found.count(gram) for gram in columns], float)

        seen = sum(np.any([count(words) for words in image], 0) for image in references)
        rarity = np.log(len(references) / np.maximum(seen, 1))
        for row, (words, image) in enumerate(zip(predictions, references)):
            c = count(words) * rarity
            for other in image:
                s = count(other) * rarity
                if norm := np.linalg.norm(c) * np.linalg.norm(s):
                    penalty = np.exp(-((len(words) - len(other)) ** 2) / 72)
                    results[row] += (
                        penalty * (np.minimum(c, s) @ s) / norm / len(image) / 4 * 10
                    )
    return results


def test_against_dense_vectors():
    random = Random(0)

    def texts(number):
        return [
            random.choices("abcdefg", k=random.randint(0, 9)) for _ in range(number)
        ]

    predictions = texts(25)
    references = [texts(random.randint(1, 4)) for _ in range(25)]
    found = cider_d(predictions, references)
    np.testing.assert_allclose(found, dense(predictions, references), atol=1e-12)
    assert max(found) > 1


def test_by_hand():
    # "a" is in both images and weighs nothing; of order 1 "b", of order 2 "a b" count.
    assert scores(("a b", "a b"), ("a b", "a c")) == pytest.approx([5, 0])
    # Two references, of which one agrees in "b" alone.
    half = 10 * (2 + 1) / 4 / 2
    assert scores(("a b", "a b", "b a"), ("x", "a c")) == pytest.approx([half, 0])
    # A word that no reference has weighs as one of a single image: log 2, like "b".
    assert scores(("b z", "b"), ("", "c"))[0] == pytest.approx(
        10 / 4 / 2**0.5 * exp(-1 / 72)
    )


def test_saying_a_rare_word_again_and_again_does_not_pay():
    # "a" is in all images. Without clipping the cosine would be 1 in both.
    once, thrice, _ = scores(("b", "b a a"), ("b b b", "b a a"), ("", "a c"))
    assert once == pytest.approx(10 / 4 * exp(-4 / 72))
    assert thrice == pytest.approx(10 / 4 / 3)


def test_other_lengths_than_that_of_the_reference_are_punished():
    for extra in (0, 1, 3, 6):
        # "a" is in all images: without the penalty, the score would be the same.
        score = scores(("b" + " a" * extra, "b", "a"), ("", "a"))[0]
        assert score == pytest.approx(10 / 4 / 2 * exp(-(extra**2) / 72))


def test_ends_of_the_scale():
    caption = "two dogs run here"
    same = (caption, caption, caption)
    assert scores(same, ("a cat", "the cat"))[0] == pytest.approx(10)
    short = ("two dogs run", "two dogs run")
    assert scores(short, ("a", "the"))[0] == pytest.approx(7.5)
    assert scores(("", caption), (caption, ""), ("x", "y")) == [0, 0, 0]
    assert scores(same) == [0]  # nothing is rare in one image
    assert cider_d([], []) == []


def test_what_is_rare_depends_on_the_whole_set():
    image = ("red ball", "red cup")
    assert scores(image, ("", "blue"))[0] == pytest.approx(10 / 4 / 2)
    assert scores(image, ("", "red"))[0] == 0


def test_order_of_references_and_repeated_sets_do_not_matter():
    images = [
        ("a red ball", "a red ball lies here", "the ball is red", "a ball"),
        ("two dogs run", "two dogs run", "dogs in grass", "two brown dogs run here"),
        ("dogs", "a cat", "the cat sleeps"),
    ]
    found = scores(*images)
    turned = [(caption, *reversed(others)) for caption, *others in images]
    assert scores(*turned) == pytest.approx(found)
    assert scores(*reversed(images)) == pytest.approx(found[::-1])
    # All n-grams of the captions are in references, so that rarity is the same.
    assert scores(*images, *images) == pytest.approx(found * 2)
