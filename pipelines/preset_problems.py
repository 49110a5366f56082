"""What is told of presets that cannot be had, whatever they are presets of."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from seqloom.pipelines.errors import UserError


@dataclass(frozen=True)
class PresetKind:
    """How messages speak of presets of one kind.

    Attributes:
        example: One that can always be named.
        known: Where the names of the others are found.
        folder: What a local folder has to be.
        parts: What there is in it.
    """

    example: str
    known: str
    folder: str
    parts: str


def check_folder(name: str, kind: PresetKind) -> None:
    """See that a name that is a path leads to a folder with a config.

    Raises:
        UserError: It does not.
    """
    path = Path(name)
    if path.is_dir() and not (path / "config.json").is_file():
        raise UserError(
            f"model.preset={name} is no preset: the folder has no config.json. Give "
            f"{kind.folder}."
        )
    if not path.is_dir() and (name.startswith((".", "/", "~")) or name.endswith("/")):
        raise UserError(
            f"model.preset={name}: there is no such folder. Check the path, or name a "
            f"preset such as {kind.example}."
        )


@contextmanager
def told(name: str, kind: PresetKind, where: str) -> Iterator[None]:
    """Say what went wrong with a preset in one line, and what to do about it.

    Args:
        name: What the user calls it.
        where: What keras_nlp is given for it: a folder, or what it downloads.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # keras_nlp and its hubs raise of every kind
        text = " ".join(str(error).split())
        raise UserError(
            f"model.preset={name}: {_explain(kind, where, text, error)}"
        ) from error


def _explain(kind: PresetKind, where: str, text: str, error: Exception) -> str:
    if isinstance(error, ImportError):
        return (
            f"reading it needs a package that is missing ({text[:200]}). Install "
            "those for pretrained encoders: pip install 'seqloom[pretrained]'."
        )
    if Path(where).is_dir():
        return (
            f"the folder cannot be read as a preset ({text[:300]}). Its {kind.parts} "
            "must belong to the same model."
        )
    if "Unknown preset identifier" in text:
        return f"there is no such preset. Check the name: {kind.known}"
    return (
        f"cannot be downloaded ({type(error).__name__}: {text[:300]}). Check the "
        f"network and the name, or give a local folder; {kind.known}"
    )
