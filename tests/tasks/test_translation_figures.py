import io

import pytest

from seqloom.tasks import translation_figures as figures
from seqloom.tasks.classification_figures import PALE_BLUE
from seqloom.tasks.figure_style import BLUE

PER_TYPE = {
    "1-5": {"bleu": 31.0, "count": 18},
    "6-10": {"bleu": 41.25, "count": 1402},
    "11-15": {"bleu": 28.0, "count": 30},
    "31+": {"bleu": 50.0, "count": 2},
}


def rows(*lengths):
    return [
        {"reference": "w " * reference, "prediction": "w " * prediction}
        for reference, prediction in lengths
    ]


def png(figure):
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=60)
    return buffer.getvalue()


def colours(axes):
    from matplotlib.colors import to_hex

    return [to_hex(bar.get_facecolor()).upper() for bar in axes.patches]


def test_bars_are_the_bleu_of_each_length():
    [axes] = figures.bleu_by_length(PER_TYPE).axes
    assert [bar.get_height() for bar in axes.patches] == [31.0, 41.25, 28.0, 50.0]
    labels = [text.get_text() for text in axes.get_xticklabels()]
    assert labels == ["1–5\n18", "6–10\n1,402", "11–15\n30", "31+\n2"]
    written = [text.get_text() for text in axes.texts]
    assert written[:4] == ["31.0", "41.2", "28.0", "50.0"]


def test_few_sentences_are_pale_and_not_in_the_title():
    [axes] = figures.bleu_by_length(PER_TYPE).axes
    assert colours(axes) == [PALE_BLUE, BLUE, BLUE, PALE_BLUE]
    assert "pale: fewer than 30 sentences" in [text.get_text() for text in axes.texts]
    assert axes.get_title("left") == "BLEU 41.2 at 6–10 words, 28.0 at 11–15"
    [axes] = figures.bleu_by_length({"6-10": PER_TYPE["6-10"]}).axes
    assert axes.get_title("left") == "BLEU by length"
    assert len(axes.texts) == 1


def test_points_are_the_words_of_both_sides():
    [axes] = figures.translation_lengths(rows((10, 8), (4, 5), (3, 3))).axes
    points = next(line for line in axes.lines if line.get_marker() == "o")
    # Each is moved by less than half a word.
    assert points.get_xdata().round().tolist() == [10, 4, 3]
    assert points.get_ydata().round().tolist() == [8, 5, 3]
    assert axes.get_title("left") == "Translations have 94% of the references' words"


def test_a_translation_without_end_does_not_stretch_the_picture():
    [axes] = figures.translation_lengths(rows((10, 9), (5, 400), (4, 300))).axes
    assert axes.get_ylim()[1] == pytest.approx(12)
    [mark] = [line for line in axes.lines if line.get_marker() == "^"]
    assert mark.get_xdata().tolist() == [5, 4]
    assert mark.get_label() == "2 longer still"


def test_the_median_needs_five_references_of_a_length():
    pairs = [(6, 5), (6, 6), (6, 7), (6, 9), (6, 1)] + [(8, 7)] * 5 + [(9, 9)] * 4
    [axes] = figures.translation_lengths(rows(*pairs)).axes
    [line] = [line for line in axes.lines if "median" in line.get_label()]
    assert line.get_xdata().tolist() == [6, 8]
    assert line.get_ydata().tolist() == [6, 7]


@pytest.mark.parametrize(
    "figure",
    [
        lambda: figures.bleu_by_length({}),
        lambda: figures.bleu_by_length({"1-5": {"bleu": 0.0, "count": 0}}),
        lambda: figures.translation_lengths([]),
        lambda: figures.translation_lengths(rows((0, 0))),
    ],
)
def test_odd_results_are_drawn_too(figure):
    assert png(figure())
