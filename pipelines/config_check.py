"""Wrong settings explained: the key, the value, what was expected, where it was set."""

from collections.abc import Mapping
from difflib import SequenceMatcher, get_close_matches
from typing import Any

from pydantic import ValidationError

from seqloom.pipelines.config import MODELS, Config, Section, sections
from seqloom.pipelines.errors import UserError

TOP_LEVEL = ("task", "name", "seed", "runs_dir")


def check_task(task: str) -> str:
    """`task` itself, if there is such a task."""
    if task not in MODELS:
        raise UserError(
            f"Unknown task {task!r}.{did_you_mean(task, MODELS)} "
            f"The tasks are: {', '.join(MODELS)}."
        )
    return task


def build(task: str, values: Mapping[str, Any], where: Mapping[str, str]) -> Config:
    """The config that `values` (dotted key -> value) describe.

    `where` says for each key where it was set; every wrong key and value is reported
    in one `UserError`.
    """
    problems = [
        _explain_unknown(key, task, where[key])
        for key in values
        if key not in setting_keys(task)
    ]
    if problems:
        raise UserError("\n".join(problems))
    built: dict[str, Any] = {key: values[key] for key in TOP_LEVEL if key in values}
    for name, section in sections(task).items():
        prefix = f"{name}."
        own = {
            key.removeprefix(prefix): value
            for key, value in values.items()
            if key.startswith(prefix)
        }
        try:
            built[name] = section.model_validate(own)
        except ValidationError as error:
            problems += _explain_wrong(error, section, own, prefix, where)
    try:
        config = Config(**built)
    except ValidationError as error:
        problems += _explain_wrong(error, Config, built, "", where)
    if problems:
        raise UserError("\n".join(problems))
    return config


def setting_keys(task: str) -> list[str]:
    """Every dotted key a config of `task` has, in the order of the models."""
    return [*TOP_LEVEL] + [
        f"{name}.{key}"
        for name, section in sections(task).items()
        for key in section.model_fields
    ]


def describe(task: str, key: str) -> str:
    """What the setting with this dotted key is for."""
    group, _, leaf = key.rpartition(".")
    section = sections(task)[group] if group else Config
    return section.model_fields[leaf].description or ""


def did_you_mean(text: str, choices: Any) -> str:
    """ " Did you mean 'x'?", or nothing if no choice comes close."""
    close = get_close_matches(text, list(choices), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def _explain_unknown(key: str, task: str, where: str) -> str:
    keys = setting_keys(task)
    group, _, leaf = key.rpartition(".")
    best = max(keys, key=lambda candidate: _likeness(key, candidate))
    message = f"Unknown setting {key!r} ({where})."
    if _ratio(leaf, best.rpartition(".")[2]) >= 0.5:
        return f"{message} Did you mean {best!r}?"
    siblings = [k for k in keys if group and k.startswith(f"{group}.")]
    if siblings:
        names = ", ".join(k.rpartition(".")[2] for k in siblings)
        return f"{message} The settings under {group!r} are: {names}."
    groups = ", ".join([*TOP_LEVEL, *sections(task)])
    return f"{message} At the top there are: {groups}."


def _likeness(key: str, candidate: str) -> float:
    """Alike in the last part above all, then in the group."""
    group, _, leaf = key.rpartition(".")
    other_group, _, other_leaf = candidate.rpartition(".")
    return _ratio(leaf, other_leaf) + 0.25 * _ratio(group, other_group)


def _ratio(a: str, b: str) -> float:
    return SequenceMatcher(None, a, b).ratio()


def _explain_wrong(
    error: ValidationError,
    section: type[Section],
    values: Mapping[str, Any],
    prefix: str,
    where: Mapping[str, str],
) -> list[str]:
    """One message for each wrong setting; pydantic has one for each union member."""
    schema = section.model_json_schema()["properties"]
    messages: dict[str, str] = {}
    for problem in error.errors():
        name = str(problem["loc"][0]) if problem["loc"] else ""
        if not name:  # a check of ours over several settings
            messages[name] = f"{problem['ctx']['error']}."
        elif name in values:  # else a section that was itself wrong, told already
            messages[name] = _explain_value(
                prefix + name,
                values[name],
                schema[name],
                where.get(prefix + name, "default"),
            )
    return list(messages.values())


def _explain_value(key: str, value: Any, schema: dict[str, Any], where: str) -> str:
    choices = [choice for kind in _kinds(schema) for choice in kind.get("enum", ())]
    hint = did_you_mean(value, choices) if isinstance(value, str) else ""
    return (
        f"{key} must be {_expected(schema)}, got {_shown(value)} ({where}).{hint}"
        f" Meaning: {schema['description']}."
    )


def _expected(schema: dict[str, Any]) -> str:
    """A setting's JSON schema in words, such as "a whole number >= 1 or null"."""
    return " or ".join(_expected_kind(kind) for kind in _kinds(schema))


def _kinds(schema: dict[str, Any]) -> list[dict[str, Any]]:
    return schema.get("anyOf", [schema])


def _expected_kind(kind: dict[str, Any]) -> str:
    if "enum" in kind:
        return f"one of {', '.join(kind['enum'])}"
    words = {
        "integer": "a whole number",
        "number": "a number",
        "boolean": "true or false",
        "string": "a text",
        "object": "names with plain values, like {momentum: 0.9}",
        "null": "null",
    }[kind["type"]]
    bounds = {
        "minimum": ">=",
        "exclusiveMinimum": ">",
        "maximum": "<=",
        "exclusiveMaximum": "<",
    }
    limits = [f"{sign} {kind[name]:g}" for name, sign in bounds.items() if name in kind]
    return " ".join([words, " and ".join(limits)]).strip()


def _shown(value: Any) -> str:
    """A value as one would type it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return repr(value)
