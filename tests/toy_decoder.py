"""A decoder that is a table, and searches over it in plain Python.

What comes next depends on the source and on all tokens so far.
"""

import itertools

import numpy as np
import tensorflow as tf

from seqloom.layers import DecoderState

END = 3
WRITABLE = 7  # ids below: padding, unknown, begin, end and three tokens
ROWS = 9973
POWERS = np.random.default_rng(5).integers(1, ROWS, size=20).astype("int32")
SOURCE_STEPS = 4


class ToyDecoder(tf.Module):
    """Logits and attention from a row of a table that all tokens so far choose.

    Its state is nested, with a part that grows. Padding and begin are as probable as
    the others; ids from 7 on are impossible. The memory `(B, S, 1)` is the number of
    the source.
    """

    def __init__(self, vocabulary_size=40, seed=0, scale=1.5):
        super().__init__()
        random = np.random.default_rng(seed)
        self.logits = np.full((ROWS, vocabulary_size), -np.inf, "float32")
        known = min(WRITABLE, vocabulary_size)
        self.logits[:, :known] = random.normal(size=(ROWS, known)) * scale
        self.attention = random.random((ROWS, SOURCE_STEPS)).astype("float32")
        self.rows_asked = tf.Variable(0)

    def begin(self, memory, memory_mask=None, initial_state=None):
        numbers = tf.cast(memory[:, 0, 0], tf.int32)
        seen = tf.zeros((tf.shape(numbers)[0], 0, 1), tf.int32)
        return DecoderState({"number": [numbers]}, (numbers * 0, {"seen": seen}))

    def step(self, tokens, state):
        numbers = state.shared["number"][0]
        numbers = tf.repeat(numbers, tf.size(tokens) // tf.maximum(tf.size(numbers), 1))
        steps, parts = state.own
        seen = tf.concat([parts["seen"], tokens[:, None, None]], axis=1)
        powers = tf.constant(POWERS)[: tf.shape(seen)[1]]
        rows = numbers * 17 + tf.reduce_sum(seen[..., 0] * powers, axis=1)
        rows = rows % ROWS
        self.rows_asked.assign_add(tf.size(tokens))
        state = DecoderState(state.shared, (steps + 1, {"seen": seen}))
        return tf.gather(self.logits, rows), state, tf.gather(self.attention, rows)

    def __call__(
        self, targets, memory, memory_mask=None, initial_state=None, training=None
    ):
        state, found = self.begin(memory), []
        for step in range(targets.shape[1]):
            logits, state, attention = self.step(targets[:, step], state)
            found.append((logits, attention))
        return tuple(tf.stack(parts, axis=1) for parts in zip(*found, strict=True))

    # === The same in NumPy, for one source ===

    def row(self, number, written):
        """Row of the tables after the begin token and those in `written`."""
        seen = [2, *written]
        return (number * 17 + int(np.dot(seen, POWERS[: len(seen)]))) % ROWS

    def greedy(self, number, max_length):
        """The loop of an argmax over what may be written."""
        written, total = [], 0.0
        while True:
            logits = log_softmax(self.logits[self.row(number, written)])
            choices = [1, 3, 4, 5, 6] if len(written) < max_length else [END]
            best = max(choices, key=lambda token: logits[token])
            total += logits[best]
            if best == END:
                return written, total
            written.append(best)


def memory(numbers):
    """A memory of sources with these numbers."""
    numbers = np.asarray(numbers, "float32")[:, None, None]
    return np.repeat(numbers, SOURCE_STEPS, axis=1)  # (B, S, 1)


def log_softmax(logits):
    logits = logits.astype("float64")
    highest = logits.max()
    return logits - highest - np.log(np.exp(logits - highest).sum())


class Reference:
    """What `generate` is said to do, for one source, by lists.

    Options are those of `DecodingOptions`, as plain numbers.
    """

    def __init__(self, toy, number, mask=None, prefix=(), **options):
        self.toy, self.number, self.prefix = toy, number, tuple(prefix)
        self.mask = np.ones(SOURCE_STEPS, bool) if mask is None else mask
        self.options = {
            "length_penalty": 0.0,
            "coverage_penalty": 0.0,
            "min_length": 0,
            "max_length": 4,
            "repetition_penalty": 1.0,
            "no_repeat_ngram": 0,
            "allow_unknown": True,
            **options,
        }
        self.max_length = max(self.options["max_length"], len(self.prefix))

    def allowed(self, written):
        if len(written) < len(self.prefix):
            return [self.prefix[len(written)]]
        if len(written) == self.max_length:
            return [END]
        allowed = [1, 3, 4, 5, 6] if self.options["allow_unknown"] else [3, 4, 5, 6]
        if len(written) < self.options["min_length"]:
            allowed.remove(END)
        return [token for token in allowed if not self.repeats((*written, token))]

    def repeats(self, tokens):
        n = self.options["no_repeat_ngram"]
        ngrams = [tokens[i : i + n] for i in range(len(tokens) - n + 1)]
        return n > 0 and ngrams[-1:] and ngrams[-1] in ngrams[:-1]

    def gains(self, written):
        """For each token what it adds to L and to the log-probability."""
        logits = self.toy.logits[self.toy.row(self.number, written)]
        penalty, penalized = self.options["repetition_penalty"], logits.copy()
        for token in set(written):
            above = logits[token] > 0
            penalized[token] *= 1 / penalty if above else penalty
        return log_softmax(penalized), log_softmax(logits)

    def score(self, written, total):
        """Of a hypothesis that ends after `written`."""
        steps = [written[:length] for length in range(len(written) + 1)]
        attention = [self.toy.attention[self.toy.row(self.number, s)] for s in steps]
        cover = np.minimum(np.sum(attention, axis=0), 1.0)[self.mask]
        lp = ((5 + len(steps)) / 6) ** self.options["length_penalty"]
        return total / lp + self.options["coverage_penalty"] * np.log(cover).sum()

    def search(self, beam, n_best):
        """List of (tokens, score, log-probability), best first."""
        living, finished = [((), 0.0, 0.0)], []
        for _ in range(self.max_length + 1):
            extended = []
            for written, total, plain in living:
                gains, plain_gains = self.gains(written)
                extended += [
                    ((*written, t), total + gains[t], plain + plain_gains[t])
                    for t in self.allowed(written)
                ]
            extended.sort(key=lambda hypothesis: -hypothesis[1])
            extended = extended[: 1 if beam == 1 else 2 * beam]
            finished += [
                (tokens[:-1], self.score(tokens[:-1], total), plain)
                for tokens, total, plain in extended
                if tokens[-1] == END
            ]
            living = [h for h in extended if h[0][-1] != END][:beam]
        return sorted(finished, key=lambda hypothesis: -hypothesis[1])[:n_best]

    def exhaust(self, n_best):
        """The same from all sequences that may be written."""
        found = []
        for length in range(self.max_length + 1):
            for written in itertools.product([1, 4, 5, 6], repeat=length):
                total = plain = 0.0
                possible = True
                for place, token in enumerate((*written, END)):
                    possible &= token in self.allowed(written[:place])
                    gains, plain_gains = self.gains(written[:place])
                    total, plain = total + gains[token], plain + plain_gains[token]
                if possible:
                    found.append((written, self.score(written, total), plain))
        return sorted(found, key=lambda hypothesis: -hypothesis[1])[:n_best]
