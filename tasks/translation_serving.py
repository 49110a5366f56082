"""The exported translator: raw texts in, translations and scores out, in one graph."""

import difflib
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from seqloom.layers import DecodingOptions, generate
from seqloom.tasks.sorted_rows import map_sorted
from seqloom.tasks.subwords import BEGIN
from seqloom.tasks.tagging_serving import cudnn

BLANK = r"[\s\v\pZ]*"  # nothing but white space
USUAL_BEAM = 8  # from twice that on fewer texts are translated at once

_TEXTS = tf.TensorSpec([None], tf.string, name="texts")


class TranslationServing(tf.Module):
    """A translator as a module to save, with four signatures.

        serving_default(["Save changes", ""]) gives
            translations       ["Enregistrer les modifications", ""]
            scores             [-0.31, 0.0]      by which the search chose it
            log_probabilities  [-0.52, 0.0]      what the model says
            truncated          [False, False]    whether pieces were left unread

        search(texts, beam, n_best, length_penalty, max_length) gives the same for the
        n_best best translations: all but truncated are (B, n), best first. Where there
        are fewer, the rest are "" with a score of -inf. max_length counts pieces; 0
        leaves it relative to the source.

        attention(texts) gives what serving_default does, and
            source_pieces      ["▁Save", "▁changes", "</s>"]   read, of all texts
            target_pieces      ["▁Enregistrer", "▁les", ...]   written, of all texts
            source_lengths     [3, 0]
            target_lengths     [3, 0]
            weights            for each text, for each piece written, how much it
                               looked at each piece read: 3 x 3 numbers, then 0 x 0

        score(texts, translations) gives of pairs
            log_probabilities  [-0.52]
            pieces             [4]               of the translation, with its end
            truncated          [False]           whether a side was cut

    Texts may be of any length and number, none included. A text of nothing but white
    space is translated to "", with a score and a log-probability of 0. Scores are
    those of `generate`.

    Args:
        model: A `Translator`.
        task: Its `TranslationTask`, with the vocabulary and the settings of the search.
        use_cudnn: Let recurrent layers use cuDNN. A graph traced with it on a GPU
            does not load on a CPU (keras#18504).
    """

    def __init__(self, model, task, use_cudnn: bool = False):
        super().__init__(name="translation")
        # Weights alone: tracking the model would save its optimizer with it.
        self._weights = [variable.value for variable in model.variables]
        # In an object of a class without tracking, for the same reason.
        self._writer = _Writer(model, task, use_cudnn)

    @property
    def answers(self):
        """The signature that says what most users want to know."""
        return self.serving_default

    # === Signatures ===

    @tf.function(input_signature=[_TEXTS], autograph=False)
    def serving_default(self, texts):
        search = self._writer.task.search
        return _best(
            self.search(texts, search.beam, 1, float(search.length_penalty), 0)
        )

    @tf.function(
        input_signature=[
            _TEXTS,
            tf.TensorSpec([], tf.int32, name="beam"),
            tf.TensorSpec([], tf.int32, name="n_best"),
            tf.TensorSpec([], tf.float32, name="length_penalty"),
            tf.TensorSpec([], tf.int32, name="max_length"),
        ],
        autograph=False,
    )
    def search(self, texts, beam, n_best, length_penalty, max_length):
        return self._writer.translate(
            texts,
            beam=beam,
            n_best=n_best,
            length_penalty=length_penalty,
            max_length=max_length,
        )

    @tf.function(input_signature=[_TEXTS], autograph=False)
    def attention(self, texts):
        return _best(self._writer.translate(texts, attention=True))

    @tf.function(
        input_signature=[_TEXTS, tf.TensorSpec([None], tf.string, name="translations")],
        autograph=False,
    )
    def score(self, texts, translations):
        check = tf.debugging.assert_equal(
            tf.size(texts),
            tf.size(translations),
            "score takes pairs: give as many translations as texts.",
        )
        with tf.control_dependencies([check]):
            return self._writer.score(tf.identity(texts), translations)

    # === In memory ===

    def with_options(
        self, attention: bool = False, seed: int | None = None, **options
    ) -> Callable[[Any, int], dict]:
        """A function that translates with other options than those of the run.

        Args:
            attention: Give what the signature of that name gives, of the best.
            seed: Of sampling.
            options: Of `DecodingOptions`, as numbers. A max_length of 0 or None leaves
                it relative to the source; sampling follows no beam.

        Returns:
            Takes texts, and the place of the first among all, for the sampling; gives
            what the signature `search` gives.

        Raises:
            ValueError: An option does not exist, or makes no sense.
        """
        _check_names(options)
        self._writer.check(**options)
        sample = options.get("sample", False)
        if sample:
            options = {"beam": 1, **options}
        elif seed is not None:
            raise ValueError(
                f"seed={seed} is for drawing translations, but sample=False looks for "
                "the best ones. Set sample=True, or leave the seed out."
            )
        if attention and getattr(self._writer.model.decoder, "attention", "") == "none":
            raise ValueError(
                "This model looks at no piece of the source while it writes "
                "(model.attention=none): it has no attention to show. Train one with "
                "another model.attention."
            )
        signature = [_TEXTS, tf.TensorSpec([2], tf.int32)]

        @tf.function(input_signature=signature, autograph=False)
        def translate(texts, seeds):
            drawn = seeds if sample else None
            return self._writer.translate(texts, attention, drawn, **options)

        translate.get_concrete_function()  # finds what makes no sense

        def answer(texts, first: int = 0) -> dict:
            return translate(tf.constant(texts, tf.string), [seed or 0, first])

        return answer


class _Writer:
    """The steps from texts to translations, in graphs."""

    def __init__(self, model, task, use_cudnn: bool):
        self.model = model
        self.task = task
        self.use_cudnn = use_cudnn

    def check(self, beam: int = 1, max_length: int | None = None, **_) -> None:
        """Find what else would only show when the graph runs."""
        size = self.task.target.size
        if beam > size:
            raise ValueError(
                f"beam={beam} is larger than the vocabulary of {size} pieces. Set it "
                "to 10 or less: more hardly ever helps."
            )
        if max_length is not None and max_length < 0:
            raise ValueError(
                f"max_length must be 0 or more, got {max_length}. 0 leaves it relative "
                "to the source."
            )

    def translate(self, texts, attention=False, seed=None, **options) -> dict:
        """Outputs `(B, n)` of `(B,)` texts; see the signatures."""
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
            results = map_sorted(ids, write, specs, [blank], narrower)
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
                self.model.begin(source_ids),
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

    def _options(self, lengths, blank, changes) -> DecodingOptions:
        changes = dict(changes)
        given = changes.pop("max_length", None)
        options = self.task.search.options(lengths, **changes)
        longest = options.max_length  # (b,)
        if given is not None:
            longest = tf.where(tf.equal(given, 0), longest, given)
        positions = getattr(self.model.decoder, "max_length", None)
        if positions is not None:  # learned ones, one of them for the begin
            longest = tf.minimum(longest, positions - 1)
        return options._replace(max_length=tf.where(blank, 0, longest))

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


def _best(outputs: dict) -> dict:
    """`(B,)` of the best where there are `(B, n)`."""
    return {
        name: values[:, 0] if values.shape.rank == 2 else values
        for name, values in outputs.items()
    }


def _some(texts):
    """A text where there is none: no layer has to bear an empty batch."""
    return tf.cond(tf.size(texts) > 0, lambda: texts, lambda: tf.constant([""]))


def _check_names(options) -> None:
    for name in options:
        if name not in DecodingOptions._fields:
            near = difflib.get_close_matches(name, DecodingOptions._fields, 1)
            hint = f"Did you mean {near[0]!r}?" if near else "There are: "
            hint += "" if near else ", ".join(DecodingOptions._fields)
            raise ValueError(f"Translating has no option {name!r}. {hint}")
