"""Patterns and JSON lines over stdout: what is a metric, what is a number, which patterns are refused."""

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.core.errors import InputError
from hpc.core.experiment.metric_source import MetricSource, match_line, metric_names, parse_number, parse_source

LOSS = {"stdout": r"Step (?P<step>\d+) \| val_loss: (?P<val_loss>\S+)"}


def test_a_pattern_reads_step_and_metrics_anywhere_in_a_line() -> None:
    """Named groups are metrics, `step` is the step, whatever stands before and after."""
    source = parse_source(LOSS)
    reading = match_line(source, "[rank0]: Step 120 | val_loss: 3.25, lr 1e-4")

    assert reading is not None
    assert (reading.step, reading.values, reading.ignored) == (120, {"val_loss": 3.25}, ())
    assert metric_names(source) == ("val_loss",)
    assert match_line(source, "Epoch 1 done") is None


def test_colours_are_no_part_of_a_value() -> None:
    """Terminal escapes inside a match are removed first."""
    reading = match_line(parse_source(LOSS), "\x1b[1mStep \x1b[32m7\x1b[0m | val_loss: \x1b[31m0.5\x1b[0m")

    assert reading is not None
    assert (reading.step, dict(reading.values)) == (7, {"val_loss": 0.5})


def test_without_a_step_group_the_caller_counts() -> None:
    """The step is None, not zero."""
    reading = match_line(parse_source({"stdout": r"loss=(?P<loss>\S+)"}), "loss=2")

    assert reading is not None
    assert reading.step is None


def test_an_optional_group_that_did_not_match_is_absent() -> None:
    """Missing never becomes zero or NaN."""
    source = parse_source({"stdout": r"loss=(?P<loss>\S+)(?: acc=(?P<acc>\S+))?"})
    reading = match_line(source, "loss=2")

    assert reading is not None
    assert dict(reading.values) == {"loss": 2.0}


def test_what_is_no_number_is_left_out_with_the_reason() -> None:
    """A match that cannot be read is told, the rest of the line still counts; a broken step voids the line."""
    source = parse_source({"stdout": r"s=(?P<step>\S+) loss=(?P<loss>\S+) acc=(?P<acc>\S+)"})
    reading, voided = match_line(source, "s=1 loss=oops acc=0.5"), match_line(source, "s=1.5 loss=1 acc=0.5")

    assert reading is not None
    assert (dict(reading.values), reading.ignored) == ({"acc": 0.5}, ("loss: 'oops' is not a number",))
    assert voided is not None
    assert (dict(voided.values), voided.ignored) == ({}, ("step: '1.5' is not an integer",))


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1e-3", 1e-3),
        ("-.5", -0.5),
        ("+7", 7.0),
        ("inf", math.inf),
        ("-Infinity", -math.inf),
        ("3.2,", 3.2),
        ("3.2)", 3.2),
        ("0.5;", 0.5),
        ("1,234.5", 1234.5),
        ("1,234,567", 1234567.0),
        ("1,234", None),
        ("0,5", None),
        ("12%", None),
        ("3ms", None),
        ("1_000", None),
        ("", None),
        ("tensor(0.5)", None),
        ("0x10", None),
        ("1.2.3", None),
    ],
)
def test_numbers_as_programs_print_them(text: str, number: float | None) -> None:
    """One meaning or none: what could be two different numbers is not read."""
    assert parse_number(text) == number


@pytest.mark.parametrize("text", ["nan", "NaN", "-nan"])
def test_nan_is_a_number(text: str) -> None:
    """A diverged run is seen, not skipped."""
    number = parse_number(text)

    assert number is not None
    assert math.isnan(number)


@given(st.floats(allow_nan=False))
def test_every_float_survives_printing(value: float) -> None:
    """What Python prints is read back exactly."""
    assert parse_number(str(value)) == value
    assert parse_number(repr(value) + ",") == value


def test_json_lines_are_read_by_their_step_key() -> None:
    """Numbers are metrics, inner objects joined by a slash, texts and lines without the key are not."""
    source = parse_source({"json": "iteration"})
    line = '{"iteration": 5, "loss": 0.5, "note": "x", "eval": {"acc": 1}, "bad": "nan", "none": null, "worse": NaN}'
    reading = match_line(source, line)

    assert reading is not None
    assert reading.step == 5
    diverged = {name for name, value in reading.values.items() if math.isnan(value)}
    assert diverged == {"bad", "worse"}
    assert {name: reading.values[name] for name in reading.values.keys() - diverged} == {"loss": 0.5, "eval/acc": 1.0}
    assert metric_names(source) is None


@pytest.mark.parametrize(
    "line",
    ["", "loss 3", "{", "[1]", '{"loss": 1}', '"step"', "{'step': 1}", "[" * 100_000, '{"a":' * 100_000],
)
def test_lines_that_are_no_json_metrics_say_nothing(line: str) -> None:
    """Anything a program may print is skipped quietly."""
    assert match_line(parse_source({"json": "step"}), line) is None


@pytest.mark.parametrize("step", ["1.5", '"x"', "null", "NaN", "1e300", "[1]"])
def test_a_json_step_that_is_no_integer_voids_the_line(step: str) -> None:
    """The reason is told; no row is invented."""
    reading = match_line(parse_source({"json": ""}), f'{{"step": {step}, "loss": 1}}')

    assert reading is not None
    assert not reading.values
    assert "step is not an integer" in reading.ignored[0]


@given(st.text(), st.sampled_from([LOSS, {"json": "step"}, {"stdout": "(?P<a>.*)"}]))
def test_no_line_raises(line: str, source: dict[str, str]) -> None:
    """Whatever is printed, reading it is safe."""
    match_line(parse_source(source), line)


def test_the_sources_kept_in_a_spec_are_understood() -> None:
    """Mapping as written, pair as kept, nothing at all: the program writes metrics.h5 itself."""
    assert parse_source(("stdout", LOSS["stdout"])) == parse_source(LOSS)
    assert parse_source(None) == parse_source(("hdf5", "")) == MetricSource("hdf5")
    assert match_line(MetricSource("hdf5"), "Step 1 | val_loss: 2") is None


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"stdout": "Step (?P<step>\\d+"}, "missing \\), unterminated subpattern at character 6: Step ▶\\(\\?P<step>"),
        ({"stdout": "(?P<step>\\d+)"}, r"names no metric: write \(\?P<loss>\\S\+\)"),
        ({"stdout": "loss: (.*)"}, "names no metric"),
        ({"stdout": ""}, "needs a regular expression with named groups"),
        ({"stdout": 5}, "needs a regular expression with named groups"),
        ({"stdot": "x"}, "has no kind 'stdot'; did you mean 'stdout'"),
        (
            {"stdout": "x", "json": "y"},
            "exactly one of stdout, json, csv, json_file, tensorboard, wandb; it has 2",
        ),
        ({}, "it has 0 entries"),
    ],
)
def test_what_cannot_be_a_source_is_refused_in_words(source: dict[str, str], message: str) -> None:
    """The message shows the place, or what would be right."""
    with pytest.raises(InputError, match=message):
        parse_source(source)


@pytest.mark.parametrize(
    "pattern", [r"(?P<a>(?:\w+)*)x", r"(?P<a>\S+\s*)+x", r"(?:(a|b+)*)(?P<a>\d)", r"(?P<a>(.*?)+)$"]
)
def test_patterns_that_could_take_for_ever_are_refused(pattern: str) -> None:
    """A repetition of a repetition costs 2^length; it is refused where the experiment is read, not met at run time."""
    with pytest.raises(InputError, match="repeats a repetition"):
        parse_source({"stdout": pattern})


@pytest.mark.parametrize("pattern", [r"(?:\d+,)*(?P<a>\d+)", r"(?:\[\w+\]\s)*loss=(?P<a>\S+)", r"(?:x*){3}(?P<a>\d)"])
def test_repetitions_with_something_fixed_between_are_fine(pattern: str) -> None:
    """Usual patterns are not refused."""
    assert metric_names(parse_source({"stdout": pattern})) == ("a",)


def test_a_slow_pattern_on_an_endless_line_is_bounded() -> None:
    """A megabyte in one line costs what 1024 characters cost."""
    source = parse_source({"stdout": r".*loss.*=(?P<a>\d+)"})
    started = time.perf_counter()
    match_line(source, "loss" * 250_000)

    assert time.perf_counter() - started < 5
