"""The tasks there are, and how a config becomes the plain arguments of one."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from seqloom.pipelines.config import Config

if TYPE_CHECKING:
    from seqloom.tasks.captioning import Eye
    from seqloom.tasks.pretrained import Pretrained
    from seqloom.tasks.task import Task


def build_task(config: Config, spans: bool = False) -> "Task":
    """The task of a config, without its vocabulary.

    Args:
        spans: Whether the tags of the data mark spans; a saved vocabulary knows.
    """
    return TASKS[config.task](config, spans)


def _tagging(config: Config, spans: bool) -> "Task":
    from seqloom.tasks.tagging import TaggingTask

    settings = config.model.model_dump()
    words = {
        name: settings.pop(name)
        for name in (
            "constrained",
            "lowercase",
            "max_characters",
            "min_frequency",
            "word_dropout",
        )
    }
    preset = _preset(settings)
    return TaggingTask(config.task, spans, **words, preset=preset, model=settings)


def _classification(config: Config, spans: bool) -> "Task":
    from seqloom.tasks.classification import ClassificationTask

    settings = config.model.model_dump()
    texts = {
        name: settings.pop(name)
        for name in (
            "tokenizer",
            "vocabulary_size",
            "min_frequency",
            "lowercase",
            "max_length",
            "word_dropout",
            "class_weights",
            "label_smoothing",
        )
    }
    preset = _preset(settings)
    return ClassificationTask(config.task, **texts, preset=preset, model=settings)


def _translation(config: Config, spans: bool) -> "Task":
    from seqloom.tasks.translation import TranslationTask
    from seqloom.tasks.translation_search import Search

    settings = config.model.model_dump()
    search = {
        name: settings.pop(name)
        for name in (
            "beam",
            "length_penalty",
            "coverage_penalty",
            "max_ratio",
            "max_extra",
        )
    }
    texts = {
        name: settings.pop(name)
        for name in (
            "tokenizer",
            "vocabulary_size",
            "joint",
            "sampling",
            "max_length",
            "label_smoothing",
        )
    }
    return TranslationTask(
        config.task,
        **texts,
        seed=config.seed,
        search=Search(**search),
        model=settings,
    )


def _captioning(config: Config, spans: bool) -> "Task":
    from seqloom.tasks.captioning import CaptioningTask, CaptionSearch

    settings = config.model.model_dump()
    search = CaptionSearch(
        settings.pop("beam"),
        settings.pop("length_penalty"),
        settings.pop("max_written"),
    )
    captions = {
        name: settings.pop(name)
        for name in (
            "tokenizer",
            "vocabulary_size",
            "lowercase",
            "max_length",
            "vary",
            "captions_at_once",
            "label_smoothing",
            "doubly_stochastic",
            "word_detection",
        )
    }
    size = config.data.model_dump()["image_size"]
    eye = _eye(settings.pop("preset"), settings.pop("frozen"), size)
    return CaptioningTask(
        config.task,
        **captions,
        image_size=size,
        seed=config.seed,
        search=search,
        eye=eye,
        model=settings,
    )


def _eye(preset: str | None, frozen: bool, image_size: int) -> "Eye | None":
    """What reads images, where it is pretrained."""
    if preset is None:
        return None
    from seqloom.pipelines.download_bar import download_bar
    from seqloom.pipelines.image_eye import image_eye

    with download_bar() as progress:
        return image_eye(preset, frozen, image_size, progress=progress, say=print)


def _preset(settings: dict[str, Any]) -> "Callable[[], Pretrained] | None":
    """Take what concerns a pretrained encoder out of `settings`."""
    name, frozen, lora_rank = (
        settings.pop(key) for key in ("preset", "frozen", "lora_rank")
    )
    if name is None:
        return None

    def load() -> "Pretrained":
        from seqloom.pipelines.download_bar import download_bar
        from seqloom.pipelines.presets import load_preset

        with download_bar() as progress:
            return load_preset(
                name,
                frozen,
                lora_rank,
                progress=progress,
                say=lambda line: print(f"Model     {line}"),
            )

    return load


# Written out here rather than filled by imports: a reader sees all tasks at once.
TASKS: dict[str, Callable[[Config, bool], "Task"]] = {
    "ner": _tagging,
    "pos": _tagging,
    "sentiment": _classification,
    "translation": _translation,
    "captioning": _captioning,
}
