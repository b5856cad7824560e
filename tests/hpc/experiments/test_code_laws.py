"""Laws of what is code, over repositories as chance makes them: links, pipes, secrets, data and runs, in git or not."""

import os
import stat
import subprocess
import tempfile
from pathlib import Path, PurePath

from hypothesis import given, settings
from hypothesis import strategies as st

from hpc.adapters.code_snapshot import LinkTo, code_digest, freeze_code
from hpc.experiments.code_files import CodeFiles, find_code, is_in, is_no_code

FOLDERS = ("", "pkg", "src/pkg", "data", "runs/e/code/ab", "manifests/experiments", "wandb", ".venv/lib", "docs")
NAMES = ("t.py", "a b.py", "-x.py", "README.md", "conf.yaml", "train.bin", ".env", "notes.txt", "LICENSE", "é.json")
KINDS = ("file", "file", "file", "large file", "link inside", "link outside", "endless link", "dangling link", "pipe")
IGNORED = ("data/", "*.bin", "runs/", "*.txt", ".venv/", "pkg/t.py")
REPOSITORIES = st.dictionaries(
    st.tuples(st.sampled_from(FOLDERS), st.sampled_from(NAMES)), st.sampled_from(KINDS), min_size=1, max_size=14
)
NEVER = ("runs", "manifests")
LITTER = {"wandb", ".venv"}


def make(project: Path, files: dict[tuple[str, str], str], ignored: list[str], *, in_git: bool) -> None:
    """Make a repository."""
    for (folder, name), kind in files.items():
        path = project / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        match kind:
            case "pipe":
                os.mkfifo(path)
            case "file" | "large file":
                path.write_bytes(b"x" * ((1 << 20) if kind == "large file" else 3))
            case _:
                targets = {"link inside": "t.py", "link outside": "/etc/hostname", "endless link": "/dev/zero"}
                path.symlink_to(targets.get(kind, "nowhere/at/all"))
    if in_git:
        (project / ".gitignore").write_text("\n".join(ignored))
        for words in (["init", "-q"], ["add", "-A"]):
            subprocess.run(["git", "-C", str(project), *words], check=True, capture_output=True)


def is_accounted_for(name: str, code: CodeFiles) -> bool:
    """Whether a file is copied, or said not to be, by itself or with its folder."""
    said = [each.rstrip("/") for found in code.left_out.values() for each in found]
    return name in code.files or is_in(name, said)


@settings(max_examples=60)
@given(files=REPOSITORIES, ignored=st.lists(st.sampled_from(IGNORED), max_size=3), in_git=st.booleans())
def test_every_file_is_copied_or_named_and_nothing_else_counts(
    files: dict[tuple[str, str], str], ignored: list[str], in_git: bool
) -> None:
    """Runs, manifests and prose are no code; what may be missed is named; links stay links; the digest is of code."""
    with tempfile.TemporaryDirectory() as place:
        project = Path(place, "project")
        project.mkdir()
        make(project, files, ignored, in_git=in_git)
        code = find_code(project, project / "runs")
        assert not [name for name in code.files if is_no_code(PurePath(name)) or name.startswith(NEVER)]
        missing = [
            name
            for (folder, base), kind in files.items()
            if not (in_git and kind == "pipe")  # git knows no pipes
            if not is_no_code(PurePath(name := str(PurePath(folder, base)))) and not name.startswith(NEVER)
            if not is_accounted_for(name, code) and not is_passed_over(name, in_git=in_git)
        ]
        assert missing == []
        for name, source in code.files.items():
            assert isinstance(source, LinkTo) == stat.S_ISLNK((project / name).lstat().st_mode)

        digest = code_digest(code.files)
        for name in ("runs/new/x.py", "manifests/experiments/new.yaml", "NEWS.md"):
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            (project / name).write_text("new")
        assert code_digest(find_code(project, project / "runs").files) == digest
        copy = Path(place, "copy")
        freeze_code(code.files, copy)
        for name, source in code.files.items():
            if isinstance(source, Path):
                assert (copy / name).read_bytes() == source.read_bytes()
                source.write_text("changed")
                assert code_digest(find_code(project, project / "runs").files) != digest
                break


def is_passed_over(name: str, *, in_git: bool) -> bool:
    """Litter; outside git also whatever is hidden."""
    parts = PurePath(name).parts
    return bool(LITTER.intersection(parts)) or (not in_git and any(part.startswith(".") for part in parts))
