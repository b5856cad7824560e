"""Parameters that only some tasks have: what is then the same is one task, and the command loses their words."""

from dataclasses import replace

import pytest

from hpc.adapters.yaml_file import parse_yaml
from hpc.core.experiment.grid import expand
from hpc.core.experiment.program import Program
from hpc.core.launch.program import program_argv
from hpc.experiments.schema import experiment_from

OPTIMISERS = """
name: optimisers
type: comparison
program: {command: "t --optimizer {optimizer} --momentum {momentum} beta={betas} --nesterov {seed}"}
sweep:
  grid: {optimizer: [sgd, adam], momentum: [0, 0.9], betas: [[0.9, 0.95], [0.9, 0.99]], seedless: [1]}
  where: "momentum < 0.5 or optimizer == 'sgd'"
  when: {momentum: optimizer == 'sgd', betas: optimizer == 'adam'}
  seeds: 0-1
baseline: {optimizer: sgd, momentum: 0}
metrics: {primary: {name: loss}, source: {stdout: 'loss=(?P<loss>.*)'}}
"""
TEXT = OPTIMISERS.replace(", seedless: [1]", "")


def test_combinations_that_are_the_same_are_one() -> None:
    """Two momenta for SGD and two pairs of betas for Adam are four configurations, not eight; names say none."""
    spec = experiment_from(parse_yaml(TEXT, "x.yaml"))
    tasks = expand(spec)
    again = experiment_from(replace(parse_yaml(TEXT, "manifest"), data=spec.raw))

    assert [task.parameters for task in tasks if task.seed == 0] == [
        {"optimizer": "sgd", "momentum": 0}, {"optimizer": "sgd", "momentum": 0.9},
        {"optimizer": "adam", "betas": [0.9, 0.95]}, {"optimizer": "adam", "betas": [0.9, 0.99]},
    ]  # fmt: skip
    assert len({task.task_id for task in tasks}) == len({task.run_name for task in tasks}) == 8
    assert tasks[0].run_name == "optimizersgd_momentum0_betasnone_S0"
    assert expand(again) == tasks


@pytest.mark.parametrize(("command", "words"), [
    ("--a {a} {b}", ("1",)), ("x --a {a} {b}", ("x", "1")), ("--b {b} a={a} c", ("--b", "1", "c")), ("{a} {b}", ("1",)),
    ("pos {a} {b}", ("pos", "1")), ("--x=1 {a} {b}", ("--x=1", "1")), ("-a {a:.1f} {b}", ("1",)),
    ("--a {a:flag} {b}", ("1",)), ("--a {a}-{b} {b}", ("--a", "1")), ("-- {a} {b}", ("--", "1")),
])  # fmt: skip
def test_a_command_loses_the_words_of_what_is_absent(command: str, words: tuple[str, ...]) -> None:
    """The word, and the option whose value it alone is; everything else stays."""
    program = Program(command=f"t {command}", optional=("a",))

    assert program_argv(program, {"b": 1})[1:] == words
    assert len(program_argv(program, {"a": 1.0 if "flag" not in command else True, "b": 1})) > len(words)


AXES = """
name: axes
type: comparison
program: {command: "t {n_layers} {path} {lr} {wide} {seed}"}
sweep:
  axes:
    model: [{id: small, n_layers: 2, wide: false}, {id: large, n_layers: 32, wide: true}]
    data: [{id: wiki, path: /d/w}, {id: code, path: /d/c}]
  grid: {lr: [1, 2]}
  where: "case != 'large+code'"
baseline: {case: small+wiki}
metrics: {primary: {name: loss}, source: {stdout: 'loss=(?P<loss>.*)'}}
"""


def test_axes_of_cases_are_crossed() -> None:
    """One case of each axis, named by both; the manifest holds the cases themselves."""
    spec = experiment_from(parse_yaml(AXES, "x.yaml"))
    tasks = expand(spec)

    assert list(dict.fromkeys(task.case for task in tasks)) == ["small+wiki", "small+code", "large+wiki"]
    assert tasks[-1].parameters == {"n_layers": 32, "wide": True, "path": "/d/w", "lr": 2}
    assert tasks[0].run_name == "small+wiki_lr1_S42"
    assert [case["id"] for case in spec.raw["sweep"]["cases"]] == [
        "small+wiki",
        "small+code",
        "large+wiki",
        "large+code",
    ]
    assert expand(experiment_from(replace(parse_yaml(AXES, "manifest"), data=spec.raw))) == tasks
