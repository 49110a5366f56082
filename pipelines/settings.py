"""Where settings come from: defaults, files that extend each other, `--set`.

resolved = resolve("ner", "wnut17", ["training.epochs=3"])
resolved.config.training.epochs           # 3
resolved.provenance["training.epochs"]    # "--set"
resolved.provenance["data.corpus"]        # "configs/ner/wnut17.yaml:9"
resolved.provenance["training.strategy"]  # "default"
"""

import importlib.resources
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqloom.pipelines.config import MODELS, Config, Section, sections
from seqloom.pipelines.config_check import (
    build,
    check_task,
    did_you_mean,
    setting_keys,
)
from seqloom.pipelines.errors import UserError
from seqloom.pipelines.yaml_settings import (
    Leaf,
    format_value,
    parse_value,
    read_leaves,
)

COMMAND = "command"


@dataclass(frozen=True)
class Resolved:
    """A whole config, and where each of its values (by dotted key) was set."""

    config: Config
    provenance: dict[str, str]


def resolve(
    task: str, name: str | None = None, overrides: Iterable[str] = ()
) -> Resolved:
    """The settings of `task`, out of its config and `overrides`.

    Args:
        task: "ner" or "pos".
        name: None for `configs/<task>.yaml`; "wnut17" for `configs/<task>/wnut17.yaml`;
            or the path of a YAML file of your own, which ends in .yaml or .yml.
        overrides: texts such as "training.epochs=3", the value written as in YAML.

    Raises:
        UserError: about unknown tasks, configs and settings and about wrong values.
    """
    check_task(task)
    file = _find(task, name)
    values: dict[str, Any] = {}
    where: dict[str, str] = {}
    for label, leaves in reversed(_chain(file, task)):
        for key, leaf in leaves.items():
            values[key] = leaf.value
            where[key] = f"{label}:{leaf.line}"
    if "name" not in values:
        values["name"] = file.name
        where["name"] = COMMAND
    if values.setdefault("task", task) != task:
        raise UserError(
            f"{where['task']} is for the task {values['task']!r}, but the command asks "
            f"for {task!r}. Give the task that the file is for, or another config."
        )
    where.setdefault("task", COMMAND)
    return _finish(task, values, where, overrides)


def override(resolved: Resolved, overrides: Iterable[str]) -> Resolved:
    """`resolved` with `overrides` ("training.epochs=3") on top."""
    values = leaves_of(resolved.config)
    where = dict(resolved.provenance)
    return _finish(resolved.config.task, values, where, overrides)


def split_settings(text: str | None) -> list[str]:
    """The settings in one text, parted by spaces; quotes hold a value together.

    This is how `make train SET="training.epochs=3 data.train='my file.conll'"` comes.
    """
    try:
        return shlex.split(text or "")
    except ValueError:
        raise UserError(
            f"SET={text!r} has a quote that is not closed. Write it like "
            "SET=\"training.epochs=3 data.train='my file.conll'\"."
        ) from None


def leaves_of(config: Config) -> dict[str, Any]:
    """Every value of `config` under its dotted key, in the order of the models."""
    leaves: dict[str, Any] = {}
    for name in Config.model_fields:
        value = getattr(config, name)
        if isinstance(value, Section):
            leaves |= {f"{name}.{key}": getattr(value, key) for key in _fields(value)}
        else:
            leaves[name] = value
    return leaves


def diff(a: Resolved, b: Resolved) -> list[tuple[str, Any, Any]]:
    """The settings that differ: (dotted key, value in `a`, value in `b`).

    A key that only one of the two has (their tasks differ) stands with None.
    """
    old, new = leaves_of(a.config), leaves_of(b.config)
    return [
        (key, old.get(key), new.get(key))
        for key in {**old, **new}
        if key not in old or key not in new or old[key] != new[key]
    ]


def to_yaml(resolved: Resolved) -> str:
    """All settings as YAML, each with its provenance as a comment on the right."""
    lines: list[tuple[str, str]] = []
    group = ""
    for key, value in leaves_of(resolved.config).items():
        outer, _, leaf = key.rpartition(".")
        if outer != group:
            lines += [("", ""), (f"{outer}:", "")]
            group = outer
        indent = "  " if outer else ""
        text = f"{indent}{leaf}: {format_value(value)}"
        lines.append((text, resolved.provenance[key]))
    width = max(len(text) for text, _ in lines if len(text) <= 44)
    return "".join(
        f"{text:{width}}  # {source}\n" if source else f"{text}\n"
        for text, source in lines
    )


def read_resolved(path: str | Path) -> Resolved:
    """What `to_yaml` wrote to `path`, provenance included."""
    path = Path(path)
    leaves = read_leaves(_read(path), str(path))
    if "task" not in leaves:
        raise UserError(
            f"{path} names no task, so it is not the config of a run. Give the "
            "config.yaml of a run directory."
        )
    task = check_task(leaves["task"].value)
    values = {key: leaf.value for key, leaf in leaves.items()}
    where = {key: leaf.comment or f"{path}:{leaf.line}" for key, leaf in leaves.items()}
    return _finish(task, values, where)


def shipped_configs(task: str) -> list[str]:
    """The names of the variants that come with seqloom, such as "wnut17"."""
    folder = _shipped_dir() / task
    return sorted(path.stem for path in folder.glob("*.yaml"))


@dataclass(frozen=True)
class _File:
    path: Path
    label: str
    name: str


def _find(task: str, name: str | None) -> _File:
    if name is None:
        return _shipped(task, name=task)
    if name.endswith((".yaml", ".yml")):
        path = Path(name)
        if not path.is_file():
            raise UserError(f"There is no config file {name}. Check the path.")
        return _File(path, name, path.stem)
    if name not in shipped_configs(task):
        raise UserError(
            f"Unknown config {name!r} for {task}."
            f"{did_you_mean(name, shipped_configs(task))} Those that come with seqloom "
            f"are: {', '.join(shipped_configs(task))}; without a config it is "
            f"configs/{task}.yaml. A file of your own is given by its path, which ends "
            "in .yaml."
        )
    return _shipped(f"{task}/{name}", name=name)


def _shipped(stem: str, name: str) -> _File:
    return _File(_shipped_dir() / f"{stem}.yaml", f"configs/{stem}.yaml", name)


def _shipped_dir() -> Path:
    return Path(str(importlib.resources.files("seqloom.configs")))


def _chain(file: _File, task: str) -> list[tuple[str, dict[str, Leaf]]]:
    """The file and all that it extends, itself first, as (label, leaves)."""
    chain: list[tuple[str, dict[str, Leaf]]] = []
    seen: list[Path] = []
    while True:
        seen.append(file.path.resolve())
        leaves = read_leaves(_read(file.path), file.label)
        base = leaves.pop("extends", None)
        chain.append((file.label, _without_empty_groups(leaves, task)))
        if base is None:
            return chain
        place = f"{file.label}:{base.line}"
        file = _base(base.value, file, place)
        if file.path.resolve() in seen:
            labels = " -> ".join([label for label, _ in chain] + [file.label])
            raise UserError(
                f"{place}: the configs extend each other in a circle: {labels}. "
                "Remove one of the `extends:` lines."
            )


def _base(name: Any, file: _File, place: str) -> _File:
    """The file that `extends: name` in `file` means."""
    shipped = [*MODELS] + [f"{t}/{v}" for t in MODELS for v in shipped_configs(t)]
    if isinstance(name, str) and name.endswith((".yaml", ".yml")):
        path = file.path.parent / name
        if path.is_file():
            return _File(path, str(path), path.stem)
    elif name in shipped:
        return _shipped(name, name="")
    raise UserError(
        f"{place}: there is no config {name!r} to extend."
        f"{did_you_mean(str(name), shipped)} Name one that comes with seqloom "
        f"({', '.join(shipped)}) or a .yaml file, relative to this one."
    )


def _without_empty_groups(leaves: dict[str, Leaf], task: str) -> dict[str, Leaf]:
    """`training:` with nothing under it (all commented out, say) sets nothing."""
    return {
        key: leaf
        for key, leaf in leaves.items()
        if not (key in sections(task) and leaf.value is None)
    }


def _finish(
    task: str,
    values: dict[str, Any],
    where: dict[str, str],
    overrides: Iterable[str] = (),
) -> Resolved:
    for text in overrides:
        key, value = _parse_override(text, values, task)
        values[key] = value
        where[key] = "--set"
    for group in sections(task):
        if group in values:
            raise UserError(
                f"{group!r} is a group of settings, got {values[group]!r} "
                f"({where[group]}). Set one of those under it, such as "
                f"{next(k for k in setting_keys(task) if k.startswith(group + '.'))!r}."
            )
    config = build(task, values, where)
    provenance = {key: where.get(key, "default") for key in setting_keys(task)}
    return Resolved(config, provenance)


def _parse_override(text: str, values: dict[str, Any], task: str) -> tuple[str, Any]:
    key, equals, written = text.partition("=")
    key = key.strip()
    if not equals or not key or not written.strip():
        raise UserError(
            f"--set {text!r} is not of the form key=value. Write it like "
            "--set training.epochs=3 (null for no value)."
        )
    if key in ("task", "name"):
        raise UserError(
            f"--set {text!r}: {key!r} cannot be set. Give the task as the "
            "first word and the config with --config."
        )
    value = parse_value(written, f"--set {key}")
    # --set training.optimizer_options.momentum=0.9 adds to a value that is a mapping.
    outer, _, inner = key.rpartition(".")
    if outer in setting_keys(task):
        held = values.get(outer)
        return outer, {**(held if isinstance(held, dict) else {}), inner: value}
    return key, value


def _fields(section: Section) -> Iterable[str]:
    return type(section).model_fields


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"There is no config file {path}. Check the path.") from None
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is not UTF-8 text (byte {error.start}). Save it as UTF-8."
        ) from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None
