"""A glimpse into a captioner: its own captions, and where it looked."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tiny_captioner import captioner

from seqloom.layers import PretrainedImageEncoder
from seqloom.tasks.caption_inside import CaptionGlimpse, choose_images, small_image
from seqloom.tasks.captioning import Eye
from seqloom.tasks.records import CaptionedImage, ImageBytes
from seqloom.tasks.synthetic_scenes import synthetic_scenes

SCENES = synthetic_scenes("test", seed=1, number=5)
GRIDS = np.random.default_rng(0).normal(size=(5, 2, 3, 5)).astype("float16")


def greedy_rows(task, model, records):
    batch = task.batch(
        task.examples(records), tf.range(len(records), dtype=tf.int64), False, [0, 0]
    )
    outputs = task.predict(model, batch, model(batch[0]), quick=True)
    return task.predictions(records, list(zip(*[o.numpy() for o in outputs])))


def texts(figure):
    return [text.get_text() for text in figure.texts]


def panels(figure):
    return [axes for axes in figure.axes if len(axes.images) == 2]


@pytest.fixture(scope="module", params=["recurrent", "transformer"])
def seeing(request):
    task, model = captioner(request.param)
    return task, model, CaptionGlimpse(model, task, SCENES)


# === Images ===


def test_chosen_images_come_from_all_of_the_split_and_are_always_the_same():
    records = list(range(101))
    assert choose_images(records, 5) == [0, 25, 50, 75, 100]
    assert choose_images(records) == choose_images(records)
    assert len(set(choose_images(records))) == 12
    assert choose_images(records[:3], 12) == [0, 1, 2]
    assert choose_images(records, 1) == [0]
    assert choose_images([], 12) == []


def encoded(pixels, kind):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def test_small_images_are_shown_as_they_are():
    pixels = np.random.default_rng(0).integers(0, 256, (31, 64, 3), dtype=np.uint8)
    np.testing.assert_array_equal(small_image(encoded(pixels, "PNG")), pixels)
    grey = small_image(encoded(pixels[..., 0], "PNG"))
    np.testing.assert_array_equal(grey, np.repeat(pixels[..., :1], 3, axis=2))


def test_large_images_become_small_and_keep_their_shape():
    pixels = np.full((900, 450, 3), 200, np.uint8)
    found = small_image(encoded(pixels, "JPEG"))
    assert found.shape == (320, 160, 3) and found.dtype == np.uint8
    assert np.abs(found.astype(int) - 200).max() <= 2
    assert small_image(encoded(pixels[:, :1], "PNG")).shape == (320, 1, 3)


# === Captions ===


def test_captions_are_the_greedy_ones_of_predict(seeing):
    task, model, glimpse = seeing
    rows = greedy_rows(task, model, SCENES)
    captions = [picture.caption for picture in glimpse._pictures()]
    assert captions == [row["prediction"] for row in rows]


def test_each_image_has_a_caption_of_its_own():
    task, model = captioner("recurrent")
    glimpse = CaptionGlimpse(model, task, SCENES)
    captions = [picture.caption for picture in glimpse._pictures()]
    assert captions == [row["prediction"] for row in greedy_rows(task, model, SCENES)]
    assert len(set(captions)) > 1


def test_every_word_has_weights_that_sum_to_one(seeing):
    _, model, glimpse = seeing
    for picture in glimpse._pictures():
        assert picture.weights.shape == (len(picture.words), *model.grid_shape)
        np.testing.assert_allclose(picture.weights.sum(axis=(1, 2)), 1, atol=1e-5)


def test_words_are_those_of_the_caption(seeing):
    *_, glimpse = seeing
    for picture in glimpse._pictures():
        assert "".join(picture.words) == "".join(picture.caption.split())


def test_the_weights_are_those_of_the_model_row_by_row(seeing):
    _, model, glimpse = seeing
    found = glimpse._generate(glimpse.images)
    ids = found.token_ids[:, 0].numpy()
    begin = np.full((len(ids), 1), 2, "int32")
    target_ids = tf.constant(np.concatenate([begin, ids[:, :-1]], axis=1))  # (B, T)
    forced = model({"image": glimpse.images, "target_ids": target_ids})["attention"]
    for row, length in enumerate(found.lengths[:, 0].numpy()):
        np.testing.assert_allclose(
            found.attention[row, 0, :length], forced[row, :length], atol=1e-5
        )


def test_the_sheet_says_what_is_wrong_with_captions_of_scenes(seeing):
    *_, glimpse = seeing
    written = texts(glimpse.sheet())
    verdicts = [text for text in written if text.startswith("✗ wrong: ")]
    assert len(verdicts) == 5  # an untrained model is never right
    assert sum("(held-out pair)" in text for text in written) <= 2


def test_attention_has_a_panel_for_each_word(seeing):
    *_, glimpse = seeing
    figures = glimpse.attention()
    assert list(figures) == ["attention_1", "attention_2", "attention_3"]
    pictures = [glimpse._pictures()[place] for place in (0, 2, 4)]
    for figure, picture in zip(figures.values(), pictures, strict=True):
        assert len(panels(figure)) == len(picture.words)


def test_a_right_caption_is_called_correct():
    from seqloom.tasks.caption_inside import _verdict

    for scene in SCENES[:2]:
        found = _verdict(scene.captions[0], scene)
        end = " (held-out pair)" if scene.held_out else ""
        assert found == {"verdict": f"correct{end}", "right": True}
    found = _verdict(f"{SCENES[0].captions[0]} blah", SCENES[0])
    assert found["right"] is False and found["verdict"].endswith("understood: blah")
    photo = CaptionedImage(SCENES[0].image, ("a ring",))
    assert _verdict("a ring", photo) == {}


def test_a_decoder_without_attention_has_a_sheet_without_panels():
    task, model = captioner(attention="none")
    glimpse = CaptionGlimpse(model, task, SCENES)
    assert not panels(glimpse.sheet())
    assert glimpse.attention() == {}


def test_a_frozen_encoder_gives_its_grids_and_photos_have_no_verdict():
    def load() -> PretrainedImageEncoder:
        raise AssertionError("the encoder is not needed where there are grids")

    seen = {record.name: grid for record, grid in zip(SCENES, GRIDS, strict=True)}
    eye = Eye(load, (2, 3, 5), lambda rs: np.stack([seen[r.name] for r in rs]))
    task, model = captioner("recurrent", eye)
    photos = [CaptionedImage(ImageBytes(s.image.data), *s[1:4]) for s in SCENES[:3]]
    glimpse = CaptionGlimpse(model, task, photos)
    np.testing.assert_array_equal(glimpse.images, GRIDS[:3].astype("float32"))
    assert model.grid_shape == (2, 3)
    assert all(picture.verdict == "" for picture in glimpse._pictures())
    assert not any("✗" in text for text in texts(glimpse.sheet()))


# === What the task draws ===


def test_what_is_watched_is_drawn_anew_from_the_model_as_it_is():
    task, model = captioner("recurrent")
    draw = task.watch(model, SCENES)
    before = texts(draw()["captions"])
    model.set_weights([-weight for weight in model.get_weights()])
    assert texts(draw()["captions"]) != before


def test_scenes_have_parts_and_photos_scores(seeing):
    task, model, _ = seeing
    rows = greedy_rows(task, model, SCENES)
    assert list(task.figures(rows)) == ["scene_parts"]
    [axes] = task.figures(rows)["scene_parts"].axes
    values = task.evaluate(rows).values
    assert axes.patches[3].get_width() == values["objects"]
    photos = [
        {"references": row["references"], "prediction": row["references"][0]}
        for row in rows
    ]
    [axes] = task.figures(photos)["cider_d_by_image"].axes
    assert sum(bar.get_height() for bar in axes.patches) == len(rows)
    assert task.tables(rows) == {"predictions": rows}


def test_look_inside_gives_the_sheet_and_the_attention(seeing):
    task, model, _ = seeing
    rows = greedy_rows(task, model, SCENES)
    found = task.look_inside(model, SCENES, rows)
    names = ["contact_sheet", "attention_1", "attention_2", "attention_3"]
    assert list(found) == names
    buffer = io.BytesIO()
    found["contact_sheet"].savefig(buffer, dpi=40)
    assert buffer.getvalue()
