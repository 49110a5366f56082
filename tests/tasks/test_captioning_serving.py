"""The exported captioner: what it answers, in memory and loaded again."""

import io

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tiny_captioner import KINDS, SCENES, captioner

from seqloom.layers import DecodingOptions, PretrainedImageEncoder, generate
from seqloom.tasks.captioning import Eye
from seqloom.tasks.captioning_serving import UNREADABLE
from seqloom.tasks.image_reading import decode_images


def large_jpeg():
    buffer = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (90, 140, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()


IMAGES = [SCENES[0].image.read(), large_jpeg(), SCENES[2].image.read()]


@pytest.fixture(scope="module", params=KINDS)
def served(request, tmp_path_factory):
    """Task, model, and the signatures of the loaded SavedModel."""
    task, model = captioner(request.param)
    module = task.serving_module(model)
    folder = str(tmp_path_factory.mktemp("saved"))
    names = ("serving_default", "search", "attention")
    functions = {name: getattr(module, name) for name in names}
    tf.saved_model.save(module, folder, signatures=functions)
    loaded = tf.saved_model.load(folder)
    return task, model, loaded.signatures, loaded


def numpy(outputs):
    return {name: values.numpy() for name, values in outputs.items()}


def test_captions_are_those_of_the_search(served):
    task, model, signatures, _ = served
    answer = numpy(signatures["serving_default"](images=tf.constant(IMAGES)))
    pixels = decode_images(tf.constant(IMAGES), 16)
    found = generate(model.decoder, model.begin(pixels), task.search.options())
    texts = task.target.decode(found.token_ids[:, 0]).numpy()
    assert answer["captions"].tolist() == texts.tolist()
    assert len(set(answer["scores"].round(3))) == 3  # each image has its own
    np.testing.assert_allclose(answer["scores"], found.scores[:, 0], atol=1e-5)
    assert answer["errors"].tolist() == [b"", b"", b""]


def test_what_is_no_image_gets_an_error_and_the_others_a_caption(served):
    *_, signatures, _ = served
    serve = signatures["serving_default"]
    expected = numpy(serve(images=tf.constant(IMAGES)))
    bad = [b"", b"a dog", IMAGES[1][:200]]
    mixed = [bad[0], IMAGES[0], bad[1], IMAGES[1], IMAGES[2], bad[2]]
    answer = numpy(serve(images=tf.constant(mixed)))
    good = [1, 3, 4]
    assert answer["captions"][good].tolist() == expected["captions"].tolist()
    for place in (0, 2, 5):
        assert answer["captions"][place] == b""
        assert answer["scores"][place] == answer["log_probabilities"][place] == 0
        assert answer["errors"][place].decode() == UNREADABLE
    for images in ([], bad):
        answer = numpy(serve(images=tf.constant(images, tf.string)))
        assert answer["captions"].tolist() == [b""] * len(images)


def test_options_are_inputs(served):
    _, model, signatures, _ = served
    answer = numpy(
        signatures["search"](
            images=tf.constant(IMAGES),
            beam=tf.constant(4),
            n_best=tf.constant(2),
            length_penalty=tf.constant(0.0),
            max_length=tf.constant(3),
        )
    )
    options = DecodingOptions(beam=4, n_best=2, max_length=3)
    pixels = decode_images(tf.constant(IMAGES), 16)
    found = generate(model.decoder, model.begin(pixels), options)
    np.testing.assert_allclose(answer["scores"], found.scores, atol=1e-5)
    assert answer["captions"].shape == (3, 2)


def test_attention_has_a_grid_for_every_piece(served):
    _, model, signatures, _ = served
    mixed = tf.constant([IMAGES[0], b"no image", IMAGES[2]])
    answer = numpy(signatures["attention"](images=mixed))
    lengths = answer["lengths"]
    assert lengths[1] == 0
    assert lengths.sum() == len(answer["pieces"])
    assert answer["weights"].shape == (lengths.sum(), *model.grid_shape)
    np.testing.assert_allclose(answer["weights"].sum(axis=(1, 2)), 1, atol=1e-5)
    first = b"".join(answer["pieces"][: lengths[0]]).decode().replace("▁", " ").strip()
    if "<0x" not in first:
        assert first == answer["captions"][0].decode()


def test_a_frozen_encoder_is_part_of_the_export(tmp_path):
    keras.utils.set_random_seed(1)  # of the backbone
    image = keras.Input((16, 16, 3))
    backbone = keras.Model(image, keras.layers.Conv2D(5, 8, 8)(image))
    eye = PretrainedImageEncoder(backbone, scale=1 / 128, offset=-1.0)
    task, model = captioner("recurrent", Eye(lambda: eye, (2, 2, 5), lambda rs: None))
    module = task.serving_module(model)
    tf.saved_model.save(
        module, str(tmp_path), signatures={"serve": module.serving_default}
    )
    loaded = tf.saved_model.load(str(tmp_path))
    answer = numpy(loaded.signatures["serve"](images=tf.constant(IMAGES)))
    seen = eye(decode_images(tf.constant(IMAGES), 16))
    found = generate(model.decoder, model.begin(seen), task.search.options())
    np.testing.assert_allclose(answer["scores"], found.scores[:, 0], atol=1e-5)
