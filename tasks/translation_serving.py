"""The exported translator: raw texts in, translations and scores out, in one graph."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from seqloom.tasks.translation_writer import TranslationWriter
from seqloom.tasks.written_options import check_written_options

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
            source_lengths     [3, 1]            with the end of each
            target_lengths     [3, 0]
            weights            for each text, for each piece written, how much it
                               looked at each piece read: 3 x 3 numbers, then 0 x 1

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
        self._writer = TranslationWriter(model, task, use_cudnn)

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
        writer = self._writer
        decoder, size = writer.model.decoder, writer.task.target.size
        options = check_written_options(decoder, size, options, seed, attention)
        sample = options.get("sample", False)
        signature = [_TEXTS, tf.TensorSpec([2], tf.int32)]

        @tf.function(input_signature=signature, autograph=False)
        def translate(texts, seeds):
            drawn = seeds if sample else None
            return writer.translate(texts, attention, drawn, **options)

        translate.get_concrete_function()  # finds what makes no sense

        def answer(texts, first: int = 0) -> dict:
            return translate(tf.constant(texts, tf.string), [seed or 0, first])

        return answer


def _best(outputs: dict) -> dict:
    """`(B,)` of the best where there are `(B, n)`."""
    return {
        name: values[:, 0] if values.shape.rank == 2 else values
        for name, values in outputs.items()
    }
