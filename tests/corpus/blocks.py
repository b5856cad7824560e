"""What ordinary logs are made of: login noise, progress of a dozen frameworks, tracebacks, the words of launchers.

Every block takes a `Stage` (one invented job on one invented cluster) and gives lines. The formats are the software's
own; names, numbers, paths and hosts are invented from the stage's own random source.
"""

# ruff: noqa: S311, DTZ001, E501 — invented logs; messages stand as their software prints them

import datetime as dt
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

Block = Callable[["Stage"], list[str]]
Part = str | Block | list[str]

_USERS = ("mkoch", "lfarah", "jtan", "apetrov", "rdiaz", "snakai", "ewood", "pmeier")
_HOSTS = ("gpu", "node", "hgx-", "c", "nid00", "jwb0", "a100-", "cn")
_SITES = (
    "/scratch/{u}",
    "/lustre/work/{u}",
    "/gpfs/projects/vision/{u}",
    "/home/{u}",
    "/p/project/nlp/{u}",
    "/work/{u}",
)
_ENVS = (
    "/home/{u}/miniconda3/envs/train/lib/python3.10/site-packages",
    "/opt/venv/lib/python3.11/site-packages",
    "/usr/local/lib/python3.10/dist-packages",
    "{s}/.venv/lib/python3.12/site-packages",
    "/opt/conda/lib/python3.8/site-packages",
)


@dataclass
class Stage:
    """One invented job: who, where, when, and a random source that depends on the case's name only."""

    name: str
    rng: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.name)
        self.user = self.rng.choice(_USERS)
        self.host = f"{self.rng.choice(_HOSTS)}{self.rng.randint(1, 99):02d}"
        self.site = self.rng.choice(_SITES).format(u=self.user)
        self.env = self.rng.choice(_ENVS).format(u=self.user, s=self.site)
        self.job = str(self.rng.randint(1_000_000, 69_999_999))
        self.pid = self.rng.randint(2_000, 3_900_000)
        self.clock = dt.datetime(2019 + self.rng.randint(0, 7), self.rng.randint(1, 12), self.rng.randint(1, 28),
                                 self.rng.randint(0, 23), self.rng.randint(0, 59))  # fmt: skip

    def later(self, seconds: float) -> dt.datetime:
        """Let time pass."""
        self.clock += dt.timedelta(seconds=seconds)
        return self.clock

    def fill(self, line: str) -> str:
        """Put the stage's names into a template: <host> <user> <job> <site> <env> <pid> <now> <iso>."""
        if "<" not in line:
            return line
        for key, value in {
            "<host>": self.host, "<user>": self.user, "<job>": self.job, "<site>": self.site, "<env>": self.env,
            "<pid>": str(self.pid), "<now>": f"{self.clock:%Y-%m-%d %H:%M:%S}", "<iso>": f"{self.clock:%Y-%m-%dT%H:%M:%S}",
        }.items():  # fmt: skip
            line = line.replace(key, value)
        return line


def play(name: str, parts: Iterable[Part]) -> str:
    """Write one log: the parts in order."""
    stage = Stage(name)
    lines: list[str] = []
    for part in parts:
        block = part(stage) if callable(part) else [part] if isinstance(part, str) else part
        lines += [stage.fill(line) for line in block]
    return "\n".join(lines) + "\n"


def lines(text: str) -> list[str]:
    """A block given as an indented text."""
    rows = text.strip("\n").split("\n")
    depth = min((len(row) - len(row.lstrip(" ")) for row in rows if row.strip()), default=0)
    return [row[depth:] for row in rows]


# ── before the work: what login shells, modules and job scripts print ─────────────────────────────────────────────


def _slurm_env(s: Stage) -> list[str]:
    return [f"SLURM_JOB_ID={s.job}", f"SLURM_JOB_PARTITION={s.rng.choice(['gpu', 'booster', 'normal', 'a100'])}",
            f"SLURM_CPUS_PER_TASK={s.rng.choice([4, 8, 16, 36])}", "SLURM_KILL_BAD_EXIT=1", "TORCH_NCCL_ASYNC_ERROR_HANDLING=1",
            "PYTHONFAULTHANDLER=1", "OMP_NUM_THREADS=8", "NCCL_IB_TIMEOUT=22", "SLURM_OOMKILLSTEP=0"]  # fmt: skip


def _gpus(s: Stage) -> list[str]:
    name = s.rng.choice(["NVIDIA A100-SXM4-80GB", "Tesla V100-SXM2-32GB", "NVIDIA H100 80GB HBM3", "NVIDIA L40S"])
    return [f"GPU {i}: {name} (UUID: GPU-{s.rng.getrandbits(32):08x}-1d2f)" for i in range(s.rng.choice([1, 4, 8]))]


def _pip(s: Stage) -> list[str]:
    names = ["aiohttp 3.9.5", "async-timeout 4.0.3", "certifi 2024.2.2", "exceptiongroup 1.2.1", "numpy 1.26.4",
             "psutil 5.9.8", "safetensors 0.4.3", "tenacity 8.3.0", "timeout-decorator 0.5.0", "retrying 1.3.4"]  # fmt: skip
    return ["Package              Version", "-------------------- --------"] + [
        f"{n.split()[0]:20s} {n.split()[1]}" for n in s.rng.sample(names, 7)
    ]


def _settings(s: Stage) -> list[str]:
    return lines(f"""
        # resolved configuration
        run:
          name: exp-{s.rng.getrandbits(16):04x}
          resume: auto
          on_error: raise
          oom_retry: false
          max_failures: 0
        optim:
          lr: {s.rng.choice(["1.0e-03", "3.0e-04", "6.0e-05"])}
          clip_grad_norm: 1.0
          skip_nan_grad: false
        data:
          num_workers: {s.rng.choice([4, 8, 12])}
          timeout: 0
          ignore_corrupt: true
    """)


def _bash_trace(s: Stage) -> list[str]:
    return ["+ set -euo pipefail", "+ ulimit -c 0", f"+ cd {s.site}/runs", "+ module purge", "+ module load cuda gcc",
            "+ export PYTHONFAULTHANDLER=1", "+ srun --kill-on-bad-exit=1 bash launch.sh"]  # fmt: skip


def _banner(s: Stage) -> list[str]:
    return ["=" * 60, f"Job ID        : {s.job}", f"Nodes         : {s.host}", f"Started       : {s.clock:%a %b %d %H:%M:%S %Y}",
            f"Directory     : {s.site}", "=" * 60]  # fmt: skip


def _shell_noise(s: Stage) -> list[str]:
    return s.rng.sample(
        [
            f"bash: /home/{s.user}/.bashrc: line 12: /sw/etc/profile.d/conda.sh: No such file or directory",
            "perl: warning: Setting locale failed.",
            "stty: 'standard input': Inappropriate ioctl for device",
            f"/usr/bin/xauth:  file /home/{s.user}/.Xauthority does not exist",
            "manpath: warning: $MANPATH set, ignoring /etc/man_db.conf",
            "mkdir: cannot create directory ‘logs’: File exists",
            "tput: No value for $TERM and no -T specified",
        ],
        3,
    )


def _python_noise(s: Stage) -> list[str]:
    return s.rng.choice(
        [
            [
                f"{s.env}/transformers/utils/hub.py:128: FutureWarning: Using `TRANSFORMERS_CACHE` is deprecated and will be removed",
                "  warnings.warn(",
            ],
            [
                f"{s.env}/torch/cuda/__init__.py:716: UserWarning: Can't initialize NVML",
                '  warnings.warn("Can\'t initialize NVML")',
            ],
            [
                "[nltk_data] Error loading stopwords: <urlopen error [Errno 101]",
                "[nltk_data]     Network is unreachable>",
            ],
            [
                'INFO:numexpr.utils:Note: NumExpr detected 48 cores but "NUMEXPR_MAX_THREADS" not set, so enforcing safe limit of 8.'
            ],
            [
                f"{s.env}/torch/utils/data/dataloader.py:557: UserWarning: This DataLoader will create 16 worker processes in total. "
                "Our suggested max number of worker in current system is 8, which is smaller than what this DataLoader is going to "
                "create. Please be aware that excessive worker creation might get DataLoader running slow or even freeze, lower the "
                "worker number to avoid potential slowness/freeze if necessary."
            ],
            [
                "huggingface/tokenizers: The current process just got forked, after parallelism has already been used. "
                "Disabling parallelism to avoid deadlocks..."
            ],
        ]
    )


def _indexing(s: Stage) -> list[str]:
    return [
        f"indexing {s.site}/data/part-{i:05d}.bin ... {s.rng.randint(80, 120)}{s.rng.randint(100, 999)} samples, 0 errors"
        for i in range(s.rng.randint(6, 14))
    ]


def _memory(s: Stage) -> list[str]:
    return ["              total        used        free      shared  buff/cache   available",
            "Mem:            503          21         441           1          40         478", "Swap:             0           0           0"]  # fmt: skip


_BEFORE = (
    _slurm_env,
    _gpus,
    _pip,
    _settings,
    _bash_trace,
    _banner,
    _shell_noise,
    _python_noise,
    _indexing,
    _memory,
)


def pre(s: Stage) -> list[str]:
    """Three to five blocks of what stands above the work."""
    return [line for block in s.rng.sample(_BEFORE, s.rng.randint(3, 5)) for line in block(s)]


def epilog(s: Stage) -> list[str]:
    """What job scripts and sites print below the work, whatever happened."""
    return s.rng.choice(
        [
            [f"[epilog] removing /local/job_{s.job}", "[epilog] gpu reset not needed", "[epilog] done"],
            ["", "real    125m30.429s", "user    949m13.583s", "sys     27m30.700s"],
            [f"{s.clock:%a %b %d %H:%M:%S} CET 2024", "job end"],
            [],
            [f"Finished at {s.clock:%Y-%m-%d %H:%M:%S}", f"Job {s.job} used 4 GPUs"],
        ]
    )


# ── work ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _curve(s: Stage, n: int, start: float = 3.2, end: float = 1.1) -> list[float]:
    return [end + (start - end) * (1 - i / n) ** 2 + s.rng.uniform(-0.03, 0.03) for i in range(n)]


def steps(style: str, n: int = 24, rank: str = "", start: float = 3.2, end: float = 1.1) -> Block:
    """Progress in the style of a framework; `rank` stands before every line."""

    def block(s: Stage) -> list[str]:
        first = s.rng.randint(0, 400) * 10
        return [
            rank + row
            for i, loss in enumerate(_curve(s, n, start, end))
            for row in _STYLES[style](s, first + 10 * i, loss, i, n)
        ]

    return block


def _hf(s: Stage, step: int, loss: float, i: int, n: int) -> list[str]:
    return [
        f"{{'loss': {loss:.4f}, 'grad_norm': {s.rng.uniform(0.3, 2):.6f}, 'learning_rate': {2e-4 * (1 - i / n):.4e}, 'epoch': {step / 500:.2f}}}"
    ]


def _tqdm(s: Stage, step: int, loss: float, i: int, n: int) -> list[str]:
    done = int(100 * (i + 1) / n)
    bar = "█" * (done // 10)
    return [f"\r{done:3d}%|{bar:<10s}| {step}/{n * 40} [{i:02d}:12<{n - i:02d}:40,  2.{i % 10}1it/s, loss={loss:.3f}]"]


def _lightning(s: Stage, step: int, loss: float, i: int, n: int) -> list[str]:
    return [
        f"Epoch {i // 6}:  {(i % 6) * 16}%|██        | {(i % 6) * 20}/120 [00:{i:02d}<00:41,  2.61it/s, v_num={s.job[-4:]}, train_loss={loss:.3f}]"
    ]


def _megatron(s: Stage, step: int, loss: float, i: int, n: int) -> list[str]:
    return [
        f" [{s.later(9.1):%Y-%m-%d %H:%M:%S}] iteration {step:8d}/  100000 | consumed samples: {step * 1024:12d} | elapsed time per "
        f"iteration (ms): {s.rng.uniform(8800, 9300):.1f} | learning rate: 3.000E-04 | global batch size:  1024 | lm loss: {loss:.6E} | "
        f"loss scale: 1.0 | grad norm: {s.rng.uniform(0.4, 1):.3f} | number of skipped iterations:   0 | number of nan iterations:   0 |"
    ]


def _titan(s: Stage, step: int, loss: float, i: int, n: int) -> list[str]:
    return [
        f"[titan] {s.later(27):%Y-%m-%d %H:%M:%S},{s.rng.randint(100, 999)} - root - INFO - step: {step:4d}  loss:  {loss:.4f}  "
        f"grad_norm:  {s.rng.uniform(0.3, 2):.4f}  memory: 61.20GiB(77.40%)  tps: {s.rng.randint(6600, 7200):,}  mfu: {s.rng.uniform(31, 34):.2f}%"
    ]


def _deepspeed(s: Stage, step: int, loss: float, i: int, n: int) -> list[str]:
    return [
        f"[{s.later(12):%Y-%m-%d %H:%M:%S},{s.rng.randint(100, 999)}] [INFO] [logging.py:96:log_dist] [Rank 0] step={step}, skipped=0, "
        f"lr=[0.0001], mom=[(0.9, 0.95)]",
        f"steps: {step} loss: {loss:.4f} iter time (s): {s.rng.uniform(0.7, 1):.3f} samples/sec: {s.rng.uniform(30, 41):.3f}",
    ]


def _fairseq(s: Stage, step: int, loss: float, i: int, n: int) -> list[str]:
    return [
        f"{s.later(70):%Y-%m-%d %H:%M:%S} | INFO | train_inner | epoch 012:   {i * 100:4d} / 1982 loss={loss:.3f}, nll_loss={loss - 0.4:.3f}, "
        f"ppl={2 ** (loss - 0.4):.2f}, wps=31022.1, ups=1.4, num_updates={step}, lr=0.0005, gnorm={s.rng.uniform(0.6, 1.2):.3f}, loss_scale=16"
    ]


def _keras(s: Stage, step: int, loss: float, i: int, n: int) -> list[str]:
    return [
        f"Epoch {i + 1}/{n}",
        f"1563/1563 [==============================] - 12s 8ms/step - loss: {loss:.4f} - accuracy: {1 / (1 + loss):.4f} - val_loss: "
        f"{loss + 0.05:.4f} - val_accuracy: {1 / (1.1 + loss):.4f}",
    ]


def _jax(s: Stage, step: int, loss: float, i: int, n: int) -> list[str]:
    return [
        f"I{s.later(5):%m%d %H:%M:%S}.{s.rng.randint(100000, 999999)} 139876543210987 train.py:212] [{step}] accuracy={1 / (1 + loss):.5f}, "
        f"loss={loss:.5f}, steps_per_sec={s.rng.uniform(8, 9):.4f}"
    ]


def _plain(s: Stage, step: int, loss: float, i: int, n: int) -> list[str]:
    return [
        f"[{s.later(19):%Y-%m-%d %H:%M:%S}] step {step} | loss {loss:.4f} | lr 3.0e-04 | {s.rng.uniform(1.8, 2.1):.2f} s/it"
    ]


def _nanogpt(s: Stage, step: int, loss: float, i: int, n: int) -> list[str]:
    return [f"iter {step}: loss {loss:.4f}, time {s.rng.uniform(130, 160):.2f}ms, mfu {s.rng.uniform(38, 41):.2f}%"]


def _mm(s: Stage, step: int, loss: float, i: int, n: int) -> list[str]:
    return [
        f"{s.later(30):%m/%d %H:%M:%S} - mmengine - INFO - Epoch(train)  [{i // 8 + 1}][{50 * (i % 8 + 1):3d}/400]  lr: 1.0000e-02  eta: 5:12:0{i % 10}  "
        f"time: 0.5123  data_time: 0.0121  memory: 9921  loss: {loss:.4f}  loss_cls: {loss * 0.6:.4f}  loss_bbox: {loss * 0.4:.4f}"
    ]


def _d2(s: Stage, step: int, loss: float, i: int, n: int) -> list[str]:
    return [
        f"\x1b[32m[{s.later(9):%m/%d %H:%M:%S} d2.utils.events]: \x1b[0m eta: 3:12:44  iter: {step}  total_loss: {loss:.3f}  loss_cls: "
        f"{loss * 0.4:.4f}  time: 0.4511  data_time: 0.0081  lr: 0.02  max_mem: 7312M"
    ]


def _timm(s: Stage, step: int, loss: float, i: int, n: int) -> list[str]:
    return [
        f"Train: {i // 8} [{(i % 8) * 150:4d}/1251 ({(i % 8) * 12:3d}%)]  Loss: {loss:.3f} ({loss + 0.02:.3f})  Time: 0.412s, 2485.21/s  "
        f"(0.430s, 2381.10/s)  LR: 1.000e-03  Data: 0.012 (0.020)"
    ]


def _sb3(s: Stage, step: int, loss: float, i: int, n: int) -> list[str]:
    return [
        "-" * 36,
        f"|    ep_rew_mean       | {200 - 60 * loss:<9.1f} |",
        f"|    total_timesteps   | {step * 2048:<9d} |",
        f"|    value_loss        | {loss * 20:<9.3f} |",
        "-" * 36,
    ]


def _mpi(s: Stage, step: int, loss: float, i: int, n: int) -> list[str]:
    return [
        f"iter {step:6d}  res = {loss * 1e-3:.6e}  |du| = {loss * 2e-3:.4e}  dt = 1.25e-04  wall = {s.rng.uniform(0.2, 0.3):.3f} s"
    ]


_STYLES: dict[str, Callable[[Stage, int, float, int, int], list[str]]] = {
    "hf": _hf, "tqdm": _tqdm, "lightning": _lightning, "megatron": _megatron, "titan": _titan, "deepspeed": _deepspeed,
    "fairseq": _fairseq, "keras": _keras, "jax": _jax, "plain": _plain, "nanogpt": _nanogpt, "mm": _mm, "d2": _d2,
    "timm": _timm, "sb3": _sb3, "mpi": _mpi,
}  # fmt: skip


def ranks(style: str, world: int, n: int = 8) -> Block:
    """The same progress from several ranks, interleaved, each with its prefix."""

    def block(s: Stage) -> list[str]:
        rows = [
            (i, r, row)
            for r in range(world)
            for i, loss in enumerate(_curve(s, n))
            for row in _STYLES[style](s, 10 * i, loss, i, n)
        ]
        rows.sort(key=lambda item: (item[0], s.rng.random()))
        return [f"[rank{r}]: {row}" for _, r, row in rows]

    return block


# ── ends ──────────────────────────────────────────────────────────────────────────────────────────────────────────

_FRAMES = {
    "forward": (
        ("<site>/model.py", 213, "forward", "x = self.blocks[i](x, mask)"),
        ("<env>/torch/nn/modules/module.py", 1553, "_call_impl", "return forward_call(*args, **kwargs)"),
    ),
    "backward": (
        ("<env>/torch/_tensor.py", 525, "backward", "torch.autograd.backward("),
        ("<env>/torch/autograd/graph.py", 744, "_engine_run_backward", "return Variable._execution_engine.run_backward("),
    ),
    "loader": (
        ("<env>/torch/utils/data/dataloader.py", 631, "__next__", "data = self._next_data()"),
        ("<env>/torch/utils/data/_utils/fetch.py", 51, "fetch", "data = [self.dataset[idx] for idx in possibly_batched_index]"),
        ("<site>/data.py", 88, "__getitem__", "return self.read(self.items[index])"),
    ),
    "load": (
        ("<site>/train.py", 77, "resume", "state = torch.load(args.resume, map_location='cpu')"),
        ("<env>/torch/serialization.py", 1025, "load", "return _load(opened_zipfile, map_location, pickle_module)"),
    ),
    "save": (
        ("<site>/train.py", 190, "save", "torch.save(state, path)"),
        ("<env>/torch/serialization.py", 850, "save", "_save(obj, opened_zipfile, pickle_module, pickle_protocol)"),
    ),
    "dist": (
        ("<site>/train.py", 31, "setup", 'dist.init_process_group("nccl")'),
        ("<env>/torch/distributed/distributed_c10d.py", 1361, "init_process_group", "store, rank, world_size = next(rendezvous_iterator)"),
    ),
    "hf": (
        ("<env>/transformers/trainer.py", 1948, "train", "return inner_training_loop("),
        ("<env>/transformers/trainer.py", 2289, "_inner_training_loop", "tr_loss_step = self.training_step(model, inputs)"),
    ),
    "lightning": (
        ("<env>/pytorch_lightning/trainer/trainer.py", 544, "fit", "call._call_and_handle_interrupt("),
        ("<env>/pytorch_lightning/loops/fit_loop.py", 205, "run", "self.advance()"),
    ),
    "jax": (
        ("<env>/jax/_src/traceback_util.py", 166, "reraise_with_filtered_traceback", "return fun(*args, **kwargs)"),
        ("<env>/jax/_src/pjit.py", 167, "_python_pjit_helper", "out_flat = pjit_p.bind(*args_flat, **params)"),
    ),
    "keras": (
        ("<env>/keras/src/utils/traceback_utils.py", 122, "error_handler", "raise e.with_traceback(filtered_tb) from None"),
        ("<env>/tensorflow/python/eager/execute.py", 53, "quick_execute", "tensors = pywrap_tfe.TFE_Py_Execute(ctx._handle, device_name, op_name,"),
    ),
    "own": (("<site>/train.py", 142, "train_epoch", "metrics = step(batch)"),),
}  # fmt: skip


def tb(error: str, kind: str = "own", rank: str = "", name: str = "<site>/train.py") -> Block:
    """A Python traceback that ends with `error` (may have several lines); `rank` stands before every line."""

    def block(s: Stage) -> list[str]:
        rows = [
            "Traceback (most recent call last):",
            f'  File "{name}", line {s.rng.randint(180, 400)}, in <module>',
            "    main()",
            f'  File "{name}", line {s.rng.randint(90, 179)}, in main',
            "    run(cfg)",
        ]
        for file, line, function, code in _FRAMES[kind]:
            rows += [f'  File "{file}", line {line}, in {function}', f"    {code}"]
        return [rank + row for row in rows + error.split("\n")]

    return block


def torchrun(rank: int = 0, code: int = 1, old: bool = False, signal: str = "") -> Block:
    """The elastic agent's report about the first rank that failed."""

    def block(s: Stage) -> list[str]:
        pid = s.pid + rank
        t = s.clock
        if old:
            head = [
                f"WARNING:torch.distributed.elastic.multiprocessing.api:Sending process {pid + 1} closing signal SIGTERM",
                f"ERROR:torch.distributed.elastic.multiprocessing.api:failed (exitcode: {code}) local_rank: {rank % 8} (pid: {pid}) of binary: /opt/conda/bin/python",
            ]
        else:
            head = [
                f"W{t:%m%d %H:%M:%S}.668000 {s.pid} torch/distributed/elastic/multiprocessing/api.py:897] Sending process {pid + 1} closing signal SIGTERM",
                f"E{t:%m%d %H:%M:%S}.832000 {s.pid} torch/distributed/elastic/multiprocessing/api.py:869] failed (exitcode: {code}) local_rank: {rank % 8} (pid: {pid}) of binary: /opt/venv/bin/python",
            ]
        said = (
            f"traceback : Signal {-code} ({signal}) received by PID {pid}"
            if signal
            else "traceback : To enable traceback see: https://pytorch.org/docs/stable/elastic/errors.html"
        )
        return head + lines(f"""
            Traceback (most recent call last):
              File "/opt/venv/bin/torchrun", line 8, in <module>
                sys.exit(main())
              File "{s.env}/torch/distributed/launcher/api.py", line 269, in launch_agent
                raise ChildFailedError(
            torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
            ============================================================
            train.py FAILED
            ------------------------------------------------------------
            Failures:
              <NO_OTHER_FAILURES>
            ------------------------------------------------------------
            Root Cause (first observed failure):
            [0]:
              time      : {t:%Y-%m-%d_%H:%M:%S}
              host      : {s.host}
              rank      : {rank} (local_rank: {rank % 8})
              exitcode  : {code} (pid: {pid})
              error_file: <N/A>
              {said}
            ============================================================
        """)

    return block


def watchdog(others: Iterable[int], op: str = "ALLREDUCE") -> Block:
    """What NCCL's watchdogs of the surviving ranks say ten minutes later."""

    def block(s: Stage) -> list[str]:
        s.later(601)
        rows = []
        for r in others:
            stamp = f"E{s.clock.month}{s.clock:%d %H:%M:%S}.{s.rng.randint(100000000, 999999999)}"
            rows += [
                f"[rank{r}]:[{stamp} ProcessGroupNCCL.cpp:607] [Rank {r}] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=812, "
                f"OpType={op}, NumelIn=16777216, NumelOut=16777216, Timeout(ms)=600000) ran for 600021 milliseconds before timing out.",
                f"[rank{r}]:[{stamp} ProcessGroupNCCL.cpp:1664] [PG 0 Rank {r}] Exception (either an error or timeout) detected by watchdog at "
                "work: 812, last enqueued NCCL work: 813, last completed NCCL work: 811.",
                "terminate called after throwing an instance of 'c10::DistBackendError'",
                f"  what():  [PG 0 Rank {r}] Process group watchdog thread terminated with exception: [Rank {r}] Watchdog caught collective "
                "operation timeout",
            ]
        return rows

    return block


def srun_exit(task: int = 0, code: int = 1) -> list[str]:
    """How srun reports one task's end and what it does to the others."""
    return [
        f"srun: error: <host>: task {task}: Exited with exit code {code}",
        "srun: Terminating StepId=<job>.0",
        "slurmstepd: error: *** STEP <job>.0 ON <host> CANCELLED AT <iso> ***",
    ]


def limit(kind: str = "JOB", why: str = "DUE TO TIME LIMIT") -> list[str]:
    """Slurm's own line about why it took a job away."""
    return [
        f"slurmstepd: error: *** {kind} <job>{'.0' if kind == 'STEP' else ''} ON <host> CANCELLED AT <iso> {why} ***"
    ]
