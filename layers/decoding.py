"""Decoding: let any decoder write, greedily, by beam search or at random."""

from typing import Any, NamedTuple

import tensorflow as tf

from seqloom.layers.decoder_state import DecoderState
from seqloom.layers.decoding_loop import DecodingLoop
from seqloom.layers.decoding_options import DecodingOptions, check_options
from seqloom.layers.decoding_record import read_back

DEFAULT = DecodingOptions()


class Hypotheses(NamedTuple):
    """What was written for each of B sources: n hypotheses of at most T tokens.

    Where a source has fewer than n, the rest have the score -inf and no token.

    Attributes:
        token_ids: `(B, n, T)` int32 without begin and end, padded with 0.
        lengths: `(B, n)` int32, tokens of each.
        scores: `(B, n)` float32 with all penalties, best first.
        log_probabilities: `(B, n)` float32, what the model says of tokens and end,
            without any penalty and whatever options kept it from writing.
        attention: `(B, n, T, S)` float32, of each token to the S steps of the source,
            0 at padding; None unless it was asked for.
    """

    token_ids: Any
    lengths: Any
    scores: Any
    log_probabilities: Any
    attention: Any = None


@tf.autograph.experimental.do_not_convert
def generate(
    decoder,
    state: DecoderState,
    options: DecodingOptions = DEFAULT,
    prefix=None,
    seed=None,
    source_mask=None,
    collect_attention: bool = False,
) -> Hypotheses:
    """Let a decoder write, from the begin token to the end token.

    One `tf.while_loop` drives any decoder. Call it in a `tf.function`: there no shape
    needs to be known, and other sizes do not trace anew.

    Scores. With x the logits after the tokens y_<t, x' those after the repetition
    penalty, a_ts the attention and |Y| the length with the end token, which the sums
    over t count too, a hypothesis has

        log_probability = sum over t of log softmax(x)[y_t]
        L(Y) = sum over t of log softmax(x')[y_t]
        score(Y) = L(Y) / lp(Y) + cp(Y)
        lp(Y) = ((5 + |Y|) / 6)^alpha
        cp(Y) = beta sum over s of log min(sum over t of a_ts, 1)

    Rules. While tokens of the prefix are left, only they can be written; then, at
    max_length, only the end. Otherwise padding and begin never are, nor the unknown
    token without `allow_unknown`, the end below min_length, and what would repeat an
    n-gram. What is ruled out keeps its share of the softmax: log-probabilities are
    those of the whole vocabulary. A prefix longer than max_length is written whole.

    Search. K = beam hypotheses of a source are followed. Of all their extensions by a
    token the 2 K with the highest L are looked at. Those that end are finished, and
    the n_best of these with the highest score are kept; of the others the best K live
    on. With a beam of 1 only the best extension counts, so the first end ends it: the
    search is greedy. Of equals, the one found first wins, then the earlier hypothesis,
    then the lower token. A source is done when no living hypothesis can come among
    the kept ones any more, whatever it writes: the result is that of going on to
    max_length. Rows that are done are dropped from the batch.

    Sampling draws n_best texts for each source, one independent of the other, from

        softmax(x' / temperature)

    of what the rules allow, of which only the top_k most probable tokens are kept, and
    of these the fewest most probable that have together top_p. The same seed gives the
    same texts for the same row of a batch, whatever else is in the batch.

    Shapes: B sources, n hypotheses, T tokens, S source steps, P forced tokens.

    Args:
        decoder: Has `step(tokens (N,) int32, state)` that gives logits `(N, V)`
            float32, the next state and attention `(N, S)` float32.
        state: Of the decoder's `begin`, with B rows. Dimensions of `own` that grow
            must be 0 or unknown in it.
        options: Numbers and switches.
        prefix: `(B, P)` int32, tokens each source must begin with, padded with 0.
        seed: `(2,)` integers, for sampling.
        source_mask: `(B, S)` bool, True at real steps, for the coverage penalty.
        collect_attention: Give the attention, too.

    Raises:
        ValueError: if options make no sense, by themselves, together or with the size
            of the vocabulary. If that shows only when the graph runs,
            InvalidArgumentError says the same.

    Reference: Wu et al. 2016, https://arxiv.org/abs/1609.08144, section 7 and equation
    14 (penalties); Keskar et al. 2019, https://arxiv.org/abs/1909.05858, section 4.1
    (repetition); Paulus et al. 2017, https://arxiv.org/abs/1705.04304, section 2.5
    (n-grams); Fan et al. 2018, https://arxiv.org/abs/1805.04833 (top k);
    Holtzman et al. 2020, https://arxiv.org/abs/1904.09751 (top p).
    """
    options = check_options(options, seed, source_mask)
    return decode(
        DecodingLoop(
            decoder, state, options, prefix, seed, source_mask, collect_attention
        )
    )


def decode(loop: DecodingLoop) -> Hypotheses:
    """Run the loop and read what it found."""
    found, written, source_steps = loop.run()
    lengths, last = (tf.reshape(part, [-1]) for part in (found.lengths, found.last))
    tokens, attention = read_back(written, lengths, last, source_steps)
    shape = (*tf.unstack(tf.shape(found.lengths)), tf.shape(tokens)[1])
    if attention is not None:
        attention = tf.reshape(attention, (*shape, source_steps))  # (B, n, T, S)
    return Hypotheses(
        tf.reshape(tokens, shape),  # (B, n, T)
        found.lengths,
        found.scores,
        found.log_probabilities,
        attention,
    )
