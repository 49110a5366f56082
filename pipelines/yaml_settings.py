"""YAML as settings: every value with its line, no surprises in how words are read.

PyYAML follows YAML 1.1, where `1e-3` is a text, `no` is false, `010` is 8 and `1:30` is
90. Settings follow the core schema of YAML 1.2 instead: numbers look like numbers, and
only true, false, null and ~ are special words. Anchors, aliases, repeated keys and keys
that are not words are refused.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml

from seqloom.pipelines.errors import UserError


class Leaf(NamedTuple):
    """One value of a file, the line it stands on, and the comment to its right."""

    value: Any
    line: int
    comment: str


class _Loader(yaml.SafeLoader):
    """The safe loader, stricter."""

    yaml_implicit_resolvers: dict = {}

    # PyYAML has no types for the two that compose nodes.
    def compose_node(self, parent, index):  # type: ignore[no-untyped-def]
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise _problem("anchors and aliases are not for settings", event.start_mark)
        return super().compose_node(parent, index)

    def compose_mapping_node(self, anchor):  # type: ignore[no-untyped-def]
        node = super().compose_mapping_node(anchor)
        seen: dict[str, int] = {}
        for key, _ in node.value:
            if key.tag != "tag:yaml.org,2002:str":
                raise _problem("a setting's name must be a word", key.start_mark)
            if key.value in seen:
                raise _set_twice(key.value, seen[key.value], key.start_mark)
            seen[key.value] = key.start_mark.line + 1
        return node


class _Dumper(yaml.SafeDumper):
    """Quotes exactly those texts that `_Loader` would take for something else."""

    yaml_implicit_resolvers: dict = {}

    def represent_text(self, text: str) -> yaml.Node:
        # Double quotes escape line breaks; other styles would write them out.
        style = None if text.isprintable() else '"'
        return self.represent_scalar("tag:yaml.org,2002:str", text, style)


_Dumper.add_representer(str, _Dumper.represent_text)

_PLAIN_WORDS = {
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?(?:0|[1-9][0-9_]*)", list("-+0123456789")),
    "float": (
        r"[-+]?(?:[0-9]+\.[0-9]*(?:[eE][-+]?[0-9]+)?|\.[0-9]+(?:[eE][-+]?[0-9]+)?"
        r"|[0-9]+[eE][-+]?[0-9]+|\.(?:inf|Inf|INF|nan|NaN|NAN))",
        list("-+.0123456789"),
    ),
}
for _name, (_pattern, _first) in _PLAIN_WORDS.items():
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(
            f"tag:yaml.org,2002:{_name}", re.compile(f"^(?:{_pattern})$"), _first
        )


def read_leaves(text: str, label: str) -> dict[str, Leaf]:
    """The values of a YAML text under their dotted keys; `label` names it in errors.

    Only the outermost groups are opened: `training: {epochs: 3}` gives
    "training.epochs", and whatever mapping stands below is a value of its own.
    """
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        if root is None:
            return {}
        if not isinstance(root, yaml.MappingNode):
            raise _problem("the file must hold `name: value` lines", root.start_mark)
        lines = text.splitlines()
        leaves: dict[str, Leaf] = {}
        for name, key, node in _named_nodes(root):
            if name in leaves:
                raise _set_twice(name, leaves[name].line, key.start_mark)
            leaves[name] = _leaf(loader, key, node, lines)
        return leaves
    except yaml.MarkedYAMLError as error:
        raise UserError(_explain(error, label)) from None
    except yaml.YAMLError as error:
        raise UserError(f"{label} is not YAML: {error}.") from None


def parse_value(text: str, label: str) -> Any:
    """The value that a short YAML text such as `1e-3` or `[a, b]` stands for."""
    try:
        return _Loader(text).get_single_data()
    except yaml.YAMLError:
        raise UserError(
            f"{label}: {text!r} is not a YAML value. Put quotes around a text that has "
            f"special characters: {json.dumps(text, ensure_ascii=False)}"
        ) from None


def format_value(value: Any) -> str:
    """`value` as YAML on one line; `parse_value` gives it back."""
    text = yaml.dump(
        value,
        Dumper=_Dumper,
        default_flow_style=True,
        width=1 << 30,
        allow_unicode=True,
    )
    return text.removesuffix("\n").removesuffix("\n...")


def _named_nodes(root: yaml.MappingNode) -> Iterator[tuple[str, yaml.Node, yaml.Node]]:
    for key, node in root.value:
        if isinstance(node, yaml.MappingNode):
            for inner_key, inner in node.value:
                yield f"{key.value}.{inner_key.value}", inner_key, inner
        else:
            yield key.value, key, node


def _leaf(loader: _Loader, key: yaml.Node, node: yaml.Node, lines: list[str]) -> Leaf:
    value = loader.construct_document(node)
    end = node.end_mark
    rest = lines[end.line][end.column :].strip() if end.line < len(lines) else ""
    comment = rest.removeprefix("#").strip() if rest.startswith("#") else ""
    return Leaf(value, key.start_mark.line + 1, comment)


def _set_twice(name: str, first: int, mark: yaml.Mark) -> yaml.MarkedYAMLError:
    return _problem(
        f"{name!r} is set twice, first in line {first}; remove one of them", mark
    )


def _problem(message: str, mark: yaml.Mark) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=message, problem_mark=mark)


def _explain(error: yaml.MarkedYAMLError, label: str) -> str:
    mark = error.problem_mark or error.context_mark
    place = f"{label}:{mark.line + 1}" if mark else label
    line = ""
    if mark and mark.buffer:
        source = mark.buffer.rstrip("\0").splitlines()
        if mark.line < len(source):
            line = f" The line is: {source[mark.line].strip()!r}."
    return f"{place}: {error.problem or error.context}.{line}"
