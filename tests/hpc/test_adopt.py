"""Foreign results taken in: what is whole, what is not, what is missing, and that nothing is made up."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from analysis.loaded import load
from hpc import adopt
from hpc.collect import main as collect
from hpc.core.errors import InputError
from hpc.newcomer.foreign_runs import find_runs, read_pattern, read_value
from hpc.status import main as status
from hpc.submit import main as submit

PATTERN = "L{n_layers}_G{gamma}_S{seed}"


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of somebody's runs: 2 × 2 × 2, one without numbers, one missing, and something else beside them."""
    home = tmp_path / "old results"
    for layers in (1, 2):
        for gamma in (0.5, 1.0):
            for seed in (1, 2):
                if (layers, gamma, seed) != (2, 1.0, 2):
                    run = home / f"L{layers}_G{gamma}_S{seed}"
                    run.mkdir(parents=True)
                    (run / "config.json").write_text(json.dumps({"n_layers": layers, "lr": 0.1, "gamma": gamma}))
                    if (layers, gamma, seed) != (1, 1.0, 1):
                        (run / "metrics.json").write_text(json.dumps({"val_loss": layers + gamma + seed / 10}))
    (home / "notes").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HPC_ROOT", raising=False)
    return home


def call(command: Any, *arguments: str) -> Result:
    """Run a command."""
    return CliRunner().invoke(command, list(arguments))


def test_runs_are_adopted_collected_and_loaded(results: Path, tmp_path: Path) -> None:
    """Whole runs finish with their very values; the rest is named, and counted as what it is."""
    done = call(adopt.main, str(results), "--pattern", PATTERN, "--name", "old", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["tasks"], told["adopted"], told["metric"]) == (8, 6, "val_loss")
    assert told["unfinished"] == {"L1_G1.0_S1": "no numbers were found"}
    assert told["missing"] == ["L2_G1.0_S2"]
    assert told["not_matching"] == ["notes"]

    assert call(collect, "old").exit_code == 1
    runs = load("old", root=tmp_path / "runs").runs.set_index("run")
    assert runs["outcome"].value_counts().to_dict() == {"finished": 6, "failed": 1, "planned": 1}
    assert runs.loc["L2_G0.5_S1", "val_loss"] == 2.6
    assert runs["val_loss"].count() == 6
    assert runs["hours"].sum() == 0


def test_every_verdict_says_that_it_was_adopted(results: Path, tmp_path: Path) -> None:
    """In its summary, its warnings and its attempt, with the folder it came from."""
    call(adopt.main, str(results), "--pattern", PATTERN, "--name", "old")
    call(collect, "old")
    verdicts = json.loads((tmp_path / "runs/old/collected/verdicts.json").read_text())
    attempts = [attempt for task in verdicts["tasks"] for attempt in task["attempts"]]

    assert len(attempts) == 7
    for attempt in attempts:
        assert attempt["adopted"].startswith(str(results))
        assert attempt["verdict"]["summary"].startswith("adopted; ")
        assert attempt["verdict"]["warnings"][0].startswith("adopted: run without this toolkit")


def test_their_files_are_only_read(results: Path) -> None:
    """Every file keeps its content and its time."""
    before = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in results.rglob("*")}
    call(adopt.main, str(results), "--pattern", PATTERN, "--name", "old")
    call(collect, "old")

    assert {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in results.rglob("*")} == before


def test_adopted_runs_are_never_started(results: Path) -> None:
    """Nobody knows how they were: `submit` says so, and no retry is offered."""
    call(adopt.main, str(results), "--pattern", PATTERN, "--name", "old")

    done = call(submit, "old")
    assert done.exit_code == 2
    assert "were adopted from" in done.stderr
    assert "next: python -m hpc.collect old" in call(status, "old").output
    assert "would be started again" not in call(collect, "old", "--retry-failed", "--dry-run").output
    call(collect, "old")
    told = call(status, "old").output
    assert "next: python -m hpc.report old" in told
    assert "hpc.submit" not in told


def test_a_second_time_nothing_is_overwritten(results: Path) -> None:
    """The experiment that is there stays; a dry run writes nothing."""
    assert call(adopt.main, str(results), "--pattern", PATTERN, "--name", "old", "--dry-run").exit_code == 0
    assert not Path("runs").exists()
    assert call(adopt.main, str(results), "--pattern", PATTERN, "--name", "old").exit_code == 0
    done = call(adopt.main, str(results), "--pattern", PATTERN, "--name", "old")

    assert done.exit_code == 2
    assert "already exists" in done.stderr


def test_runs_whose_steps_end_early_are_unfinished(tmp_path: Path) -> None:
    """A log that stops before the others is no result, whatever its last value is."""
    for seed, steps in ((1, 3), (2, 3), (3, 2)):
        (tmp_path / f"S{seed}").mkdir()
        lines = "".join(f"step {step} loss {1 / (step + 1)}\n" for step in range(steps))
        (tmp_path / f"S{seed}/train.log").write_text(lines)
    source = adopt.read_source(r"stdout:step (?P<step>\d+) loss (?P<loss>\S+)")
    runs, _ = find_runs(tmp_path, "S{seed}", source)

    assert [run.unfinished for run in runs] == ["", "", "its numbers end at step 1, those of others at 2"]
    assert [run.final("loss") for run in runs][:2] == pytest.approx([1 / 3, 1 / 3])


def test_a_sparse_space_is_no_grid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random search: what is there is asked, and nothing is called missing that nobody meant to run."""
    monkeypatch.chdir(tmp_path)
    for number in range(6):
        run = tmp_path / f"found/a{number}_b{number}_S1"
        run.mkdir(parents=True)
        (run / "results.csv").write_text(f"step,loss\n1,{number}\n")
    told = json.loads(call(adopt.main, "found", "--pattern", "a{a}_b{b}_S{seed}", "--json").stdout)

    assert (told["tasks"], told["missing"], told["adopted"]) == (6, [], 6)


def test_a_name_that_no_folder_of_ours_can_have_stops_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is adopted under a readable name; the others keep theirs as far as the pattern does."""
    monkeypatch.chdir(tmp_path)
    for folder in ("G$(x) y_S1", "Gplain_S1"):
        (tmp_path / "odd" / folder).mkdir(parents=True)
        (tmp_path / "odd" / folder / "results.json").write_text('{"loss": 1}')
    done = call(adopt.main, "odd", "--pattern", "G{g}_S{seed}", "--json")
    assert done.exit_code == 0, done.output
    names = sorted(path.name for path in (tmp_path / "runs/odd/tasks").iterdir())
    assert names[0] == "Gplain_S1"
    assert names[1].startswith("Gx-y@")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda home: (home / "L1_G0.5_S1/config.json").write_text('{"gamma": 0.7}'), "its configuration says 0.7"),
        (lambda home: (home / "L2_G1.0_S1").rename(home / "L01_G0.5_S1"), "have names of the same run"),
    ],
)
def test_contradictions_are_refused(results: Path, spoil: Any, said: str) -> None:
    """Where name and settings differ nobody knows which is true."""
    spoil(results)
    done = call(adopt.main, str(results), "--pattern", PATTERN, "--name", "old")

    assert done.exit_code == 2
    assert said in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--pattern", "X{a}_S{seed}"), "no folder below"),
        (("--pattern", "runs"), "needs parameters"),
        (("--pattern", "L{a}_G{a}"), "each once"),
        (("--pattern", "L{"), "--pattern has a single"),
        (("--pattern", PATTERN, "--metric", "los"), "is not among their numbers"),
        (("--pattern", PATTERN, "--metrics", "nonsense"), "write KIND:WHERE"),
        (("--pattern", PATTERN, "--metrics", "xml:a"), "has no kind 'xml'"),
    ],
)
def test_bad_input_is_a_sentence(results: Path, arguments: tuple[str, ...], said: str) -> None:
    """Exit 2 and what would be valid; nothing is written."""
    done = call(adopt.main, str(results), "--name", "old", *arguments)

    assert done.exit_code == 2
    assert said in done.stderr
    assert not Path("runs").exists()


def test_a_folder_whose_seed_is_none_is_named_and_stops_no_other(results: Path) -> None:
    """Copies that somebody kept beside the runs."""
    (results / "L2_G1.0_S1").rename(results / "L2_G1.0_S1_old")
    done = call(adopt.main, str(results), "--pattern", PATTERN, "--name", "old")

    assert done.exit_code == 0, done.stderr
    assert "does not match the pattern: L2_G1.0_S1_old" in done.stdout
    assert "missing: L2_G1.0_S1" in done.stdout


def test_several_numbers_need_a_choice(results: Path) -> None:
    """Which decides is asked, never guessed."""
    (results / "L1_G0.5_S1/metrics.json").write_text('{"val_loss": 1.6, "acc": 0.5}')

    done = call(adopt.main, str(results), "--pattern", PATTERN, "--name", "old")
    assert done.exit_code == 2
    assert "Add --metric, one of: acc, val_loss" in done.stderr


def test_settings_that_are_called_as_we_call_other_things_stop_nothing(results: Path) -> None:
    """``experiment`` and ``out_dir`` stand in many a configuration, also in what `hpc export --to folders` writes."""
    for path in results.glob("*/config.json"):
        told = {"experiment": "e", "task_id": "1", "out_dir": "/x", "run_name": "r", "id": 1, "case": "c"}
        path.write_text(json.dumps({**json.loads(path.read_text()), **told}))

    done = call(adopt.main, str(results), "--pattern", PATTERN, "--name", "old")

    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    ("text", "value"), [("3", 3), ("1e-3", 0.001), ("0.50", 0.5), ("adam", "adam"), ("True", True), ("1_0", "1_0")]
)
def test_values_are_read_as_they_are_meant(text: str, value: object) -> None:
    """Numbers, words, switches."""
    assert read_value(text) == value
    assert type(read_value(text)) is type(value)


def test_a_pattern_is_no_expression() -> None:
    """What stands between the parameters is taken literally."""
    expression, names = read_pattern("a.b+{x}/c_{seed}")

    assert names == ("x", "seed")
    assert expression.fullmatch("a.b+1/c_2")
    assert not expression.fullmatch("aXbb1/c_2")
    with pytest.raises(InputError):
        read_pattern("{x.y}")
