"""Reading: a study's params as its files state them, params.yaml and then those that differ from it.

They are read as YAML 1.2, which is what DVC writes: 5e-05 is a number, and `no` is a word. No file runs code.
"""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import yaml

from transferability.errors import InputError
from transferability.study.defaults import completed, without_restated

CODE = ("__use_yte__", "__definitions__", "__variables__")
"""Keys by which Snakemake runs code that a YAML file holds."""

DEEPEST, MOST = 32, 1_000_000
"""More levels or values than any study has; aliases make them of a few bytes."""

WHOLE = ("kind", "source", "library")
"""Keys that say which other keys there are: what states another value of one is another definition as a whole."""


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # the fast one, where it is
    """A loader of YAML 1.2's core schema, with 1.1's merge keys, that refuses a key that is there twice."""

    yaml_implicit_resolvers: ClassVar[dict] = {}

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        lines: dict[object, int] = {}
        for key_node, _ in node.value:
            line = key_node.start_mark.line + 1
            key = (key_node.tag, key_node.value) if isinstance(key_node, yaml.ScalarNode) else id(key_node)
            if key in lines:
                raise InputError(
                    f"line {line}: the key {key_node.value!r} is already in line {lines[key]}; one of them would be "
                    "passed over, so keep one"
                )
            lines[key] = line
        return super().construct_mapping(node, deep)

    def construct_integer(self, node: yaml.ScalarNode) -> int:
        text = self.construct_scalar(node)
        return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))

    def construct_real(self, node: yaml.ScalarNode) -> float:
        text = self.construct_scalar(node).lower()
        return float(text.replace(".inf", "inf").replace(".nan", "nan"))


CORE = {
    "null": (r"~|null|Null|NULL|", "~nN", Loader.construct_yaml_null),
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF", Loader.construct_yaml_bool),
    "int": (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789", Loader.construct_integer),
    "float": (
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+0123456789.",
        Loader.construct_real,
    ),
    "merge": (r"<<", "<", None),
}
for name, (pattern, first, construct) in CORE.items():
    tag = f"tag:yaml.org,2002:{name}"
    # An empty value is null.
    starts = [*first, ""] if name == "null" else list(first)
    Loader.add_implicit_resolver(tag, re.compile(f"^(?:{pattern})$"), starts)
    if construct is not None:
        Loader.add_constructor(tag, construct)


def unique_keys(pairs: list[tuple[str, object]]) -> dict:
    """A JSON object; a key that is there twice is an InputError."""
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"the key {twice!r} is there twice; one of them would be passed over, so keep one")
    return content


def parse(text: str) -> object:
    """What a text of JSON or YAML states; InputError where it is neither."""
    try:
        try:
            return json.loads(text, object_pairs_hook=unique_keys)
        except json.JSONDecodeError:
            return yaml.load(text, Loader)
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(f"not a YAML file ({' '.join(str(error).split())})") from None
    except RecursionError:
        raise InputError("is nested too deeply; it must be a mapping such as params.yaml") from None


def refuse_endless(content: object) -> None:
    """Refuse more levels or values than any study has, such as those of an alias inside what it stands for."""
    level, values = [content], 0
    for _ in range(DEEPEST):
        level = [
            entry
            for value in level
            if isinstance(value, dict | list)
            for entry in (value.values() if isinstance(value, dict) else value)
        ]
        values += len(level)
        if not level:
            return
        if values > MOST:
            break
    raise InputError("is nested too deeply or holds too much; it must be a mapping such as params.yaml")


def read_file(path: Path, earlier: str = "") -> dict:
    """The params that a file states; one that cannot be read, is no mapping or holds code is an InputError.

    `earlier` is added to what is said of code, where something else has read the file first.
    """
    try:
        content = parse(path.read_text(encoding="utf-8-sig"))
        refuse_endless(content)
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a YAML file ({error}); save it as UTF-8") from None
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds no params; it must be a mapping such as params.yaml")
    for key in CODE:
        if key in content:
            raise InputError(
                f"{path}: the key {key} has code run when the file is read; params hold none, take it out{earlier}"
            )
    return content


def merge(params: Mapping, study: Mapping) -> dict:
    """Params with what a study file states in their place: mappings key by key, but a definition of another kind whole.

    Of a split of another `kind`, images of another `source` and a model of another `library` no key is kept.
    """
    merged = dict(params)
    for key, value in study.items():
        below = merged.get(key)
        merged[key] = merge(kept_below(below, value), value) if isinstance(value, Mapping) else value
    return merged


def kept_below(below: object, value: Mapping) -> Mapping:
    """What of a definition is left where a study file states `value` in its place: all of it, or nothing."""
    if not isinstance(below, Mapping):
        return {}
    other = any(name in value and value[name] != below.get(name) for name in WHOLE)
    return {} if other or ("family" in value and "library" in below) else below


def overlaid(params: Mapping, study: Mapping) -> dict:
    """`merge`, where what a study states of training for all networks also takes the place of what was said of some."""
    below = {
        key: without_restated(value, study.get(key)) if key == "training" else value for key, value in params.items()
    }
    return merge(below, study)


def read_study(params: Path | None, studies: Iterable[Path], words: Mapping | None = None) -> dict:
    """The params of a study, unchecked: params.yaml, the files that change it in their order, `--config`'s words.

    What none of them says is usual (`defaults`).
    """
    merged = read_file(params) if params else {}
    for path in studies:
        merged = overlaid(merged, read_file(path, "; Snakemake has read it before this check, and that code has run"))
    return completed(overlaid(merged, words or {}))


def read_module(params: Path | None, config: Mapping) -> dict:
    """The params of a study that another workflow takes in, `module: config:`, on top of params.yaml, if any."""
    return completed(overlaid(read_file(params) if params else {}, config))


def refuse_prefix(modifier: Any) -> None:
    """Refuse other places of files than this workflow's, which its jobs know by their names."""
    if modifier.prefix or modifier.modifies_prefixes:
        raise InputError(
            "module transferability: files are in data/, models/ and results/ of the folder that snakemake works in: "
            "leave prefix out, or give the study a folder of its own (snakemake --directory)"
        )


def read_config(workflow, params: Path) -> None:
    """Read anew what a Snakemake workflow's config is to hold: params.yaml, and what its command line states on top."""
    settings = workflow.config_settings
    study = read_study(None if settings.replace_workflow_config else params, settings.configfiles, settings.config)
    workflow.config.clear()
    workflow.config.update(study)
    # For Snakemake's report.
    workflow.configfiles.append(str(params))
