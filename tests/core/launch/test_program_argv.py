"""A program gets its values as they are: no value adds a word, and none reaches a shell unquoted."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hpc.core.experiment.program import Program
from hpc.core.launch.program import command_names, command_problems, program_argv, script_positions, split_command

ROOT = Path(__file__).parents[3]
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
HOSTILE = [
    "$(touch x)",
    "`touch x`",
    "a'; touch x; '",
    'a"; touch x; "',
    "a b",
    "",
    "*",
    "~",
    "-n",
    "\\",
    "'",
    '"',
    "a\nb",
    "${HOME}",
    "{seed}",
]


def module(**values):
    """Return the argument list of a module."""
    return program_argv(Program(module="train.control"), values)


def command(text, **values):
    """Return the argument list of a command."""
    return program_argv(Program(command=text), values)


def test_a_module_gets_every_value_as_an_option():
    """Each value becomes `--name value`; true/false in lower case, floats in full, lists as JSON, null left out."""
    assert module(system="pendulum",
    lora_rank=8, learning_rate=1e-4, small=1e-5, bf16=True, resume=None, layers=[1, 2]) == (
        "python", "-m", "train.control", "--system", "pendulum", "--lora_rank", "8", "--learning_rate", "0.0001",
        "--small", "1e-05", "--bf16", "true", "--layers", "[1,2]",
    )  # fmt: skip


def test_a_value_that_looks_like_an_option_stays_a_value():
    """argparse would read `-1e-05` and `-n` as options, so they are attached with an equals sign."""
    assert module(shift=-1e-05, name="-n")[3:] == ("--shift=-1e-05", "--name=-n")


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.booleans())
def test_numbers_arrive_exactly(value):
    """The text of a number reads back as the very same number."""
    text = module(x=value)[-1].removeprefix("--x=")

    assert json.loads(text) == value


@given(value=TEXT)
@example("a b")
@example("$(touch x)")
def test_no_value_adds_a_word_to_a_command(value):
    """A command has as many words as its author wrote, whatever the values are, and the value arrives as it is."""
    assert command("python train.py --prompt {prompt} --out={prompt}/x 'a {prompt}'", prompt=value) == (
        "python", "train.py", "--prompt", value, f"--out={value}/x", f"a {value}",
    )  # fmt: skip


@given(value=TEXT)
@settings(max_examples=25, deadline=None)
@example("$(touch x)")
@example("a'; exit 3; '")
@example("\n# x")
def test_a_shell_script_sees_each_value_as_one_word(value):
    """Run by a real shell, a value in `sh -c` comes out as it went in: nothing is expanded, nothing executed."""
    argv = command("sh -c 'printf %s {prompt}'", prompt=value)

    done = subprocess.run(argv, capture_output=True, check=True)

    assert done.stdout == value.encode()
    assert done.stderr == b""


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("shell", ["bash -c", "bash -o pipefail -ec", "env A=1 /bin/sh -euc", "bash --norc -c"])
def test_hostile_values_are_harmless_in_every_spelling_of_a_shell(shell, value, tmp_path):
    """However the shell is called, hostile values are printed and touch nothing."""
    argv = command(shell + " 'printf %s:%s {a} x{b}'", a=value, b=value)

    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, check=True)

    assert done.stdout == f"{value}:x{value}".encode()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("text", "found"), [
    ("bash -c 'x' y", {2}), ("bash -lc x", {2}), ("/usr/bin/zsh -e -c x", {3}), ("bash -o pipefail -c x", {4}),
    ("bash -eo pipefail -c x", {4}), ("bash script.sh -c x", set()), ("python -c x", set()), ("bash -c", set()),
    ("env A=1 sh -c x", {4}), ("srun bash -c x", {3}), ("bash --rcfile f -c x", {4}), ("bash +e -c x", {3}),
    ("sh -c x sh -c y", {2, 5}),
])  # fmt: skip
def test_the_script_of_a_shell_is_found(text, found):
    """Options before the script are passed over, those with a value too; scripts in files have none."""
    assert script_positions(split_command(text)) == found


@pytest.mark.parametrize(("text", "part"), [
    ("""bash -c 'python t.py "{x}"'""", "inside quotes"),
    ("""bash -c "python t.py '{x}'" """, "inside quotes"),
    (r"bash -c 'python t.py \{x}'", "inside quotes"),
    (r"""bash -c 'echo "\" {x}"'""", "inside quotes"),
    ("""bash -c "echo # it's\n echo '{x}'" """, "inside quotes"),
    ("bash -c 'echo `echo {x}`'", "backticks"),
    ("bash -c 'cat <<E\n{x}\nE'", "here-document"),
    ("bash -c 'echo $(( {x} + 1 ))'", "arithmetic"),
    ("python t.py {x} && echo done", "no shell reads it"),
    ("python t.py {x} > log", "no shell reads it"),
    ("cd a; python t.py {x}", "no shell reads it"),
    ("A=1 python t.py {x}", "into environment:, or write env before A=…"),
    ("python $HOME/t.py {x}", "no shell expands"),
    ("python $(which t.py) {x}", "no shell expands"),
])  # fmt: skip
def test_commands_that_would_not_do_what_they_seem_to_are_refused(text, part):
    """Quoted placeholders in scripts, and shell syntax where no shell is, are found when the experiment is planned."""
    assert any(part in message for message in command_problems(text))


@pytest.mark.parametrize("text", [
    "python t.py --x {x}", "bash -c 'source env.sh && python t.py {x} > log'", "bash -c 'echo \"$HOME\" {x}'",
    "bash -c \"echo 'fine' {x} # don't\"", "torchrun --nproc_per_node=2 t.py {x} --cost '$5'",
    "bash -c 'echo $(date) {x}'", "env A=1 python t.py {x}", "python t.py lr={x}",
    "bash -c 'echo `date`'", r"""bash -c 'echo "\\" {x}'""",
])  # fmt: skip
def test_ordinary_commands_are_not_complained_about(text):
    """Commands and scripts that work are left alone."""
    assert list(command_problems(text)) == []


def test_braces_are_written_twice():
    """A literal brace survives, for shells and JSON."""
    assert command("""bash -c 'echo ${{HOME}} {x}' '{{"a": 1}}'""", x=1) == ("bash", "-c", "echo ${HOME} 1", '{"a": 1}')


def test_formats_are_python_s():
    """A placeholder may say how its number is written."""
    assert command("t --lr {lr:.0e} --n {n:04d}", lr=1e-4, n=7) == ("t", "--lr", "1e-04", "--n", "0007")


@pytest.mark.parametrize("text", [
    "t {a.__class__}", "t {a[0]}", "t {a!r}", "t {}", "t {0}", "t {a:{b}}", "t {a:>999999999}", "t {a", "t a}",
    "t {a b}",
    "t {a:1.999999f}", "", "   ", "t 'a",
])  # fmt: skip
def test_malformed_commands_are_refused(text):
    """Attributes, indices, conversions, giant widths, single braces, open quotes: each is a ValueError when read."""
    with pytest.raises(ValueError, match=r"holds '|single|no word|cannot be split"):
        command_names(text)


def test_a_format_that_does_not_fit_is_named():
    """Formatting text as a number says which placeholder and which value."""
    with pytest.raises(ValueError, match=r"the format in \{a:\.2f\} does not fit the value 'x'"):
        command("t {a:.2f}", a="x")


def test_placeholders_are_listed_in_order_once():
    """The names a command needs are known without values."""
    assert command_names("t {b} {a} bash -c 'x {b} {c}'") == ("b", "a", "c")


def test_the_wrapper_can_build_commands_with_the_standard_library_alone():
    """Building an argument list imports nothing that a compute node's bare Python lacks."""
    # -S leaves installed packages out, so an import of one would fail.
    done = subprocess.run(
        [sys.executable, "-S", "-c", "import hpc.core.launch.program"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
