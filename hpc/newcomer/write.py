"""What `hpc init` leaves in a repository. Nothing of a person's is overwritten; what is there already stays."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hpc.adapters.files import move_away, write_text
from hpc.adapters.project import EXPERIMENTS
from hpc.adapters.yaml_file import parse_yaml
from hpc.core.errors import InputError
from hpc.core.program.draft import Draft, key_of, quoted, render_draft
from hpc.core.program.given import Given

SCHEMAS = Path("manifests", "schema")
IGNORED = ("runs/", "manifests/rendered/")
"""What git need not see: the runs, and links to the newest scripts."""
_SCHEMA_NOTE = "Written by `hpc init` for editors, and again when it differs; the command itself does not read it."


@dataclass(frozen=True)
class Wanted:
    """A file that should be there.

    Attributes:
        path: Below the project.
        text: What it should hold.
        why: What it is for, a few words.
    """

    path: Path
    text: str
    why: str


MAKEFILE = """\
# Written by `hpc init --makefile`, yours to change. EXP=NAME may be left out where there is one experiment.
HPC ?= hpc

.PHONY: manifests submit retry report

manifests:  # EXP=NAME: check it, freeze it, write its Slurm scripts
\t@$(HPC) plan $(EXP) $(ARGS)

submit:  # EXP=NAME: what is not done yet
\t@$(HPC) submit $(EXP) $(ARGS)

retry:  # EXP=NAME: one verdict a run; what can be healed starts again
\t@$(HPC) collect $(EXP) --retry-failed $(ARGS)

report:  # EXP=NAME: collect, and build the statistical report
\t@$(HPC) collect $(EXP) || [ $$? -le 1 ]
\t@$(HPC) report $(EXP) $(ARGS)
"""
INCLUDED = Path("hpc.mk")
_MAKEFILES = ("GNUmakefile", "makefile", "Makefile")
"""In the order in which make looks for them."""


def wanted_makefile(project: Path) -> Wanted | None:
    """The targets for make: a Makefile, or beside somebody's own a file that it can include; None where it is there."""
    own = next((name for name in _MAKEFILES if (project / name).exists()), "")
    if own and MAKEFILE in _text(project / own):
        return None
    path, why = Path("Makefile"), "its targets are manifests, submit, retry and report"
    if own:
        path, why = INCLUDED, f"{why}; add to {own}: include {INCLUDED}"
    return None if (project / path).exists() else Wanted(path, MAKEFILE, why)


def wanted_files(project: Path, draft: Draft | None) -> list[Wanted]:
    """The files that are missing, or ours and out of date."""
    schema_of = _schemas()
    found = []
    if draft is not None:
        path = EXPERIMENTS / f"{draft.name}.yaml"
        found.append(Wanted(path, render_draft(draft, "../schema/experiment.schema.json"), "the experiment"))
        if draft.given and (profile := _profile(draft.given)) and not any((project / SITE_FILE).parent.glob("*.yaml")):
            found.append(Wanted(SITE_FILE, profile, f"the site, for --cluster {SITE}"))
    for name, text in schema_of.items():
        path = SCHEMAS / f"{name}.schema.json"
        if _text(project / path) != text:
            found.append(Wanted(path, text, f"what your editor completes {name} files with"))
    if missing := _ignore_lines(project):
        path = Path(".gitignore")
        found.append(Wanted(path, _text(project / path) + missing, "runs and links stay out of git"))
    return found


SITE = "site"
SITE_FILE = Path("manifests", "clusters", f"{SITE}.yaml")


def _profile(given: Given) -> str:
    """A site's profile from what a job script says of it; empty where that is nothing, or none can be made of it."""
    from hpc.experiments.schema import profile_from

    if not (given.site or given.setup):
        return ""
    lines = [f"# From {given.script}, yours to change. What Slurm says itself: hpc doctor --write-profile NAME"]
    lines += ["scheduler: slurm", *(f"{name}: {quoted(value)}" for name, value in given.site.items())]
    lines += ["setup:", *(f"  - {quoted(line)}" for line in given.setup)] if given.setup else []
    text = "\n".join([*lines, ""])
    try:
        profile_from(parse_yaml(text, str(SITE_FILE)))
    except InputError:
        return ""
    return text


def check_draft(draft: Draft) -> None:
    """Refuse what `hpc plan` would, before anything is written; what only a person knows may be missing.

    Raises:
        InputError: The program's name, or that of its metric, cannot stand in an experiment.
    """
    from hpc.experiments.schema import experiment_from

    if not draft.start.isprintable():  # YAML would fold a line, and cannot hold bytes that are no text
        raise InputError(f"{draft.start!a}: an experiment cannot use such a name; rename the file")
    try:
        experiment_from(parse_yaml(render_draft(draft, ""), draft.name))
    except InputError as error:
        open_ones = tuple(f"there is no value for {{{key_of(each)}}}" for each in draft.unknown)
        if left := [each for each in error.problems if not each.message.startswith(open_ones)]:
            raise InputError(
                f"no experiment can be written for {draft.start} and {draft.metric.name}: {left[0].where}: "
                f"{left[0].message}. Rename what has such a name, or name another: "
                "python -m hpc.init PROGRAM --metric NAME"
            ) from None


def write_files(project: Path, wanted: list[Wanted]) -> None:
    """Write them, as readable as the folder they stand in; all or none.

    Raises:
        InputError: Something that is no folder stands where one has to be, or a folder where a file has to be.
    """
    for path in (project / each.path for each in wanted):
        wrong = [one for one in path.parents if one.exists() and not one.is_dir()] + [path] * path.is_dir()
        if wrong:
            kind = "file" if path in wrong else "folder"
            raise InputError(f"{wrong[-1]} must be a {kind}; move it away: {move_away(wrong[-1])}")
    mode = project.stat().st_mode & 0o666
    for each in wanted:
        path = project / each.path
        for folder in reversed([one for one in path.parents if not one.exists()]):
            folder.mkdir()
            folder.chmod(project.stat().st_mode & 0o777)
        write_text(path, each.text)
        path.chmod(mode)


def _schemas() -> Mapping[str, str]:
    from hpc.experiments.models.experiment import ExperimentModel
    from hpc.experiments.models.profile import ProfileModel
    from hpc.experiments.reference import json_schema

    schemas = {"experiment": json_schema(ExperimentModel), "profile": json_schema(ProfileModel)}
    return {
        name: json.dumps({"$comment": _SCHEMA_NOTE, **schema}, indent=1, ensure_ascii=False) + "\n"
        for name, schema in schemas.items()
    }


def _ignore_lines(project: Path) -> str:
    """The lines that .gitignore lacks; nothing outside git."""
    file = project / ".gitignore"
    in_git = any((folder / ".git").exists() for folder in (project, *project.parents))
    if not in_git and not file.is_file():
        return ""
    text = _text(file)
    present = {line.strip().strip("/") for line in text.splitlines()}
    missing = [line for line in IGNORED if line.strip("/") not in present]
    lead = "\n" if text and not text.endswith("\n") else ""
    return lead + "".join(f"{line}\n" for line in missing) if missing else ""


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""
