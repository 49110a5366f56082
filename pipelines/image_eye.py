"""A pretrained image backbone as the eye of a captioning task."""

from functools import partial

from seqloom.pipelines.grid_cache import GridCache
from seqloom.pipelines.image_presets import load_image_preset
from seqloom.pipelines.presets import Say
from seqloom.pipelines.sources import Progress
from seqloom.tasks.captioning import Eye


def image_eye(
    name: str,
    frozen: bool,
    image_size: int,
    progress: Progress | None = None,
    say: Say = print,
) -> Eye:
    """Make the eye of a preset.

    Args:
        name: See `load_image_preset`.
        frozen: Train nothing of it; then its features are computed once and kept.
        image_size: Pixels of each side that images are brought to.
        progress: See `load_image_preset`.
        say: Told what is done with images, in lines.

    Raises:
        UserError: See `load_image_preset`; or the backbone cannot read images of this
            size.
    """
    preset = load_image_preset(name, progress, say)
    load = partial(preset.encoder, frozen)
    if not frozen:
        return Eye(load, preset.grid_shape(image_size))
    cache = GridCache(preset, image_size, say=say)
    return Eye(load, cache.shape, cache.grids)
