"""The captioning task: examples, batches, loss, predictions and their scores."""

import numpy as np
import pytest
import tensorflow as tf

from seqloom.layers import PretrainedImageEncoder
from seqloom.pipelines import batching
from seqloom.tasks.captioner import doubly_stochastic_penalty, word_detection_loss
from seqloom.tasks.captioning import CaptioningTask, CaptionSearch, Eye
from seqloom.tasks.image_reading import decode_images
from seqloom.tasks.synthetic_scenes import synthetic_scenes
from seqloom.tasks.translator import translation_loss

SCENES = synthetic_scenes("train", seed=1, number=12)
MODEL = {"units": 8, "filters": (4, 4, 4)}
GRIDS = np.random.default_rng(0).normal(size=(12, 2, 3, 5)).astype("float16")


def new_task(**arguments):
    task = CaptioningTask(
        "captioning", **{"vocabulary_size": 400, "model": MODEL, **arguments}
    )
    task.fit_vocabulary(SCENES)
    return task


def with_grids(**arguments):
    def load() -> PretrainedImageEncoder:
        raise AssertionError("the encoder is not needed where there are grids")

    grids = {record.name: grid for record, grid in zip(SCENES, GRIDS, strict=True)}
    seen = Eye(load, (2, 3, 5), lambda rs: np.stack([grids[r.name] for r in rs]))
    return new_task(eye=seen, **arguments)


@pytest.fixture(scope="module")
def task():
    return new_task()


def batch_of(task, training=False, rows=(0, 3), seed=(0, 0)):
    examples = task.examples(SCENES, training)
    rows = tf.constant(rows, tf.int64)
    return task.batch(examples, rows, training, tf.constant(seed))


def test_training_has_every_caption_and_evaluation_the_first(task):
    captions = [(r, c) for r in SCENES for c in r.captions]
    examples = task.examples(SCENES, training=True)
    assert len(examples) == len(captions)
    texts = task.target.decode(examples.columns["labels"].values[:, :-1])
    assert [text.decode() for text in texts.numpy()] == [c for _, c in captions]
    places = [SCENES[place].name for place in examples.columns["image"].numpy()]
    assert places == [record.name for record, _ in captions]
    assert len(task.examples(SCENES)) == len(SCENES)


def test_an_epoch_reads_an_image_once_with_captions_drawn_for_it():
    task = new_task(captions_at_once=3, seed=4, vary=False)
    given = task.examples(SCENES, training=True)
    epochs = [given.resample(epoch) for epoch in range(12)]
    drawn = [captions_of(task, examples) for examples in epochs]
    assert captions_of(task, given) == drawn[0] == captions_of(task, given.resample(0))
    for captions in drawn:
        for record, some in zip(SCENES, captions, strict=True):
            assert len(set(some)) == 3 and set(some) <= set(record.captions)
    assert len({str(captions) for captions in drawn}) == len(drawn)
    for number, record in enumerate(SCENES):  # in the end all, in any order
        looks = [captions[number] for captions in drawn]
        assert {caption for look in looks for caption in look} == set(record.captions)
    # Evaluation looks at an image for the first caption alone.
    assert task.examples(SCENES).resample is None


def captions_of(task, examples):
    """The captions of each look, in their order."""
    labels = examples.columns["labels"]
    texts = iter(task.target.decode(labels.values[:, :-1]).numpy())
    return [[next(texts).decode() for _ in range(n)] for n in labels.row_lengths()]


def test_a_batch_has_several_captions_of_an_image_padded_alike():
    task = new_task(captions_at_once=3, vary=False)
    two = SCENES[1]._replace(captions=SCENES[1].captions[:2])
    examples = task.examples([SCENES[0], two, *SCENES[2:]], training=True)
    features, labels = task.batch(
        examples, tf.constant([0, 1], tf.int64), True, tf.constant([0, 0])
    )
    assert features["image"].shape[0] == 2
    assert labels.shape[0] == features["target_ids"].shape[0] == 6
    real = (labels != 0).numpy().sum(axis=1)
    assert real[5] == 0 and not features["target_ids"][5].numpy().any()  # no third
    assert examples.tokens[:2].tolist() == [real[:3].sum(), real[3:].sum()]
    # Room for three captions each, as long as the longest.
    assert examples.lengths[:2].tolist() == [3 * max(real[:3]), 3 * max(real[3:])]
    plan = batching.plan_training(examples.lengths, 300, 99, 1, 1, seed=1, epoch=0)
    sizes = [
        np.prod(task.batch(examples, tf.constant(rows), True, [0, 0])[1].shape)
        for rows in plan
    ]
    assert len(plan) > 1 and max(sizes) <= 300
    share = batching.padding_share(plan, examples.lengths, examples.tokens)
    assert share == pytest.approx(1 - examples.tokens.sum() / sum(sizes))


def test_detection_learns_the_pieces_that_all_captions_of_an_image_have():
    task = with_grids(word_detection=0.5)
    record = SCENES[0]._replace(captions=("a red ring", "there is a red ring"))
    examples = task.examples([record, SCENES[1]], training=True)
    assert len(examples) == 7
    rows = tf.constant([1, 0], tf.int64)
    batch = task.batch(examples, rows, True, tf.constant([0, 0]))
    ids = [set(task.target.encode([c]).to_list()[0]) for c in record.captions]
    for pieces, wanted in zip(batch[2], (ids[0] & ids[1], ids[0] ^ ids[1])):
        assert set(pieces[0].numpy()) - {0} == wanted
    # Evaluation scores the first caption, but what an image shows is what all tell.
    once = task.batch(task.examples([record]), tf.constant([0]), False, [0, 0])
    assert once[1].shape[0] == 1
    for pieces, wanted in zip(once[2], (ids[0] & ids[1], ids[0] ^ ids[1])):
        assert set(pieces[0].numpy()) - {0} == wanted
    model = task.build_model()
    outputs = model(batch[0])
    total, _ = task.loss(model, batch, outputs)
    plain, _ = translation_loss(batch[1], outputs["logits"], 0.0)
    missed = word_detection_loss(outputs["words"], *batch[2])
    assert float(total) == pytest.approx(float(plain) + 0.5 * float(missed), rel=1e-5)


def test_an_image_is_detected_once_with_each_of_its_captions():
    task = with_grids(word_detection=0.5, captions_at_once=2)
    batch = batch_of(task, training=True)
    model = task.build_model()
    outputs = model(batch[0])
    assert (len(batch[1]), len(outputs["words"])) == (4, 2)
    total, _ = task.loss(model, batch, outputs)
    plain, _ = translation_loss(batch[1], outputs["logits"], 0.0)
    missed = word_detection_loss(outputs["words"], *batch[2])
    assert float(total) == pytest.approx(
        float(plain) + 0.5 * 2 * float(missed), rel=1e-5
    )


def test_a_batch_has_pixels_and_shifted_pieces(task):
    features, labels = batch_of(task)
    pictures = tf.constant([SCENES[0].image.read(), SCENES[3].image.read()])
    np.testing.assert_array_equal(features["image"], decode_images(pictures, 64))
    for row, ids in enumerate(labels.numpy()):
        real = ids[ids != 0]
        assert real[-1] == 3
        expected = [2, *real[:-1]]
        assert features["target_ids"][row, : len(real)].numpy().tolist() == expected


def test_only_training_varies_images_and_by_the_seed(task):
    still = batch_of(task)[0]["image"]
    one, same, other = (
        batch_of(task, True, seed=seed)[0]["image"] for seed in ((1, 2), (1, 2), (1, 3))
    )
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 1
    plain = batch_of(new_task(vary=False), True, rows=(0,))[0]["image"]
    np.testing.assert_array_equal(plain[0], still[0])


def test_a_frozen_encoder_gives_its_grids():
    task = with_grids()
    features, _ = batch_of(task, rows=(3, 0))
    np.testing.assert_array_equal(features["image"], GRIDS[[3, 0]].astype("float32"))
    model = task.build_model()
    assert model.grid_shape == (2, 3)
    assert model(features)["logits"].shape[:1] == (2,)


def test_loss_is_that_of_the_pieces_and_of_uneven_looks():
    task = with_grids(doubly_stochastic=0.5, label_smoothing=0.1)
    batch = batch_of(task)
    model = task.build_model()
    outputs = model(batch[0])
    total, weight = task.loss(model, batch, outputs)
    plain, pieces = translation_loss(batch[1], outputs["logits"], 0.1)
    uneven = doubly_stochastic_penalty(outputs["attention"], batch[1])
    assert float(weight) == float(pieces) == np.count_nonzero(batch[1])
    assert float(total) == pytest.approx(float(plain) + 0.5 * float(uneven), rel=1e-5)


@pytest.mark.parametrize("quick", [False, True])
def test_predictions_say_what_was_written_and_are_scored(quick):
    task = with_grids(search=CaptionSearch(beam=2, max_length=6))
    model = task.build_model()
    records = SCENES[:4]
    batch = batch_of(task, rows=range(4))
    outputs = task.predict(model, batch, model(batch[0]), quick)
    assert outputs[0].shape[1] <= 6
    rows = task.predictions(records, list(zip(*[o.numpy() for o in outputs])))
    assert [row["image"] for row in rows] == [record.name for record in records]
    assert rows[0]["references"] == list(records[0].captions)
    scores = task.evaluate(rows, quick)
    assert {"bleu_4", "cider_d", "perplexity", "piece_accuracy"} <= set(scores.values)
    pieces = sum(row["reference_pieces"] for row in rows)
    assert pieces == np.count_nonzero(batch[1])


def test_captions_are_lower_cased_unless_told():
    records = [record._replace(captions=("A Red Ring",)) for record in SCENES[:1]]
    for lowercase, expected in ((True, "a red ring"), (False, "A Red Ring")):
        task = new_task(lowercase=lowercase)
        labels = task.examples(records).columns["labels"].values[:, :-1]
        assert task.target.decode(labels)[0].numpy().decode() == expected


def test_the_vocabulary_is_kept(task, tmp_path):
    task.save_vocabulary(tmp_path)
    again = CaptioningTask("captioning", model=MODEL)
    with pytest.raises(ValueError, match="has no vocabulary yet"):
        _ = again.target
    again.load_vocabulary(tmp_path)
    assert again.target.size == task.target.size


def test_a_beam_larger_than_the_vocabulary_is_told():
    task = new_task(search=CaptionSearch(beam=999))
    with pytest.raises(ValueError, match="beam=999 is larger than the vocabulary of"):
        task.build_model()
