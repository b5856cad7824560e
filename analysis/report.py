"""Builds the report of one experiment: ``python -m analysis.report lora_sweep``.

Reads ``manifest.json`` and ``collected/``, writes ``report/``. The same results give the same bytes. Heavy packages are
imported once there is something to do, so that ``--help`` answers at once.
"""

import hpc.core  # noqa: F401  first: a Python without our packages is refused in one sentence

# isort: split
import json
import os
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from analysis.command import UNWRITABLE, names_out, root_option, run, say
from hpc.adapters.files import group_reads, make_folder, write_bytes, write_text
from hpc.adapters.manifest_store import named_runs, newest_experiment, planned_below
from hpc.adapters.owner import TRUSTED, foreign_part, is_trusted, refuse_foreign
from hpc.adapters.progress import working
from hpc.adapters.project import find_project, runs_root
from hpc.core.errors import InputError, nearest
from hpc.core.layout import RunLayout
from hpc.core.printable import printable_json
from hpc.core.words import counted, few

if TYPE_CHECKING:
    from analysis.data.frame import ExperimentFrame
    from analysis.findings.findings import Findings

FORMATS = ("html", "md", "tex", "png", "pdf")
PAUSE_S = 2.0
"""Seconds between two looks at what was collected."""


@dataclass(frozen=True)
class BuiltReport:
    """What was built.

    Attributes:
        layout: The experiment.
        findings: What the report says.
        files: What was written, the page first.
        newer: Tasks that ended an attempt since the results were collected: the report does not know of them.
        outdated: Finished runs made from others that were repeated since; likewise.
        bundle: The archive of them all; None where none was asked for.
    """

    layout: RunLayout
    findings: "Findings"
    files: tuple[Path, ...]
    newer: int
    outdated: tuple[str, ...] = ()
    bundle: Path | None = None

    @property
    def is_final(self) -> bool:
        """Whether every run had ended."""
        counts = self.findings.counts
        return not (counts.running or counts.pending or counts.never_started)


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: python -m analysis.report lora_sweep --format html,md --bundle",
)
@click.argument("name", required=False)
@click.option(
    "--format", "formats", default=",".join(FORMATS), show_default=True, help="Formats in addition to SVG and CSV."
)
@click.option(
    "--style", type=click.Choice(("s1", "s2", "s3")), help="Markdown only: overview, paper or variance report."
)
@click.option("--watch", is_flag=True, help="Rebuild whenever results are collected, until every run has ended.")
@click.option("--compare", nargs=2, metavar="A B", help="Compare the shared configurations of two experiments.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder for the report.  [default: report/ in the run folder]"
)
@root_option
@click.option("--bundle", is_flag=True, help="Pack everything into one archive, report-NAME.zip, to send or keep.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as one JSON value.")
def report(
    name: str | None,
    formats: str,
    style: str | None,
    watch: bool,
    compare: tuple[str, str] | None,
    out: Path | None,
    root: Path | None,
    bundle: bool,
    as_json: bool,
) -> None:
    """Build the statistical report of experiment NAME from its collected results.

    NAME is an experiment, or the path of its YAML file or run folder; without one the newest experiment is taken.
    Collect first: python -m hpc.collect NAME.
    """
    wanted = parse_formats(formats)
    home = root or default_root()
    if compare:
        if name or style or watch or as_json or bundle:
            raise click.UsageError("--compare A B names its experiments itself and stands alone")
        first, second = (to_write_for(find_experiment(home, one), out) for one in compare)
        with working("comparing"), names_out(first.report, f"report --compare {shlex.join(compare)} --out FOLDER"):
            for path in build_comparison(first, second):
                say(f"wrote {path}")
        return
    if bundle and style:
        raise click.UsageError("--bundle packs the whole report; a --style is one file")
    chosen = "" if name is not None else f" (the newest under {home})"
    layout = find_newest(home) if name is None else find_experiment(home, name)
    layout = to_write_for(layout, out)

    def build_once() -> BuiltReport:
        with (
            working(f"reporting {layout.experiment}"),
            names_out(layout.report, f"report {layout.experiment} --out FOLDER"),
        ):
            built = build_styled(layout, style) if style else build(layout, wanted)
            built = replace(built, bundle=write_bundle(built)) if bundle else built
        _say(built, chosen, as_json=as_json)
        return built

    if watch:
        build_whenever_collected(layout, build_once)
    else:
        build_once()


@dataclass(frozen=True)
class Elsewhere(RunLayout):
    """Runs whose report goes elsewhere.

    Attributes:
        place: Where.
        is_theirs: Whether they are somebody else's: nothing is written into theirs.
    """

    place: Path
    is_theirs: bool

    @property
    def report(self) -> Path:
        """Where the report goes."""
        return self.place


def to_write_for(layout: RunLayout, out: Path | None = None) -> RunLayout:
    """Return the runs as they are where they are ours or trusted, else as to be looked at only.

    Args:
        out: Where the report goes instead; of somebody else's runs ``report-NAME`` in the current folder by itself.

    Raises:
        InputError: They are somebody else's, and not open to us.
    """
    trusted = os.environ.get(TRUSTED, "").split(os.pathsep)
    refuse_foreign(layout, trusted, acts=False)
    is_theirs = foreign_part(layout) is not None and not is_trusted(layout.home, trusted)
    if out is None and not is_theirs:
        return layout
    place = (out or Path(f"report-{layout.experiment}")).absolute()
    return Elsewhere(layout.root, layout.experiment, place, is_theirs)


def build_whenever_collected(
    layout: RunLayout, build_once: Callable[[], BuiltReport], pause: Callable[[], None] = lambda: time.sleep(PAUSE_S)
) -> None:
    """Build a report now and after every collection, until one knows the end of every run.

    Args:
        layout: The experiment.
        build_once: Builds it.
        pause: Waits between two looks at what was collected.
    """
    seen = None
    while True:
        stamp = _stamp(layout)
        if stamp != seen:
            seen = stamp
            try:
                built = build_once()
            except InputError:
                # Collecting writes two files one after the other: between them they do not fit together yet.
                if _stamp(layout) == stamp:
                    raise
                continue
            if built.is_final:
                return
        pause()


def _stamp(layout: RunLayout) -> tuple[int, ...]:
    """What changes when results are collected."""
    files = (path for path in (layout.manifest, layout.verdicts, layout.results) if path.exists())
    return tuple(part for path in files for part in (path.stat().st_mtime_ns, path.stat().st_ino))


def _say(built: BuiltReport, chosen: str, *, as_json: bool) -> None:
    if built.newer:
        ended = counted(built.newer, "task")
        _note(built, f"{ended} ended an attempt after the results were collected; to include them, run")
    if built.outdated:
        runs = counted(len(built.outdated), "run is", "runs are")
        _note(
            built, f"{runs} made from runs that were repeated since ({few(built.outdated)}); to have it in the report"
        )
    if as_json:
        click.echo(printable_json(json.dumps(_summary(built), ensure_ascii=False)))
    else:
        say(_words(built, chosen))


def _note(built: BuiltReport, text: str) -> None:
    """Say what the report does not know yet, and the command after which it does."""
    told = f"note: {text}: python -m hpc.collect {built.layout.experiment}"
    say(told, err=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    return run(report, "python -m analysis.report", arguments, "the report")


def parse_formats(text: str) -> tuple[str, ...]:
    """Read ``html,md``.

    Raises:
        InputError: Something else is asked for, or nothing.
    """
    wanted = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    unknown = [one for one in wanted if one not in FORMATS]
    if unknown or not wanted:
        word = unknown[0] if unknown else text
        raise InputError(f"--format {word!r} is not known; {nearest(word, FORMATS)}")
    return wanted


def default_root() -> Path:
    """Where experiments lie when nobody says: HPC_ROOT, else ``runs`` of the project; relative where we are in it."""
    trusted = os.environ.get(TRUSTED, "").split(os.pathsep)
    project = find_project(Path.cwd(), trusted)
    root = runs_root(project, os.environ)
    is_here = not os.environ.get("HPC_ROOT") and project == Path.cwd()
    return Path("runs") if is_here else root


def find_experiment(root: Path, name: str) -> RunLayout:
    """Find a planned experiment by its name, or the path of its YAML file or of its run folder.

    Raises:
        InputError: There is none; the message names those there are.
    """
    layout = named_runs(root, name)
    experiment = layout.experiment
    if not layout.manifest.is_file():
        known = planned_below(root)
        hint = (
            nearest(experiment, known)
            if known
            else f"there is none under {root} yet; give the folder with --root, or plan one"
        )
        raise InputError(f"no experiment {experiment!r} under {root}; {hint}")
    return layout


def find_newest(root: Path) -> RunLayout:
    """Find the experiment planned last.

    Raises:
        InputError: Nothing has been planned under `root`.
    """
    newest = newest_experiment(root)
    if newest is None:
        raise InputError(
            f"nothing was planned under {root} yet; plan an experiment: python -m hpc.plan; or give the folder of "
            "another project with --root"
        )
    return RunLayout(root, newest)


def read_results(frame: "ExperimentFrame") -> "Findings":
    """Judge one experiment, against its stored baseline where it names one, and record that its results are shown."""
    note_look(frame)
    with working("judging"):
        return _judge(frame)


def _judge(frame: "ExperimentFrame") -> "Findings":
    from analysis.data.baselines import stored_baseline
    from analysis.data.part import sealed_part
    from analysis.findings.answer import answer_criterion
    from analysis.findings.findings import find_findings
    from analysis.findings.later import answer_later

    stored = stored_baseline(frame)
    samples = stored.samples or None if stored else None
    refused = stored.refused if stored else ""
    findings = find_findings(frame, samples, refused)
    said = (stored.limitation,) if stored else ()
    answer = answer_criterion(sealed_part(frame), findings.plan, samples, findings.looks, refused)
    later = answer_later(frame)
    return replace(findings, limitations=(*said, *findings.limitations), answer=answer, later=later)


def note_look(frame: "ExperimentFrame") -> None:
    """Write down that results are shown, where these runs are ours; a folder that takes none shows them, too."""
    from analysis.findings.registration import record_look

    if isinstance(frame.layout, Elsewhere) and frame.layout.is_theirs:
        return
    try:
        record_look(frame)
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        said = f"note: {frame.layout.looks} could not record this look at the results: {error.strerror}"
        say(said, err=True)


def build(layout: RunLayout, formats: Sequence[str] = FORMATS) -> BuiltReport:
    """Build the report of one experiment and write it.

    Raises:
        InputError: The experiment is not collected, or its files contradict each other; nothing was written.
    """
    from analysis.data.frame import load_frame, newer_than_collected, repeated_since_collected
    from analysis.figures.all import FIGURES, draw_all
    from analysis.figures.drawing import FURTHER
    from analysis.page.pages import build_document
    from analysis.page.rendering import render_csv, render_html, render_latex, render_markdown
    from analysis.page.run_table import runs_csv

    with working("reading results"):
        frame = load_frame(layout)
    findings = read_results(frame)
    folder = make_private(layout.report)
    further = tuple(one for one in FURTHER if one in formats)
    drawings = draw_all(frame, findings, folder, further, for_page="html" in formats)
    runs = runs_csv(frame, findings)
    draft = build_document(frame, findings, drawings, (), runs)
    tables = [one for one in draft.tables() if one.rows and one.name != "runs"]
    figures = [f"{one.name}.{ending}" for one in drawings for ending in ("svg", *further)]
    table_files = [
        f"table-{one.name}.{ending}" for one in tables for ending in ("csv", "tex")[: 1 + ("tex" in formats)]
    ]
    pages = {one: f"report.{one}" for one in formats if one in ("html", "md")}
    files = [*pages.values(), "runs.csv", *table_files, *figures]
    document = build_document(frame, findings, drawings, files, runs)
    if "html" in pages:
        write_text(folder / pages["html"], render_html(document, further, folder, bundle_name(layout)))
    if "md" in pages:
        write_text(folder / pages["md"], render_markdown(document))
    write_text(folder / "runs.csv", runs)
    for table in tables:
        write_text(folder / f"table-{table.name}.csv", render_csv(table))
        if "tex" in formats:
            write_text(folder / f"table-{table.name}.tex", render_latex(table))
    _remove_old(
        folder,
        [
            *(f"{one}.{ending}" for one in FIGURES for ending in ("svg", *FURTHER)),
            "table-*.*",
            f"{bundle_name(layout)}.zip",
        ],
        set(files),
    )
    return BuiltReport(
        layout,
        findings,
        tuple(folder / name for name in files),
        newer_than_collected(frame),
        repeated_since_collected(frame),
    )


def bundle_name(layout: RunLayout) -> str:
    """Name of the archive of a whole report, without ending, and of the folder in it."""
    return f"report-{layout.experiment}"


def write_bundle(built: BuiltReport) -> Path:
    """Pack every file of a report and its findings as JSON into one archive beside them."""
    from analysis.page.carried import pack

    files = {path.name: path.read_bytes() for path in built.files}
    summary = {**_summary(built), "files": sorted(files)}
    files["report.json"] = f"{json.dumps(summary, indent=1)}\n".encode()
    name = bundle_name(built.layout)
    path = built.layout.report / f"{name}.zip"
    write_bytes(path, pack(name, files))
    return path


def build_styled(layout: RunLayout, style: str) -> BuiltReport:
    """Build the report in the form of ``s1``, ``s2`` or ``s3``, as Markdown, and the figures it shows.

    Raises:
        InputError: The experiment is not collected, or its files contradict each other; nothing was written.
    """
    from analysis.data.frame import load_frame, newer_than_collected, repeated_since_collected
    from analysis.figures.all import draw_all
    from analysis.page.rendering import render_markdown
    from analysis.page.styles import build_style, style_path

    with working("reading results"):
        frame = load_frame(layout)
    findings = read_results(frame)
    path = style_path(style, frame)
    path = layout.report / path.name if isinstance(layout, Elsewhere) and not layout.is_theirs else path
    drawings = draw_all(frame, findings, make_private(layout.report), ()) if style != "s3" else ()
    there = sorted(one.name for one in layout.report.iterdir()) if layout.report.is_dir() else []
    document = build_style(style, frame, findings, drawings, there)
    write_text(path, render_markdown(document))
    return BuiltReport(layout, findings, (path,), newer_than_collected(frame), repeated_since_collected(frame))


def build_comparison(first: RunLayout, second: RunLayout) -> tuple[Path, ...]:
    """Compare the configurations that two experiments share; written into the first one's report.

    Raises:
        InputError: They share no configuration or no primary metric.
    """
    from analysis.data.frame import load_frame
    from analysis.page.across import compare_experiments
    from analysis.page.rendering import render_html, render_markdown

    folder = make_private(first.report)
    name = f"compare-{second.experiment}"
    document = compare_experiments(load_frame(first), load_frame(second), folder / name)
    paths = (folder / f"{name}.html", folder / f"{name}.md")
    for path, text in zip(paths, (render_html(document, (), folder), render_markdown(document)), strict=True):
        write_text(path, text)
    return paths


def make_private(folder: Path) -> Path:
    """Make a report's folder as private as the runs it tells of, also one that an earlier version left open."""
    make_folder(folder)
    if not group_reads(folder):
        folder.chmod(0o700)
    return folder


def _remove_old(folder: Path, patterns: Sequence[str], kept: set[str]) -> None:
    """Remove figures and tables of an earlier report that this one no longer has: a stale picture would be believed."""
    for pattern in patterns:
        for path in folder.glob(pattern):
            if path.name not in kept:
                path.unlink()


def _words(built: BuiltReport, chosen: str) -> str:
    findings = built.findings
    lines = [f"{built.layout.experiment}{chosen}: {findings.counts.sum_text}", findings.registration.headline]
    lines += [findings.answer.sentence] if findings.answer else []
    lines += [findings.later.sentence] if findings.later else []
    lines += findings.verdict
    pages = [path for path in built.files if path.suffix in (".html", ".md")] or list(built.files[:1])
    beside = len(built.files) - len(pages)
    lines += [f"wrote {path}" for path in pages]
    lines += [f"and {beside} figures and tables beside it"] if beside else []
    lines += [f"packed {built.bundle}"] if built.bundle else []
    return "\n".join(lines)


def _summary(built: BuiltReport) -> dict[str, Any]:
    """The findings as JSON values; what is not computable is null, with its note."""
    findings = built.findings
    return {
        "experiment": built.layout.experiment,
        "counts": {
            **asdict(findings.counts),
            **{name: getattr(findings.counts, name) for name in ("retried", "healed", "continued")},
        },
        "configurations": [asdict(one) for one in findings.results],
        "best": asdict(findings.best) if findings.best else None,
        "best_by_system": [asdict(one) for one in findings.bests if one.system],
        "over_systems": asdict(findings.over_systems) if findings.over_systems else None,
        "importance": _importance(findings),
        "healed": [asdict(one) for one in findings.healed],
        "continued": [asdict(one) for one in findings.continued],
        "cautions": asdict(findings.cautions),
        "resources": {
            **asdict(findings.resources),
            "gpu_hours": findings.resources.gpu_hours,
            "cpu_hours": findings.resources.cpu_hours,
        },
        "usage": findings.usage.to_json(),
        "registration": {
            "standing": findings.registration.standing.value,
            "headline": findings.registration.headline,
            "deviations": [asdict(one) for one in findings.registration.deviations],
            "looks": [asdict(one) for one in findings.registration.looks],
        },
        "criterion": asdict(findings.answer) if findings.answer else None,
        "checklist": dict(findings.checklist),
        "criterion_later": asdict(findings.later) if findings.later else None,
        "verdict": list(findings.verdict),
        "limitations": list(findings.limitations),
        "newer_than_collected": built.newer,
        "files": [str(path) for path in (*built.files, *([built.bundle] if built.bundle else []))],
    }


def _importance(findings: "Findings") -> dict[str, Any] | None:
    """What the parameters do, as JSON values: the cells of an interaction as rows of two positions and a mean."""
    found = findings.importance
    if found is None:
        return None
    pairs = [
        {**asdict(one), "cells": [[*place, mean] for place, mean in one.cells.items()]} for one in found.interactions
    ]
    return {**asdict(replace(found, interactions=())), "interactions": pairs}


if __name__ == "__main__":
    sys.exit(main())
