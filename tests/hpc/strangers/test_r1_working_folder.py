"""R1: every attempt works in a folder of its own, as if by hand; what it writes there is kept, the code untouched."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.adapters.code_snapshot import close_folders, code_digest, remove_closed
from hpc.core.records.index import Code
from hpc.node import workdir
from hpc.node.workdir import lay_out, tidy
from tests.hpc.strangers.repository import Repository

WRITERS = {
    "a file beside the program": "open('model.txt', 'w').write(x); back = open('model.txt').read()",
    "a file that git tracks": "open('best.txt', 'a').write(x); back = open('best.txt').read().strip()",
    "a folder of its own": (
        "import os; os.makedirs('out/a'); open('out/a/m', 'w').write(x); back = open('out/a/m').read()"
    ),
    "a folder that git tracks": "open('data/cache', 'w').write(x); back = open('data/cache').read()",
    "beside its own file": (
        "import pathlib; p = pathlib.Path(__file__).parent / 'm'; p.write_text(x); back = p.read_text()"
    ),
    "beside its own file, links followed": (
        "import pathlib; p = pathlib.Path(__file__).resolve().parent / 'm'; p.write_text(x); back = p.read_text()"
    ),
    "beside a module it imports": "import lib.store; lib.store.save(x); back = lib.store.load()",
    "after going to another folder": (
        "import os; os.chdir('data'); open('m', 'w').write(x); os.chdir('..'); back = open('data/m').read()"
    ),
    "through a temporary name": (
        "import os; open('m.tmp', 'w').write(x); os.replace('m.tmp', 'best.txt'); back = open('best.txt').read()"
    ),
    "in another process": (
        "import subprocess; subprocess.run(['sh', '-c', 'echo $0 > m', x], check=True); back = open('m').read()"
    ),
    "over a program of the repository": (
        "open('helper.py', 'w').write(f'x = {x}'); import helper; back = str(helper.x)"
    ),
    "after removing what is there": (
        "import shutil; shutil.rmtree('data'); open('data', 'w').write(x); back = open('data').read()"
    ),
}
STORE = """
import pathlib
HERE = pathlib.Path(__file__).with_name("state")
def save(x): HERE.write_text(x)
def load(): return HERE.read_text()
"""


@pytest.mark.parametrize("writes", WRITERS.values(), ids=WRITERS)
def test_r1_two_tasks_never_meet_in_a_file(repository: Repository, writes: str) -> None:
    """However a program writes beside itself, it reads back its own, and the other task's is where it was written."""
    repository.write("t.py", f"import sys; x = sys.argv[1]; back = ''\n{writes}\nprint('loss=' + back)\n")
    repository.write("lib/__init__.py", "")
    repository.write("lib/store.py", STORE)
    repository.write("data/x", "")
    repository.write("best.txt", "")
    repository.experiment("command: python t.py {lr}", sweep="{grid: {lr: [1, 2]}, seeds: [1]}")
    repository.plan()
    before = copies(repository)
    assert [repository.on_a_node(position=position) for position in (0, 1)] == [0, 0]
    assert [repository.printed(f"lr{lr}_S1")[0] for lr in (1, 2)] == ["loss=1", "loss=2"]
    assert copies(repository) == before
    assert (repository.folder / "best.txt").read_text() == ""


def copies(repository: Repository) -> dict[str, bytes]:
    """All that lies in the copies of code."""
    found = [path for name in ("code", "toolkit") for path in (repository.root / "theirs" / name).rglob("*")]
    return {str(path): path.read_bytes() for path in found if path.is_file()}


def test_what_a_program_leaves_is_kept_and_nothing_else(repository: Repository) -> None:
    """New and changed files stay in the attempt's ``work``; the copy of the code, caches and empty folders do not."""
    repository.write(
        "t.py", "import lib.m\nopen('model.pt', 'w').write('w')\nopen('a/b.txt', 'a').write('!')\nprint('loss=1')\n"
    )
    repository.write("lib/m.py", "")
    repository.write("a/b.txt", "b")
    repository.write("a/c.txt", "c")
    repository.experiment()
    repository.plan()
    assert repository.on_a_node() == 0
    work = repository.attempt() / "work"
    assert sorted(str(path.relative_to(work)) for path in work.rglob("*")) == ["a", "a/b.txt", "model.pt"]
    assert (work / "a/b.txt").read_text() == "b!"


def test_a_program_without_files_leaves_no_folder(repository: Repository) -> None:
    """Ten thousand runs cost no file more for it."""
    repository.experiment()
    repository.plan()
    assert repository.on_a_node() == 0
    assert not (repository.attempt() / "work").exists()


def test_an_attempt_does_not_see_the_one_before(repository: Repository) -> None:
    """The second attempt begins with the code alone, as the first did."""
    repository.write("t.py", "import os, sys\nn = os.path.exists('left')\nopen('left', 'w')\nprint(n)\nsys.exit(85)\n")
    repository.experiment()
    repository.plan()
    for restart in (0, 1):
        repository.on_a_node(HPC_LOCAL_JOB="j_0", HPC_LOCAL_RESTART=str(restart))
    assert [(repository.attempt(number=n) / "stdout.log").read_text() for n in (1, 2)] == ["False\n", "False\n"]


def test_it_starts_where_the_experiment_says(repository: Repository) -> None:
    """``workdir`` is a folder of the copy: paths and imports are those of who goes there by hand."""
    repository.write(
        "examples/lm/main.py", "import os, near\nprint(os.getcwd())\nprint(open('x').read())\nprint('loss=1')\n"
    )
    repository.write("examples/lm/near.py", "")
    repository.write("examples/lm/x", "there")
    repository.experiment("{command: python main.py, workdir: examples/lm/}")
    repository.plan()
    assert repository.on_a_node() == 0
    assert repository.printed()[:2] == [str(repository.attempt() / "work/examples/lm"), "there"]


def test_an_absolute_folder_is_used_as_it_is(repository: Repository, tmp_path: Path) -> None:
    """Who names one outside gets that one, shared; the code is still found."""
    (tmp_path / "shared").mkdir()
    repository.write("pkg/t.py", "import os\nprint(os.getcwd())\nprint('loss=1')\n")
    repository.experiment(f"{{command: python -m pkg.t, workdir: {tmp_path}/shared}}")
    repository.plan()
    assert repository.on_a_node() == 0
    assert repository.printed()[0] == str(tmp_path / "shared")


def test_inputs_are_read_where_the_project_has_them(repository: Repository, tmp_path: Path) -> None:
    """Ignored data, data in a tracked folder, data from elsewhere: linked, read by the same path, never removed."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/w").write_text("3")
    repository.write("data/big.bin", "1")
    repository.write("tracked/prepare.py", "")
    repository.write("tracked/train.bin", "2")
    repository.write(".gitignore", "data\n*.bin\n")
    repository.git()
    repository.write(
        "t.py", "print('loss=' + ''.join(open(p).read() for p in ('data/big.bin', 'tracked/train.bin', 'base/w')))\n"
    )
    repository.experiment(
        f"{{command: python t.py, inputs: {{data: data, tracked: tracked, base: {tmp_path}/elsewhere}}}}"
    )
    assert "ignores" not in repository.plan()
    assert repository.on_a_node() == 0
    assert repository.printed()[0] == "loss=123"
    assert not (repository.attempt() / "work").exists()
    assert (repository.folder / "data/big.bin").read_text() == "1"
    assert (tmp_path / "elsewhere/w").read_text() == "3"


@pytest.mark.parametrize(
    ("program", "says"),
    [
        ("{command: python t.py, workdir: ../x}", "points outside the project"),
        ("{command: python t.py, workdir: nowhere}", "there is no folder nowhere in the copy of the code"),
        ("{command: python t.py, inputs: [/data]}", "for one elsewhere write {data: /data}"),
        ("{command: python t.py, inputs: [nowhere]}", "nowhere is not there"),
    ],
)
def test_folders_that_are_none_are_refused_when_planned(repository: Repository, program: str, says: str) -> None:
    """Exit 2, and what would be right."""
    repository.experiment(program)
    assert says in repository.plan(expect=2)


def test_code_that_is_not_what_was_planned_does_not_run(repository: Repository) -> None:
    """Changed in the frozen copy after the submission: the wrapper refuses, and no attempt is used up."""
    repository.experiment()
    repository.plan()
    (copy,) = (repository.root / "theirs/code").iterdir()
    (copy / "t.py").chmod(0o600)
    (copy / "t.py").write_text("print('loss=0')")
    assert repository.on_a_node() == 2
    assert not repository.attempt().exists()


names = st.text("abcé .", min_size=1, max_size=3).filter(lambda name: name.strip(". "))
trees = st.dictionaries(st.lists(names, min_size=1, max_size=3).map("/".join), st.binary(max_size=8), max_size=6)


@given(trees=st.tuples(trees, trees))
def test_a_working_folder_is_the_code_and_leaves_what_was_written(
    trees: tuple[dict[str, bytes], dict[str, bytes]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Laid out it holds the code byte for byte; after tidying exactly what a program wrote over and beside it."""
    home = tmp_path_factory.mktemp("law")
    had, written = (consistent(tree) for tree in trees)
    write(home / "source", had)
    (home / "source").mkdir(exist_ok=True)
    close_folders(home / "source")
    code = Code(str(home / "source"), code_digest({name: home / "source" / name for name in had}))
    lay_out(code, home / "work", {})
    assert held(home / "work") == had

    kept = {name: content for name, content in written.items() if fits(name, had)}
    write(home / "work", kept)
    tidy(code, home / "work", {})
    assert held(home / "work") == kept
    assert held(home / "source") == had
    remove_closed(home / "source")


def consistent(tree: dict[str, bytes]) -> dict[str, bytes]:
    """Leave out files that are folders of others."""
    return {name: content for name, content in tree.items() if not any(other.startswith(f"{name}/") for other in tree)}


def fits(name: str, had: dict[str, bytes]) -> bool:
    """Whether a file can be written where these are: not over a folder, and no file is its folder."""
    return not any(other.startswith(f"{name}/") or name.startswith(f"{other}/") for other in had)


def write(folder: Path, tree: dict[str, bytes]) -> None:
    for name, content in tree.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def held(folder: Path) -> dict[str, bytes]:
    found = [path for path in folder.rglob("*") if not path.is_dir()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def test_r1_a_checkpoint_that_the_repository_holds_is_each_tasks_own(repository: Repository) -> None:
    """Saved over by its default name, by every task: each reads back its own, and the frozen code stays as it is."""
    repository.write("model.pt", "0" * (2 << 20))
    repository.write(
        "t.py", "import sys; open('model.pt', 'r+').write(sys.argv[1]); print('loss=' + open('model.pt').read(1))"
    )
    repository.git()
    repository.experiment("command: python t.py {seed}", sweep="{seeds: [1, 2]}")
    repository.plan()
    assert [repository.on_a_node(position=place) for place in (0, 1)] == [0, 0]
    assert [repository.printed(run) for run in ("S1", "S2")] == [["loss=1"], ["loss=2"]]
    (frozen,) = repository.root.glob("theirs/code/*/model.pt")
    assert frozen.read_text() == "0" * (2 << 20)


def test_what_is_large_is_linked_and_read(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A file too large to copy for every attempt is there all the same, and the link goes when it ends."""
    monkeypatch.setattr(workdir, "LINKED_FROM", 4)
    write(tmp_path / "source", {"big": b"12345", "small": b"1"})
    code = Code(str(tmp_path / "source"), code_digest({name: tmp_path / "source" / name for name in ("big", "small")}))
    lay_out(code, tmp_path / "work", {})
    assert held(tmp_path / "work") == {"big": b"12345", "small": b"1"}
    assert [(tmp_path / "work" / name).is_symlink() for name in ("big", "small")] == [True, False]
    tidy(code, tmp_path / "work", {})
    assert not (tmp_path / "work").exists()
