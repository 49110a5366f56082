"""A Transformer translator in the format of CTranslate2, which runs without TensorFlow.

A folder of it holds all that translating takes:

    model.bin, config.json      the weights
    *_vocabulary.json           pieces by id: shared, or of source and target
    source.model, target.model  cut texts into pieces and write texts (SentencePiece)
    README.txt                  how to use it

Shapes: V vocabulary, E width of an embedding, D units, P positions.
"""

from pathlib import Path

import numpy as np
from keras import ops

from seqloom.layers import TransformerDecoder
from seqloom.layers.decoding_options import BEGIN, PADDING
from seqloom.layers.position import sinusoids
from seqloom.layers.transformer_layer import EPSILON

# CTranslate2 reads so many pieces of a source unless it is told otherwise.
MOST_PIECES = 1024
# Leaves a piece no probability, and is a number in 16 bits, too.
NEVER = -6e4

README = """\
A translator for CTranslate2 (pip install ctranslate2 sentencepiece). In Python:

    import ctranslate2
    from sentencepiece import SentencePieceProcessor

    folder = "path/to/this/folder"
    translator = ctranslate2.Translator(folder)
    source = SentencePieceProcessor(model_file=folder + "/source.model")
    target = SentencePieceProcessor(model_file=folder + "/target.model")

    texts = ["A text.", "Another one."]
    pieces = [row[:{pieces}] for row in source.encode(texts, out_type=str)]
    results = translator.translate_batch(
        pieces, beam_size=1, min_decoding_length=0, max_decoding_length={longest}
    )
    print([target.decode(result.hypotheses[0]) for result in results])

CTranslate2 adds the end of a sentence to the pieces itself. With beam_size=1 its
translations have been compared with those of the model it was made from; with a beam
it scores translations of unlike lengths in its own way.
"""


def save_ctranslate2(model, task, folder: Path) -> None:
    """Write a translator into an empty folder; see the top of this file.

    Padding and begin get a bias by which they are never written, as in `generate`.
    Embeddings that the model projects to its units are stored projected.

    Args:
        model: A `Translator`.
        task: Its `TranslationTask`, with the vocabulary.

    Raises:
        ValueError: CTranslate2 cannot express the model.
    """
    check_expressible(model)
    longest = longest_translation(model, task)
    spec = _specification(model, max(MOST_PIECES, longest, task.max_length + 1))
    spec.register_source_vocabulary(task.source.pieces(range(task.source.size)))
    spec.register_target_vocabulary(task.target.pieces(range(task.target.size)))
    spec.validate()
    spec.optimize()  # what occurs twice is stored once
    spec.save(str(folder))
    task.source.save(folder, "source")
    task.target.save(folder, "target")
    text = README.format(pieces=task.max_length, longest=longest)
    (folder / "README.txt").write_text(text, encoding="utf-8")


def check_expressible(model) -> None:
    """Raise ValueError unless CTranslate2 can compute what the model does."""
    if not isinstance(model.decoder, TransformerDecoder):
        raise ValueError(
            "CTranslate2 runs Transformers only, and this translator is "
            "model.kind=recurrent. Export it as a SavedModel, or train one with "
            "model.kind=transformer."
        )
    normalizer = model.decoder.layers[0].normalizer
    if normalizer != "softmax":
        raise ValueError(
            "CTranslate2 normalizes attention by softmax only, and this translator has "
            f"model.normalizer={normalizer}. Export it as a SavedModel, or train one "
            "with model.normalizer=softmax."
        )


def longest_translation(model, task) -> int:
    """Most pieces that a translation can have, of the longest source that is read."""
    longest = int(task.search.options([task.max_length + 1]).max_length[0])
    positions = model.decoder.max_length  # learned ones, one of them for the begin
    return longest if positions is None else min(longest, positions - 1)


def _specification(model, num_positions: int):
    """The `ctranslate2.specs.TransformerSpec` of a model, its weights in it."""
    from ctranslate2.specs import TransformerSpec  # optional

    encoder, decoder = _stacks(model)
    reader = model.get_layer("reader")
    for spec, stack in ((encoder, reader), (decoder, model.decoder)):
        if stack.position != "rotary":
            spec.position_encodings.encodings = _positions(
                stack, model.decoder.units, num_positions
            )
        if stack.final_norm is not None:
            _set_norm(spec.layer_norm, stack.final_norm)
    encoder.embeddings[0].weight = _source_table(model)
    decoder.embeddings.weight = _table(
        model.decoder.embedding, model.decoder.projection
    )
    for spec, layer in zip(encoder.layer, reader.layers, strict=True):
        _set_self_attention(spec.self_attention, layer.attention, layer.attention_norm)
        _set_feed_forward(spec.ffn, layer.feed_forward, layer.feed_forward_norm)
    for spec, layer in zip(decoder.layer, model.decoder.layers, strict=True):
        own, cross, feed_forward = layer.norms
        _set_self_attention(spec.self_attention, layer.self_attention, own)
        _set_cross_attention(spec.attention, layer.cross_attention, cross)
        _set_feed_forward(spec.ffn, layer.feed_forward, feed_forward)
    _set_logits(decoder.projection, model.decoder.logits)
    spec = TransformerSpec(encoder, decoder)
    spec.config.add_source_eos = True
    spec.config.layer_norm_epsilon = EPSILON
    return spec


def _stacks(model):
    """Empty specifications of encoder and decoder."""
    from ctranslate2.specs import common_spec, transformer_spec

    layers = model.decoder.layers
    activations = {
        "relu": common_spec.Activation.RELU,
        "gelu": common_spec.Activation.GELU,
    }
    options = {
        "num_layers": len(layers),
        "num_heads": layers[0].num_heads,
        "pre_norm": layers[0].norm == "pre",
        "activation": activations[layers[0].feed_forward.activation],
    }
    if model.decoder.position == "rotary":  # 0 stands for all features of a head
        options |= {"rotary_dim": 0, "rotary_interleave": False}
    return (
        transformer_spec.TransformerEncoderSpec(**options),
        transformer_spec.TransformerDecoderSpec(
            **options,
            alignment_layer=max(len(layers) - 2, 0),
            alignment_heads=0,  # the mean of all
        ),
    )


def _positions(stack, units: int, num_positions: int) -> np.ndarray:
    """What is added to each position, `(P, D)`.

    Waves are stored, too: those that CTranslate2 makes itself have other lengths and
    another order.
    """
    if stack.position == "learned":
        return _array(stack.position_layer.table)
    if stack.position == "none":
        return np.zeros((num_positions, units), np.float32)
    return _array(sinusoids(num_positions, units))


def _source_table(model) -> np.ndarray:
    embedding = model.get_layer("source_pieces")
    narrow = embedding.units != model.decoder.units
    return _table(embedding, model.get_layer("projection") if narrow else None)


def _table(embedding, projection) -> np.ndarray:
    """The vectors `(V, D)` of pieces, projected if need be."""
    table = _array(embedding.table)  # (V, E)
    if projection is None:
        return table
    return table @ _array(projection.kernel) + _array(projection.bias)  # (V, D)


def _set_logits(spec, logits) -> None:
    bias = _array(logits.bias).copy()
    if logits.embedding is None:
        spec.weight = _array(logits.kernel).T  # (V, D)
    elif logits.projection is None:
        spec.weight = _array(logits.embedding.table)
    else:
        table = _array(logits.embedding.table)  # (V, E)
        spec.weight = table @ _array(logits.projection.kernel).T  # (V, D)
        bias += table @ _array(logits.projection.bias)
    bias[[PADDING, BEGIN]] = NEVER
    spec.bias = bias


def _set_self_attention(spec, attention, norm) -> None:
    inputs = attention.query_dense, attention.key_dense, attention.value_dense
    _set_dense(spec.linear[0], *inputs)
    _set_dense(spec.linear[1], attention.output_dense)
    _set_norm(spec.layer_norm, norm)


def _set_cross_attention(spec, attention, norm) -> None:
    _set_dense(spec.linear[0], attention.query_dense)
    _set_dense(spec.linear[1], attention.key_dense, attention.value_dense)
    _set_dense(spec.linear[2], attention.output_dense)
    _set_norm(spec.layer_norm, norm)


def _set_feed_forward(spec, feed_forward, norm) -> None:
    _set_dense(spec.linear_0, feed_forward.inner)
    _set_dense(spec.linear_1, feed_forward.outer)
    _set_norm(spec.layer_norm, norm)


def _set_dense(spec, *layers) -> None:
    """The layers side by side; of one without a bias it is 0."""
    spec.weight = np.concatenate([_array(dense.kernel).T for dense in layers])
    spec.bias = np.concatenate(
        [
            _array(dense.bias) if dense.use_bias else np.zeros(dense.units, np.float32)
            for dense in layers
        ]
    )


def _set_norm(spec, norm) -> None:
    spec.gamma, spec.beta = _array(norm.gamma), _array(norm.beta)


def _array(variable) -> np.ndarray:
    return ops.convert_to_numpy(variable)
