"""Readers of pairs: tables, two line files, Tatoeba's zips, and every complaint."""

import gzip
import re
import zipfile
from itertools import islice

import pytest

from seqloom.pipelines.errors import UserError
from seqloom.pipelines.pair_readers import (
    read_line_pairs,
    read_pair_table,
    read_tatoeba,
)
from seqloom.pipelines.readers import Skipped
from seqloom.tasks.records import DataError


@pytest.fixture
def write(tmp_path):
    def write(name, content):
        path = tmp_path / name
        content = content if isinstance(content, bytes) else content.encode()
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return path

    return write


def complaint(pairs):
    with pytest.raises(DataError) as error:
        list(pairs)
    return str(error.value)


# === Tables ===


@pytest.mark.parametrize("name", ["my.tsv", "my.tsv.gz"])
def test_table(write, name):
    path = write(
        name, "\ufeffA ball.\tEin Ball.\r\n\n Two  dogs \t Zwei Hunde\tCC BY\n"
    )
    assert list(read_pair_table(path)) == [
        ("A ball.", "Ein Ball.", f"{path}:1"),
        ("Two  dogs", "Zwei Hunde", f"{path}:3"),
    ]


def test_columns_by_number(write):
    path = write("my.tsv", "1\tEin\tOne\n2\tZwei\tTwo\n")
    pairs = read_pair_table(path, source_column=2, target_column=1)
    assert [pair[:2] for pair in pairs] == [("One", "Ein"), ("Two", "Zwei")]


def test_columns_by_name(write):
    path = write("my.tsv", "id\tde \ten\n1\tEin\tOne\n")
    (pair,) = read_pair_table(path, "en", "de")
    assert pair == ("One", "Ein", f"{path}:2")


@pytest.mark.parametrize(
    ("content", "columns", "parts"),
    [
        (
            "A\tB\nNo tab here\n",
            (),
            (
                "my.tsv:2: 'No tab here': no tab: a line holds a source, a tab and",
                "name it as data.train_target, data.dev_target or data.test_target",
                "data.on_error=skip",
            ),
        ),
        ("A\tB\n\tB\n", (), ("my.tsv:2: '\\tB': the source is empty. Correct it",)),
        ("A\tB\nA\t \n", (), ("my.tsv:2: 'A\\t ': the target is empty. Correct it",)),
        (
            "A\tB\tC\nA\tB\n",
            (0, 2),
            (
                "my.tsv:2: 'A\\tB': only 2 columns (parted by tabs), too few for ",
                "data.target_column=2.",
            ),
        ),
        (
            "src\ttgt\nA\tB\n",
            ("source", "tgt"),
            (
                "my.tsv:1: there is no column 'source'. The names are: 'src', 'tgt'.",
                "Did you mean 'src'? Set data.source_column to the right one.",
                "set data.source_column and data.target_column to numbers",
            ),
        ),
        (
            "en\ten\nA\tB\n",
            ("en", "de"),
            ("2 columns are called 'en' (data.source_column)",),
        ),
        (
            b"A\tB\ncaf\xe9\tB\n",
            (),
            (
                "my.tsv:2: ",
                "byte 0xe9 at position 4 is not",
            ),
        ),
        ("", (), ("my.tsv: no pairs: the file is empty",)),
        ("en\tde\n", ("en", "de"), ("no pairs: the file is empty, or holds nothing",)),
    ],
)
def test_bad_tables(write, content, columns, parts):
    message = complaint(read_pair_table(write("my.tsv", content), *columns))
    for part in parts:
        assert part in message


def test_bad_lines_are_skipped_and_counted(write):
    skipped = Skipped(unit="pair")
    path = write("my.tsv", "A\tB\nnone\n\tB\nC\tD\n")
    pairs = read_pair_table(path, on_error="skip", skipped=skipped)
    assert [pair.where for pair in pairs] == [f"{path}:1", f"{path}:4"]
    assert skipped.count == 2
    assert "no tab" in skipped.reasons[0]
    assert "source is empty" in skipped.reasons[1]
    path = write("bad.tsv", "none\n")
    message = complaint(read_pair_table(path, on_error="skip"))
    assert "no pairs: all 1 were dropped by data.on_error=skip, the first" in message


def test_missing_table(tmp_path):
    with pytest.raises(UserError, match=r"none.tsv: no such file"):
        list(read_pair_table(tmp_path / "none.tsv"))


# === Two line files ===


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_line_files(write, suffix):
    source = write(f"a.en{suffix}", "A ball.\n\nTwo\tdogs.\n")
    target = write("a.de", "Ein Ball.\r\n \r\nZwei Hunde.")
    assert list(read_line_pairs(source, target)) == [
        ("A ball.", "Ein Ball.", f"{source}:1"),
        ("Two\tdogs.", "Zwei Hunde.", f"{source}:3"),
    ]


@pytest.mark.parametrize("shorter", ["en", "de"])
@pytest.mark.parametrize("on_error", ["stop", "skip"])
def test_different_numbers_of_lines(write, shorter, on_error):
    lines = {"en": 1203, "de": 1203} | {shorter: 1001}
    paths = [write(f"a.{side}", "line\n" * number) for side, number in lines.items()]
    message = complaint(read_line_pairs(*paths, on_error=on_error))
    said = [f"{p} has {n:,} lines" for p, n in zip(paths, lines.values())]
    assert message.startswith(f"{said[0]} and {said[1]}: line n of one is the transl")
    assert "add or remove it" in message


def test_an_empty_side_names_its_own_file(write):
    source, target = write("a.en", "A\n\nC\n"), write("a.de", "X\nY\n\n")
    message = complaint(read_line_pairs(source, target))
    assert message.startswith(f"{source}:2: the source is empty. ")
    assert f"The other side, {target}:2, is 'Y'." in message
    skipped = Skipped(unit="pair")
    (pair,) = read_line_pairs(source, target, "skip", skipped)
    assert pair[:2] == ("A", "X")
    assert skipped.count == 2
    assert skipped.reasons[1].startswith(f"{target}:3: the target is empty. The other")
    assert f"{source}:3, is 'C'" in skipped.reasons[1]


def test_bad_bytes_of_either_side(write):
    good, bad = write("good", "A\nB\n"), write("bad", b"A\ncaf\xe9\n")
    for paths in ((good, bad), (bad, good)):
        message = complaint(read_line_pairs(*paths))
        assert message.startswith(f"{bad}:2: ")
        assert "byte 0xe9 at position 4 is not UTF-8" in message


def test_line_files_are_read_as_far_as_they_are_asked_for(write):
    """The damage further on shows that it has not been read."""
    source = write("a.en", b"A\n" * 50_000 + b"\xff\n")
    target = write("a.de", "X\n" * 50_001)
    pairs = read_line_pairs(source, target)
    assert len(list(islice(pairs, 50_000))) == 50_000
    with pytest.raises(DataError, match=r"a.en:50001: "):
        next(pairs)


# === Tatoeba ===


def zipped(tmp_path, content):
    path = tmp_path / "fra-eng.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("_about.txt", "no\tpair\n")
        packed.writestr("fra.txt", content)
    return path


def test_tatoeba_in_both_directions(tmp_path):
    path = zipped(tmp_path, "Go.\tVa !\nHi.\tSalut\u202f!\tCC-BY 2.0 (France)\r\n")
    where = [f"{path}!fra.txt:{n}" for n in (1, 2)]
    assert list(read_tatoeba(path, "fra.txt")) == [
        ("Go.", "Va !", where[0]),
        ("Hi.", "Salut\u202f!", where[1]),
    ]
    turned = list(read_tatoeba(path, "fra.txt", english_first=False))
    assert turned[1] == ("Salut\u202f!", "Hi.", where[1])


@pytest.mark.parametrize("line", [b"Go.", b"Go.\t \tCC", b"\tVa", b"Caf\xe9\tCaf\xe9"])
def test_bad_tatoeba(tmp_path, line):
    path = zipped(tmp_path, b"Go.\tVa\n" + line)
    with pytest.raises(
        DataError, match=re.escape(f"{path}!fra.txt:2: ") + ".*parted by"
    ):
        list(read_tatoeba(path, "fra.txt"))


def test_tatoeba_of_another_language(tmp_path):
    path = zipped(tmp_path, "Go.\tVa\n")
    with pytest.raises(UserError, match=r"holds no file 'fre.txt'. Did you mean 'fra"):
        list(read_tatoeba(path, "fre.txt"))
