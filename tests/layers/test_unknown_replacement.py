"""Unknown tokens become the source token that was attended to most."""

import numpy as np
import tensorflow as tf

from seqloom.layers import DecodingOptions, RecurrentDecoder, generate, replace_unknown

WORDS = np.array(["", "<unk>", "<s>", "</s>", "we", "saw"])


def test_by_hand():
    ids = tf.constant([[[4, 5, 1]], [[1, 1, 3]]])
    attention = np.zeros((2, 1, 3, 3), "float32")
    attention[0, 0, 2] = [0.2, 0.7, 0.1]
    attention[1, 0, 0] = [0.1, 0.2, 0.9]  # on padding
    attention[1, 0, 1] = [0.6, 0.4, 0.0]
    source = tf.constant([["wir", "Rhea", "sahen"], ["Ada", "Oslo", ""]])
    mask = tf.constant([[True, True, True], [True, True, False]])
    found = replace_unknown(ids, tf.gather(WORDS, ids), attention, source, mask)
    assert found.numpy().astype(str).tolist() == [
        [["we", "saw", "Rhea"]],
        [["Oslo", "Ada", "</s>"]],
    ]


def test_what_a_search_found_against_a_loop():
    random = np.random.default_rng(0)
    decoder = RecurrentDecoder(6, 4)
    memory = random.normal(size=(5, 3, 4)).astype("float32")
    decoder(np.ones((5, 1), "int32"), memory)
    decoder.set_weights([random.normal(size=w.shape) * 2 for w in decoder.weights])
    mask = np.arange(3) < np.array([3, 2, 1, 3, 2])[:, None]
    options = DecodingOptions(beam=3, n_best=2, max_length=6)
    state = decoder.begin(memory, mask)
    found = generate(decoder, state, options, source_mask=mask, collect_attention=True)
    ids, attention = found.token_ids.numpy(), found.attention.numpy()
    assert (ids == 1).any()
    source = np.array([[f"s{row}{place}" for place in range(3)] for row in range(5)])
    texts = replace_unknown(ids, tf.gather(WORDS, ids), attention, source, mask)
    for row, kept, step in np.ndindex(*ids.shape):
        expected = WORDS[ids[row, kept, step]]
        if ids[row, kept, step] == 1:
            expected = f"s{row}{attention[row, kept, step, : mask[row].sum()].argmax()}"
        assert texts[row, kept, step].numpy().decode() == expected
