"""Learning rates by hand, and what a wrong optimizer option is told."""

import math

import keras
import pytest

from seqloom.pipelines.errors import UserError
from seqloom.pipelines.optimization import (
    OPTIMIZERS,
    WarmupSchedule,
    build_optimizer,
    current_rate,
    spare_from_decay,
)


def rates(kind, steps, warmup=10, total=110):
    schedule = WarmupSchedule(0.2, kind, warmup, total)
    return [float(schedule(step)) for step in steps]


def test_every_schedule_rises_to_the_peak_in_the_warm_up():
    for kind in ("constant", "linear", "cosine", "inverse_square_root"):
        assert rates(kind, [0, 4, 9, 10]) == pytest.approx([0.02, 0.1, 0.2, 0.2])


def test_each_schedule_falls_by_its_formula():
    assert rates("constant", [60, 110]) == pytest.approx([0.2, 0.2])
    assert rates("linear", [60, 85, 110]) == pytest.approx([0.1, 0.05, 0.0])
    expected = [0.1, 0.2 * (1 + math.cos(0.75 * math.pi)) / 2, 0.0]
    assert rates("cosine", [60, 85, 110]) == pytest.approx(expected, abs=1e-7)
    expected = [0.2 * math.sqrt(10 / 40), 0.2 * math.sqrt(10 / 1000)]
    assert rates("inverse_square_root", [40, 1000]) == pytest.approx(expected)


def test_no_warm_up_begins_at_the_peak():
    assert rates("cosine", [0], warmup=0) == pytest.approx([0.2])


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_every_optimizer_is_built_with_its_rate_and_decay(name):
    optimizer = build_optimizer(name, 0.01, "constant", 0, 100, weight_decay=0.1)
    assert current_rate(optimizer) == pytest.approx(0.01)
    assert optimizer.weight_decay == 0.1


def test_a_constant_rate_can_be_set_by_keras_callbacks():
    optimizer = build_optimizer("sgd", 0.01, "constant", 0, 100)
    optimizer.learning_rate = 0.005
    assert current_rate(optimizer) == pytest.approx(0.005)


def test_decay_pulls_at_neither_biases_nor_norms_nor_positions():
    weights = [
        keras.Variable(keras.ops.ones(shape), name=name)
        for name, shape in (
            ("kernel", (2, 3)),
            ("bias", (3,)),
            ("gamma", (3,)),
            ("rows", (4, 1, 3)),
        )
    ]
    optimizer = build_optimizer("adamw", 0.1, "constant", 0, 9, weight_decay=0.5)
    spare_from_decay(optimizer, weights)
    optimizer.build(weights)
    optimizer.apply([keras.ops.zeros_like(weight) for weight in weights])
    kept = [float(keras.ops.max(weight)) for weight in weights]
    assert kept == pytest.approx([0.95, 1.0, 1.0, 1.0])


def test_options_reach_the_optimizer():
    optimizer = build_optimizer(
        "sgd", 0.01, "linear", 5, 100, options={"momentum": 0.9, "nesterov": True}
    )
    assert isinstance(optimizer, keras.optimizers.SGD)
    assert optimizer.momentum == 0.9


def test_an_option_that_does_not_fit_is_named():
    with pytest.raises(UserError, match="momentun.*does not fit optimizer sgd"):
        build_optimizer("sgd", 0.01, "constant", 0, 100, options={"momentun": 0.9})
