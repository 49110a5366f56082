import io
import re
import warnings
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.font_manager import FontProperties, findfont, get_font

from seqloom.tasks.highlights import (
    HighlightedText,
    cut,
    highlights_html,
    pieces,
    printable,
    relative,
    shade,
)
from seqloom.tasks.highlights_figure import (
    Page,
    drawable,
    drawable_pieces,
    highlights_figure,
    place,
)

ODD = [
    "costs $5 and _x^2_ $\\alpha$ \\frac{1}{2 }$",
    "Zoë 👍🏽 saw 北京 👨‍👩‍👧 e\u0301",
    "فيلم رائع with English שלום",
    "x" * 100_000,
    "a\x00b\x1b[2J\u202e\ud800 c\nd\te",
    "   ",
    "",
]


def example(text, heading="", **others):
    spans = [found.span() for found in re.finditer(r"\S+", text)]
    weights = [1 / max(len(spans), 1)] * len(spans)
    signed = [(-1) ** i * (i + 1.0) for i in range(len(spans))]
    lists = {"attention": weights, "gradients": signed, **others}
    return HighlightedText(text, "good", "bad", 0.71, spans, heading=heading, **lists)


def png(figure):
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=50)
    return buffer.getvalue()


class Parsed(HTMLParser):
    """Tags, headings, and the text and title of each <mark>."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.marks, self.styles, self.headings = [], [], [], []
        self._open = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self._open.append(tag)
        found = dict(attributes)
        if tag == "mark":
            self.marks.append(["", found.get("title")])
            self.styles.append(found["style"])

    def handle_endtag(self, tag):
        self._open.pop()

    def handle_data(self, data):
        if self._open[-1:] == ["mark"]:
            self.marks[-1][0] += data
        if self._open[-1:] == ["h2"]:
            self.headings.append(data)


# === What is shown ===


def test_pieces_are_the_text():
    assert list(pieces("a film.", [(0, 1), (2, 6)])) == [
        ("a", 0),
        (" ", None),
        ("film", 1),
        (".", None),
    ]


@given(st.text(max_size=40), st.data())
@settings(deadline=None)
def test_pieces_lose_nothing(text, data):
    points = data.draw(st.lists(st.integers(0, len(text)), max_size=8).map(sorted))
    spans = list(zip(points[::2], points[1::2]))
    found = list(pieces(text, spans))
    assert "".join(piece for piece, _ in found) == text
    numbered = [(piece, number) for piece, number in found if number is not None]
    assert numbered == [(text[a:b], i) for i, (a, b) in enumerate(spans)]


def test_the_strongest_word_is_full_unless_all_weigh_the_same():
    assert relative([0.1, 0.1, 0.8]) == pytest.approx([0.125, 0.125, 1.0])
    assert relative([0.25] * 4) == [0.5] * 4
    assert relative([-3, 1, 0]) == pytest.approx([-1, 1 / 3, 0])
    assert relative([0, 0]) == [0, 0]
    assert relative([]) == []


def test_shades_grow_from_white_in_their_hue():
    assert shade("attention", 0) == shade("gradients", 0) == "#ffffff"
    # Three quarters of the way from white to #D55E00 and to #0072B2.
    assert shade("gradients", -1) == "#e08640"
    assert shade("gradients", 1) == "#4095c5"
    assert shade("attention", 0.5) == shade("attention", -0.5)


def test_black_text_is_readable_on_every_shade():
    for kind, strength in (("attention", 1), ("gradients", 1), ("gradients", -1)):
        colour = shade(kind, strength)
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        red, green, blue = (
            c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4
            for c in channels
        )
        luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
        assert (luminance + 0.05) / 0.05 > 4.5  # WCAG 2.1, AA


def test_a_cut_text_keeps_whole_words_and_their_weights():
    short = cut(example("one two three four"), 10)
    assert short.text == "one two …"
    assert list(short.spans) == [(0, 3), (4, 7)]
    assert short.attention == [0.25, 0.25]
    assert short.gradients == [1, -2]
    whole = example("one two")
    assert cut(whole, 7) is whole
    assert cut(example("x" * 50), 5).text == "xxxxx …"


def test_control_characters_are_made_visible():
    assert printable("a\x1b[2J\x00\ud800\nb\t") == "a\ufffd[2J\ufffd\ufffd\nb\t"


# === HTML ===


def test_words_carry_their_weights():
    text = HighlightedText(
        "a fine film", "good", "bad", 0.7, [(2, 6), (7, 11)], [0.2, 0.8], [0.5, -0.25]
    )
    page = Parsed(highlights_html([text]))
    legend, words = page.marks[:3], page.marks[3:]
    assert [title for _, title in legend] == [None] * 3
    assert words == [
        ["fine", "0.200"],
        ["film", "0.800"],
        ["fine", "+0.500"],
        ["film", "-0.250"],
    ]
    full, half = (shade("gradients", s) for s in (0.5 / 0.75, -0.25 / 0.75))
    assert page.styles[5:] == [f"background:{full}", f"background:{half}"]


def test_the_page_says_what_was_right_and_under_which_heading():
    right = HighlightedText("x", "<good>", "<good>", 0.987, [(0, 1)], [1.0])
    page = highlights_html(
        [example("x", "best"), example("y", "best"), example("z", "worst"), right]
    )
    assert Parsed(page).headings == ["best", "worst"]
    assert "✗ <b>bad</b> 71.0%, true: <b>good</b>" in page
    assert "✓ <b>&lt;good&gt;</b> 98.7%</p>" in page
    assert page.count("gradients</figcaption>") == 3


def test_everything_is_escaped():
    evil = '<script>alert("x")</script> <i>&amp;'
    text = example(evil, evil, attention=None)
    text = HighlightedText(**{**vars(text), "reference": evil, "prediction": evil})
    page = highlights_html([text])
    assert not {"script", "i"} & set(Parsed(page).tags)
    assert "&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;" in page
    assert [mark for mark, _ in Parsed(page).marks[3:]] == evil.split()


def test_texts_of_any_kind_have_a_page():
    page = highlights_html([example(text, "odd") for text in ODD])
    page.encode()  # half a surrogate pair would fail
    assert "\x1b" not in page and "\x00" not in page
    assert "x" * 3000 + " …" in page and "x" * 3001 not in page
    assert page.count('dir="auto"') == 2 * len(ODD)
    assert "There are no texts." in highlights_html([])
    unweighed = HighlightedText("<a>", "x", "y", 0.5, [])
    assert '<p dir="auto">&lt;a&gt;</p>' in highlights_html([unweighed])


# === Picture ===


def seven(text):
    """A typewriter: 7 points a character."""
    return 7.0 * len(text)


def lines_of(placed):
    lines = {}
    for piece in placed:
        lines.setdefault(piece.line, []).append(piece.text)
    return list(lines.values())


def test_lines_end_between_words_but_not_before_a_full_stop():
    text = HighlightedText("to the end. So", "", "", 0, [(0, 2), (3, 6), (7, 10)])
    groups = drawable_pieces(text)
    assert groups == [[("to", 0)], [("the", 1)], [("end", 2), (".", None)]] + [
        [("So", None)]
    ]
    placed = list(place(groups, 90.0, seven))
    assert lines_of(placed) == [["to", "the", "end", "."], ["So"]]
    assert lines_of(place(groups, 78.0, seven)) == [["to", "the"], ["end", ".", "So"]]
    assert [piece.number for piece in placed] == [0, 1, 2, None, None]


def test_what_no_line_can_hold_is_split():
    placed = list(place([[("a", 0)], [("x" * 25, 1)]], 75.0, seven))
    assert lines_of(placed) == [["a"], ["x" * 10], ["x" * 10], ["x" * 5]]
    narrow = list(place([[("wide", 0)]], 1.0, seven))
    assert lines_of(narrow) == [["w"], ["i"], ["d"], ["e"]]


@given(st.lists(st.lists(st.text("abc", min_size=1), min_size=1), max_size=8))
@settings(deadline=None)
def test_nothing_is_lost_or_overlaps(words):
    groups = [[(word, i) for i, word in enumerate(group)] for group in words]
    placed = list(place(groups, 60.0, seven))
    assert "".join(p.text for p in placed) == "".join(w for g in words for w in g)
    for one, two in pairwise(placed):
        assert two.line > one.line or two.x >= one.x + one.width - 1e-9
    assert all(p.x + p.width <= 60 + 1e-9 for p in placed)


def test_widths_are_those_of_the_font():
    # Advances in units of the em, straight from the font's table, at 10 points.
    font = get_font(findfont(FontProperties(family="DejaVu Sans")))
    font.set_size(10, 720)
    expected = sum(font.load_char(ord(c)).linearHoriAdvance for c in "word") / 65536
    assert Page().width("word") == pytest.approx(expected / 10, rel=0.05)
    assert Page().width(" ") > 2


def test_words_are_boxes_of_their_colour_behind_their_text():
    text = HighlightedText(
        "a fine film", "good", "bad", 0.7, [(2, 6), (7, 11)], [0.2, 0.8]
    )
    axes = highlights_figure([text]).axes[0]
    texts = {item.get_text(): item.get_position() for item in axes.texts}
    boxes = axes.patches[3:]  # after the legend's
    colours = [shade("attention", 0.2), shade("attention", 0.8)]
    for box, word, colour in zip(boxes, ["fine", "film"], colours, strict=True):
        extent = box.get_bbox()
        x, y = texts[word]
        assert extent.x0 < x < extent.x1
        assert extent.y0 < y < extent.y1
        rgb = [round(255 * part) for part in box.get_facecolor()[:3]]
        assert rgb == [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    assert "✗ bad 70.0%, true: good" in texts


def test_texts_of_any_kind_are_drawn_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert png(highlights_figure([example(text, text[:50]) for text in ODD]))
        assert png(highlights_figure([]))


def test_what_no_font_has_is_a_square():
    assert drawable("a\u0378\n$b$") == "a□ $b$"  # U+0378 is no character
    assert drawable("x\U000e0100") == "x"  # a variation selector


def test_only_the_first_texts_are_drawn():
    axes = highlights_figure([example(f"text{i}") for i in range(15)]).axes[0]
    texts = [item.get_text() for item in axes.texts]
    assert "text11" in texts and "text12" not in texts
    assert "3 more are not drawn." in texts


# === Bad input ===


@pytest.mark.parametrize(
    ("spans", "message"),
    [
        ([(0, 3), (2, 5)], "from 2 to 5 does not follow one that ends at 3"),
        ([(0, 30)], "from 0 to 30 .* a text of 9 characters"),
        ([(5, 3)], "from 5 to 3"),
    ],
)
def test_spans_outside_of_the_text_are_refused(spans, message):
    with pytest.raises(ValueError, match=message):
        HighlightedText("some text", "a", "b", 0.5, spans)


@pytest.mark.parametrize("name", ["attention", "gradients"])
def test_each_word_needs_a_weight(name):
    with pytest.raises(ValueError, match=f"1 words have 2 weights of {name}"):
        HighlightedText("some text", "a", "b", 0.5, [(0, 4)], **{name: [1, 2]})
