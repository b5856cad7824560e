"""R3: runs that stand although the program has changed since are said, with what changed and the way on."""

import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

import hpc.collect
import hpc.status
import hpc.submit
from hpc.core.layout import RunLayout
from hpc.snapshots.other_code import changed_files, describe_other_code
from tests.hpc.strangers.repository import Repository

SAID = "made by other code (changed since: "
AGAIN = "python -m hpc.collect theirs --retry-failed --again other_code"


@pytest.fixture
def ran(repository: Repository) -> Repository:
    """A repository of which S1 has run and S2 has not."""
    repository.write("t.py", "import lib.a; print(f'loss={lib.a.x}')")
    repository.write("lib/a.py", "x = 1")
    repository.write("conf.yaml", "lr: 1")
    repository.write("README.md", "read me")
    repository.write("prompts/system.md", "be brief")
    repository.experiment("command: python t.py {seed}", sweep="{seeds: [1, 2]}", resources="{cpus: 1, mem: 200MB}")
    repository.plan(cluster="local")
    assert repository.on_a_node() == 0
    return repository


def tell(repository: Repository, command: object, *words: str) -> str:
    """What a command of ours says there, in this process."""
    repository.monkeypatch.chdir(repository.folder)
    done = CliRunner().invoke(command, [*words])  # type: ignore[arg-type]
    assert done.exit_code in (0, 1, 3), done.output
    return done.output


def edit(repository: Repository) -> list[str]:
    repository.write("t.py", "print('loss=5')")
    return ["t.py"]


def edit_a_module(repository: Repository) -> list[str]:
    repository.write("lib/a.py", "x = 2")
    return ["lib/a.py"]


def edit_a_setting(repository: Repository) -> list[str]:
    repository.write("conf.yaml", "lr: 2")
    return ["conf.yaml"]


def edit_a_prompt(repository: Repository) -> list[str]:
    repository.write("prompts/system.md", "be long")
    return ["prompts/system.md"]


def add_a_file(repository: Repository) -> list[str]:
    repository.write("lib/b.py", "")
    return ["lib/b.py"]


def remove_a_file(repository: Repository) -> list[str]:
    (repository.folder / "conf.yaml").unlink()
    return ["conf.yaml"]


def rename_a_file(repository: Repository) -> list[str]:
    (repository.folder / "conf.yaml").rename(repository.folder / "config.yaml")
    return ["conf.yaml", "config.yaml"]


def edit_two(repository: Repository) -> list[str]:
    return [*edit_a_module(repository), *edit(repository)]


def edit_many(repository: Repository) -> list[str]:
    for number in range(9):
        repository.write(f"lib/c{number}.py", "")
    return ["lib/c0.py", "and 4 more"]


@pytest.mark.parametrize(
    "change",
    [edit, edit_a_module, edit_a_setting, edit_a_prompt, add_a_file, remove_a_file, rename_a_file, edit_two, edit_many],
)
def test_r3_kept_runs_of_other_code_are_said_wherever_one_looks(
    ran: Repository, change: Callable[[Repository], list[str]]
) -> None:
    """`plan`, `submit` and `status` name the run, the files and the line that runs it again."""
    files = change(ran)
    for told in (
        ran.plan(cluster="local"), tell(ran, hpc.status.main, "theirs"),
        tell(ran, hpc.submit.main, "theirs", "--dry-run"),
    ):  # fmt: skip
        said = " ".join(told.split())
        assert SAID in said
        listed = said.partition(SAID)[2].partition(")")[0]
        assert all(file in listed for file in files)
        assert "): S1." in said
        assert AGAIN in said


def nothing(repository: Repository) -> None:
    del repository


def prose(repository: Repository) -> None:
    repository.write("README.md", "read me again")


def a_seed_more(repository: Repository) -> None:
    path = repository.folder / "manifests/experiments/theirs.yaml"
    path.write_text(path.read_text().replace("[1, 2]", "[1, 2, 3]"))


def another_experiment(repository: Repository) -> None:
    repository.experiment(name="more")


def a_profile(repository: Repository) -> None:
    repository.profile(name="other")


def there_and_back(repository: Repository) -> None:
    before = (repository.folder / "t.py").read_text()
    edit(repository)
    repository.plan(cluster="local")
    repository.write("t.py", before)


@pytest.mark.parametrize("change", [nothing, prose, a_seed_more, another_experiment, a_profile, there_and_back])
def test_r3_what_is_no_change_of_the_code_is_not_said(ran: Repository, change: Callable[[Repository], None]) -> None:
    """A warning that comes for a seed or a sentence in the README would be read by nobody."""
    change(ran)
    assert "other code" not in ran.plan(cluster="local")
    assert "other code" not in tell(ran, hpc.status.main, "theirs")
    assert "other code" not in tell(ran, hpc.submit.main, "theirs", "--dry-run")


def test_r3_an_upgrade_of_ours_is_no_change_of_theirs(ran: Repository) -> None:
    """Earlier versions kept our packages in the copy of the user's code: these differ with every version."""
    manifest = json.loads((ran.root / "theirs/manifest.json").read_text())
    copy = Path(manifest["provenance"]["code"]["path"])
    older = copy.with_name("older")
    shutil.copytree(copy, older)
    for folder in (older, older / "hpc", older / "train"):
        folder.mkdir(exist_ok=True)
        folder.chmod(0o700)
    for name in ("hpc/run_task.py", "hpc/gone.py", "train/gone.py"):
        (older / name).unlink(missing_ok=True)
        (older / name).write_text("of an earlier version")
    assert changed_files(older, copy, ran.folder) == []
    (older / "theirs.py").write_text("")
    assert changed_files(older, copy, ran.folder) == ["theirs.py"]


def test_r3_the_line_that_is_printed_runs_them_again(ran: Repository) -> None:
    """Pasted as it stands it plans a further attempt of the finished run; once that is there, all is quiet."""
    edit(ran)
    ran.plan(cluster="local")
    (line,) = describe_other_code(RunLayout(ran.root, "theirs"), _manifest(ran))
    command = shlex.split(line.partition("code: ")[2])
    assert command[:3] == ["python", "-m", "hpc.collect"]
    told = json.loads(tell(ran, hpc.collect.main, *command[3:], "--dry-run", "--json"))
    assert [each["run_name"] for each in told["retry"]] == ["S1"]
    shutil.copytree(ran.attempt(), ran.attempt(number=2))
    record = json.loads((ran.attempt(number=2) / "task.json").read_text())
    record["code"] = _manifest(ran)["provenance"]["code"]
    (ran.attempt(number=2) / "task.json").write_text(json.dumps(record))
    assert describe_other_code(RunLayout(ran.root, "theirs"), _manifest(ran)) == []
    ran.monkeypatch.chdir(ran.folder)
    done = CliRunner().invoke(hpc.collect.main, [*command[3:], "--dry-run"])
    assert done.exit_code == 2
    assert "every finished run of theirs was made with the planned code" in done.output


def _manifest(repository: Repository) -> dict[str, object]:
    return dict(json.loads((repository.root / "theirs/manifest.json").read_text()))


def test_r3_a_copy_that_is_gone_is_said_as_that(ran: Repository) -> None:
    """Which files changed nobody knows then; that the code is another one the record still says."""
    old = Path(str(ran.record()["code"]["path"]))
    edit(ran)
    ran.plan(cluster="local")
    for folder in [old, *(each for each in old.rglob("*") if each.is_dir())]:
        folder.chmod(0o700)
    old.rename(old.with_name(".gone"))
    assert "made by other code (its copy is gone): S1" in tell(ran, hpc.status.main, "theirs")


def test_r3_runs_at_work_with_other_code_are_said_too(ran: Repository) -> None:
    """What began before the change, or waits in a queue with the earlier copy, will have its numbers from that."""
    (ran.attempt() / "exit.json").unlink()
    edit(ran)
    ran.plan(cluster="local")
    (line,) = describe_other_code(RunLayout(ran.root, "theirs"), _manifest(ran))
    assert line.startswith("1 run is running or waiting with other code (changed since: t.py): S1.")
    assert "python -m hpc.cancel theirs S1" in line


def test_r3_failed_runs_are_not_kept(ran: Repository) -> None:
    """A run that failed gave nothing to keep: what starts again runs the planned code."""
    ended = json.loads((ran.attempt() / "exit.json").read_text())
    (ran.attempt() / "exit.json").write_text(json.dumps({**ended, "exit_code": 1}))
    edit(ran)
    assert "other code" not in ran.plan(cluster="local")
