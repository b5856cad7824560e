"""The policy: a causal transformer that reads the states seen so far and answers with the next control.

One time step is one token. A state enters as a continuous "soft token": each component, compressed by ``tanh`` at
several scales (the transformer normalises every token, so size has to be spelled out to survive), times a linear map.
The control leaves through a linear head. This learns far faster than a vocabulary of bins, has no resolution limit near
the origin, and fits any backbone that accepts ``inputs_embeds``.

The backbone is frozen: a pretrained folder given as ``--base_model``, or a small Llama drawn from a fixed seed that
stands for one (the same for every task, whatever its ``--seed``). LoRA adapters of rank ``--lora_rank`` on its linear
layers, the encoder and the head are trained; they are also all that a checkpoint or ``model.pt`` holds.
"""

import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from transformers import AutoModel, LlamaConfig, LlamaModel, PreTrainedModel

from hpc.core.errors import InputError
from train.durable import replace_tensors
from train.trained import load_trained, trained_parameters

ALL_LINEAR = "all-linear"
"""Stands for every linear layer of the backbone."""
TRANSFERRED = ("all", "adapters", "none")
"""What may be taken from another run's model: every trained value, the adapters alone, or nothing (the control)."""
_BACKBONE = "backbone."
_SCALES = (1.0, 0.25, 0.0625, 0.015625)  # resolution near the origin, as fractions of the largest state seen


@dataclass(frozen=True)
class ModelConfig:
    """Everything needed to build the same policy again, before its trained values are loaded.

    Attributes:
        path: Local folder of a pretrained backbone; None for a small one from scratch.
        d_model: Width of the backbone from scratch.
        layers: Its depth.
        heads: Its attention heads.
        lora_rank: Rank of the adapters.
        lora_dropout: Dropout before the adapters.
        lora_alpha: The adapters count lora_alpha / lora_rank; 0 for twice the rank.
        lora_targets: Names of the linear layers that have adapters, or ``all-linear``.
        backbone_seed: Seed of the frozen weights of the backbone from scratch.
    """

    path: str | None
    d_model: int
    layers: int
    heads: int
    lora_rank: int
    lora_dropout: float = 0.0
    lora_alpha: int = 0
    lora_targets: tuple[str, ...] = (ALL_LINEAR,)
    backbone_seed: int = 0


class Policy(nn.Module):
    """States (batch, time, state) → controls (batch, time, control); each control sees only its past."""

    state_scale: Tensor
    control_scale: Tensor

    def __init__(self, backbone: nn.Module, width: int, state_scale: Tensor, control_scale: Tensor) -> None:
        super().__init__()
        self.encoder = nn.Linear(len(_SCALES) * len(state_scale), width)
        self.backbone = backbone
        self.head = nn.Linear(width, len(control_scale))
        self.register_buffer("state_scale", state_scale.float())
        self.register_buffer("control_scale", control_scale.float())

    def forward(self, states: Tensor, cache: Any = None) -> Tensor:
        """Answer for every state given; with a `cache`, for those that follow the states it already holds."""
        features = torch.cat([torch.tanh(states / (self.state_scale * scale)) for scale in _SCALES], -1)
        tokens = self.encoder(features.to(self.encoder.weight.dtype))
        out = self.backbone(inputs_embeds=tokens, past_key_values=cache, use_cache=cache is not None)
        controls: Tensor = self.head(out.last_hidden_state).float()
        return controls * self.control_scale


def build_policy(config: ModelConfig, state_scale: Tensor, control_scale: Tensor, seed: int) -> Policy:
    """Build the policy; `seed` draws the trained parts, never the frozen ones.

    Raises:
        InputError: The pretrained folder cannot be read, or has no layer of the names in `lora_targets`.
    """
    backbone = _pretrained(config.path) if config.path else _from_scratch(config)
    _check_targets(backbone, config.lora_targets)
    torch.manual_seed(seed)
    adapters = LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_alpha or 2 * config.lora_rank,
        lora_dropout=config.lora_dropout,
        target_modules=ALL_LINEAR if ALL_LINEAR in config.lora_targets else list(config.lora_targets),
    )
    with warnings.catch_warnings():  # peft uses an old name of transformers' own, and tells of what it sorts out itself
        warnings.filterwarnings("ignore", ".*is_gradient_checkpointing.*", FutureWarning)
        warnings.filterwarnings("ignore", "fan_in_fan_out is set to False", UserWarning)
        try:
            adapted = get_peft_model(backbone, adapters)
        except ValueError as error:  # no layer has such a name
            raise InputError(str(error), "--lora_targets") from None
    return Policy(adapted, backbone.config.hidden_size, state_scale, control_scale)


def _check_targets(backbone: nn.Module, targets: tuple[str, ...]) -> None:
    """Names that peft knows beside one that it does not would be adapted alone, without a message."""
    paths = [f".{name}" for name, _ in backbone.named_modules()]
    unknown = [name for name in targets if name != ALL_LINEAR and not any(path.endswith(f".{name}") for path in paths)]
    if unknown:
        matrices = (name for name, value in backbone.named_parameters() if value.dim() == 2 and "embed" not in name)
        valid = ", ".join([ALL_LINEAR, *sorted({name.split(".")[-2] for name in matrices})])
        raise InputError(f"no layer has the name {', '.join(unknown)}; valid: {valid}", "--lora_targets")


def load_policy(path: Path) -> Policy:
    """Build the policy that a finished run saved as ``model.pt``.

    Raises:
        InputError: The pretrained folder it stands on cannot be read.
    """
    saved = torch.load(path, weights_only=True)
    policy = build_policy(ModelConfig(**saved["config"]), saved["state_scale"], saved["control_scale"], seed=0)
    load_trained(policy, saved["parameters"])
    return policy.eval()


def start_from(path: Path, config: ModelConfig, seed: int, transferred: str) -> Policy:
    """Build a policy with the trained values of a finished run, to be trained further.

    Args:
        path: Its ``model.pt``, or the folder of it.
        config: What is asked for now; has to be what the run was built with.
        seed: As for `build_policy`; draws what is not transferred.
        transferred: One of `TRANSFERRED`. Scales of states and controls are the run's in each case.

    Raises:
        InputError: There is no such model, or it was built otherwise.
    """
    path = path / "model.pt" if path.is_dir() else path
    try:
        saved = torch.load(path, weights_only=True)
        found = ModelConfig(**saved["config"])
    except Exception as error:  # torch raises whatever its reader stumbles over
        raise InputError(f"{path} is no model of train.control: {error}", "--start_from") from None
    differing = [name for name, value in asdict(config).items() if getattr(found, name) != value]
    if differing:
        told = ", ".join(f"{name} {getattr(found, name)!r} there, {getattr(config, name)!r} here" for name in differing)
        raise InputError(f"{path} was built otherwise: {told}", "--start_from")
    policy = build_policy(config, saved["state_scale"], saved["control_scale"], seed)
    fresh = {name: value.detach().clone() for name, value in trained_parameters(policy).items()}
    taken = {name: value for name, value in saved["parameters"].items() if _is_taken(name, transferred)}
    load_trained(policy, fresh | taken)
    return policy


def _is_taken(name: str, transferred: str) -> bool:
    return transferred == "all" or (transferred == "adapters" and name.startswith(_BACKBONE))


def save_adapters(path: Path, policy: Policy, trained: dict[str, Tensor]) -> None:
    """Write the adapters as peft reads them: ``PeftModel.from_pretrained(backbone, path)``."""
    values = {name.removeprefix(_BACKBONE): value for name, value in trained.items() if name.startswith(_BACKBONE)}
    adapted: Any = policy.backbone
    adapted.save_pretrained(str(path), state_dict=values)


def save_policy(path: Path, config: ModelConfig, policy: Policy, trained: dict[str, Tensor]) -> None:
    """Write what `load_policy` needs; `trained` are the values in full precision."""
    scales = {"state_scale": policy.state_scale.cpu(), "control_scale": policy.control_scale.cpu()}
    replace_tensors(path, {"config": asdict(config), "parameters": trained, **scales})


def _from_scratch(config: ModelConfig) -> LlamaModel:
    torch.manual_seed(config.backbone_seed)
    return LlamaModel(
        LlamaConfig(
            vocab_size=1,  # tokens are never looked up
            bos_token_id=None,
            eos_token_id=None,
            hidden_size=config.d_model,
            intermediate_size=4 * config.d_model,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            num_key_value_heads=config.heads,
            max_position_embeddings=1 << 16,
            initializer_range=config.d_model**-0.5,  # a frozen layer has to pass its input on, not shrink it
        )
    )


def _pretrained(path: str) -> PreTrainedModel:
    if not Path(path).is_dir():  # transformers would take it for a name and ask its hub
        raise InputError(f"{path} is no folder", "--base_model")
    try:
        model: PreTrainedModel = AutoModel.from_pretrained(Path(path), local_files_only=True)
    except (OSError, ValueError) as error:
        raise InputError(f"no pretrained model can be read from {path}: {error}", "--base_model") from None
    return model
