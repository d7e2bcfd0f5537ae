"""Reading: params as their files state them."""

import json
import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from transferability.errors import InputError
from transferability.study.defaults import completed
from transferability.study.reading import merge, parse, read_file, read_study

CHECKOUT = Path(__file__).parent.parent
FILES = [CHECKOUT / "params.yaml", *sorted((CHECKOUT / "workflow/studies").glob("*.yaml"))]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5e-05", 5e-5),
        ("1e3", 1000.0),
        ("0.0005", 0.0005),
        ("-1.5E+3", -1500.0),
        (".5", 0.5),
        ("010", 10),
        ("0x1F", 31),
        ("+3", 3),
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("true", True),
        ("~", None),
        ("null", None),
        ("2020-01-31", "2020-01-31"),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("'5e-05'", "5e-05"),
    ],
)
def test_a_value_is_what_dvc_takes_it_for(text, value):
    read = parse(f"x: {text}")["x"]
    assert (read, type(read)) == (value, type(value))
    assert YAML(typ="safe", pure=True).load(f"x: {text}")["x"] == value or text in ("2020-01-31", "1_000")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_study_comes_back_as_dvc_writes_it(path, tmp_path):
    study = read_file(path)
    yaml = YAML()
    with open(tmp_path / "params.yaml", "w", encoding="utf-8") as file:
        yaml.dump(yaml.load(path.read_text(encoding="utf-8")), file)
    assert read_file(tmp_path / "params.yaml") == study
    with open(tmp_path / "plain.yaml", "w", encoding="utf-8") as file:
        YAML(typ="safe", pure=True).dump(study | {"rate": 5e-5, "classes": ["no", "1e3", "010", "~"]}, file)
    assert read_file(tmp_path / "plain.yaml") == study | {"rate": 5e-5, "classes": ["no", "1e3", "010", "~"]}
    (tmp_path / "params.json").write_text(json.dumps(study))
    assert read_file(tmp_path / "params.json") == study


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: 1\nb: 2\na: 3\n", "line 3: the key 'a' is already in line 1"),
        ("x: {a: 1, a: 2}", "line 1: the key 'a' is already in line 1"),
        ('{"x": {"a": 1,\n"a": 2}}', "the key 'a' is there twice"),
        ("a: [1", "not a YAML file"),
        ("a: *nothing", "not a YAML file"),
        ("a: !!python/object/apply:os.getcwd []", "not a YAML file"),
        (f"a: {'1' * 5000}", "not a YAML file"),
        ('{"a": ' + "1" * 5000 + "}", "not a YAML file"),
        ('{"a": ' + "[" * 100_000, "is nested too deeply"),
        ("a: " + "[" * 40 + "]" * 40, "is nested too deeply"),
        ("a: &a [*a]", "is nested too deeply"),
        (
            "a: &a [0,0,0,0,0,0,0,0,0,0]\n"
            + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 10)}]\n" for n in range(8)),
            "holds too much",
        ),
        ("- a", "holds no params"),
        ("", "holds no params"),
        ("__use_yte__: false", "the key __use_yte__ has code run"),
        ("__definitions__: []", "the key __definitions__ has code run"),
    ],
)
def test_a_file_that_cannot_be_meant_is_named_in_one_sentence(tmp_path, text, sentence):
    path = tmp_path / "study.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        read_file(path)
    assert str(error.value).startswith(f"{path}: ")
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_other_bytes_than_text_are_named_and_a_byte_order_mark_is_passed_over(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_bytes("a: Käfer".encode("latin-1"))
    with pytest.raises(InputError, match="save it as UTF-8"):
        read_file(path)
    path.write_bytes("a: Käfer".encode("utf-8-sig"))
    assert read_file(path) == {"a": "Käfer"}


def test_code_in_a_study_file_is_refused_before_it_runs_or_with_the_word_that_it_has(tmp_path):
    for name in ("params.yaml", "study.yaml"):
        (tmp_path / name).write_text("a: 1\n")
    held = tmp_path / "held.yaml"
    held.write_text(f"__use_yte__: true\n__definitions__:\n  - open({str(tmp_path / 'ran')!r}, 'w')\n")
    with pytest.raises(InputError) as first:
        read_study(held, [])
    with pytest.raises(InputError) as second:
        read_study(tmp_path / "params.yaml", [tmp_path / "study.yaml", held])
    assert "that code has run" not in str(first.value)
    assert str(second.value).endswith("Snakemake has read it before this check, and that code has run")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("below", "study", "merged"),
    [
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}, {"a": {"b": 3, "c": 2}}),
        ({"decay": "cosine"}, {"decay": {"every": 5}}, {"decay": {"every": 5}}),
        (
            {"s": {"kind": "random", "seed": 0}},
            {"s": {"kind": "classes", "A": []}},
            {"s": {"kind": "classes", "A": []}},
        ),
        (
            {"s": {"kind": "random", "seed": 0}},
            {"s": {"kind": "random", "seed": 1}},
            {"s": {"kind": "random", "seed": 1}},
        ),
        (
            {"s": {"kind": "random", "seed": 0}},
            {"s": {"volume": {}}},
            {"s": {"kind": "random", "seed": 0, "volume": {}}},
        ),
        (
            {"images": {"source": "digits", "size": 8}},
            {"images": {"source": "folder"}},
            {"images": {"source": "folder"}},
        ),
        ({"t": {"family": "tiny", "width": 1}}, {"t": {"library": "timm"}}, {"t": {"library": "timm"}}),
        ({"t": {"library": "timm", "name": "x"}}, {"t": {"family": "tiny"}}, {"t": {"family": "tiny"}}),
        ({"t": {"family": "tiny", "width": 1}}, {"t": {"family": "full"}}, {"t": {"family": "full", "width": 1}}),
    ],
)
def test_a_study_file_states_what_differs_and_another_kind_is_another_definition(below, study, merged):
    before = json.dumps(below)
    assert merge(below, study) == merged
    assert json.dumps(below) == before


def test_later_files_and_the_command_line_win(tmp_path):
    for name, text in {"params": "a: 1\nb: 1\nc: 1\n", "one": "b: 2\nc: 2\n", "two": "c: 3\n"}.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    studies = [tmp_path / "one.yaml", tmp_path / "two.yaml"]
    assert read_study(tmp_path / "params.yaml", studies, {"d": 4}) == completed({"a": 1, "b": 2, "c": 3, "d": 4})
    assert read_study(None, studies) == completed({"b": 2, "c": 3})


def test_the_readmes_file_for_photos_is_the_ready_study():
    text = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    shown = re.search(r"## Your network, your photos.*?```yaml\n(.*?)```", text, re.DOTALL)[1]
    assert len(shown.splitlines()) <= 15
    assert parse(shown) == read_file(CHECKOUT / "workflow/studies/my-photos.yaml")
