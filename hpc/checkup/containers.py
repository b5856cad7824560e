"""Look at what runs a program: Apptainer, the image, and a self test in it or on the host."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from hpc.adapters import apptainer
from hpc.adapters.images import build_record, locate_image, locate_squashfs, name_of_pin
from hpc.adapters.shared_disk import free_mib, nearest_folder, printed_by
from hpc.adapters.this_machine import has_setuid_starter, userns_problem
from hpc.checkup.bounded import Begin
from hpc.checkup.examined import OF_OURS, Examined
from hpc.core.checkup.check import Check
from hpc.core.checkup.containers import (
    Digests,
    Namespaces,
    SelfTest,
    judge_all_reduce,
    judge_apptainer,
    judge_cache,
    judge_digest,
    judge_gpus_seen,
    judge_image,
    judge_imports,
    judge_namespaces,
    judge_shm,
    read_self_test,
)
from hpc.core.errors import InputError
from hpc.core.extras import install_line, install_modules
from hpc.workspace import OWN_CODE

VERSION_S = 5.0
SELF_TEST_S = 90.0
MOST_HASHED = 2 << 30
"""Bytes of an image whose digest is taken anew: some seconds."""
HASH_S = 30.0
SELF_TEST = Path(__file__).with_name("self_test.py")


def look_at_containers(examined: Examined) -> Iterator[Begin | Check]:
    """Make the checks of Apptainer and of the image."""
    needs, profile = examined.needs, examined.profile
    is_needed = bool(
        needs and needs.image and needs.runtime == "apptainer" and not (examined.is_local and not profile.apptainer)
    )
    if not is_needed and (needs or not profile.apptainer):  # what runs needs none
        return
    yield Begin("apptainer", VERSION_S + 5)
    said = printed_by([profile.apptainer or "apptainer", "--version"], VERSION_S).strip()
    yield judge_apptainer(profile.apptainer, said, is_needed and not examined.is_local, bool(profile.setup))
    if said:
        yield Begin("user namespaces", VERSION_S + 5)
        yield judge_namespaces(_namespaces(profile.apptainer), is_needed)
        yield Begin("cache")
        yield judge_cache(dict(_rooms()), is_needed)


def _namespaces(command: str) -> Namespaces:
    problem = userns_problem()
    if not problem and shutil.which("unshare"):
        try:
            done = subprocess.run(
                ["unshare", "--user", "true"], capture_output=True, text=True, timeout=VERSION_S, check=False
            )
            problem = done.stderr.strip().splitlines()[-1] if done.returncode and done.stderr.strip() else ""
        except (OSError, subprocess.TimeoutExpired):
            problem = ""
    return Namespaces(os.geteuid() == 0, has_setuid_starter(command), problem)


def _rooms() -> Iterator[tuple[str, int]]:
    """Where Apptainer keeps layers and builds, with the room there in MiB."""
    cache = os.environ.get("APPTAINER_CACHEDIR") or str(Path.home() / ".apptainer")
    for folder in dict.fromkeys((cache, os.environ.get("APPTAINER_TMPDIR") or tempfile.gettempdir())):
        yield folder, free_mib(nearest_folder(Path(folder).absolute()))


def look_at_image(examined: Examined) -> Iterator[Begin | Check]:
    """Make the checks of the image, and the self test: in it, or on the host."""
    needs, profile = examined.needs, examined.profile
    image: Path | None = None
    if needs and needs.image and in_container(examined):
        yield Begin("image")
        try:
            image = _locate(examined, needs.image)
        except InputError as error:
            yield judge_image("", str(error), 0)
            return
        yield judge_image(str(image), "", image.stat().st_size >> 20 if image.is_file() else 0)
        if image.is_file():
            yield Begin("image digest", HASH_S)
            yield judge_digest(str(image), _digests(examined, image), needs.name)
        if needs.runtime == "pyxis" or not _has(profile.apptainer):
            return
    if image is None and profile.setup and not examined.is_local:
        return  # which Python runs the program is decided by lines that are meant for nodes
    yield Begin("imports", SELF_TEST_S)
    yield from judge_self_test(run_self_test(examined, image), examined)


def in_container(examined: Examined) -> bool:
    """Whether tasks run in an image: this machine does without one where it has no Apptainer."""
    needs = examined.needs
    if needs is None or needs.image is None:
        return False
    return not examined.is_local or (needs.runtime != "pyxis" and _has(examined.profile.apptainer))


def _has(command: str) -> bool:
    return bool(command) and shutil.which(command) is not None


def _locate(examined: Examined, name: str) -> Path:
    folder = Path(examined.profile.image_dir)
    if examined.needs and examined.needs.runtime == "pyxis":
        return locate_squashfs(name, folder)
    return locate_image(name, folder, OWN_CODE, examined.profile.apptainer or "apptainer")


def _digests(examined: Examined, image: Path) -> Digests:
    real = ""
    if image.stat().st_size <= MOST_HASHED:
        with image.open("rb") as file:
            real = hashlib.file_digest(file, "sha256").hexdigest()
    recorded, is_as_built = build_record(image)
    planned, by_plan = examined.needs.recorded_image if examined.needs else ("", "")
    kept = name_of_pin(Path(planned), by_plan) if by_plan else Path(planned)
    has_planned = bool(by_plan) and kept != Path(planned) and kept.exists()
    return Digests(real, recorded, is_as_built, by_plan if Path(planned) == image else "", has_planned)


def judge_self_test(test: SelfTest, examined: Examined, *, on_node: bool = False) -> Iterator[Check]:
    """Make the checks that follow from a self test; on a node it was given one GPU, where tasks ask for any."""
    needs = examined.needs
    yield judge_imports(test, _install(test, examined) if test.failed_imports else "")
    if test.problem:
        return
    gpus = needs.gpus if needs else 0
    yield judge_gpus_seen(
        test, min(gpus, 1) if on_node else gpus, "" if examined.is_local or on_node else examined.profile.name
    )
    if (check := judge_all_reduce(test)) is not None:
        yield check
    yield judge_shm(test, needs)


def _install(test: SelfTest, examined: Examined) -> str:
    """What brings what could not be imported: a part of ours for what we run, a package each for a user's program."""
    if test.where.startswith("in image"):
        return "build an image that has them"
    if examined.spec is not None and examined.spec.program.module not in OF_OURS:
        return install_modules(test.failed_imports)
    return install_line(next(iter(test.failed_imports)))


def run_self_test(examined: Examined, image: Path | None) -> SelfTest:
    """Run the self test in an image, or on the host by the interpreter that would run the tasks."""
    where = f"in image {image.stem}" if image else "on the host"
    argv = self_test_command(examined, str(image or ""))
    try:
        done = subprocess.run(
            argv, input=SELF_TEST.read_text(encoding="utf-8"), capture_output=True, text=True, errors="replace",
            timeout=SELF_TEST_S - 10, check=False, cwd="/",
        )  # fmt: skip
        return read_self_test(where, json.loads(done.stdout.strip().splitlines()[-1]))
    except subprocess.TimeoutExpired:
        return SelfTest(where, problem=f"no answer within {SELF_TEST_S - 10:g} s")
    except OSError as error:
        return SelfTest(where, problem=f"{argv[0]}: {error.strerror}")
    except (ValueError, IndexError):
        lines = (done.stderr or done.stdout).strip().splitlines()
        return SelfTest(where, problem=lines[-1] if lines else f"{Path(argv[0]).name} ended with {done.returncode}")


def self_test_command(examined: Examined, image: str, *, on_node: bool = False) -> Sequence[str]:
    """The command line of the self test, which reads its program from stdin.

    On a node setup lines decide which Python a program on the host gets.
    """
    needs, profile = examined.needs, examined.profile
    modules = list(needs.modules) if needs else []
    asked = json.dumps({"modules": modules, "all_reduce": bool(needs and needs.uses_torch)})
    if not image:
        own = "python3" if profile.setup and on_node else profile.python or sys.executable
        return [own, "-", asked]
    there = tuple(bind for bind in (needs.binds if needs else ()) if Path(bind.partition(":")[0]).exists())
    inside = apptainer.Image(profile.apptainer, image, there, gpu_vendor=profile.gpu_vendor)
    gpus = needs.gpus if needs else 0
    return apptainer.exec_argv(inside, ["python3", "-", asked], working_folder="/", gpus=gpus)
