"""The sentiment corpora's files: rated snippets, and trees."""

import random

import pytest

from seqloom.pipelines.sentiment_readers import parse_tree, read_snippets, read_trees
from seqloom.tasks.records import DataError

TREE = "(3 (2 A) (3 (4 fine) (2 film)))"


@pytest.fixture
def write(tmp_path):
    def write(content):
        path = tmp_path / "trees.txt"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def test_snippets(write):
    rows = [("-0.5", "bad"), ("-0.49", "so so"), ("0.5", "fine"), ("0.499", "café")]
    lines = [f"{n}\t{mean}\t{text}\r\n" for n, (mean, text) in enumerate(rows)]
    path = write("".join(lines))
    snippets = list(read_snippets(path))
    assert [(snippet.text, snippet.label) for snippet in snippets] == [
        ("bad", "negative"),
        ("so so", "neutral"),
        ("fine", "positive"),
        ("café", "neutral"),
    ]
    assert snippets[3].where == f"{path}:4"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"2\tx\ttext", r"trees.txt:2: '2\\tx\\ttext': no number, rating and text"),
        (b"2\t1.0", "trees.txt:2: .*no number, rating and text, parted by tabs"),
        (b"2\t1.0\t ", "trees.txt:2: "),
        (b"2\t1.0\tcaf\xe9", "trees.txt:2: .*byte 0xe9 at position 10 is not UTF-8"),
    ],
)
def test_bad_snippets(write, line, message):
    with pytest.raises(DataError, match=message):
        list(read_snippets(write(b"1\t1.0\tgood\n" + line + b"\n")))


def test_tree():
    assert [tuple(node) for node in parse_tree(TREE)] == [
        (2, ("A",)),
        (4, ("fine",)),
        (2, ("film",)),
        (3, ("fine", "film")),
        (3, ("A", "fine", "film")),
    ]
    (leaf,) = parse_tree(" (0 -LRB-) ")
    assert leaf.text == "("
    assert parse_tree(r"(1 (2 and\/or) (2 -RRB-))")[-1].text == "and/or )"


def brackets(tree):
    """Write a tree of (rating, word) and (rating, left, right)."""
    rating, *below = tree
    inner = below[0] if len(below) == 1 else " ".join(map(brackets, below))
    return f"({rating} {inner})"


def nodes(tree):
    """Reference: all (rating, words) of a tree, by recursion."""
    rating, *below = tree
    if len(below) == 1:
        return [(rating, (below[0],))]
    left, right = map(nodes, below)
    return [*left, *right, (rating, left[-1][1] + right[-1][1])]


def test_random_trees():
    generator = random.Random(5)

    def grow(depth):
        rating = generator.randrange(5)
        if not depth or generator.random() < 0.2:
            return (rating, generator.choice(("a", "'s", "``", "1.5", "é")))
        return (rating, grow(depth - 1), grow(depth - 1))

    for _ in range(50):
        tree = grow(6)
        assert [tuple(node) for node in parse_tree(brackets(tree))] == nodes(tree)


def test_a_deep_tree_needs_no_recursion():
    depth = 5000
    line = "(2 (2 a) " * depth + "(2 b)" + ")" * depth
    assert parse_tree(line)[-1].words == ("a",) * depth + ("b",)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("(3 (2 A) (3 (4 fine) (2 film))", "1 brackets are not closed"),
        (TREE + ")", "')' stands after the end of the tree"),
        (TREE + " x", "'x' stands after the end of the tree"),
        ("(5 A)", "'5' where a rating from 0 to 4 is expected"),
        ("(12 A)", "'12' where a rating from 0 to 4"),
        ("(3", "1 brackets are not closed"),
        ("(", "'nothing' where a rating"),
        ("(3 )", "a node without a word"),
        ("film", "'film' where a tree, (rating ...), is expected"),
    ],
)
def test_bad_trees(write, line, message):
    path = write(f"{TREE}\n{line}\n")
    with pytest.raises(DataError) as error:
        list(read_trees(path, {3: "good"}))
    assert f"{path}:2: {line!r}: {message}" in str(error.value)


def test_sentences_and_phrases_of_trees(write):
    path = write(f"{TREE}\n(2 (2 A) (2 film))\n\n(1 (2 no) (4 fine))\n")
    labels = {1: "bad", 3: "good", 4: "good"}
    sentences = list(read_trees(path, labels))
    assert [tuple(text) for text in sentences] == [
        ("A fine film", "good", f"{path}:1"),
        ("no fine", "bad", f"{path}:4"),
    ]
    phrases = list(read_trees(path, labels, phrases=True))
    assert [(text.text, text.label) for text in phrases] == [
        ("A fine film", "good"),
        ("fine film", "good"),
        ("fine", "good"),
        ("no fine", "bad"),
    ]
