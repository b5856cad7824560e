"""The notebook of the documentation runs from first to last cell, in a repository that `hpc init` made ready."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.local_projects import REPO, command_environment

NOTEBOOK = REPO / "docs/notebook.ipynb"


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stranger's repository after `hpc init`, and the environment of a kernel that is started in it."""
    shutil.copy(REPO / "tests/data/programs/like_mnist.py", tmp_path / "train.py")
    environment = command_environment()
    subprocess.run([sys.executable, "-m", "hpc.init", "--yes"], cwd=tmp_path, env=environment, check=True)
    for name in set(os.environ) - set(environment):
        monkeypatch.delenv(name)
    monkeypatch.setenv("PYTHONPATH", str(REPO))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    return tmp_path


@pytest.mark.filterwarnings("ignore")  # Jupyter's own, which are not ours to mend
def test_the_notebook_runs(repository: Path) -> None:
    """No cell raises, and the tables it shows hold the sweep's values."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(repository)}}).execute()
    shown = ["".join(out["data"]["text/plain"] for out in cell.outputs if "data" in out)
             for cell in notebook.cells if cell.cell_type == "code"]  # fmt: skip

    assert "'finished': 9" in shown[1]
    assert "test_loss" in shown[2]
    assert "lr=1.0" in shown[5] or "lr=1" in shown[5]


def test_the_notebook_is_kept_without_outputs() -> None:
    """What a reader sees is what the code of today gives, not what somebody saw once."""
    cells = nbformat.read(NOTEBOOK, as_version=4).cells

    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)
