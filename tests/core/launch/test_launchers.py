"""Launch lines as a table: for each launcher and shape exactly the words that are started, and the variables."""

import base64
import json
from dataclasses import replace

import pytest

from hpc.core.experiment.program import Launch
from hpc.core.launch.launchers import (
    LAUNCHERS,
    Placement,
    copies,
    deepspeed_config,
    launch_argv,
    launch_defaults,
    launch_environment,
)

MODULE = ("python", "-m", "train.control", "--lr", "1e-4")
SCRIPT = ("python3", "train.py", "--lr", "1e-4")
BINARY = ("./train", "--lr", "1e-4")
ONE = Placement()
PAIR = Placement(processes=2, port=20007)
GRID = Placement(nodes=2, node_rank=1, processes=2, address="10.0.0.1", port=20007, gpus=2, mixed_precision="bf16")
ZERO = Placement(processes=2, port=20007, zero_stage=2)
FILED = Placement(
    processes=2,
    port=20007,
    zero_stage=3,
    offload="parameters",
    deepspeed_config="/a/deepspeed.json",
    torch_compile=True,
)
FSDP = Placement(processes=2, port=20007, fsdp="gradients", gradient_checkpointing=True)
WRAPPED = Placement(processes=2, port=20007, fsdp="full", fsdp_wrap=("Block", "Other"), torch_compile=True)
ACCELERATE = (
    "python -m accelerate.commands.launch --num_processes={world} --num_machines={nodes} --machine_rank={rank} "
    "--main_process_ip={address} --main_process_port=20007 --mixed_precision={precision} --dynamo_backend=no "
)
LOCAL = ACCELERATE.format(world=2, nodes=1, rank=0, address="127.0.0.1", precision="no")
COMPILED = LOCAL.replace("--dynamo_backend=no", "--dynamo_backend=inductor")
LINES = [
    ("plain", MODULE, ONE, "python -m train.control --lr 1e-4"),
    ("plain", BINARY, GRID, "./train --lr 1e-4"),
    ("accelerate", MODULE, ONE, "python -m train.control --lr 1e-4"),
    ("accelerate", MODULE, PAIR,
     ACCELERATE.format(world=2, nodes=1, rank=0, address="127.0.0.1", precision="no")
     + "--multi_gpu --module train.control --lr 1e-4"),
    ("accelerate", SCRIPT, GRID,
     ACCELERATE.format(world=4, nodes=2, rank=1, address="10.0.0.1", precision="bf16")
     + "--multi_gpu train.py --lr 1e-4"),
    ("accelerate", BINARY, ZERO,
     ACCELERATE.format(world=2, nodes=1, rank=0, address="127.0.0.1", precision="no")
     + "--use_deepspeed --zero_stage=2 --deepspeed_multinode_launcher=standard --no_python ./train --lr 1e-4"),
    ("accelerate", SCRIPT, FILED,
     COMPILED + "--use_deepspeed --deepspeed_config_file=/a/deepspeed.json --deepspeed_multinode_launcher=standard "
     "train.py --lr 1e-4"),
    ("accelerate", SCRIPT, FSDP,
     LOCAL + "--use_fsdp --fsdp_version=2 --fsdp_reshard_after_forward=false --fsdp_auto_wrap_policy=NO_WRAP "
     "--fsdp_activation_checkpointing=true train.py --lr 1e-4"),
    ("accelerate", SCRIPT, WRAPPED,
     COMPILED + "--use_fsdp --fsdp_version=2 --fsdp_reshard_after_forward=true "
     "--fsdp_auto_wrap_policy=TRANSFORMER_BASED_WRAP --fsdp_transformer_layer_cls_to_wrap=Block,Other "
     "--fsdp_activation_checkpointing=false train.py --lr 1e-4"),
    ("torchrun", MODULE, PAIR,
     "python -m torch.distributed.run --nnodes=1 --nproc_per_node=2 --standalone -m train.control --lr 1e-4"),
    ("torchrun", BINARY, GRID,
     "python -m torch.distributed.run --nnodes=2 --nproc_per_node=2 --node_rank=1 --master_addr=10.0.0.1 "
     "--master_port=20007 --no-python ./train --lr 1e-4"),
    ("deepspeed", SCRIPT, PAIR,
     "python -m deepspeed.launcher.launch --world_info=eyJub2RlMCI6IFswLCAxXX0= --node_rank=0 --master_addr=127.0.0.1 "
     "--master_port=20007 --no_local_rank train.py --lr 1e-4"),
]  # fmt: skip


@pytest.mark.parametrize("kind", list(LAUNCHERS))
def test_ranks_that_print_apart_are_started_through_one_shell_word(kind):
    """The whole program stands behind it, whatever the launcher; one process alone needs no log of its own."""
    line = launch_argv(kind, MODULE, replace(PAIR, rank_logs=True))
    script = line.index("sh")
    assert line[script + 1] == "-c"
    assert line[script + 3 :] == ("rank", *MODULE)
    assert kind == "plain" or {"--no-python", "--no_python"} & set(line)
    assert launch_argv(kind, MODULE, replace(ONE, rank_logs=True)) == launch_argv(kind, MODULE, ONE)


@pytest.mark.parametrize(("kind", "argv", "place", "line"), LINES)
def test_launch_lines(kind, argv, place, line):
    """Program, shape and launcher give exactly this line."""
    assert " ".join(launch_argv(kind, argv, place)) == line


def test_every_launcher_has_a_golden_line():
    """A launcher that is added is added to the table as well."""
    assert {kind for kind, *_ in LINES} == set(LAUNCHERS)


def test_deepspeed_is_told_of_every_process():
    """Its world is a base64 JSON of node → local ranks."""
    argv = launch_argv("deepspeed", MODULE, GRID)
    world = next(word for word in argv if word.startswith("--world_info=")).partition("=")[2]
    assert json.loads(base64.urlsafe_b64decode(world)) == {"node0": [0, 1], "node1": [0, 1]}
    assert "--module" in argv


@pytest.mark.parametrize("kind", LAUNCHERS)
def test_no_program_word_is_lost_or_changed(kind):
    """What the user's program is given comes last and in order, whatever it holds."""
    words = ("./train", "--text", "a b", "$(touch x)", "", "--", "-m")
    for place in (ONE, PAIR, GRID, ZERO, FILED, FSDP, WRAPPED):
        assert launch_argv(kind, words, place)[-len(words) :] == words


def test_plain_processes_are_started_and_numbered_by_us():
    """`plain` has no launcher: as many copies as processes, each with its ranks; the others start theirs themselves."""
    assert [copies(kind, GRID) for kind in ("plain", "torchrun", "accelerate", "deepspeed")] == [2, 1, 1, 1]
    told = launch_environment("plain", GRID, copy=1)
    assert (told["RANK"], told["LOCAL_RANK"], told["WORLD_SIZE"], told["LOCAL_WORLD_SIZE"]) == ("3", "1", "4", "2")
    assert "RANK" not in launch_environment("plain", ONE)
    assert "RANK" not in launch_environment("torchrun", GRID)


def test_variables_say_what_the_processes_compute_on():
    """Without GPUs the CPU is named to every library; precision and ZeRO stage reach a program without launcher."""
    assert launch_defaults(ONE) == {"ACCELERATE_USE_CPU": "true", "DS_ACCELERATOR": "cpu"}
    assert launch_defaults(GRID) == {}
    assert launch_environment("plain", ONE) == {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
    assert launch_environment("accelerate", GRID) == {
        "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "20007", "ACCELERATE_MIXED_PRECISION": "bf16",
    }  # fmt: skip
    told = launch_environment("accelerate", ZERO)
    assert (told["ACCELERATE_USE_DEEPSPEED"], told["ACCELERATE_DEEPSPEED_ZERO_STAGE"]) == ("true", "2")


@pytest.mark.parametrize("kind", LAUNCHERS)
def test_every_option_reaches_a_program_that_no_launcher_tells_of_it(kind):
    """By environment, whatever starts it: torchrun and plain have no option for any of them."""
    filed, wrapped = launch_environment(kind, FILED), launch_environment(kind, WRAPPED)
    assert filed["ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE"] == "cpu"
    assert filed["ACCELERATE_DEEPSPEED_OFFLOAD_PARAM_DEVICE"] == "cpu"
    assert filed["ACCELERATE_DEEPSPEED_CONFIG_FILE"] == filed["HPC_DEEPSPEED_CONFIG"] == "/a/deepspeed.json"
    assert filed["ACCELERATE_DYNAMO_BACKEND"] == "inductor"
    assert (wrapped["ACCELERATE_USE_FSDP"], wrapped["FSDP_RESHARD_AFTER_FORWARD"]) == ("true", "true")
    assert wrapped["FSDP_TRANSFORMER_CLS_TO_WRAP"] == "Block,Other"
    assert "HPC_GRADIENT_CHECKPOINTING" not in wrapped
    assert launch_environment(kind, FSDP)["HPC_GRADIENT_CHECKPOINTING"] == "true"


def test_deepspeeds_file_leaves_to_accelerate_what_the_program_knows():
    """DeepSpeed alone reads no "auto": there such a key is the program's to add."""
    launch = Launch("accelerate", zero_stage=3, offload="parameters", mixed_precision="bf16")
    zero = {
        "stage": 3, "offload_optimizer": {"device": "cpu"}, "offload_param": {"device": "cpu"},
        "stage3_gather_16bit_weights_on_model_save": True,
    }  # fmt: skip
    assert deepspeed_config(launch, None, None) == {
        "zero_optimization": zero, "train_micro_batch_size_per_gpu": "auto", "gradient_accumulation_steps": "auto",
        "gradient_clipping": "auto", "bf16": {"enabled": True},
    }  # fmt: skip
    assert deepspeed_config(Launch("deepspeed", zero_stage=1), None, None) == {"zero_optimization": {"stage": 1}}
    assert deepspeed_config(Launch("deepspeed", zero_stage=1), 4, 2) == {
        "zero_optimization": {"stage": 1}, "train_micro_batch_size_per_gpu": 4, "gradient_accumulation_steps": 2,
    }  # fmt: skip
