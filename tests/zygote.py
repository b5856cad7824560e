"""Our commands in forks of one process that has imported what they need: the same code in a process of its own, without
the half second of imports that each start costs. What starts differently is started for real (`runs_here`).

    python -W error -m tests.zygote FD        serves requests from a socket until it is closed
"""

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import pkgutil
import random
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

REPO = Path(__file__).parents[1]
ROOMS = (
    "hpc.core", "hpc.adapters", "hpc.experiments", "hpc.submissions", "hpc.snapshots", "hpc.rounds", "hpc.unattended",
    "hpc.local", "hpc.newcomer", "hpc.checkup", "hpc.explaining", "hpc.logbook", "hpc.standing",
)  # fmt: skip
"""What commands import, at once or when they come to it; the commands themselves each fork reads anew."""
LIBRARIES = ("click", "h5py", "jinja2", "rich.console", "rich.live", "rich.progress", "rich.table", "ruamel.yaml")
KILLED = str(REPO / "tests/fakes/killed.py")
"""It runs a command of ours, too, to an end at a chosen moment."""
_SHAPING = ("PYTHON", "LC_", "LANG", "MALLOC_", "LD_")
"""Variables that count when Python starts, and not any more afterwards."""
_MOST = 1 << 20


def runs_here(command: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Whether a fork is the same as ``python -W error COMMAND``: one of our commands, and nothing shapes its Python."""
    module = _module_of(command)
    if not module.startswith("hpc.") or module == "hpc.run_task":
        return False
    return environment.get("PYTHONPATH") == str(REPO) and _shape(environment) == _shape(os.environ)


def _module_of(command: Sequence[str]) -> str:
    """``-m MODULE …`` or ``killed.py MOMENT MODULE …``; empty for anything else."""
    place = {"-m": 1, KILLED: 2}.get(command[0], len(command))
    return command[place] if place < len(command) else ""


def _shape(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(_SHAPING) and name != "PYTHONPATH"}


def run_python(
    command: Sequence[str], cwd: Path, environment: Mapping[str, str], timeout: float
) -> "subprocess.CompletedProcess[str]":
    """Run ``python -W error COMMAND`` in a process of its own and take what it prints, whatever it ends with.

    Raises:
        subprocess.TimeoutExpired: It took too long, and was killed.
    """
    if runs_here(command, environment):
        return _zygote().run(command, cwd, environment, timeout)
    return subprocess.run(
        [sys.executable, "-W", "error", *command], cwd=cwd, env=environment, capture_output=True, text=True,
        timeout=timeout, check=False,
    )  # fmt: skip


@functools.cache
def _zygote() -> "_Zygote":
    return _Zygote()


class _Zygote:
    """The process that forks; one for each process of pytest, started with its first command."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-W", "error", "-m", "tests.zygote", str(theirs.fileno())],
                cwd=REPO,
                env={**os.environ, "PYTHONPATH": str(REPO)},
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        atexit.register(self.close)

    def close(self) -> None:
        """Let it end."""
        self._socket.close()
        self._process.wait()

    def run(
        self, command: Sequence[str], cwd: Path, environment: Mapping[str, str], timeout: float
    ) -> "subprocess.CompletedProcess[str]":
        """As `run_python`."""
        ours, theirs = socket.socketpair()
        with ours, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            with theirs:
                request = {"command": list(command), "cwd": str(cwd), "environment": dict(environment)}
                handed = [out.fileno(), err.fileno(), theirs.fileno()]
                socket.send_fds(self._socket, [json.dumps(request).encode()], handed)
            answers = ours.makefile("r")
            pid = int(answers.readline())
            ours.settimeout(timeout)
            try:
                code = int(answers.readline())
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)
                raise subprocess.TimeoutExpired(list(command), timeout) from None
            texts = []
            for file in (out, err):
                file.seek(0)
                texts.append(file.read().decode().replace("\r\n", "\n"))
        return subprocess.CompletedProcess(list(command), code, *texts)


def _serve(requests: socket.socket) -> None:
    """Answer requests until nobody is there; raises in a fork what the command raises."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    while True:
        message, handed, _, _ = socket.recv_fds(requests, _MOST, 3)
        if not message:
            return
        if os.fork() == 0:
            requests.close()
            request = json.loads(message)
            reports = socket.socket(fileno=handed[2])
            if (pid := os.fork()) == 0:
                reports.close()
                _become(request, *handed[:2])
            _report(pid, reports)
        for descriptor in handed:
            os.close(descriptor)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _report(pid: int, reports: socket.socket) -> NoReturn:
    """Say who it is, wait for its end, and say how it ended."""
    reports.sendall(f"{pid}\n".encode())
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with contextlib.suppress(OSError):
        reports.sendall(f"{code}\n".encode())
    os._exit(0)


def _become(request: dict[str, Any], out: int, err: int) -> NoReturn:
    """Be ``python -W error COMMAND`` from here on."""
    command = request["command"]
    module = _module_of(command)
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.closerange(3, max(out, err) + 8)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["cwd"])
    random.seed()
    sys.orig_argv = [sys.executable, "-W", "error", *command]
    sys.modules.pop(module, None)  # one of an inner room: `-m` has not met it yet
    if command[0] == KILLED:
        sys.path[0] = str(Path(KILLED).parent)
        sys.argv = command
        runpy.run_path(KILLED, run_name="__main__")
    else:
        sys.path[0] = request["cwd"]
        sys.argv = command[1:]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    sys.exit(0)


class _ForkedReader:
    """What reads metrics files apart, as a fork as well; as much of a `Popen` as is asked of it."""

    def __init__(self) -> None:
        asked, requests = os.pipe()
        answers, answered = os.pipe()
        self.returncode: int | None = None
        with warnings.catch_warnings(action="ignore"):  # of threads, which this fork does not need
            self._pid = os.fork()
        if self._pid == 0:
            self._serve(asked, answered)
        os.close(asked)
        os.close(answered)
        self.stdin, self.stdout = os.fdopen(requests, "wb"), os.fdopen(answers, "rb")

    @staticmethod
    def _serve(asked: int, answered: int) -> NoReturn:
        from hpc.adapters.metrics_apart import serve

        try:
            os.setsid()
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            for place, descriptor in enumerate((asked, answered, os.open(os.devnull, os.O_WRONLY))):
                os.dup2(descriptor, place)
            os.closerange(3, os.sysconf("SC_OPEN_MAX"))  # locks that are held, above all
            before = sys.stdin, sys.stdout  # an object that goes closes its descriptor
            sys.stdin, sys.stdout = os.fdopen(0), os.fdopen(1, "w")
            serve()
            del before
        finally:
            os._exit(0)

    def kill(self) -> None:
        """Kill it, unless it was waited for."""
        if self.returncode is None:
            os.kill(self._pid, signal.SIGKILL)

    def wait(self) -> int:
        """Return how it ended."""
        if self.returncode is None:
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        return self.returncode


def import_all() -> None:
    """Import and make in this process what every one of its forks then has."""
    from hpc.adapters import metrics_apart

    for name in LIBRARIES:
        importlib.import_module(name)
    for room in ROOMS:
        package = importlib.import_module(room)
        for found in pkgutil.walk_packages(package.__path__, f"{room}."):
            importlib.import_module(found.name)
    _prepare()
    vars(metrics_apart)["start_reader"] = _ForkedReader
    gc.collect()
    gc.freeze()


def _prepare() -> None:
    """Make once what every plan and collection makes anew: templates and rules compiled, expressions of YAML, what is
    known of our packages.

    Only what a process keeps for itself and nothing around it changes: neither folder nor variables are looked at.
    """
    from hpc.adapters.sbatch import _environment
    from hpc.adapters.yaml_file import parse_yaml
    from hpc.core.failures.classify import classify
    from hpc.core.failures.evidence import Evidence, LogLine
    from hpc.core.slurm.states import SlurmState
    from hpc.experiments.freezing import own_code, recorded_packages

    for is_read_by_slurm in (True, False):
        environment, name = _environment("", is_read_by_slurm=is_read_by_slurm)
        environment.get_template(name)
    parse_yaml("{a: [1, 0.5, yes, 2026-01-01, text]}\n", "nowhere")
    own_code()
    recorded_packages()
    trace = ("Traceback (most recent call last):", '  File "t.py", line 9, in <module>', "KeyError: 'x'")
    for said in (trace, ("MemoryError", "loss: 1"), ("step 1 loss 0.5",)):
        log = tuple(LogLine("stderr", number, text) for number, text in enumerate(said, 1))
        for state, code in ((None, 1), (SlurmState.FAILED, 1), (SlurmState.COMPLETED, 0)):
            classify(Evidence(state=state, exit_code=code, log=log))


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as served:
        import_all()
        _serve(served)
