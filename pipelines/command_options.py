"""Options that several commands have."""

from typing import Annotated

import typer

ConfigName = Annotated[
    str | None,
    typer.Option("--config", help="A variant of the task's config, or a .yaml file."),
]
RunDir = Annotated[
    str | None,
    typer.Option("--run", help="A run directory; without it, the newest run."),
]
