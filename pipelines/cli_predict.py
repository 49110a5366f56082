"""The `predict` command, with all that it can be asked for."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from seqloom.pipelines.chosen_run import find_run, settings_of
from seqloom.pipelines.command_options import ConfigName, RunDir
from seqloom.pipelines.config import MODELS
from seqloom.pipelines.engine import import_engine
from seqloom.pipelines.errors import UserError

SEARCH = "Translation and captioning: look for the best"
SAMPLING = "Translation and captioning: draw at random"


def _searched(help_text: str, **limits: Any) -> Any:
    return typer.Option(help=help_text, rich_help_panel=SEARCH, **limits)


def _drawn(help_text: str, *names: str, **limits: Any) -> Any:
    return typer.Option(*names, help=help_text, rich_help_panel=SAMPLING, **limits)


def predict(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TASK] [TEXT]...", help="The task, then the texts."),
    ] = None,
    text: Annotated[
        list[str] | None, typer.Option(help="A text; may be repeated.")
    ] = None,
    image: Annotated[
        list[str] | None,
        typer.Option(help="A JPEG or PNG file, or a folder; may be repeated."),
    ] = None,
    file: Annotated[
        str | None,
        typer.Option(
            help="A file with a text, or the path of an image, a line; - is standard "
            "input."
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line.")
    ] = False,
    run: RunDir = None,
    config: ConfigName = None,
    beam: Annotated[
        int | None, _searched("Hypotheses to follow; 1 is greedy.", min=1)
    ] = None,
    n_best: Annotated[int | None, _searched("Answers to show of each.", min=1)] = None,
    length_penalty: Annotated[
        float | None, _searched("Above 0 likes longer translations more.")
    ] = None,
    max_length: Annotated[
        int | None, _searched("Most pieces of an answer.", min=1)
    ] = None,
    attention: Annotated[
        Path | None, _searched("Draw what was looked at: out.png.")
    ] = None,
    sample: Annotated[
        bool, _drawn("Draw --n-best of them instead of looking.", "--sample")
    ] = False,
    temperature: Annotated[
        float | None, _drawn("Below 1 what is probable gets more so.")
    ] = None,
    top_k: Annotated[
        int | None, _drawn("Only from the k most probable pieces.", min=1)
    ] = None,
    top_p: Annotated[
        float | None, _drawn("Only from the most probable with this share, 0 to 1.")
    ] = None,
    seed: Annotated[
        int | None, _drawn("The same seed draws the same.", min=0, max=2**31 - 1)
    ] = None,
) -> None:
    """Predict with a trained model: texts or images in, answers out."""
    given_texts = [*(text or []), *(image or [])]
    task, texts, file = _wanted(list(words or []), given_texts, file, run)
    drawing = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed}
    if not sample:
        _refuse_drawing(drawing)
    options = {
        "beam": beam,
        "n_best": n_best,
        "length_penalty": length_penalty,
        "max_length": max_length,
        "attention": attention,
        "sample": sample or None,
        **drawing,
    }
    folder = find_run(task, run, config)
    kind = settings_of(str(folder)).config.task
    _refuse_other_kind(kind, bool(text), bool(image))
    import_engine()
    from seqloom.pipelines.predict import predict_command

    given: dict[str, Any] = {
        name: value for name, value in options.items() if value is not None
    }
    predict_command(folder, texts, file=file, as_json=as_json, **given)


def _wanted(
    words: list[str], texts: Sequence[str], file: str | None, run: str | None
) -> tuple[str | None, list[str], str | None]:
    """The task, if one is named, and the texts, or the file they are in."""
    # With --run the task is known: a first word that is no task is a text already.
    task = words.pop(0) if words and (run is None or words[0] in MODELS) else None
    words += texts
    if words and file:
        raise UserError(f"There are both texts and --file {file}. Give one of the two.")
    if not words and file is None:
        if sys.stdin is None or sys.stdin.isatty():
            raise UserError(
                "There is no text to predict for. Give it: make predict TASK=ner "
                "TEXT='Rhea met Ada', or seqloom predict ner 'Rhea met Ada'; for "
                "captioning IMAGE=photo.jpg; or name a file (FILE=, --file), or send "
                "lines to standard input."
            )
        file = "-"
    if file not in (None, "-") and not Path(file).is_file():
        raise UserError(f"There is no file {file} to read texts from. Check the path.")
    return task, words, file


def _refuse_other_kind(task: str, texts: bool, images: bool) -> None:
    if texts and task == "captioning":
        raise UserError(
            "captioning looks at images, got a text. Give IMAGE=photo.jpg (--image)."
        )
    if images and task != "captioning":
        raise UserError(
            f"{task} reads texts, got an image. Give TEXT='...' (--text), or take a "
            "run of captioning."
        )


def _refuse_drawing(options: dict[str, Any]) -> None:
    for name, value in options.items():
        if value is not None:
            raise UserError(
                f"--{name.replace('_', '-')} {value} says how to draw at "
                "random, and the best one is looked for. Add --sample (SAMPLE=1 for "
                "make), or leave it out."
            )
