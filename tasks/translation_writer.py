"""From texts to translations, in the graph: what the exported translator is made of.

Shapes: B texts, b of a group, n translations of each, S and T pieces of both sides, V
vocabulary.
"""

import tensorflow as tf

from seqloom.layers import DecodingOptions, generate
from seqloom.tasks.sorted_rows import map_groups, map_sorted
from seqloom.tasks.subwords import BEGIN
from seqloom.tasks.tagging_serving import cudnn
from seqloom.tasks.translation_search import within_positions

BLANK = r"[\s\v\pZ]*"  # nothing but white space

# Measured: no others are faster. Few pieces are read at once, with little padding, and
# groups of them side by side; of writing, a step costs a row less the more there are.
READ_TOKENS = 1024
WRITE_TOKENS, WRITE_ROWS = 8192, 256
USUAL_BEAM = 8  # from twice that on fewer texts are translated at once


class TranslationWriter:
    """Translates and scores; no tf.Module, so that the model is not tracked.

    Args:
        model, task, use_cudnn: As in `TranslationServing`.
    """

    def __init__(self, model, task, use_cudnn: bool):
        self.model = model
        self.task = task
        self.use_cudnn = use_cudnn

    def translate(self, texts, attention=False, seed=None, **options) -> dict:
        """Outputs `(B, n)` of `(B,)` texts; see `TranslationServing`.

        Args:
            attention: Give pieces and weights of the best, too.
            seed: `(2,)`, for sampling.
            options: Of `DecodingOptions`; a max_length of 0 is relative to the source.
        """
        number = tf.size(texts)
        texts = _some(texts)
        ids, truncated = self.task.encode_source(texts)
        blank = tf.strings.regex_full_match(texts, BLANK)

        def write(rows, lengths, blank):
            return self._write(rows, lengths, blank, attention, seed, options)

        if seed is None:
            specs: list[tuple] = [(tf.string, [None], False)]
            specs += [(tf.float32, [None], False)] * 2
            if attention:
                specs += [(tf.int32, None, False), (tf.float32, None, False)]
            beam = options.get("beam", self.task.search.beam)
            narrower = tf.maximum(beam // USUAL_BEAM, 1)
            sizes = (WRITE_TOKENS // narrower, WRITE_ROWS // narrower)
            results = map_sorted(ids, write, specs, [blank], *sizes)
        else:  # the place of a text tells what is drawn for it
            results = write(ids, ids.row_lengths(), blank)
        results = [result[:number] for result in results]
        names = ("translations", "scores", "log_probabilities")
        outputs = dict(zip(names, results, strict=False))
        outputs["truncated"] = truncated[:number]
        if attention:
            outputs |= self._looks(ids[:number], *results[3:])
        return outputs

    def _write(self, rows, lengths, blank, attention, seed, options) -> list:
        """Translations `(b, n)` of a group, scores, log-probabilities; and looks."""
        source_ids = rows.to_tensor()  # (b, S)
        with cudnn(self.model, self.use_cudnn):
            found = generate(
                self.model.decoder,
                self._read(rows, source_ids),
                self._options(lengths, blank, options),
                seed=seed,
                source_mask=source_ids != 0,
                collect_attention=attention,
            )
        shape = tf.shape(found.lengths)  # b, n
        flat = tf.reshape(found.token_ids, [shape[0] * shape[1], -1])  # (b*n, T)
        texts = tf.reshape(self.task.target.decode(flat), shape)
        # That they are translated to nothing is not the model's opinion.
        certain = blank[:, None] & (found.scores > -float("inf"))
        numbers = [
            tf.where(certain, 0.0, values)
            for values in (found.scores, found.log_probabilities)
        ]
        if not attention:
            return [texts, *numbers]
        return [texts, *numbers, *_looks_of_best(found, lengths)]

    def _read(self, rows, source_ids):
        """The state of the decoder after reading `(b, S)` source_ids, in groups."""
        model, steps = self.model, tf.shape(source_ids)[1]

        def read(rows, _):
            memory, *states = model.encode(rows.to_tensor())
            missing = steps - tf.shape(memory)[1]
            return [tf.pad(memory, [[0, 0], [0, missing], [0, 0]]), *states]

        specs = [(part.dtype, list(part.shape[1:]), False) for part in model.encoded]
        memory, *states = map_groups(rows, read, specs, tokens=READ_TOKENS)
        return model.decoder.begin(memory, source_ids != 0, states or None)

    def _options(self, lengths, blank, changes) -> DecodingOptions:
        changes = dict(changes)
        given = changes.pop("max_length", None)
        options = self.task.search.options(lengths, **changes)
        longest = options.max_length  # (b,)
        if given is not None:
            longest = tf.where(tf.equal(given, 0), longest, given)
        options = options._replace(max_length=tf.where(blank, 0, longest))
        return within_positions(options, self.model.decoder)

    def _looks(self, source_ids, target_ids, weights) -> dict:
        task = self.task
        source = tf.constant(task.source.pieces(range(task.source.size)))
        target = tf.constant(task.target.pieces(range(task.target.size)))
        return {
            "source_pieces": tf.gather(source, source_ids.values),
            "source_lengths": source_ids.row_lengths(),
            "target_pieces": tf.gather(target, target_ids.values),
            "target_lengths": target_ids.row_lengths(),
            "weights": weights.values,
        }

    def score(self, texts, translations) -> dict:
        """Log-probabilities of pairs, `(B,)` of each side."""
        number = tf.size(texts)
        source_ids, cut_sources = self.task.encode_source(_some(texts))
        labels, cut_targets = self.task.encode_target(_some(translations))
        found, pieces = map_sorted(
            # Neither side may make a group too large.
            tf.concat([source_ids, labels], axis=1),
            lambda _, __, *sides: self._score(*sides),
            [(tf.float32, [], False), (tf.int64, [], False)],
            beside=[source_ids, labels],
        )
        return {
            "log_probabilities": found[:number],
            "pieces": pieces[:number],
            "truncated": (cut_sources | cut_targets)[:number],
        }

    def _score(self, source_ids, labels) -> list:
        """Log-probabilities `(b,)` of labels `(b, (T))`, and their numbers."""
        lengths = labels.row_lengths()
        labels = labels.to_tensor()  # (b, T)
        before = tf.pad(labels[:, :-1], [[0, 0], [1, 0]], constant_values=BEGIN)
        batch = {"source_ids": source_ids.to_tensor(), "target_ids": before}
        with cudnn(self.model, self.use_cudnn):
            logits = self.model(batch, training=False)["logits"]  # (b, T, V)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        real = tf.sequence_mask(lengths, dtype=tf.float32)
        return [-tf.reduce_sum(losses * real, axis=1), lengths]


def _looks_of_best(found, source_lengths) -> list[tf.RaggedTensor]:
    """Tokens `(b, (T))` and weights `(b, (T*S))` of the best hypotheses."""
    lengths = tf.cast(found.lengths[:, 0], tf.int64)
    written = tf.sequence_mask(lengths)[:, :, None]  # (b, T, 1)
    read = tf.sequence_mask(source_lengths)[:, None, :]  # (b, 1, S)
    weights = tf.boolean_mask(
        found.attention[:, 0, : tf.shape(written)[1]], written & read
    )
    return [
        tf.RaggedTensor.from_tensor(found.token_ids[:, 0], lengths),
        tf.RaggedTensor.from_row_lengths(
            weights, lengths * source_lengths, validate=False
        ),
    ]


def _some(texts):
    """A text where there is none: no layer has to bear an empty batch."""
    return tf.cond(tf.size(texts) > 0, lambda: texts, lambda: tf.constant([""]))
