"""Pretrained image backbones by name: our own, a folder, or any of keras_nlp's."""

import hashlib
import json
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import keras

from seqloom.layers import PretrainedImageEncoder
from seqloom.pipelines.errors import UserError
from seqloom.pipelines.preset_problems import PresetKind, check_folder, told
from seqloom.pipelines.presets import Say
from seqloom.pipelines.sources import Progress, file_sha256

Numbers = float | list[float]

# EfficientNet-Lite0: 3.4 million parameters, learned on ImageNet-1k, Apache-2.0. The
# weights are public in another form only, so a mirror has to hold these files.
OWN = "efficientnet_lite0"
OWN_FOLDER = f"pretrained/{OWN}"
OWN_FILES = {
    "config.json": "b34b30fa82ecf0a2e463fbf53b834654ee5e71e3ff681ec681f845d7ca4c495f",
    "image_converter.json": (
        "5dbd5d354a932da8f00ea45cb1e0902f1b128f8e299f04ad2632865a569bba6a"
    ),
    "model.weights.h5": (
        "276b8c7051b9e63c17cff936a0e09d55489f094ae5f7d20240c1d65454a69be7"
    ),
}
_OTHERS = (
    "give a local folder that keras_nlp saved (save_to_preset), or a preset that "
    "keras_nlp downloads: model.preset=efficientnet_lite0_ra_imagenet"
)

IMAGE_BACKBONES = PresetKind(
    example=OWN,
    known=(
        f"{OWN} needs no download site, only a mirror; "
        "keras_nlp.models.Backbone.presets lists those of keras_nlp."
    ),
    folder=(
        "a folder that keras_nlp saved (save_to_preset) with config.json, "
        "image_converter.json and model.weights.h5"
    ),
    parts="config, image converter and weights",
)
_SUITABLE = (
    "Give a convolutional image backbone that reads images of any size, such as an "
    f"EfficientNet or a ResNet; {OWN} is one."
)
# What of a folder decides what an image becomes.
_HASHED = (
    "config.json",
    "image_converter.json",
    "*.weights.h5",
    "*.weights.json",
    "*.safetensors",
)


@dataclass(frozen=True)
class ImagePreset:
    """A pretrained image backbone that can be loaded.

    Attributes:
        name: What the user calls it.
        scale, offset: Its preprocessing, as `PretrainedImageEncoder` takes it.
        where: What keras_nlp is given for it.
    """

    name: str
    scale: Numbers
    offset: Numbers
    where: str = field(repr=False)

    @cached_property
    def sha256(self) -> str:
        """Tells apart what gives different features: config, weights, preprocessing.

        A folder's is over its files; that of a preset of keras_nlp is over the values,
        as they are downloaded in files of its own choice.

        Raises:
            UserError: The files cannot be read or downloaded.
        """
        folder = Path(self.where)
        if folder.is_dir():
            with told(self.name, IMAGE_BACKBONES, self.where):
                return _sha256_of_files(folder)
        return _sha256_of_values(self._backbone(dtype="float32"), self)

    def encoder(self, frozen: bool, dtype: str | None = None) -> PretrainedImageEncoder:
        """A new layer with the pretrained weights, called "eye".

        Args:
            frozen: Train nothing of it.
            dtype: What it computes in; by default as the global policy says.

        Raises:
            UserError: The weights cannot be read or downloaded.
        """
        return PretrainedImageEncoder(
            self._backbone(dtype),
            scale=self.scale,
            offset=self.offset,
            frozen=frozen,
            dtype=dtype,
            name="eye",
        )

    def grid_shape(self, image_size: int) -> tuple[int, int, int]:
        """`(G, K, D)` of what images of `image_size` pixels a side become.

        Raises:
            UserError: The backbone cannot read images of this size.
        """
        backbone = self._backbone(load_weights=False)
        problem = "nothing is left of them"
        try:
            shape = backbone.compute_output_shape((None, image_size, image_size, 3))
            _, rows, columns, features = shape
        except ValueError as error:
            problem = " ".join(str(error).split())[:200]
            rows = columns = features = 0
        if not rows * columns:
            raise UserError(
                f"data.image_size={image_size}: model.preset={self.name} cannot read "
                f"images of this size ({problem}). Set it to what the backbone was "
                "trained on, often 224, or to half of that."
            )
        return rows, columns, features

    def _backbone(self, dtype: str | None = None, load_weights: bool = True) -> Any:
        import keras_nlp  # takes seconds

        told_so = told(self.name, IMAGE_BACKBONES, self.where)
        with told_so, _chance_kept(), _policy(dtype):
            return keras_nlp.models.Backbone.from_preset(
                self.where, load_weights=load_weights, dtype=dtype
            )


def load_image_preset(
    name: str, progress: Progress | None = None, say: Say = print
) -> ImagePreset:
    """Find a pretrained image backbone and see that it gives grids.

    Args:
        name: "efficientnet_lite0", which a mirror holds; a preset of keras_nlp, such as
            "resnet_18_imagenet" (also with its prefix hf:// or kaggle://), which
            keras_nlp downloads; or a local folder in the form of keras_nlp.
        progress: As for `load_preset`. Nothing tells it anything so far: a mirror is
            no download, and keras_nlp shows its own.
        say: Told where images are not preprocessed.

    The weights are read when `ImagePreset.encoder` is called, which raises the same.

    Raises:
        UserError: There is no such preset, it cannot be found or downloaded, it is of
            something else than images, or its output is no grid.
    """
    if name == OWN:
        where = str(_own_folder())
    else:
        check_folder(name, IMAGE_BACKBONES)
        # A folder is still the same one after a change of the working directory.
        where = str(Path(name).resolve()) if Path(name).is_dir() else name
    scale, offset = _preprocessing(name, where, say)
    preset = ImagePreset(name, scale, offset, where)
    _check_backbone(name, preset._backbone(load_weights=False))
    return preset


def _own_folder() -> Path:
    """The mirror's folder, its files checked."""
    mirror = os.environ.get("SEQLOOM_MIRROR")
    folder = Path(mirror or "", OWN_FOLDER)
    for file, sha256 in OWN_FILES.items():
        path = folder / file
        if not mirror or not path.is_file():
            raise UserError(
                f"model.preset={OWN}: {OWN_FOLDER}/{file} is not there. SEQLOOM_MIRROR "
                f"is {mirror or 'not set'}: set it to a folder that has {OWN_FOLDER}, "
                f"or {_OTHERS}."
            )
        actual = file_sha256(path)
        if actual != sha256:
            raise UserError(
                f"model.preset={OWN}: {path} has the sha256 {actual}, expected "
                f"{sha256}: it is damaged or another version. Replace it, or {_OTHERS}."
            )
    return folder


def _preprocessing(name: str, where: str, say: Say) -> tuple[Numbers, Numbers]:
    """Scale and offset for pixels from 0 to 255.

    The converter's size and its cropping do not count: the task has a size of its own.
    """
    import keras_nlp

    with told(name, IMAGE_BACKBONES, where):
        try:
            converter = keras_nlp.layers.ImageConverter.from_preset(where)
        except FileNotFoundError:
            say(
                f"Images    {name} has no image_converter.json: its backbone is given "
                "pixels from 0 to 255 as they are. If it was trained on others, save "
                "keras_nlp.layers.ImageConverter(scale=..., offset=...) in its folder "
                "(save_to_preset)."
            )
            return 1.0, 0.0
        except ValueError as error:
            # Found out before the backbone is made: one of text may be very large.
            if "Unable to find a subclass of ImageConverter" not in str(error):
                raise
            raise UserError(
                f"model.preset={name} is no image backbone: keras_nlp knows no "
                f"preprocessing of images for it. {_SUITABLE}"
            ) from error
        return _numbers(converter.scale, 1.0), _numbers(converter.offset, 0.0)


def _numbers(value, default: float) -> Numbers:
    if value is None:
        return default
    if isinstance(value, (list, tuple)):
        return [float(number) for number in value]
    return float(value)


def _check_backbone(name: str, backbone) -> None:
    inputs = [tuple(one.shape) for one in getattr(backbone, "inputs", None) or []]
    kind = type(backbone).__name__
    if len(inputs) != 1 or len(inputs[0]) != 4:
        raise UserError(
            f"model.preset={name} is no image backbone: {kind} reads "
            f"{', '.join(map(str, inputs)) or 'no tensors'}. {_SUITABLE}"
        )
    _, rows, columns, channels = inputs[0]
    if channels != 3:
        raise UserError(
            f"model.preset={name}: {kind} reads {inputs[0]}, not images with three "
            f"colours in the last place. {_SUITABLE}"
        )
    if rows is not None or columns is not None:
        raise UserError(
            f"model.preset={name}: {kind} reads images of {rows} x {columns} pixels "
            f"alone. {_SUITABLE}"
        )
    output = backbone.output_shape
    if not isinstance(output, tuple) or len(output) != 4 or output[-1] is None:
        raise UserError(
            f"model.preset={name}: {kind} gives {output}, not a grid of features "
            f"(batch, rows, columns, features). {_SUITABLE}"
        )


@contextmanager
def _chance_kept() -> Iterator[None]:
    """Leave no trace in the random numbers that the initializers of Keras draw on.

    A model must not begin with other weights because features were in the cache and no
    backbone had to be made.
    """
    state = random.getstate()
    try:
        yield
    finally:
        random.setstate(state)


@contextmanager
def _policy(dtype: str | None) -> Iterator[None]:
    """Make layers compute in `dtype`.

    EfficientNet, VGG and others of keras_nlp take it as an argument, and forget to hand
    it on to their layers, which then go by the global policy.
    """
    before = keras.config.dtype_policy()
    if dtype is not None:
        keras.config.set_dtype_policy(dtype)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _sha256_of_files(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted({path for kind in _HASHED for path in folder.glob(kind)}):
        digest.update(f"{path.name} {file_sha256(path)}\n".encode())
    return digest.hexdigest()


def _sha256_of_values(backbone, preset: ImagePreset) -> str:
    config = keras.saving.serialize_keras_object(backbone)
    facts = [config["registered_name"], config["config"], preset.scale, preset.offset]
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for weight in backbone.weights:
        values = keras.ops.convert_to_numpy(weight)
        digest.update(f"{values.shape} {values.dtype}\n".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()
