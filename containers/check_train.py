"""Run inside a training image: everything it is for can be imported, and nothing has to be compiled at run time.

    python check_train.py [OPERATOR…]        DeepSpeed operators that must be built in, as deepspeed_shm_comm

`%test` of train-cpu.def and train.def calls it at the end of a build, `apptainer test IMAGE` again at any time.
"""

from __future__ import annotations

import importlib
import sys

MODULES = ["accelerate", "deepspeed", "filelock", "h5py", "numpy", "peft", "scipy", "torch", "transformers", "wandb"]


def load_operator(name: str) -> None:
    """Load one compiled DeepSpeed operator; raises RuntimeError when it is not built in."""
    from deepspeed.accelerator import get_accelerator
    from deepspeed.git_version_info import installed_ops

    if not installed_ops.get(name):
        available = ", ".join(each for each, built in installed_ops.items() if built)
        raise RuntimeError(f"DeepSpeed was built without {name}; it has {available or 'no operators'}")
    accelerator = get_accelerator()
    builders = importlib.import_module(accelerator.op_builder_dir())
    found = (getattr(builders, attribute) for attribute in dir(builders) if attribute.endswith("Builder"))
    builder = next(each for each in found if getattr(each, "NAME", None) == name)
    builder().load()


def main(operators: list[str]) -> None:
    """Raise what goes wrong, else print what is here."""
    for module in MODULES:
        importlib.import_module(module)
    for operator in operators:
        load_operator(operator)
    import torch

    if (torch.ones(2, 2) @ torch.ones(2, 2)).sum().item() != 8:
        raise RuntimeError("torch multiplies wrongly: was it built for another processor?")
    print(f"torch {torch.__version__}, DeepSpeed operators {', '.join(operators) or 'none'}: fine")  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
