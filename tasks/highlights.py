"""Texts whose words are coloured by what they weigh in a classifier's answer.

Two kinds of weights can be shown. Attention says where the model looked, in one hue.
Integrated gradients say what spoke for the predicted label and what against it, in two.
"""

import html
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from seqloom.tasks.figure_style import BLUE, ORANGE

GREEN = "#009E73"  # apart from both others, from Okabe and Ito's palette too
LEGEND = (
    (GREEN, "looked at (attention)"),
    (BLUE, "speaks for the prediction (integrated gradients)"),
    (ORANGE, "speaks against it"),
)
HTML_CHARACTERS = 3000


@dataclass(frozen=True)
class HighlightedText:
    """One text with its prediction and the weights of its words.

    Args:
        text: What was classified.
        reference: The true label.
        prediction: The predicted one.
        score: Its probability.
        spans: Start and end of each word, in characters of `text`, in order.
        attention: A weight for each word, at least 0.
        gradients: A weight for each word, positive if it speaks for the prediction.
        heading: What the text is an example of, such as `best`; examples that follow
            each other with the same one stand under it together.

    Raises:
        ValueError: Spans overlap or leave the text, or weights are not one a span.
    """

    text: str
    reference: str
    prediction: str
    score: float
    spans: Sequence[tuple[int, int]]
    attention: Sequence[float] | None = None
    gradients: Sequence[float] | None = None
    heading: str = ""

    def __post_init__(self):
        _check_spans(self.text, self.spans)
        for name, weights in self.weights():
            if len(weights) != len(self.spans):
                raise ValueError(
                    f"{len(self.spans)} words have {len(weights)} weights of "
                    f"{name}, in the text {self.text[:60]!r}: each word needs one."
                )

    @property
    def correct(self) -> bool:
        return self.prediction == self.reference

    def weights(self) -> list[tuple[str, Sequence[float]]]:
        """The lists of weights that there are, with their names."""
        lists = (("attention", self.attention), ("gradients", self.gradients))
        return [(name, weights) for name, weights in lists if weights is not None]


def pieces(
    text: str, spans: Iterable[tuple[int, int]]
) -> Iterator[tuple[str, int | None]]:
    """The text in order: spans with their number, and what is between them with None.

    "a film." with [(0, 1), (2, 6)] is ("a", 0), (" ", None), ("film", 1), (".", None).
    """
    done = 0
    for number, (start, end) in enumerate(spans):
        if start > done:
            yield text[done:start], None
        yield text[start:end], number
        done = end
    if done < len(text):
        yield text[done:], None


def relative(weights: Sequence[float]) -> list[float]:
    """Weights from -1 to 1, where 1 is as strong as a weight of this text can look.

    That is the strongest one, but at least twice the mean: words that all weigh the
    same look alike, and none of them strong.
    """
    if not len(weights):
        return []
    sizes = [abs(float(weight)) for weight in weights]
    full = max(*sizes, 2 * sum(sizes) / len(sizes)) or 1.0
    return [float(weight) / full for weight in weights]


def shade(kind: str, strength: float) -> str:
    """Background, `#rrggbb`, of a word; black text stays readable on all of them.

    Args:
        kind: `attention` or `gradients`.
        strength: From -1 to 1, as in `relative`.
    """
    hue = GREEN if kind == "attention" else BLUE if strength >= 0 else ORANGE
    share = 0.75 * min(abs(strength), 1.0)
    parts = [int(hue[i : i + 2], 16) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(255 + share * (part - 255)):02x}" for part in parts)


def printable(text: str) -> str:
    """Control characters, which could steer a terminal, and halves of surrogate pairs,
    which no file can hold, are shown as U+FFFD."""
    return "".join(
        "\ufffd"
        if unicodedata.category(letter) in ("Cc", "Cs") and letter not in "\n\t"
        else letter
        for letter in text
    )


def cut(example: HighlightedText, limit: int) -> HighlightedText:
    """The example with at most `limit` characters, and then an ellipsis.

    It ends with a whole word, unless the first word alone is longer.
    """
    if len(example.text) <= limit:
        return example
    spans = [span for span in example.spans if span[1] <= limit]
    end = spans[-1][1] if spans else limit
    number = len(spans)
    return replace(
        example,
        text=example.text[:end].rstrip() + " …",
        spans=spans,
        attention=None if example.attention is None else example.attention[:number],
        gradients=None if example.gradients is None else example.gradients[:number],
    )


def sections(
    examples: Iterable[HighlightedText],
) -> Iterator[tuple[str, list[HighlightedText]]]:
    """Headings, and the examples under each."""
    for heading, group in groupby(examples, key=lambda example: example.heading):
        yield heading, list(group)


# === HTML ===


def highlights_html(examples: Iterable[HighlightedText]) -> str:
    """A page of texts with coloured words; everything is escaped, and no script runs.

    Pointing at a word shows its weight. Texts end after `HTML_CHARACTERS` characters.
    """
    body = [_html_legend()]
    for heading, group in sections(examples):
        if heading:
            body.append(f"<h2>{html.escape(printable(heading))}</h2>")
        body.extend(_html_example(example) for example in group)
    if len(body) == 1:
        body.append("<p>There are no texts.</p>")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        "<title>What the model looked at</title>\n"
        f"<style>\n{_CSS}</style></head>\n<body>\n<h1>What the model looked at</h1>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


_CSS = """\
body { font: 16px/1.6 system-ui, sans-serif; color: #222; margin: 2em auto;
  max-width: 52em; padding: 0 1em; }
h1 { font-size: 1.5em; } h2 { font-size: 1.2em; margin: 1.8em 0 .4em; }
article { border-top: 1px solid #ddd; padding: .7em 0; break-inside: avoid; }
.answer { margin: 0 0 .3em; } .wrong { color: #b03a00; }
figure { display: flex; gap: 1em; margin: .2em 0; }
figcaption { flex: 0 0 5.5em; color: #6b6b6b; font-size: .8em; line-height: 2; }
figure p { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; min-width: 0; }
.legend span { margin-right: 1.2em; white-space: nowrap; }
mark { color: #111; border-radius: .2em; padding: .1em .06em;
  print-color-adjust: exact; -webkit-print-color-adjust: exact; }
"""


def _html_legend() -> str:
    kinds = (("attention", 1.0), ("gradients", 1.0), ("gradients", -1.0))
    entries = [
        f'<span><mark style="background:{shade(*kind)}">&emsp;</mark> {name}</span>'
        for kind, (_, name) in zip(kinds, LEGEND, strict=True)
    ]
    return (
        f'<p class="legend">{" ".join(entries)}<br>The strongest words of each text '
        "have the full colour. Point at a word to see its weight.</p>"
    )


def _html_example(example: HighlightedText) -> str:
    mark, name = ("✓", "right") if example.correct else ("✗", "wrong")
    true = "" if example.correct else f", true: {_html_label(example.reference)}"
    answer = (
        f'<p class="answer {name}">{mark} {_html_label(example.prediction)} '
        f"{example.score:.1%}{true}</p>"
    )
    example = cut(example, HTML_CHARACTERS)
    rows = [
        f"<figure><figcaption>{kind}</figcaption>"
        f'<p dir="auto">{_html_words(example, kind, weights)}</p></figure>'
        for kind, weights in example.weights()
    ] or [f'<p dir="auto">{html.escape(printable(example.text))}</p>']
    return f"<article>{answer}\n" + "\n".join(rows) + "</article>"


def _html_label(label: str) -> str:
    return f"<b>{html.escape(printable(label))}</b>"


def _html_words(example: HighlightedText, kind: str, weights: Sequence[float]) -> str:
    strengths = relative(weights)
    parts = []
    for piece, number in pieces(example.text, example.spans):
        shown = html.escape(printable(piece))
        if number is not None:
            form = ".3f" if kind == "attention" else "+.3f"
            shown = (
                f'<mark style="background:{shade(kind, strengths[number])}" '
                f'title="{weights[number]:{form}}">{shown}</mark>'
            )
        parts.append(shown)
    return "".join(parts)


def _check_spans(text: str, spans: Sequence[tuple[int, int]]) -> None:
    done = 0
    for start, end in spans:
        if not done <= start <= end <= len(text):
            raise ValueError(
                f"The word from {start} to {end} does not follow one that ends at "
                f"{done}, in a text of {len(text)} characters, {text[:60]!r}: give "
                "spans in order, in characters and not in bytes."
            )
        done = end
