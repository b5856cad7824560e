"""What libraries say: who raised it tells what it is about, and a warning of a healthy run is no failure.

Messages are worded as the libraries word them; the logs around them are made here.
"""

from collections.abc import Sequence

import pytest

from hpc.core.failures.classify import classify
from hpc.core.failures.evidence import Evidence, LogLine, Verdict
from hpc.core.slurm.states import SlurmState

INSTALLED = "/opt/conda/lib/python3.11/site-packages/"
BEGIN = ("Loading cuda/12.1", "2026-11-03 10:00:01 INFO starting on 1 node")
STEPS = tuple(f"step {100 * i} loss {2.5 - 0.2 * i:.3f} lr 3.0e-04" for i in range(1, 7))
END = ("saved model to /scratch/u1/run7/final.pt", "final eval accuracy 0.8123")

REFUSED = [
    # what a library says of its arguments and settings
    ("transformers/models/jamba/configuration_jamba.py", "validate_architecture",
     "ValueError: expert layer offset (5) must be smaller than expert layer period (4)", "config"),
    ("transformers/utils/quantization_config.py", "post_init",
     "ValueError: SpQR currently only supports bits = 3", "config"),
    ("transformers/trainer.py", "get_eval_dataloader",
     "ValueError: Trainer: evaluation requires an eval_dataset.", "config"),
    ("lightning_fabric/utilities/device_parser.py", "_sanitize_gpu_ids",
     "ValueError: At least one gpu type should be specified!", "config"),
    ("peft/tuners/lora/model.py", "_create_new_module",
     "ValueError: GPTQ quantization not supported for 3 bits (yet).", "config"),
    ("torch/distributed/elastic/rendezvous/api.py", "get_as_int",
     "ValueError: The rendezvous configuration option 'timeout_s' does not represent a valid integer value.", "config"),
    ("accelerate/commands/launch.py", "tpu_pod_launcher",
     "ValueError: Docker containers are not supported for TPU pod launcher currently, please remove the following "
     "flags",
     "config"),
    ("pandas/io/parquet.py", "read",
     "NotImplementedError: filesystem is not implemented for the fastparquet engine.", "config"),
    ("lightning_fabric/utilities/registry.py", "register",
     "ValueError: 'ddp2' is already present in the registry. HINT: Use `override=True`.", "code_bug"),
    ("huggingface_hub/hf_api.py", "_inner_whoami",
     "huggingface_hub.errors.HfHubHTTPError: Invalid user token.", "config"),
    # what it says of the program that called it
    ("torch/distributed/rpc/__init__.py", "_init_rpc_backend", "RuntimeError: RPC is already initialized", "code_bug"),
    ("torch/distributed/fsdp/fully_sharded_data_parallel.py", "register_comm_hook",
     "AssertionError: A communication hook is already registered", "code_bug"),
    ("torch/cuda/__init__.py", "can_device_access_peer", "AssertionError: Invalid peer device id", "code_bug"),
    ("torch/serialization.py", "_save",
     "RuntimeError: Cannot save multiple tensors or storages that view the same data as different types", "code_bug"),
    ("torch/nn/functional.py", "embedding_bag",
     "ValueError: weight has to be a 2D Tensor, but got Tensor of dimension 3", "code_bug"),
    # saved state
    ("accelerate/utils/modeling.py", "load_checkpoint_in_model",
     "ValueError: /scratch/u1/ckpt containing more than one `.index.json` file, delete the irrelevant ones.",
     "checkpoint"),
    ("huggingface_hub/serialization/_torch.py", "load_state_dict_from_file",
     "FileNotFoundError: No checkpoint file found at '/scratch/u1/ckpt'. Please verify the path is correct",
     "checkpoint"),
    ("huggingface_hub/serialization/_torch.py", "_load_sharded_checkpoint",
     "ValueError: Invalid index file '/scratch/u1/ckpt/model.safetensors.index.json': all 'weight_map' values must be "
     "strings.", "checkpoint"),
    # tables
    ("sklearn/preprocessing/_encoders.py", "fit",
     "ValueError: There are missing values in features [2]. For OrdinalEncoder to encode missing values with dtype: "
     "<class 'numpy.int64'>, set encoded_missing_value to a non-nan value", "data"),
    # what befalls a program stays what it is
    ("torch/utils/data/dataloader.py", "_get_data", "RuntimeError: DataLoader timed out after 120 seconds",
     "communication"),
]  # fmt: skip

WARNED = [
    ("[WARNING|modeling_utils.py:4711] 2026-11-03 10:00:05,112 >> This checkpoint seem corrupted. The tied weights "
     "mapping for this model specifies to tie a to b, but both are absent from the checkpoint",),
    ("2026-11-03 10:00:05 WARNING pytorch_lightning.logger_connector: Starting from v1.9.0, `tensorboardX` has been "
     "removed as a dependency. Please `pip install lightning[extra]` to enable it",),
    ("W1103 10:00:05.112000 4711 torch/profiler/profiler.py:88] trace_only=True is incompatible with with_stack=True. "
     "Disabling trace_only.",),
    ("Unknown option TRANSFORMERS_VERBOSITY=loud, has to be one of: debug, info, warning",),
    ("[WARNING|quantizer_mxfp4.py:90] 2026-11-03 10:00:05,112 >> MXFP4 quantization requires Triton: CUDA requires "
     "Triton >= 3.4.0. Please install triton: `pip install triton`. We will default to dequantizing the model",),
    ("WARNING:root:no CUDA driver found, plugins could not be loaded",),
]  # fmt: skip


def judged(texts: Sequence[str], state: SlurmState, code: int) -> Verdict:
    """What is said of a log."""
    log = tuple(LogLine("log", number, text) for number, text in enumerate(texts, start=1))
    return classify(Evidence(state=state, exit_code=code, log=log))


def traceback(path: str, function: str, message: str) -> tuple[str, ...]:
    """A program of one's own calls a library, which refuses with a `raise`."""
    name = message.partition(":")[0].rpartition(".")[2]
    return (
        "Traceback (most recent call last):",
        '  File "/home/u1/proj/run.py", line 88, in <module>', "    main()",
        '  File "/home/u1/proj/run.py", line 61, in main', "    go()",
        f'  File "{INSTALLED}{path}", line 211, in {function}', f"    raise {name}(",
        message,
    )  # fmt: skip


@pytest.mark.parametrize(("path", "function", "message", "category"), REFUSED)
def test_who_raised_an_error_tells_what_it_is_about(path: str, function: str, message: str, category: str) -> None:
    """A word such as registry, disk or peer is no container, file system or network where a library argues."""
    lost = "srun: error: node07: task 0: Exited with exit code 1"
    verdict = judged((*BEGIN, *traceback(path, function, message), lost), SlurmState.FAILED, 1)
    assert (verdict.category, verdict.evidence[0].text) == (category, message)


@pytest.mark.parametrize(("path", "function", "message", "category"), REFUSED)
def test_an_exception_that_ended_the_program_is_no_success(
    path: str, function: str, message: str, category: str
) -> None:
    """Whatever its words, and though a pipe or a job script swallowed the exit code."""
    assert judged((*BEGIN, *traceback(path, function, message)), SlurmState.COMPLETED, 0).category == category


@pytest.mark.parametrize("said", WARNED)
@pytest.mark.parametrize("where", ["before", "after", "alone"])
def test_a_warning_of_a_healthy_run_is_no_failure(said: tuple[str, ...], where: str) -> None:
    """Before the work, after it, and in a program that prints nothing else."""
    log = {"before": (*said, *STEPS, *END), "after": (*STEPS, *END, *said), "alone": (*said, "Done.")}[where]
    assert judged((*BEGIN, *log), SlurmState.COMPLETED, 0).category == "success"


SPOKEN = [
    (("n1:4711:4802 [0] transport/net_ib.cc:484 NCCL WARN NET/IB : mlx5_0:1 async fatal event on QP",),
     "communication"),
    (("libfabric:4711:1730000000::efa:cq:fn():123<warn> unable to process tx completion",), "communication"),
    (("-------------- FATAL CALLED ---------------", "FATAL CALLED FROM FILE:  <stdin>  LINE:     1021",
      "Invalid fire heat release option: check fire_sfc_flx namelist option",
      "-------------------------------------------"), "config"),
    (("--> FOAM FATAL ERROR: ", "Unknown laminarModel type Maxwel", "", "    From function main", "FOAM exiting"),
     "config"),
    ((" *   ___ ", " *  /   \\", " * [ABORT]", " *  \\___/    BOUNDS, NPTS or CUTOFF have to be specified"), "config"),
    ((" " + "%" * 60, "     Error in routine run_wannier (1):", "     Error allocating wann_spreads", " " + "%" * 60),
     "oom_host"),
    (("[ERROR] Not enough space left in /tmp",), "storage"),
]  # fmt: skip


@pytest.mark.parametrize(("said", "category"), SPOKEN)
def test_who_speaks_is_known_where_the_words_are_not(said: tuple[str, ...], category: str) -> None:
    """A solver's frame around what it refuses, and a library of messages, are never `unknown`."""
    lost = "srun: error: n1: tasks 0-7: Exited with exit code 1"
    assert judged(("running with 8 MPI ranks", *said, lost), SlurmState.FAILED, 1).category == category
    healthy = judged((*BEGIN, *STEPS[:3], *said, *STEPS[3:], *END), SlurmState.COMPLETED, 0)
    assert healthy.category == "success"
