"""Readers of labelled texts: what they yield, and the text of every complaint."""

import csv
import gzip
import io
import json

import pytest

from seqloom.pipelines.errors import UserError
from seqloom.pipelines.readers import Skipped
from seqloom.pipelines.text_readers import detect_text_format, read_texts
from seqloom.tasks.records import DataError

OBJECT = '{"text": "a b", "label": "x"}\n'


@pytest.fixture
def write(tmp_path):
    def write(content, name="my.tsv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def pairs(texts):
    return [(text.text, text.label) for text in texts]


def complaint(path, *args, **options):
    with pytest.raises(DataError) as caught:
        list(read_texts(path, *args, **options))
    return str(caught.value)


def test_tsv(write):
    path = write('id\tlabel\ttext\n1\tgood \t A "fine, film.\n\n2\tbad\tx\u2028y\n')
    texts = list(read_texts(path))
    assert pairs(texts) == [(' A "fine, film.', "good"), ("x\u2028y", "bad")]
    assert [text.where for text in texts] == [f"{path}:2", f"{path}:4"]


def test_columns_by_name_or_by_number(write):
    path = write("sentence\tstars\nfine\t5\n")
    by_name = read_texts(path, text_column="sentence", label_column="stars")
    assert pairs(by_name) == [("fine", "5")]
    by_number = read_texts(path, text_column=0, label_column=1)
    assert pairs(by_number) == [("sentence", "stars"), ("fine", "5")]


def test_csv_is_what_the_csv_module_writes(write):
    rows = [
        ("text", "label"),
        ('He said "fine",\nand left.\n\nTwice.', "good"),
        ("plain", "bad"),
        ("comma, and 'quote'", "good"),
    ]
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\r\n").writerows(rows)
    path = write(buffer.getvalue(), "my.csv")
    texts = list(read_texts(path))
    assert pairs(texts) == rows[1:]
    assert [text.where.rpartition(":")[2] for text in texts] == ["2", "6", "7"]


def test_jsonl(write):
    lines = [
        {"text": "tab\tand\nline", "label": "ü", "id": 7},
        {"label": 2, "text": "number"},
        {"label": True, "text": "truth"},
    ]
    content = "\n\n".join(json.dumps(line) for line in lines)
    expected = [("tab\tand\nline", "ü"), ("number", "2"), ("truth", "true")]
    assert pairs(read_texts(write(content, "my.jsonl"))) == expected


@pytest.mark.parametrize("name", ["my.tsv.gz", "my.csv.gz", "my.jsonl.gz"])
def test_gzip_byte_order_mark_and_windows_line_ends(write, name):
    separator = "\t" if "tsv" in name else ","
    table = f"text{separator}label\r\nfine{separator}good\r\n"
    content = '{"text": "fine", "label": "good"}\r\n' if "jsonl" in name else table
    path = write(gzip.compress(b"\xef\xbb\xbf" + content.encode()), name)
    assert pairs(read_texts(path)) == [("fine", "good")]


def test_format_by_name_or_by_content(write):
    assert detect_text_format("a.TSV") == "tsv"
    assert detect_text_format("a.csv.gz") == "csv"
    assert detect_text_format("a.ndjson") == "jsonl"
    assert detect_text_format(write("\n" + OBJECT, "a.txt")) == "jsonl"
    assert detect_text_format(write("text\tlabel\n", "b.txt")) == "tsv"
    assert detect_text_format(write("text,label\n", "c.txt")) == "csv"


@pytest.mark.parametrize("layout", ["tsv", "csv", "jsonl"])
@pytest.mark.parametrize("size", [100_000, 1_000_000])
def test_a_long_text_passes(write, layout, size):
    text = "word " * (size // 5)
    row = {"tsv": f"text\tlabel\n{text}\tx\n", "csv": f'text,label\n"{text}",x\n'}
    content = row.get(layout) or json.dumps({"text": text, "label": "x"})
    assert pairs(read_texts(write(content), layout)) == [(text, "x")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text\tlabel\na\n", r"my.tsv:2: 'a': 1 column where line 1 has 2 (parted by"),
        ("text\tlabel\na\tb\tc\n", "my.tsv:2: 'a\\tb\\tc': 3 columns where line 1"),
        ("text\tlabel\n\n \tx\n", "my.tsv:3: ' \\tx': the text is empty. Correct it,"),
        ("text\tlabel\na\t \n", "my.tsv:2: 'a\\t ': the label is empty."),
        (b"text\tlabel\ncaf\xe9\tx\n", "byte 0xe9 at position 4 is not UTF-8. Conv"),
        (b"text\tlabel\ncaf\xe9\tx\n", "my.tsv > utf8.tsv`"),
        (b"t\xe9xt\tlabel\na\tx\n", "my.tsv:1: 't\\\\xe9xt\\tlabel': byte 0xe9"),
        ("", "my.tsv: no texts: the file is empty, or holds nothing below its first"),
        ("text\tlabel\n", "my.tsv: no texts: the file is empty, or holds nothing"),
    ],
)
def test_bad_tsv(write, content, message):
    assert message in complaint(write(content))


def test_a_column_that_is_not_there(write):
    message = complaint(write("id\ttxt\tlabel\n1\ta\tx\n"), on_error="skip")
    for part in (
        "my.tsv:1: there is no column 'text'. The names are: 'id', 'txt', 'label'.",
        "Did you mean 'txt'? Set data.text_column to the right one.",
        "in a file without names set data.text_column and data.label_column to numb",
    ):
        assert part in message
    message = complaint(write("text\ttext\tlabel\na\tb\tx\n"))
    assert "2 columns are called 'text' (data.text_column). Rename all but" in message
    message = complaint(write("a\tx\n"), text_column=0, label_column=2)
    assert "my.tsv:1: 'a\\tx': data.label_column=2, but the line has only 2" in message
    assert "give a number from 0 to 1" in message
    message = complaint(write('{"txt": "a", "label": "x"}', "a.jsonl"))
    assert "a.jsonl:1: " in message
    assert "there is no 'text'. The names are: 'txt', 'label'. Did you mean" in message
    message = complaint(write(OBJECT, "a.jsonl"), text_column=0, label_column=1)
    assert "data.text_column=0: the values of " in message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('text,label\na,x\n"b,x\nc,x\n', "my.csv:3: '\"b,x': a quote is opened here"),
        ('text,label\n"a"b,x\n', "my.csv:2: '\"a\"b,x': no CSV (',' expected after"),
        ("text,label\n\na,b,x\n", "my.csv:3: 'a,b,x': 3 columns where line 1 has 2"),
        ('text,label\n"a\nb",x\n"",y\n', "my.csv:4: '\"\",y': the text is empty."),
        (
            b'text,label\n"a\ncaf\xe9",x\n',
            "my.csv:2: '\"a\\ncaf\\\\xe9\",x': byte 0xe9",
        ),
    ],
)
def test_bad_csv(write, content, message):
    assert message in complaint(write(content, "my.csv"))


def test_a_quote_never_closed_stops_even_with_skip(write):
    path = write('text,label\na,x\n"b,x\nc,x\n', "my.csv")
    assert "never closed" in complaint(path, on_error="skip")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "a"', "no JSON: Expecting ',' delimiter at column 13. Every line"),
        ("[1]", "'[1]': a list where an object is wanted, such as"),
        ('{"text": null, "label": "x"}', "'text' must be a text, got null."),
        ('{"text": "a", "label": 1.5}', "a text or a whole number, got 1.5."),
        ('{"text": "a", "label": {}}', "a text or a whole number, got object."),
        ('{"text": "a \\ud83d", "label": "x"}', "'text' holds half a character (a"),
        ('{"text": "\\n", "label": "x"}', "the text is empty."),
        ("[" * 100_000, "no JSON that can be read: "),
    ],
)
def test_bad_jsonl(write, line, message):
    told = complaint(write(OBJECT + line + "\n", "my.jsonl"))
    assert "my.jsonl:2: " in told
    assert message in told
    assert len(told) < 500


def test_skip_drops_the_line_and_counts(write, caplog):
    skipped = Skipped(unit="text")
    content = b'text,label\n"a"b,x\ncaf\xe9,x\nc,x\n,x\nd,x,y\ne,y\n'
    texts = read_texts(write(content, "my.csv"), on_error="skip", skipped=skipped)
    assert pairs(texts) == [("c", "x"), ("e", "y")]
    assert skipped.count == 4
    places = [reason.split(": ")[0].rpartition(":")[2] for reason in skipped.reasons]
    assert places == ["2", "3", "5", "6"]
    assert "Skipped a text: " in caplog.text


def test_skipping_everything_is_an_error(write):
    told = complaint(write("text\tlabel\na\n", "my.tsv"), on_error="skip")
    assert "no texts: all 1 were dropped by data.on_error=skip, the first" in told
    assert "my.tsv:2: 'a': 1 column where" in told


def test_missing_file(tmp_path):
    with pytest.raises(UserError, match=r"none.txt: no such file.*data.train"):
        list(read_texts(tmp_path / "none.txt"))
