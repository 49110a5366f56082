"""Tables of results in the form that the MLflow UI can browse."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def write_table(
    path: Path, rows: Sequence[Mapping[str, Any]] | Mapping[str, Sequence[Any]]
) -> None:
    """Write rows as `{"columns": [...], "data": [[...], ...]}`.

    Args:
        path: The JSON file; its folder is made.
        rows: One mapping a row (keys that a row lacks become null), or one list a
            column.

    Raises:
        ValueError: The columns differ in length.
    """
    if isinstance(rows, Mapping):
        columns = list(rows)
        lengths = {name: len(rows[name]) for name in columns}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"The columns of a table must be of one length: {lengths}")
        data = [list(row) for row in zip(*rows.values(), strict=True)]
    else:
        columns = list(dict.fromkeys(key for row in rows for key in row))
        data = [[row.get(column) for column in columns] for row in rows]
    data = [[_plain(value) for value in row] for row in data]
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"columns": columns, "data": data}, ensure_ascii=False)
    path.write_text(text, encoding="utf-8")


def _plain(value: Any) -> Any:
    """A value that JSON and the UI's table can show."""
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:  # a NumPy scalar
        value = value.item()
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return str(value)
