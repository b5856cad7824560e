"""`make gpu-check` where there is no GPU, and the page it writes where there is one."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from tests.parts import REPOSITORY, load

RESULTS = """<testsuites><testsuite>
<testcase classname="tests.gpu.test_training" name="test_bf16" time="12.4"/>
<testcase classname="tests.gpu.test_training" name="test_two" time="0.1"><skipped message="needs two GPUs"/></testcase>
<testcase classname="tests.gpu.test_training" name="test_memory" time="31"><failure message="no">…</failure></testcase>
</testsuite></testsuites>"""


def torch_with(count: int) -> ModuleType:
    """What of PyTorch it asks, on a machine with so many GPUs."""
    gpu = SimpleNamespace(name="H100", total_memory=80 * 2**30)
    cuda = SimpleNamespace(
        is_available=lambda: count > 0, device_count=lambda: count, get_device_properties=lambda _: gpu
    )
    module = ModuleType("torch")
    module.__dict__.update(cuda=cuda, __version__="2.13", version=SimpleNamespace(cuda="12.8"))
    return module


def test_without_a_gpu_it_is_one_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Code 75 (try elsewhere), and the record of an earlier check stays."""
    check = load(REPOSITORY / "benchmarks/gpu_check.py")
    monkeypatch.setitem(sys.modules, "torch", torch_with(0))
    before = check.PAGE.read_text()
    assert check.main() == 75
    assert capsys.readouterr().err.splitlines() == [
        "gpu-check: no GPU here (torch.cuda.is_available() is false); nothing was checked"
    ]
    assert check.PAGE.read_text() == before


def test_the_record_says_what_each_test_came_to(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With the machine it was; what was left out with its reason."""
    check = load(REPOSITORY / "benchmarks/gpu_check.py")
    monkeypatch.setitem(sys.modules, "torch", torch_with(1))
    (tmp_path / "results.xml").write_text(RESULTS)
    page = check.page(tmp_path / "results.xml", 44.0)
    assert "1 × H100 (80 GiB), PyTorch 2.13, CUDA 12.8" in page
    assert page.splitlines()[-3:] == [
        "| `test_bf16` | passed | 12 s |",
        "| `test_two` | left out: needs two GPUs | 0 s |",
        "| `test_memory` | failed | 31 s |",
    ]
