"""Linear-chain conditional random field: score whole tag sequences, not single tags."""

import keras
from keras import ops

from seqloom.layers.arguments import check_positive
from seqloom.layers.chain import (
    expected_counts,
    forward_backward,
    step_marginals,
    viterbi,
)
from seqloom.layers.constraints import impossible_length
from seqloom.layers.masking import full_mask, lengths_from_mask

# Score of what a constraint forbids: finite, so that no inf - inf gives NaN, and far
# below any sum of emissions.
FORBIDDEN = -1e9


@keras.saving.register_keras_serializable(package="seqloom")
class LinearChainCRF(keras.layers.Layer):
    """Give every sequence of tags a score, and so a probability.

        score(y) = start[y_1] + sum_t emissions[t, y_t]
                   + sum_t transitions[y_t, y_t+1] + end[y_n]
        log p(y) = score(y) - log sum over all y' of exp(score(y'))

    As a layer it hands its emissions on in float32, so that a functional model can
    end in it; loss and decoding are methods. For training, minimize
    `-crf.log_likelihood(emissions, tags, mask)`.

    Shapes: B batch, T steps, K tags.

    Args:
        num_tags: Number of tags K.
        allowed_transitions: `K` lists of `K` bool, `[i][j]` says whether tag j may
            follow tag i; None allows all. `iob2_constraints` makes the three lists.
        allowed_start: `K` bool, the tags that may come first; None allows all.
        allowed_end: `K` bool, the tags that may come last; None allows all.

    Constraints hold in training and decoding alike: what is forbidden scores -1e9, so
    probability goes to allowed sequences only, `decode` never gives a forbidden one,
    and a forbidden sequence in the training data shows as a loss of about 1e9.

    Call arguments, of every method:
        emissions: `(B, T, K)` float, the score of each tag at each step.
        mask: `(B, T)` bool, True at real steps, padded on the right. `call` honours
            the mask that `emissions` carries; the other methods take what they are
            given, and without a mask all steps are real.

    Returns:
        emissions `(B, T, K)` float32.

    Masking: `call` keeps the mask. What stands at masked steps never matters. A row
    without a real step has log-likelihood and partition 0 and decodes to zeros.

    All is computed in float32, whatever the dtype policy.

    Reference: Lafferty et al. 2001; Lample et al. 2016,
    https://arxiv.org/abs/1603.01360, section 2.2, equations 1 and 2.
    """

    def __init__(
        self,
        num_tags,
        allowed_transitions=None,
        allowed_start=None,
        allowed_end=None,
        **kwargs,
    ):
        # Sums over long sequences lose tags' differences in 16 bits.
        super().__init__(**{"autocast": False, **kwargs})
        check_positive(self, num_tags=num_tags)
        self.num_tags = num_tags
        self.allowed_transitions = plain(allowed_transitions)
        self.allowed_start = plain(allowed_start)
        self.allowed_end = plain(allowed_end)
        self._check_constraints()

    def _check_constraints(self):
        tags = self.num_tags
        transitions = self.allowed_transitions or [[True] * tags] * tags
        start = self.allowed_start or [True] * tags
        end = self.allowed_end or [True] * tags
        sizes = {len(row) for row in (transitions, *transitions, start, end)}
        if sizes != {tags}:
            raise ValueError(
                f"LinearChainCRF with num_tags={tags} needs allowed_transitions of "
                f"{tags} x {tags}, allowed_start and allowed_end of {tags} bool, got "
                f"lists of {sorted(sizes)}. Make them from the same list of tags."
            )
        length = impossible_length(transitions, start, end)
        if length is not None:
            raise ValueError(
                f"The constraints of LinearChainCRF allow no sequence of {length} "
                "steps, so it could not decode one. Allow more starts, ends or "
                f"transitions: start={start}, end={end}, transitions={transitions}."
            )

    def build(self, emissions_shape):
        if emissions_shape[-1] != self.num_tags:
            raise ValueError(
                f"LinearChainCRF needs emissions with num_tags={self.num_tags} "
                f"features, got the shape {tuple(emissions_shape)}. Put a "
                f"Dense({self.num_tags}) before it."
            )
        self.transitions = self._scores((self.num_tags, self.num_tags), "transitions")
        self.start = self._scores((self.num_tags,), "start")
        self.end = self._scores((self.num_tags,), "end")

    def _scores(self, shape, name):
        return self.add_weight(
            shape=shape,
            initializer="zeros",
            dtype="float32",
            autocast=False,
            name=name,
        )

    def call(self, emissions, mask=None):
        return ops.cast(emissions, "float32")

    def compute_mask(self, emissions, mask=None):
        return mask

    def compute_output_shape(self, emissions_shape):
        return tuple(emissions_shape)

    def compute_output_spec(self, emissions, mask=None):
        return keras.KerasTensor(emissions.shape, dtype="float32")

    def get_config(self):
        return {
            **super().get_config(),
            "num_tags": self.num_tags,
            "allowed_transitions": self.allowed_transitions,
            "allowed_start": self.allowed_start,
            "allowed_end": self.allowed_end,
        }

    # === Training ===

    def log_likelihood(self, emissions, tags, mask=None):
        """Log-probability `(B,)` float32 of `(B, T)` integer tags."""
        emissions, mask = self._prepare(emissions, mask)
        return self._score(emissions, tags, mask) - self._partition(emissions, mask)

    def log_partition(self, emissions, mask=None):
        """Log of the summed exponentiated scores of all tag sequences: `(B,)`."""
        return self._partition(*self._prepare(emissions, mask))

    def _score(self, emissions, tags, mask):
        """Score `(B,)` of the given tags, equation 1."""
        transitions, start, end = self._constrained()
        # Padding may hold any number, but must not index outside of the tables.
        tags = ops.where(mask, ops.cast(tags, "int32"), 0)
        emitted = ops.take_along_axis(emissions, tags[..., None], axis=-1)[..., 0]
        pairs = tags[:, :-1] * self.num_tags + tags[:, 1:]  # (B, T-1)
        moved = ops.take(ops.reshape(transitions, (-1,)), pairs)
        last = ops.maximum(lengths_from_mask(mask) - 1, 0)[:, None]  # (B, 1)
        last_tags = ops.take_along_axis(tags, last, axis=1)[:, 0]
        edges = ops.take(start, tags[:, 0]) + ops.take(end, last_tags)
        return (
            ops.sum(ops.where(mask, emitted, 0.0), axis=1)
            + ops.sum(ops.where(mask[:, 1:], moved, 0.0), axis=1)
            + ops.where(mask[:, 0], edges, 0.0)
        )

    def _partition(self, emissions, mask):
        """Exact value of the forward algorithm, and its gradient in closed form.

        The gradient of log Z is the expected number of times each score is used
        (Lafferty 2001, section 4), which the forward and backward scores give at
        once. Letting it flow through the scan instead costs several times as much and
        does not compile under XLA. Second derivatives are not to be had: they are 0.
        """
        scores = (emissions, *self._constrained())
        emitted, moves, start, end = (ops.stop_gradient(score) for score in scores)
        forward, backward, log_z = forward_backward(emitted, moves, start, end, mask)
        counts = expected_counts(emitted, moves, start, end, forward, backward, mask)
        linear = sum(
            ops.sum(
                ops.stop_gradient(count) * score,
                axis=tuple(range(1, len(count.shape))),
            )
            for count, score in zip(counts, scores, strict=True)
        )
        return ops.stop_gradient(log_z) + (linear - ops.stop_gradient(linear))

    # === Inference ===

    def marginals(self, emissions, mask=None):
        """Probability `(B, T, K)` of each tag at each step; 0 at masked steps."""
        emissions, mask = self._prepare(emissions, mask)
        # The log-sums of a long row reach some hundreds, where float32 has steps of
        # 3e-5: too coarse for probabilities, which are their differences.
        scores = (emissions, *self._constrained())
        emitted, moves, start, end = (ops.cast(score, "float64") for score in scores)
        forward, backward, _ = forward_backward(emitted, moves, start, end, mask)
        return ops.cast(step_marginals(forward, backward, mask), "float32")

    def decode(self, emissions, mask=None):
        """The best tags `(B, T)` int32, 0 at masked steps, and their scores `(B,)`."""
        emissions, mask = self._prepare(emissions, mask)
        moves, start, end = self._constrained()
        return viterbi(emissions, moves, start, end, mask)

    def _prepare(self, emissions, mask):
        emissions = ops.cast(ops.convert_to_tensor(emissions), "float32")
        if not self.built:
            self.build(emissions.shape)
        if mask is None:
            return emissions, full_mask(emissions)
        mask = ops.cast(mask, "bool")
        # Padding may hold anything, NaN included.
        return ops.where(mask[..., None], emissions, 0.0), mask

    def _constrained(self):
        """transitions, start and end, with `FORBIDDEN` where they are not allowed."""
        scores = self.transitions, self.start, self.end
        allowed = self.allowed_transitions, self.allowed_start, self.allowed_end
        return [
            ops.convert_to_tensor(score)
            if allow is None
            else ops.where(ops.convert_to_tensor(allow), score, FORBIDDEN)
            for score, allow in zip(scores, allowed, strict=True)
        ]


def plain(allowed):
    """Nested lists of bool from any nested sequence or array; None stays None."""
    if allowed is None:
        return None
    return [plain(row) if hasattr(row, "__len__") else bool(row) for row in allowed]
