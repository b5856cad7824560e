"""Conditions say what they say, and can do nothing else."""

import keyword

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hpc.core.experiment.expression import WORDS, parse_expression

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


def joined(parts: st.SearchStrategy[str], *operators: str) -> st.SearchStrategy[str]:
    """Two or three parts with operators between them, with and without spaces."""
    between = st.sampled_from(operators).flatmap(lambda sign: st.sampled_from([f" {sign} ", f"\n{sign}  "]))
    tight = st.sampled_from([sign for sign in operators if not sign[0].isalpha()] or [f" {operators[0]} "])
    more = st.tuples(between | tight, parts).map("".join)
    return st.tuples(parts, more, st.just("") | more).map("".join)


def conditions(a: str, b: str, c: str) -> st.SearchStrategy[str]:
    """Conditions over three names, from everything the grammar knows; powers stay small enough for Python, too."""
    literals = st.sampled_from(["0", "1", "2.5", ".5", "1_0", "0x1F", "1e3", "'x'", '"a" "b"', "True", "None"])
    atoms = st.sampled_from([a, b, c]) | literals

    def wider(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        closed = atoms | inner.map("({})".format)
        powers = st.tuples(closed, st.sampled_from(["**2", " ** -1", "**2**2"])).map("".join)
        signed = st.tuples(st.sampled_from(["", "-", "+ ", "--"]), closed | powers).map("".join)
        sums = joined(joined(signed, "*", "/", "//", "%") | signed, "+", "-") | signed
        lists = st.lists(sums, min_size=1, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        compared = joined(sums, "==", "!=", "<", "<=", ">", ">=") | st.tuples(sums, lists).map(" not  in ".join)
        negated = st.tuples(st.sampled_from(["", "not ", "not not "]), compared | sums).map("".join)
        return joined(joined(negated, "and") | negated, "or") | negated

    return st.recursive(atoms, wider, max_leaves=6)


def outcome_in_python(text: str, values: dict[str, object]) -> bool | None:
    """What Python makes of it; None where it cannot compute it."""
    try:
        return bool(eval(f"({text})", {"__builtins__": {}}, values))  # noqa: S307 - what we are held against
    except (TypeError, ArithmeticError):
        return None


def outcome(text: str, values: dict[str, object]) -> bool | None:
    """What we make of it; None where we cannot compute it. That it is a condition is never in doubt."""
    condition = parse_expression(text, tuple(values))
    try:
        return condition.holds(values)
    except ValueError:
        return None


VALUE = st.integers(-9, 9) | st.sampled_from([0.5, True, None, "x", "ab"])


@given(text=conditions("a", "b", "c"), a=VALUE, b=VALUE, c=VALUE)
@example(text="-('x' or a)", a=0, b=0, c=0)
@example(text="(a or b) == 2", a=0, b=2, c=0)
def test_conditions_agree_with_python(text, a, b, c):
    """Whatever uses no keyword as a name gives what Python gives; arithmetic on text (`'a' * 3`) is Python's alone."""
    values = {"a": a, "b": b, "c": c}
    has_text = any(mark in f"{text}{a!r}{b!r}{c!r}" for mark in "'\"")
    ours, pythons = outcome(text, values), outcome_in_python(text, values)

    assert ours == pythons or (has_text and ours is None)


@given(
    text=conditions("<1>", "<2>", "<3>"),
    names=st.lists(st.sampled_from(sorted({*keyword.kwlist, "match", "ß", "_"} - WORDS)), min_size=3, unique=True),
    values=st.tuples(VALUE, VALUE, VALUE),
)
def test_a_parameter_may_be_called_like_a_word_of_python(text, names, values):
    """Renaming parameters to `lambda`, `as` or `if` changes nothing."""

    def called(chosen):
        parts = text
        for number, name in enumerate(chosen, 1):
            parts = parts.replace(f"<{number}>", name)
        return parts

    plain = dict(zip("abc", values, strict=True))
    renamed = dict(zip(names, values, strict=False))
    constants = {"True", "None"} & set(names)

    assert constants or outcome(called(names), renamed) == outcome(called("abc"), plain)


@pytest.mark.parametrize("name", sorted(WORDS))
def test_a_parameter_called_like_a_word_of_conditions_is_told_so(name):
    """The five words that join conditions are the only names that cannot stand in one; the message says what to do."""
    with pytest.raises(ValueError, match=f"'{name}' joins the parts of a condition.*rename the parameter"):
        parse_expression(f"3 < {name}" if name != "not" else "3 * not", (name,))


@given(st.lists(st.sampled_from([*"()[]{},.:=<>!+-*/%'\"#\\ @", *WORDS, "a", "1", "1e", "0x", "if", "lambda"])))
def test_any_text_is_a_condition_or_a_sentence(parts):
    """Nothing that can be written ends in anything but a condition or a ValueError."""
    try:
        parsed = parse_expression("".join(parts), ("a", "lambda"))
    except ValueError:
        return
    assert set(parsed.names) <= {"a", "lambda"}


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
    with pytest.raises(ValueError, match=r"is not a condition|characters long|is not a parameter|levels deep"):
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
