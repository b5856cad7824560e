"""The Mamba blocks, held against the recurrence step by step and against transformers'; the variants of the models."""

from collections.abc import Callable

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor  # noqa: E402

from train import symmetry  # noqa: E402
from train.mamba import MambaMixer, scan  # noqa: E402
from train.mamba2 import Mamba2Mixer, state_space  # noqa: E402
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


@pytest.mark.parametrize("length", [1, 2, 8, 41])
@pytest.mark.parametrize("strength", [1e-3, 1.0, 50.0])
def test_the_second_state_space_is_the_recurrence(length: int, strength: float) -> None:
    """At any length and however strong the decay, values and gradients: nothing overflows."""
    torch.manual_seed(length)
    values, into, out_of = (torch.randn(2, length, size, dtype=torch.float64) for size in (6, 4, 4))
    step = torch.rand(2, length, dtype=torch.float64)
    rate = torch.tensor([-strength], dtype=torch.float64)
    given = [each.requires_grad_() for each in (values, into, out_of, step, rate)]
    weight = torch.randn(2, length, 6, dtype=torch.float64)

    def slowly(values: Tensor, into: Tensor, out_of: Tensor, step: Tensor, rate: Tensor) -> Tensor:
        put_in = step[:, :, None, None] * into[..., None] * values[:, :, None]  # (batch, time, states, inner)
        state = step_by_step(torch.exp(rate * step)[:, :, None, None], put_in)
        return (out_of[:, :, None] @ state)[:, :, 0]

    found = [(how(*given), *torch.autograd.grad((how(*given) * weight).sum(), given)) for how in (state_space, slowly)]
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


def their_first() -> torch.nn.Module:
    """Transformers' block of the first generation, width 32."""
    from transformers import MambaConfig
    from transformers.models.mamba.modeling_mamba import MambaMixer as Theirs

    return Theirs(MambaConfig(hidden_size=32, state_size=16, expand=2, conv_kernel=4, time_step_rank=2), 0)


def their_second() -> torch.nn.Module:
    """Transformers' block of the second generation, width 32, one head."""
    from transformers import Mamba2Config
    from transformers.models.mamba2.modeling_mamba2 import Mamba2Mixer as Theirs

    sizes = {"hidden_size": 32, "state_size": 16, "expand": 2, "num_heads": 1, "head_dim": 64, "n_groups": 1}
    return Theirs(Mamba2Config(**sizes, conv_kernel=4, chunk_size=16), 0)


@pytest.mark.parametrize(("block", "theirs"), [(MambaMixer, their_first), (Mamba2Mixer, their_second)])
def test_equal_weights_give_what_transformers_gives(
    block: type[MambaMixer | Mamba2Mixer], theirs: Callable[[], torch.nn.Module]
) -> None:
    """Within 1e-5 of its block, gradients of the input and of every weight too."""
    torch.manual_seed(0)
    mixers = (block(32, 16), theirs())
    mixers[0].load_state_dict(mixers[1].state_dict())
    for length in (1, 3, 8, 29):
        hidden, weight = torch.randn(4, length, 32), torch.randn(4, length, 32)
        found = []
        for mixer in mixers:
            given = hidden.clone().requires_grad_()
            out = mixer(given)
            parameters = dict(sorted(mixer.named_parameters()))
            gradients = torch.autograd.grad((out * weight).sum(), (given, *parameters.values()), allow_unused=True)
            found.append((out, *(torch.zeros(()) if each is None else each for each in gradients)))
        for mine, other in zip(*found, strict=True):
            torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-5)


def test_the_authors_kernel_is_given_what_it_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Played by its definition, in the shapes that its documentation names, it gives our values and gradients.

    The kernel itself needs a GPU: `tests/gpu` holds it to the same recurrence.
    """

    def kernel(inputs: Tensor, steps: Tensor, rate: Tensor, into: Tensor, out_of: Tensor, direct: Tensor) -> Tensor:
        (batch, channels, length), states = inputs.shape, rate.shape[1]
        assert steps.shape == inputs.shape
        assert into.shape == out_of.shape == (batch, states, length)
        assert all(each.is_contiguous() for each in (inputs, steps, into, out_of))
        state, found = torch.zeros(batch, channels, states), []
        for time in range(length):
            step = steps[:, :, time, None]
            state = (step * rate).exp() * state + step * inputs[:, :, time, None] * into[:, None, :, time]
            found.append((state * out_of[:, None, :, time]).sum(-1))
        return torch.stack(found, -1) + direct[:, None] * inputs

    torch.manual_seed(0)
    mixer, hidden = MambaMixer(16, states=4), torch.randn(2, 11, 16)
    seen: list[Tensor] = []
    for found in (None, kernel):
        monkeypatch.setattr("train.mamba.fused_scan", lambda _, found=found: found)
        mixer.zero_grad()
        mixed = mixer(hidden)
        mixed.square().sum().backward()
        seen.append(torch.cat([mixed.detach().flatten(), *(each.grad.flatten() for each in mixer.parameters())]))
    torch.testing.assert_close(*seen, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("generation", "block"), [(1, MambaMixer), (2, Mamba2Mixer)])
def test_every_variant_is_what_its_name_says(generation: int, block: type[torch.nn.Module]) -> None:
    """Each sees the past alone; convolutions of ones stay so; positions and bypass are there where they are named."""
    for name, variant in VARIANTS.items():
        model = build(variant, 1.0, seed=1, mamba=generation, **SIZES)
        mixers = [layer.mixer for layer in model.layers]
        assert (model.positions is not None) == (name not in ("mamba_standard", "mamba_ones_conv"))
        for mixer in mixers:
            hidden = torch.randn(2, 9, 16)
            changed = hidden.clone()
            changed[:, 5:] = torch.randn(2, 4, 16)
            torch.testing.assert_close(mixer(hidden)[:, :5], mixer(changed)[:, :5])
            assert not torch.equal(mixer(hidden)[:, 5:], mixer(changed)[:, 5:])
            assert isinstance(mixer, block) == name.startswith("mamba")
            assert (getattr(mixer, "conv1d", None) is not None) == (name != "transformer")
            if name == "mamba_ones_conv":
                assert not mixer.conv1d.weight.requires_grad
                assert not mixer.conv1d.bias.requires_grad
                assert bool((mixer.conv1d.weight == 1).all())
            if isinstance(mixer, block):
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
    for embeddings in (model.embeddings, model.positions):
        assert embeddings.weight.std().item() == pytest.approx(400**-gamma, rel=0.1)


def test_the_seed_draws_the_weights() -> None:
    """The same seed the same weights, another seed others."""
    first, again, other = (build(VARIANTS["mamba_standard"], 0.5, seed, **SIZES) for seed in (1, 1, 2))
    for name, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
    assert not torch.equal(first.head.weight, other.head.weight)
    assert isinstance(first, SequenceModel)
