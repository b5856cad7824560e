"""What `plan` says of a design: a few lines, all of it on request, with a spread that earlier runs have told."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import hpc.plan
from hpc.core.experiment.grid import expand
from hpc.core.layout import RunLayout
from hpc.experiments.advising import Advice, advise, describe_advice, describe_all
from hpc.experiments.detecting import find_detectable
from hpc.experiments.schema import load_experiment

ROOT = Path(__file__).parents[3]
EXPERIMENT = """\
name: ranks
type: hyperparameter_sweep
program: {command: "python3 train.py --rank {rank} --rate {rate} --seed {seed}"}
sweep: {grid: {rank: [4, 8, 16, 32], rate: [1e-4, 2e-4, 5e-4]}, seeds: [1, 2, 3]}
baseline: {rank: 8, rate: 2e-4}
metrics:
  primary: {name: loss, goal: min, meaningful: 5%}
  source: {stdout: 'loss: (?P<loss>\\S+)'}
resources: {cpus: 1, mem: 500MB, time: "0:10:00"}
"""


def advice_on(folder: Path, text: str = EXPERIMENT) -> Advice:
    """Advice on an experiment that is written into a folder."""
    file = folder / "ranks.yaml"
    file.write_text(text)
    spec = load_experiment(file)
    tasks = expand(spec)
    return advise(spec, tasks, find_detectable(RunLayout(folder / "runs", spec.name), spec, tasks))


def collect_sibling(
    folder: Path, program: str = "python3 train.py --rank {rank} --seed {seed}", name: str = "older"
) -> None:
    """Leave the results of an earlier experiment: two configurations of three seeds, spread 0.01 around 1."""
    layout = RunLayout(folder / "runs", name)
    layout.collected.mkdir(parents=True)
    spec = {"program": {"command": program}, "metrics": {"primary": {"name": "loss"}}}
    layout.manifest.write_text(json.dumps({"spec": spec}))
    tasks = [
        {"parameters": {"rank": rank}, "case": None, "outcome": "finished", "altered": False, "summary": {"loss": loss}}
        for rank, losses in ((4, (0.99, 1.0, 1.01)), (8, (0.89, 0.9, 0.91)))
        for loss in losses
    ]
    layout.verdicts.write_text(json.dumps({"tasks": tasks}))


def test_what_the_baseline_leaves_open_is_said_to_be_kept_apart(tmp_path: Path) -> None:
    """A text that the baseline does not name is no factor: its values are not compared, which nobody guesses."""
    text = EXPERIMENT.replace("rate: [1e-4, 2e-4, 5e-4]", "rate: [1e-4, 2e-4], kind: [mlp, rnn]")
    text = text.replace("--rate", "--kind {kind} --rate")
    told = "the baseline leaves kind open: each value of kind has a baseline of its own, and loss is not compared"
    assert any(told in line for line in describe_advice(advice_on(tmp_path, text)))
    named = text.replace("baseline: {", "baseline: {kind: mlp, ")
    for other in (named, text.replace("type: hyperparameter_sweep", "type: cross_system")):
        assert not any("leaves" in line for line in describe_advice(advice_on(tmp_path, other)))


def test_a_paragraph_no_page(tmp_path: Path) -> None:
    """Size, what can be told, what costs less, and for which spread the seeds suffice."""
    size, told, cheaper, worth = describe_advice(advice_on(tmp_path))

    assert size == "design: 4 rank × 3 rate = 12 configurations × 3 seeds = 36 runs; 24 repeats for the spread"
    assert told == "estimable: the effect of rank, rate; how they act together"
    assert cheaper == (
        "cheaper, to explore (runs): one at a time 18, Sobol 24, successive halving 11; "
        "--advice says what each gives up"
    )
    assert worth.startswith("worth having is 5 %: 3 seeds find it where seeds alone spread by at most 0.")
    assert "\n".join(["```text", size, told, cheaper, worth, "```"]) in (ROOT / "docs/sweeping.md").read_text()


def test_all_of_it_names_each_design_with_what_it_gives_up(tmp_path: Path) -> None:
    """How many runs, what is lost, how to ask for it, and who described it."""
    lines = describe_all(advice_on(tmp_path))

    for name in ("one at a time", "Sobol", "successive halving"):
        (line,) = [line for line in lines if line.startswith(f"  {name}: ")]
        assert "Does not tell" in line
        assert "How: " in line
        assert line.endswith(")")


@pytest.mark.parametrize(
    ("meaningful", "said"),
    [("20%", "3 seeds would find it, there are 3"), ("3%", "it takes "), ("0.1%", "even 200 seeds would miss it")],
)
def test_seeds_for_what_is_worth_having(tmp_path: Path, meaningful: str, said: str) -> None:
    """From the spread of earlier runs of the same program: enough, so many, or hopeless."""
    collect_sibling(tmp_path)
    advice = advice_on(tmp_path, EXPERIMENT.replace("5%", meaningful))

    assert advice.needs is not None
    assert advice.needs.spread == pytest.approx(0.01 / 0.95, rel=0.01)
    assert said in describe_advice(advice)[-1].replace("2 seeds would", "3 seeds would")


@pytest.mark.parametrize("program", ["python3 other.py --rank {rank} --seed {seed}", "python3 -m train {rank} {seed}"])
def test_another_program_tells_no_spread(tmp_path: Path, program: str) -> None:
    """Only runs of the same program, on the same metric, are siblings; what cannot be read is none."""
    collect_sibling(tmp_path, program)
    broken = RunLayout(tmp_path / "runs", "broken")
    broken.collected.mkdir(parents=True)
    broken.verdicts.write_text("{")
    advice = advice_on(tmp_path)

    assert advice.needs is not None
    assert advice.needs.spread is None


def test_one_configuration_is_one_line(tmp_path: Path) -> None:
    """Nothing varies: no advice on what could be told."""
    text = EXPERIMENT.replace(
        "grid: {rank: [4, 8, 16, 32], rate: [1e-4, 2e-4, 5e-4]}", "grid: {rank: [8], rate: [2e-4]}"
    )

    assert describe_advice(advice_on(tmp_path, text.replace("baseline: {rank: 8, rate: 2e-4}\n", ""))) == (
        "design: one configuration, 3 runs: the spread between seeds, and no comparison",
    )


@pytest.mark.parametrize("path", sorted((ROOT / "manifests/experiments").glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_experiments_get_few_lines(path: Path, tmp_path: Path) -> None:
    """Four at most, none longer than two of a terminal's."""
    spec = load_experiment(path, code=ROOT)
    lines = describe_advice(advise(spec, expand(spec), None))

    assert 1 <= len(lines) <= 4
    assert max(map(len, lines)) <= 160


def test_plan_prints_it_and_json_has_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The paragraph by itself, every design with `--advice`, the whole in `--json`."""
    (tmp_path / "manifests/experiments").mkdir(parents=True)
    (tmp_path / "manifests/experiments/ranks.yaml").write_text(EXPERIMENT)
    (tmp_path / "train.py").write_text("print('loss: 1')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HPC_ROOT", raising=False)

    def plan(*words: str) -> Any:
        done = CliRunner().invoke(hpc.plan.main, ["ranks", "--dry-run", "--cluster", "local", *words])
        assert done.exit_code == 0, done.output
        return done.stdout

    assert "cheaper, to explore (runs): one at a time 18" in plan()
    assert "  one at a time: 6 configurations, 18 runs. Does not tell" in plan("--advice")
    told = json.loads(plan("--json"))["advice"]
    assert (told["configurations"], told["runs"], told["estimable"]["of_pairs"]) == (12, 36, 1)
    assert {one["name"]: one["runs"] for one in told["cheaper"]} == {
        "one at a time": 18, "Sobol": 24, "successive halving": 11
    }  # fmt: skip


def test_no_system_is_dropped_and_none_is_left_out(tmp_path: Path) -> None:
    """Each system is asked of: cheaper designs are counted on every one, and nothing is chosen among them."""
    text = EXPERIMENT.replace("rate: [1e-4, 2e-4, 5e-4]", "system: [pendulum, cart]").replace("{rate}", "{system}")
    advice = advice_on(tmp_path, text.replace("baseline: {rank: 8, rate: 2e-4}", "baseline: {rank: 8}"))

    assert advice.space.systems == 2
    assert {one.name: one.runs for one in advice.cheaper} == {"successive halving": 14}


@pytest.mark.parametrize(
    ("sweep", "size"),
    [
        ("zip: {rank: [1, 2, 3, 4, 5, 6], rate: [6, 5, 4, 3, 2, 1]}", "design: 6 configurations over rank, rate"),
        (
            "grid: {rank: [1, 2], rate: [1, 2]}, where: rank + rate < 4",
            "design: 2 rank × 2 rate = 3 configurations of 4",
        ),
        ("grid: {rank: [1, 2, 3], rate: [1]}", "design: 3 values of rank × 3 seeds = 9 runs; 6 repeats"),
        (
            "cases: [{id: a, rank: 1, rate: 1}, {id: b, rank: 2, rate: 1}]",
            "design: 2 cases × 3 seeds = 6 runs; 4 repeats",
        ),
    ],
)
def test_the_size_of_each_kind_of_sweep(tmp_path: Path, sweep: str, size: str) -> None:
    """A grid by its axes, a part of one by how much could be, drawn points without, cases as cases."""
    text = EXPERIMENT.replace("grid: {rank: [4, 8, 16, 32], rate: [1e-4, 2e-4, 5e-4]}", sweep)

    assert describe_advice(advice_on(tmp_path, text.replace("baseline: {rank: 8, rate: 2e-4}\n", "")))[0].startswith(
        size
    )
