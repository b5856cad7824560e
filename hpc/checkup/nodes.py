"""Look from compute nodes: a tiny job on one or two of them, cancelled when it does not come to run in time."""

import json
import os
import shlex
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from hpc.adapters import slurm, slurm_client, slurm_site
from hpc.adapters.images import locate_image
from hpc.adapters.sbatch import gpu_options, render_relay
from hpc.adapters.shared_disk import folder_in, held, nearest_folder, said
from hpc.checkup.bounded import Begin
from hpc.checkup.containers import judge_self_test, self_test_command
from hpc.checkup.examined import Examined
from hpc.core.checkup.check import Check, Severity
from hpc.core.checkup.containers import read_self_test
from hpc.core.checkup.nodes import Seen, judge_nodes, read_seen
from hpc.core.checkup.storage import KEEP_ELSEWHERE
from hpc.core.errors import HpcError, InputError
from hpc.core.profile import Following
from hpc.core.resources import MINUTE
from hpc.workspace import OWN_CODE

LOOK_S = 0.5
MARGIN_S = 25.0
"""Beyond the time that is waited: submitting, cancelling."""
JOB_S, JOB_MIB, TEST_MIB = 5 * MINUTE, 512, 4096
"""What the job asks for; more memory where it runs the self test of an experiment."""
RUN_S = 130.0
"""What it may take once it runs."""
GRACE_S = 15.0
"""For what a job wrote to become visible here, after it has left the queue: caches of NFS keep the old for so long."""


def look_from_nodes(examined: Examined, wait_s: float) -> Iterator[Begin | Check]:
    """Send the tiny job, wait for its answers no longer than `wait_s` seconds, and judge them."""
    yield Begin("node job", wait_s + RUN_S + MARGIN_S)
    try:
        slurm_site.ask_controller()
    except HpcError as error:
        yield Check("node job", f"not sent: {error}", "", "", Severity.NOTE)
        return
    try:
        with folder_in(nearest_folder(examined.workspace.root)) as folder:
            yield from _send(examined, folder, wait_s)
    except HpcError as error:
        is_no = isinstance(error, slurm_client.SlurmError)
        mend = "mend what Slurm objects to in the profile" if is_no else "try again later: scontrol ping"
        yield Check("node job", str(error), "that Slurm takes it", mend, Severity.BLOCKING, not is_no)
    except OSError as error:
        yield Check("node job", f"not sent: {said(error)}", "", "", Severity.NOTE)


def _send(examined: Examined, folder: Path, wait_s: float) -> Iterator[Check]:
    os.close(os.open(folder / "once", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    begun = time.time()
    image = _image(examined)
    if examined.needs:
        argv = self_test_command(examined, image, on_node=True)
        (folder / "self_test.json").write_text(json.dumps(argv), encoding="utf-8")
    (folder / "now").write_text(str(begun), encoding="utf-8")
    with held(folder / "held"):
        job = _submit(examined, folder)
        try:
            answers, state = _wait(folder, job, wait_s)
        except BaseException:
            slurm.cancel_jobs([job])
            raise
        if state:
            slurm.cancel_jobs([job])
    if answers:
        yield Check("node job", f"job {job} ran on {', '.join(each.host for each in answers)}")
        yield from judge_nodes(answers, time.time() - begun)
        for each in answers:
            if each.self_test is not None:
                where = f"{f'in image {Path(image).stem}' if image else 'on the host'} of {each.host}"
                yield from judge_self_test(read_self_test(where, each.self_test), examined, on_node=True)
    elif state:
        mend = "look when the cluster is less busy, or wait longer: --wait 600"
        yield Check("node job", f"still {state} after {wait_s:g} s; cancelled", "a job that runs", mend, Severity.NOTE)
    else:
        log = _log_of(folder)
        found = f"job {job} ended, and nothing of it is seen here" + (f": {log}" if log else "")
        expected = f"that a compute node sees {folder.parent}"
        yield Check("node sees the runs", found, expected, KEEP_ELSEWHERE, Severity.BLOCKING)


def _submit(examined: Examined, folder: Path) -> str:
    """Submit the job for two nodes, or for one where Slurm takes no more."""
    script = folder / "doctor.sbatch"
    for nodes in ("2", "1"):
        script.write_text(_script(examined, folder, nodes), encoding="utf-8")
        try:
            return slurm.submit_script(script, chdir=folder)
        except slurm_client.SlurmError:
            if nodes == "1":
                raise
    raise AssertionError


def _script(examined: Examined, folder: Path, nodes: str) -> str:
    """The job's script: asked for as the relay of `submit --follow` is, where tasks go."""
    needs, profile = examined.needs, examined.profile
    gpus = gpu_options(min(needs.gpus, 1), profile) if needs else {}
    follow = Following(time_s=JOB_S, memory_mib=TEST_MIB if needs else JOB_MIB)
    asking = replace(profile, directives={**gpus, **profile.directives, "nodes": nodes}, follow=follow)
    words = [profile.python or sys.executable, "-P", "-m", "hpc.checkup.on_node", str(folder), profile.apptainer]
    line = shlex.join([*words, _image(examined)])
    command = f"PYTHONPATH={shlex.quote(str(OWN_CODE))} srun --ntasks-per-node=1 {line}"
    return render_relay(asking, job_name="hpc-doctor", comment="doctor", logs=folder, command=command)


def _image(examined: Examined) -> str:
    """Path of the image that tasks run in; empty where there is none, or none is found."""
    needs = examined.needs
    if needs is None or needs.image is None or needs.runtime == "pyxis":
        return ""
    try:
        return str(locate_image(needs.image, Path(examined.profile.image_dir)))
    except InputError:
        return ""


def _wait(folder: Path, job: str, wait_s: float) -> tuple[list[Seen], str]:
    """What nodes wrote, and the job's state where it has not ended."""
    end, gone, begun = time.monotonic() + wait_s, 0.0, 0.0
    state = "PENDING"
    while True:
        answers, expected = _answers(folder)
        if answers and len(answers) >= expected:
            return answers, ""
        now = time.monotonic()
        state = slurm.query_state(job)
        is_over = not state or state.split(" ")[0] not in ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING")
        gone = (gone or now) if is_over else 0.0
        if gone and now > gone + GRACE_S:
            return answers, ""
        begun = begun or (now if state.startswith(("RUNNING", "COMPLETING")) else 0.0)
        if not gone and now > (begun + RUN_S if begun else end):
            return answers, state
        time.sleep(LOOK_S)


def _answers(folder: Path) -> tuple[list[Seen], int]:
    """What was written so far, and by how many nodes there is to be."""
    names = {path.name for path in folder.iterdir()}  # a listing shows at once what a look at a name may not
    written = sorted(name for name in names if name.startswith("node-") and name.endswith(".json"))
    found = [read_seen(json.loads((folder / name).read_text(encoding="utf-8"))) for name in written]
    return found, 2 if names & {"between.held", "between.tried"} else 1


def _log_of(folder: Path) -> str:
    """The last line that the job's log holds, where it is seen."""
    for path in sorted(folder.glob("*_log.out")):
        lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        if lines:
            return lines[-1][:200]
    return ""
