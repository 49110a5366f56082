"""The pictures of captions: panels, contact sheets, bars; and words of pieces."""

import io
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.colors import to_hex

from seqloom.tasks.caption_figures import (
    CaptionedPicture,
    attention_by_word,
    contact_sheet,
    scene_parts,
    scores_by_image,
    words_of,
)
from seqloom.tasks.caption_panels import lines_of, scale_of, upsample
from seqloom.tasks.caption_sheet import peaked
from seqloom.tasks.classification_figures import PALE_BLUE
from seqloom.tasks.figure_style import BLUE, ORANGE
from seqloom.tasks.heat_maps import text_width

RANDOM = np.random.default_rng(0)
IMAGE = RANDOM.integers(0, 256, (40, 60, 3), dtype=np.uint8)
WORDS = ["two", "dogs", "run", "fast"]


def softmax(logits):
    weights = np.exp(logits - logits.max(axis=(1, 2), keepdims=True))
    return weights / weights.sum(axis=(1, 2), keepdims=True)


def grids(number, rows=3, columns=4):
    return softmax(RANDOM.normal(0, 2, (number, rows, columns)))


WEIGHTS = grids(4)


def panels(figure):
    """The axes with a picture and light on it."""
    return [axes for axes in figure.axes if len(axes.images) == 2]


def pictures(figure):
    return [axes for axes in figure.axes if len(axes.images) == 1]


def light(axes):
    return np.asarray(axes.images[1].get_array())


def texts(figure):
    return [text.get_text() for text in figure.texts]


def png(figure):
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=50)
    return buffer.getvalue()


def inches(axes):
    """Left, bottom, width and height."""
    width, height = axes.figure.get_size_inches()
    return np.array(axes.get_position().bounds) * [width, height, width, height]


def assert_apart(axes):
    """All are on the page, and none lies on another."""
    places = [one.get_position() for one in axes]
    for number, one in enumerate(places):
        assert 0 <= one.x0 < one.x1 <= 1 and 0 <= one.y0 < one.y1 <= 1
        for other in places[:number]:
            assert (
                one.x0 >= other.x1 - 1e-9
                or one.x1 <= other.x0 + 1e-9
                or one.y0 >= other.y1 - 1e-9
                or one.y1 <= other.y0 + 1e-9
            )


# === Weights on pixels ===


def test_each_pixel_has_the_mean_of_the_places_near_it():
    weights = WEIGHTS[0]
    found = upsample(weights, 6, 4)
    expected = np.zeros((6, 4))
    for y in range(6):
        for x in range(4):
            near = np.zeros((3, 4))
            for row in range(3):
                for column in range(4):
                    down, right = (y + 0.5) / 2 - (row + 0.5), x - column
                    near[row, column] = np.exp(-(down**2 + right**2) / (2 * 0.45**2))
            expected[y, x] = (near * weights).sum() / near.sum()
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_spreading_keeps_even_weights_bounds_and_the_place_of_the_peak():
    np.testing.assert_allclose(upsample(np.full((3, 5), 0.2), 31, 17), 0.2)
    peak = np.zeros((3, 5))
    peak[2, 1] = 1
    found = upsample(peak, 30, 50)
    assert found.min() >= 0
    assert 0.8 < found.max() <= 1
    row, column = np.unravel_index(found.argmax(), found.shape)
    assert (row // 10, column // 10) == (2, 1)


def test_the_scale_ends_above_most_weights_and_well_above_even_ones():
    looks = np.zeros((11, 2, 50))
    looks[:, 0, 0] = [0.12] * 9 + [0.9, 0.95]
    assert scale_of([looks[:4], looks[4:]]).vmax == 0.15
    assert scale_of([looks[:1], looks[-3:]]).vmax == 1.0
    even = np.full((3, 10, 10), 0.01)
    assert scale_of([even]).vmax == 0.05  # the first level above 4 %
    assert scale_of([even])(0.01) < 0.4
    assert scale_of([]).vmax == scale_of([np.ones((2, 1, 1))]).vmax == 1


# === Word by word ===


def test_the_picture_is_plain_first_and_then_light_where_each_word_looked():
    figure = attention_by_word(IMAGE, WORDS, WEIGHTS, "two dogs run fast")
    [plain] = pictures(figure)
    np.testing.assert_array_equal(plain.images[0].get_array(), IMAGE)
    assert len(panels(figure)) == 4
    for axes, weights in zip(panels(figure), WEIGHTS, strict=True):
        np.testing.assert_array_equal(light(axes), upsample(weights, 40, 60))
        grey = np.asarray(axes.images[0].get_array())
        assert grey.shape == (40, 60)
        assert grey.max() < 0.5 * 255
    shown = texts(figure)
    assert [text for text in shown if text in WORDS] == WORDS
    assert "two dogs run fast" in shown and "weight of a place" in shown
    assert_apart(figure.axes)


def test_a_word_stands_right_above_its_panel():
    figure = attention_by_word(IMAGE, WORDS * 2, np.tile(WEIGHTS, (2, 1, 1)))
    height = figure.get_size_inches()[1]
    words = [text for text in figure.texts if text.get_text() in WORDS]
    for word, axes in zip(words, panels(figure), strict=True):
        left, bottom, _, tall = inches(axes)
        x, y = word.get_position()
        assert x * figure.get_size_inches()[0] == pytest.approx(left)
        assert 0 < y * height - (bottom + tall) < 0.15


def test_panels_keep_the_shape_of_the_picture_and_wrap_after_six():
    figure = attention_by_word(IMAGE, ["w"] * 13, grids(13))
    places = np.array([inches(axes) for axes in figure.axes if axes.images])
    np.testing.assert_allclose(places[:, 2] / places[:, 3], 60 / 40)
    lines = np.unique(places[:, 1].round(3), return_counts=True)[1]
    assert sorted(lines) == [2, 6, 6]
    tall = attention_by_word(np.zeros((90, 20, 3), np.uint8), WORDS, WEIGHTS)
    assert inches(panels(tall)[0])[3] <= 2.0
    assert_apart(tall.axes)


def test_a_weight_has_one_colour_in_all_panels_and_more_is_lighter():
    figure = attention_by_word(IMAGE, WORDS, WEIGHTS)
    norms = {axes.images[1].norm.vmax for axes in panels(figure)}
    assert len(norms) == 1
    shades = panels(figure)[0].images[1].to_rgba(np.linspace(0, norms.pop(), 9))
    assert shades[0, 3] == 0  # nothing covers what was not looked at
    assert (np.diff(shades[:, 3]) > 0).all()
    bar = next(axes for axes in figure.axes if axes.get_xticklabels())
    labels = [text.get_text() for text in bar.get_xticklabels()]
    assert labels[0] == "0%" and labels[-1].startswith("≥ ")


def test_a_long_caption_is_cut_and_a_note_says_so():
    words = [f"w{i}" for i in range(31)]
    figure = attention_by_word(IMAGE, words, grids(31))
    assert len(panels(figure)) == 23
    assert "the first 23 of 31 words" in texts(figure)
    assert "w22" in texts(figure) and "w23" not in texts(figure)


def test_a_caption_without_words_is_a_plain_picture():
    figure = attention_by_word(IMAGE, [], np.zeros((0, 3, 4)))
    assert len(pictures(figure)) == 1 and not panels(figure)
    assert "There are no words." in texts(figure)
    assert png(figure)


@pytest.mark.parametrize("shape", [(3, 3, 4), (4, 12), (5, 3, 4)])
def test_weights_that_do_not_fit_are_told(shape):
    with pytest.raises(ValueError) as error:
        attention_by_word(IMAGE, WORDS, np.zeros(shape))
    assert str(error.value) == (
        f"4 words need weights of the shape (4, G, K), got {shape}. Cut the padding "
        "off, and give each word a grid."
    )


@pytest.mark.parametrize(
    "image", [IMAGE[..., 0], IMAGE[..., :2], IMAGE.astype("float32")]
)
def test_what_is_no_image_is_told(image):
    with pytest.raises(ValueError, match=r"has to be \(H, W, 3\) uint8, got \(40, 60"):
        attention_by_word(image, WORDS, WEIGHTS)


def test_weights_of_a_diverged_model_are_drawn_too():
    assert png(attention_by_word(IMAGE, WORDS, np.full((4, 3, 4), np.nan)))


# === Pieces and words ===


def test_pieces_are_joined_and_their_weights_averaged():
    pieces = ["▁two", "▁dog", "s", "▁in", "▁caf", "<0xC3>", "<0xA9>", "s"]
    weights = grids(8)
    words, means = words_of(pieces, weights)
    assert words == ["two", "dogs", "in", "cafés"]
    expected = [weights[0], weights[1:3].mean(0), weights[3], weights[4:].mean(0)]
    np.testing.assert_allclose(means, expected)
    np.testing.assert_allclose(means.sum(axis=(1, 2)), 1)


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        ([], []),
        (["▁"], []),
        (["dog"], ["dog"]),
        (["▁", "dog", "▁", "▁run"], ["dog", "run"]),
        (["▁dogs", ".", "▁"], ["dogs."]),
        (["▁", "<0xE2>", "<0x9D>", "<0xA4>", "▁it"], ["❤", "it"]),
        (["▁a", "<0x20>", "b"], ["a", "b"]),
        (["▁x", "<0xE2>", "y"], ["x\ufffdy"]),
        (["▁两只", "狗", "在", "。"], ["两只", "狗", "在。"]),
        (["<0xE7>", "<0x8B>", "<0x97>", "狗"], ["狗", "狗"]),
    ],
)
def test_odd_pieces_make_words_too(pieces, words):
    found, means = words_of(pieces, grids(len(pieces)))
    assert found == words
    assert means.shape == (len(words), 3, 4)


def test_weights_of_other_pieces_are_told():
    with pytest.raises(ValueError, match=r"2 pieces need weights of the shape \(2, G"):
        words_of(["▁a", "▁b"], WEIGHTS)


# === Contact sheet ===


def item(caption="two dogs run fast", **changes):
    references = ("Two dogs.", "Dogs run.", "A third one.")
    return CaptionedPicture(IMAGE, caption, references)._replace(**changes)


def looking(**changes):
    return item(words=WORDS, weights=WEIGHTS, **changes)


def test_a_card_has_the_picture_the_caption_and_two_references():
    figure = contact_sheet([item(), item("a cat")])
    assert len(pictures(figure)) == 2 and not panels(figure)
    shown = {text.get_text(): text for text in figure.texts}
    assert {"two dogs run fast", "a cat", "Two dogs.", "Dogs run."} <= set(shown)
    assert "A third one." not in shown and "weight of a place" not in shown
    assert shown["a cat"].get_weight() == "bold"
    assert shown["Two dogs."].get_weight() == "normal"
    assert_apart(figure.axes)


def test_verdicts_are_marked():
    right = item(verdict="correct", right=True)
    wrong = item(verdict="wrong: colour, count", right=False)
    figure = contact_sheet([right, wrong])
    shown = {text.get_text(): text.get_color() for text in figure.texts}
    assert shown["✓ correct"] == BLUE
    assert shown["✗ wrong: colour, count"] == ORANGE


def test_small_panels_are_of_words_that_looked_at_little():
    logits = np.zeros((7, 3, 4))
    # How peaked each is; the second looked at one place, but says nothing.
    for place, sharp in enumerate([1.0, 9.0, 4.0, 0.5, 5.0, 2.0, 3.0]):
        logits[place, place % 3, 1] = sharp
    words = ["old", "the", "red", "dim", "dogs", "run", "fast"]
    weights = softmax(logits)
    figure = contact_sheet([item(words=words, weights=weights)])
    chosen = [0, 2, 4, 5, 6]
    assert len(panels(figure)) == 5
    for axes, place in zip(panels(figure), chosen, strict=True):
        np.testing.assert_array_equal(light(axes), upsample(weights[place], 40, 60))
    shown = [text for text in texts(figure) if text in words]
    assert shown == ["old", "red", "dogs", "run", "fast"]
    assert "weight of a place" in texts(figure)
    assert_apart(figure.axes)


def test_punctuation_and_what_looked_nowhere_have_no_panel():
    words, weights = peaked(["a", "dog", ",", "runs"], WEIGHTS)
    assert words == ["dog", "runs"]
    np.testing.assert_array_equal(weights, WEIGHTS[[1, 3]])
    empty = WEIGHTS.copy()
    empty[1] = 0
    words, weights = peaked(["a", "dog", ",", "runs"], empty)
    assert words == ["runs"] and weights.shape == (1, 3, 4)
    assert peaked([], None)[0] == []


def test_a_caption_without_a_word_is_drawn_without_panels():
    none = np.zeros((0, 3, 4))
    words, weights = peaked([], none)
    assert words == [] and weights.shape == (0, 3, 4)
    said = [CaptionedPicture(IMAGE, text, ("Two dogs.",)) for text in ("", "Two dogs")]
    looked = [said[0]._replace(words=[], weights=none)]
    looked += [said[1]._replace(words=WORDS, weights=WEIGHTS)]
    sheet = contact_sheet(looked)
    assert "(nothing)" in texts(sheet) and len(panels(sheet)) == len(WORDS)
    assert png(sheet) and png(attention_by_word(IMAGE, [], none, ""))


def test_twelve_cards_share_a_page_and_the_others_are_counted():
    long = "a very long caption of a picture with a great many things in it " * 9
    items = [looking(caption=long, references=(long, long)) for _ in range(15)]
    figure = contact_sheet(items)
    assert len(pictures(figure)) == 12 and len(panels(figure)) == 48
    assert "3 more are not drawn." in texts(figure)
    assert_apart(figure.axes)
    figure.draw_without_rendering()
    page = figure.bbox
    for text in figure.texts:
        box = text.get_window_extent()
        assert box.x0 >= 0 and box.x1 <= page.x1 and box.y0 >= 0
    assert any(text.endswith("…") for text in texts(figure))


def test_no_picture_makes_an_empty_sheet():
    figure = contact_sheet([])
    assert "There are no pictures." in texts(figure)
    assert png(figure)


def test_a_caption_of_nothing_says_so():
    assert "(nothing)" in texts(contact_sheet([item("")]))


def test_weights_of_a_card_that_do_not_fit_are_told():
    with pytest.raises(ValueError, match=r"4 words need weights of the shape \(4, G"):
        contact_sheet([item(words=WORDS, weights=WEIGHTS[:3])])


ODD = ["北京的狗" * 30, "مرحبا", "$x_1^2$", "❤️ dog\n\x00", "a" * 400, "\ud800"]


def test_any_script_can_be_a_caption():
    items = [
        item(text, references=[text], words=[text], weights=WEIGHTS[:1]) for text in ODD
    ]
    figure = contact_sheet(items)
    assert "$x_1^2$" in texts(figure)
    assert png(figure)
    assert png(attention_by_word(IMAGE, ODD, grids(6), "\n".join(ODD)))


def test_lines_fill_their_width_and_not_more():
    text = "the quick brown fox jumps over the lazy dog " * 4
    lines = lines_of(text, 2.0, 9, 99)
    assert " ".join(lines).split() == text.split()
    assert all(text_width(line, 9) <= 2.02 for line in lines)
    for line, after in pairwise(lines):
        assert text_width(f"{line} {after.split()[0]}", 9) > 1.9
    cut = lines_of(text, 2.0, 9, 2)
    assert len(cut) == 2 and cut[1].endswith("…")
    assert text_width(cut[1], 9) <= 2.02


# === Shares and scores ===

VALUES = {
    "correct": 0.5,
    "correct_seen": 0.75,
    "correct_held_out": 0.25,
    "objects": 0.9,
    "colour": 0.8,
    "size": 0.7,
    "texture": 0.6,
    "count": 0.95,
    "relation": 0.55,
    "readable": 1.0,
}


def test_bars_are_the_shares_that_are_right():
    [axes] = scene_parts(VALUES).axes
    widths = [bar.get_width() for bar in axes.patches]
    assert widths == [0.5, 0.75, 0.25, 0.9, 0.8, 0.7, 0.6, 0.95, 0.55]
    assert [text.get_text() for text in axes.get_yticklabels()] == [
        "all of it",
        "seen pairs",
        "held-out pairs",
        "objects",
        "colour",
        "size",
        "texture",
        "count",
        "relation",
    ]
    assert [text.get_text() for text in axes.texts][:3] == ["50.0%", "75.0%", "25.0%"]
    colours = [to_hex(bar.get_facecolor()).upper() for bar in axes.patches]
    assert colours == [BLUE, BLUE, ORANGE] + [PALE_BLUE] * 6
    bottom, top = axes.get_ylim()
    assert bottom > top  # the first stands above
    title = "Held-out pairs: 50.0 points below seen ones"
    assert axes.get_title("left") == title


def test_what_is_not_there_is_not_drawn():
    values = {name: VALUES[name] for name in ("correct", "correct_seen", "count")}
    [axes] = scene_parts(values).axes
    assert len(axes.patches) == 3
    assert axes.get_title("left") == "50.0% of captions are right"
    assert png(scene_parts({}))


def test_titles_are_as_wide_as_the_figure_at_most():
    for values in (VALUES, {**VALUES, "correct_held_out": 1.0, "correct_seen": 0.0}):
        figure = scene_parts(values)
        figure.draw_without_rendering()
        [axes] = figure.axes
        title = axes._left_title.get_window_extent()
        assert title.x1 <= figure.bbox.x1


def test_bins_hold_all_images():
    scores = [0.0, 0.0, 0.4, 3.2]
    [axes] = scores_by_image(scores).axes
    assert sum(bar.get_height() for bar in axes.patches) == 4
    assert axes.get_title("left") == "CIDEr-D 0.90; 50% of images have none"
    names = [line.get_label() for line in axes.lines]
    assert names == ["mean 0.90", "median 0.20"]
    assert png(scores_by_image([]))
    assert png(scores_by_image([0.0]))
