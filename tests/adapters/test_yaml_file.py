"""YAML in, plain values with lines out; whatever a configuration file should not hold is refused with its line."""

import json
import math
import subprocess
import sys

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hpc.adapters.yaml_file import MAX_BYTES, dotted, load_yaml, parse_value, parse_yaml
from hpc.core.errors import InputError

PRINTABLE = st.characters(exclude_categories=["Cc", "Cs", "Co", "Cn", "Zl", "Zp"], exclude_characters="\ufeff")


def message(text):
    """Return the whole complaint about a text."""
    with pytest.raises(InputError) as caught:
        parse_yaml(text, "x.yaml")
    return str(caught.value)


@pytest.mark.parametrize(("text", "value"), [
    ("1e-4", 1e-4), ("1E5", 1e5), ("-.5", -0.5), ("1.", 1.0), ("12", 12), ("-7", -7), ("+7", 7),
    ("0o17", 15), ("0x1F", 31),
    ("017", 17), ("1_000", 1000), ("on", "on"), ("yes", "yes"), ("No", "No"), ("true", True),
    ("False", False), ("null", None), ("~", None), ("24:00:00", "24:00:00"), ("1:30", "1:30"), ("2001-01-01",
    "2001-01-01"), ("5%", "5%"), ("'12'", "12"),
    ("!!str 12", "12"), ("a b", "a b"), ("=", "="), ("1.2.3", "1.2.3"), ("1e", "1e"), ("0.1.", "0.1."),
    (".inf", math.inf),
])  # fmt: skip
def test_values_are_read_as_yaml_1_2_has_them(text, value):
    """Numbers in any notation are numbers, `on` and times and dates are text, quotes make text."""
    found = parse_value(text)

    assert found == value
    assert type(found) is type(value)


@given(st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(PRINTABLE, max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abcxyz_", min_size=1), inner, max_size=3),
    max_leaves=10,
))  # fmt: skip
@settings(deadline=None)
def test_json_is_read_as_json_reads_it(value):
    """Every JSON text is YAML and means the same."""
    assert parse_yaml(json.dumps(value), "x").data == value


def test_every_value_knows_its_line():
    """Keys, list items and nested blocks are found where they stand, counting from 1."""
    document = parse_yaml("# comment\na: 1\nb:\n  - x\n  - {c: 2,\n     d: 3}\ne: {f: [1, 2]}\n", "x")

    assert document.data == {"a": 1, "b": ["x", {"c": 2, "d": 3}], "e": {"f": [1, 2]}}
    assert [document.line(path) for path in ((), ("a",), ("b",), ("b", 0), ("b", 1, "d"), ("e", "f", 1))] == [
        2,
        2,
        3,
        4,
        6,
        7,
    ]


def test_what_is_missing_is_looked_for_in_the_block_around_it():
    """The line of a key nobody wrote is the line of the block in which it would stand."""
    assert parse_yaml("a: 1\nb:\n  c: 2\n", "x").line(("b", "nowhere", 3)) == 2


def test_paths_are_written_as_people_write_them():
    """A path with list positions is dotted and bracketed."""
    assert dotted(("sweep", "cases", 2, "id")) == "sweep.cases[2].id"
    assert dotted(()) == ""


def test_all_duplicate_keys_are_named_with_both_lines():
    """Every duplicate is reported with the line of the first, not only the first duplicate."""
    assert message("a: 1\nb: {c: 1, c: 2}\na: 3\n") == (
        "x.yaml:2: b.c: the key 'c' appears twice, first in line 2; keep one\n"
        "x.yaml:3: a: the key 'a' appears twice, first in line 1; keep one"
    )


@pytest.mark.parametrize(("text", "part"), [
    ("a:\n\tb: 1", "2: is indented with a tab"),
    ("a: [1,\n", "1: ends or goes on"),
    ("a: 1\n---\nb: 2", "2: holds several documents"),
    ("%YAML 1.1\n---\na: on", "1: directives"),
    ("# c\n\n%TAG ! x\n---\na: on", "3: directives"),
    ("a: !!python/object/apply:os.system [id]", "1: a: carries the tag"),
    ("a: !!binary aGk=", "1: a: carries the tag"),
    ("a: !own 3", "1: a: carries the tag '!own'"),
    ("a: !!int x", "1: a: 'x' is not a number"),
    ("a: !!float x", "1: a: 'x' is not a number"),
    ("a: " + "9" * 5000, "is not a number we can hold"),
    ("a: &a [*a]", "contains itself"),
    ("a: &a {b: {c: *a}}", "contains itself"),
    ("a: *b", "no anchor"),
    ("<<: {a: 1}", "merge keys"),
    ("1: 2", "the key '1' is not text"),
    ("~: 2", "is not text"),
    ("? [a]\n: 1", "is not text"),
    ("a: b: c", "has a ': ' inside"),
    ("a: 'x", "never closed"),
    ("a: @x", "reserves"),
    ("a\0b: 1", "is not YAML"),
    ("[" * 3000, "nested too deeply"),
    ("{a: " * 3000, "nested too deeply"),
    ("- " * 3000 + "a", "nested too deeply"),
])  # fmt: skip
def test_what_does_not_belong_is_refused_with_its_line(text, part):
    """Tabs, directives, tags, loops, merges, odd keys, open brackets and abysses end in one clear sentence."""
    assert part in message(text)


def test_an_alias_bomb_does_not_go_off():
    """Aliases that would write out to billions of values are refused after a bounded number."""
    bomb = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
        f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
    )

    assert "holds more than 100,000 values once its aliases are written out" in message(bomb)


def test_honest_aliases_work():
    """A value may be named once and used again; a later anchor of the same name counts from there on."""
    assert parse_yaml("a: &x {g: 1}\nb: *x\nc: &x 2\nd: *x\n", "x").data == {
        "a": {"g": 1},
        "b": {"g": 1},
        "c": 2,
        "d": 2,
    }


@given(st.text(st.characters(codec="utf-8"), max_size=60) | st.text("ab:-[]{}&*!|>'\"%@`#,? \n\t1", max_size=60))
@settings(max_examples=300, deadline=None)
@example("a: |\n  x")
@example("? - a\n  - b")
@example("!!int 1_")
@example("!!bool 3")
@example("!!null x")
@example("&a")
@example('"\\ud800"')
@example('"\\ud800": 1')
def test_any_text_is_read_or_refused_cleanly(text):
    """Whatever stands in a file, it gives plain JSON values or an InputError, never another exception."""
    try:
        data = parse_yaml(text, "x").data
    except InputError:
        return
    json.dumps(data)


def test_files_that_cannot_be_read_say_why(tmp_path):
    """Missing (with the names that are there), a folder, binary, other encodings, too large: each says what it is."""
    (tmp_path / "lora_sweep.yaml").write_text("a: 1")
    (tmp_path / "latin.yaml").write_bytes(b"a: 1\nb: K\xe4se\n")
    (tmp_path / "large.yaml").write_text("a: " + "x" * MAX_BYTES)
    (tmp_path / "marked.yaml").write_bytes(b"\xef\xbb\xbfa: 1\n")

    def complaint(name):
        with pytest.raises(InputError) as caught:
            load_yaml(tmp_path / name)
        return str(caught.value)

    assert complaint("lora_swep.yaml").endswith(
        f"no such file; {tmp_path} holds: large.yaml, latin.yaml, lora_sweep.yaml, marked.yaml"
    )
    assert complaint(".").endswith("cannot be read: Is a directory")
    assert complaint("latin.yaml").endswith("latin.yaml:2: is not text in UTF-8; save it as UTF-8")
    assert "is larger than 1 MB" in complaint("large.yaml")
    assert load_yaml(tmp_path / "marked.yaml").data == {"a": 1}


def test_the_parser_is_loaded_only_when_a_file_is_read():
    """Importing the module costs no YAML library: commands that only show help stay fast."""
    code = "import sys, hpc.adapters.yaml_file; print('ruamel.yaml' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "False\n"
