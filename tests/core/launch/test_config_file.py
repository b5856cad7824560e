"""A program's configuration file: each value in its place, and every reader of the format reads it back."""

import tomllib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from hpc.core.experiment.program import ConfigFile
from hpc.core.experiment.values import value_key
from hpc.core.launch.config_file import content_problems, fill, keys_of, names_taken, written

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"], exclude_characters="{}\ufeff"), max_size=20)
SINGLE = TEXT | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**63), 2**63 - 1)
VALUE = st.recursive(SINGLE, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3))
CONTENT = st.dictionaries(TEXT, VALUE, min_size=1, max_size=4)

HARD = {
    "lr": 1e-05, "big": 1e22, "off": "off", "no": "1.5", "text": 'a: "b" #c', "layers": [64, [64, {"a": []}]],
    "block": {"x y": {"z.a": -0.0, "empty": {}}, "list": []}, "": "", "~": "null", "date": "2024-01-01",
    "on": True, "t": "12:30:45",
}  # fmt: skip


def read_yaml(text: str, version: tuple[int, int]) -> object:
    """Read as a program would, by YAML 1.1 (PyYAML) or 1.2."""
    yaml = YAML(typ="safe", pure=True)
    yaml.version = version
    return yaml.load(text)


@given(CONTENT)
@example(HARD)
def test_each_format_reads_back_as_it_was(content: dict[str, object]) -> None:
    """YAML by the rules of 1.1 and 1.2, JSON and TOML: the same keys, values and types, in the same order."""
    assert value_key(tomllib.loads(written(ConfigFile("a.toml", content), {}))) == value_key(content)
    for name in ("a.yaml", "a.json"):
        text = written(ConfigFile(name, content), {})
        for version in ((1, 1), (1, 2)):
            found = read_yaml(text, version) if name == "a.yaml" or version == (1, 2) else content
            assert value_key(found) == value_key(content), text


def test_values_go_where_keys_and_placeholders_say() -> None:
    """A dotted name leads into blocks, or is a key as it stands; a text of one placeholder becomes the value itself."""
    template = {
        "model": {"lr": 0, "name": "{model.name}", "deep": {"x": 1}}, "data.path": "", "layers": "{layers}",
        "out": "{out_dir}/m-{model.lr:.0e}-{layers}", "kept": "${model.lr} {epoch} {",
        "list": [{"lr": "{model.lr}"}],
    }  # fmt: skip
    values = {"model.lr": 1e-4, "model.deep.x": [2], "data.path": "/d", "layers": [64], "model.name": "a b", "other": 3}
    values |= {"out_dir": "/o", "epochs": 5}

    filled = fill(template, values)

    assert filled["model"] == {"lr": 1e-4, "name": "a b", "deep": {"x": [2]}}
    assert (filled["data.path"], filled["layers"], filled["list"]) == ("/d", [64], [{"lr": 1e-4}])
    assert filled["out"] == "/o/m-1e-04-[64]"
    assert filled["kept"].startswith("${model.lr} {epoch} ")
    assert template["model"]["lr"] == 0  # type: ignore[index]
    assert names_taken(template, tuple(values)) == (
        "model.lr", "model.deep.x", "data.path", "layers", "model.name", "out_dir",
    )  # fmt: skip
    assert {"model", "model.deep.x", "data.path"} <= set(keys_of(template))


@given(CONTENT, TEXT)
def test_no_value_is_read_as_a_placeholder(content: dict[str, object], value: str) -> None:
    """What a value holds is never filled in again: `{seed}` in a prompt stays."""
    prompt = f"{value}{{seed}}"

    assert fill({"a": "{prompt}", "seed": 0}, {"prompt": prompt, "seed": 7}) == {"a": prompt, "seed": 7}
    assert fill({"prompt": "", "seed": 0}, {"prompt": prompt, "seed": 7}) == {"prompt": prompt, "seed": 7}
    assert fill({"a": "<{prompt}>"}, {"prompt": prompt, "seed": 7}) == {"a": f"<{prompt}>"}


@pytest.mark.parametrize(("file", "content", "said"), [
    ("a.toml", {"a": {"b": [1, None]}}, "a.b[1] is null"), ("a.json", {"a": float("nan")}, "a is nan"),
    ("a.yaml", {"a": object()}, "a is a object"),
])  # fmt: skip
def test_what_a_format_cannot_say_is_said(file: str, content: dict[str, object], said: str) -> None:
    """Found where it is planned, by its place."""
    assert [text for text in content_problems(file, content) if text.startswith(said)]
