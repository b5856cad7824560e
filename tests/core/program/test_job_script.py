"""A person's job script: what it asks, loops over and starts, in the ways people write it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.core.program.job_script import loop_of, read_job_script

SCRIPT = """#!/bin/bash
#SBATCH --job-name=ab -t 2-00:00:00
#SBATCH -p gpu_long   # the long one
#SBATCH --gres=gpu:a100:2 --cpus-per-task 8
#SBATCH -A abc123 --mem=64G
module load cuda/12.4
source ~/venvs/torch/bin/activate
DATA=/scratch/me/data
LR=${1}
for lr in 0.1 0.01; do
  for seed in {1..3}
  do
    python train.py --data "$DATA/set one" \\
        --lr $lr --seed ${seed} --out runs/$lr
  done
done
"""


def test_a_script_is_read() -> None:
    """Long and short options, comments, constants, loops over words and counted ones, a continued command."""
    script = read_job_script(SCRIPT)

    assert script.directives == {
        "job-name": "ab", "time": "2-00:00:00", "partition": "gpu_long", "gres": "gpu:a100:2", "cpus-per-task": "8",
        "account": "abc123", "mem": "64G",
    }  # fmt: skip
    assert script.setup == ("module load cuda/12.4", "source ~/venvs/torch/bin/activate")
    assert script.loops == {"lr": ("0.1", "0.01"), "seed": ("1", "2", "3")}
    assert script.lines == (
        ("python", "train.py", "--data", "/scratch/me/data/set one", "--lr", "$lr", "--seed", "${seed}",
         "--out", "runs/$lr"),
    )  # fmt: skip
    assert (loop_of("${seed}", script.loops), loop_of("runs/$lr", script.loops)) == ("seed", "")


@pytest.mark.parametrize(
    ("text", "loops"),
    [
        ("#SBATCH --array=0-2%1\n", {"SLURM_ARRAY_TASK_ID": ("0", "1", "2")}),
        ("#SBATCH -a 1,5\n", {"SLURM_ARRAY_TASK_ID": ("1", "5")}),
        ("LRS=(0.1 0.2)\nLR=${LRS[$SLURM_ARRAY_TASK_ID]}\n", {"LR": ("0.1", "0.2")}),
        ('MODELS=("a b" c)\nfor m in "${MODELS[@]}"; do echo $m; done\n', {"m": ("a b", "c")}),
        ("for s in $(seq 1 3); do x; done\n", {"s": ("1", "2", "3")}),
        ("for s in $(ls); do x; done\n", {}),
        ("#SBATCH --array=0-1\nSEED=$SLURM_ARRAY_TASK_ID\n", {"SLURM_ARRAY_TASK_ID": ("0", "1"), "SEED": ("0", "1")}),
    ],
)
def test_what_varies_is_found(text: str, loops: dict[str, tuple[str, ...]]) -> None:
    """Loops on one line, arrays, elements of arrays, the numbers of a job array; what is computed is left open."""
    assert read_job_script(text).loops == loops


def test_a_command_that_is_put_together_is_read() -> None:
    """As accelerate's own examples do it: parts in variables, defaults, arithmetic, and `srun $CMD` at the end."""
    script = read_job_script(
        'export GPUS=4\nexport LAUNCHER="accelerate launch \\\n --num_processes $((SLURM_NNODES * GPUS)) \\\n "\n'
        'export HOME_OF="${HOME_OF:-/accelerate}"\nexport CMD="$LAUNCHER ${HOME_OF}/train.py --amp fp16"\n'
        'eval "$(conda shell.bash hook)"\nsrun $CMD\n'
    )
    assert script.lines == (
        ("srun", "accelerate", "launch", "--num_processes", "$COMPUTED", "/accelerate/train.py", "--amp", "fp16"),
    )
    assert script.setup == ('eval "$(conda shell.bash hook)"',)


@given(st.text(max_size=300))
def test_no_text_raises(text: str) -> None:
    """Whatever stands in it."""
    read_job_script(text)
    read_job_script(f"#SBATCH {text}\nfor a in {text}; do\nX=({text})\n")
