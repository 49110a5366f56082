import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from seqloom.tasks.tokenization import tokenize

graph = tf.function(tokenize, input_signature=[tf.TensorSpec([None], tf.string)])


def run(texts):
    """Rows of (token, start, end)."""
    tokens, starts, ends = (part.to_list() for part in graph(tf.constant(texts)))
    return [
        list(zip(*row, strict=True)) for row in zip(tokens, starts, ends, strict=True)
    ]


def words(text):
    return [token.decode() for token, _, _ in run([text])[0]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Rhea met Ada in Paris.", "Rhea met Ada in Paris ."),
        (
            "Mr. Ng didn't pay $3.5m, he's broke!",
            "Mr. Ng did n't pay $ 3.5m , he 's broke !",
        ),
        ("We won 1,000 of 2.50 (i.e. half).", "We won 1,000 of 2.50 ( i.e. half ) ."),
        ("the U.S.-led talks in the U.S. now", "the U.S.-led talks in the U.S. now"),
        ("a well-known man's men’s club", "a well-known man 's men ’s club"),
        ("\"Don't,\" they've said", "\" Do n't , \" they 've said"),
        ("J. Doe saw Dr. Roe...", "J. Doe saw Dr. Roe ..."),
        ("It was 1996. We lost 6-4, 2:29.34", "It was 1996 . We lost 6-4 , 2:29.34"),
        ("2. Finland 1:02", "2. Finland 1:02"),
        ("He came 2.", "He came 2 ."),
        ("2.", "2 ."),
        ("see https://a.b/c?d=e. Or me@x.org", "see https://a.b/c?d=e . Or me@x.org"),
        ("wait -- what?!", "wait -- what ?!"),
        ("Café Zoë in Łódź, naïve", "Café Zoë in Łódź , naïve"),
        ("«Привет», сказал он", "« Привет » , сказал он"),
        ("I❤️NY 👩‍👩‍👧👍🏽", "I ❤️ NY 👩‍👩‍👧 👍🏽"),
        ("US$5 and C$ 6", "US$ 5 and C$ 6"),
    ],
)
def test_english_conventions(text, expected):
    assert words(text) == expected.split()


@pytest.mark.parametrize(
    "text",
    [
        "Rhea met Ada in Paris .",
        'He said : " I ca n\'t , " and left ( soon ) .',
        "It 's the children 's U.S. dollar -- $ 3.5 million ...",
        "LEICESTERSHIRE TAKE OVER AT TOP AFTER INNINGS VICTORY .",
        "2. Michael Johnson ( U.S. ) 20.02",
        "Tel : +44 171 542-7947 , e.g. 1/2 or 1996/97 vs. 10th .500",
    ],
)
def test_text_set_apart_by_spaces_keeps_its_tokens(text):
    assert words(text) == text.split()


def test_offsets_are_bytes():
    assert run(["Ada's 😀", ""]) == [
        [(b"Ada", 0, 3), (b"'s", 3, 5), ("😀".encode(), 6, 10)],
        [],
    ]


def test_no_text_and_no_token():
    assert run(tf.zeros([0], tf.string)) == []
    assert run(["", " \n\t ", "\ufeff\u00a0\u3000"]) == [[], [], []]


def test_ten_thousand_characters():
    text = "Ada saw 😀 , " * 850
    row = run([text])[0]
    assert [token.decode() for token, _, _ in row] == text.split()
    assert len(run(["x" * 10_000])[0]) == 1


def test_invalid_utf8_is_replaced_but_offsets_stay():
    text = b"Ada \xff\xfe met \xe2\x82 Ng"
    assert run([text])[0] == [
        (b"Ada", 0, 3),
        ("\ufffd\ufffd".encode(), 4, 6),
        (b"met", 7, 10),
        ("\ufffd".encode(), 11, 13),
        (b"Ng", 14, 16),
    ]


@pytest.mark.parametrize(
    "raw", [b"\xe0\x80\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xf4\x8f\xbf\xbf"]
)
def test_overlong_surrogate_and_last_code_points_are_not_lost(raw):
    [(_, start, end)] = run([raw])[0]
    assert (start, end) == (0, len(raw))


def test_nul_is_white_space():
    assert run([b"a\x00b\x00"])[0] == [(b"a", 0, 1), (b"b", 2, 3)]


@given(st.lists(st.text(max_size=40), min_size=1, max_size=4))
@settings(max_examples=200, deadline=None)
def test_tokens_are_the_text_without_its_spaces(texts):
    rows = run([text.encode() for text in texts])
    assert len(rows) == len(texts)
    for text, row in zip(texts, rows, strict=True):
        raw, covered = text.encode(), 0
        for token, start, end in row:
            assert covered <= start < end
            assert raw[start:end] == token
            assert not any(letter.isspace() for letter in token.decode())
            assert is_white(raw[covered:start])
            covered = end
        assert is_white(raw[covered:])


@given(st.binary(max_size=40))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_covered(raw):
    covered = 0
    for token, start, end in run([raw])[0]:
        assert covered <= start < end
        assert is_white(raw[covered:start])
        token.decode()  # always valid
        covered = end
    assert is_white(raw[covered:])


def is_white(raw):
    """Whether bytes between tokens hold only spaces and control characters."""
    return not any(
        letter.isprintable() and not letter.isspace() for letter in raw.decode()
    )
