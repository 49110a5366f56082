import io

import numpy as np
import pytest

from seqloom.tasks import alignment_figure as figures
from seqloom.tasks.alignment_figure import Alignment
from seqloom.tasks.heads_figure import MOST_PIECES, attention_heads, self_attention
from seqloom.tasks.heat_maps import label

SOURCE = ["▁Two", "▁dogs", ".", "</s>"]
TARGET = ["▁Zwei", "▁Hunde", "</s>"]
WEIGHTS = np.array([[0.7, 0.1, 0.1, 0.1], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5]])


def maps(figure):
    """The axes that hold a heat map, without the scale of the colours."""
    return [axes for axes in figure.axes if axes.images]


def shown(axes):
    return np.asarray(axes.images[0].get_array())


def names(axis):
    return [text.get_text() for text in axis.get_ticklabels()]


def texts(figure):
    return " | ".join(text.get_text() for text in figure.texts)


def png(figure):
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=50)
    return buffer.getvalue()


def boxes(figure):
    """Left, right, bottom and top of every heat map, from 0 to 1."""
    places = [axes.get_position() for axes in maps(figure)]
    return [(box.x0, box.x1, box.y0, box.y1) for box in places]


def test_rows_are_written_pieces_and_columns_read_ones():
    [axes] = maps(figures.alignment(SOURCE, TARGET, WEIGHTS))
    np.testing.assert_array_equal(shown(axes), WEIGHTS)
    assert names(axes.xaxis) == SOURCE
    assert names(axes.yaxis) == TARGET
    bottom, top = axes.get_ylim()
    assert bottom > top  # the first piece stands above


def test_a_weight_has_the_same_colour_in_every_picture():
    weak = np.full((3, 4), 0.01)
    pictures = [figures.alignment(SOURCE, TARGET, w) for w in (WEIGHTS, weak)]
    colours = [maps(p)[0].images[0].to_rgba(np.array([[0.25]])) for p in pictures]
    np.testing.assert_array_equal(*colours)
    # The square root of a quarter is half way from white to blue.
    assert maps(pictures[1])[0].images[0].norm(0.25) == pytest.approx(0.5)


def test_several_examples_share_a_page_and_do_not_overlap():
    examples = [Alignment(SOURCE, TARGET, WEIGHTS, f"step {i}00") for i in range(9)]
    figure = figures.alignments(examples)
    assert len(maps(figure)) == 9
    assert "step 000" in texts(figure) and "step 800" in texts(figure)
    assert figure.get_size_inches()[0] <= 13  # others stand below, not beside
    places = boxes(figure)
    for number, (x0, x1, y0, y1) in enumerate(places):
        assert 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1
        for u0, u1, v0, v1 in places[:number]:
            assert x0 >= u1 or x1 <= u0 or y0 >= v1 or y1 <= v0
    widths = {round(axes.get_window_extent().width) for axes in maps(figure)}
    assert len(widths) == 1


def test_too_many_examples_are_counted():
    figure = figures.alignments([Alignment(SOURCE, TARGET, WEIGHTS)] * 15)
    assert len(maps(figure)) == 12
    assert "3 more are not drawn." in texts(figure)
    assert "There are no examples." in texts(figures.alignments([]))


def test_a_long_sentence_is_cut_and_a_note_says_so():
    weights = np.random.default_rng(0).random((50, 63))
    source, target = [f"s{i}" for i in range(63)], [f"t{i}" for i in range(50)]
    figure = figures.alignment(source, target, weights, "A title")
    [axes] = maps(figure)
    np.testing.assert_array_equal(shown(axes), weights[:40, :40])
    assert names(axes.xaxis) == source[:40]
    assert "the first 40 of 63 source and of 50 target pieces" in texts(figure)
    short = figures.alignment(source[:3], target, weights[:, :3])
    assert "the first 40 of 50 target pieces" in texts(short)
    assert "first" not in texts(figures.alignment(SOURCE, TARGET, WEIGHTS))


def test_weights_that_do_not_fit_are_told():
    with pytest.raises(ValueError) as error:
        figures.alignment(SOURCE, TARGET, WEIGHTS.T)
    assert str(error.value) == (
        "3 target pieces and 4 source pieces need weights of the shape (3, 4), got "
        "(4, 3). Cut the padding off both."
    )


ODD = ["", "\n", "$x_1^2$", "<0xE2>", "▁北京", "❤️", "مرحبا", "a" * 70, "\x00", "\ud800"]


def test_any_script_can_be_a_piece():
    weights = np.eye(len(ODD))
    figure = figures.alignment(ODD, ODD, weights, "$a_b$ 北京")
    labels = names(maps(figure)[0].xaxis)
    assert labels[2] == "$x_1^2$"
    assert labels[7] == "a" * 17 + "…"
    assert all("\n" not in text and len(text) <= 18 for text in labels)
    assert png(figure)
    assert png(self_attention(ODD, weights[None, None]))


def test_what_no_font_has_is_a_square():
    assert label("\U000f0000x") == "□x"


@pytest.mark.parametrize(("target", "source"), [(0, 4), (3, 0), (0, 0)])
def test_empty_sides_are_drawn_too(target, source):
    weights = np.zeros((target, source))
    assert png(figures.alignment(SOURCE[:source], TARGET[:target], weights))


# === Heads ===


def test_a_map_for_each_layer_and_head():
    weights = np.random.default_rng(0).random((2, 3, 3, 4))
    figure = attention_heads(TARGET, SOURCE, weights, "Cross-attention")
    drawn = maps(figure)
    assert len(drawn) == 6
    for number, axes in enumerate(drawn):
        layer, head = divmod(number, 3)
        np.testing.assert_array_equal(shown(axes), weights[layer, head])
        place = axes.get_position()
        assert (place.x0, place.y0) == pytest.approx(
            (drawn[head].get_position().x0, drawn[3 * layer].get_position().y0)
        )
    assert [axes.get_title("left") for axes in drawn[:3]] == [
        "head 1",
        "head 2",
        "head 3",
    ]
    assert [axes.get_ylabel() for axes in drawn[::3]] == ["layer 1", "layer 2"]
    assert names(drawn[0].xaxis) == SOURCE
    assert names(drawn[3].yaxis) == TARGET
    assert names(drawn[4].xaxis) == names(drawn[4].yaxis) == []
    assert "Cross-attention" in texts(figure)


def test_heads_of_long_texts_are_cut():
    weights = np.random.default_rng(0).random((1, 2, 60, 60))
    figure = self_attention([f"w{i}" for i in range(60)], weights, "Decoder")
    expected = weights[0, 1, :MOST_PIECES, :MOST_PIECES]
    np.testing.assert_array_equal(shown(maps(figure)[1]), expected)
    assert f"the first {MOST_PIECES} of up to 60 pieces" in texts(figure)


@pytest.mark.parametrize("shape", [(2, 3, 3), (2, 3, 4, 3), (1, 2, 3, 3, 4)])
def test_heads_that_do_not_fit_are_told(shape):
    with pytest.raises(ValueError, match=r"are \(layers, heads, 3, 4\), got") as error:
        attention_heads(TARGET, SOURCE, np.zeros(shape))
    assert str(shape) in str(error.value)
