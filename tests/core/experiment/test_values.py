"""Values: a slug names no two of them, every one reads back from its text, and formats say what they cannot write."""

import json
import subprocess

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hpc.core.experiment.placeholders import parse_template, render_template
from hpc.core.experiment.program import Program
from hpc.core.experiment.slug import LONGEST, slug
from hpc.core.experiment.values import is_single, render_value, value_key
from hpc.core.launch.program import command_problems, program_argv
from hpc.core.layout import name_problem

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
SINGLE = TEXT | st.integers() | st.booleans() | st.none() | st.floats(allow_nan=False, allow_infinity=False)
VALUE = st.recursive(SINGLE, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=3))


@given(TEXT)
@example("meta-llama/Llama-3.1-8B")
@example("[64, 64]")
@example("")
@example("..")
@example("-n")
@example("x" * 500)
@example("a/b\n$(touch x)")
def test_a_slug_is_a_file_name_whatever_the_text_is(text: str) -> None:
    """Any text gives a name that every file system takes, short enough for several in one."""
    assert name_problem(slug(text)) == ""
    assert len(slug(text)) <= LONGEST + 7


@given(VALUE, VALUE)
@example("a/b", "a-b")
@example("a/b", slug("a/b"))
@example("a/b", "a:b")
@example("[64,64]", [64, 64])
@example("x" * 50, "x" * 51)
@example("", slug(""))
def test_no_two_values_have_one_slug(one: object, other: object) -> None:
    """Different values have different slugs; but a number is written as the text that looks like it."""
    if render_value(one) != render_value(other) or is_single(one) != is_single(other):
        assert slug(one) != slug(other)


@pytest.mark.parametrize(("value", "written"), [
    ("gpt2", "gpt2"), (8, "8"), (-0.5, "-0.5"), (True, "true"), (None, "null"), ("Llama-3.1_8B", "Llama-3.1_8B"),
    ("meta-llama/Llama-3.1-8B", "meta-llama-Llama-3.1-8B@556f68"), ([64, 64], "64,64@de57d9"),
    ("two words", "two-words@30b0c5"), ({"a": 1}, "a-1@015abd"), ("☃", "7fab91"),
])  # fmt: skip
def test_a_slug_is_readable_and_never_changes(value: object, written: str) -> None:
    """What can stand in a name does so unchanged; the rest keeps what can be read. Names on disk hang on it."""
    assert slug(value) == written


@given(VALUE)
@example({"name": "adam", "betas": [0.9, 1e-05]})
def test_a_value_reads_back_from_its_text(value: object) -> None:
    """The text a program gets is the text itself, or JSON that gives the very same value."""
    text = render_value(value)

    assert text == value if isinstance(value, str) else value_key(json.loads(text)) == value_key(value)


@given(VALUE)
def test_equal_values_have_one_key(value: object) -> None:
    """A value is equal to itself, written and read again or not, and its key can be a key."""
    assert {value_key(value)} == {value_key(json.loads(json.dumps(value)))}
    assert value_key([1]) == value_key([1.0]) != value_key([True])


def argv(text: str, **values: object) -> tuple[str, ...]:
    """The words of a command, its program left out."""
    return program_argv(Program(command=f"t {text}"), values)[1:]


@pytest.mark.parametrize(("text", "value", "words"), [
    ("{a:flag} x", True, ("--a", "x")), ("{a:flag} x", False, ("x",)), ("{a:switch}", False, ("--no-a",)),
    ("--a {a:True/False}", True, ("--a", "True")), ("{a:--use-amp/}", True, ("--use-amp",)),
    ("{a:--use-amp/}", False, ()),
    ("a={a:1/0}", False, ("a=0",)), ("--a {a:words}", [64, 64], ("--a", "64", "64")), ("{a:words}", [], ()),
    ("a={a}", [1, "b c"], ('a=[1,"b c"]',)), ("a={a}", {"b": None}, ('a={"b":null}',)), ("{a}", "", ("",)),
    ("{a:words}", ["a b", "$(touch x)"], ("a b", "$(touch x)")),
])  # fmt: skip
def test_formats_write_flags_words_and_json(text: str, value: object, words: tuple[str, ...]) -> None:
    """A flag is a word or none, a list its JSON or so many words; an empty text stays a word."""
    assert argv(text, a=value) == words


@pytest.mark.parametrize(("booleans", "words"), [
    ("true/false", ("--a", "true", "--b", "false")), ("True/False", ("--a", "True", "--b", "False")),
    ("flag", ("--a",)), ("switch", ("--a", "--no-b")),
])  # fmt: skip
def test_a_program_says_how_it_reads_true_and_false(booleans: str, words: tuple[str, ...]) -> None:
    """`program.booleans` holds for a module's options and for a command's placeholders without a format."""
    values = {"a": True, "b": False, "model.lr": 1}

    module = program_argv(Program(module="t", booleans=booleans), values)
    command = program_argv(Program(command="t --lr {model.lr} {b:1/0} {a}", booleans=booleans), values)

    assert module[3:] == (*words, "--model.lr", "1")
    assert command[3:4] == ("0",)
    assert command[4:] == (words[:1] if booleans in ("flag", "switch") else words[1:2])


@given(values=st.lists(TEXT.filter(lambda text: "\0" not in text), max_size=4), on=st.booleans())
@settings(max_examples=20, deadline=None)
@example(["$(touch x)", "'; exit 3; '"], True)
def test_a_shell_script_gets_words_and_flags_quoted(values: list[str], on: bool) -> None:
    """In `sh -c` a list in words is as many words, each quoted; a flag that is off leaves nothing, no empty word."""
    command = Program(command="""sh -c 'printf "<%s>" {a:words} {b:flag} end'""")

    done = subprocess.run(program_argv(command, {"a": values, "b": on}), capture_output=True, check=True)

    assert done.stdout.decode() == "".join(f"<{word}>" for word in [*values, *(["--b"] if on else []), "end"])


def test_words_inside_a_word_are_refused() -> None:
    """`--x={a:words}` has no meaning; a run name has one word anyway."""
    assert any("several words" in text for text in command_problems("t --x={a:words}"))
    assert render_template(parse_template("{a:slug}_{b.c:words}"), {"a": "x/y", "b.c": [1]}) == f"{slug('x/y')}_1"
