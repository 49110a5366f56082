"""The loop of decoding: ask the decoder, extend, drop what is finished, go on.

Shapes: A sources that are not finished yet, K hypotheses of each, N = A K of both, C
ways to go on, S source steps, V vocabulary.
"""

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from seqloom.layers.decoder_state import DecoderState
from seqloom.layers.decoding_extensions import (
    Extensions,
    NextTokens,
    best_extensions,
    best_living,
    drawn_extensions,
    in_place_living,
)
from seqloom.layers.decoding_finished import (
    Finished,
    add_ended,
    is_decided,
    none_finished,
)
from seqloom.layers.decoding_options import BEGIN, DecodingOptions, is_off, require
from seqloom.layers.decoding_progress import (
    Live,
    Memory,
    Progress,
    Sources,
    drop_decided,
    invariants,
    kept_sources,
    move,
    note,
    rows_and_growth,
)
from seqloom.layers.decoding_record import Written, nothing_written, write
from seqloom.layers.hypothesis_scores import coverage_score
from seqloom.layers.sampling import uniform_numbers
from seqloom.layers.token_rules import (
    block_repeated_ngrams,
    closed_tokens,
    only_token,
    penalize_repetition,
)
from seqloom.layers.top_tokens import NEVER, in_blocks, token_scores


@dataclass(frozen=True)
class DecodingLoop:
    """Decoding with given options; `run` is the whole of it.

    Args:
        decoder, state, options, prefix, seed, source_mask, collect_attention: As in
            `generate`.
        stop_early: Stop when nothing can change any more. Tests turn it off.
    """

    decoder: Any
    state: DecoderState
    options: DecodingOptions
    prefix: Any = None
    seed: Any = None
    source_mask: Any = None
    collect_attention: bool = False
    stop_early: bool = True

    def run(self) -> tuple[Finished, Written, Any]:
        """The best hypotheses `(B, F)`, all that was written, and S."""
        first = self._begin()
        last = tf.while_loop(
            lambda *progress: self._goes_on(Progress(*progress)),
            lambda *progress: self._advance(Progress(*progress)),
            first,
            shape_invariants=invariants(first),
        )
        last = Progress(*last)
        return note(last.results, last.sources), last.written, last.source_steps

    # === Before the first step ===

    def _begin(self) -> Progress:
        shared, own = _tensors(self.state.shared), _tensors(self.state.own)
        rows = self._num_sources
        sources = self._sources(rows, shared)
        steps = tf.reduce_max(tf.concat([sources.max_length, [0]], axis=0)) + 1
        return Progress(
            tf.constant(0),
            sources,
            self._live(rows, own),
            sources.finished,
            nothing_written(steps, self.collect_attention),
            tf.constant(0),
        )

    def _sources(self, rows, shared) -> Sources:
        options = self.options
        max_length = _for_each(rows, options.max_length)
        prefix = ()
        if self.prefix is not None:
            prefix = tf.cast(self.prefix, tf.int32)
            forced = tf.math.count_nonzero(prefix, axis=1, dtype=tf.int32)
            max_length = tf.maximum(max_length, forced)
        return Sources(
            tf.range(rows),
            shared,
            _for_each(rows, options.min_length),
            max_length,
            none_finished(rows, options.n_best),
            prefix,
            tf.cast(self.source_mask, tf.bool) if self._has_coverage else (),
        )

    def _live(self, rows, own) -> Live:
        """One hypothesis for each source, from which a beam grows; samples differ."""
        if self.options.sample:
            own = [tf.repeat(values, self.options.n_best, axis=0) for values in own]
            rows = rows * self.options.n_best
        zeros = tf.zeros([rows])
        memory = Memory(
            own,
            tf.zeros((rows, 0), tf.int32) if self._has_history else (),
            # Attention is added to it; how wide that is shows at the first step.
            tf.zeros((rows, 1)) if self._has_coverage else (),
        )
        penalized = zeros if self._is_penalized else ()
        return Live(tf.fill([rows], BEGIN), zeros, penalized, memory)

    @property
    def _num_sources(self):
        return tf.shape(tf.nest.flatten(self.state)[0])[0]

    @property
    def _is_penalized(self):
        return not is_off(self.options.repetition_penalty, 1)

    @property
    def _has_history(self):
        return self._is_penalized or self.options.no_repeat_ngram > 0

    @property
    def _has_coverage(self):
        return not is_off(self.options.coverage_penalty, 0)

    # === One step ===

    def _goes_on(self, progress: Progress):
        # The number of steps is a safeguard: NaN is never decided.
        more = progress.step < progress.written.tokens.size()
        return more & (tf.size(progress.sources.rows) > 0)

    def _advance(self, progress: Progress) -> Progress:
        step, sources, live = progress.step, progress.sources, progress.live
        each = tf.size(live.tokens) // tf.size(sources.rows)
        logits, memory, attention = self._ask(sources, live)
        extensions = self._extend(step, sources, live, logits, each)
        sources = sources._replace(
            finished=add_ended(
                sources.finished,
                extensions,
                step,
                each,
                self.options.length_penalty,
                self._bonuses(sources, memory, each),
            )
        )
        living = self._living(extensions)
        kept, shrinks = kept_sources(self._decided(step, sources, living))
        living = living._replace(parents=_among_all(living.parents, each))
        living = tf.nest.map_structure(
            lambda values: tf.reshape(tf.gather(values, kept), [-1]), living
        )  # (N,)
        results, sources = drop_decided(progress.results, sources, kept, shrinks)
        return Progress(
            step + 1,
            sources,
            self._follow(living, memory),
            results,
            write(progress.written, step, living.tokens, living.parents, attention),
            tf.shape(attention)[1],
        )

    def _ask(self, sources, live):
        """Logits `(N, V)`, the memory after the step, and attention `(N, S)`."""
        memory = live.memory
        state = DecoderState(
            tf.nest.pack_sequence_as(self.state.shared, sources.shared),
            tf.nest.pack_sequence_as(self.state.own, memory.own),
        )
        logits, state, attention = self.decoder.step(live.tokens, state)
        shapes = [rows_and_growth(values) for values in _tensors(self.state.own)]
        own = map(tf.ensure_shape, _tensors(state.own), shapes)
        memory = memory._replace(own=list(own))
        if self._has_coverage:
            memory = memory._replace(coverage=memory.coverage + attention)
        return logits, memory, attention

    def _extend(self, step, sources, live, logits, each) -> Extensions:
        plain = token_scores(logits)
        following = self._following(step, sources, live, logits, plain, each)
        totals = tf.reshape(live.totals, (-1, each))  # (A, K)
        if self.options.sample:
            extensions = self._draw(step, sources.rows, following, totals)
        else:
            self._check_beam(logits)
            extensions = best_extensions(following, totals, self.options.beam)
        if not self._is_penalized:
            return extensions._replace(log_probabilities=extensions.totals)
        hypotheses = _among_all(extensions.parents, each)
        gains = plain.log_probabilities(hypotheses, extensions.tokens)
        before = tf.gather(live.log_probabilities, hypotheses)
        return extensions._replace(log_probabilities=before + gains)

    def _following(self, step, sources, live, logits, scores, each) -> NextTokens:
        options, history = self.options, live.memory.history
        if self._is_penalized:
            logits = penalize_repetition(logits, history, options.repetition_penalty)
            scores = token_scores(logits)
        prefix = None if self.prefix is None else sources.prefix
        only = only_token(step, sources.max_length, prefix)
        forced = tf.repeat(tf.maximum(only, 0), each)  # (N,)
        gains = scores.log_probabilities(tf.range(tf.size(forced)), forced)
        if options.no_repeat_ngram:
            logits = block_repeated_ngrams(logits, history, options.no_repeat_ngram)
            blocks, maxima = in_blocks(logits)
            scores = scores._replace(logits=blocks, maxima=maxima)
        size = tf.shape(scores.logits)[2]
        closed = closed_tokens(step, sources.min_length, options.allow_unknown, size)
        return NextTokens(scores, closed, only, gains)

    def _check_beam(self, logits):
        size = logits.shape[1] or tf.shape(logits)[1]
        require(
            tf.less_equal(self.options.beam, size),
            "beam={} is larger than the vocabulary of {} tokens. Set it to 10 or "
            "less: more hardly ever helps.",
            self.options.beam,
            size,
        )

    def _draw(self, step, rows, following, totals) -> Extensions:
        options, each = self.options, tf.shape(totals)[1]
        uniform = uniform_numbers(self.seed, step, rows, self._num_sources, each)
        cut = options.temperature, options.top_k, options.top_p
        return drawn_extensions(following, totals, uniform, *cut)

    def _bonuses(self, sources, memory, each):
        """What the coverage adds to the scores `(A, K)`, or None."""
        if not self._has_coverage:
            return None
        steps = tf.shape(memory.coverage)[1]
        coverage = tf.reshape(memory.coverage, (-1, each, steps))  # (A, K, S)
        cover = coverage_score(coverage, sources.mask[:, None])
        return self.options.coverage_penalty * cover

    def _living(self, extensions) -> Extensions:
        if self.options.sample:
            return in_place_living(extensions)
        return best_living(extensions, self.options.beam)

    def _decided(self, step, sources, living):
        """Which sources `(A,)` are finished."""
        if not self.stop_early:
            return tf.reduce_all(living.totals == NEVER, axis=1)
        alpha = self.options.length_penalty
        return is_decided(
            sources.finished, living.totals, step, sources.max_length, alpha
        )

    def _follow(self, living, memory) -> Live:
        """The hypotheses of the next step, from `(N,)` living ones."""
        memory = move(memory, living.parents)
        if self._has_history:
            history = tf.concat([memory.history, living.tokens[:, None]], axis=1)
            memory = memory._replace(history=history)
        log_probabilities = living.log_probabilities if self._is_penalized else ()
        return Live(living.tokens, living.totals, log_probabilities, memory)


def _tensors(nest):
    return [tf.convert_to_tensor(values) for values in tf.nest.flatten(nest)]


def _for_each(rows, value):
    """A number, or one for each source, as `(B,)` int32."""
    return tf.broadcast_to(tf.cast(value, tf.int32), [rows])


def _among_all(parents, each):
    """Hypotheses `(A, C)` of each source, counted over all sources."""
    return tf.range(tf.shape(parents)[0])[:, None] * each + parents
