"""Stored baselines: written once, used while nothing but the question changed, else refused with what differs."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from analysis.data.baselines import StoredBaseline, stored_baseline
from analysis.data.frame import load_frame
from analysis.report import build, build_styled
from analysis.second_look import decide_second_look
from tests.analysis.made_experiments import Experiment, make_finished, make_spec, make_task

SEEDS = (42, 137, 256, 512, 1024)
COMMAND = "python train_llm.py --train_tokens {train_tokens} --seed {seed} --output_dir {out_dir}"
PROGRAM = {"command": COMMAND, "args": {"train_tokens": 1_000_000}}


def make(
    root: Path, name: str, values: Mapping[str, float], seeds: tuple[int, ...], code: Mapping[str, str], **spec: Any
) -> Experiment:
    """An experiment over one parameter `norm` (value → mean), with its frozen code; no parameter: the baseline."""
    norms = list(values)
    spec = {
        "program": {**PROGRAM, "command": COMMAND if norms == [""] else COMMAND + " --norm {norm}"},
        "sweep": {"grid": {} if norms == [""] else {"norm": norms}, "seeds": list(seeds)},
        "baseline": None,
        "metrics": {"primary": {"name": "val_loss", "goal": "min"}},
        "batch": None,
        **spec,
    }
    tasks = [make_task({"norm": norm} if norm else {}, seed, f"N{norm}_S{seed}") for norm in norms for seed in seeds]
    experiment = Experiment(root, tasks, make_spec(name, **spec))
    for number, task in enumerate(tasks):
        value = values[task["parameters"].get("norm", "")] + (number % 5 - 2) / 100
        experiment.judged.append(make_finished(experiment, task, {"val_loss": value, "wall_time": 100.0 + number}))
    folder = experiment.layout.code / experiment.provenance["code"]["sha256"][:16]
    for path, text in code.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return experiment


CODE = {"train_llm.py": "print(1)", "README.md": "a", "manifests/experiments/a.yaml": "x"}
USES = {"analysis": {"baseline_from": "variance"}}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make(tmp_path, "variance", {"": 3.0}, SEEDS, CODE, type="baseline_variance").write()
    return tmp_path


def found(root: Path, **changed: Any) -> StoredBaseline:
    code = {**CODE, "README.md": "another text", "manifests/experiments/b.yaml": "y", **changed.pop("code", {})}
    provenance = changed.pop("provenance", {})
    experiment = make(root, "norms", {"rms": 2.5, "none": 3.001}, SEEDS[:3], code, **{**USES, **changed})
    experiment.provenance.update(provenance)
    stored = stored_baseline(load_frame(experiment.write()))
    assert stored is not None
    return stored


def test_the_runs_are_stored_once_and_used(root):
    """The first use writes the file; later ones read it, whatever became of the experiment it came from."""
    first = found(root)
    path = root / ".baselines/variance.json"
    text = path.read_text()

    assert (first.refused, first.path) == ("", path)
    assert first.samples["val_loss"].values.tolist() == [2.98, 2.99, 3.0, 3.01, 3.02]
    assert first.seeds == SEEDS
    assert first.unknown == ("data",)
    make(root, "variance", {"": 9.0}, SEEDS, CODE, type="baseline_variance").write()
    assert found(root).samples["val_loss"].values.tolist() == first.samples["val_loss"].values.tolist()
    assert path.read_text() == text


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"code": {"train_llm.py": "print(2)"}}, "other code ("),
        ({"code": {"hpc/model.py": "x = 2"}}, "other code ("),
        ({"code": {"prompts/system.md": "be long"}}, "other code ("),
        ({"provenance": {"image": {"sha256": "e" * 64}}}, "environment (.*: image c0ffee00"),
        ({"provenance": {"packages": {"torch": "2.0.0"}}}, "environment (.*: packages.torch 2.13.0 there and 2.0.0"),
        ({"program": {**PROGRAM, "command": COMMAND + " --norm {norm}", "args": {"train_tokens": 5}}},
         "config (.*: program.args.train_tokens 1000000 there and 5 here"),
        ({"program": {**PROGRAM, "command": COMMAND.replace("llm", "lm") + " --norm {norm}"}},
         "config (.*program.command"),
    ],
)  # fmt: skip
def test_another_code_configuration_or_environment_refuses_it(root, changed, expected):
    """What differs is named with both digests and the parts; texts, manifests and what is swept are no difference."""
    stored = found(root, **changed)
    kind, _, part = expected.partition("(.*")

    assert kind in stored.refused
    assert part in stored.refused
    assert stored.refused.count("there,") == 1
    assert not stored.samples


def test_in_a_clone_of_the_toolkit_its_packages_are_no_program(tmp_path: Path) -> None:
    """A baseline outlives an upgrade of ours, also where it was measured in our own repository."""
    ours = {**CODE, "hpc/run_task.py": "", "hpc/model.py": "x = 1"}
    make(tmp_path, "variance", {"": 3.0}, SEEDS, ours, type="baseline_variance").write()
    assert found(tmp_path, code={**ours, "hpc/model.py": "x = 2"}).refused == ""


def test_checks_before_a_canary_make_no_other_program(root):
    """They give no number."""
    program = {**PROGRAM, "command": COMMAND + " --norm {norm}", "sanity": {"words": "--dry-run"}}
    assert found(root, program=program).refused == ""


def test_other_data_refuses_it(root):
    """Where the programs recorded what they trained on, another hash refuses; not recorded, it is said so."""

    def recorded(name: str, digest: str) -> None:
        for task in json.loads((root / name / "manifest.json").read_text())["tasks"]:
            folder = root / name / "tasks" / task["run_name"] / "attempt-1"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "exit.json").write_text(json.dumps({"data_hash": digest}))

    recorded("variance", "a" * 64)
    assert found(root).unknown == ("data",)
    recorded("norms", "b" * 64)
    assert "other data (aaaaaaaa there, bbbbbbbb here)" in found(root).refused
    recorded("norms", "a" * 64)
    assert (found(root).refused, found(root).unknown) == ("", ())


def test_what_is_no_baseline_is_refused(root):
    """Not there, not finished, several configurations, one run, edited in the store: each says so."""
    assert "there is no experiment nowhere" in found(root, analysis={"baseline_from": "nowhere"}).refused

    make(root, "variance", {"a": 1.0, "b": 2.0}, SEEDS, CODE).write()
    assert "it has 2 configurations" in found(root).refused
    make(root, "variance", {"": 1.0}, SEEDS[:1], CODE).write()
    assert "1 of its 1 run can be used" in found(root).refused
    waiting = make(root, "variance", {"": 1.0}, SEEDS, CODE)
    waiting.judged[0].update(outcome="planned", attempts=[], summary={})
    waiting.write()
    assert "1 of its 5 runs have not ended" in found(root).refused
    assert not (root / ".baselines").exists()

    make(root, "variance", {"": 3.0}, SEEDS, CODE).write()
    found(root)
    path = root / ".baselines/variance.json"
    path.write_text(path.read_text().replace("2.98", "9.98"))
    assert "edited after it was stored" in found(root).refused


def test_the_report_and_the_second_look_compare_with_it(root):
    """Every configuration is compared with the stored runs, and the page says where they come from."""
    found(root, sweep={"grid": {"norm": ["rms", "none"]}, "seeds": list(SEEDS[:3]), "further_seeds": list(SEEDS[3:])})
    frame = load_frame(build_layout(root))
    stored = stored_baseline(frame)
    assert stored is not None
    more = decide_second_look(frame, stored.samples["val_loss"].values)
    built = build(build_layout(root), ("md",))

    assert [one.seeds for one in more.extensions] == [(), SEEDS[3:]]
    assert [one.comparison.n_baseline for one in built.findings.results if one.comparison] == [5, 5]
    assert "The baseline is variance, 5 runs stored" in built.findings.limitations[0]


def test_the_form_of_the_protocol_has_the_stored_runs_metric_by_metric(root, tmp_path, monkeypatch):
    """s3 with a stored baseline: its table of moments, d of every metric, and the wall clock of both sides."""
    monkeypatch.chdir(tmp_path)
    found(root)
    (path,) = build_styled(build_layout(root), "s3").files
    text = path.read_text("utf-8")

    assert "## Baseline statistics (N=5)" in text
    assert "| val_loss | 3 | 0.0158114 | 2.98 | 3.02 | 5 |" in text
    assert text.count(r"| wall_time \[s\] | 102 | ") == 1
    assert r"| wall_time \[s\] | -" in text or r"| wall_time \[s\] | +" in text
    assert "|  | Baseline Mean | Experiment Mean | Delta |" in text


def test_a_refused_baseline_is_said_and_nothing_compared(root):
    """The report is still made; its first limitation names what differs."""
    found(root, code={"train_llm.py": "print(2)"})
    built = build(build_layout(root), ("md",))

    assert "other code (" in built.findings.limitations[0]
    assert not built.findings.compared
    assert built.findings.verdict[0].startswith("Nothing is compared, because the baseline variance was measured with")
    assert "No baseline is declared" not in " ".join(built.findings.verdict)


def build_layout(root: Path) -> Any:
    return make(root, "norms", {"rms": 2.5}, SEEDS[:1], {}).layout
