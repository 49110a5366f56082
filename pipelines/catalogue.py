"""The tasks there are, and how a config becomes the plain arguments of one."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from seqloom.pipelines.config import Config

if TYPE_CHECKING:
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
    return TaggingTask(config.task, spans, **words, model=settings)


# Written out here rather than filled by imports: a reader sees all tasks at once.
TASKS: dict[str, Callable[[Config, bool], "Task"]] = {"ner": _tagging, "pos": _tagging}
