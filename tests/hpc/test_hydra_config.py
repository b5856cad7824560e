"""A hydra configuration with groups, as `hpc init` reads it without hydra."""

from pathlib import Path

import pytest

from hpc.core.program.arguments import from_mapping
from hpc.newcomer.hydra_config import read_config, targets_in

FILES = {
    "train.yaml": "defaults:\n  - _self_\n  - model: mlp\n  - optional local: none_there\n  - paths: default\n"
    "  - override hydra/launcher: joblib\n  - logger: null\nseed: null\nlr: 1\nhydra: {run: {dir: x}}\n",
    "model/mlp.yaml": "defaults:\n  - net: small\n_target_: src.models.mlp.Module\nhidden: 64\noptimizer: {lr: 0.01}\n",
    "model/net/small.yaml": "width: 8\n",
    "paths/default.yaml": "# @package _global_\npaths: {output_dir: '${hydra:runtime.output_dir}'}\nlr: 2\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_groups_stand_below_their_names(folder: Path) -> None:
    """Nested ones, too; a file's head puts it elsewhere; later values win; hydra's own part is left out."""
    assert read_config(folder, "train") == {
        "seed": None,
        "lr": 2,
        "model": {"net": {"width": 8}, "_target_": "src.models.mlp.Module", "hidden": 64, "optimizer": {"lr": 0.01}},
        "paths": {"output_dir": "${hydra:runtime.output_dir}"},
    }


def test_arguments_and_modules_are_found_in_it(folder: Path) -> None:
    """A seed that is null is an argument all the same; `_target_` is none, and names a module."""
    config = read_config(folder, "train.yaml")
    names = [argument.name for argument in from_mapping(config)]

    assert names == ["seed", "lr", "model.net.width", "model.hidden", "model.optimizer.lr", "paths.output_dir"]
    assert [str(path) for path in targets_in(config)] == ["src/models/mlp"]


def test_its_own_values_come_last_where_nothing_is_said(tmp_path: Path) -> None:
    """Without `_self_` hydra puts the file after what it lists."""
    (tmp_path / "a.yaml").write_text("defaults: [b]\nx: 1\n")
    (tmp_path / "b.yaml").write_text("x: 2\ny: 3\n")
    assert read_config(tmp_path, "a") == {"x": 1, "y": 3}


@pytest.mark.parametrize(
    "text", ["", "- a\n", "defaults: 3\n", "defaults: [a]\n", "a: [\n", "defaults: [{m: [1, {}]}]\n"]
)
def test_what_cannot_be_read_is_left_out(tmp_path: Path, text: str) -> None:
    """A loop, a list, no YAML: nothing is raised."""
    (tmp_path / "a.yaml").write_text(text)
    assert read_config(tmp_path, "a") == {}
