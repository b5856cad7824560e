"""Which numbers a program writes into files: the source that is found reads what the program wrote."""

import pytest

from hpc.core.program.written import find_written

TENSORBOARD = """
from torch.utils.tensorboard import SummaryWriter
writer = SummaryWriter({folder})
for step in range(3):
    writer.add_scalar("Loss/train", 1.0, step)
    writer.add_scalar("Loss/val", 0.5, step)
    writer.add_histogram("weights", x, step)
"""
LIGHTNING = """
class Model(L.LightningModule):
    def validation_step(self, batch, _):
        self.log("val_acc", accuracy(batch))
trainer = L.Trainer(logger=CSVLogger("logs", name="mnist"))
"""
WANDB = """
import wandb
run = wandb.init(project="p"{folder})
for step in range(3):
    {run}.log({{"epoch": step, "train/loss": 1.0, "val/acc": 0.5}})
"""
LIGHTNING_TO_WANDB = """
class Model(L.LightningModule):
    def validation_step(self, batch, _):
        self.log("val_acc", accuracy(batch))
trainer = L.Trainer(logger=WandbLogger(project="p"))
"""


@pytest.mark.parametrize(
    ("source", "name", "goal", "kind", "place"),
    [
        (TENSORBOARD.format(folder=""), "Loss/val", "min", "tensorboard", "runs"),
        (TENSORBOARD.format(folder="'tb'"), "Loss/val", "min", "tensorboard", "tb"),
        (TENSORBOARD.format(folder="log_dir=args.logdir"), "Loss/val", "min", "tensorboard", "."),
        (LIGHTNING, "val_acc", "max", "csv", "logs/mnist/*/metrics.csv"),
        ("json.dump({'acc': a, 'n': 3}, open('outputs/results.json', 'w'))", "acc", "max", "json_file",
         "outputs/results.json"),
        ("r = {'test': {'loss': a}}\nwith open('r.json', 'w') as f:\n    f.write(json.dumps(r))", "test/loss", "min",
         "json_file", "r.json"),
        ("with open(os.path.join(args.out, 'm.json'), 'w') as f:\n    json.dump(dict_, f)\ndict_ = {'f1': 1}", "f1",
         "max", "json_file", "{out_dir}/m.json"),
        (WANDB.format(run="wandb", folder=""), "val/acc", "max", "wandb", "wandb"),
        (WANDB.format(run="self.run", folder=", dir='logs'"), "val/acc", "max", "wandb", "logs"),
        (WANDB.format(run="run", folder=", dir=args.out"), "val/acc", "max", "wandb", "."),
        (LIGHTNING_TO_WANDB, "val_acc", "max", "wandb", "wandb"),
    ],
)  # fmt: skip
def test_the_file_is_found(source: str, name: str, goal: str, kind: str, place: str) -> None:
    """By the writer's own words; the held-out number first."""
    found = find_written(source)[0]
    assert (found.name, found.goal, found.kind, found.pattern) == (name, goal, kind, place)


@pytest.mark.parametrize(
    "source",
    [
        "json.load(open('results.json'))",
        "json.dump({'acc': 1}, open(name, 'w'))",
        "json.dump({'acc': 1}, open('/scratch/r.json', 'w'))",
        "json.dump({'acc': 1}, open('a.json', 'w')); json.dump({'acc': 1}, open('b.json', 'w'))",
        "json.dump({'name': 'x'}, open('a.json', 'w'))",
        "writer.add_scalar('loss', 1, 2)",
        "math.log({'loss': 1})",
        "def broken(",
    ],
)
def test_nothing_is_made_up(source: str) -> None:
    """A file that is read, has no name in the source, or of which there are two, is not taken."""
    assert find_written(source) == ()
