"""Really provoke failures on one CPU machine and keep what they printed: ``python -m tests.corpus.provoke [ID…]``.

Needs root (a mount namespace with tiny tmpfs, a cgroup v1 memory group), gcc, and the project's virtual environment.
Each scenario is a shell script run in a fresh folder; stdout and stderr go to one log, as Slurm would write them. Names of
hosts, users and folders are made neutral afterwards. The logs are committed: tests never run this.
"""

# ruff: noqa: E501, S608 — invented logs; messages stand as their software prints them

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PYTHON = ROOT / ".venv" / "bin" / "python"
APPTAINER = ROOT / ".lab" / "apptainer" / "bin" / "apptainer"
LIMIT_S = 90


@dataclass(frozen=True)
class Scenario:
    """One failure: its label, the program, and the shell around it.

    Attributes:
        id: Name; the class is its first word.
        why: What goes wrong.
        train: Text of ``train.py`` in the scenario's folder; may be empty.
        shell: What bash runs there; ``python`` is the project's.
        evidence: What a wrapper would know besides the log.
        state: What Slurm would say; None where there is none.
        alt: Classes a careful reader could defend.
    """

    id: str
    why: str
    train: str = ""
    shell: str = "python train.py"
    evidence: dict[str, Any] = field(default_factory=dict)
    state: str | None = None
    alt: tuple[str, ...] = ()


STEPS = """
import sys, os, time
def steps(n=12, start=2.0):
    for k in range(n):
        print(f"step {k} loss {start / (1 + k / 4):.4f}", flush=True)
"""
MODEL = (
    STEPS
    + """
import torch
from torch import nn
torch.set_num_threads(1)
def fit(model, n=12, lr=0.1, x=None, y=None):
    x = torch.randn(64, 8) if x is None else x
    y = x.sum(1, keepdim=True) if y is None else y
    optimiser = torch.optim.SGD(model.parameters(), lr=lr)
    for k in range(n):
        loss = nn.functional.mse_loss(model(x), y)
        optimiser.zero_grad(); loss.backward(); optimiser.step()
        print(f"step {k} loss {loss.item():.4f}", flush=True)
"""
)
DIST = (
    MODEL
    + """
import torch.distributed as dist, datetime
def join(seconds=30):
    dist.init_process_group("gloo", timeout=datetime.timedelta(seconds=seconds))
    return dist.get_rank()
def rounds(n=4):
    for k in range(n):
        t = torch.ones(4); dist.all_reduce(t)
        if dist.get_rank() == 0: print(f"step {k} loss {2.0 / (k + 1):.4f}", flush=True)
"""
)
TWO = "torchrun --standalone --nproc_per_node 2 train.py"
TMPFS = "mkdir -p out && mount -t tmpfs -o size=256k tmpfs out && "
SMALL_SHM = "mount -t tmpfs -o size=64k tmpfs /dev/shm && "
CPU = {"gpus": 0}

S = Scenario
SCENARIOS: tuple[Scenario, ...] = (
    # memory
    S("oom_gpu.p-python", "a bytearray beyond the address space; the CPU is the training device", STEPS + "steps()\nb = bytearray(1 << 34)", "ulimit -v 4000000; python train.py", CPU),
    S("oom_gpu.p-numpy", "numpy refuses", STEPS + "steps()\nimport numpy as np\nnp.ones((1 << 20, 1 << 20))", evidence=CPU),
    S("oom_gpu.p-torch", "the CPU allocator refuses", MODEL + "fit(nn.Linear(8, 1))\nnn.Linear(1 << 20, 1 << 19)", evidence=CPU),
    S("oom_gpu.p-torchrun", "one rank's allocator refuses, gloo breaks for the other", DIST + "r = join()\nrounds()\nif r == 1: torch.empty(1 << 42)\ndist.barrier()", TWO, CPU),
    S("oom_host.p-torch-gpu-job", "the host's allocator refuses in a job with GPUs", MODEL + "fit(nn.Linear(8, 1))\ntorch.empty(1 << 42)", evidence={"gpus": 4}),
    S("oom_host.p-cgroup", "the memory cgroup kills", STEPS + "steps()\nb = [bytearray(1 << 24) for _ in range(64)]\nsteps()", "in_cgroup 200M python train.py", {"oom_kill_count": 1}),
    S("oom_host.p-cgroup-rank", "the memory cgroup kills one rank", DIST + "r = join()\nrounds()\nb = [bytearray(b'x') * (1 << 24) for _ in range(80)] if r == 1 else 0\ndist.barrier()", f"in_cgroup 900M {TWO}", {"oom_kill_count": 1}),
    S("oom_host.p-loader", "the memory cgroup kills a loader worker", MODEL + """
class Big(torch.utils.data.Dataset):
    def __len__(self): return 64
    def __getitem__(self, i):
        self.keep = getattr(self, 'keep', []) + [bytearray(b'x') * (1 << 25)]
        return torch.zeros(4)
fit(nn.Linear(8, 1))
for batch in torch.utils.data.DataLoader(Big(), batch_size=4, num_workers=1): pass
""", "in_cgroup 700M python train.py", {"oom_kill_count": 1}),
    S("oom_host.p-cxx", "std::bad_alloc", "", "printf '#include <vector>\\n#include <cstdio>\\nint main(){puts(\"iter 1 res 0.5\");fflush(stdout);std::vector<double> v(1ul<<40);return (int)v[7];}' > s.cc && g++ -o solver s.cc && ./solver", {"gpus": 2}),
    S("oom_shm.p-loader", "tensors of loader workers do not fit into /dev/shm", MODEL + "fit(nn.Linear(8, 1))\nd = [torch.zeros(200000) for _ in range(64)]\nfor b in torch.utils.data.DataLoader(d, batch_size=8, num_workers=2): pass", SMALL_SHM + "python train.py"),
    S("oom_shm.p-semaphore", "no room for a semaphore", STEPS + "steps()\nimport multiprocessing as mp\nq = [mp.Queue() for _ in range(64)]", "mount -t tmpfs -o size=4k tmpfs /dev/shm && head -c 4096 /dev/zero > /dev/shm/x; python train.py; c=$?; df -h /dev/shm | tail -1; exit $c"),
    S("oom_shm.p-shared-memory", "Python's shared memory", STEPS + "steps()\nfrom multiprocessing import shared_memory\nm = shared_memory.SharedMemory(create=True, size=1 << 20)\nm.buf[:] = b'x' * (1 << 20)", SMALL_SHM + "python train.py"),
    # storage
    S("storage.p-write", "a full file system, plain file", STEPS + "steps()\nopen('out/a', 'wb').write(b'x' * (1 << 20))", TMPFS + "python train.py"),
    S("storage.p-numpy", "a full file system, numpy", STEPS + "steps()\nimport numpy as np\nnp.save('out/a.npy', np.zeros(1 << 18))", TMPFS + "python train.py"),
    S("storage.p-torch", "a full file system, torch.save", MODEL + "fit(nn.Linear(8, 1))\ntorch.save({'w': torch.zeros(1 << 18)}, 'out/ck.pt')", TMPFS + "python train.py", alt=("checkpoint",)),
    S("storage.p-h5", "a full file system, h5py", STEPS + "steps()\nimport h5py, numpy as np\nf = h5py.File('out/m.h5', 'w')\nf['x'] = np.zeros(1 << 18)\nf.close()", TMPFS + "python train.py"),
    S("storage.p-safetensors", "a full file system, safetensors", MODEL + "fit(nn.Linear(8, 1))\nfrom safetensors.torch import save_file\nsave_file({'w': torch.zeros(1 << 18)}, 'out/w.safetensors')", TMPFS + "python train.py"),
    S("storage.p-sqlite", "a full file system, sqlite", STEPS + "steps()\nimport sqlite3\nc = sqlite3.connect('out/s.db'); c.execute('create table t (x blob)')\nfor _ in range(99): c.execute('insert into t values (?)', (b'x' * 65536,)); c.commit()", TMPFS + "python train.py"),
    S("storage.p-fsize", "a limit on file size", STEPS + "steps()\nopen('a', 'wb').write(b'x' * (1 << 22))", "ulimit -f 100; python train.py"),
    S("storage.p-fsize-signal", "SIGXFSZ ends a native program", "", "echo 'iter 1 res 0.5'; ulimit -f 100; head -c 9000000 /dev/zero > big"),
    S("storage.p-read-only", "a read-only mount", STEPS + "steps()\nopen('out/a', 'w').write('x')", "mkdir out && mount -t tmpfs -o ro tmpfs out && python train.py"),
    S("storage.p-permission", "a folder of somebody else", STEPS + "steps()\nopen('out/ck.pt', 'wb')", "mkdir out && chmod 700 out && chmod 755 . && setpriv --reuid 65534 --clear-groups python train.py"),
    S("storage.p-h5-lock", "another process holds the HDF5 file", STEPS + "import h5py, subprocess, sys\nsteps()\nf = h5py.File('m.h5', 'w')\nsys.exit(subprocess.run([sys.executable, '-c', \"import h5py; h5py.File('m.h5', 'a')\"]).returncode)"),
    # container
    S("container.p-no-image", "no such image", "", "apptainer exec /images/train-v9.sif python train.py"),
    S("container.p-garbage", "not an image", "", "head -c 100000 /dev/urandom > train.sif; apptainer exec train.sif python train.py"),
    S("container.p-truncated", "half an image", "", "head -c 300000 $MINIMAL > train.sif; apptainer -q exec train.sif true"),
    S("container.p-bind", "a bind's source is missing", "", "apptainer -q exec --bind /data/imagenet:/data $MINIMAL true"),
    S("container.p-command", "the image has no such command", "", "apptainer -q exec $MINIMAL torchrun train.py"),
    S("container.p-pwd", "the working folder does not exist inside", "", "apptainer -q exec --containall --pwd /nowhere $MINIMAL true"),
    # environment
    S("environment.p-module", "a missing module", STEPS + "import flash_attn"),
    S("environment.p-name", "a missing name", STEPS + "from numpy import float_ as f"),
    S("environment.p-library", "a missing library", STEPS + "import ctypes\nctypes.CDLL('libcudnn_ops.so.9')"),
    S("environment.p-symbol", "an undefined symbol", STEPS + "import ctypes\nctypes.CDLL('./ext.so', mode=ctypes.RTLD_GLOBAL)", "echo 'extern int missing_thing(void); int f(void){return missing_thing();}' > e.c && gcc -shared -fPIC -Wl,-z,now -o ext.so e.c && python train.py"),
    S("environment.p-cuda", "a CPU build", MODEL + "fit(nn.Linear(8, 1).cuda())"),
    S("environment.p-nccl", "NCCL without GPUs", DIST + "dist.init_process_group('nccl')", TWO),
    S("environment.p-command", "no such command", "", "echo 'starting'; module load cuda/12.1; nvcc --version"),
    S("environment.p-interpreter", "the interpreter is gone", "", "printf '#!/opt/gone/bin/python\\nprint(1)\\n' > run.py; chmod +x run.py; ./run.py"),
    S("environment.p-files", "too many open files", STEPS + "steps()\nf = [open('train.py') for _ in range(999)]", "ulimit -n 64; python train.py"),
    S("environment.p-sigill", "an instruction this processor does not know", "", "echo 'int main(){__builtin_trap();}' > t.c && gcc -o t t.c && ./t; exit $?", alt=("code_bug",)),
    # data
    S("data.p-missing", "a missing file", STEPS + "import pandas as pd\npd.read_csv('data/train.csv')"),
    S("data.p-empty-csv", "an empty table", STEPS + "import pandas as pd\nopen('t.csv', 'w')\npd.read_csv('t.csv')"),
    S("data.p-json", "a broken line", STEPS + "import json\nfor line in ['{\"a\": 1}', '{\"a\": ']: json.loads(line)"),
    S("data.p-image", "not a picture", MODEL + "from PIL import Image\nopen('a.jpg', 'wb').write(b'nothing')\nclass D(torch.utils.data.Dataset):\n    def __len__(self): return 8\n    def __getitem__(self, i): return Image.open('a.jpg')\nfor b in torch.utils.data.DataLoader(D(), num_workers=1): pass"),
    S("data.p-h5-truncated", "half an HDF5 file", STEPS + "import h5py, numpy as np\nf = h5py.File('d.h5', 'w'); f['x'] = np.zeros(99999); f.close()\nos.truncate('d.h5', 5000)\nh5py.File('d.h5')"),
    S("data.p-h5-key", "the HDF5 file has no such data set", STEPS + "import h5py\nf = h5py.File('d.h5', 'w')\nf['features']", alt=("code_bug",)),
    S("data.p-tar", "half an archive", STEPS + "import tarfile\nt = tarfile.open('a.tar', 'w'); t.add('train.py'); t.close()\nos.truncate('a.tar', 700)\ntarfile.open('a.tar').extractall('x', filter='data')"),
    S("data.p-npy", "an empty array file", STEPS + "import numpy as np\nopen('a.npy', 'w')\nnp.load('a.npy')"),
    S("data.p-label", "a label out of range", MODEL + "nn.functional.cross_entropy(torch.randn(4, 10), torch.tensor([1, 2, 10, 3]))", alt=("code_bug",)),
    S("data.p-no-samples", "an empty data set", MODEL + "torch.utils.data.DataLoader([], shuffle=True)", alt=("config",)),
    S("data.p-gzip", "not gzip", STEPS + "import gzip\nopen('a.gz', 'w').write('plain text')\ngzip.open('a.gz').read()"),
    # checkpoint
    S("checkpoint.p-truncated", "half a checkpoint", MODEL + "torch.save({'w': torch.zeros(9999)}, 'ck.pt'); os.truncate('ck.pt', 20000)\nprint('resuming from ck.pt')\ntorch.load('ck.pt')"),
    S("checkpoint.p-empty", "an empty checkpoint", MODEL + "open('ck.pt', 'w')\nprint('resuming from ck.pt')\ntorch.load('ck.pt')"),
    S("checkpoint.p-garbage", "not a checkpoint", MODEL + "open('ck.pt', 'w').write('version https://git-lfs')\nprint('resuming from ck.pt')\ntorch.load('ck.pt', weights_only=False)"),
    S("checkpoint.p-shape", "another model's", MODEL + "torch.save(nn.Linear(8, 1).state_dict(), 'ck.pt')\nnn.Linear(9, 1).load_state_dict(torch.load('ck.pt'))", alt=("config",)),
    S("checkpoint.p-keys", "another model's keys", MODEL + "torch.save(nn.Linear(8, 1).state_dict(), 'ck.pt')\nnn.Sequential(nn.Linear(8, 1)).load_state_dict(torch.load('ck.pt'))"),
    S("checkpoint.p-safetensors", "half a safetensors file", MODEL + "from safetensors.torch import save_file, load_file\nsave_file({'w': torch.zeros(9999)}, 'w.safetensors'); os.truncate('w.safetensors', 9000)\nload_file('w.safetensors')"),
    S("checkpoint.p-weights-only", "a pickle PyTorch refuses", MODEL + "import pathlib\ntorch.save({'args': pathlib.Path('x')}, 'ck.pt')\ntorch.load('ck.pt')", alt=("environment", "code_bug")),
    S("checkpoint.p-gone", "no such checkpoint", MODEL + "torch.load('checkpoints/step-00000400/model.pt')"),
    # config
    S("config.p-argument", "an unknown argument", "import argparse\np = argparse.ArgumentParser(); p.add_argument('--lr'); p.parse_args()", "python train.py --lora_rnak 8"),
    S("config.p-choice", "an impossible choice", "import argparse\np = argparse.ArgumentParser(); p.add_argument('--model', choices=['a', 'b']); p.parse_args()", "python train.py --model c"),
    S("config.p-yaml", "a broken YAML", "from ruamel.yaml import YAML\nYAML().load('a: b: c')"),
    S("config.p-pydantic", "a value of another kind", "import pydantic\nclass C(pydantic.BaseModel):\n    lr: float\nC(lr='fast')"),
    S("config.p-unbound", "an unset variable of the script", "", "set -u; cd $DATA_ROOT/run"),
    S("config.p-rlimit-cpu", "a limit on CPU time", STEPS + "steps()\nwhile True: pass", "ulimit -S -t 1; python train.py"),
    # code
    S("code_bug.p-shape", "shapes", MODEL + "fit(nn.Linear(9, 1))"),
    S("code_bug.p-attribute", "None", MODEL + "fit(nn.Linear(8, 1))\nx = None\nprint(x.shape)"),
    S("code_bug.p-grad", "no gradient", MODEL + "torch.ones(1).backward()"),
    S("code_bug.p-inplace", "the graph was changed", MODEL + "w = torch.ones(3, requires_grad=True)\ny = w.exp(); y += 1; y.sum().backward()"),
    S("code_bug.p-segv", "a null pointer, with faulthandler", STEPS + "steps()\nimport ctypes\nctypes.string_at(0)", "python -X faulthandler train.py; exit $?"),
    S("code_bug.p-free", "freed twice", STEPS + "steps()\nimport ctypes\nc = ctypes.CDLL(None); c.malloc.restype = ctypes.c_void_p\np = c.malloc(32); c.free(ctypes.c_void_p(p)); c.free(ctypes.c_void_p(p))", "python train.py; exit $?"),
    S("code_bug.p-recursion", "endless recursion", "def f(x): return f(x)\nf(1)"),
    S("code_bug.p-syntax", "does not parse", "def f(:\n    pass"),
    S("code_bug.p-rank", "one rank's KeyError", DIST + "r = join()\nrounds()\nif r == 1: {}['aux']\ndist.barrier()", TWO),
    S("code_bug.p-spawn", "a child of multiprocessing", STEPS + "import multiprocessing as mp\ndef f(i): return [1][i]\nif __name__ == '__main__':\n    steps()\n    mp.get_context('spawn').Pool(2).map(f, range(3))"),
    S("code_bug.p-loader", "a fault in a loader worker", MODEL + "class D(torch.utils.data.Dataset):\n    def __len__(self): return 8\n    def __getitem__(self, i): return self.items[i]\nfor b in torch.utils.data.DataLoader(D(), num_workers=2): pass"),
    S("code_bug.p-record", "an error file of torchelastic", DIST + "from torch.distributed.elastic.multiprocessing.errors import record\n@record\ndef main():\n    r = join(); rounds()\n    if r == 0: raise ValueError('negative size')\n    dist.barrier()\nmain()", TWO),
    S("code_bug.p-swallowed", "the script goes on after a fault", STEPS + "steps()\nint('x')", "python train.py; echo 'copying results'; true", state="COMPLETED"),
    S("code_bug.p-swallowed-buffered", "stdout is buffered: progress appears after the traceback it came before", "for k in range(12): print(f'step {k} loss {2 / (k + 1):.4f}')\nassert False", "python train.py; echo 'job script finished'; true", state="COMPLETED"),
    # communication
    S("communication.p-gloo-timeout", "one rank does not come to a collective", DIST + "r = join(3)\nrounds()\nif r == 1: time.sleep(12)\ndist.barrier()", TWO),
    S("communication.p-port", "the port is taken", DIST + "import socket\ns = socket.socket(); s.bind(('', 29577)); s.listen()\nos.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT='29577', RANK='0', WORLD_SIZE='1')\njoin(5)"),
    S("communication.p-alone", "the other ranks never come", DIST + "os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT='29578', RANK='0', WORLD_SIZE='2')\njoin(4)"),
    S("communication.p-host", "the master's name does not resolve", DIST + "os.environ.update(MASTER_ADDR='gpu-master-7.invalid', MASTER_PORT='29579', RANK='1', WORLD_SIZE='2')\njoin(4)"),
    S("communication.p-monitored", "a monitored barrier names the rank", DIST + "r = join(20)\nrounds()\nif r == 1: time.sleep(8)\nelse: dist.monitored_barrier(timeout=datetime.timedelta(seconds=2))", TWO),
    # divergence, no learning
    S("divergence.p-sgd", "a learning rate that is far too high; exit code 0", MODEL + "fit(nn.Linear(8, 1), n=90, lr=90.0)\nprint('done')", state="COMPLETED"),
    S("divergence.p-guard", "a guard in the program", MODEL + "x = torch.full((64, 8), float('inf'))\nloss = nn.Linear(8, 1)(x).mean() * 0\nif not torch.isfinite(loss): print(f'Loss is {loss.item()}, stopping training'); sys.exit(1)"),
    S("divergence.p-anomaly", "anomaly mode", MODEL + "torch.autograd.set_detect_anomaly(True)\nw = torch.zeros(1, requires_grad=True)\n(w.sqrt() * 0).sum().backward()"),
    S("divergence.p-multinomial", "sampling from nan", MODEL + "fit(nn.Linear(8, 1))\ntorch.multinomial(torch.tensor([0.1, float('nan')]), 1)"),
    S("divergence.p-normal", "a distribution of nan", MODEL + "fit(nn.Linear(8, 1))\ntorch.distributions.Normal(torch.tensor([float('nan')]), 1.0)"),
    S("not_converged.p-frozen", "a learning rate of 0; exit code 0", MODEL + "torch.manual_seed(0)\nfit(nn.Linear(8, 1), n=40, lr=0.0)\nprint('training finished')", state="COMPLETED"),
    # taken away
    S("timeout.p-command", "GNU timeout", STEPS + "for k in range(99):\n    print(f'step {k} loss {2 / (k + 1):.4f}', flush=True); time.sleep(0.2)", "timeout --verbose 3 python train.py"),
    S("cancelled.p-interrupt", "SIGINT", MODEL + "import threading, signal\nthreading.Timer(2, lambda: os.kill(os.getpid(), signal.SIGINT)).start()\nfit(nn.Linear(8, 1), n=5)\ntime.sleep(30)"),
    S("cancelled.p-torchrun-term", "the launcher is asked to stop", DIST + "import signal\nr = join()\nrounds()\nif r == 0: os.kill(os.getppid(), signal.SIGTERM)\ntime.sleep(30)", TWO, {"signals_received": ["TERM"]}),
    # unknown
    S("unknown.p-kill", "SIGKILL from somewhere", STEPS + "import signal\nsteps()\nos.kill(os.getpid(), signal.SIGKILL)", "exec python train.py", alt=("oom_host",)),
    S("unknown.p-rank-kill", "a rank is killed; the other notices", DIST + "import signal\nr = join()\nrounds()\nif r == 1: os.kill(os.getpid(), signal.SIGKILL)\ndist.barrier()", TWO, alt=("oom_host",)),
    S("unknown.p-exit", "a code and no word", STEPS + "steps()\nsys.exit(17)"),
    S("unknown.p-rank-exit", "a rank leaves with a code and no word", DIST + "r = join()\nrounds()\nif r == 1: os._exit(3)\ndist.barrier()", TWO),
    # successes that sound deadly
    S("success.p-caught-oom", "a batch that does not fit is caught", MODEL + "fit(nn.Linear(8, 1))\ntry: torch.empty(1 << 42)\nexcept RuntimeError as error: print('skipping batch:', error, file=sys.stderr)\nfit(nn.Linear(8, 1), n=24)\ntorch.save({}, 'final.pt'); print('saved model to final.pt')", state="COMPLETED"),
    S("success.p-caught-traceback", "a caught error is logged with its traceback", MODEL + "import logging\nfit(nn.Linear(8, 1))\ntry: {}['extra']\nexcept KeyError: logging.exception('optional metric failed, going on')\nfit(nn.Linear(8, 1), n=24)\nprint('training finished')", state="COMPLETED"),
    S("success.p-thread", "a thread dies, the training does not", MODEL + "import threading\nt = threading.Thread(target=lambda: 1 / 0); t.start(); t.join()\nfit(nn.Linear(8, 1), n=24)\nprint('training finished')", state="COMPLETED"),
    S("success.p-del", "a destructor raises at exit", MODEL + "class C:\n    def __del__(self): raise RuntimeError('connection already closed')\nc = C()\nfit(nn.Linear(8, 1), n=24)\nprint('training finished, model saved')", state="COMPLETED"),
    S("success.p-not-destroyed", "the process group is left to the interpreter", DIST + "r = join()\nrounds(20)\ndist.barrier()\nif r == 0: print('training finished', flush=True)\nos._exit(0)", TWO, state="COMPLETED"),
    S("communication.p-restarted", "torchrun restarts the workers once and they do not find each other again", DIST + "r = join()\nrounds(4)\nif r == 1 and not os.path.exists('once'):\n    open('once', 'w'); raise RuntimeError('flaky start')\ndist.barrier()\nrounds(20)\nif r == 0: print('training finished, saved model to final.pt', flush=True)\nos._exit(0)", "torchrun --standalone --max-restarts 1 --nproc_per_node 2 train.py", alt=("code_bug",)),
    S("success.p-logging-full", "the log file's disk is full, the training is not concerned", MODEL + "import logging\nlogging.basicConfig(handlers=[logging.FileHandler('out/run.log')], level=20)\nlogging.info('x' * 400000)\nfit(nn.Linear(8, 1), n=24)\nprint('training finished')\nos._exit(0)", TMPFS + "python train.py", state="COMPLETED"),
    S("success.p-subprocess", "an optional command fails", MODEL + "import subprocess\nsubprocess.run(['git', 'rev-parse', 'HEAD'])\nsubprocess.run(['ls', '/opt/extra'])\nfit(nn.Linear(8, 1), n=24)\nprint('training finished')", state="COMPLETED"),
    S("success.p-warnings", "numpy and torch warn", MODEL + "import numpy as np, warnings\nnp.array([1.0]) / np.array([0.0]); np.log(np.array([-1.0])); np.array([np.nan]).mean()\nwarnings.warn('loss is nan in 0 batches')\nfit(nn.Linear(8, 1), n=24)\nprint('training finished')", state="COMPLETED"),
    S("success.p-fallback", "a damaged checkpoint, the one before it is taken", MODEL + "torch.save({'w': 1}, 'a.pt'); torch.save({'w': torch.zeros(9999)}, 'b.pt'); os.truncate('b.pt', 9000)\nfor name in ('b.pt', 'a.pt'):\n    try: torch.load(name); break\n    except Exception as error: print(f'WARNING: cannot load {name}: {error}; falling back to the one before', file=sys.stderr)\nfit(nn.Linear(8, 1), n=24)\nprint('training finished')", state="COMPLETED"),
    S("success.p-retry", "a read is repeated until it works", MODEL + "for attempt in range(3):\n    try:\n        if attempt < 2: raise OSError(5, 'Input/output error', '/lustre/data/a.bin')\n        break\n    except OSError as error: print(f'retrying ({attempt + 1}/3): {error}', file=sys.stderr)\nfit(nn.Linear(8, 1), n=24)\nprint('training finished')", state="COMPLETED"),
    S("success.p-interrupt-child", "a loader worker is killed after the end", MODEL + "import signal\nclass D(torch.utils.data.Dataset):\n    def __len__(self): return 64\n    def __getitem__(self, i): time.sleep(0.01); return torch.zeros(4)\nfit(nn.Linear(8, 1), n=24)\nloader = iter(torch.utils.data.DataLoader(D(), num_workers=1, batch_size=2)); next(loader)\nsignal.signal(signal.SIGCHLD, signal.SIG_DFL)\nprint('training finished, saved model to final.pt', flush=True)\nos.kill(loader._workers[0].pid, signal.SIGKILL); time.sleep(1)\nos._exit(0)", state="COMPLETED"),
    S("success.p-wandb", "wandb offline at its most talkative", MODEL + "import wandb\nr = wandb.init(project='p', mode='offline')\nfit(nn.Linear(8, 1), n=24)\nr.log({'loss': float('nan'), 'errors': 0}); r.finish()\nprint('training finished')", state="COMPLETED"),
    S("success.p-apptainer", "a container run with all its remarks", "", "apptainer exec --nv --bind /tmp:/tmp $MINIMAL sh -c 'for k in 1 2 3 4 5 6; do echo step $k loss 0.$k; done; echo training finished'", state="COMPLETED"),
)  # fmt: skip

_GROUP = Path("/sys/fs/cgroup/memory/corpus")


def in_cgroup(limit: str) -> str:
    """A shell function that runs a command in a fresh memory cgroup (version 1)."""
    return f"""in_cgroup() {{ mkdir -p {_GROUP}; echo $1 > {_GROUP}/memory.limit_in_bytes; shift; (echo $BASHPID > {_GROUP}/cgroup.procs; exec "$@"); }}\n{limit}"""


def provoke(scenario: Scenario) -> tuple[str, int]:
    """Run a scenario; give what it printed, made neutral, and the exit status."""
    folder = Path(tempfile.mkdtemp(prefix="corpus-"))
    folder.chmod(0o755)
    (folder / "train.py").write_text(scenario.train, encoding="utf-8")
    environment = {
        "PATH": f"{PYTHON.parent}:{APPTAINER.parent}:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": str(folder), "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": "1", "MINIMAL": str(ROOT / "images" / "minimal.sif"), "WANDB_SILENT": "false",
    }  # fmt: skip
    try:
        done = subprocess.run(
            ["unshare", "-m", "--propagation", "private", "bash", "-c", in_cgroup(scenario.shell)],
            cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LIMIT_S, check=False,
        )  # fmt: skip
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if _GROUP.is_dir() and not (_GROUP / "cgroup.procs").read_text().strip():
            _GROUP.rmdir()
    return neutral(done.stdout.decode("utf-8", "replace"), folder), done.returncode


def neutral(text: str, folder: Path) -> str:
    """Take the names of this machine out."""
    for old, new in (
        (str(folder), "/scratch/mkoch/run"), (str(ROOT / ".venv"), "/opt/venv"), (str(ROOT / ".lab" / "apptainer"), "/opt/apptainer"),
        (str(ROOT), "/home/mkoch/project"), (socket.gethostname(), "node01"), (os.path.realpath(sys.base_prefix), "/usr/local"),
    ):  # fmt: skip
        text = text.replace(old, new)
    text = re.sub(r"\( echo \$BASHPID.*\)", "python train.py", text)
    return re.sub(r"/tmp/tmp\w+", "/tmp/tmpab12cd", text)


def exit_text(status: int) -> str:
    """The status of bash as sacct would write it: code, or signal when the program was killed."""
    return f"0:{-status}" if status < 0 else f"{status}:0"


def main(names: list[str]) -> None:
    """Provoke all or the named scenarios and write logs and rows."""
    (HERE / "logs" / "provoked").mkdir(parents=True, exist_ok=True)
    table = HERE / "cases.jsonl"
    rows = {row["id"]: row for row in map(json.loads, table.read_text(encoding="utf-8").splitlines())}
    for scenario in SCENARIOS:
        if names and scenario.id not in names:
            continue
        text, status = provoke(scenario)
        ended_well = (
            scenario.id.startswith(("success.", "not_converged.", "divergence.p-sgd")) or scenario.state == "COMPLETED"
        )
        doubt = "" if (status == 0) == ended_well else "  <-- not what was meant"
        sys.stdout.write(f"{scenario.id} {status}{doubt}\n")
        (HERE / "logs" / "provoked" / f"{scenario.id}.log").write_text(text, encoding="utf-8")
        optional = {"evidence": scenario.evidence, "alt": list(scenario.alt)}
        rows[scenario.id] = {
            "id": scenario.id, "log": f"logs/provoked/{scenario.id}.log", "slurm_state": scenario.state or ("FAILED" if not scenario.evidence else None),
            "exit_code": exit_text(status), "category": scenario.id.split(".")[0], "why": scenario.why, "origin": "provoked",
            **{key: value for key, value in optional.items() if value},
        }  # fmt: skip
    table.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows.values()), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
