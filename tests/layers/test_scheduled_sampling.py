"""Scheduled sampling: how often, and that the decoder then reads its own tokens."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from seqloom.layers import RecurrentDecoder
from seqloom.layers.scheduled_sampling import ScheduledSampling

TARGETS = np.array([[2, 5, 4, 6], [2, 4, 3, 1], [2, 6, 6, 5]], "int32")
MEMORY = np.random.default_rng(0).normal(size=(3, 4, 5)).astype("float32")
KINDS = [("none", 1), ("first_layer", 2), ("input_feeding", 2)]


def decoder(attention, num_layers, **arguments):
    layer = RecurrentDecoder(7, 3, num_layers, attention=attention, **arguments)
    layer(TARGETS, MEMORY)
    random = np.random.default_rng(1)
    for weight in layer.trainable_variables:
        weight.assign(random.normal(size=weight.shape) * 2)
    return layer


def test_share_rises_in_a_straight_line_and_never_takes_the_first():
    layer = ScheduledSampling(0.8, ramp=4)
    targets = np.zeros((500, 21), "int32")
    shares = []
    for _ in range(6):
        own, uniform = layer(targets)
        assert not own[:, 0].numpy().any()
        assert uniform.numpy().min() >= 0
        assert uniform.numpy().max() < 1
        shares.append(own[:, 1:].numpy().mean())
    # 10,000 draws: 0.02 is four standard deviations.
    np.testing.assert_allclose(shares, [0.2, 0.4, 0.6, 0.8, 0.8, 0.8], atol=0.02)


def test_number_of_calls_is_kept_with_the_weights():
    first = ScheduledSampling(0.5, ramp=10)
    for _ in range(3):
        first(TARGETS)
    second = ScheduledSampling(0.5, ramp=10)
    second.build(TARGETS.shape)
    second.set_weights(first.get_weights())
    assert int(second.calls) == 3
    assert second.trainable_variables == []


@pytest.mark.parametrize(("attention", "num_layers"), KINDS)
def test_own_tokens_are_what_the_decoder_would_have_written(
    attention, num_layers, monkeypatch
):
    layer = decoder(attention, num_layers, scheduled_sampling=1.0)
    uniform = np.random.default_rng(3).random(TARGETS.shape).astype("float32")
    own = np.random.default_rng(4).random(TARGETS.shape) < 0.5
    own[:, 0] = False
    monkeypatch.setattr(layer.sampling, "call", lambda targets: (own, uniform))
    logits, _ = layer(TARGETS, MEMORY, training=True)

    # The same by hand: begin, step, and the quantile of the softmax by numpy.
    state = layer.begin(MEMORY)
    token = TARGETS[:, 0]
    read = [token]
    for step in range(TARGETS.shape[1]):
        expected, state, _ = layer.step(tf.constant(token), state)
        np.testing.assert_allclose(logits[:, step], expected, atol=1e-5)
        if step + 1 == TARGETS.shape[1]:
            break
        shares = np.cumsum(tf.nn.softmax(expected).numpy(), axis=1)
        drawn = (shares > uniform[:, step + 1, None]).argmax(axis=1)
        token = np.where(own[:, step + 1], drawn, TARGETS[:, step + 1])
        token = token.astype("int32")
        read.append(token)
    assert (np.stack(read, axis=1) != TARGETS).any()  # it did read its own


@pytest.mark.parametrize(("attention", "num_layers"), KINDS)
def test_nothing_changes_outside_of_training_or_before_it_rises(attention, num_layers):
    layer = decoder(attention, num_layers, scheduled_sampling=1.0, dropout=0.5)
    plain = decoder(attention, num_layers)
    expected, _ = plain(TARGETS, MEMORY)
    np.testing.assert_allclose(layer(TARGETS, MEMORY)[0], expected, atol=1e-6)
    rising = decoder(
        attention, num_layers, scheduled_sampling=1.0, scheduled_sampling_ramp=10**9
    )
    logits, _ = rising(TARGETS, MEMORY, training=True)
    np.testing.assert_allclose(logits, expected, atol=1e-5)


def test_every_weight_learns_in_a_graph():
    layer = decoder("first_layer", 2, scheduled_sampling=0.5, dropout=0.1)

    @tf.function
    def gradients(targets):
        with tf.GradientTape() as tape:
            logits, _ = layer(targets, MEMORY, training=True)
            loss = tf.reduce_sum(tf.square(logits))
        return tape.gradient(loss, [w.value for w in layer.trainable_variables])

    for weight, gradient in zip(
        layer.trainable_variables, gradients(TARGETS), strict=True
    ):
        assert np.abs(tf.convert_to_tensor(gradient)).max() > 0, weight.path


def test_configuration_survives():
    layer = decoder("none", 1, scheduled_sampling=0.25, scheduled_sampling_ramp=7)
    again = RecurrentDecoder.from_config(layer.get_config())
    assert (again.sampling.share, again.sampling.ramp) == (0.25, 7)
    assert decoder("none", 1).sampling is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"share": 1.5}, "ScheduledSampling needs 0 <= share <= 1, got share=1.5"),
        ({"share": 0.5, "ramp": 0}, "needs an integer ramp >= 1, got ramp=0"),
    ],
)
def test_wrong_arguments_are_told(arguments, message):
    with pytest.raises(ValueError, match=message):
        ScheduledSampling(**arguments)


def test_two_seeds_differ():
    keras.utils.set_random_seed(1)
    first = ScheduledSampling(0.5)(np.zeros((5, 9)))[0].numpy()
    keras.utils.set_random_seed(2)
    second = ScheduledSampling(0.5)(np.zeros((5, 9)))[0].numpy()
    assert (first != second).any()
