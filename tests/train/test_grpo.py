"""Learning from its own roll-outs: the formulas, the division of a batch, resuming, and that it gets better."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hpc.core.errors import InputError
from tests.train.train_runs import Finished

pytestmark = pytest.mark.train
Train = Callable[..., Finished]
GRPO = (
    "--training_type", "grpo", "--grpo_steps", "6", "--grpo_starts", "3", "--group_size", "4",
    "--micro_batch_size", "12",
)  # fmt: skip


def losses(run: Finished, after: int = 0) -> list[float]:
    """Losses of the roll-outs, in the order of the steps after the given one."""
    return [value for step, value in sorted(run.series("policy_loss").items()) if step > after]


def test_the_loss_is_that_of_the_formulas() -> None:
    """Advantages, clipped ratio and divergence, computed by hand for a policy that has moved since it rolled out."""
    import torch
    from accelerate import Accelerator

    from train.demonstrations import linear_quadratic_regulator
    from train.grpo import Rollouts, Settings
    from train.learner import Learner
    from train.model import ModelConfig, build_policy
    from train.rollout import Told
    from train.schedule import FreshSamples
    from train.systems import SYSTEMS
    from train.trained import trained_parameters

    system, horizon, group, spread = SYSTEMS["van_der_pol"], 5, 4, 0.3
    config = ModelConfig(None, 16, 1, 2, 4)
    policy = build_policy(config, torch.ones(2), torch.tensor([1.5]), seed=1)
    learner = Learner(Accelerator(cpu=True), policy, policy, None)
    schedule = FreshSamples(0, 9, 2 * group, 1, 1, 1e-3, 0, seed=7)
    rollouts = Rollouts([Told(system)], horizon, Settings(group, spread, clip=0.2, kl=0.5, seed=7), schedule)
    rollouts.refer_to(policy, {name: value.detach().clone() for name, value in trained_parameters(policy).items()})
    rows = torch.arange(group, 2 * group)
    assert rollouts.loss(learner, rows).item() == pytest.approx(0, abs=1e-6)  # advantages of a group add up to nothing
    with torch.no_grad():
        policy.head.bias += 0.4
    found = rollouts.loss(learner, rows).item()

    held, _, to_go = rollouts._held[1], *linear_quadratic_regulator(system)
    states, controls, old = (part.double().numpy() for part in (held.states, held.controls, held.means))
    last = system.step(states[:, -1], controls[:, -1])
    total = 0.0
    sigma = spread * 1.5
    for time in range(horizon):
        follows = [
            sum(system.cost(states[one, later], controls[one, later]) for later in range(time, horizon))
            + last[one] @ to_go @ last[one]
            for one in range(group)
        ]
        for one in range(group):
            advantage = -(follows[one] - np.mean(follows)) / np.std(follows)
            seen = torch.tensor(states[one : one + 1, : time + 1], dtype=torch.float32)
            mean = policy(seen)[0, -1].item()
            drawn = controls[one, time, 0]
            ratio = np.exp((drawn - old[one, time, 0]) ** 2 / (2 * sigma**2) - (drawn - mean) ** 2 / (2 * sigma**2))
            total -= min(ratio * advantage, np.clip(ratio, 0.8, 1.2) * advantage)
            total += 0.5 * (mean - old[one, time, 0]) ** 2 / (2 * sigma**2)
    assert found == pytest.approx(total / (horizon * group), rel=1e-4)


def test_it_lowers_the_cost_of_its_start(train_here: Train) -> None:
    """From a policy that has imitated little, on both kinds of dynamics the roll-outs become cheaper."""
    short = ("--training_type", "both", "--epochs", "5", "--demonstrations", "128", "--horizon", "25")
    run = train_here("run", "--system", "van_der_pol", *short, "--grpo_steps", "24", "--micro_batch_size", "64")

    assert run.summary["control_cost"] < run.summary["before_grpo.control_cost"]
    assert run.summary["optimal_control_cost"] < run.summary["control_cost"] < run.summary["uncontrolled_cost"]
    assert sorted(run.series("loss")) == list(range(1, 11))
    assert sorted(run.series("policy_loss")) == list(range(11, 35))
    assert len(run.series("rollout_cost")) == 24


def test_resuming_is_bitwise(train_here: Train) -> None:
    """Also from the end of imitation, with a reference; no checkpoint lies between steps on the same roll-outs."""
    import torch

    both = ("--training_type", "both", *GRPO[2:], "--max_steps", "3", "--kl", "0.1", "--lora_dropout", "0.1")
    whole = train_here("whole", *both, "--checkpoint_every", "1")
    resumed = train_here("resumed", *both, "--resume", whole.checkpoint(7))
    boundary = train_here("boundary", *both, "--checkpoint_every", "3", "--max_steps", "3")
    again = train_here("again", *both, "--resume", boundary.checkpoint(7))

    kept = sorted(path.name for path in (whole.home / "checkpoints").iterdir())
    assert kept == ["step-00000007", "step-00000009"]
    assert losses(resumed) == losses(whole, after=7)
    assert losses(again) == losses(whole, after=7)
    values = [torch.load(run.home / "model.pt", weights_only=True)["parameters"] for run in (whole, resumed, again)]
    assert all(torch.equal(values[0][name], other[name]) for other in values[1:] for name in values[0])
    for name in ("before_grpo.control_cost", "control_cost"):
        assert resumed.summary[name] == whole.summary[name]


def test_the_batch_may_be_divided_otherwise(train_here: Train) -> None:
    """Groups may be cut by a forward pass: the same roll-outs are learned from."""
    whole, divided = train_here("whole", *GRPO), train_here("divided", *GRPO, "--micro_batch_size", "3")

    np.testing.assert_allclose(losses(divided), losses(whole), atol=1e-5)
    np.testing.assert_allclose(
        list(divided.series("rollout_cost").values()), list(whole.series("rollout_cost").values()), rtol=1e-4
    )


def test_two_processes_are_one(train_here: Train, train_apart: Callable[..., Finished]) -> None:
    """Each rolls out its share; losses and costs are those of one process."""
    asked = (*GRPO, "--grpo_starts", "4", "--micro_batch_size", "8")
    one, two = train_here("one", *asked, "--micro_batch_size", "16"), train_apart("two", 2, *asked)

    assert two.code == 0, two.stderr
    np.testing.assert_allclose(losses(two), losses(one), atol=1e-5)


def test_the_reference_holds_it_back(train_here: Train) -> None:
    """With a large weight of the divergence the policy stays near where it began."""
    import torch

    free, held = (
        train_here(name, *GRPO, "--kl", weight, "--grpo_learning_rate", "0.01", "--warmup", "0")
        for name, weight in (("free", "0"), ("held", "100"))
    )
    start = train_here("start", *GRPO, "--grpo_learning_rate", "0")
    values = {run: torch.load(run.home / "model.pt", weights_only=True)["parameters"] for run in (free, held, start)}
    bias = {run: parameters["head.bias"].item() for run, parameters in values.items()}

    assert abs(held.summary["control_cost"] - start.summary["control_cost"]) < abs(
        free.summary["control_cost"] - start.summary["control_cost"]
    ), bias


def test_what_cannot_be_is_refused(train_here: Train) -> None:
    """By name, before any step: DeepSpeed, shares that are not equal, a model that is not there."""
    from train.control import parser
    from train.curriculum import draw, plan_stages

    args = parser().parse_args([*GRPO, "--demonstrations", "2", "--horizon", "3"])
    cpu: Any = SimpleNamespace(type="cpu")
    lessons = draw(args, cpu.type)

    def refused(kind: str, processes: int) -> str:
        accelerator = SimpleNamespace(distributed_type=SimpleNamespace(value=kind), num_processes=processes)
        with pytest.raises(InputError) as caught:
            plan_stages(args, lessons, None, accelerator)  # type: ignore[arg-type] nobody comes to the model
        return str(caught.value)

    assert "leave out --zero_stage" in refused("DEEPSPEED", 2)
    args.fsdp = "full"
    assert "leave out --fsdp" in refused("MULTI_GPU", 2)
    args.fsdp = None
    assert "3 starts of 4 roll-outs are no equal share for each of 5 processes" in refused("MULTI_CPU", 5)
    with pytest.raises(InputError, match=r"no model of train\.control"):
        train_here("none", *GRPO, "--start_from", "nowhere")


def test_the_least_learning_rate_holds_in_every_stage(train_here: Train) -> None:
    """Of imitation and of reinforcement: one below it is trained with nowhere, and a lower peak is refused."""
    least = ("--training_type", "both", "--max_steps", "4", "--warmup", "0.5", "--least_learning_rate", "9e-4")
    run = train_here("run", *GRPO[2:], *least)
    rates = run.series("lr")

    assert len(rates) == 4 + int(dict(zip(GRPO[::2], GRPO[1::2], strict=True))["--grpo_steps"])
    assert min(rates.values()) >= 9e-4
    with pytest.raises(InputError, match=r"--least_learning_rate: 0\.01 is above the peak of .*_learning_rate 0\.001"):
        train_here("high", *GRPO, "--learning_rate", "0.1", "--least_learning_rate", "0.01")


def test_a_universal_policy_is_tested_on_every_system(train_here: Train) -> None:
    """It learns from as many demonstrations as a specialist, an equal share each, and knows which system it drives."""
    run = train_here("run", "--model_type", "universal", "--training_type", "both", "--max_steps", "2", *GRPO[2:])

    assert {"final_error", "van_der_pol.final_error", "pendulum.excess_cost"} <= run.summary.keys()
    assert "double_integrator.final_error" not in run.summary
    with pytest.raises(InputError, match="one each at least"):
        train_here("few", "--model_type", "universal", "--demonstrations", "2")


def test_transfer_begins_where_the_source_ended(train_here: Train) -> None:
    """A policy started from another run's model drives as that one did, until it learns; another shape is refused."""
    import torch

    source = train_here("source", "--max_steps", "8", "--micro_batch_size", "8")
    still = ("--max_steps", "1", "--learning_rate", "0", "--start_from", str(source.home))
    same = train_here("same", *still)
    other = train_here("other", *still, "--system", "pendulum")
    parts = {what: train_here(what, *still, "--transferred", what) for what in ("adapters", "none")}

    def values(run: Finished) -> dict[str, Any]:
        return dict(torch.load(run.home / "model.pt", weights_only=True)["parameters"])

    def taken(run: Finished) -> set[str]:
        return {name.split(".")[0] for name, value in values(run).items() if torch.equal(value, values(source)[name])}

    assert same.summary["final_error"] == pytest.approx(source.summary["final_error"], rel=1e-6)
    assert other.summary["final_error"] > 0
    assert taken(parts["adapters"]) == {"backbone"}
    assert "head" not in taken(parts["none"])
    with pytest.raises(InputError, match="built otherwise: lora_rank 8 there, 4 here"):
        train_here("rank", *still, "--lora_rank", "4")
    with pytest.raises(InputError, match="reads 2 numbers a state, a universal of double_integrator 5"):
        train_here("type", *still, "--model_type", "universal")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--transferred", "none"), "nothing to take without --start_from"),
        (("--heads", "3"), "3 heads do not divide a width of 16; --d_model has to be a multiple of 6"),
        (("--heads", "16"), "a multiple of 32"),
        (("--base_model", "nowhere"), "nowhere is no folder"),
        (("--demonstrations", "1", "--horizon", "1"), "one demonstration of one step has no spread"),
        (("--sanity", "--resume", "some"), "leave out --resume"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(arguments: tuple[str, ...], told: str, train_here: Train) -> None:
    """Before anything is trained, and before anybody is asked for a model of that name."""
    with pytest.raises(InputError, match=told):
        train_here("run", *arguments)


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
def test_adapters_are_saved_as_adapters(train_here: Train, tmp_path: Path) -> None:
    """peft loads them onto a causal language model's backbone, with the trained values."""
    import torch
    from peft import PeftModel
    from transformers import AutoModel, GPT2Config, GPT2LMHeadModel

    small = GPT2Config(vocab_size=8, n_embd=16, n_layer=1, n_head=2, n_positions=32, bos_token_id=0, eos_token_id=0)
    GPT2LMHeadModel(small).save_pretrained(tmp_path / "language_model")
    asked = ("--base_model", str(tmp_path / "language_model"), "--lora_alpha", "4", "--lora_targets", "c_attn")
    run = train_here("run", "--max_steps", "4", *asked)

    loaded = PeftModel.from_pretrained(AutoModel.from_pretrained(tmp_path / "language_model"), run.home / "adapter")
    trained = torch.load(run.home / "model.pt", weights_only=True)["parameters"]
    adapted = {name: value for name, value in loaded.named_parameters() if "lora_B" in name}
    assert adapted
    assert all(torch.equal(value, trained[f"backbone.{name}"]) for name, value in adapted.items())
    assert loaded.peft_config["default"].lora_alpha == 4
    with pytest.raises(InputError, match="no layer has the name nobody; valid: all-linear, c_attn, c_fc, c_proj"):
        train_here("none", "--max_steps", "4", *asked, "--lora_targets", "c_attn", "nobody")
