"""The Mamba block, held against the recurrence step by step and against transformers'; the variants of the models."""

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor  # noqa: E402

from train import symmetry  # noqa: E402
from train.mamba import MambaMixer, scan  # noqa: E402
from train.sequence_models import VARIANTS, SequenceModel, build  # noqa: E402

pytestmark = pytest.mark.train
SIZES = {"vocabulary": 30, "answers": 7, "length": 12, "layers": 2, "width": 16, "states": 4, "heads": 2}


def step_by_step(decay: Tensor, inputs: Tensor) -> Tensor:
    """The recurrence as it is written."""
    found = [0 * decay[:, 0] + inputs[:, 0]]
    for time in range(1, inputs.shape[1]):
        found.append(decay[:, time] * found[-1] + inputs[:, time])
    return torch.stack(found, dim=1)


@pytest.mark.parametrize("length", [1, 2, 8, 32, 33, 70])
@pytest.mark.parametrize("strength", [1e-3, 1.0, 50.0])
def test_the_scan_is_the_recurrence(length: int, strength: float) -> None:
    """At any length and however strong the decay, values and gradients."""
    torch.manual_seed(length)
    shape = (2, length, 3, 4)
    decay = torch.exp(-strength * torch.rand(shape, dtype=torch.float64)).requires_grad_()
    inputs = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(shape, dtype=torch.float64)
    found = [
        (how(decay, inputs), *torch.autograd.grad((how(decay, inputs) * weight).sum(), (decay, inputs)))
        for how in (scan, step_by_step)
    ]
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("length", [1, 3, 8, 29])
def test_equal_weights_give_what_transformers_gives(length: int) -> None:
    """Within 1e-5 of `MambaMixer`, gradients of the input and of every weight too."""
    from transformers import MambaConfig
    from transformers.models.mamba.modeling_mamba import MambaMixer as Theirs

    torch.manual_seed(0)
    config = MambaConfig(hidden_size=32, state_size=16, expand=2, conv_kernel=4, time_step_rank=2, use_bias=False)
    theirs, ours = Theirs(config, 0), MambaMixer(32, 16)
    ours.load_state_dict(theirs.state_dict())
    hidden, weight = torch.randn(4, length, 32), torch.randn(4, length, 32)
    found = []
    for mixer in (ours, theirs):
        given = hidden.clone().requires_grad_()
        out = mixer(given)
        parameters = dict(sorted(mixer.named_parameters()))
        gradients = torch.autograd.grad((out * weight).sum(), (given, *parameters.values()), allow_unused=True)
        found.append((out, *(torch.zeros(()) if each is None else each for each in gradients)))
    for mine, other in zip(*found, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-5)


def test_every_variant_is_what_its_name_says() -> None:
    """Each sees the past alone; convolutions of ones stay so; positions and bypass are there where they are named."""
    for name, variant in VARIANTS.items():
        model = build(variant, 1.0, seed=1, **SIZES)
        mixers = [layer.mixer for layer in model.layers]
        assert (model.positions is not None) == (name not in ("mamba_standard", "mamba_ones_conv"))
        for mixer in mixers:
            hidden = torch.randn(2, 9, 16)
            changed = hidden.clone()
            changed[:, 5:] = torch.randn(2, 4, 16)
            torch.testing.assert_close(mixer(hidden)[:, :5], mixer(changed)[:, :5])
            assert not torch.equal(mixer(hidden)[:, 5:], mixer(changed)[:, 5:])
            assert isinstance(mixer, MambaMixer) == name.startswith("mamba")
            assert (getattr(mixer, "conv1d", None) is not None) == (name != "transformer")
            if name == "mamba_ones_conv":
                assert not mixer.conv1d.weight.requires_grad
                assert not mixer.conv1d.bias.requires_grad
                assert bool((mixer.conv1d.weight == 1).all())
            if isinstance(mixer, MambaMixer):
                assert mixer.bypass == (name == "mamba_residual")


def test_the_command_line_offers_every_variant() -> None:
    """The names stand there once more, so that --help needs no PyTorch."""
    (offered,) = [each.choices for each in symmetry.parser()._actions if each.dest == "model"]
    assert list(offered) == list(VARIANTS)


@pytest.mark.parametrize("gamma", [0.5, 1.0])
def test_gamma_sets_the_size_of_every_matrix(gamma: float) -> None:
    """Standard deviation (1/inputs)^gamma, whatever the default of the library; convolutions are left alone."""
    model = build(VARIANTS["transformer_with_conv"], gamma, seed=1, **{**SIZES, "width": 64, "vocabulary": 400})
    matrices = [module for module in model.modules() if isinstance(module, torch.nn.Linear)]
    assert len(matrices) == 2 * 4 + 1
    for matrix in matrices:
        assert matrix.weight.std().item() == pytest.approx(matrix.in_features**-gamma, rel=0.1)
    assert model.embeddings.weight.std().item() == pytest.approx(400**-gamma, rel=0.1)


def test_the_seed_draws_the_weights() -> None:
    """The same seed the same weights, another seed others."""
    first, again, other = (build(VARIANTS["mamba_standard"], 0.5, seed, **SIZES) for seed in (1, 1, 2))
    for name, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
    assert not torch.equal(first.head.weight, other.head.weight)
    assert isinstance(first, SequenceModel)
