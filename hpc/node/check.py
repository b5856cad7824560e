"""The acceptance check of a run that is a command: started where the program ran, bounded in time, its answer recorded.

It runs when the program's end is on record: whatever becomes of the check, the run is finished. Standard library only.
"""

import subprocess
import time

from hpc.adapters import proc
from hpc.adapters.files import open_log, write_json
from hpc.core.layout import AttemptLayout
from hpc.core.records.check import CheckRecord
from hpc.core.records.task import TaskRecord
from hpc.node.supervise import TEARDOWN_GRACE_S, CannotStartError, Forwarder, in_its_environment, naming, wait_a_little
from hpc.node.supervision import Supervision


def run_check(record: TaskRecord, attempt: AttemptLayout) -> None:
    """Run the check of a finished attempt and write ``check.json``.

    Raises:
        OSError: The disk is full or not writable.
    """
    if record.check is None:
        return
    started, problem, code = time.time(), "", None
    try:
        code = _run(record, attempt, record.check.time_s)
        problem = "" if code is not None else f"it took more than {record.check.time_s} s"
    except CannotStartError as error:
        problem = str(error)
    ended = CheckRecord(
        command=record.check.command,
        argv=record.check_argv,
        started=started,
        ended=time.time(),
        exit_code=code if code is not None and code >= 0 else None,
        signal=-code if code is not None and code < 0 else None,
        problem=problem,
    )
    write_json(attempt.check_json, ended.to_json(), parents=False)
    print(f"hpc: {record.run_name} check: {ended.no_answer or f'exit code {ended.exit_code}'}", flush=True)


def _run(record: TaskRecord, attempt: AttemptLayout, time_s: float) -> int | None:
    """Run it to its end; return its return code, None where its time was over."""
    line, environment = in_its_environment(record, record.check_argv, record.environment)
    limit = None if record.memory_limit_mib is None else int(record.memory_limit_mib)
    proc.adopt_orphans()
    with open_log(attempt.check_log) as log, naming(line[0]):
        child = subprocess.Popen(
            line,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=record.workdir or record.code.path,
            env=environment,
            start_new_session=True,
            # Safe: no thread of ours lives here any more.
            preexec_fn=lambda: proc.prepare_child(limit),  # noqa: PLW1509
        )
    forwarder, end = Forwarder(lambda: [child.pid] if child.poll() is None else [], Supervision()), time.monotonic()
    end += time_s
    while child.poll() is None and time.monotonic() < end:
        wait_a_little([child])
        forwarder.deliver()
    code = child.poll()
    proc.end_descendants(TEARDOWN_GRACE_S)
    return code
