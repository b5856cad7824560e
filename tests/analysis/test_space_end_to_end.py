"""Values that are no file names, lists, mappings, flags and dotted names: from the plan to reports and exports."""

import csv
import json
from pathlib import Path

import pytest

from analysis.export import main as export
from analysis.loaded import load
from hpc.core.experiment.slug import slug
from tests.local_projects import LocalProject, make_project

SPACE = """
name: tiny
type: hyperparameter_sweep
brief:
  hypothesis: wider is better
  criterion: mean(loss, layers='[64,64]', model='meta-llama/Llama-3.1-8B', amp=true) < 200
program:
  command: >-
    python3 program.py {model} --layers {layers} --lr={model.lr} {amp:flag} --bf16 {bf16} --sizes {layers:words}
    --optim {optim} --seed {seed} --warmup {warmup} {config}
  config: conf/base.json
  args: {optim: {name: adam, betas: [0.9, 0.95]}, bf16: false}
  booleans: True/False
sweep:
  grid:
    model: ["meta-llama/Llama-3.1-8B", gpt2, "a text; $(touch x) 'with' spaces"]
    layers: [[64, 64], [128]]
    model.lr: [1e-4, 3e-4]
    amp: [true, false]
    warmup: [5]
  when: {warmup: model == 'gpt2'}
  where: "(model != 'gpt2' or layers == [128]) and amp == (model.lr < 2e-4)"
  seeds: 1..1
baseline: {layers: [128]}
metrics:
  primary: {name: loss, goal: min, meaningful: 5%}
  source: {stdout: 'loss: (?P<loss>\\S+)'}
resources: {cpus: 1, mem: 500MB, time: "0:10:00", for: [{where: "model == 'gpt2' and model.lr < 2e-4", mem: 600MB}]}
"""
CONFIG = """
{"net": "{model}", "layers": [1], "model.lr": 0.5, "optim": {}, "seed": 0,
 "note": "{model:slug} x{layers} ${seed} {epoch}", "sub": {"amp": "{amp}"}}
"""
PROGRAM = """
import json, sys
print(json.dumps([*sys.argv[1:-1], json.load(open(sys.argv[-1]))]))
print("loss:", sum(json.loads(sys.argv[3])) + len(sys.argv[1]) + float(sys.argv[4].partition("=")[2]))
"""
LLAMA = "meta-llama/Llama-3.1-8B"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> LocalProject:
    """The sweep, planned, run here, collected and reported."""
    made = make_project(tmp_path_factory.mktemp("project"), SPACE, PROGRAM)
    (made.folder / "conf").mkdir()
    (made.folder / "conf/base.json").write_text(CONFIG)
    for words in (("plan", "tiny", "--cluster", "local"), ("submit", "tiny"), ("collect", "tiny")):
        made.hpc(*words)
    return made


@pytest.fixture(scope="module")
def report(project: LocalProject) -> dict[str, object]:
    """What ``report --json`` says."""
    done = project.call("-m", "analysis.report", "tiny", "--json")
    assert done.returncode == 0, done.stderr
    told: dict[str, object] = json.loads(done.stdout)
    return told


def test_each_program_gets_its_values_as_they_are(project: LocalProject) -> None:
    """The command line of every task, flag on and off: JSON for lists, words where asked, and no shell in between."""
    tasks = json.loads((project.runs / "tiny/manifest.json").read_text())["tasks"]

    assert len(tasks) == 10
    for task in tasks:
        values, folder = task["parameters"], project.runs / "tiny/tasks" / task["run_name"]
        *argv, config = json.loads((folder / "attempt-1/stdout.log").read_text().splitlines()[0])
        record = json.loads((folder / "attempt-1/task.json").read_text())
        flag = ["--amp"] if values["amp"] else []
        words = [str(size) for size in values["layers"]]
        warmup = ["--warmup", "5"] if values["model"] == "gpt2" else []
        layers = json.dumps(values["layers"], separators=(",", ":"))
        assert argv == [values["model"], "--layers", layers, f"--lr={values['model.lr']}", *flag, "--bf16", "False",
                        "--sizes", *words, "--optim", '{"betas":[0.9,0.95],"name":"adam"}', "--seed", "1",
                        *warmup]  # fmt: skip
        assert record["parameters"] == values
        assert config == {
            "net": values["model"], "layers": values["layers"], "model.lr": values["model.lr"], "seed": 1,
            "optim": {"name": "adam", "betas": [0.9, 0.95]}, "sub": {"amp": values["amp"]},
            "note": f"{slug(values['model'])} x{layers} ${{seed}} {{epoch}}",
        }  # fmt: skip
        assert json.loads((folder / "attempt-1/work/conf/base.json").read_text()) == config
        is_small = values["model"] == "gpt2" and values["model.lr"] == 1e-4
        assert record["resources"]["memory_mib"] == (600 if is_small else 500)
    assert not list(project.runs.rglob("x"))
    names = [task["run_name"] for task in tasks if task["parameters"]["model"] == LLAMA]
    assert names[0].startswith("modelmeta-llama-Llama-3.1-8B@")


def test_no_run_disappears_from_the_report(project: LocalProject, report: dict[str, object]) -> None:
    """All ten runs finished, are told apart by value, and are compared with the baseline that is a list."""
    with (project.runs / "tiny/report/runs.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))

    assert report["counts"]["finished"] == 10  # type: ignore[index]
    assert report["criterion"]["ruling"] == "MET AT FACE VALUE"  # type: ignore[index]
    assert {row["parameter.layers"] for row in rows} == {"[64,64]", "[128]"}
    assert {row["parameter.model"] for row in rows} >= {LLAMA, "gpt2"}
    assert {row["parameter.model.lr"] for row in rows} == {"0.0001", "0.0003"}
    assert not [text for text in report["limitations"] if "by hand" in text or "an id" in text]  # type: ignore[attr-defined]


def test_tables_and_exports_have_them_too(
    project: LocalProject, report: dict[str, object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`hpc.load` groups by a list's text; the collected table, the CSV and TensorBoard exports have every run."""
    runs = load("tiny", root=project.runs).runs
    with (project.runs / "tiny/collected/tasks.csv").open(encoding="utf-8") as file:
        collected = list(csv.DictReader(file))

    assert runs.groupby(["model", "layers"])["loss"].count().sum() == 10
    assert runs["model.lr"].dtype.kind == "f"
    assert {row["layers"] for row in collected} == {"[64,64]", "[128]"}
    for tool in ("csv", "tensorboard"):
        assert export(["tiny", "--root", str(project.runs), "--out", str(tmp_path / tool), "--json", "--to", tool]) == 0
        assert len(json.loads(capsys.readouterr().out)["sent"]) == 10
