"""Names that a program puts together from words it is given: every way they are written out in source."""

import ast
import re

import pytest

from hpc.core.program.printed import find_printed
from hpc.core.program.spelled import known_words, spelled_out
from hpc.core.program.written import find_written

PASSED = """
def evaluate(model, split):
    print(f"{split} loss: {total:.4f}")
evaluate(net, "train")
evaluate(net, split="val")
"""
LOOPED = """
for split in ("train", "val"):
    print(f"{split} loss: {total:.4f}")
"""
DEFAULT = """
def evaluate(model, split="val"):
    print(f"{split} loss: {total:.4f}")
"""
METHOD = """
class Net:
    def step(self, batch, split):
        print(f"{split} loss: {total:.4f}")
    def training_step(self, batch):
        self.step(batch, "train")
    def validation_step(self, batch):
        self.step(batch, "val")
"""
ASSIGNED = """
split = "val"
print(f"{split} loss: {total:.4f}")
"""
LIGHTNING = """
class Net(L.LightningModule):
    def step(self, batch, stage):
        self.log(f"{stage}/acc", acc)
    def training_step(self, batch, _):
        self.step(batch, "train")
    def validation_step(self, batch, _):
        self.step(batch, "val")
    def test_step(self, batch, _):
        self.step(batch, "test")
"""


@pytest.mark.parametrize("source", [PASSED, LOOPED, DEFAULT, METHOD, ASSIGNED])
def test_the_held_out_number_is_told_from_the_others(source: str) -> None:
    """Without the word, one pattern would read the training loss in one line and the other in the next."""
    first = find_printed(source)[0]

    assert (first.name, first.pattern) == ("val_loss", r"val loss:\s*(?P<val_loss>\S+)")


def test_a_helper_that_prints_a_name_is_read() -> None:
    """`def say(name, value)`: the names are what it is called with; what is no metric is none."""
    source = "def say(name, value):\n    print(f'{name}: {value}')\nsay('Loading data', path)\nsay('test acc', acc)\n"
    assert [each.name for each in find_printed(source)] == ["test_acc"]


@pytest.mark.parametrize(
    ("ending", "kind", "name"),
    [
        ("trainer = L.Trainer(logger=TensorBoardLogger(out))", "tensorboard", "val/acc"),
        ("trainer.fit(net)\ntrainer.test(net)", "stdout", "test/acc"),
        ("trainer.validate(net)", "stdout", "val/acc"),
    ],
)
def test_lightnings_names_are_put_together(ending: str, kind: str, name: str) -> None:
    """Where a logger keeps them, or the table that Lightning prints at the end."""
    found = find_written(LIGHTNING + ending)[0]

    assert (found.kind, found.name) == (kind, name)


def test_lightnings_table_is_matched() -> None:
    """As rich draws it, and as plain text."""
    pattern = find_written(LIGHTNING + "trainer.test(net)")[0].pattern
    for line in ("│         test/acc          │    0.8500000238418579     │", "        test/acc            0.85"):
        match = re.search(pattern, line)
        assert match
        assert float(match["test_acc"]) == pytest.approx(0.85)


def test_a_text_is_not_written_out_without_end() -> None:
    """A few ways are looked at, however many there are; a variable that nobody binds stays one."""
    many = ", ".join(f"'w{n}'" for n in range(40))
    tree = ast.parse(f"for a in [{many}]:\n    for b in [{many}]:\n        print(f'{{a}} {{b}} {{c}}')")
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    ways = list(spelled_out(calls[0], known_words(tree)))

    assert len(ways) == 8
    assert all("c" in ast.unparse(way) for way in ways)
