"""`train.lm`: lines with the losses, an exact budget, the same after a resume; it knows nothing of the toolkit."""

import ast
import math
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from hpc.core.experiment.metric_source import match_line, parse_source
from hpc.experiments.schema import load_experiment
from train import gpt, lm, sizes, text

pytestmark = pytest.mark.train
ROOT = Path(__file__).parents[2]
SMALL = (
    "--depth", "1", "--width", "16", "--seq_len", "16", "--batch_size", "8", "--val_tokens", "500",
    "--train_tokens", "1500", "--eval_every", "4", "--lr", "0.01",
)  # fmt: skip
TIMES = r"(tokens_per_second|peak_memory_mib): \S+"


@dataclass(frozen=True)
class Run:
    """How a run ended and what it printed."""

    code: int
    out: str
    home: Path

    @property
    def steps(self) -> list[dict[str, float]]:
        """The values of each line of the result."""
        lines = [line for line in self.out.splitlines() if line.startswith("Step ")]
        return [{name: float(value) for name, value in re.findall(r"(\w+):? (\S+)", line)} for line in lines]

    @property
    def timeless(self) -> list[str]:
        """What it printed without what depends on the machine."""
        return [re.sub(TIMES, "", line) for line in self.out.splitlines()]

    @property
    def model(self) -> dict[str, torch.Tensor]:
        return torch.load(self.home / "model.pt", weights_only=True)["parameters"]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Run in this process, on one thread; signals are as they were afterwards."""
    torch.set_num_threads(1)
    before = {number: signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGTERM)}

    def start(name: str, *more: str) -> Run:
        capsys.readouterr()
        code = lm.main([*SMALL, "--output_dir", str(tmp_path / name), *more])
        return Run(code, capsys.readouterr().out, tmp_path / name)

    yield start
    for number, handler in before.items():
        signal.signal(number, handler)


Start = Callable[..., Run]


def test_the_last_line_is_the_result(run: Start) -> None:
    """From log(256) downward, never below the floor; every token of the budget, the last step with what is left."""
    done = run("whole")
    first, *_, last = done.steps
    assert done.code == 0
    assert [line["Step"] for line in done.steps] == [0, 4, 8, 12]
    assert first["val_loss"] == pytest.approx(math.log(256), abs=0.1)
    assert last["floor"] < last["val_loss"] < first["val_loss"] - 1
    assert last["tokens"] == 1500
    assert last.keys() >= {"train_loss", "lr", "grad_norm", "tokens_per_second", "peak_memory_mib"}
    assert re.fullmatch(r"data_hash: [0-9a-f]{64}", done.out.splitlines()[0])
    assert re.match(r"sample: .{10}", done.out.splitlines()[-1])
    assert run("again").timeless == done.timeless
    assert run("other", "--seed", "7").steps[-1]["val_loss"] != last["val_loss"]


def test_resuming_is_bitwise(run: Start) -> None:
    """Lines, sample and weights of the resumed run are those of the one that never stopped."""
    whole = run("whole", "--checkpoint_every", "3")
    assert sorted(path.name for path in (whole.home / "checkpoints").iterdir()) == [
        "step-00000006.pt", "step-00000009.pt",
    ]  # fmt: skip
    torch.manual_seed(999)
    rest = run("rest", "--resume", str(whole.home / "checkpoints/step-00000006.pt"))
    assert rest.timeless == [line for line in whole.timeless if not re.match("Step [04] ", line)]
    assert all(torch.equal(values, rest.model[name]) for name, values in whole.model.items())


def test_it_stops_with_a_checkpoint_when_told(run: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGUSR1 in a step: that step is finished and saved, the exit code asks for another start."""
    whole = run("whole")

    def interrupted(tokens, step, **packing):
        if step == 5:
            os.kill(os.getpid(), signal.SIGUSR1)
        return text.draw(tokens, step, **packing)

    monkeypatch.setattr(gpt, "draw", interrupted)
    half = run("half")
    monkeypatch.undo()
    rest = run("rest", "--resume", str(half.home / "checkpoints/step-00000005.pt"))
    assert (half.code, rest.code) == (85, 0)
    assert [*half.timeless, *rest.timeless[1:]] == whole.timeless


def test_another_runs_checkpoint_is_refused(run: Start) -> None:
    """With what differs; a smaller micro-batch is no other run."""
    saved = run("whole", "--checkpoint_every", "6").home / "checkpoints/step-00000006.pt"
    with pytest.raises(SystemExit, match=r"another run: data_seed 0 there, 1 here, lr .* data_hash"):
        run("other", "--resume", str(saved), "--lr", "0.1", "--data_seed", "1")
    assert run("smaller", "--resume", str(saved), "--micro_batch_size", "2").code == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--text", "/dev/null"), "the text is too short: of 0 tokens no sequence of 16"),
        (("--val_tokens", "15"), "--val_tokens 15 is less than one sequence"),
        (("--head_width", "7"), "a width of 16 is no multiple of --head_width 7"),
        (("--output_dir", "/dev/null/x"), "Not a directory"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(
    arguments: tuple[str, ...], told: str, run: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    """As argparse does: code 2, and what was found; before anything is trained."""
    with pytest.raises(SystemExit, match="2"):
        run("wrong", *arguments)
    assert told in capsys.readouterr().err


def test_what_is_no_checkpoint_is_refused(run: Start) -> None:
    """A model is none, nor is a file that is missing."""
    model = run("whole").home / "model.pt"
    for path in (model, model.parent / "missing"):
        with pytest.raises(SystemExit, match="is no checkpoint that can be read"):
            run("other", "--resume", str(path))


def test_without_clipping_it_learns(run: Start) -> None:
    """0 stands for none, as in the other programs."""
    assert run("free", "--clip", "0").timeless == run("wide", "--clip", "1e9").timeless


def test_a_smaller_micro_batch_is_the_same_training(run: Start) -> None:
    """Also in the last step, whose sequences are fewer and not full."""
    whole, parts = run("whole"), run("parts", "--micro_batch_size", "3")
    for one, other in zip(whole.steps, parts.steps, strict=True):
        assert one["val_loss"] == pytest.approx(other["val_loss"], abs=2e-4)


def test_bf16_products_learn_the_same(run: Start) -> None:
    """Nearly the same loss, not exactly, and weights in full precision."""
    whole, rough = run("whole"), run("rough", "--precision", "bf16")
    assert rough.steps[-1]["val_loss"] == pytest.approx(whole.steps[-1]["val_loss"], abs=0.05)
    assert rough.timeless != whole.timeless
    assert {values.dtype for values in rough.model.values()} == {torch.float32}


def test_a_loss_that_is_not_finite_ends_it(run: Start) -> None:
    """With the step, so that a log of it can say so."""
    with pytest.raises(FloatingPointError, match=r"(loss|gradient norm) is (nan|inf) at step 2"):
        run("wild", "--lr", "1e30", "--schedule", "constant", "--warmup", "0")


@pytest.mark.parametrize(
    ("schedule", "shares"),
    [
        ("constant", [0.5, 1, 1, 1, 1, 1]),
        ("trapezoid", [0.5, 1, 1, 1, 1, 0.625]),
        ("cosine", [0.5, 1, 1, 0.853553, 0.5, 0.146447]),
    ],
)
def test_the_learning_rate_follows_its_schedule(schedule: str, shares: list[float]) -> None:
    """Up in a line, then as named: flat, flat and down in a line, or half a cosine; it is 0 one step after the last."""
    args = lm.parser().parse_args(["--lr", "2", "--warmup", "0.34", "--schedule", schedule, "--cooldown", "0.4"])
    assert [gpt.learning_rate(args, step, 6) / 2 for step in range(1, 7)] == pytest.approx(shares, abs=1e-6)


def test_validation_counts_every_whole_sequence_alike() -> None:
    """The mean over batches of unequal size is that over all sequences at once."""
    model = gpt.GPT(256, 16, 1, 16, 1)
    tokens = torch.arange(16 * 7 + 5, dtype=torch.uint8)
    uneven, together = (gpt.validate(model, tokens, 16, batch) for batch in (3, 100))
    assert uneven == pytest.approx(together, rel=1e-6)


@torch.no_grad()
def test_what_it_writes_depends_on_what_came_before_alone() -> None:
    """The zeros behind it change nothing: as drawn from a window that grows and then moves on."""
    torch.manual_seed(1)
    model, chance = gpt.GPT(256, 16, 1, 16, 1), torch.Generator().manual_seed(3)
    torch.nn.init.normal_(model.head.weight, std=2.0)
    expected = [7]
    for _ in range(30):
        scores = model(torch.tensor([expected[-16:]]))[0, -1]
        expected.append(int(torch.multinomial(scores.softmax(-1), 1, generator=chance)))

    assert gpt.write_on(model, 7, 30, 16, 3) == expected[1:]


@pytest.mark.parametrize("module", [lm, gpt, text, sizes])
def test_it_knows_nothing_of_the_toolkit(module) -> None:
    """No import of `hpc`, and of `train` only parts that have none either: it runs wherever PyTorch is."""
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    names = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    names |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert {name for name in names if name.split(".")[0] in ("hpc", "train", "analysis")} <= {
        "train.gpt", "train.text", "train.options", "train.sizes",
        "train.lm_sanity",  # where --sanity is asked for alone
    }  # fmt: skip
    assert "environ" not in Path(module.__file__).read_text(encoding="utf-8")


def test_the_shipped_experiments_read_its_lines(run: Start) -> None:
    """All that it measures is found by their pattern, in the first line and in the last."""
    spec = load_experiment(ROOT / "manifests/experiments/baseline_variance_1M_small.yaml")
    source = parse_source(spec.raw["metrics"]["source"])
    done = run("whole")
    readings = [reading for line in done.out.splitlines() if (reading := match_line(source, line))]
    assert [{"Step": reading.step, **reading.values} for reading in readings] == done.steps


def test_the_ladder_of_a_language_model(run: Start) -> None:
    """--sanity climbs every rung and trains nothing; a text that is tested with what it taught is refused."""
    done = run("ladder", "--sanity", "--train_tokens", "4000")
    assert done.code == 0
    rungs = re.findall(r"^sanity: ([a-z ]+): ", done.out, re.MULTILINE)
    assert rungs == ["shapes", "leakage", "initial loss", "one batch", "simple baselines"]
    assert "next: the same with --train_tokens 400, then the run" in done.out
    assert not (done.home / "model.pt").exists()

    text = done.home / "text"
    text.write_text("abcdefghijklmnop" * 200)
    assert run("leak", "--sanity", "--text", str(text)).code == 1


def test_its_help_knows_the_schedules() -> None:
    """They stand there without PyTorch, and are those that there are."""
    assert list(gpt.SCHEDULES) == lm._SCHEDULES


def test_its_help_does_not_wait_for_pytorch() -> None:
    """Reading the command line imports nothing heavy."""
    asked = "import sys, train.lm as c; c.parser().format_help(); print(sorted(sys.modules))"
    modules = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stdout

    assert "'train.options'" in modules
    assert all(f"'{heavy}'" not in modules for heavy in ("torch", "numpy", "hpc"))
