"""Which arguments a program takes, read from its source in the ways people write them."""

from pathlib import Path, PurePath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.core.program.arguments import (
    Argument,
    from_help,
    from_mapping,
    read_interface,
)
from hpc.core.program.source import does_something, imported_paths, module_of, starts_only_as_module

PROGRAMS = Path(__file__).parents[2] / "data/programs"

ARGPARSE = """
import argparse
p = argparse.ArgumentParser()
p.add_argument("data")
p.add_argument("-b", "--batch-size", default=32, type=int)
p.add_argument("--lr", "--learning-rate", type=float, default=-1e-3)
p.add_argument("--name", required=True)
p.add_argument("--amp", action=argparse.BooleanOptionalAction)
p.add_argument("--out", default=make())
p.add_argument("--lr", type=float, default=0.5)
"""
CLICK = """
import click
@click.command()
@click.option("--lr", default=0.1, type=float)
@click.option("--amp/--no-amp", default=False)
@click.option("-e", "--epochs", type=int, required=True)
@click.argument("data")
def main(lr, amp, epochs, data): ...
"""
TYPER = """
import typer
def main(data: str, lr: float = 0.1, batch_size: int = typer.Option(8), name: str = typer.Option(...)): ...
typer.run(main)
"""
FIRE = """
import fire
def helper(x=1): ...
def train(data, lr=0.1, *, batch_size: int = 8): ...
fire.Fire(train)
"""
ABSL = """
from absl import flags
flags.DEFINE_float("lr", 0.1, "rate")
flags.DEFINE_integer("steps", 100, "steps")
flags.DEFINE_string("out", None, "folder")
flags.DEFINE_string("data", None, "folder", required=True)
config_flags.DEFINE_config_file("config")
flags.mark_flags_as_required(["config", "out"])
"""
NODES = """
class Chars:
    @staticmethod
    def get_default_config():
        C = CN()
        C.block_size = 128
        return C
    def __init__(self): self.size = 7
def get_config():
    C = CN()
    C.system = CN()
    C.system.work_dir = "./out"
    C.data = Chars.get_default_config()
    C.model = GPT.get_default_config()
    C.trainer.learning_rate = 5e-4
    C.trainer.steps = steps()
    return C
config = get_config()
config.merge_from_args(sys.argv[1:])
"""
OMEGACONF = """
from omegaconf import OmegaConf
cfg = OmegaConf.merge(OmegaConf.create({"optimizer": {"lr": 0.1}, "seed": 1}), OmegaConf.from_cli())
"""

TYRO = """
import tyro
from dataclasses import dataclass, field
@dataclass
class Optim:
    lr: float = 0.1
    betas: tuple = (0.9, 0.99)
@dataclass
class Args:
    data: str
    optim: Optim = field(default_factory=Optim)
    seed: int = 1
    cuda: bool = True
if __name__ == "__main__":
    args = tyro.cli(Args)
"""
TYRO_FUNCTION = "import tyro\ndef main(lr: float = 0.1, *, seed: int = 1): ...\ntyro.cli(main)\n"
PYRALLIS = """
import pyrallis
class Config:
    lr: float = 0.1
@pyrallis.wrap()
def main(cfg: Config): ...
"""
DICTIONARY = """
import argparse
from pkg.util import add_dict_to_argparser, defaults_of_the_model
def create_argparser():
    defaults = dict(data_dir="", lr=1e-4, fp16=False)
    defaults.update(defaults_of_the_model())
    parser = argparse.ArgumentParser()
    add_dict_to_argparser(parser, defaults)
    return parser
"""


@pytest.mark.parametrize(
    ("source", "style", "arguments"),
    [
        (
            TYRO,
            "dataclass",
            [
                Argument("data", "--data", "str", None, required=True),
                Argument("optim.lr", "--optim.lr", "float", 0.1),
                Argument("optim.betas", "--optim.betas"),
                Argument("seed", "--seed", "int", 1),
                Argument("cuda", "--cuda", "bool", default=True),
            ],
        ),
        (
            TYRO_FUNCTION,
            "dataclass",
            [Argument("lr", "--lr", "float", 0.1), Argument("seed", "--seed", "int", 1)],
        ),
        (PYRALLIS, "dataclass", [Argument("lr", "--lr", "float", 0.1)]),
        (
            DICTIONARY,
            "argparse",
            [
                Argument("data_dir", "--data_dir", "str", ""),
                Argument("lr", "--lr", "float", 1e-4),
                Argument("fp16", "--fp16", "bool", default=False),
            ],
        ),
        (
            ARGPARSE,
            "argparse",
            [
                Argument("data", "", "", None, required=True),
                Argument("batch_size", "--batch-size", "int", 32),
                Argument("lr", "--lr", "float", 0.5),
                Argument("name", "--name", "", None, required=True),
                Argument("amp", "--amp", "bool"),
                Argument("out", "--out"),
            ],
        ),
        (
            CLICK,
            "click",
            [
                Argument("lr", "--lr", "float", 0.1),
                Argument("amp", "--amp", "bool", default=False),
                Argument("epochs", "--epochs", "int", None, required=True),
                Argument("data", "", "", None, required=True),
            ],
        ),
        (
            TYPER,
            "typer",
            [
                Argument("data", "", "str", None, required=True),
                Argument("lr", "--lr", "float", 0.1),
                Argument("batch_size", "--batch-size", "int", 8),
                Argument("name", "--name", "str", None, required=True),
            ],
        ),
        (
            FIRE,
            "fire",
            [
                Argument("data", "", "", None, required=True),
                Argument("lr", "--lr=", "float", 0.1),
                Argument("batch_size", "--batch_size=", "int", 8),
            ],
        ),
        (
            ABSL,
            "absl",
            [
                Argument("lr", "--lr=", "float", 0.1),
                Argument("steps", "--steps=", "int", 100),
                Argument("out", "--out=", "str", None, required=True),
                Argument("data", "--data=", "str", None, required=True),
                Argument("config", "--config=", "str", None, required=True),
            ],
        ),
        (
            OMEGACONF,
            "omegaconf",
            [Argument("optimizer.lr", "optimizer.lr=", "float", 0.1), Argument("seed", "seed=", "int", 1)],
        ),
        (
            NODES,
            "nodes",
            [
                Argument("system.work_dir", "--system.work_dir=", "str", "./out"),
                Argument("data.block_size", "--data.block_size=", "int", 128),
                Argument("trainer.learning_rate", "--trainer.learning_rate=", "float", 5e-4),
            ],
        ),
    ],
    ids=[
        "tyro",
        "tyro_function",
        "pyrallis",
        "dictionary",
        "argparse",
        "click",
        "typer",
        "fire",
        "absl",
        "omegaconf",
        "nodes",
    ],
)
def test_each_way_of_declaring_arguments_is_read(source: str, style: str, arguments: list[Argument]) -> None:
    """Name, how it is given, type, default and whether it must be given; what is computed has no default."""
    found = read_interface(source)

    assert found.style == style
    assert list(found.arguments) == arguments


@pytest.mark.parametrize(
    ("program", "style", "given"),
    [
        ("like_nanogpt", "configurator", "--learning_rate=0.1"),
        ("like_mnist", "argparse", "--lr 0.1"),
        ("like_run_clm", "huggingface", "--learning_rate 0.1"),
    ],
)
def test_programs_as_the_world_writes_them(program: str, style: str, given: str) -> None:
    """Their learning rate is found, and given as they want to see it."""
    found = read_interface((PROGRAMS / f"{program}.py").read_text())

    assert found.style == style
    assert given in [each.given("0.1") for each in found.arguments]


def test_hydra_names_its_configuration() -> None:
    """The arguments stand in a YAML file; the source says which."""
    assert read_interface((PROGRAMS / "like_hydra.py").read_text()).config == ("conf", "config")


def test_values_of_a_configuration_are_arguments() -> None:
    """Dotted, and those without a value are required; lists and hydra's own keys are left out."""
    values = {"defaults": ["a"], "optimizer": {"lr": 0.1, "betas": [0.9, 0.99]}, "data": "???", "hydra": {"x": 1}}

    assert list(from_mapping(values)) == [
        Argument("optimizer.lr", "optimizer.lr=", "float", 0.1),
        Argument("data", "data=", "", None, required=True),
        Argument("hydra.x", "hydra.x=", "int", 1),
    ]


@pytest.mark.parametrize("source", ["", "def f(:", "print(1)", "\0", "(" * 10_000, "import fire\nfire.Fire()\n"])
def test_what_says_nothing_gives_nothing(source: str) -> None:
    """No Python, and Python without arguments, are no error."""
    assert read_interface(source).arguments == ()


def test_help_is_read() -> None:
    """What argparse and click print: switches, values, defaults."""
    text = """usage: train.py [-h] [--lr LR] [--amp] data

options:
  -h, --help            show this help message and exit
  --lr LR               the rate (default: 0.1)
  -b N, --batch-size N  samples
  --amp                 mixed precision
  --rate FLOAT  click's  [default: 3]
"""
    found = from_help(text)

    assert found.arguments == (
        Argument("lr", "--lr", "float", 0.1),
        Argument("batch_size", "--batch-size"),
        Argument("amp", "--amp", "bool"),
        Argument("rate", "--rate", "int", 3),
    )
    assert from_help("Traceback").style == ""


@pytest.mark.parametrize(
    ("source", "answer"),
    [
        ("from .model import f", True),
        ("import os\nfrom .. import f\nmain()", True),
        ("from model import f", False),
        ("try:\n    from .model import f\nexcept ImportError:\n    from model import f", False),
        ("if __package__:\n    from .model import f", False),
        ("__package__ = 'pkg'\nfrom .model import f", False),
        ("def main():\n    from .model import f", False),
        ("from . import", False),
    ],
)
def test_what_imports_by_dots_starts_only_as_a_module(source: str, answer: bool) -> None:
    """Python refuses it for a script, whatever the folder is called."""
    assert starts_only_as_module(source) is answer


@pytest.mark.parametrize(
    "source",
    [
        "import logging\nimport torch\nlog = logging.getLogger()\nPoint = namedtuple('Point', 'x y')\n",
        "T = TypeVar('T')\n_DEVICE = torch.device('cpu')\nwarnings.filterwarnings('ignore')\nclass Net: ...\n",
        "if TYPE_CHECKING:\n    from a import b\ntry:\n    import x\nexcept ImportError:\n    x = None\n",
        "torch.manual_seed(1)\nsys.path.append('..')\nrun = partial(print, 'a')\ndef main(): train()\n",
    ],
)
def test_a_module_that_defines_and_sets_does_nothing(source: str) -> None:
    """Libraries name, check and set while they are imported; with one line more each is a program."""
    assert not does_something(source)
    for more in ("main()", "if __name__ == '__main__':\n    main()", "for x in y: f(x)", "model = Net()", "f.fit(x)"):
        assert does_something(f"{source}\n{more}\n")
    assert does_something("def (")


@given(
    st.integers(0, 4),
    st.lists(st.sampled_from(["a", "b", "__init__"]), max_size=3),
    st.lists(st.sampled_from(["*", "c as d", "e", "f, g"]), min_size=1, max_size=1),
)
def test_any_import_is_a_path_that_could_be_a_file(level: int, parts: list[str], names: list[str]) -> None:
    """``from . import x`` names x; nothing, such as the folder itself, is no file."""
    found = imported_paths(f"from {'.' * level}{'.'.join(parts) or ('' if level else 'a')} import {names[0]}\n")
    assert found
    assert all(path.with_suffix(".py").name not in ("", ".py", "...py") for path in found)


@pytest.mark.parametrize(
    ("file", "module"),
    [("pkg/train.py", "pkg.train"), ("src/pkg/sub/train.py", "pkg.sub.train"), ("src/train.py", "src.train")],
)
def test_a_file_as_a_module(file: str, module: str) -> None:
    """Below `src` lies what is imported."""
    assert module_of(PurePath(file)) == module
