"""Conditions say what they say, and can do nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.core.expression import parse_expression

NAMES = ("lora_rank", "batch_size", "system", "flag")
VALUES = {"lora_rank": 8, "batch_size": 4, "system": "pendulum", "flag": True}


@pytest.mark.parametrize(("text", "expected"), [
    ("lora_rank * batch_size <= 128", True),
    ("lora_rank * batch_size > 32", False),
    ("system == 'pendulum' and not lora_rank < 8", True),
    ("system in ['van_der_pol', 'pendulum'] or lora_rank / 0 > 1", True),
    ("4 < lora_rank <= 8 != batch_size", True),
    ("lora_rank % 3 == 2 and lora_rank // 3 == 2 and -lora_rank ** 2 == -64", True),
    ("flag == true and flag is not null and (flag or false)", True),
    ("lora_rank not in (4, 8)", False),
])  # fmt: skip
def test_a_condition_means_what_it_means_in_python(text, expected):
    """Arithmetic, comparison, membership and logic follow Python, short circuits included."""
    assert parse_expression(text, NAMES).holds(VALUES) is expected


@given(a=st.integers(-1000, 1000), b=st.integers(-1000, 1000), c=st.integers(-1000, 1000))
def test_conditions_agree_with_python_on_numbers(a, b, c):
    """For any numbers the result is Python's own."""
    names = {"a": a, "b": b, "c": c}

    assert parse_expression("a * b + c < a - 2 * b or a <= b < c", tuple(names)).holds(names) is (
        a * b + c < a - 2 * b or a <= b < c
    )


@pytest.mark.parametrize("text", [
    "__import__('os').system('touch x')", "open('x')", "lora_rank.__class__", "system[0] == 'p'", "[x for x in system]",
    "lambda: 1", "(lora_rank := 3)", "f'{lora_rank}' == '8'", "lora_rank if flag else 2", "{1: 2}", "lora_rank @ 2",
    "lora_rank << 99", "~lora_rank", "...", "b'x' == 'x'", "1j == 1",
])  # fmt: skip
def test_anything_that_could_do_something_is_refused(text):
    """Calls, attributes, subscripts, comprehensions and the like are refused before anything is computed."""
    with pytest.raises(ValueError, match=r"is not allowed|is not a parameter"):
        parse_expression(text, NAMES)


@pytest.mark.parametrize(
    "text", ["", "lora_rank <", "a b", "(" * 500, "-" * 1900 + "1", "x" * 3000, "import os", "a = 1", "\0"]
)
def test_what_is_no_condition_is_refused_with_a_sentence(text):
    """Broken, endless or deeply nested text is a clear error, not a crash."""
    with pytest.raises(ValueError, match=r"is not a condition|characters long|is not a parameter"):
        parse_expression(text, NAMES)


def test_an_unknown_name_comes_with_the_nearest_valid_one():
    """A misspelt parameter is named together with what was probably meant."""
    with pytest.raises(ValueError, match="uses 'lora_rnk', which is not a parameter; did you mean 'lora_rank'"):
        parse_expression("lora_rnk > 4", NAMES)


@pytest.mark.parametrize(("text", "message"), [
    ("lora_rank ** lora_rank ** lora_rank ** 9 > 1", "powers up to 64"),
    ("2 ** 64 ** 2 > 1", "powers up to 64"),
    ("(9 ** 64) ** 64 ** 1 > 1 and ((9 ** 64) ** 64) * 2 > 1", "too large"),
    ("'a' * 1000000000 == 'b'", "'a' is not a number"),
    ("lora_rank / 0 > 1", "division by zero"),
    ("system > 3", "not supported between"),
    ("1e308 ** 64 > 1", "out of range"),
    ("3 in lora_rank", "not iterable"),
])  # fmt: skip
def test_what_cannot_be_computed_is_a_clear_error(text, message):
    """Giant powers, repeated text, division by zero and mixed types end in a sentence, quickly."""
    with pytest.raises(ValueError, match=message):
        parse_expression(text, NAMES).holds(VALUES)


def test_names_are_listed_once_in_order():
    """The condition knows which parameters it uses; true, false and null are none of them."""
    assert parse_expression("batch_size > lora_rank and batch_size == null", NAMES).names == ("batch_size", "lora_rank")


def test_a_parameter_may_be_called_true():
    """A parameter's own name wins over YAML's spelling of a constant."""
    assert parse_expression("true == 5", ("true",)).holds({"true": 5})


def test_a_missing_value_is_named():
    """A combination without the parameter (a case that does not set it) is reported by the parameter's name."""
    with pytest.raises(ValueError, match="'batch_size' has no value here"):
        parse_expression("batch_size > 1", NAMES).holds({})
