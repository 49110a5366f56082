"""Subword regularization: cuts of texts into pieces drawn at random, repeatably.

The libraries' own sampling cannot be seeded (tensorflow_text) or differs from process
to process (sentencepiece), so a resumed run would read other pieces. Here each draw is
a hash of the seed and of the place in the text, and all words are drawn at once. Pieces
never reach over a space, so a text is cut word by word.
"""

import itertools
import math
from array import array
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

SPACE = "▁"  # what SentencePiece writes for a space, at the beginning of each word
NONE = np.iinfo(np.int32).max  # the rank of what is no merge
UNKNOWN_PENALTY = 10.0  # as SentencePiece's, below the least probable piece
MOST_EDGES = 2_000_000  # that are kept from one call to the next: 80 MB, and words
Spelling = tuple[int, ...]  # the ids of a piece, or of the bytes of a character
_STEP = np.uint64(0x9E3779B97F4A7C15)


class Words(NamedTuple):
    """The words of all texts; W of them.

    Attributes:
        types: The different ones.
        numbers: `(W,)`, which type each is.
        lengths: `(W,)`, characters of each.
        places: `(W + 1,)`, characters before each, in all texts.
        keys: `(W,)` uint64, of its seed, its text's number and its place in there.
        texts: `(N + 1,)`, characters before each text.
    """

    types: list[str]
    numbers: np.ndarray
    lengths: np.ndarray
    places: np.ndarray
    keys: np.ndarray
    texts: np.ndarray


class UnigramSampler:
    """Draws a cut with a probability that grows with that of its pieces.

        P(x) = prod over i of p(x_i)^alpha  /  the same summed over all cuts

    Forward-filtering and backward-sampling: `_add` sums the weights of all ways to
    reach a place in a word, then the last piece is drawn, the one before it, ...

    Args:
        pieces: Id and log-probability of each piece.
        first_byte: The id of the byte 0.
        normalize: Texts to how they are cut, spaces as `▁`.

    Reference: Kudo 2018, https://arxiv.org/abs/1804.10959, section 3.
    """

    def __init__(
        self, pieces: dict[str, tuple[int, float]], first_byte: int, normalize: Callable
    ):
        self._pieces = pieces
        self._longest = max(map(len, pieces))
        self._unknown = min(p for _, p in pieces.values()) - UNKNOWN_PENALTY
        self._first_byte = first_byte
        self._normalize = normalize
        self._forget(1.0)

    def _forget(self, alpha: float) -> None:
        self._alpha = alpha
        self._known: dict[str, int] = {}  # a word's first node; one for each place
        self._num_nodes = 0
        # Edges by the node that they end in: a piece, or the bytes of a character.
        self._starts = array("q")
        self._limits = array("q")  # see _draw
        self._spelling = Spellings()

    def sample(
        self, texts: Sequence[str], seed: Sequence[int], alpha: float, first: int = 0
    ) -> list[list[int]]:
        """See `Subwords.sample`."""
        if not 0 <= alpha < math.inf:
            raise ValueError(
                f"Unigram sampling needs alpha >= 0, got {alpha}: the exponent of the "
                "probability of a cut. Try 0.2."
            )
        if alpha != self._alpha or len(self._starts) > MOST_EDGES:
            self._forget(alpha)
        words = _split(self._normalize(list(texts)), seed, first)
        for word in words.types:
            if word not in self._known:
                self._add(word)
        nodes = np.array([self._known[word] for word in words.types], np.int64)
        return _join(words, self._draw(words, nodes), self._spelling)

    def _draw(self, words: Words, nodes: np.ndarray) -> np.ndarray:
        """The edge that begins at each character of all texts, or -1."""
        starts, limits = _view(self._starts), _view(self._limits)
        chosen = np.full([words.places[-1]], -1, np.int64)
        first = nodes[words.numbers]  # (W,)
        node = first + words.lengths
        places, keys = words.places[:-1], words.keys
        while len(node):
            draws = _draws(keys, node - first)
            # Edges that end in a node share the numbers from node << 32 on, each
            # as many as its probability asks for.
            edge = np.searchsorted(limits, (node << 32) + draws, side="right")
            node = starts[edge]
            chosen[places + node - first] = edge
            going_on = node > first
            node, first, places, keys = (
                values[going_on] for values in (node, first, places, keys)
            )
        return chosen

    def _add(self, word: str) -> None:
        """Find all pieces in a word, and how probable each is as the last one."""
        node = self._known[word] = self._num_nodes
        totals = [0.0]  # log of the summed weights of all cuts up to there
        for end in range(1, len(word) + 1):
            found = self._ending(word, end)
            logs = [totals[start] + self._alpha * score for start, score, _ in found]
            highest = max(logs)
            weights = [math.exp(value - highest) for value in logs]
            total = sum(weights)
            totals.append(highest + math.log(total))
            share = 0.0
            for (start, _, ids), weight in zip(found, weights, strict=True):
                share += weight / total
                self._starts.append(node + start)
                self._limits.append((node + end << 32) + round(min(share, 1) * 2**32))
                self._spelling.append(ids)
            self._limits[-1] = node + end + 1 << 32
        self._num_nodes += len(word) + 1

    def _ending(self, word: str, end: int) -> list[tuple[int, float, Spelling]]:
        """Start, log-probability and ids of each piece that ends there."""
        found: list[tuple[int, float, Spelling]] = []
        for start in range(max(end - self._longest, 0), end):
            piece = self._pieces.get(word[start:end])
            if piece is not None:
                found.append((start, piece[1], (piece[0],)))
        if word[end - 1] not in self._pieces:
            ids = _bytes(word[end - 1], self._first_byte)
            found.append((end - 1, self._unknown, ids))
        return found


class BPESampler:
    """Merges characters and pieces as BPE does, but drops merges at random (dropout).

    In each step every merge that is possible is dropped with probability alpha; the
    first one learned of the others is made. A word is done when all are dropped.

    Args: as `UnigramSampler`; the earlier a piece was learned the higher its score.

    Reference: Provilkov et al. 2020, https://arxiv.org/abs/1910.13267, algorithm 1.
    """

    def __init__(
        self, pieces: dict[str, tuple[int, float]], first_byte: int, normalize: Callable
    ):
        self._pieces = {piece: number for piece, (number, _) in pieces.items()}
        self._first_byte = first_byte
        self._normalize = normalize
        ranked = sorted(pieces, key=lambda piece: -pieces[piece][1])
        self._results = np.array([self._pieces[piece] for piece in ranked], np.int32)
        pairs = sorted(
            (self._pieces[piece[:cut]] << 32 | self._pieces[piece[cut:]], rank)
            for rank, piece in enumerate(ranked)
            for cut in range(1, len(piece))
            if piece[:cut] in self._pieces and piece[cut:] in self._pieces
        )
        # One more that is never asked for: there may be no pairs.
        self._keys = np.array([*(pair for pair, _ in pairs), 2**63 - 1], np.int64)
        self._ranks = np.array([*(rank for _, rank in pairs), NONE], np.int32)

    def sample(
        self, texts: Sequence[str], seed: Sequence[int], alpha: float, first: int = 0
    ) -> list[list[int]]:
        """See `Subwords.sample`."""
        if not 0 <= alpha <= 1:
            raise ValueError(
                f"BPE dropout needs 0 <= alpha <= 1, got {alpha}: the probability that "
                "a merge is dropped. Try 0.1."
            )
        words = _split(self._normalize(list(texts)), seed, first)
        table, spelling = self._symbols(words.types)  # (characters of all types)
        starts = np.cumsum([0, *map(len, words.types)])
        chosen = np.full([words.places[-1]], -1, np.int64)
        for width in np.unique(words.lengths):
            rows = np.flatnonzero(words.lengths == width)
            begins = starts[words.numbers[rows]]
            symbols = table[begins[:, None] + np.arange(width)]  # (W, width)
            self._merge(
                symbols, words.keys[rows], words.places[:-1][rows], alpha, chosen
            )
        return _join(words, chosen, spelling)

    def _symbols(self, types: Sequence[str]) -> tuple[np.ndarray, "Spellings"]:
        """The symbol of each character of all words, and the ids that spell symbols:
        a symbol is an id, or a number after them for an unknown character."""
        size = self._first_byte + 256 + len(self._pieces)
        characters = sorted(set("".join(types)).difference(self._pieces))
        unknown = {c: size + i for i, c in enumerate(characters)}
        spelling = Spellings()
        for number in range(size):
            spelling.append((number,))
        for character in characters:
            spelling.append(_bytes(character, self._first_byte))
        known = {**self._pieces, **unknown}
        return np.array([known[c] for w in types for c in w], np.int64), spelling

    def _merge(self, symbols, keys, places, alpha, chosen) -> None:
        """Merge `(W, L)` symbols of words of one length; write them to `chosen`.

        In each step every word that is not done loses one symbol.
        """
        ranks = self._rank(symbols[:, :-1], symbols[:, 1:])  # (W, L - 1)
        for step in range(symbols.shape[1]):
            position, merged = _pick(ranks, _skipped(_draws(keys, step), alpha))
            done = ~merged
            chosen[places[done, None] + np.arange(symbols.shape[1])] = symbols[done]
            if not merged.any():
                return
            symbols, ranks, keys, places, position = (
                values[merged] for values in (symbols, ranks, keys, places, position)
            )
            row = np.arange(len(symbols))
            symbols[row, position] = self._results[ranks[row, position]]
            symbols = _without(symbols, position + 1)
            ranks = _without(ranks, position)
            for pair in (position - 1, position):  # its new neighbours
                there = np.flatnonzero((pair >= 0) & (pair < ranks.shape[1]))
                left = pair[there]
                ranks[there, left] = self._rank(
                    symbols[there, left], symbols[there, left + 1]
                )

    def _rank(self, left, right):
        """When the piece that two symbols make was learned; NONE if it was not."""
        keys = left << 32 | right
        found = np.searchsorted(self._keys, keys)
        return np.where(self._keys[found] == keys, self._ranks[found], NONE)


def _skipped(draws: np.ndarray, alpha: float) -> np.ndarray:
    """How many merges are dropped before one is not: k with alpha^k (1 - alpha)."""
    if alpha in (0, 1):
        return np.full(draws.shape, alpha * NONE, np.int64)
    return (np.log((draws + 1) / 2**32) / math.log(alpha)).astype(np.int64)


def _pick(ranks: np.ndarray, skipped: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which of `(W, P)` merges is made, `(W,)`, and whether there is one."""
    if not ranks.shape[1]:
        none = np.zeros(len(ranks), bool)
        return none.astype(np.int64), none
    position = ranks.argmin(axis=1)
    late = np.flatnonzero(skipped)
    order = ranks[late].argsort(axis=1, kind="stable")
    last = ranks.shape[1] - 1
    nth = np.minimum(skipped[late], last)
    position[late] = order[np.arange(len(late)), nth]
    there = ranks[np.arange(len(ranks)), position] != NONE
    return position, there & (skipped <= last)


def _without(values: np.ndarray, position: np.ndarray) -> np.ndarray:
    """`(W, L)` values to `(W, L - 1)`: each row without the one at its position."""
    columns = np.arange(values.shape[1] - 1)
    return np.take_along_axis(values, columns + (columns >= position[:, None]), axis=1)


class Spellings:
    """The ids of edges or symbols, one after the other."""

    def __init__(self) -> None:
        self.firsts = array("q")  # where the ids of each one begin
        self.sizes = array("q")
        self.ids = array("q")

    def append(self, ids: Spelling) -> None:
        self.firsts.append(len(self.ids))
        self.sizes.append(len(ids))
        self.ids.extend(ids)


def _view(values: array) -> np.ndarray:
    """The numbers without a copy; while it is there, none can be added."""
    return np.frombuffer(values, np.int64) if values else np.zeros([0], np.int64)


def _split(texts: Sequence[str], seed: Sequence[int], first: int) -> Words:
    split = [text.split(SPACE)[1:] for text in texts]  # each begins with one
    table: dict[str, int] = {}
    numbers = np.array(
        [table.setdefault(word, len(table)) for row in split for word in row], np.int64
    )
    lengths = np.array([1 + len(word) for word in table], np.int64)[numbers]
    places = np.concatenate([[0], np.cumsum(lengths)])
    texts_at = places[np.cumsum([0, *map(len, split)])]
    rows = np.repeat(np.arange(len(split)), [len(row) for row in split])
    start = np.random.SeedSequence(list(seed)).generate_state(1, np.uint64)
    keys = _mix(start + (first + rows + 1).astype(np.uint64) * _STEP)
    keys = _mix(keys + (places[:-1] - texts_at[rows]).astype(np.uint64) * _STEP)
    types = [SPACE + word for word in table]
    return Words(types, numbers, lengths, places, keys, texts_at)


def _join(words: Words, chosen: np.ndarray, spelling: Spellings) -> list[list[int]]:
    """Ids of each text, of what begins at each character of all texts, or -1."""
    places = np.flatnonzero(chosen >= 0)
    parts = chosen[places]
    sizes = _view(spelling.sizes)[parts]
    ends = np.cumsum(sizes)
    # The ids of a part lie side by side.
    shifts = np.repeat(_view(spelling.firsts)[parts] - ends + sizes, sizes)
    ids = _view(spelling.ids)[shifts + np.arange(len(shifts))].tolist()
    splits = np.concatenate([[0], ends])[np.searchsorted(places, words.texts)]
    return [ids[a:b] for a, b in itertools.pairwise(splits.tolist())]


def _bytes(character: str, first_byte: int) -> Spelling:
    return tuple(first_byte + byte for byte in character.encode())


def _draws(keys: np.ndarray, numbers) -> np.ndarray:
    """32 random bits, as int64, for each of `(W,)` keys with its number."""
    steps = np.atleast_1d(numbers).astype(np.uint64) + np.uint64(1)
    return (_mix(keys + steps * _STEP) >> np.uint64(32)).astype(np.int64)


def _mix(values: np.ndarray) -> np.ndarray:
    """The finalizer of SplitMix64 (Steele et al. 2014), for uint64."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
