"""Readers: what they yield, and the text of every complaint."""

import gzip

import pytest

from seqloom.pipelines.errors import UserError
from seqloom.pipelines.readers import (
    Skipped,
    detect_format,
    read_conll,
    read_conllu,
)
from seqloom.tasks.records import DataError


@pytest.fixture
def write(tmp_path):
    def write(content, name="my.conll"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def pairs(sentences):
    return [
        list(zip(sentence.tokens, sentence.tags, strict=True)) for sentence in sentences
    ]


def conllu(*rows):
    """Rows of (ID, FORM, UPOS), padded to the ten columns."""
    lines = [
        f"{number}\t{form}\t_\t{upos}\tXP\t_\t0\troot\t_\t_"
        for number, form, upos in rows
    ]
    return "\n".join(lines) + "\n\n"


def test_conll_columns(write):
    path = write(
        "-DOCSTART- -X- -X- O\n\nEU NNP  B-NP B-ORG\nrejects VBZ B-VP O\n\n\n"
        "Peter NNP B-NP B-PER\n"
    )
    sentences = list(read_conll(path))
    assert pairs(sentences) == [
        [("EU", "B-ORG"), ("rejects", "O")],
        [("Peter", "B-PER")],
    ]
    assert [sentence.where for sentence in sentences] == [f"{path}:3", f"{path}:7"]
    assert pairs(read_conll(path, tag_column=1))[1] == [("Peter", "NNP")]
    assert pairs(read_conll(path, token_column=1, tag_column=-2))[1] == [
        ("NNP", "B-NP")
    ]


def test_documents_part_sentences_and_may_have_other_columns(write):
    path = write("a O\n-DOCSTART-\nb O\n-DOCSTART- O O\n")
    assert pairs(read_conll(path)) == [[("a", "O")], [("b", "O")]]


def test_tokens_with_odd_spaces_stay_whole(write):
    tokens = ["a\u00a0b", "\u0085", "\u2028", "x\x0cy", "\u00a0", "\x1c", "new york"]
    path = write("".join(f"{token}\tO\n" for token in tokens))
    assert [token for token, _ in pairs(read_conll(path))[0]] == tokens
    blanks = write("".join(f"{token} O\n" for token in tokens[:-1]), "blanks.conll")
    assert [token for token, _ in pairs(read_conll(blanks))[0]] == tokens[:-1]


def test_windows_line_ends_byte_order_mark_and_gzip(write):
    path = write(gzip.compress(b"\xef\xbb\xbfa\tO\r\n\r\nb\tO\r\n"), "my.conll.gz")
    assert pairs(read_conll(path)) == [[("a", "O")], [("b", "O")]]


def test_reading_is_lazy(write):
    path = write("a O\n\nb O\n\nbroken\n")
    reader = read_conll(path)
    assert next(reader).tokens == ("a",)
    assert next(reader).tokens == ("b",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a O\nb O O\n", r"my.conll:2: 'b O O': 3 columns where .*line 1, has 2"),
        ("a\tO\nb O\n", r"my.conll:2: 'b O': 1 column where .*has 2 \(split at tabs"),
        ("a O\n# id = 7\n", r"my.conll:2: '# id = 7': 4 columns.*know no comments"),
        ("a\tO\n\tO\n", r"my.conll:2: '\\tO': the token is empty.*on_error=skip"),
        ("a\tO\n\nb\t\n", r"my.conll:3: 'b\\t': the tag is empty"),
        (
            b"a O\n\ncaf\xe9 O\n",
            r"my.conll:3: 'caf\\\\xe9 O': byte 0xe9 at position 4 is",
        ),
        (b"caf\xe9 O\n", r"iconv -f ISO-8859-1 -t UTF-8 .*my.conll"),
        ("a O\n".encode("utf-16"), r"my.conll:1: .*byte 0xff at position 1 .*UTF-16"),
        ("a O\n".encode("utf-16-le"), r"my.conll:1: .*NUL character.*iconv -f UTF-16"),
        (b"a O\rb O\r", r"my.conll:1: .*a carriage return inside.*tr "),
        ("a O\n" + "x" * 500 + "\n", r"my.conll:2: 'x{80}\.\.\.': 1 column where"),
        ("", "my.conll: no sentences: the file is empty"),
        ("\n \n\n", "my.conll: no sentences: the file is empty"),
    ],
)
def test_bad_conll(write, content, message):
    with pytest.raises(DataError, match=message):
        list(read_conll(write(content)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tag_column": 3}, r"data.tag_column=3, but line 1 has only 2 columns: 'a O'"),
        ({"tag_column": -3}, r"data.tag_column=-3, .* a number from 0 to 1"),
        ({"token_column": 2}, r"data.token_column=2, but line 1 has only 2 columns"),
        ({"tag_column": "UPOS"}, r"data.tag_column='UPOS': .*no names.*format=conllu"),
    ],
)
@pytest.mark.parametrize("on_error", ["stop", "skip"])
def test_columns_that_are_not_there(write, options, message, on_error):
    with pytest.raises(DataError, match=message):
        list(read_conll(write("a O\n"), on_error=on_error, **options))


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(UserError, match=r"none.conll: no such file.*data.train"):
        list(read_conll(tmp_path / "none.conll"))
    with pytest.raises(UserError, match=r"cannot be read \(Is a directory\)"):
        list(read_conll(tmp_path))


def test_truncated_gzip(write):
    packed = gzip.compress(b"a O\n\n" * 5000)
    path = write(packed[: len(packed) // 2], "my.conll.gz")
    with pytest.raises(DataError, match=r"gzip data is damaged.*gzip -t"):
        list(read_conll(path))


def test_skip_drops_the_sentence_and_counts(write, caplog):
    path = write(b"a O\n\nb O\nc O O\nd O O O\n\ncaf\xe9 O\n\ne O\n")
    skipped = Skipped()
    sentences = list(read_conll(path, on_error="skip", skipped=skipped))
    assert pairs(sentences) == [[("a", "O")], [("e", "O")]]
    assert skipped.count == 2
    assert "my.conll:4: 'c O O': 3 columns" in skipped.reasons[0]
    assert "my.conll:7" in skipped.reasons[1]
    assert "my.conll:4" in caplog.text


def test_skipping_everything_is_an_error(write):
    with pytest.raises(DataError, match=r"all 1 were dropped .*my.conll:1: 'caf"):
        list(read_conll(write(b"caf\xe9 O\n"), on_error="skip"))


def test_conllu(write):
    path = write(
        "# sent_id = 1\n# text = don't\n"
        + conllu((1, "I", "PRON"), ("2-3", "don't", "_"), (2, "do", "AUX"))[:-1]
        + conllu((3, "n't", "PART"), ("3.1", "go", "VERB"), (4, "#", "SYM"))
        + "# only a comment\n\n"
        + "# sent_id = 2\n"
        + conllu(("0.1", "ghost", "X"), (1, "New York", "PROPN")),
        "my.conllu",
    )
    sentences = list(read_conllu(path))
    assert pairs(sentences) == [
        [("I", "PRON"), ("do", "AUX"), ("n't", "PART"), ("#", "SYM")],
        [("New York", "PROPN")],
    ]
    assert sentences[0].where == f"{path}:3"
    assert pairs(read_conllu(path, tag_column="xpos"))[1] == [("New York", "XP")]
    assert pairs(read_conllu(path, tag_column=4))[1] == [("New York", "XP")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("1\ta\tO\n", r"my.conllu:1: '1\\ta\\tO': 3 columns where CoNLL-U has 10"),
        (conllu(("x", "a", "X")), r"my.conllu:1: .*ID 'x' is no CoNLL-U ID"),
        (
            conllu((1, "a", "X"), (3, "b", "X")),
            r"my.conllu:2: .*ID 3 where 2 comes next",
        ),
        (
            conllu((1, "a", "X"))[:-1] + conllu((1, "b", "X")),
            r"my.conllu:2: .*ID 1 where 2 comes next: .*blank line between",
        ),
        (conllu((1, "a", "_")), r"my.conllu:1: .*no tag in column UPOS \('_'\)"),
        (conllu((1, "", "X")), r"my.conllu:1: .*the token is empty"),
        ("# text = nothing\n\n", r"my.conllu: no sentences"),
    ],
)
def test_bad_conllu(write, content, message):
    with pytest.raises(DataError, match=message):
        list(read_conllu(write(content, "my.conllu")))


def test_unknown_conllu_column(write):
    with pytest.raises(DataError, match=r"data.tag_column='TAG' is no column .*UPOS"):
        list(read_conllu(write(conllu((1, "a", "X"))), tag_column="TAG"))


def test_format_by_name_or_by_content(write):
    rows = "# a comment\n" + conllu((1, "a", "X"))
    assert detect_format(write(rows, "a.conllu")) == "conllu"
    assert detect_format(write(rows, "a.txt")) == "conllu"
    assert detect_format(write("a O\n", "b.txt")) == "conll"
    assert detect_format(write(gzip.compress(rows.encode()), "c.conllu.gz")) == "conllu"
    assert detect_format(write("", "d.txt")) == "conll"
