"""Which numbers a program prints: the pattern found in the source matches what the program prints."""

import contextlib
import io
import re
from pathlib import Path

import pytest

from hpc.core.experiment.metric_source import match_line, parse_source
from hpc.core.program.naming import goal_of, guess_for
from hpc.core.program.printed import find_printed

PROGRAMS = Path(__file__).parents[2] / "data/programs"

LINES = [
    ("print(f'step {i}: train loss {x:.4f}, val loss {x:.4f}')", "val_loss", 7),
    ("print('epoch', i, 'loss', x)", "loss", 7),
    ("print('Epoch: %d  Loss: %.3f' % (i, x))", "loss", 7),
    ("print('Test set: Average loss: {:.4f}, Accuracy: {}/{} ({:.0f}%)'.format(x, 9, 10, 90))", "test_loss", None),
    ("print('| epoch {:3d} | {:5d}/{:5d} batches | loss {:5.2f} | ppl {:8.2f}'.format(i, 1, 2, x, x))", "loss", 7),
    ("print(f'[{i}] eval accuracy = {x}')", "eval_accuracy", None),
    ("print('Final error: ' + str(x))", "final_error", None),
    ("print(f'iter {i} | mse={x:8.3f}')", "mse", 7),
    ("print(f'iter={i:06d} val_loss={x:e} done')", "val_loss", 7),
    ("print({'step': i, 'loss': x})", "loss", 7),
    ("print({'eval/accuracy': x, 'epoch': i})", "eval_accuracy", None),
    ("import json; print(json.dumps({'val_loss': x, **{}}))", "val_loss", None),
    ("print(f'done (val loss {x})')", "val_loss", None),
    ("print(f'Reward (mean) {x}, return: {x}')", "return", None),
    ("progress_bar = lambda n, text: print(text); progress_bar(3, 'Loss: %.3f | Acc: %.3f%%' % (x, x))", "loss", None),
]


@pytest.mark.parametrize(("line", "name", "step"), LINES, ids=[name for _, name, _ in LINES])
def test_the_pattern_finds_the_number_in_what_is_printed(line: str, name: str, step: int | None) -> None:
    """The likeliest number of each print is read back from the very output, with its step where there is one."""
    found = find_printed(line)[0]
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(line, {"i": 7, "x": 0.125})  # noqa: S102  a line of this file

    readings = [match_line(parse_source({"stdout": found.pattern}), text) for text in out.getvalue().splitlines()]
    (reading,) = [each for each in readings if each]

    assert found.name == name
    assert reading.values[name] == pytest.approx(0.125, abs=0.01)
    assert reading.step == step


@pytest.mark.parametrize(
    ("program", "name"),
    [
        ("like_nanogpt", "val_loss"),
        ("like_mnist", "test_loss"),
        ("like_run_clm", "eval_loss"),
        ("like_hydra", "val_acc"),
    ],
)
def test_a_held_out_number_goes_before_the_training_loss(program: str, name: str) -> None:
    """What decides an experiment is measured on data the program did not train on."""
    assert find_printed((PROGRAMS / f"{program}.py").read_text())[0].name == name


@pytest.mark.parametrize("text", ["{'eval_loss': 3.25, 'epoch': 1.0}", "  eval_loss               =     3.25"])
def test_both_forms_of_the_trainer_are_read(text: str) -> None:
    """transformers prints a dictionary while it trains, and a table at the end."""
    pattern = find_printed((PROGRAMS / "like_run_clm.py").read_text())[0].pattern
    reading = match_line(parse_source({"stdout": pattern}), text)

    assert reading is not None
    assert reading.values == {"eval_loss": 3.25}


@pytest.mark.parametrize(
    "line",
    [
        "print(f'val acc {x:.1%}')", "print(f'val acc {x:.1f}%')", "print('val acc %.1f%%' % x)",
        "print('val acc {:.1%}'.format(x))", "print(f'val acc {x:.3f}')", "print('val acc', x)",
    ],
)  # fmt: skip
def test_a_percentage_is_read_as_its_number(line: str) -> None:
    """However the sign comes there, the pattern leaves it out: ``12.5%`` is no number."""
    found = find_printed(line)[0]
    for told in ("val acc 12.5%", "val acc 12.5 %", "val acc 12.5"):
        if "%" not in found.pattern and told.endswith("5%"):
            continue  # not what this program prints
        reading = match_line(parse_source({"stdout": found.pattern}), told)
        assert reading is not None
        assert reading.values == {"val_acc": 12.5}
    assert match_line(parse_source({"stdout": guess_for("val acc")}), "val acc: 12.5%").values == {"val_acc": 12.5}


@pytest.mark.parametrize(
    "line", ["print('hello')", "print(f'time {x}')", "print(f'{x:.0f}% done')", "x = 'loss'", "f("]
)
def test_no_number_is_made_up(line: str) -> None:
    """Times, progress and texts are no metrics."""
    assert find_printed(line) == ()


@pytest.mark.parametrize(
    ("name", "goal"), [("val_loss", "min"), ("top1", "max"), ("val/acc", "max"), ("score_loss", "min"), ("x", "min")]
)
def test_the_goal_is_in_the_name(name: str, goal: str) -> None:
    """Losses and errors are better small, accuracies and scores large."""
    assert goal_of(name) == goal


@pytest.mark.parametrize(
    "text",
    ["val loss: 0.5", "VAL_LOSS=0.5", "val-loss   0.5 after 3", "val_loss': 0.5}", 'val_loss": 0.5, "a": 1'],
)
def test_a_guess_takes_the_number_after_the_name(text: str) -> None:
    """However the name is spelled; not the number after another name that ends alike."""
    source = parse_source({"stdout": guess_for("val_loss")})
    reading = match_line(source, text)

    assert reading is not None
    assert reading.values == {"val_loss": 0.5}
    assert match_line(source, f"not{text}") is None


@pytest.mark.parametrize("setting", ["loss scale", "val interval", "score weight", "loss_fn", "accuracy ratio"])
def test_a_setting_is_no_metric(setting: str) -> None:
    """The word of a metric in the name of a setting."""
    assert find_printed(f"print(f'{setting}: {{x}}')") == ()


def test_a_guess_finds_a_row_of_a_table() -> None:
    """As loggers of reinforcement learning print it."""
    assert re.search(guess_for("loss"), "| grad_norm | 3 |\n| loss      | 0.25     |")["loss"] == "0.25"


@pytest.mark.parametrize(
    "line",
    [
        "print(f'Warning: Plotting error for {path}: {error}')",
        "print('Loss is {}, stopping training'.format(loss))",
        "logger.info('val loss %s is not finite', loss)",
        "print(f'accuracy at epoch {i}')",
        "print(f'Evaluating mAP... saving {file}')",
        "print(f'mean error of {name}')",
        "print(f'Export success: {seconds}s')",
        "raise_or_print(f'failed with error {code}')",
    ],
)
def test_what_is_said_where_something_is_wrong_is_no_metric(line: str) -> None:
    """Such a line is missing from every run that goes well, and a value in it is no result."""
    assert find_printed(line) == ()


def test_what_goes_to_a_tracker_is_not_printed() -> None:
    """A dictionary given to wandb is in no line of the output; one that a logger gets is."""
    tracked = "wandb.log({'val/loss': loss, 'step': step})\nself.run.log_metrics({'val/acc': acc})"
    assert find_printed(tracked) == ()
    assert find_printed(f"print(f'val loss {{loss:.4f}}')\n{tracked}")[0].pattern.startswith("val loss")
    assert [each.name for each in find_printed("logger.info({'val_loss': loss})\nlog({'val_acc': acc})")]


@pytest.mark.parametrize(
    "source",
    [
        "print(f'Epoch: {epoch:03d}, Train: {train_acc:.4f}, Val: {val_acc:.4f}, Test: {test_acc:.4f}')",
        "print('Val: {:.4f}'.format(val_acc))",
        "print('Epoch: {0}, Val: {1:.4f}'.format(epoch, acc))",
        "print('Val: %.4f' % val_acc)",
        "logger.info('epoch %d val: %.4f', epoch, acc.item())",
        "from torch_geometric.logging import log\nlog(Epoch=epoch, Loss=loss, Train=train_acc, Val=val_acc)",
    ],
)
def test_a_variable_says_what_its_label_leaves_out(source: str) -> None:
    """`Val: {val_acc}` is an accuracy; what only says which part it is of would be nothing without it."""
    first = find_printed(source)[0]

    assert (first.name, first.goal) == ("val_acc", "max")
    assert re.search(first.pattern, "Epoch: 001, Val: 0.7920, Test: 0.5" if "Val" in source else "epoch 1 val: 0.79")


@pytest.mark.parametrize(
    "line",
    [
        "print(f'Validation loss decreased ({self.val_loss_min:.6f} --> {val_loss:.6f}).  Saving model ...')",
        "print(f'Handling webdataset error ({repr(error)}). Ignoring.')",
        "print(f'val accuracy improved from {best} to {acc}')",
        "print(f'test loss {test_loss} is the best so far, saving model to {out_path}')",
    ],
)
def test_what_is_printed_on_some_days_only_is_no_metric(line: str) -> None:
    """A run whose last value did not improve would keep an older one."""
    assert find_printed(line) == ()
