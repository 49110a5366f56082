"""Rows through a function in sorted groups: as if one by one, in their order."""

import numpy as np
import pytest
import tensorflow as tf

from seqloom.tasks import sorted_rows
from seqloom.tasks.sorted_rows import map_groups, map_sorted

ROWS = [[1, 2, 3], [4], [5, 6, 7, 8, 9], [10, 11], [12], [13] * 12]
SPECS = [(tf.int32, [], False), (tf.int32, [2], True)]


def sums_and_pairs(rows, lengths):
    tf.debugging.assert_equal(rows.row_lengths(), lengths)
    values = rows.values
    return [tf.reduce_sum(rows, axis=1), tf.stack([values, -values], axis=1)]


@pytest.mark.parametrize("chunk", [1, 7, 2048])
def test_results_are_those_of_the_rows_in_order(chunk, monkeypatch):
    monkeypatch.setattr(sorted_rows, "CHUNK_TOKENS", chunk)
    rows = tf.ragged.constant(ROWS, dtype=tf.int32)
    sums, pairs = map_sorted(rows, sums_and_pairs, SPECS)
    assert sums.numpy().tolist() == [sum(row) for row in ROWS]
    flat = [value for row in ROWS for value in row]
    np.testing.assert_array_equal(pairs, [[value, -value] for value in flat])


def test_groups_hold_rows_of_like_length_and_no_more_than_fit(monkeypatch):
    monkeypatch.setattr(sorted_rows, "CHUNK_TOKENS", 6)
    groups = []

    def note(rows, lengths):
        groups.append(lengths.numpy().tolist())
        return sums_and_pairs(rows, lengths)

    map_sorted(tf.ragged.constant(ROWS, dtype=tf.int32), note, SPECS)
    assert groups == [[12], [5], [3, 2], [1, 1]]


def test_a_graph_of_unknown_sizes_gives_the_same():
    spec = tf.RaggedTensorSpec([None, None], tf.int32, row_splits_dtype=tf.int64)
    graph = tf.function(
        lambda rows: map_sorted(rows, sums_and_pairs, SPECS), input_signature=[spec]
    )
    for rows in (ROWS, ROWS[:1]):
        sums, pairs = graph(tf.ragged.constant(rows, dtype=tf.int32))
        assert sums.numpy().tolist() == [sum(row) for row in rows]
        assert pairs.shape == (sum(map(len, rows)), 2)


def test_ragged_results_and_what_stands_beside_keep_their_rows(monkeypatch):
    monkeypatch.setattr(sorted_rows, "CHUNK_TOKENS", 6)
    names = tf.constant([str(number) for number in range(len(ROWS))])
    others = tf.ragged.constant([[n] * n for n in range(len(ROWS))], dtype=tf.int32)

    def reverse(rows, lengths, names, others):
        wide = tf.concat([tf.reverse(rows, [1]), others], axis=1)
        return [wide, tf.stack([names, names], axis=1)]

    specs = [(tf.int32, None, False), (tf.string, [None], False)]
    rows = tf.ragged.constant(ROWS, dtype=tf.int32)
    wide, pairs = map_sorted(rows, reverse, specs, beside=[names, others])
    expected = [[*reversed(row), *[n] * n] for n, row in enumerate(ROWS)]
    assert wide.to_list() == expected
    assert pairs.numpy().tolist() == [[str(n).encode()] * 2 for n in range(len(ROWS))]


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ({"tokens": tf.constant(24)}, [[12, 5], [3, 2, 1, 1]]),
        ({"tokens": 24, "max_rows": tf.constant(3)}, [[12, 5], [3, 2, 1], [1]]),
        ({"max_rows": 4}, [[12, 5, 3, 2], [1, 1]]),
    ],
)
def test_the_size_of_groups_may_be_given(sizes, expected):
    groups = []

    def note(rows, lengths):
        groups.append(lengths.numpy().tolist())
        return sums_and_pairs(rows, lengths)

    map_sorted(tf.ragged.constant(ROWS, dtype=tf.int32), note, SPECS, **sizes)
    assert groups == expected


@pytest.mark.parametrize("tokens", [1, 7, 24])
def test_groups_of_rows_out_of_order_give_the_same(tokens):
    rows = tf.ragged.constant(ROWS, dtype=tf.int32)
    sums, pairs = map_groups(rows, sums_and_pairs, SPECS, tokens=tokens)
    expected_sums, expected_pairs = map_sorted(rows, sums_and_pairs, SPECS)
    np.testing.assert_array_equal(sums, expected_sums)
    np.testing.assert_array_equal(pairs, expected_pairs)
