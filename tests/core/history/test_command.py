"""Training commands as people type them: program, parameters, launcher, variables."""

import shlex

import pytest

from hpc.core.errors import InputError
from hpc.core.history.command import parse_command, same_value, value_key

COMMANDS = {
    "torchrun --standalone --nproc_per_node=8 -m scripts.base_train -- --depth=24 --run=baseline": (
        "scripts.base_train", {"depth": "24", "run": "baseline"}, "torchrun"
    ),
    "torchrun --nproc_per_node 2 t.py --cfg c.py": ("t.py", {"cfg": "c.py"}, "torchrun"),
    "python -m torch.distributed.run --nproc-per-node=4 train.py --a -1 --b -1e-3": (
        "train.py", {"a": "-1", "b": "-1e-3"}, "torchrun"
    ),
    "accelerate launch --multi_gpu --num_processes 4 train.py --lr=1e-4 --batch-size 8 --fp16": (
        "train.py", {"lr": "1e-4", "batch_size": "8", "fp16": "true"}, "accelerate"
    ),
    "accelerate launch -m pkg.train --lr 1": ("pkg.train", {"lr": "1"}, "accelerate"),
    "X=1 Y='a b' python -u train.py optimizer.lr=1e-3 +trainer.max_steps=100 ++m.x='' model=gpt": (
        "train.py", {"optimizer.lr": "1e-3", "trainer.max_steps": "100", "m.x": "", "model": "gpt"}, ""
    ),
    "srun -N1 -n 4 --gres=gpu:1 -u python train.py --layers 1 2 3 --name x": (
        "train.py", {"layers": "1 2 3", "name": "x"}, "srun"
    ),
    "mpirun -np 4 --bind-to none -x FOO python3.11 t.py -lr .1": ("t.py", {"lr": ".1"}, "mpirun"),
    "uv run --with torch train.py --x 1": ("train.py", {"x": "1"}, ""),
    "apptainer exec --nv img.sif python t.py --lr 0.1": ("t.py", {"lr": "0.1"}, ""),
    "bash -c 'cd x && python t.py --a 1 > log 2>&1'": ("t.py", {"a": "1"}, ""),
    "./train.sh --a b": ("./train.sh", {"a": "b"}, ""),
    "timeout 5h nohup python t.py --a 1 --a 2": ("t.py", {"a": "2"}, ""),
    "python -W ignore -m pkg.train --no-shuffle --verbose model.depth=3": (
        "pkg.train", {"shuffle": "false", "verbose": "true", "model.depth": "3"}, ""
    ),
    "python -c 'print(1)' --a 2": ("python -c", {"a": "2"}, ""),
}  # fmt: skip


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_is_read(line):
    """Flags, hydra, switches, launchers, variables: program, parameters and launcher are told apart."""
    found = parse_command(shlex.split(line))
    assert (found.program, dict(found.parameters), found.launcher) == COMMANDS[line]


@pytest.mark.parametrize("line", COMMANDS)
def test_the_line_is_the_command(line):
    """What is kept splits into the very words that were typed, and a quoted command is read as its words are."""
    words = tuple(shlex.split(line))
    assert tuple(shlex.split(parse_command(words).line)) == words
    assert parse_command([line]).parameters == parse_command(words).parameters


def test_variables_launcher_options_and_nameless_arguments_are_kept():
    """They are no parameters of the program."""
    found = parse_command(shlex.split("OMP_NUM_THREADS=2 torchrun --standalone --nproc_per_node=8 t.py config/a.py b"))
    assert found.environment == {"OMP_NUM_THREADS": "2"}
    assert found.launching == {"standalone": "true", "nproc_per_node": "8"}
    assert found.positional == ("config/a.py", "b")


@pytest.mark.parametrize(
    "words",
    [
        ["env", "WANDB_API_KEY=S3CRET", "python", "t.py"],
        ["python", "t.py", "--hf-token", "S3CRET"],
        ["python", "t.py", "--api_key=S3CRET"],
        ["python", "t.py", "api.secret=x", "--url", "https://me:S3CRET@host/x"],
        ["bash", "-c", "HF_TOKEN=S3CRET python t.py --password S3CRET"],
        ["HF_TOKEN='S3CRET x' python t.py"],
    ],
)
def test_secrets_are_not_kept(words):
    """Keys, tokens and passwords are masked in the line and in what is read from it."""
    found = parse_command(words)
    assert found.program == "t.py"
    assert "S3CRET" not in repr(found)


def test_a_word_of_a_vocabulary_is_no_secret():
    """Special tokens are parameters like others, and so are counts of tokens."""
    found = parse_command(["python", "t.py", "--eos_token", "<e>", "--num_tokens", "5", "--tokenizer=bpe"])
    assert parse_command(["python t.py --eos_token '<e>' --x 1 > log"]).parameters == {"eos_token": "<e>", "x": "1"}
    assert parse_command(["python", "t.py", "--a", ">", "--b", ";"]).parameters == {"a": ">", "b": ";"}
    assert found.parameters == {"eos_token": "<e>", "num_tokens": "5", "tokenizer": "bpe"}


@pytest.mark.parametrize("words", [[], [""], ["A=1"], ["torchrun"], ["python"], ["--"], ["python 'x"]])
def test_what_holds_no_program_is_refused(words):
    """With a sentence that shows how to write it."""
    with pytest.raises(InputError, match=r"no program in the command|cannot be split"):
        parse_command(words)


def test_values_are_compared_as_numbers():
    """``1e-3`` is ``0.001``, ``True`` is ``true``; numbers go before texts, by size."""
    assert same_value("1e-3", "0.001")
    assert same_value("True", "true")
    assert not same_value("12", "24")
    assert sorted(["adam", "10", "9", "1e-3"], key=value_key) == ["1e-3", "9", "10", "adam"]
