"""The command: finds the experiment, says what to do next, keeps to the exit codes, answers at once."""

import csv
import io
import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pandas
import pytest
from matplotlib.figure import Figure

from analysis.report import build, main
from hpc.core.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_TEMPORARY, TemporaryError
from hpc.core.layout import RunLayout
from tests.analysis.made_experiments import Experiment, make_finished, make_judged, make_realistic, make_spec, make_task

ROOT = Path(__file__).parents[2]


def _run(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "analysis.report", *arguments]
    variables = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, check=False)


def test_newest_experiment_is_taken_and_named(tmp_path: Path) -> None:
    """Without a name the experiment planned last is taken from $HPC_ROOT; a process of its own warns of nothing."""
    old, new = (make_realistic(tmp_path / "runs", name).write() for name in ("older", "newer"))
    os.utime(old.manifest, (1, 1))
    done = _run(cwd=tmp_path, HPC_ROOT=str(tmp_path / "runs"))

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"newer (the newest under {tmp_path}/runs): 18 planned = 13 finished")
    assert (new.report / "report.html").is_file()
    assert not old.report.exists()


def test_runs_are_found_from_a_subfolder(
    realistic: Experiment, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Below a project the root is its `runs`, as for the other commands."""
    home = realistic.write().root.parent
    (home / "manifests/experiments").mkdir(parents=True)
    (home / "src").mkdir()
    monkeypatch.delenv("HPC_ROOT", raising=False)
    monkeypatch.chdir(home / "src")

    assert main(["lora_swep"]) == 2
    assert f"under {home}/runs; did you mean 'lora_sweep'?" in capsys.readouterr().err


def test_a_missing_library_is_one_sentence(tmp_path: Path) -> None:
    """Without pandas the command says what brings it, exit 2, no traceback."""
    layout = make_realistic(tmp_path / "runs").write()
    (tmp_path / "pandas.py").write_text("raise ModuleNotFoundError(\"No module named 'pandas'\", name='pandas')")
    done = _run("--root", str(layout.root), cwd=tmp_path, PYTHONPATH=f"{tmp_path}:{ROOT}")

    assert done.returncode == 2
    assert done.stderr == (
        "error: the report needs pandas, which is not installed: python -m pip install 'hpc-batch[report]'\n"
    )


def test_default_root_is_runs(
    realistic: Experiment, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without $HPC_ROOT experiments are looked for in ./runs."""
    monkeypatch.delenv("HPC_ROOT", raising=False)
    monkeypatch.chdir(realistic.write().root.parent)

    assert main(["lora_swep"]) == 2
    assert "under runs; did you mean 'lora_sweep'?" in capsys.readouterr().err


def test_json_is_one_value_on_stdout(realistic: Experiment, capsys: pytest.CaptureFixture[str]) -> None:
    """--json prints one strict JSON value with counts that add up, and nothing else."""
    layout = realistic.write()
    code = main(["lora_sweep", "--root", str(layout.root), "--json"])
    told = json.loads(capsys.readouterr().out, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    counts = told["counts"]

    assert code == 0
    assert counts["planned"] == 18
    assert sum(counts["failed"].values()) + counts["finished"] + counts["running"] + counts["never_started"] == 18
    assert all(Path(file).is_file() for file in told["files"])


def test_failed_and_open_runs_have_no_number_anywhere(
    realistic: Experiment, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a run reported before it failed, or while it runs, changes no byte of any file and nothing of the JSON."""
    metrics = ("final_error", "control_cost", "training_time", "wall_time")
    told = []
    for number in (1.0, 7770.125):
        for task in realistic.judged:
            if task["outcome"] != "finished":
                task["summary"] = dict.fromkeys(metrics, number)
        layout = realistic.write()
        assert main(["lora_sweep", "--root", str(layout.root), "--json"]) == 0
        told.append({path.name: path.read_bytes() for path in layout.report.iterdir()} | {"": capsys.readouterr().out})

    assert told[0] == told[1]
    rows = list(csv.DictReader(io.StringIO((layout.report / "runs.csv").read_text("utf-8"))))
    assert {row["outcome"] for row in rows if row["metric.final_error"] == ""} == {"failed", "running", "planned"}
    assert {row["outcome"] for row in rows if row["metric.final_error"]} == {"finished"}
    assert {row["metric.wall_time"] for row in rows} == {""}


@pytest.mark.parametrize(
    ("formats", "there", "absent"), [("md", "report.md", "report.html"), ("html", "report.html", "report.md")]
)
def test_format_chooses_what_is_written(realistic: Experiment, formats: str, there: str, absent: str) -> None:
    """--format md writes no HTML and the other way round; the CSV is always there."""
    layout = realistic.write()
    assert main(["lora_sweep", "--root", str(layout.root), "--format", formats]) == 0

    assert (layout.report / there).is_file()
    assert not (layout.report / absent).exists()
    assert (layout.report / "runs.csv").is_file()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["lora_swep"], "did you mean 'lora_sweep'?"),
        (["lora_sweep", "--format", "docx"], "valid: html, md, pdf, png, tex"),
        (["lora_sweep", "--format", ""], "valid: html, md, pdf, png, tex"),
        (["../../etc"], "cannot be an experiment"),
        (["--no-such-option"], "No such option"),
    ],
)
def test_wrong_input_ends_with_two_and_what_is_valid(
    realistic: Experiment, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    """Usage errors exit with 2 and name what would have been right."""
    layout = realistic.write()

    assert main([*arguments, "--root", str(layout.root)]) == 2
    assert words in capsys.readouterr().err


def test_not_collected_says_what_to_run(realistic: Experiment, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 2 with the collect command, and no half-made report."""
    layout = realistic.write()
    layout.verdicts.unlink()

    assert main(["lora_sweep", "--root", str(layout.root)]) == 2
    assert "python -m hpc.collect lora_sweep" in capsys.readouterr().err
    assert not layout.report.exists()


def test_edited_manifest_is_refused(realistic: Experiment, capsys: pytest.CaptureFixture[str]) -> None:
    """A manifest whose content no longer matches its hash gives no report: the question was changed afterwards."""
    layout = realistic.write()
    text = layout.manifest.read_text("utf-8")
    layout.manifest.write_text(text.replace("Rank 16 lowers final_error", "Rank 16 raises final_error"), "utf-8")

    assert main(["lora_sweep", "--root", str(layout.root)]) == 2
    assert "does not match its hash" in capsys.readouterr().err
    assert not layout.report.exists()


@pytest.mark.parametrize("key", ["sha256", "provenance"])
def test_manifest_with_a_part_cut_out_is_refused(realistic: Experiment, key: str) -> None:
    """Without its hash or its provenance a manifest proves nothing, and says so instead of breaking off."""
    layout = realistic.write()
    manifest = json.loads(layout.manifest.read_text("utf-8"))
    del manifest[key]
    layout.manifest.write_text(json.dumps(manifest), "utf-8")

    assert main(["lora_sweep", "--root", str(layout.root)]) == 2


def test_nothing_planned_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An empty root is a usage error with the next step."""
    assert main(["--root", str(tmp_path / "nowhere")]) == 2
    assert "plan an experiment: python -m hpc.plan" in capsys.readouterr().err


def test_yaml_path_names_it_and_newer_attempts_are_announced(
    realistic: Experiment, capsys: pytest.CaptureFixture[str]
) -> None:
    """The YAML's path names the experiment; a run that ended since the collection is a note, not a silent gap."""
    layout = realistic.write()
    record = layout.task(realistic.asked[11]["run_name"]).attempt(1).exit_json
    record.parent.mkdir(parents=True)
    record.write_text("{}")

    assert main(["manifests/experiments/lora_sweep.yaml", "--root", str(layout.root), "--format", "md"]) == 0
    assert "python -m hpc.collect lora_sweep" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("raised", "code"),
    [(KeyboardInterrupt, EXIT_INTERRUPTED), (OSError, EXIT_FAILED), (TemporaryError, EXIT_TEMPORARY)],
)
def test_interruption_and_disk_have_their_exit_codes(
    realistic: Experiment, monkeypatch: pytest.MonkeyPatch, raised: type[BaseException], code: int
) -> None:
    """Control-C ends with 130, a full or unreadable disk with 1, what may work later with 75."""

    def fail(*_: object) -> None:
        raise raised

    monkeypatch.setattr("analysis.report.build", fail)

    assert main(["lora_sweep", "--root", str(realistic.write().root)]) == code


def test_help_has_an_example_and_loads_nothing_heavy() -> None:
    """--help shows a command that can be typed and imports neither pandas nor scipy nor matplotlib."""
    code = "import sys, analysis.report as r; r.main(['--help']); print(sorted(m for m in sys.modules if '.' not in m))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert "Example: python -m analysis.report lora_sweep" in done.stdout
    for heavy in ("pandas", "scipy", "matplotlib", "numpy", "h5py", "jinja2"):
        assert f"'{heavy}'" not in done.stdout


def many_runs(folder: Path, width: int) -> RunLayout:
    """An experiment of 200 × width runs, five seeds of each configuration, one in 97 of them only planned."""
    tasks = [
        make_task({"a": a, "b": b}, seed, f"A{a}_B{b}_S{seed}")
        for a in range(width)
        for b in range(40)
        for seed in range(5)
    ]
    experiment = Experiment(folder, tasks, make_spec("big", baseline={"a": 0, "b": 0}))
    for row, task in enumerate(tasks):
        value = 1.0 + (row * 7919 % 1000) / 1000
        experiment.judged.append(
            make_judged(task, "planned", [])
            if row % 97 == 0
            else make_finished(experiment, task, {"final_error": value})
        )
    return experiment.write()


def seconds_by_hand(layout: RunLayout) -> float:
    """Processor time of the least anybody needs for as much: verdicts read, a table written, every figure a scatter.

    As many figures as the report has, each in three formats and once more as SVG for a narrow screen.
    """
    figures = len(list(layout.report.glob("*.svg")))
    start = time.process_time()
    frame = pandas.json_normalize(json.loads(layout.verdicts.read_text("utf-8"))["tasks"])
    frame.to_csv(io.StringIO())
    for kind in ("png", "svg", "pdf", "svg") * figures:
        figure = Figure(layout="constrained")
        figure.subplots().scatter(range(len(frame)), range(len(frame)))
        figure.savefig(io.BytesIO(), format=kind)
    return time.process_time() - start


def test_ten_thousand_runs_stay_quick(tmp_path: Path) -> None:
    """No dearer a run than few, and a few times what is needed by hand; the page stays small, the CSV has every run."""
    build(many_runs(tmp_path / "first", 1))  # imports
    seconds, by_hand = [], []
    for width in (5, 50):
        layout = many_runs(tmp_path / str(width), width)
        start = time.process_time()
        built = build(layout)
        seconds.append(time.process_time() - start)
        by_hand.append(seconds_by_hand(layout))

    assert seconds[1] < 4 * by_hand[1]
    assert seconds[1] < 10 * seconds[0]
    assert built.findings.counts.planned == 10_000
    assert (layout.report / "report.html").stat().st_size < 1_500_000
    assert "400 of 10000 runs are listed here" in (layout.report / "report.md").read_text("utf-8")
    assert len((layout.report / "runs.csv").read_text("utf-8").splitlines()) == 10_001


@pytest.mark.parametrize(
    ("arguments", "left"),
    [((), ("flow.png", "flow.svg", "runs.csv")), (("--style", "s1"), ("flow.svg", "report_s1.md"))],
)
def test_a_report_is_as_private_as_the_runs(
    arguments: tuple[str, ...], left: tuple[str, ...], realistic: Experiment
) -> None:
    """Folder and every file are the owner's alone, whatever the umask and whatever an earlier version left there."""
    layout = realistic.write()
    layout.report.mkdir(mode=0o755)
    before = os.umask(0)
    try:
        for name in left:
            (layout.report / name).touch(0o666)
        assert main([layout.experiment, "--root", str(layout.root), *arguments]) == 0
    finally:
        os.umask(before)

    assert stat.S_IMODE(layout.report.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in layout.report.iterdir()} == {0o600}
