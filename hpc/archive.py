"""Put an experiment into one file that can be kept, moved and checked; or unpack such a file.

    python -m hpc.archive lora_sweep --output lora_sweep.tar.zst
    python -m hpc.archive --restore lora_sweep.tar.zst --root /other/runs

In it: plan, seal, code, records, metrics, logs, what was collected, the report, RO-Crate metadata, and the digests of
all files (`sha256sum -c SHA256SUMS`). Checkpoints only with --with checkpoints. What looks like a secret is refused.
"""

from pathlib import Path

import click

from hpc.adapters.progress import working
from hpc.console import dry_run_option, json_option, name_argument, note, print_json, say, speaks_plainly
from hpc.core.errors import EXIT_DONE, InputError
from hpc.core.layout import RunLayout
from hpc.core.progress import BYTES
from hpc.core.words import counted
from hpc.workspace import Workspace


@click.command(epilog="Example: python -m hpc.archive lora_sweep --output lora_sweep.tar.gz")
@name_argument
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="Archive to write: FILE.tar.gz or FILE.tar.zst. [default: NAME.tar.gz]",
)
@click.option(
    "--with", "more", type=click.Choice(["checkpoints"]), multiple=True, help="Include what is left out by default."
)
@click.option(
    "--leave-out", metavar="PATTERN", multiple=True, help="Leave out these paths below the run folder; may be repeated."
)
@click.option("--partial", is_flag=True, help="Archive the current state even while tasks run or wait.")
@click.option("--restore", "source", type=click.Path(path_type=Path), metavar="FILE", help="Unpack this archive.")
@click.option(
    "--root", type=click.Path(path_type=Path), help="With --restore: unpack below this folder. [default: HPC_ROOT]"
)
@dry_run_option
@json_option
@speaks_plainly
def main(
    name: str | None,
    output: Path | None,
    more: tuple[str, ...],
    leave_out: tuple[str, ...],
    partial: bool,
    source: Path | None,
    root: Path | None,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Archive experiment NAME (default: the one planned last) as one file, or unpack one."""
    workspace = Workspace.current()
    if source is not None:
        if name or output or more or leave_out or partial or dry_run:
            raise InputError("--restore takes the archive and --root alone")
        return _restore(source, root or workspace.root, as_json=as_json)
    if root is not None:
        raise InputError("--root says where to unpack: it goes with --restore FILE")
    layout = workspace.layout(name, acts=False)
    output = output or Path(f"{layout.experiment}.tar.gz")
    return _archive(layout, output, set(more), leave_out, is_partial=partial, dry_run=dry_run, as_json=as_json)


def _archive(
    layout: RunLayout,
    output: Path,
    more: set[str],
    leave_out: tuple[str, ...],
    *,
    is_partial: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    from importlib.metadata import PackageNotFoundError, version

    from hpc.adapters.archive_file import check_suffix
    from hpc.adapters.removal import Size
    from hpc.housekeeping.archiving import find_secrets, list_contents, say_live, write_archive
    from hpc.housekeeping.freeing import in_words
    from hpc.snapshots.snapshot import take_snapshot

    check_suffix(output)
    if output.exists() and not dry_run:
        raise InputError(f"{output} already exists; choose another name: --output FILE")
    if (live := say_live(take_snapshot(layout))) and not is_partial:
        raise InputError(f"{layout.experiment}: {live}; wait for the end, or archive it as it is now: --partial")
    contents = list_contents(layout, checkpoints="checkpoints" in more, leave_out=leave_out)
    files = sum(1 for each in contents.entries if each.path.is_file() and not each.path.is_symlink())
    with working("looking for secrets", contents.bytes, BYTES) as step:
        if secrets := find_secrets(contents, step):
            raise InputError(secrets, layout.experiment)
    for path, why in contents.left_out.items():
        if why != "asked for":
            note(f"left out: {path} ({why})")
    if not dry_run:
        try:
            ours = version("hpc-batch")
        except PackageNotFoundError:
            ours = ""
        with working(f"writing {output}", contents.bytes, BYTES) as step:
            write_archive(layout, contents, output, is_partial=bool(live), version=ours, progress=step)
    size = output.stat().st_size if output.exists() and not dry_run else 0
    if as_json:
        print_json({
            "experiment": layout.experiment, "would_archive" if dry_run else "archive": str(output), "files": files,
            "bytes": contents.bytes, "compressed": size, "partial": bool(live), "left_out": dict(contents.left_out),
        })  # fmt: skip
        return EXIT_DONE
    if dry_run:
        say(f"would archive {in_words(Size(contents.bytes, files))} of {layout.experiment} as {output}")
        return EXIT_DONE
    say(f"{output}: {in_words(Size(contents.bytes, files))} of {layout.experiment}, {size:,} bytes compressed")
    say(f"to check it and use it elsewhere: python -m hpc.archive --restore {output} --root DIR")
    return EXIT_DONE


def _restore(source: Path, root: Path, *, as_json: bool) -> int:
    from hpc.housekeeping.archiving import restore
    from hpc.submissions.by_hand import this_person

    if not source.is_file():
        raise InputError(f"no archive {source}")
    with working(f"unpacking {source}", unit=BYTES) as step:
        found = restore(source, root.absolute(), this_person(), step)
    told = {"experiment": found.layout.experiment, "folder": str(found.layout.home), "files": found.files}
    if as_json:
        print_json({**told, "partial": bool(found.note.get("partial")), "left_out": found.note.get("left_out", {})})
        return EXIT_DONE
    say(f"{found.layout.home}: {counted(found.files, 'file')}, every digest matches the archive")
    if found.note.get("partial"):
        note("it was archived while tasks ran: those that had not ended count as lost")
    say(f"next: HPC_ROOT={root.absolute()} python -m hpc.report {found.layout.experiment}")
    return EXIT_DONE


if __name__ == "__main__":
    main()
