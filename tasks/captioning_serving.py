"""The exported captioner: image bytes in, captions and scores out, in one graph."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from seqloom.layers import generate
from seqloom.tasks.image_reading import MAX_PIXELS, decode_what_can_be
from seqloom.tasks.tagging_serving import cudnn
from seqloom.tasks.written_options import check_written_options

UNREADABLE = (
    "no image that can be read: send the bytes of a whole JPEG or PNG file of at most "
    f"{MAX_PIXELS // 10**6} megapixels"
)
_IMAGES = tf.TensorSpec([None], tf.string, name="images")


class CaptioningServing(tf.Module):
    """A captioner as a module to save, with three signatures.

        serving_default([bytes of a photo, b"no image"]) gives
            captions           ["two dogs run in the grass", ""]
            scores             [-0.9, 0.0]       by which the search chose it
            log_probabilities  [-5.3, 0.0]       what the model says
            errors             ["", "no image that can be read: ..."]

        search(images, beam, n_best, length_penalty, max_length) gives the same for the
        n_best best captions: all but errors are (B, n), best first. Where there are
        fewer, the rest are "" with a score of -inf. max_length counts pieces; 0 is that
        of the run.

        attention(images) gives what serving_default does, and
            pieces             ["▁two", "▁dogs", ...]    written, of all images
            lengths            [7, 0]                    how many of them for each
            weights            (N, G, K) of all N pieces: how much each place of the
                               grid, rows from the top, was looked at

    Images are JPEG or PNG files of any size, in any number, none included; they are
    squashed to the square that the model reads. One that cannot be read gets a text in
    errors, and does not disturb the others.

    Args:
        model: A `Captioner`.
        task: Its `CaptioningTask`, with the vocabulary.
        use_cudnn: Let recurrent layers use cuDNN. A graph traced with it on a GPU
            does not load on a CPU (keras#18504).
    """

    def __init__(self, model, task, use_cudnn: bool = False):
        super().__init__(name="captioning")
        eye = task.eye.load() if task.frozen else None
        # Weights alone: tracking the model would save its optimizer with it.
        self._weights = [variable.value for variable in model.variables]
        self._weights += [variable.value for variable in eye.variables] if eye else []
        # In an object of a class without tracking, for the same reason.
        self._writer = _Writer(model, task, eye, use_cudnn)

    @property
    def answers(self):
        """The signature that says what most users want to know."""
        return self.serving_default

    @tf.function(input_signature=[_IMAGES], autograph=False)
    def serving_default(self, images):
        return _best(self._writer.write(images))

    @tf.function(
        input_signature=[
            _IMAGES,
            tf.TensorSpec([], tf.int32, name="beam"),
            tf.TensorSpec([], tf.int32, name="n_best"),
            tf.TensorSpec([], tf.float32, name="length_penalty"),
            tf.TensorSpec([], tf.int32, name="max_length"),
        ],
        autograph=False,
    )
    def search(self, images, beam, n_best, length_penalty, max_length):
        usual = self._writer.task.search.max_length
        return self._writer.write(
            images,
            beam=beam,
            n_best=n_best,
            length_penalty=length_penalty,
            max_length=tf.where(tf.equal(max_length, 0), usual, max_length),
        )

    @tf.function(input_signature=[_IMAGES], autograph=False)
    def attention(self, images):
        return _best(self._writer.write(images, attention=True))

    # === In memory ===

    def with_options(
        self, attention: bool = False, seed: int | None = None, **options
    ) -> Callable[[Any, int], dict]:
        """A function that captions with other options than those of the run.

        Args:
            attention: Give what the signature of that name gives, of the best.
            seed: Of sampling.
            options: Of `DecodingOptions`, as numbers. A max_length of 0 or None is that
                of the run.

        Returns:
            Takes the bytes of images, and the place of the first among all, for the
            sampling; gives what the signature `search` gives.

        Raises:
            ValueError: An option does not exist, or makes no sense.
        """
        writer = self._writer
        decoder, size = writer.model.decoder, writer.task.target.size
        options = check_written_options(decoder, size, options, seed, attention)
        if not options.get("max_length"):
            options.pop("max_length", None)
        sample = options.get("sample", False)

        @tf.function(
            input_signature=[_IMAGES, tf.TensorSpec([2], tf.int32)], autograph=False
        )
        def write(images, seeds):
            drawn = seeds if sample else None
            return writer.write(images, attention, drawn, **options)

        write.get_concrete_function()  # finds what makes no sense

        def answer(images, first: int = 0) -> dict:
            return write(tf.constant(images, tf.string), [seed or 0, first])

        return answer


class _Writer:
    """Writes captions; no tf.Module, so that the model is not tracked."""

    def __init__(self, model, task, eye, use_cudnn: bool):
        self.model = model
        self.task = task
        self.eye = eye
        self.use_cudnn = use_cudnn

    def write(self, images, attention=False, seed=None, **options) -> dict:
        """Outputs `(B, n)` of `(B,)` images; see `CaptioningServing`.

        Args:
            attention: Give pieces and weights of the best, too.
            seed: `(2,)`, for sampling.
            options: Of `DecodingOptions`.
        """
        number = tf.size(images)
        # One where there is none: no layer has to bear an empty batch.
        images = tf.cond(number > 0, lambda: images, lambda: tf.constant([b""]))
        readable, seen = decode_what_can_be(images, self.task.image_size)
        if self.eye is not None:
            seen = self.eye(seen, training=False)  # (B, G, K, D)
        with cudnn(self.model, self.use_cudnn):
            found = generate(
                self.model.decoder,
                self.model.begin(seen),
                self.task.search.options(**options),
                seed=seed,
                collect_attention=attention,
            )
        real = readable[:, None] | (found.scores == -float("inf"))  # (B, n)
        outputs = {
            "captions": self._texts(found, readable),
            "scores": tf.where(real, found.scores, 0.0),
            "log_probabilities": tf.where(real, found.log_probabilities, 0.0),
            "errors": tf.where(readable, "", UNREADABLE),
        }
        if attention:
            outputs |= self._looks(found, readable)
            number_of_pieces = tf.reduce_sum(outputs["lengths"][:number])
            for name in ("pieces", "weights"):
                outputs[name] = outputs[name][:number_of_pieces]
        whole = ("pieces", "weights")
        return {
            name: values if name in whole else values[:number]
            for name, values in outputs.items()
        }

    def _texts(self, found, readable):
        shape = tf.shape(found.lengths)  # B, n
        flat = tf.reshape(found.token_ids, [shape[0] * shape[1], -1])  # (B*n, T)
        texts = tf.reshape(self.task.target.decode(flat), shape)
        return tf.where(readable[:, None], texts, "")

    def _looks(self, found, readable) -> dict:
        """Pieces `(N,)` and weights `(N, G, K)` of the best captions."""
        lengths = tf.where(readable, found.lengths[:, 0], 0)  # (B,)
        written = tf.sequence_mask(lengths, tf.shape(found.token_ids)[2])  # (B, T)
        pieces = tf.constant(self.task.target.pieces(range(self.task.target.size)))
        weights = tf.boolean_mask(found.attention[:, 0], written)  # (N, S)
        ids = tf.boolean_mask(found.token_ids[:, 0], written)
        return {
            "pieces": tf.gather(pieces, ids),
            "lengths": tf.cast(lengths, tf.int64),
            "weights": tf.reshape(weights, [-1, *self.model.grid_shape]),
        }


def _best(outputs: dict) -> dict:
    """`(B,)` of the best where there are `(B, n)`."""
    return {
        name: values[:, 0] if values.shape.rank == 2 else values
        for name, values in outputs.items()
    }
