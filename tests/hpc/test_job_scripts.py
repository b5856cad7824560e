"""From a person's own job script to the first experiment: the command, loops, resources, the site."""

from pathlib import Path

import pytest
from click.testing import CliRunner

import hpc.init
import hpc.plan
from hpc.adapters.yaml_file import load_yaml

PROGRAM = """
import argparse
p = argparse.ArgumentParser()
p.add_argument("--data", required=True)
p.add_argument("--lr", type=float, default=0.5)
p.add_argument("--wd", type=float, default=0.0)
p.add_argument("--epochs", type=int, default=10)
p.add_argument("--seed", type=int, default=0)
p.add_argument("--out-dir")
p.add_argument("--amp", action="store_true")
if __name__ == "__main__":
    print(f"val_loss {0.5}")
"""
SCRIPT = """#!/bin/bash
#SBATCH -p gpu_long -A abc123 -t 12:00:00
#SBATCH --gres=gpu:a100:2 --cpus-per-task=8 --mem=32G
module load cuda/12.4
export WANDB_API_KEY=0123456789abcdef0123456789abcdef01234567
DATA="/scratch/me/my data"
for lr in 0.1 0.01; do
  for seed in 7 8 9; do
    srun torchrun --nproc_per_node=2 train.py --data "$DATA" --lr $lr --seed $seed --amp > logs/$lr.txt 2>&1
  done
done
"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "train.py").write_text(PROGRAM)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HPC_ROOT", raising=False)
    return tmp_path


def write(repository: Path, text: str, name: str = "slurm/train.sh") -> None:
    (repository / name).parent.mkdir(parents=True, exist_ok=True)
    (repository / name).write_text(text)


def init(*arguments: str) -> str:
    done = CliRunner().invoke(hpc.init.main, ["--yes", *arguments])
    assert done.exit_code == 0, done.output
    return str(done.output)


def experiment(repository: Path, name: str = "first_sweep") -> dict[str, object]:
    return dict(load_yaml(repository / f"manifests/experiments/{name}.yaml").data)


def command(repository: Path) -> str:
    program = experiment(repository)["program"]
    assert isinstance(program, dict)
    return str(program["command"])


def test_loops_are_the_sweep_and_sbatch_lines_the_resources(repository: Path) -> None:
    """What was typed for one afternoon is the experiment; the site's part is a profile, and no key is in either."""
    write(repository, SCRIPT)
    told = init()
    made = experiment(repository)

    assert command(repository) == (
        "python train.py --data '/scratch/me/my data' --lr {lr} --seed {seed} --amp --out-dir {out_dir}"
    )
    assert made["sweep"] == {"grid": {"lr": [0.1, 0.01]}, "seeds": [7, 8, 9]}
    assert made["baseline"] == {"lr": 0.1}
    assert made["resources"] == {"cpus": 8, "mem": "32G", "time": "12:00:00", "gpus": 2}
    assert made["launch"] == {"kind": "torchrun"}
    site = load_yaml(repository / "manifests/clusters/site.yaml").data
    assert site == {
        "scheduler": "slurm", "partition": "gpu_long", "account": "abc123", "gpu_type": "a100",
        "setup": ["module load cuda/12.4"],
    }  # fmt: skip
    assert "are those of slurm/train.sh" in told
    assert "python -m hpc.plan first_sweep --cluster site" in told
    assert not [
        path
        for path in (repository / "manifests").rglob("*")
        if path.is_file() and "0123456789abcdef" in path.read_text()
    ]
    planned = CliRunner().invoke(hpc.plan.main, ["first_sweep", "--dry-run", "--cluster", "local"])
    assert "6 tasks" in planned.output, planned.output


def test_an_array_over_seeds_is_a_list_of_seeds(repository: Path) -> None:
    """`--seed $SLURM_ARRAY_TASK_ID` with `--array=0-4`; the learning rate of the script is the middle of the sweep."""
    write(
        repository,
        "#SBATCH --array=0-4%2\npython train.py --data d --lr 0.3 --seed $SLURM_ARRAY_TASK_ID\n",
        "run.sbatch",
    )
    init()

    assert experiment(repository)["sweep"] == {"grid": {"lr": [0.1, 0.3, 0.9]}, "seeds": [0, 1, 2, 3, 4]}


def test_arrays_of_one_index_go_in_step(repository: Path) -> None:
    """`${LRS[$ID]}` with `${WDS[$ID]}` is two runs, not four."""
    of_task = "[$SLURM_ARRAY_TASK_ID]}"
    arrays = f"LRS=(0.1 0.2)\nWDS=(0 1e-4)\nLR=${{LRS{of_task}\nWD=${{WDS{of_task}\n"
    write(repository, f"#SBATCH --array=0-1\n{arrays}python train.py --data d --lr $LR --wd $WD\n")
    init()

    assert experiment(repository)["sweep"] == {"zip": {"lr": [0.1, 0.2], "wd": [0, 1e-4]}, "seeds": [1, 2, 3]}
    planned = CliRunner().invoke(hpc.plan.main, ["first_sweep", "--dry-run", "--cluster", "local"])
    assert "6 tasks" in planned.output, planned.output


def test_what_a_script_computes_is_left_to_a_person(repository: Path) -> None:
    """A parameter of the script, or what a command prints, has no value here, and `init` says so."""
    write(repository, "python train.py --data $1 --wd $(cat best.txt) --epochs $N --lr 0.1\n")
    told = init()

    assert "values for {data}, {wd}, {epochs}: put them into program.command" in told
    assert "--data {data} --wd {wd} --epochs {epochs} --lr {lr}" in command(repository)


def test_a_path_from_elsewhere_is_the_program_here(repository: Path) -> None:
    """Scripts start it by where they once stood; as a script that is named, too."""
    write(repository, "python /home/me/project/train.py --data d --epochs ${N:-5}\n", "jobs/a.sh")
    init("jobs/a.sh")

    assert "--data d --epochs 5" in command(repository)


@pytest.mark.parametrize(
    ("argument", "written"),
    [
        ("--out-dir /scratch/out", "--out-dir {out_dir}"),
        ("--logs /scratch/logs", "--logs {out_dir}"),
        ("--result_file=/scratch/r.json", "--result_file={out_dir}/r.json"),
        ("--logs ./logs", "--logs ./logs"),
        ("--load_checkpoint /models/a.pt", "--load_checkpoint /models/a.pt"),
        ("--data_root /scratch/data", "--data_root /scratch/data"),
        ("--json '{\"a\": 1}'", "--json '{{\"a\": 1}}'"),
    ],
)
def test_runs_do_not_write_into_one_folder(repository: Path, argument: str, written: str) -> None:
    """An absolute place to write becomes the run's own; what is read stays, and braces are no placeholders."""
    write(repository, f"python train.py --data d {argument}\n")
    init()

    assert written in command(repository)


def test_a_script_can_be_named(repository: Path) -> None:
    """Of several that with `#SBATCH` lines is taken; another by its name; what starts nothing here is a program."""
    write(repository, "python train.py --data a\n", "a.sh")
    write(repository, SCRIPT)
    assert "1 script starts it, too" in init()
    init("a.sh", "--name", "other")

    program = experiment(repository, "other")["program"]
    assert isinstance(program, dict)
    assert "--data a " in program["command"]
    write(repository, "echo hello\n", "b.sh")
    assert "starts `bash b.sh`" in init("b.sh", "--name", "third", "--metric", "loss")


def test_several_starts_in_one_script_are_said(repository: Path) -> None:
    """One of them is taken, and nobody is to think that it was all."""
    write(repository, "python train.py --data a --lr 0.1\npython train.py --data b --lr 0.2 --wd 1\n")
    told = init()

    assert "it starts the program 2 times with other arguments; this is one of them" in told
    assert "--data b " in command(repository)


def test_a_profile_of_ones_own_is_left_alone(repository: Path) -> None:
    """Whoever has one knows the site better than a script does."""
    write(repository, SCRIPT)
    write(repository, "scheduler: slurm\n", "manifests/clusters/ours.yaml")
    init()

    assert not (repository / "manifests/clusters/site.yaml").exists()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a\nname: b.sh", SCRIPT),
        ("a'b: {c}.sh", SCRIPT),
        ("a.sh", "for lr in $'\\x07' \x07; do python train.py --data d --lr $lr; done\n"),
        ("a.sh", "#SBATCH -p 'a b;$(rm x)' --time=never --mem=lots\npython train.py --data 'd: [{}]' '\u2028'\n"),
        ("a.sh", "#SBATCH -p p\nmodule load 'a: b' # {x}\npython train.py --data d --epochs {1,2}\n"),
    ],
)
def test_no_script_spoils_the_experiment(repository: Path, name: str, text: str) -> None:
    """Whatever it is called and holds: what is written can be read, or the script is left aside."""
    write(repository, text, name)
    init()
    done = CliRunner().invoke(hpc.plan.main, ["first_sweep", "--dry-run", "--cluster", "local"])

    assert done.exit_code in (0, 2), done.output
    assert done.exit_code == 0 or "there is no value for {data}" in done.output
    for path in (repository / "manifests").rglob("*.yaml"):
        load_yaml(path)
