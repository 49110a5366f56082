import io
from itertools import chain

import numpy as np
import pytest

from seqloom.tasks import tagging_figures as figures
from seqloom.tasks.confusion import confusion_matrix


def texts(axes):
    return [text.get_text() for text in axes.texts]


def tick_labels(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def png(figure):
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=60)
    return buffer.getvalue()


REFERENCES = [["B-PER", "I-PER", "O"], ["B-LOC", "O", "O", "B-PER"]]
PREDICTIONS = [["B-PER", "B-LOC", "O"], ["B-LOC", "O", "I-PER", "B-MISC"]]


def test_confusions_are_counted_by_entity_type():
    labels, counts = figures.confusion_counts(REFERENCES, PREDICTIONS, spans=True)
    assert labels == ["PER", "LOC", "MISC", "O"]
    expected = np.zeros((4, 4), int)
    for truth, guess in zip(chain(*REFERENCES), chain(*PREDICTIONS)):
        row, column = (labels.index(tag.split("-")[-1]) for tag in (truth, guess))
        expected[row, column] += 1
    np.testing.assert_array_equal(counts, expected)
    assert counts.sum() == 7 and counts.dtype == np.int64


def test_tags_of_words_are_compared_as_they_are():
    labels, counts = figures.confusion_counts(
        [["NN", "O", "B-X"]], [["NN", "NN", "B-X"]], spans=False
    )
    assert labels == ["B-X", "NN", "O"]
    np.testing.assert_array_equal(counts, [[1, 0, 0], [0, 1, 0], [0, 1, 0]])


def test_sentences_of_unequal_length_are_refused():
    with pytest.raises(ValueError, match="Sentence 1 has 1 tags but 2 predicted"):
        figures.confusion_counts([["A"], ["A"]], [["A"], ["A", "B"]], spans=False)


def test_a_confusion_matrix_shows_counts_and_row_shares():
    counts = np.array([[90, 10], [0, 4]])
    figure = confusion_matrix(["NN", "VB"], counts)
    axes = figure.axes[0]
    assert texts(axes) == ["90", "10", "4"]
    assert axes.get_title("left") == "90.38% of 104 tokens are right"
    image = axes.images[0].get_array()
    np.testing.assert_allclose(image**2, [[0.9, 0.1], [0, 1]])
    assert tick_labels(axes.xaxis) == tick_labels(axes.yaxis) == ["NN", "VB"]


def test_a_confusion_matrix_names_what_it_counts():
    figure = confusion_matrix(["a", "b"], np.eye(2, dtype=int), unit="texts")
    assert figure.axes[0].get_title("left") == "100.00% of 2 texts are right"


def test_no_labels_are_no_matrix():
    with pytest.raises(ValueError, match="needs at least one label"):
        confusion_matrix([], np.zeros((0, 0), int))


def test_fifty_tags_fit_and_only_notable_confusions_are_written():
    size = 50
    counts = np.full((size, size), 1) + np.eye(size, dtype=int) * 5000
    counts[3, 7] = 400
    labels = [f"TAG{i}" for i in range(size)]
    figure = confusion_matrix(labels, counts)
    assert texts(figure.axes[0]).count("5.0k") == size
    assert len(texts(figure.axes[0])) == size + 1
    assert tick_labels(figure.axes[0].xaxis) == labels
    assert figure.get_size_inches().max() < 20
    assert png(figure)


def test_types_stand_with_their_frequency_and_f1():
    frequencies = {"LOC": 10, "PER": 3000, "MISC": 7}
    figure = figures.type_scores(frequencies, {"LOC": 0.5, "PER": 0.913})
    often, well = figure.axes
    assert tick_labels(often.yaxis) == ["MISC", "LOC", "PER"]  # from the bottom up
    assert not any(label.get_parse_math() for label in often.get_yticklabels())
    assert texts(often) == ["7", "10", "3,000"]
    assert texts(well) == ["50.0%", "91.3%"]
    assert [bar.get_width() for bar in well.patches] == [0.5, 0.913]
    assert [bar.get_y() + 0.35 for bar in well.patches] == pytest.approx([1, 2])


def test_known_and_unknown_words_stand_side_by_side():
    scores = {"all": 0.95, "known": 0.97, "unknown": 0.82}
    figure = figures.known_and_unknown_words(scores, {"unknown": 2294})
    axes = figure.axes[0]
    assert axes.get_title("left") == "Words unseen in training score 15.0 points lower"
    assert texts(axes) == ["82.0%", "97.0%", "95.0%"]
    assert tick_labels(axes.yaxis)[0] == "unknown words\n(2,294)"


@pytest.mark.parametrize(
    "figure",
    [
        lambda: confusion_matrix(["$ _x^ $"], np.array([[3]])),
        lambda: figures.type_scores({}, {}),
        lambda: figures.type_scores({"$ _x^ $": 0}, {"$ _x^ $": 0.0}, "tokens"),
        lambda: figures.known_and_unknown_words({"all": 1.0}, {}),
    ],
)
def test_odd_results_are_drawn_too(figure):
    assert png(figure())
