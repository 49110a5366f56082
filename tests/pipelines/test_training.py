"""The training loop: what it promises about weights, callbacks, files and messages."""

import csv
import errno
import os
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf
from toy_training import (
    At,
    Toy,
    ToyTraining,
    assert_equal_weights,
    stop_with,
    toy_examples,
)

from seqloom.pipelines import checkpoints as checkpoints_module
from seqloom.pipelines.errors import UserError
from seqloom.pipelines.evaluation import Evaluator
from seqloom.pipelines.interruption import Interrupted
from seqloom.pipelines.steps import GROWTH_STEPS
from seqloom.tasks.synthetic import synthetic_sentences
from seqloom.tasks.tagging import TaggingTask

STEPS_PER_EPOCH = 8  # of the toy on one replica


def f1(*values):
    """Validation metrics, one dict for each validation."""
    return [{"f1": value, "loss": 1.0} for value in values]


# === Steps, epochs, validations ===


def test_it_learns_and_writes_down_every_step(tmp_path):
    toy = ToyTraining(tmp_path, epochs=6)
    position = toy.fit()
    assert position.epoch == 6
    assert position.step == 6 * STEPS_PER_EPOCH
    losses, validations = toy.history(), toy.history("val_loss")
    assert [step for step, _ in losses] == list(range(1, position.step + 1))
    steps = [STEPS_PER_EPOCH * epoch for epoch in range(1, 7)]
    assert [step for step, _ in validations] == steps
    assert losses[-1][1] < 0.3 * losses[0][1]
    assert validations[-1][1] < 0.3 * validations[0][1]
    assert position.tokens == 6 * toy_examples().lengths.sum()


def test_the_tracker_gets_what_the_history_has(tmp_path):
    toy = ToyTraining(tmp_path, epochs=2)
    toy.fit()
    logged = [
        (step, values["training/loss"])
        for values, step in toy.logged
        if "training/loss" in values
    ]
    assert logged == toy.history()
    logged = [
        (step, values["validation/loss"])
        for values, step in toy.logged
        if "validation/loss" in values
    ]
    assert logged == toy.history("val_loss")


def test_validations_come_every_so_many_epochs_and_at_the_end(tmp_path):
    toy = ToyTraining(tmp_path, epochs=5, validate_epochs=2)
    toy.fit()
    steps = [step for step, _ in toy.history("val_loss")]
    assert steps == [STEPS_PER_EPOCH * epoch for epoch in (2, 4, 5)]


def test_max_steps_ends_in_mid_epoch_with_a_validation(tmp_path):
    toy = ToyTraining(tmp_path, max_steps=STEPS_PER_EPOCH + 3)
    position = toy.fit()
    assert (position.step, position.epoch) == (11, 2)
    assert toy.history("val_loss")[-1][0] == 11


@pytest.mark.parametrize("replicas", [1, 2])
def test_steps_in_one_call_are_the_same_steps(tmp_path, replicas):
    one = ToyTraining(tmp_path / "1", dropout=0.3, replicas=replicas, ema=0.9)
    one.fit()
    many = ToyTraining(
        tmp_path / "7",
        dropout=0.3,
        replicas=replicas,
        ema=0.9,
        steps_per_call=7,
        checkpoint_steps=5,
    )
    many.fit()
    assert many.history() == one.history()
    assert_equal_weights(many.weights(), one.weights())
    assert_equal_weights(many.validated[-1], one.validated[-1])


# === What is best ===


def test_patience_ends_it_and_the_best_weights_come_back(tmp_path):
    toy = ToyTraining(tmp_path, epochs=9, monitor="f1", patience=2)
    position = toy.fit(scripted=f1(0.5, 0.7, 0.7, 0.6))
    assert position.epoch == 4
    assert position.best["epoch"] == 2
    assert position.best["metrics"]["f1"] == 0.7
    assert "f1 has not improved in 2 validations" in toy.said
    toy.trainer.load_best()
    assert_equal_weights(toy.weights(), toy.validated[1])
    assert [path.name for path in toy.run.weights_path.parent.iterdir()] == [
        "best.weights.h5"
    ]


@pytest.mark.parametrize(
    ("monitor", "values", "best"),
    [
        ("loss", [3.0, 1.0, 2.0], 2),
        ("f1", [3.0, 1.0, 2.0], 1),
        ("loss", [np.nan, 2.0, np.nan], 2),
        ("f1", [np.nan, np.nan, 0.1], 3),
    ],
)
def test_best_goes_by_the_metric(tmp_path, monitor, values, best):
    toy = ToyTraining(tmp_path, epochs=3, monitor=monitor)
    toy.fit(scripted=[{"loss": 1.0, "f1": 0.0, monitor: value} for value in values])
    assert toy.trainer.position.best["epoch"] == best


def test_an_unknown_monitor_is_told_with_those_there_are(tmp_path):
    toy = ToyTraining(tmp_path, monitor="f2")
    with pytest.raises(UserError, match="training.monitor=f2 is not.*There are: f1, l"):
        toy.fit(scripted=f1(0.5))


def test_averages_are_evaluated_and_kept_but_not_trained_on(tmp_path):
    decay = 0.8
    toy = ToyTraining(tmp_path / "average", ema=decay)
    averages = toy.weights()
    expected = []

    class Follow(keras.callbacks.Callback):
        updates = 0

        def on_train_batch_end(self, batch, logs=None):
            self.updates += 1
            d = min(decay, (1 + self.updates) / (10 + self.updates))
            for number, weight in enumerate(toy.weights()):
                averages[number] = d * averages[number] + (1 - d) * weight

        def on_epoch_end(self, epoch, logs=None):
            expected.append([value.copy() for value in averages])

    toy.fit([Follow()])
    for seen, wanted in zip(toy.validated, expected, strict=True):
        for value, average in zip(seen, wanted, strict=True):
            np.testing.assert_allclose(value, average, rtol=1e-5, atol=1e-6)
    plain = ToyTraining(tmp_path / "plain")
    plain.fit()
    assert_equal_weights(toy.weights(), plain.weights())
    toy.trainer.load_best()
    assert_equal_weights(toy.weights(), toy.validated[-1])


# === Keras callbacks ===


class Recorder(keras.callbacks.Callback):
    """Notes each call with its index and the names of its logs."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def on_train_begin(self, logs=None):
        self.calls.append(("train begin", sorted(logs or {})))

    def on_train_end(self, logs=None):
        self.calls.append(("train end",))

    def on_epoch_begin(self, epoch, logs=None):
        self.calls.append(("epoch begin", epoch))

    def on_epoch_end(self, epoch, logs=None):
        self.calls.append(("epoch end", epoch, sorted(logs)))

    def on_train_batch_begin(self, batch, logs=None):
        self.calls.append(("batch begin", batch))

    def on_train_batch_end(self, batch, logs=None):
        self.calls.append(("batch end", batch, sorted(logs)))


def test_callbacks_are_called_as_by_fit(tmp_path):
    ours, theirs = Recorder(), Recorder()
    toy = ToyTraining(tmp_path, epochs=2)
    toy.fit([ours])
    model = keras.Sequential([keras.Input([1]), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    data = np.ones([STEPS_PER_EPOCH, 1])
    model.fit(
        data,
        data,
        batch_size=1,
        epochs=2,
        validation_data=(data, data),
        callbacks=[theirs],
        verbose=0,
    )
    assert ours.calls == theirs.calls
    assert ours.model is toy.model
    assert ours.params["epochs"] == 2
    assert ours.params["steps"] == STEPS_PER_EPOCH


def test_a_schedule_of_epochs_sets_the_rate(tmp_path):
    toy = ToyTraining(tmp_path)
    toy.fit([keras.callbacks.LearningRateScheduler(lambda epoch: 0.1 / 2**epoch)])
    rates = toy.history("learning_rate")
    wanted = [0.1 / 2 ** ((step - 1) // STEPS_PER_EPOCH) for step, _ in rates]
    np.testing.assert_allclose([rate for _, rate in rates], wanted)


def test_a_plateau_of_a_task_metric_lowers_the_rate(tmp_path):
    plateau = keras.callbacks.ReduceLROnPlateau("val_f1", factor=0.1, patience=1)
    toy = ToyTraining(tmp_path, epochs=4)
    toy.fit([plateau], scripted=f1(0.5, 0.6, 0.6, 0.7))
    rates = [rate for _, rate in toy.history("learning_rate")][::STEPS_PER_EPOCH]
    np.testing.assert_allclose(rates, [0.05, 0.05, 0.05, 0.005], rtol=1e-5)


def test_keras_early_stopping_knows_the_direction_of_a_task_metric(tmp_path):
    stopping = keras.callbacks.EarlyStopping("val_f1", patience=1)
    toy = ToyTraining(tmp_path, epochs=5, monitor="f1")
    toy.fit([stopping], scripted=f1(0.5, 0.6, 0.6))
    assert stopping.mode == "max"
    assert toy.trainer.position.epoch == 3


def test_csv_logger_writes_what_the_history_has(tmp_path):
    path = tmp_path / "log.csv"
    toy = ToyTraining(tmp_path / "run")
    toy.fit([keras.callbacks.CSVLogger(str(path))])
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    logged = [float(row["val_loss"]) for row in rows]
    assert logged == [value for _, value in toy.history("val_loss")]


def test_a_callback_can_stop_in_mid_epoch(tmp_path):
    toy = ToyTraining(tmp_path)

    def stop():
        toy.model.stop_training = True

    position = toy.fit([At(STEPS_PER_EPOCH + 2, stop)])
    assert (position.step, position.epoch) == (10, 2)
    assert position.best["step"] == 10
    assert position.finished


# === Numbers that go wrong ===


def test_a_loss_that_is_not_finite_ends_it_and_keeps_a_good_checkpoint(tmp_path):
    toy = ToyTraining(
        tmp_path,
        optimizer="sgd",
        learning_rate=1e30,
        clip_norm=None,
        checkpoint_steps=1,
    )
    with pytest.raises(UserError, match=r"no longer finite at step \d.*last good"):
        toy.fit()
    newest = toy.trainer.checkpoints.paths()[-1].with_suffix(".npz")
    with np.load(newest) as arrays:
        for name in arrays.files:
            assert np.isfinite(arrays[name]).all(), name
    twin = ToyTraining(
        tmp_path,
        optimizer="sgd",
        learning_rate=1e30,
        clip_norm=None,
        checkpoint_steps=1,
    )
    with pytest.raises(UserError, match="no longer finite"):
        twin.fit()
    assert "Going on from step" in twin.said


def test_broken_weights_are_never_a_checkpoint(tmp_path):
    toy = ToyTraining(tmp_path, checkpoint_steps=2)

    def spoil():
        toy.model.trainable_variables[0].assign(np.full([20, 4], np.nan))

    with pytest.raises(
        UserError, match="finite at step 6 .*weight.*checkpoint-00000004"
    ):
        toy.fit([At(6, spoil)])


def test_without_a_checkpoint_the_message_says_so(tmp_path):
    toy = ToyTraining(tmp_path, optimizer="sgd", learning_rate=1e38, clip_norm=None)
    with pytest.raises(UserError, match="There is no checkpoint yet.*learning_rate"):
        toy.fit()


def test_a_worker_that_goes_is_told(tmp_path, monkeypatch):
    toy = ToyTraining(tmp_path)

    def gone():
        raise tf.errors.UnavailableError(None, None, "Collective ops is aborted by ...")

    with pytest.raises(UserError, match="worker has gone after step 3.*RESUME="):
        toy.fit([At(3, gone)])


# === A full disk ===


@pytest.fixture
def full_disk(monkeypatch):
    """Makes a function of a module fail at its first call, as a full disk does."""

    def fill(owner, name, times=1):
        real = getattr(owner, name)
        left = iter(range(times))

        def call(*args, **kwargs):
            if next(left, None) is not None:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(*args, **kwargs)

        monkeypatch.setattr(owner, name, call)

    return fill


def test_a_checkpoint_that_cannot_be_saved_is_said_and_training_goes_on(
    tmp_path, full_disk
):
    full_disk(checkpoints_module.np, "savez")
    toy = ToyTraining(tmp_path)
    position = toy.fit()
    assert f"No checkpoint at step {STEPS_PER_EPOCH}: [Errno 28] No space" in toy.said
    assert position.finished
    steps = [int(path.stem[-8:]) for path in toy.trainer.checkpoints.paths()]
    assert steps == [2 * STEPS_PER_EPOCH, 3 * STEPS_PER_EPOCH]


def test_history_that_cannot_be_written_is_written_later(tmp_path, full_disk):
    toy = ToyTraining(tmp_path)
    full_disk(toy.run, "append_history")
    toy.fit()
    assert "No checkpoint at step 8" in toy.said
    assert [step for step, _ in toy.history()] == list(range(1, 25))


def test_best_weights_that_cannot_be_kept_leave_the_best_before(tmp_path, full_disk):
    toy = ToyTraining(tmp_path, monitor="f1")
    full_disk(toy.model, "save_weights")
    toy.fit(scripted=f1(0.9, 0.5, 0.6))
    assert "step 8 are the best so far but cannot be kept: [Errno 28]" in toy.said
    assert toy.trainer.position.best["epoch"] == 3
    toy.trainer.load_best()
    assert_equal_weights(toy.weights(), toy.validated[2])


def test_a_disk_that_stays_full_is_told_at_the_end(tmp_path, full_disk):
    toy = ToyTraining(tmp_path, epochs=1)
    full_disk(toy.model, "save_weights", times=9)
    toy.fit()
    with pytest.raises(UserError, match="No weights could be kept in .*room"):
        toy.trainer.load_best()


# === Interruption and resume (of whole processes: test_resume.py) ===


@pytest.mark.parametrize(
    ("number", "replicas"), [(signal.SIGINT, 1), (signal.SIGTERM, 2)]
)
def test_a_signal_saves_and_says_how_to_go_on(tmp_path, number, replicas):
    settings = {"dropout": 0.4, "replicas": replicas, "ema": 0.9, "monitor": "f1"}
    script = f1(0.5, 0.4, 0.3)
    whole = ToyTraining(tmp_path / "whole", **settings)
    whole.fit(scripted=script)
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    first = ToyTraining(tmp_path / "run", **settings)
    with pytest.raises(Interrupted) as stopped:
        first.fit([At(11, stop_with(number))], scripted=script)
    assert handlers == (
        signal.getsignal(signal.SIGINT),
        signal.getsignal(signal.SIGTERM),
    )
    assert stopped.value.exit_status == 128 + number
    assert f"at step 11 by {number.name}" in str(stopped.value)
    assert f"make train TASK=ner RESUME={tmp_path / 'run'}" in str(stopped.value)
    second = ToyTraining(tmp_path / "run", **settings)
    second.fit(scripted=script[len(first.validated) :])
    assert f"Going on from step 11, epoch {2 if replicas == 1 else 3}" in second.said
    assert second.history() == whole.history()
    assert second.history("val_f1") == whole.history("val_f1")
    assert second.trainer.position.best == whole.trainer.position.best
    for training in (whole, second):
        training.trainer.load_best()
    assert_equal_weights(second.weights(), whole.weights())


def test_a_signal_in_the_last_validation_leaves_nothing_to_train(tmp_path):
    toy = ToyTraining(tmp_path, epochs=1)
    with pytest.raises(Interrupted, match="at step 8"):
        toy.fit([At(8, stop_with(signal.SIGTERM))])
    twin = ToyTraining(tmp_path, epochs=1)
    assert twin.fit().finished
    assert twin.validated == []
    twin.trainer.load_best()
    assert_equal_weights(twin.weights(), toy.validated[0])


def test_a_second_signal_does_not_wait(tmp_path):
    toy = ToyTraining(tmp_path)

    def twice():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt) as stopped:
        toy.fit([At(2, twice)])
    assert not isinstance(stopped.value, Interrupted)


def test_a_damaged_checkpoint_costs_no_more_than_its_steps(tmp_path):
    """The best weights are those that the older checkpoint means."""
    settings = {"monitor": "f1", "dropout": 0.4}
    script = f1(0.9, 0.95, 0.1)
    whole = ToyTraining(tmp_path / "whole", **settings)
    whole.fit(scripted=script)
    first = ToyTraining(tmp_path / "run", **settings)
    with pytest.raises(Interrupted):
        first.fit([At(2 * STEPS_PER_EPOCH, stop_with(signal.SIGTERM))], script)
    newest = first.trainer.checkpoints.paths()[-1]
    newest.with_suffix(".npz").write_bytes(b"")
    second = ToyTraining(tmp_path / "run", **settings)
    second.fit(scripted=f1(0.1, 0.1))  # so the first validation stays the best
    assert "checkpoint-00000016.npz is damaged" in second.said
    assert second.history() == whole.history()
    second.trainer.load_best()
    assert_equal_weights(second.weights(), whole.validated[0])


def test_killed_before_the_first_checkpoint_it_begins_again(tmp_path):
    whole = ToyTraining(tmp_path / "whole")
    whole.fit()
    toy = ToyTraining(tmp_path / "run")
    toy.run.append_history([{"step": 1, "loss": 9.0}])
    toy.fit()
    assert toy.history() == whole.history()


# === The mean of checkpoints ===


@pytest.mark.parametrize("ema", [None, 0.5])
@pytest.mark.parametrize("better", [True, False])
def test_the_mean_of_the_last_checkpoints_is_kept_if_it_is_better(
    tmp_path, better, ema
):
    toy = ToyTraining(
        tmp_path / "run", epochs=4, keep_checkpoints=3, average_checkpoints=3, ema=ema
    )
    losses = [5.0, 4.0, 3.0, 2.0, 1.0 if better else 2.5]
    toy.fit(scripted=[{"loss": loss} for loss in losses])
    toy.trainer.load_best()
    *_, first, second, third, mean = toy.validated
    for weight, *three in zip(mean, first, second, third, strict=True):
        np.testing.assert_allclose(weight, np.mean(three, axis=0), atol=1e-6)
    for weight, kept in zip(toy.weights(), mean if better else third, strict=True):
        np.testing.assert_array_equal(weight, kept)
    assert ("better than all, kept" if better else "not kept") in toy.said


# === The tagger: precision and compilation ===


@pytest.fixture(scope="module")
def sentences():
    return synthetic_sentences("ner", "train", num_sentences=60)


def train_tagger(folder, sentences, **settings):
    """Train a small tagger; gives (loss of each step, validation metrics)."""
    small = {"word_units": 8, "characters": "none", "units": 8, "cell": "gru"}
    small |= {"shape_units": 4, "affix_units": 4, "dropout": 0.0}
    policy = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy(settings.get("precision", "float32"))
        task = TaggingTask("ner", spans=True, word_dropout=0.0, model=small)
        task.fit_vocabulary(sentences)
        toy = ToyTraining(folder, task=task, batch_tokens=200, **settings)
    finally:
        keras.config.set_dtype_policy(policy)
    validate = Evaluator(task, toy.model, sentences[:20]).measure
    position = toy.trainer.fit(task.examples(sentences), validate)
    return [loss for _, loss in toy.history()], position.best["metrics"]


@pytest.fixture(scope="module")
def plain_losses(tmp_path_factory, sentences):
    folder = tmp_path_factory.mktemp("float32")
    return train_tagger(folder, sentences, epochs=4)[0]


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_learns_like_float32(
    tmp_path, sentences, plain_losses, precision
):
    losses, metrics = train_tagger(tmp_path, sentences, epochs=4, precision=precision)
    assert losses[-1] < 0.5 * losses[0]
    np.testing.assert_allclose(losses[:3], plain_losses[:3], rtol=0.03)
    assert np.isfinite(metrics["loss"])


@pytest.mark.parametrize("accumulation", [1, 2])
def test_an_overflow_changes_no_weight_and_halves_the_scale(tmp_path, accumulation):
    """Once the loss overflows, then not: only the second step counts."""
    task = Toy()
    task.factor = tf.Variable(1.0)
    settings = {"optimizer": "sgd", "clip_norm": 0.1, "learning_rate": 0.5}
    settings["accumulation"] = accumulation
    toy = ToyTraining(
        tmp_path / "scaled", task=task, precision="mixed_float16", **settings
    )
    before = toy.weights()
    toy.trainer._build(toy_examples())
    step = toy.trainer.step
    plan = toy.trainer.feed.plan(0)
    first_scale = step.loss_scale.numpy()

    def run(first):
        batches = toy.trainer.feed.stream(plan, 0, first)
        return step(iter(batches), np.int32(1)).numpy()[0]

    task.factor.assign(1e36)  # finite itself, but not once it is scaled
    total, _, norm = run(0)
    assert np.isfinite(total)
    assert not np.isfinite(norm)
    assert_equal_weights(toy.weights(), before)
    assert step.loss_scale.numpy() == first_scale / 2
    task.factor.assign(1.0)
    total, weight, norm = run(0)
    plain = ToyTraining(tmp_path / "plain", max_steps=1, **settings)
    plain.fit()
    np.testing.assert_allclose(total / weight, plain.history()[0][1], rtol=1e-6)
    np.testing.assert_allclose(norm, plain.history("gradient_norm")[0][1], rtol=1e-5)
    for value, expected in zip(toy.weights(), plain.weights(), strict=True):
        np.testing.assert_allclose(value, expected, atol=1e-6)
    assert step.loss_scale.numpy() == first_scale / 2
    step.good_steps.assign(GROWTH_STEPS - 1)
    run(0)
    assert step.loss_scale.numpy() == first_scale
    assert step.good_steps.numpy() == 0


def test_gradients_that_never_fit_end_a_float16_training(tmp_path):
    class Broken(Toy):
        def loss(self, model, batch, outputs):
            total, weight = super().loss(model, batch, outputs)
            zero = tf.sqrt(tf.reduce_sum(outputs - outputs))  # its gradient is nan
            return total + zero, weight

    toy = ToyTraining(tmp_path, task=Broken(), precision="mixed_float16")
    with pytest.raises(UserError, match="finite at step 16 .*gradient norm nan"):
        toy.fit()


def test_compiled_steps_are_the_same_steps(tmp_path, sentences, plain_losses):
    losses, _ = train_tagger(
        tmp_path, sentences, epochs=4, max_steps=1, jit_compile=True
    )
    np.testing.assert_allclose(losses, plain_losses[:1], rtol=1e-4)
