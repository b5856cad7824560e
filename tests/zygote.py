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
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

REPO = Path(__file__).parents[1]
ROOMS = (
    "hpc.core", "hpc.adapters", "hpc.experiments", "hpc.submissions", "hpc.snapshots", "hpc.rounds", "hpc.unattended",
    "hpc.local", "hpc.newcomer", "hpc.checkup",
)  # fmt: skip
"""What commands import, at once or when they come to it; the commands themselves each fork reads anew."""
LIBRARIES = ("click", "h5py", "jinja2", "rich.console", "rich.live", "rich.progress", "rich.table", "ruamel.yaml")
_SHAPING = ("PYTHON", "LC_", "LANG", "MALLOC_", "LD_")
"""Variables that count when Python starts, and not any more afterwards."""
_MOST = 1 << 20


def runs_here(command: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Whether a fork is the same as ``python -W error COMMAND``: one of our commands, and nothing shapes its Python."""
    module = command[1] if len(command) > 1 and command[0] == "-m" else ""
    if not module.startswith("hpc.") or module == "hpc.run_task":
        return False
    return environment.get("PYTHONPATH") == str(REPO) and _shape(environment) == _shape(os.environ)


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
    """Be ``python -W error -m MODULE …`` from here on."""
    module, *arguments = request["command"][1:]
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.closerange(3, max(out, err) + 8)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["cwd"])
    random.seed()
    sys.path[0] = request["cwd"]
    sys.orig_argv = [sys.executable, "-W", "error", *request["command"]]
    sys.argv = [module, *arguments]
    sys.modules.pop(module, None)  # one of an inner room: `-m` has not met it yet
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    sys.exit(0)


def _import_all() -> None:
    for name in LIBRARIES:
        importlib.import_module(name)
    for room in ROOMS:
        package = importlib.import_module(room)
        for found in pkgutil.walk_packages(package.__path__, f"{room}."):
            importlib.import_module(found.name)
    _prepare()
    gc.collect()
    gc.freeze()


def _prepare() -> None:
    """Make once what every plan makes anew: templates compiled, expressions of YAML, what is known of our packages.

    Only what a process keeps for itself and nothing around it changes: neither folder nor variables are looked at.
    """
    from hpc.adapters.sbatch import _environment
    from hpc.adapters.yaml_file import parse_yaml
    from hpc.experiments.freezing import own_code, recorded_packages

    for is_read_by_slurm in (True, False):
        environment, name = _environment("", is_read_by_slurm=is_read_by_slurm)
        environment.get_template(name)
    parse_yaml("{a: [1, 0.5, yes, 2026-01-01, text]}\n", "nowhere")
    own_code()
    recorded_packages()


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as served:
        _import_all()
        _serve(served)
