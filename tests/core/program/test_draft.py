"""The first experiment: what is swept, with which values, and that the YAML says so."""

from pathlib import Path

import pytest

from hpc.adapters.yaml_file import parse_yaml
from hpc.core.program.arguments import Argument, Interface, read_interface
from hpc.core.program.draft import Draft, choose_swept, render_draft, values_around
from hpc.core.program.libraries import HUGGING_FACE
from hpc.core.program.naming import Printed
from hpc.core.program.printed import find_printed
from hpc.experiments.schema import experiment_from

PROGRAMS = Path(__file__).parents[2] / "data/programs"
LOSS = Printed("loss", "min", r"loss: (?P<loss>\S+)", 3)


def draft_of(*arguments: Argument, metric: Printed = LOSS) -> Draft:
    """A draft for a program with these arguments."""
    return Draft("first", "python 'my train.py'", Interface("argparse", arguments), metric)


@pytest.mark.parametrize("program", ["like_nanogpt", "like_mnist"])
def test_the_yaml_of_a_real_program_is_a_valid_experiment(program: str) -> None:
    """It passes all checks of `hpc plan` as it stands; the baseline is the program's own default."""
    source = (PROGRAMS / f"{program}.py").read_text()
    draft = Draft("first", "python train.py", read_interface(source), find_printed(source)[0])
    spec = experiment_from(parse_yaml(render_draft(draft, "x.json"), "first.yaml"))

    assert draft.swept is not None
    assert spec.baseline == {draft.swept.name: draft.swept.default}
    assert len(spec.sweep.seeds) == (3 if draft.seed else 1)


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        (Argument("seed", "--seed", "int", 0),),
        (Argument("optimizer.lr", "optimizer.lr=", "float", 0.1), Argument("x.seed", "x.seed=", "int", 1)),
        (Argument("batch_size", "--batch-size", "int", 1), Argument("out_dir", "--out_dir", "str", "it's")),
        (Argument("lr", "", "float", 1.0), Argument("work_dir", "", "str", None, required=True)),
    ],
)
@pytest.mark.parametrize("metric", [LOSS, HUGGING_FACE])
def test_every_draft_is_a_valid_experiment(arguments: tuple[Argument, ...], metric: Printed) -> None:
    """With a seed or without, nothing to sweep, dotted names, folders, positional arguments, quotes in the pattern."""
    experiment_from(parse_yaml(render_draft(draft_of(*arguments, metric=metric), "x.json"), "first.yaml"))


@pytest.mark.parametrize(("style", "is_given"), [("argparse", True), ("nodes", False)])
def test_a_program_that_reads_literals_is_given_no_path(style: str, is_given: bool) -> None:
    """minGPT ends in a SyntaxError over one; its default, which is named, leads into the run's own folder."""
    folder = Argument("system.work_dir", "--system.work_dir=", "str", "./out")
    draft = Draft("first", "python train.py", Interface(style, (folder,)), LOSS)
    text = render_draft(draft, "x.json")
    assert ("--system.work_dir={out_dir}" in text) == is_given
    assert ("--system.work_dir='./out'" in text) != is_given


def test_every_default_is_named_numbers_first() -> None:
    """However many there are, in lines one can read; a switch without its value."""
    numbers = [Argument(f"width_{number}", f"--width_{number}", "int", number) for number in range(1, 41)]
    texts = [
        Argument("amp", "--amp", "bool", default=False),
        Argument("model.kind", "--model.kind=", "str", "it's\n# x"),
    ]
    text = render_draft(draft_of(*texts, Argument("lr", "--lr", "float", 0.1), *numbers), "x.json")
    told = [line for line in text.splitlines() if line.startswith("# ")]
    named = " ".join(line.removeprefix("# ") for line in told)
    assert all(f"--width_{number} {number}," in named for number in range(1, 40))
    assert named.index("--width_40") < named.index("--amp, ") < named.index('--model.kind="it\'s\\n# x"')
    assert max(map(len, told)) <= 120
    experiment_from(parse_yaml(text, "first.yaml"))


def test_what_only_a_person_knows_is_left_open() -> None:
    """A required argument stands in the command as a placeholder without a value: `plan` names it and its line."""
    text = render_draft(draft_of(Argument("data", "--data", "str", None, required=True)), "x.json")

    with pytest.raises(Exception, match=r"there is no value for \{data\}"):
        experiment_from(parse_yaml(text, "first.yaml"))


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["epochs", "batch_size", "lr"], "lr"),
        (["n_layer", "dropout", "optimizer.learning_rate"], "optimizer.learning_rate"),
        (["dropout", "batch_size"], "batch_size"),
        (["gamma", "epochs"], "gamma"),
        (["seed", "log_interval", "num_workers", "max_iters"], None),
    ],
)
def test_a_learning_rate_is_swept_first(names: list[str], chosen: str | None) -> None:
    """Then regularisation and size, then the first number that is no counter; never what only costs time."""
    found = choose_swept([Argument(name, f"--{name}", "float", 0.5) for name in names])

    assert (found.name if found else None) == chosen


@pytest.mark.parametrize(
    ("default", "name", "values"),
    [
        (6e-4, "learning_rate", [2e-4, 6e-4, 2e-3]),
        (1.0, "lr", [0.3, 1.0, 3.0]),
        (64, "batch_size", [32, 64, 128]),
        (1, "batch_size", [1, 2]),
        (0.5, "dropout", [0.2, 0.5]),
        (True, "amp", []),
        ("x", "name", []),
    ],
)
def test_values_lie_around_the_default(default: float | str, name: str, values: list[float]) -> None:
    """Rates by a factor of three, counts by two; a share never leaves 0 to 1."""
    assert values_around(default, name) == pytest.approx(values)


@pytest.mark.parametrize(
    ("names", "seed"),
    [
        (["data_seed", "seed"], "seed"),
        (["global_seed"], "global_seed"),
        (["manualSeed"], "manualSeed"),
        (["trainer.random_seed", "split_seed"], "trainer.random_seed"),
        (["seeds", "seed_everything_twice", "data_seed", "env_seed"], None),
    ],
)
def test_the_seed_is_that_of_the_whole_program(names: list[str], seed: str | None) -> None:
    """However it is called; the seed of a part is none."""
    found = draft_of(*(Argument(name, f"--{name}", "int", 0) for name in names)).seed
    assert (found.name if found else None) == seed
