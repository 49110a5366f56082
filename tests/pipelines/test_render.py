import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from seqloom.pipelines.render import (
    entities_html,
    prediction_rows,
    show_prediction,
    to_json,
)
from seqloom.pipelines.render_labels import rich_label

NER = {
    "text": "Zoë met Al.",
    "tokens": ["Zoë", "met", "Al", "."],
    "tags": ["B-PER", "O", "B-PER", "O"],
    "scores": [0.98, 0.99, 0.97, 1.0],
    "entities": [
        {"text": "Zoë", "type": "PER", "start": 0, "end": 3, "score": 0.98},
        {"text": "Al", "type": "PER", "start": 8, "end": 10, "score": 0.97},
    ],
}
LABEL = {
    "text": "a fine film, at first",
    "label": "negative",
    "score": 0.714,
    "probabilities": {"positive": 0.086, "negative": 0.714, "very odd": 0.2},
    "words": [
        {"text": "a", "start": 0, "end": 1, "weight": 0.05},
        {"text": "fine", "start": 2, "end": 6, "weight": 0.5},
        {"text": "film", "start": 7, "end": 11, "weight": 0.3},
        {"text": "at", "start": 13, "end": 15, "weight": 0.15},
    ],
    "truncated": False,
}
TRANSLATION = {
    "text": "Save changes",
    "translation": "Enregistrer\nles [b]modifications[/b]",
    "score": -0.314,
    "truncated": False,
}
SEVERAL = {
    **TRANSLATION,
    "translation": "Enregistrer",
    "translations": [
        {"text": "Enregistrer", "score": -0.314},
        {"text": "Sauver", "score": -1.5},
    ],
}
POS = {"text": "a dog", "tokens": ["a", "dog"], "tags": ["DT", "NN"], "scores": [1, 1]}


def shown(row, terminal):
    stream = io.StringIO()
    colours = {"force_terminal": True, "color_system": "standard"} if terminal else {}
    show_prediction(Console(file=stream, width=200, **colours), row)
    return stream.getvalue()


def plain(output):
    """What a terminal shows, without its colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", output)


def flat_outputs(text, pieces):
    """Outputs of the graph for one text: each piece is a token and an entity."""
    raw = text.encode()
    starts, ends, at = [], [], 0
    for piece in pieces:
        starts.append(raw.index(piece.encode(), at))
        at = starts[-1] + len(piece.encode())
        ends.append(at)
    number = [len(pieces)]
    names = np.array([piece.encode() for piece in pieces], object)
    scores = np.array([0.98] * len(pieces), np.float32)
    return {
        "tokens": names,
        "tags": np.array([b"B-PER"] * len(pieces), object),
        "scores": scores,
        "row_lengths": np.array(number),
        "entity_texts": names,
        "entity_types": np.array([b"PER"] * len(pieces), object),
        "entity_starts": np.array(starts),
        "entity_ends": np.array(ends),
        "entity_scores": scores,
        "entity_row_lengths": np.array(number),
    }


def test_rows_count_characters():
    text = "Zoë 👍🏽 saw 北京 Al"
    [row] = prediction_rows([text], flat_outputs(text, ["Zoë", "👍🏽", "北京", "Al"]))
    assert row["text"] == text
    assert row["tokens"] == ["Zoë", "👍🏽", "北京", "Al"]
    assert row["scores"] == [0.98] * 4
    for entity in row["entities"]:
        assert text[entity["start"] : entity["end"]] == entity["text"]


@given(st.lists(st.text("aé北😀", min_size=1), min_size=1, max_size=6))
@settings(deadline=None)
def test_characters_of_any_text(words):
    text = " ".join(words)
    [row] = prediction_rows([text], flat_outputs(text, words))
    found = [text[e["start"] : e["end"]] for e in row["entities"]]
    assert found == words


def test_rows_of_invalid_bytes():
    outputs = flat_outputs("??? Al", ["Al"])
    [row] = prediction_rows([b"\xff\xff\xff Al"], outputs)
    assert row["text"] == "\ufffd\ufffd\ufffd Al"
    [entity] = row["entities"]
    assert row["text"][entity["start"] : entity["end"]] == "Al"


def test_no_rows():
    empty = flat_outputs("", [])
    empty |= {"row_lengths": np.array([], int), "entity_row_lengths": np.array([], int)}
    assert prediction_rows([], empty) == []


def test_plain_when_piped():
    assert shown(NER, terminal=False) == "[Zoë PER 0.98] met [Al PER 0.97].\n"
    assert shown(POS, terminal=False) == "a/DT dog/NN\n"


def test_coloured_on_a_terminal():
    out = shown(NER, terminal=True)
    assert "\x1b[" in out
    assert "Zoë" in out
    assert "PER 0.98" in out
    assert "dog" in shown(POS, terminal=True)


def test_a_label_is_a_line_when_piped():
    assert shown(LABEL, terminal=False) == "negative 0.71  a fine film, at first\n"
    lines = {**LABEL, "text": "\ta\n[b]fine[/b]\r\nfilm "}
    assert shown(lines, terminal=False) == "negative 0.71  a [b]fine[/b] film\n"
    assert shown({**LABEL, "text": ""}, terminal=False) == "negative 0.71\n"


def test_a_label_comes_with_all_probabilities_on_a_terminal():
    label, *bars, text = plain(shown(LABEL, terminal=True)).splitlines()
    assert label == "negative 0.71"
    assert bars == [
        "  negative ━━━━━━━━━━  71.4%",
        "  very odd ━━━━━━━━━━  20.0%",
        "  positive ━━━━━━━━━━   8.6%",
    ]
    assert text == LABEL["text"]
    filled = [
        line.split("\x1b[36m")[1].split("\x1b")[0]
        for line in shown(LABEL, terminal=True).splitlines()[1:4]
    ]
    assert filled == ["━" * 7, "━" * 2, "━"]


def test_words_look_the_stronger_the_more_they_weigh():
    styles = {
        span.style: str(rich_label(LABEL))[span.start : span.end]
        for span in rich_label(LABEL).spans
    }
    # Shares of the strongest: 0.1, 1, 0.6 and 0.3.
    assert styles["bold black on color(214)"] == "fine"
    assert styles["black on color(222)"] == "film"
    assert styles["black on color(230)"] == "at"
    assert "a" not in styles.values()
    out = shown({**LABEL, "label": "x"}, terminal=True).splitlines()[-1]
    assert out.startswith("a \x1b[1;") and plain(out) == LABEL["text"]


def test_labels_without_words_are_shown_too():
    row = {key: value for key, value in LABEL.items() if key != "words"}
    assert plain(shown(row, terminal=True)).endswith("\na fine film, at first\n")
    silent = plain(shown({**LABEL, "text": " ", "words": []}, True))
    assert silent.endswith(
        "[no words: what the model answers to a text that says nothing]\n"
    )


@pytest.mark.parametrize("terminal", [True, False])
def test_a_text_that_was_too_long_says_so(terminal):
    row = {**LABEL, "truncated": True}
    note = "[too long: only the first 15 characters were read]"
    assert plain(shown(row, terminal)).endswith(f"a fine film, at first  {note}\n")
    row["words"] = []
    note = "[too long: its end was not read]"
    assert plain(shown(row, terminal)).endswith(f"a fine film, at first  {note}\n")


def test_a_translation_alone_is_a_line_when_piped():
    line = "Enregistrer les [b]modifications[/b]\n"
    assert shown(TRANSLATION, terminal=False) == line
    assert shown({**TRANSLATION, "truncated": True}, terminal=False) == line
    assert shown({**TRANSLATION, "translation": ""}, terminal=False) == "\n"
    expected = "1 -0.31  Enregistrer\n2 -1.50  Sauver\n"
    assert shown(SEVERAL, terminal=False) == expected


def test_translations_on_a_terminal_have_scores_and_numbers():
    found = shown(TRANSLATION, terminal=True)
    assert plain(found) == "Enregistrer\nles [b]modifications[/b]  -0.31\n"
    assert "\x1b[1mEnregistrer" in found and "\x1b[2m  -0.31" in found
    expected = "1. Enregistrer  -0.31\n2. Sauver  -1.50\n"
    assert plain(shown(SEVERAL, terminal=True)) == expected
    cut = plain(shown({**SEVERAL, "truncated": True}, terminal=True))
    assert cut.endswith("Sauver  -1.50  [too long: its end was not read]\n")


def test_brackets_are_not_markup():
    row = {**NER, "text": "[bold]x[/bold]", "entities": []}
    assert shown(row, terminal=False) == "[bold]x[/bold]\n"


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize(
    "row",
    [
        {**NER, "text": "\x1b[2Jgone\x07", "entities": []},
        {**LABEL, "text": "\x1b[2Jgone\x07", "words": []},
        {**LABEL, "label": "\x1b[2Jgone\x07"},
        {**POS, "tokens": ["\x1b[2Jgone\x07"], "tags": ["NN"]},
        {**TRANSLATION, "translation": "\x1b[2Jgone\x07"},
        {**SEVERAL, "translations": [{"text": "\x1b[2Jgone\x07", "score": 0.0}]},
    ],
)
def test_text_cannot_steer_the_terminal(terminal, row):
    assert "\x1b[2J" not in shown(row, terminal)
    assert "\ufffd[2Jgone\ufffd" in shown(row, terminal)


def test_json_is_one_line():
    line = to_json({**NER, "text": "a\nZoë"})
    assert "\n" not in line
    assert "Zoë" in line
    assert json.loads(line)["entities"] == NER["entities"]


def test_html_escapes_everything():
    evil = '<script>alert("x")</script>'
    entity = {"text": evil, "type": "<b>&", "start": 0, "end": len(evil), "score": 0.5}
    page = entities_html([{"text": evil + " <i>", "entities": [entity]}, NER])
    tags = []

    class Parser(HTMLParser):
        def handle_starttag(self, tag, attrs):
            tags.append(tag)

    Parser().feed(page)
    assert "script" not in tags
    assert "i" not in tags
    assert tags.count("mark") == 3
    assert "&lt;script&gt;" in page
    assert "Zoë <b>PER</b>" in page
