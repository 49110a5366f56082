"""Checkpoints: exact, whole or absent, and clear about what is broken."""

import errno

import keras
import numpy as np
import pytest

from seqloom.pipelines import checkpoints as module
from seqloom.pipelines.checkpoints import Checkpoints
from seqloom.pipelines.errors import UserError


def make_model(units=3):
    return keras.Sequential(
        [keras.Input([4]), keras.layers.Dense(units), keras.layers.Dropout(0.5)]
    )


def make(folder, model=None, keep=2):
    model = model or make_model()
    optimizer = keras.optimizers.Adam()
    optimizer.build(model.trainable_variables)
    groups = {"model": model.variables, "optimizer": optimizer.variables}
    return model, Checkpoints(folder, groups, keep=keep)


def test_nothing_to_restore_is_no_error(tmp_path):
    assert make(tmp_path)[1].restore() is None


def test_all_variables_come_back_bit_by_bit(tmp_path):
    model, checkpoints = make(tmp_path)
    model(np.ones([2, 4]), training=True)  # moves the seed of the dropout
    checkpoints.save(7, {"epoch": 2})
    other, twin = make(tmp_path)
    assert twin.restore() == {"epoch": 2}
    assert len(model.variables) == 3  # kernel, bias, and the dropout's seed
    for value, expected in zip(other.variables, model.variables, strict=True):
        np.testing.assert_array_equal(value.numpy(), expected.numpy())


def test_only_the_newest_are_kept(tmp_path):
    _, checkpoints = make(tmp_path, keep=2)
    for step in (1, 2, 3):
        checkpoints.save(step, {"step": step})
    assert [path.stem[-1] for path in checkpoints.paths()] == ["2", "3"]
    assert len(list(tmp_path.glob("*.npz"))) == 2


@pytest.mark.parametrize("damage", ["truncated", "flipped", "no arrays", "no JSON"])
def test_a_damaged_checkpoint_is_said_and_the_one_before_is_taken(tmp_path, damage):
    model, checkpoints = make(tmp_path)
    checkpoints.save(1, {"step": 1})
    before = [value.numpy() for value in model.variables]
    model.layers[0].kernel.assign(np.zeros([4, 3]))
    checkpoints.save(2, {"step": 2})
    arrays = tmp_path / "checkpoint-00000002.npz"
    content = arrays.read_bytes()
    if damage == "truncated":
        arrays.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        middle = len(content) // 2
        arrays.write_bytes(
            content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        )
    elif damage == "no arrays":
        arrays.unlink()
    else:
        arrays.with_suffix(".json").write_text("{")
    said = []
    assert checkpoints.restore(said.append) == {"step": 1}
    assert "checkpoint-00000002.npz is damaged" in said[0]
    for value, expected in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(value.numpy(), expected)


def test_when_all_are_damaged_the_run_is_refused(tmp_path):
    _, checkpoints = make(tmp_path)
    checkpoints.save(1, {})
    (tmp_path / "checkpoint-00000001.npz").write_bytes(b"")
    with pytest.raises(UserError, match="No checkpoint in .* is intact.*Start a new"):
        checkpoints.restore(lambda line: None)


@pytest.mark.parametrize("call", ["savez", "fsync"])
def test_a_full_disk_leaves_the_checkpoint_before(tmp_path, monkeypatch, call):
    model, checkpoints = make(tmp_path)
    checkpoints.save(1, {"step": 1})

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    owner = module.np if call == "savez" else module.os
    monkeypatch.setattr(owner, call, full)
    with pytest.raises(OSError, match="No space left"):
        checkpoints.save(2, {"step": 2})
    monkeypatch.undo()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "checkpoint-00000001.json",
        "checkpoint-00000001.npz",
    ]
    assert make(tmp_path, model)[1].restore() == {"step": 1}


def test_a_checkpoint_of_another_model_names_the_difference(tmp_path):
    make(tmp_path)[1].save(1, {})
    _, other = make(tmp_path, make_model(units=5))
    with pytest.raises(UserError, match=r"model/0000 is \(4, 3\) there and \(4, 5\)"):
        other.restore()


def test_the_mean_is_that_of_the_newest_intact_ones(tmp_path):
    model, checkpoints = make(tmp_path, keep=4)
    kernel = model.variables[0]
    for step, value in enumerate([100.0, 1.0, 2.0, 6.0]):
        kernel.assign(np.full(kernel.shape, value))
        checkpoints.save(step, {})
    np.testing.assert_allclose(checkpoints.mean("model", 3)[0], 3.0)
    np.testing.assert_allclose(checkpoints.mean("model", 9)[0], 109 / 4)
    damaged = tmp_path / "checkpoint-00000003.npz"
    damaged.write_bytes(damaged.read_bytes()[:-20])
    np.testing.assert_allclose(checkpoints.mean("model", 2)[0], 1.5)
