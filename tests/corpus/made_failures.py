"""Failures that cannot be provoked on one CPU machine, written in the formats of the software they happen in.

Written before the rules they test were changed; which of them the rules may be written against is decided by
`tests.corpus.split`, not by hand.
"""

# ruff: noqa: E501 — messages stand here as their software prints them, in one piece
# fmt: off

from dataclasses import dataclass, field
from typing import Any

from tests.corpus.blocks import (
    Part,
    epilog,
    limit,
    lines,
    pre,
    ranks,
    srun_exit,
    steps,
    tb,
    torchrun,
    watchdog,
)


@dataclass(frozen=True)
class Made:
    """One case: its label, what Slurm said, and the parts of its log."""

    id: str
    category: str
    why: str
    parts: tuple[Part, ...]
    state: str | None = "FAILED"
    exit: str | None = "1:0"
    metrics: Any = None
    evidence: dict[str, Any] = field(default_factory=dict)
    alt: tuple[str, ...] = ()


CASES: list[Made] = []


def case(id_: str, why: str, *parts: Part, **more: Any) -> None:
    """Add one case; the class is the id's first word."""
    CASES.append(Made(id_, id_.partition(".")[0], why, parts, **more))


# ── oom_gpu ───────────────────────────────────────────────────────────────────────────────────────────────────────

case("oom_gpu.torch1-forward", "PyTorch 1 names GPU, capacity and reserve", pre, steps("timm", 20),
     tb("RuntimeError: CUDA out of memory. Tried to allocate 1.20 GiB (GPU 0; 15.78 GiB total capacity; 13.02 GiB already allocated; 871.19 MiB free; 13.71 GiB reserved in total by PyTorch) If reserved memory is >> allocated memory try setting max_split_size_mb to avoid fragmentation.  See documentation for Memory Management and PYTORCH_CUDA_ALLOC_CONF", "forward"), epilog)
case("oom_gpu.rank3-then-watchdogs", "one rank out of memory, seven die ten minutes later of NCCL", pre, ranks("plain", 8, 4),
     tb("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 512.00 MiB. GPU 3 has a total capacity of 79.33 GiB of which 210.81 MiB is free. Including non-PyTorch memory, this process has 79.10 GiB memory in use.", "forward", "[rank3]: "), watchdog([0, 1, 2, 4, 5, 6, 7]), torchrun(0, -6, signal="SIGABRT"), epilog)
case("oom_gpu.deepspeed-launcher", "DeepSpeed's launcher ends the others with return code 1", pre, steps("deepspeed", 14),
     tb("torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.32 GiB. GPU 1 has a total capacty of 39.39 GiB of which 1.94 GiB is free.", "backward", "[rank1]: "),
     ["[<now>,114] [INFO] [launch.py:316:sigkill_handler] Killing subprocess 41002", "[<now>,602] [INFO] [launch.py:316:sigkill_handler] Killing subprocess 41003", "[<now>,603] [ERROR] [launch.py:322:sigkill_handler] ['/opt/conda/bin/python', '-u', 'finetune.py', '--local_rank=1', '--deepspeed', 'ds.json'] exits with return code = 1"])
case("oom_gpu.lightning-sanity", "already in Lightning's sanity check", pre, ["GPU available: True (cuda), used: True", "LOCAL_RANK: 0 - CUDA_VISIBLE_DEVICES: [0,1]", "Sanity Checking DataLoader 0:   0%|          | 0/2 [00:00<?, ?it/s]"], tb("torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 6.10 GiB. GPU 0 has a total capacty of 23.69 GiB of which 3.02 GiB is free.", "lightning"))
case("oom_gpu.jax-xla", "XLA cannot place the program's buffers", pre, steps("jax", 18), ["W1203 10:22:01.004411    7411 bfc_allocator.cc:479] Allocator (GPU_0_bfc) ran out of memory trying to allocate 40.00GiB (rounded to 42949672960)requested by op", "W1203 10:22:01.004499    7411 bfc_allocator.cc:491] ***********************************_________________________________________________________________"], tb("jaxlib.xla_extension.XlaRuntimeError: RESOURCE_EXHAUSTED: Out of memory while trying to allocate 42949672960 bytes.\nBufferAssignment OOM Debugging.\nBufferAssignment stats:\n             parameter allocation:   18.62GiB\n              constant allocation:         4B\n        maybe_live_out allocation:   18.62GiB\n     preallocated temp allocation:   40.00GiB\n                 total allocation:   77.24GiB", "jax"))
case("oom_gpu.tf2-graph", "TensorFlow 2 cannot allocate a tensor", pre, steps("keras", 6), ["2023-05-02 11:02:14.123212: I tensorflow/tsl/framework/bfc_allocator.cc:1101] Sum Total of in-use chunks: 13.21GiB", "2023-05-02 11:02:14.123300: W tensorflow/tsl/framework/bfc_allocator.cc:497] ****************************************************************************************************"], tb("tensorflow.python.framework.errors_impl.ResourceExhaustedError: Graph execution error:\n\nDetected at node 'model/conv5_block3/Relu' defined at (most recent call last):\nNode: 'model/conv5_block3/Relu'\nOOM when allocating tensor with shape[256,2048,14,14] and type float on /job:localhost/replica:0/task:0/device:GPU:0 by allocator GPU_0_bfc\n\t [[{{node model/conv5_block3/Relu}}]]\nHint: If you want to see a list of allocated tensors when OOM happens, add report_tensor_allocations_upon_oom to RunOptions for current allocation info.", "keras"))
case("oom_gpu.cublas-create", "no room for the library's workspace", pre, steps("hf", 3), tb("RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", "hf"))
case("oom_gpu.cudnn-alloc", "cuDNN says it in its own words", pre, steps("d2", 15), tb("RuntimeError: cuDNN error: CUDNN_STATUS_ALLOC_FAILED", "forward"), srun_exit(2))
case("oom_gpu.thrust", "a C++ program of thrust", pre, steps("mpi", 20), ["terminate called after throwing an instance of 'thrust::THRUST_200301_700_NS::system::detail::bad_alloc'", "  what():  std::bad_alloc: cudaErrorMemoryAllocation: out of memory", "[<host>:<pid>] *** Process received signal ***", "[<host>:<pid>] Signal: Aborted (6)", "[<host>:<pid>] Signal code:  (-6)", "srun: error: <host>: task 0: Aborted (core dumped)"], exit="134:0")
case("oom_gpu.model-to-device", "moving the model to the device fails", pre, ["Loading checkpoint shards: 100%|██████████| 3/3 [00:41<00:00, 13.8s/it]"], tb("RuntimeError: CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace below might be incorrect.\nFor debugging consider passing CUDA_LAUNCH_BLOCKING=1.\nCompile with `TORCH_USE_CUDA_DSA` to enable device-side assertions."))
case("oom_gpu.hip", "AMD's words", pre, steps("titan", 12), tb("torch.OutOfMemoryError: HIP out of memory. Tried to allocate 896.00 MiB. GPU 5 has a total capacity of 63.98 GiB of which 0 bytes is free. Of the allocated memory 61.76 GiB is allocated by PyTorch, and 901.10 MiB is reserved by PyTorch but unallocated.", "backward", "[rank5]: "), srun_exit(5))
case("oom_gpu.until-limit", "one rank out of memory, the rest waits until the limit", pre, ranks("plain", 4, 5), tb("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 64.00 MiB. GPU 2 has a total capacity of 39.38 GiB of which 41.06 MiB is free.", "forward", "[rank2]: "), limit(), limit("STEP"), state="TIMEOUT", exit="0:0")
case("oom_gpu.second-is-fatal", "the first is skipped, the second ends it", pre, steps("plain", 8), ["| WARNING: ran out of memory in batch 118, skipping batch"], steps("plain", 6), tb("torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 3.12 GiB. GPU 0 has a total capacty of 31.74 GiB", "backward"), epilog)
case("oom_gpu.cupy", "CuPy's pool", pre, steps("mpi", 9), tb("cupy.cuda.memory.OutOfMemoryError: Out of memory allocating 8,589,934,592 bytes (allocated so far: 71,940,702,208 bytes)."))
case("oom_gpu.nccl-buffers", "NCCL itself gets no device memory at start", pre, ["<host>:91011:91377 [0] NCCL INFO Bootstrap : Using ib0:10.20.0.4<0>", "<host>:91011:91377 [0] init.cc:1358 NCCL WARN Cuda failure 2 'out of memory'"], tb("torch.distributed.DistBackendError: NCCL error in: ../torch/csrc/distributed/c10d/ProcessGroupNCCL.cpp:1333, unhandled cuda error (run with NCCL_DEBUG=INFO for details), NCCL version 2.18.6\nncclUnhandledCudaError: Call to CUDA function failed.\nLast error:\nCuda failure 2 'out of memory'", "dist", "[rank0]: "))
case("oom_gpu.swallowed", "the job script goes on after the crash", pre, steps("nanogpt", 16), tb("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1024.00 MiB. GPU 0 has a total capacity of 23.64 GiB of which 604.19 MiB is free.", "backward"), ["copying results back", "all done"], state="COMPLETED", exit="0:0")
case("oom_gpu.xgboost", "gradient boosting on the device", pre, ["[11:02:55] WARNING: ../src/common/error_msg.cc:58: Falling back to prediction using DMatrix due to mismatched devices."], tb("xgboost.core.XGBoostError: [11:03:12] ../src/tree/../common/device_helpers.cuh:431: Memory allocation error on worker 0: std::bad_alloc: cudaErrorMemoryAllocation: out of memory\n- Free memory: 1.1GB\n- Requested memory: 9.4GB\n"))
case("oom_gpu.ray-worker", "inside a Ray worker", pre, tb("ray.exceptions.RayTaskError(OutOfMemoryError): ray::_RayTrainWorker__execute.get_next() (pid=18121, ip=10.0.3.7)\ntorch.OutOfMemoryError: CUDA out of memory. Tried to allocate 250.00 MiB. GPU 0 has a total capacity of 15.77 GiB of which 200.88 MiB is free."), ["(RayTrainWorker pid=18121) [rank: 2] terminating"])
case("oom_gpu.megatron-64", "rank 37 of 64; the nodes' srun lines drown it", pre, steps("megatron", 14), tb("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 3.91 GiB. GPU 5 has a total capacity of 79.11 GiB of which 2.80 GiB is free. Process 88211 has 76.30 GiB memory in use.", "backward", "[rank37]: "), watchdog([8, 9, 16, 40], "ALLGATHER"), ["srun: error: hgx-01: tasks 8-15: Aborted (core dumped)", "srun: error: hgx-04: task 37: Exited with exit code 1", "srun: error: hgx-00: tasks 0-7: Terminated"])
case("oom_gpu.lib-interleaved", "two ranks' tracebacks are interleaved", pre, lines("""
    Traceback (most recent call last):
    Traceback (most recent call last):
      File "train.py", line 203, in <module>
      File "train.py", line 203, in <module>
        main()
        main()
      File "train.py", line 144, in main
      File "train.py", line 144, in main
        loss.backward()
        loss.backward()
    RuntimeError: CUDA out of memory. Tried to allocate 734.00 MiB (GPU 1; 10.76 GiB total capacity; 8.91 GiB already allocated; 400.69 MiB free; 9.34 GiB reserved in total by PyTorch)RuntimeError
    : CUDA out of memory. Tried to allocate 734.00 MiB (GPU 0; 10.76 GiB total capacity; 8.95 GiB already allocated; 350.44 MiB free; 9.38 GiB reserved in total by PyTorch)
"""), torchrun(1, 1, old=True))
case("oom_gpu.log-only", "nothing but the log is known", steps("lightning", 30), tb("torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacty of 7.79 GiB of which 19.31 MiB is free.", "lightning"), state=None, exit=None)

# ── oom_host ──────────────────────────────────────────────────────────────────────────────────────────────────────

case("oom_host.batch-event-2018", "Slurm 18's words about the batch step", pre, steps("keras", 8), ["/var/spool/slurmd/job<job>/slurm_script: line 28: <pid> Killed                  python3 main.py --epochs 400", "slurmstepd: error: Detected 1 oom-kill event(s) in step <job>.batch cgroup. Some of your processes may have been killed by the cgroup out-of-memory handler."], state="OUT_OF_MEMORY", exit="0:125")
case("oom_host.step-2024-nccl", "Slurm 24: one task of a step, then NCCL", pre, ranks("plain", 8, 3), ["slurmstepd: error: Detected 1 oom_kill event in StepId=<job>.0. Some of the step tasks have been OOM Killed.", "srun: error: <host>: task 3: Out Of Memory"], watchdog([0, 1, 2]), ["srun: Terminating StepId=<job>.0"], exit="1:0")
case("oom_host.exceeded-2016", "old Slurm kills by its own accounting", pre, steps("keras", 9), ["slurmstepd: error: Job <job> exceeded memory limit (33621208 > 33554432), being killed", "slurmstepd: error: Exceeded job memory limit", "slurmstepd: error: *** JOB <job> ON <host> CANCELLED AT <iso> ***"], state="CANCELLED", exit="0:0")
case("oom_host.loader-killed", "a loader worker is killed and the trainer says so", pre, steps("timm", 12), tb("RuntimeError: DataLoader worker (pid 228101) is killed by signal: Killed. ", "loader"), epilog)
case("oom_host.dmesg-cgroup", "the epilog prints the kernel's log", pre, steps("plain", 20), ["/var/spool/slurmd/job<job>/slurm_script: line 31: <pid> Killed    python train.py", "[epilog] dmesg:", "[8211233.112] python invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0", "[8211233.441] Memory cgroup out of memory: Killed process <pid> (python) total-vm:91821144kB, anon-rss:65412120kB, file-rss:81920kB, shmem-rss:1024kB"], exit="137:0")
case("oom_host.bad-alloc", "C++ new", pre, steps("mpi", 25), ["terminate called after throwing an instance of 'std::bad_alloc'", "  what():  std::bad_alloc", "srun: error: <host>: task 17: Aborted (core dumped)", "srun: Terminating StepId=<job>.0"], exit="134:0")
case("oom_host.pandas", "reading a table that does not fit", pre, ["reading <site>/data/events.csv"], tb("pandas.errors.ParserError: Error tokenizing data. C error: out of memory"))
case("oom_host.memoryerror", "plain MemoryError on a GPU node", pre, ["tokenizing 18211023 documents"], tb("MemoryError"), evidence={"gpus": 1})
case("oom_host.arraymemory", "numpy refuses", pre, ["building similarity matrix"], tb("numpy.core._exceptions._ArrayMemoryError: Unable to allocate 74.5 GiB for an array with shape (100000, 100000) and data type float64"), state="COMPLETED", exit="0:0")
case("oom_host.cpu-allocator-load", "loading a checkpoint to the host of a GPU job", pre, tb("RuntimeError: [enforce fail at alloc_cpu.cpp:83] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 26843545600 bytes. Error code 12 (Cannot allocate memory)", "load"), evidence={"gpus": 8})
case("oom_host.ray", "Ray's own memory watcher", pre, steps("sb3", 4), tb("ray.exceptions.OutOfMemoryError: Task was killed due to the node running low on memory.\nMemory on the node (IP: 10.0.2.14, ID: 0ac9) where the task (actor ID: 51ab, name=RolloutWorker.__init__, pid=9912) was running was 119.81GB / 125.43GB (0.955189), which exceeds the memory usage threshold of 0.95. Ray killed this worker (ID: 77) because it was the most recently scheduled task"))
case("oom_host.mpirun-kernel", "mpirun sees a kill, the node's log says why", pre, steps("mpi", 18), ["--------------------------------------------------------------------------", "mpirun noticed that process rank 3 with PID 0 on node <host> exited on signal 9 (Killed).", "--------------------------------------------------------------------------", "kernel: Out of memory: Killed process 44121 (solver.x) total-vm:201921144kB, anon-rss:188412120kB"], exit="137:0")
case("oom_host.dask", "Dask's nanny restarts until it gives up", pre, ["distributed.worker.memory - WARNING - Worker is at 81% memory usage. Pausing worker.  Process memory: 6.31 GiB -- Worker memory limit: 7.75 GiB", "distributed.nanny.memory - WARNING - Worker tcp://10.1.0.7:41233 (pid=8821) exceeded 95% memory budget. Restarting...", "distributed.nanny - WARNING - Restarting worker"], tb("distributed.scheduler.KilledWorker: Attempted to run task ('merge', 14) on 4 different workers, but all those workers died while running it. The last worker that attempt to run the task was tcp://10.1.0.7:41233."))
case("oom_host.fork-errno12", "no memory for another process", pre, steps("lightning", 6), tb("OSError: [Errno 12] Cannot allocate memory", "loader"))
case("oom_host.mmap", "mapping a file fails", pre, tb("RuntimeError: unable to mmap 23194435472 bytes from file </scratch/ck/model.bin>: Cannot allocate memory (12)", "load"))
case("oom_host.fortran", "Fortran's run-time library", pre, steps("mpi", 12), ["forrtl: severe (41): insufficient virtual memory", "Image              PC                Routine            Line        Source", "solver.x           0000000000A1B2C3  Unknown               Unknown  Unknown", "srun: error: <host>: task 0: Exited with exit code 41"], exit="41:0")
case("oom_host.silent-state", "nothing is said, only the state tells", pre, steps("hf", 40), state="OUT_OF_MEMORY", exit="0:125")
case("oom_host.torchrun-9", "torchrun sees -9, Slurm's line comes later", pre, ranks("plain", 4, 5), torchrun(2, -9, signal="SIGKILL"), ["slurmstepd: error: Detected 2 oom_kill events in StepId=<job>.batch. Some of the step tasks have been OOM Killed."], state="OUT_OF_MEMORY", exit="0:125")
case("oom_host.tf-malloc", "TensorFlow on the host", pre, ["2022-08-01 09:12:11.204812: W tensorflow/core/framework/cpu_allocator_impl.cc:82] Allocation of 25769803776 exceeds 10% of free system memory.", "terminate called after throwing an instance of 'std::bad_alloc'", "  what():  std::bad_alloc", "Aborted (core dumped)"], exit="134:0")
case("oom_host.earlyoom", "a user-space watcher of the node", pre, steps("plain", 12), ["Message from syslogd@<host>: systemd-oomd[812]: Killed /system.slice/slurmstepd.scope/job_<job> due to memory used (503012864000) / total (540000000000) and swap used being more than 90.00%", "srun: error: <host>: task 0: Killed"], exit="137:0")

# ── oom_shm ───────────────────────────────────────────────────────────────────────────────────────────────────────

case("oom_shm.bus-worker", "PyTorch names the likely cause", pre, steps("mm", 10), ["ERROR: Unexpected bus error encountered in worker. This might be caused by insufficient shared memory (shm)."], tb("RuntimeError: DataLoader worker (pid 18233) is killed by signal: Bus error. It is possible that dataloader's workers are out of shared memory. Please try to raise your shared memory limit.", "loader"), epilog)
case("oom_shm.torch-file", "a tensor's segment cannot be written", pre, steps("lightning", 8), tb("RuntimeError: unable to write to file </torch_2211_1892340_71>", "loader"))
case("oom_shm.torch-file-28", "PyTorch 2 with errno", pre, ["Caught RuntimeError in DataLoader worker process 3."], tb("RuntimeError: unable to write to file </torch_4410_337>: No space left on device (28)", "loader", "[rank1]: "), torchrun(1))
case("oom_shm.nccl-fallocate", "NCCL's segment", pre, ["<host>:201:412 [1] misc/shmutils.cc:72 NCCL WARN Error: failed to extend /dev/shm/nccl-9VxcBn to 33030532 bytes", "<host>:201:412 [1] misc/shmutils.cc:113 NCCL WARN Error while creating shared memory segment /dev/shm/nccl-9VxcBn (size 33030528)", "<host>:201:412 [1] NCCL INFO transport/shm.cc:100 -> 2"], tb("torch.distributed.DistBackendError: NCCL error in: ../torch/csrc/distributed/c10d/ProcessGroupNCCL.cpp:1970, unhandled system error (run with NCCL_DEBUG=INFO for details), NCCL version 2.19.3\nncclSystemError: System call (e.g. socket, malloc) or external library call failed or device error.\nLast error:\nError while creating shared memory segment /dev/shm/nccl-9VxcBn (size 33030528)", "dist", "[rank1]: "))
case("oom_shm.semlock", "queues of a loader", pre, tb('OSError: [Errno 28] No space left on device\n', "loader"), lines("""
      File "/usr/lib/python3.10/multiprocessing/synchronize.py", line 57, in __init__
        sl = self._semlock = _multiprocessing.SemLock(
    OSError: [Errno 28] No space left on device
"""), ["Filesystem      Size  Used Avail Use% Mounted on", "shm              64M   64M     0 100% /dev/shm", "/dev/nvme0n1p2  1.8T  211G  1.5T  13% /"])
case("oom_shm.openmpi-sm", "Open MPI's backing file", pre, lines("""
    --------------------------------------------------------------------------
    It appears as if there is not enough space for /dev/shm/vader_segment.<host>.1000.5a1 (the shared-memory backing
    file). It is likely that your MPI job will now either abort or experience
    performance degradation.

      Local host:  <host>
      Space Requested: 4194312 B
      Space Available: 0 B
    --------------------------------------------------------------------------
    [<host>:<pid>] *** An error occurred in MPI_Init_thread
    [<host>:<pid>] *** MPI_ERRORS_ARE_FATAL (processes in this communicator will now abort,
"""))
case("oom_shm.python-shared-memory", "Python's shared_memory", pre, steps("sb3", 3), tb("OSError: [Errno 28] No space left on device: '/psm_3c1f90aa'"))
case("oom_shm.ucx", "UCX looks at /dev/shm itself", pre, ["[1612345678.123456] [<host>:<pid>:0]       mm_posix.c:195  UCX  ERROR Not enough memory to write total of 4292720 bytes. Please check that /dev/shm or the directory you specified has more available memory.", "[<host>:<pid>] pml_ucx.c:273  Error: Failed to create UCP worker"], srun_exit(4))
case("oom_shm.devshm-path", "a cache written to /dev/shm", pre, ["staging 61 shards to /dev/shm/cache"], tb("OSError: [Errno 28] No space left on device: '/dev/shm/cache/shard-00038.tar'"))
case("oom_shm.bus-task", "a task dies of a bus error beside a full /dev/shm", pre, steps("mpi", 14), ["srun: error: <host>: task 289: Bus error (core dumped)", "srun: Terminating StepId=<job>.0", "[epilog] tmpfs  /dev/shm  252G  252G  0 100%"], exit="135:0")
case("oom_shm.too-big-sysv", "PyTorch's newer wording", pre, steps("tqdm", 9), tb("RuntimeError: unable to allocate shared memory(shm) for file </torch_512_90>: Resource temporarily unavailable (11)", "loader"))

# ── divergence ────────────────────────────────────────────────────────────────────────────────────────────────────

case("divergence.hf-nan-exit0", "the Trainer's loss is nan to the end and it exits with 0", pre, steps("hf", 12), [f"{{'loss': nan, 'grad_norm': nan, 'learning_rate': {1e-5 * k:.2e}, 'epoch': {1 + k / 10}}}" for k in range(12)], ["{'train_runtime': 812.1, 'train_samples_per_second': 41.2, 'train_loss': nan, 'epoch': 3.0}"], state="COMPLETED", exit="0:0")
case("divergence.stop-training", "the guard of many vision repositories", pre, steps("timm", 12), ["Loss is nan, stopping training"], state="FAILED", exit="1:0")
case("divergence.megatron-unexpected", "Megatron's check of the loss", pre, steps("megatron", 12), tb("RuntimeError: Rank 21, node <host>, device 5, iteration 4410: Unexpected result nan (message='found NaN in local forward loss calculation')", "forward", "[rank21]: "), srun_exit(21))
case("divergence.ds-min-scale", "DeepSpeed's loss scale cannot fall further", pre, steps("deepspeed", 6), [f"[<now>,{k}11] [INFO] [loss_scaler.py:190:update_scale] [deepspeed] OVERFLOW! Rank 0 Skipping step. Attempted loss scale: {2 ** (8 - k)}, reducing to {2 ** (7 - k)}" for k in range(1, 8)], tb("Exception: Current loss scale already at minimum - cannot decrease scale anymore. Exiting run.", "backward"), torchrun(0))
case("divergence.fairseq-scale", "fairseq says the same", pre, steps("fairseq", 9), ["<now> | INFO | fairseq.trainer | NOTE: gradient overflow detected, ignoring gradient, setting loss scale to: 0.0001"], tb("FloatingPointError: Minimum loss scale reached (0.0001). Your loss is probably exploding. Try lowering the learning rate, using gradient clipping or increasing the batch size."))
case("divergence.jax-debug-nans", "JAX's NaN check", pre, steps("jax", 14), tb("FloatingPointError: invalid value (nan) encountered in jit(train_step). Because jax_config.debug_nans.value and/or config.jax_debug_infs is set, the de-optimized function (i.e., the function as if the `jit` decorator were removed) was called in an attempt to get a more precise error message.", "jax"))
case("divergence.lightning-detect", "Lightning's check of parameters", pre, steps("lightning", 10), tb("ValueError: Detected nan and/or inf values in `layer_2.weight`. Check your forward pass for numerically unstable operations.", "lightning"))
case("divergence.detectron2", "Detectron2's check", pre, steps("d2", 10), tb("FloatingPointError: Loss became infinite or NaN at iteration=118!\nloss_dict = {'loss_cls': nan, 'loss_box_reg': inf, 'loss_rpn_cls': 0.61}"))
case("divergence.normal-loc", "a policy's mean is nan", pre, steps("sb3", 5), tb("ValueError: Expected parameter loc (Tensor of shape (64, 6)) of distribution Normal(loc: torch.Size([64, 6]), scale: torch.Size([64, 6])) to satisfy the constraint Real(), but found invalid values:\ntensor([[nan, nan, nan, nan, nan, nan],\n        [nan, nan, nan, nan, nan, nan]], device='cuda:0', grad_fn=<AddmmBackward0>)"))
case("divergence.keras-nan", "keras prints nan for epochs and ends", pre, steps("keras", 4), [row for k in range(5, 9) for row in (f"Epoch {k}/8", "1563/1563 [==============================] - 12s 8ms/step - loss: nan - accuracy: 0.1000 - val_loss: nan - val_accuracy: 0.1000")], ["saving history"], state="COMPLETED", exit="0:0")
case("divergence.tf-numerics", "TensorFlow's CheckNumerics", pre, steps("keras", 3), tb("tensorflow.python.framework.errors_impl.InvalidArgumentError: Graph execution error:\n\nGradient for dense_4/kernel:0 is NaN : Tensor had NaN values\n\t [[{{node CheckNumerics_17}}]]", "keras"))
case("divergence.anomaly", "anomaly mode found it", pre, steps("plain", 8), tb("RuntimeError: Function 'SqrtBackward0' returned nan values in its 0th output.", "backward"))
case("divergence.sampling", "sampling from broken logits in RLHF", pre, steps("hf", 5), tb("RuntimeError: probability tensor contains either `inf`, `nan` or element < 0"))
case("divergence.earlystop-nan", "Lightning's early stopping ends it with exit code 0", pre, steps("lightning", 10), ["Monitored metric train_loss = nan is not finite. Previous best value was 2.113. Signaling Trainer to stop."], ["Epoch 2:  80%|████████  | 96/120 [00:36<00:09,  2.61it/s, v_num=1, train_loss=nan]"], state="COMPLETED", exit="0:0")
case("divergence.metrics-inf", "only the metrics show it", pre, steps("plain", 3), ["training complete"], state="COMPLETED", exit="0:0", metrics={"train/loss": [2.1, 2.0, 2.2, 4.8, 91.0, "inf", "inf", "nan"]})
case("divergence.explosion-exit0", "the loss ends far above its beginning", pre, ["done, results in out/"], state="COMPLETED", exit="0:0", metrics={"loss": [0.92, 0.90, 0.87, 0.9, 1.6, 8.1, 66.0, 512.0, 4.1e3, 3.9e4, 8.8e4, 2.1e5]})
case("divergence.nccl-grad-norm", "the gradient norm check of a trainer", pre, steps("titan", 9), tb("RuntimeError: The total norm of order 2.0 for gradients from `parameters` is non-finite, so it cannot be clipped. To disable this error and scale the gradients by the non-finite norm anyway, set `error_if_nonfinite=False`", "own", "[rank0]: "))
case("divergence.then-assert", "nan first; the assertion on the device is fallout", pre, steps("plain", 6), [f"[<now>] step {900 + k} | loss nan | lr 3.0e-04 | 1.91 s/it" for k in range(6)], ["../aten/src/ATen/native/cuda/Loss.cu:106: operator(): block: [0,0,0], thread: [11,0,0] Assertion `input_val >= zero && input_val <= one` failed."], tb("RuntimeError: CUDA error: device-side assert triggered", "backward"), alt=("data", "code_bug"))

# ── timeout ───────────────────────────────────────────────────────────────────────────────────────────────────────

for style in ("hf", "megatron", "lightning", "mpi", "keras"):
    case(f"timeout.{style}", "still working at the limit", pre, steps(style, 40), limit(), limit("STEP"), ["srun: Job step aborted: Waiting up to 32 seconds for job step to finish."], state="TIMEOUT", exit="0:0")
case("timeout.log-only", "no state is known", pre, steps("plain", 30), ["slurmstepd: error: *** JOB <job> ON <host> CANCELLED AT <iso> DUE TO TIME LIMIT ***"], state=None, exit=None)
case("timeout.fallout", "what ranks say after the limit is fallout", pre, ranks("plain", 4, 6), limit("STEP"), tb("torch.distributed.elastic.multiprocessing.api.SignalException: Process 3110 got signal: 15"), tb("RuntimeError: [/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer [10.1.1.2]:29144", "own", "[rank2]: "), state="TIMEOUT", exit="0:15")
case("timeout.submitit", "submitit's checkpoint handler", pre, steps("plain", 20), ["submitit WARNING (<now>) - Caught signal SIGUSR2 on <host>: this job is timed-out.", "submitit INFO (<now>) - Job not requeued because: timed-out too many times.", "slurmstepd: error: *** JOB <job> ON <host> CANCELLED AT <iso> DUE TO TIME LIMIT ***"], state="TIMEOUT", exit="0:0")
case("timeout.hang-nccl-off", "hung for hours, watchdogs off", pre, steps("titan", 14), ["[watchdog] 2024-03-03 09:00:00 no step for 3600 s", "[watchdog] 2024-03-03 10:00:00 no step for 7200 s"], limit(), state="TIMEOUT", exit="0:0", alt=("communication",))
case("timeout.preprocessing", "the limit comes in preprocessing", pre, [f"Map (num_proc=16):  {k}%|███       | {k * 91233}/9123300 [{k}:10<{99 - k}:20, 1512.12 examples/s]" for k in range(20, 60)], limit(), state="TIMEOUT", exit="0:0")
case("timeout.keyboard", "SIGTERM becomes KeyboardInterrupt after the limit", pre, steps("lightning", 12), limit("STEP"), ["Detected KeyboardInterrupt, attempting graceful shutdown ..."], tb("KeyboardInterrupt", "lightning"), state="TIMEOUT", exit="0:15")
case("timeout.saved-then-limit", "checkpoint written just before the limit", pre, steps("hf", 20), ["Saving model checkpoint to out/checkpoint-1200", "Configuration saved in out/checkpoint-1200/config.json"], limit(), state="TIMEOUT", exit="0:0")
case("timeout.state-only", "no word in the log", steps("nanogpt", 40), state="TIMEOUT", exit="0:0")
case("timeout.caught-oom-before", "a skipped batch hours before the limit is not the cause", pre, steps("fairseq", 8), ["<now> | WARNING | fairseq.trainer | attempting to recover from OOM in forward/backward pass"], steps("fairseq", 30), limit(), state="TIMEOUT", exit="0:0")
case("timeout.local-command", "GNU timeout ended it, no scheduler", steps("plain", 20), ["timeout: sending signal TERM to command ‘python’"], state=None, exit="124:0")

# ── preempted, cancelled ──────────────────────────────────────────────────────────────────────────────────────────

case("preempted.due", "Slurm says so", pre, steps("hf", 25), limit(why="DUE TO PREEMPTION"), state="PREEMPTED", exit="0:0")
case("preempted.log-only", "no state", pre, steps("timm", 25), limit("STEP", "DUE TO PREEMPTION"), state=None, exit=None)
case("preempted.requeue", "requeued for a more important job", pre, steps("plain", 22), ["slurmstepd: error: *** JOB <job> ON <host> CANCELLED AT <iso> DUE TO JOB REQUEUE ***"], state="REQUEUED", exit="0:0")
case("preempted.submitit", "submitit's words", pre, steps("mm", 14), ["submitit WARNING (<now>) - Caught signal SIGUSR2 on <host>: this job is preempted.", "submitit INFO (<now>) - Calling checkpoint method."], limit(why="DUE TO PREEMPTION"), state="PREEMPTED", exit="0:0")
case("preempted.lightning-requeue", "Lightning hands the job back", pre, steps("lightning", 20), ["Handling auto-requeue signal: 10", "Saving checkpoint to hpc_ckpt_1.ckpt", "requeing job <job>...", "Requeued SLURM job <job>"], limit(why="DUE TO JOB REQUEUE"), state="PREEMPTED", exit="0:0")
case("preempted.noise-after", "ranks die noisily", pre, ranks("plain", 4, 6), limit("STEP", "DUE TO PREEMPTION"), watchdog([0, 1, 3]), tb("torch.distributed.DistBackendError: NCCL communicator was aborted on rank 2.", "own", "[rank2]: "), torchrun(2, -15, signal="SIGTERM"), state="PREEMPTED", exit="0:15")
case("preempted.state-failed-text", "state FAILED, the reason stands in the log", pre, steps("jax", 20), limit(why="DUE TO PREEMPTION"), ["srun: error: <host>: task 0: Terminated"], state="FAILED", exit="143:0")
case("preempted.silent", "only the state", steps("sb3", 8), state="PREEMPTED", exit="0:0")
case("cancelled.plain", "no reason stands behind CANCELLED AT", pre, steps("hf", 30), ["slurmstepd: error: *** JOB <job> ON <host> CANCELLED AT <iso> ***"], state="CANCELLED", exit="0:0")
case("cancelled.by-uid", "sacct's spelling", pre, steps("keras", 12), state="CANCELLED by 20441", exit="0:0")
case("cancelled.step-and-job", "batch and step, Slurm 23", pre, steps("titan", 20), ["slurmstepd-<host>: error: *** JOB <job> ON <host> CANCELLED AT <iso> ***", "slurmstepd-<host>: error: *** STEP <job>.0 ON <host> CANCELLED AT <iso> ***", "srun: Job step aborted: Waiting up to 32 seconds for job step to finish."], state="CANCELLED+", exit="0:15")
case("cancelled.signal-exception", "torchrun's fallout of a scancel", pre, ranks("plain", 4, 5), ["slurmstepd: error: *** JOB <job> ON <host> CANCELLED AT <iso> ***"], tb("torch.distributed.elastic.multiprocessing.api.SignalException: Process 998 got signal: 15"), state="CANCELLED", exit="0:0")
case("cancelled.ctrl-c", "interrupted by hand on a workstation", steps("tqdm", 20), ["^CTraceback (most recent call last):", '  File "train.py", line 40, in <module>', "    main()", "KeyboardInterrupt"], state=None, exit="130:0")
case("cancelled.srun-interrupt", "Ctrl-C in an interactive allocation", pre, steps("plain", 9), ["^Csrun: interrupt (one more within 1 sec to abort)", "srun: StepId=<job>.0 task 0: running", "^Csrun: sending Ctrl-C to StepId=<job>.0", "srun: forcing job termination", "srun: Job step aborted: Waiting up to 32 seconds for job step to finish.", "slurmstepd: error: *** STEP <job>.0 ON <host> CANCELLED AT <iso> ***"], state=None, exit="130:0")
case("cancelled.log-only", "only the log is known", pre, steps("lightning", 30), ["slurmstepd: error: *** JOB <job> ON <host> CANCELLED AT <iso> ***"], state=None, exit=None)
case("cancelled.sig", "scancel with a signal", pre, steps("plain", 20), ["slurmstepd: error: *** JOB <job> STEPD TERMINATED ON <host> AT <iso> DUE TO SCANCEL SIGNAL ***"], state="CANCELLED by 5011", exit="0:15")

# ── node_failure, gpu_hardware ────────────────────────────────────────────────────────────────────────────────────

case("node_failure.slurmctld", "Slurm's words", pre, steps("megatron", 12), ["slurmstepd: error: *** JOB <job> ON <host> CANCELLED AT <iso> DUE TO NODE FAILURE, SEE SLURMCTLD LOG FOR DETAILS ***"], state="NODE_FAIL", exit="0:0")
case("node_failure.srun", "srun lost a node", pre, ranks("plain", 8, 4), ["srun: error: Node failure on cn17", "srun: Job step aborted: Waiting up to 32 seconds for job step to finish.", "slurmstepd: error: *** STEP <job>.0 ON cn11 CANCELLED AT <iso> DUE TO NODE FAILURE, SEE SLURMCTLD LOG FOR DETAILS ***"], state="FAILED", exit="1:0")
case("node_failure.silent", "the log stops", pre, steps("titan", 30), state="NODE_FAIL", exit="0:0")
case("node_failure.nccl-first", "peers notice before Slurm does", pre, steps("titan", 10), watchdog([0, 1, 2, 3]), ["srun: error: Node failure on cn22"], state="NODE_FAIL", exit="1:0")
case("node_failure.mce", "uncorrectable memory error of the host", pre, steps("plain", 12), ["Message from syslogd@<host> at Mar 12 04:11:02 ...", " kernel:[81233.11] mce: [Hardware Error]: CPU 11: Machine Check: 0 Bank 7: fe00000000010092", " kernel:[81233.11] EDAC MC0: 1 UE memory read error on CPU_SrcID#0_MC#0_Chan#1_DIMM#0 (channel:1 slot:0 page:0x21abc offset:0x0 grain:32)", "srun: error: <host>: task 3: Bus error"], exit="135:0")
case("node_failure.boot", "the node never came up", state="BOOT_FAIL", exit="0:0")
case("node_failure.prolog", "the prolog failed on the node", ["slurmstepd: error: Prolog failed on <host>: health check returned 1", "srun: error: task 0 launch failed: Job prolog failed"], exit="1:0")
case("node_failure.launch", "slurmd could not be reached", pre, ["srun: error: task 12 launch failed: Unspecified error", "srun: error: Unable to contact slurm controller (connect failure)", "srun: error: Task launch for StepId=<job>.0 failed on node cn09: Communication connection failure", "srun: error: Application launch failed: Communication connection failure", "srun: Job step aborted: Waiting up to 32 seconds for job step to finish.", "srun: error: Timed out waiting for job step to complete"], exit="1:0", alt=("communication",))
case("node_failure.reboot", "the operators' watchdog rebooted the node", pre, steps("plain", 14), ["Broadcast message from root@<host> (<now>):", "The system is going down for reboot NOW!", "slurmstepd: error: *** JOB <job> ON <host> CANCELLED AT <iso> DUE TO NODE FAILURE, SEE SLURMCTLD LOG FOR DETAILS ***"], state="NODE_FAIL", exit="0:0")
case("node_failure.requeued-held", "held after launch failures", state="PENDING", exit=None, evidence={"started": False, "state_reason": "launch failed requeued held"})

case("gpu_hardware.xid79", "fell off the bus", pre, steps("titan", 10), ["[81231.2] NVRM: Xid (PCI:0000:c1:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus."], tb("RuntimeError: CUDA error: unspecified launch failure", "backward", "[rank6]: "), watchdog([0, 1]), srun_exit(6))
case("gpu_hardware.ecc-torch", "PyTorch passes the driver's words on", pre, steps("hf", 20), tb("RuntimeError: CUDA error: uncorrectable ECC error encountered\nCUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace below might be incorrect.", "hf"))
case("gpu_hardware.ecc-jax", "JAX passes them on", pre, steps("jax", 20), tb("jaxlib.xla_extension.XlaRuntimeError: INTERNAL: Failed to execute XLA Runtime executable: CUDA_ERROR_ECC_UNCORRECTABLE: uncorrectable ECC error encountered", "jax"))
case("gpu_hardware.nvlink", "a link is broken", pre, ranks("plain", 4, 4), tb("torch.distributed.DistBackendError: NCCL error in: /opt/pytorch/torch/csrc/distributed/c10d/NCCLUtils.hpp:219, unhandled cuda error, NCCL version 2.20.5\nncclUnhandledCudaError: Call to CUDA function failed.\nLast error:\nCuda failure 'uncorrectable NVLink error detected during the execution'", "own", "[rank1]: "), torchrun(1))
case("gpu_hardware.xid74", "NVLink by its Xid", pre, steps("plain", 10), ["kernel: NVRM: Xid (PCI:0000:3b:00): 74, pid=121, NVLink: fatal error detected on link 2(0x0, 0x0, 0x10000, 0x0)"], tb("RuntimeError: CUDA error: an illegal instruction was encountered", "backward"))
case("gpu_hardware.nvml-handle", "nvidia-smi cannot see one of them", pre, ["Unable to determine the device handle for GPU0000:C1:00.0: Unknown Error"], tb("RuntimeError: CUDA unknown error - this may be due to an incorrectly set up environment, e.g. changing env variable CUDA_VISIBLE_DEVICES after program start. Setting the available devices to be zero."))
case("gpu_hardware.gsp", "firmware does not answer", pre, steps("titan", 8), ["NVRM: Xid (PCI:0000:4d:00): 119, pid=8801, name=python, Timeout after 6s of waiting for RPC response from GPU7 GSP! Expected function 76 (GSP_RM_CONTROL) (0x20800a4c 0x4)."], tb("RuntimeError: CUDA error: unknown error"))
case("gpu_hardware.row-remap", "row remapping failed", ["[health] gpu 3: Row Remapper failure: Xid 64, RMA required", "[health] FAIL: dcgmi diag level 1: GPU 3: Memory: Fail", "node check failed, exiting before training"], exit="1:0")
case("gpu_hardware.dbe", "double bit error", pre, steps("d2", 12), ["NVRM: Xid (PCI:0000:89:00): 48, pid=2210, name=python, An uncorrectable double bit error (DBE) has been detected on GPU in the framebuffer at partition 3, subpartition 0."], tb("RuntimeError: cuDNN error: CUDNN_STATUS_EXECUTION_FAILED", "backward"))
case("gpu_hardware.rocm", "an AMD device hangs", pre, steps("titan", 8), ["amdgpu 0000:c9:00.0: amdgpu: GPU reset begin!", "amdgpu 0000:c9:00.0: amdgpu: uncorrectable hardware errors detected in umc block", "HW Exception by GPU node-6 (Agent handle: 0x5581) reason :GPU Hang"], exit="134:0")
case("gpu_hardware.sxid", "the switch", pre, ranks("titan", 4, 4), ["nvidia-nvswitch3: SXid (PCI:0000:08:00.0): 20034, Fatal, Link 44 LTSSM Fault Up"], watchdog([0, 1, 2, 3]), exit="134:0")
case("gpu_hardware.lost-mid", "lost in the middle of a run", pre, steps("timm", 15), tb("RuntimeError: CUDA error: GPU is lost. Reboot the system to recover this GPU", "forward"), alt=("node_failure",))

# ── communication ─────────────────────────────────────────────────────────────────────────────────────────────────

case("communication.watchdog-only", "a collective timed out and nobody says why", pre, ranks("titan", 4, 8), watchdog([0, 1, 2, 3], "_ALLGATHER_BASE"), torchrun(0, -6, signal="SIGABRT"))
case("communication.ib-retry", "InfiniBand retries exhausted", pre, steps("megatron", 10), ["<host>:1412:1700 [5] transport/net_ib.cc:1295 NCCL WARN NET/IB : Got completion from peer 10.10.4.7<51122> with status=12 opcode=0 len=0 vendor err 129 (Recv) localGid fe80:: remoteGidsfe80::"], tb("torch.distributed.DistBackendError: NCCL error in: ../torch/csrc/distributed/c10d/NCCLUtils.hpp:275, remote process exited or there was a network error, NCCL version 2.19.3\nncclRemoteError: A call failed possibly due to a network error or a remote process exiting prematurely.\nLast error:\nNET/IB : Got completion from peer 10.10.4.7<51122> with error 12, opcode 0, len 0, vendor err 129", "own", "[rank5]: "))
case("communication.store-timeout", "not all came to the store", pre, tb("torch.distributed.DistStoreError: Timed out after 1801 seconds waiting for clients. 7/8 clients joined.", "dist", "[rank0]: "))
case("communication.addr-in-use", "somebody else's port", pre, ["[W socket.cpp:426] [c10d] The server socket has failed to bind to [::]:29500 (errno: 98 - Address already in use).", "[E socket.cpp:462] [c10d] The server socket has failed to listen on any local network address."], tb("RuntimeError: The server socket has failed to listen on any local network address. The server socket has failed to bind to [::]:29500 (errno: 98 - Address already in use). The server socket has failed to bind to ?UNKNOWN? (errno: 98 - Address already in use).", "dist"))
case("communication.rdzv", "torchrun waited for the other nodes", pre, tb("torch.distributed.elastic.rendezvous.api.RendezvousTimeoutError"))
case("communication.unique-id", "the store went away", pre, tb("torch.distributed.DistBackendError: [3] is setting up NCCL communicator and retrieving ncclUniqueId from [0] via c10d key-value store by key '0', but store->get('0') got error: Connection reset by peer. This may indicate a possible application crash on rank 0 or a network set up issue.", "dist", "[rank3]: "))
case("communication.jax-barrier", "JAX's coordination service", pre, tb("jaxlib.xla_extension.XlaRuntimeError: DEADLINE_EXCEEDED: Barrier timed out. Barrier_id: PjRT_Client_Connect. Timed out task names:\n/job:jax_worker/replica:0/task:6\n/job:jax_worker/replica:0/task:3"))
case("communication.jax-heartbeat", "a heartbeat is missing", pre, steps("jax", 12), ["E0929 17:42:48.594192 1044529 coordination_service_agent.cc:332] Polled an error from coordination service (this can be an error from this or another task).", "F0929 17:42:48.594200 1044529 client.h:77] Terminating process because the JAX distributed service detected fatal errors. absl::Status: UNAVAILABLE: Failed to send RPC to coordination service."], exit="134:0")
case("communication.ucx", "MPI over UCX", pre, steps("mpi", 14), ["[1650001234.5] [<host>:3121:0]      ib_mlx5_log.c:177  UCX  ERROR Transport retry count exceeded on mlx5_0:1/IB (synd 0x15 vend 0x81 hw_synd 0/0)", "[<host>:3121] *** Process received signal ***", "[<host>:3121] Signal: Aborted (6)"], srun_exit(31, 134))
case("communication.btl-tcp", "MPI over TCP", pre, steps("mpi", 12), ["[<host>][[41231,1],3][btl_tcp_frag.c:241:mca_btl_tcp_frag_recv] mca_btl_tcp_frag_recv: readv failed: Connection reset by peer (104)", "[<host>:2211] *** An error occurred in MPI_Recv", "[<host>:2211] *** reported by process [2702114817,3]", "[<host>:2211] *** MPI_ERR_OTHER: known error not in list", "[<host>:2211] *** MPI_ERRORS_ARE_FATAL (processes in this communicator will now abort,"])
case("communication.hostname", "the master's name does not resolve", pre, ["[W socket.cpp:601] [c10d] The IPv6 network addresses of (gpu-master, 29501) cannot be retrieved (gai error: -2 - Name or service not known).", "[E socket.cpp:860] [c10d] The client socket has timed out after 60s while trying to connect to (gpu-master, 29501)."], tb("torch.distributed.DistNetworkError: The client socket has timed out after 60s while trying to connect to (gpu-master, 29501).", "dist"))
case("communication.monitored", "gloo's monitored barrier", pre, ranks("plain", 2, 5), tb("RuntimeError: Rank 3 failed to pass monitoredBarrier in 1800000 ms\n Original exception:\n[../third_party/gloo/gloo/transport/tcp/unbound_buffer.cc:81] Timed out waiting 1800000ms for recv operation to complete", "own", "[rank0]: "))
case("communication.nccl-connect", "no route between nodes", pre, ["<host>:777:901 [0] misc/socket.cc:484 NCCL WARN socketStartConnect: Connect to 10.128.0.9<43311> failed : No route to host"], tb("torch.distributed.DistBackendError: NCCL error in: ../torch/csrc/distributed/c10d/ProcessGroupNCCL.cpp:1691, unhandled system error (run with NCCL_DEBUG=INFO for details), NCCL version 2.18.5\nncclSystemError: System call (e.g. socket, malloc) or external library call failed or device error.\nLast error:\nsocketStartConnect: Connect to 10.128.0.9<43311> failed : No route to host", "dist", "[rank0]: "))
case("communication.tf-collective", "TensorFlow's collectives", pre, steps("keras", 4), tb("tensorflow.python.framework.errors_impl.UnavailableError: Collective ops is aborted by: failed to connect to all addresses\nAdditional GRPC error information from remote target /job:worker/replica:0/task:1: Connection reset by peer\nThe error could be from a previous operation. Restart your program to reset. [Op:CollectiveReduceV2]", "keras"))
case("communication.intel-mpi", "Intel MPI over libfabric", pre, steps("mpi", 10), ["Abort(1014586895) on node 12 (rank 12 in comm 0): Fatal error in PMPI_Allreduce: Other MPI error, error stack:", "PMPI_Allreduce(472).......................: MPI_Allreduce(sbuf=MPI_IN_PLACE, rbuf=0x2b11, count=1) failed", "MPIDI_OFI_handle_cq_error(1042)...........: OFI poll failed (ofi_events.c:1042:MPIDI_OFI_handle_cq_error:Input/output error)"], srun_exit(12, 143))
case("communication.swallowed", "the script swallows it", pre, tb("torch.distributed.DistStoreError: Socket Timeout", "dist"), ["bye"], state="COMPLETED", exit="0:0")

# ── storage ───────────────────────────────────────────────────────────────────────────────────────────────────────

case("storage.enospc-save", "no room for the checkpoint", pre, steps("timm", 14), tb("OSError: [Errno 28] No space left on device: '<site>/out/checkpoint-40.pth.tar'", "save"))
case("storage.quota", "quota of the project", pre, steps("hf", 12), tb("OSError: [Errno 122] Disk quota exceeded: '<site>/out/checkpoint-500/optimizer.pt'", "save"), epilog)
case("storage.writer-failed", "torch.save never says space", pre, steps("plain", 12), tb("RuntimeError: [enforce fail at inline_container.cc:595] . unexpected pos 9088 vs 8984\n", "save"), alt=("checkpoint",))
case("storage.stream-writer", "the zip writer", pre, steps("lightning", 9), tb("RuntimeError: PytorchStreamWriter failed writing file data/214: file write failed", "save"))
case("storage.eio", "input/output error while writing", pre, steps("mm", 9), tb("OSError: [Errno 5] Input/output error: '<site>/work_dirs/epoch_12.pth'", "save"))
case("storage.stale", "NFS lost the file", pre, steps("fairseq", 7), tb("OSError: [Errno 116] Stale file handle: '<site>/logs/train.log'"))
case("storage.read-only", "remounted read-only", pre, steps("jax", 7), tb("OSError: [Errno 30] Read-only file system: '<site>/ckpt/step_1200'"))
case("storage.lustre-108", "Lustre evicted the client", pre, steps("megatron", 6), tb("OSError: [Errno 108] Cannot send after transport endpoint shutdown: '<site>/ckpt/iter_0004000/mp_rank_00/model_optim_rng.pt'", "save", "[rank0]: "), srun_exit(0))
case("storage.safetensors", "Rust's words", pre, steps("hf", 9), tb('safetensors_rust.SafetensorError: Error while serializing: IoError(Os { code: 28, kind: StorageFull, message: "No space left on device" })', "hf"))
case("storage.h5-lock", "another process holds the file", pre, tb("BlockingIOError: [Errno 11] Unable to synchronously open file (unable to lock file, errno = 11, error message = 'Resource temporarily unavailable')"))
case("storage.h5-write", "HDF5 cannot extend the file", pre, steps("plain", 9), tb("OSError: [Errno 28] Can't write data (file write failed: time = Mon Feb  5 11:02:41 2024\n, filename = '<site>/metrics.h5', file descriptor = 7, errno = 28, error message = 'No space left on device', buf = 0x55d0, total write size = 8192)"))
case("storage.permission", "somebody else's folder", pre, tb("PermissionError: [Errno 13] Permission denied: '/scratch/shared/ckpt/run7/step-00000100.tmp'", "save"))
case("storage.sqlite", "the optimiser's data base", pre, tb("sqlite3.OperationalError: database or disk is full"))
case("storage.fsize", "a limit on file size", pre, steps("plain", 8), ["/var/spool/slurmd/job<job>/slurm_script: line 19: <pid> File size limit exceeded(core dumped) python train.py"], exit="153:0")
case("storage.tf-enospc", "TensorFlow calls a full disk exhausted resources", pre, steps("keras", 5), tb("tensorflow.python.framework.errors_impl.ResourceExhaustedError: <site>/ckpt/model.ckpt-1000.data-00000-of-00001.tempstate119; No space left on device", "keras"))
case("storage.mpiio", "MPI-IO", pre, steps("mpi", 11), ["ADIOI_UFS_WRITECONTIG(71): I/O error File I/O error, error code -1: Disk quota exceeded", "application called MPI_Abort(MPI_COMM_WORLD, 1) - process 0"], srun_exit(0, 1))
case("storage.inductor-tmp", "the compiler's cache on a full /tmp; others drown it in NCCL", pre, tb("torch._inductor.exc.InductorError: OSError: [Errno 28] No space left on device: '/tmp/torchinductor_<user>/4f/c4fjq.py'", "forward", "[rank2]: "), watchdog([0, 1, 3]), torchrun(2))
case("storage.timedout-lustre", "a read that never came back", pre, steps("plain", 12), tb("OSError: [Errno 110] Connection timed out: '<site>/data/shard_0041.tar'", "loader"), alt=("data",))
case("storage.endpoint", "the mount went away", pre, steps("plain", 10), tb("OSError: [Errno 107] Transport endpoint is not connected: '/gpfs/data/imagenet/train'", "loader"))
case("storage.dcp", "distributed checkpoint while saving", pre, steps("titan", 8), tb("torch.distributed.checkpoint.api.CheckpointException: CheckpointException ranks:dict_keys([4])\nTraceback (most recent call last): (RANK 4)\n  File \"<env>/torch/distributed/checkpoint/filesystem.py\", line 410, in _write_files_from_queue\nOSError: [Errno 122] Disk quota exceeded", "save", "[rank0]: "))

# ── container ─────────────────────────────────────────────────────────────────────────────────────────────────────

case("container.no-image", "the image is not there", pre, ["FATAL:   could not open image <site>/images/train.sif: failed to retrieve path for <site>/images/train.sif: lstat <site>/images/train.sif: no such file or directory"], exit="255:0")
case("container.bad-superblock", "the image is damaged", ["FATAL:   container creation failed: mount hook function failure: mount /proc/self/fd/3->/var/lib/apptainer/mnt/session/rootfs error: while mounting image /proc/self/fd/3: kernel reported a bad superblock for squashfs image partition, possible causes are that your kernel doesn't support the compression algorithm or the image is corrupted"], exit="255:0")
case("container.bind-source", "a bind's source does not exist", pre, ["FATAL:   container creation failed: mount hook function failure: mount /data/imagenet->/data error: while mounting /data/imagenet: mount source /data/imagenet doesn't exist"], exit="255:0")
case("container.no-python", "the image has no such command", pre, ['FATAL:   "python3.11": executable file not found in $PATH'], exit="255:0")
case("container.loop", "no loop device left", pre, ["FATAL:   container creation failed: mount /proc/self/fd/3->/usr/local/var/singularity/mnt/session/rootfs error: can't mount image /proc/self/fd/3: failed to find loop device: could not attach image file to loop device: no loop devices available"], exit="255:0")
case("container.pyxis-sqsh", "pyxis takes a path for a registry", ["pyxis: importing docker image: train.sqsh", "slurmstepd: error: pyxis: child 10028 failed with error code: 1", "slurmstepd: error: pyxis: failed to import docker image", "slurmstepd: error: pyxis: printing enroot log file:", "slurmstepd: error: pyxis:     [INFO] Querying registry for permission grant", "slurmstepd: error: pyxis:     [ERROR] URL https://registry-1.example/v2/library/train.sqsh/manifests/latest returned error code: 401 Unauthorized", "slurmstepd: error: pyxis: couldn't start container", "slurmstepd: error: spank: required plugin spank_pyxis.so: task_init() failed with rc=-1", "slurmstepd: error: Failed to invoke spank plugin stack", "srun: error: <host>: task 0: Exited with exit code 1"])
case("container.pyxis-start", "the container does not start", ["pyxis: imported docker image: nvcr.io#nvidia/pytorch:24.05-py3", "slurmstepd: error: pyxis: container start failed with error code: 1", "slurmstepd: error: pyxis: printing enroot log file:", "slurmstepd: error: pyxis:     enroot-mount: failed to mount: /lustre/data at /raid/enroot/data/pyxis_<job>.0/data: No such file or directory", "slurmstepd: error: pyxis:     [ERROR] /etc/enroot/hooks.d/10-shadow.sh exited with return code 1", "slurmstepd: error: pyxis: couldn't start container", "slurmstepd: error: spank: required plugin spank_pyxis.so: task_init() failed with rc=-1", "srun: error: <host>: task 1: Exited with exit code 1"])
case("container.enroot-space", "enroot's squash file fills /run", ["pyxis: importing docker image ...", "slurmstepd: error: pyxis: child 52574 failed with error code: 1", "slurmstepd: error: pyxis:     [INFO] Creating squashfs filesystem...", "slurmstepd: error: pyxis:     Write failed because No space left on device", "slurmstepd: error: pyxis:     FATAL ERROR:Failed to write to output filesystem", "slurmstepd: error: pyxis: couldn't start container"], alt=("storage",))
case("container.docker-pull", "a registry says no", ["Unable to find image 'registry.example/team/train:v7' locally", "docker: Error response from daemon: pull access denied for registry.example/team/train, repository does not exist or may require 'docker login': denied: requested access to the resource is denied.", "See 'docker run --help'."], exit="125:0")
case("container.nvidia-cli", "the GPU hook of the runtime", ["docker: Error response from daemon: failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: error during container init: error running hook #0: error running hook: exit status 1, stdout: , stderr: Auto-detected mode as 'legacy'", "nvidia-container-cli: initialization error: load library failed: libnvidia-ml.so.1: cannot open shared object file: no such file or directory: unknown."], exit="127:0")
case("container.userns", "user namespaces are off", pre, ["ERROR  : Failed to create user namespace: user namespace disabled", "ERROR  : user namespace disabled"], exit="1:0")
case("container.overlay-full", "the 64 MiB overlay is full, the disks are not", pre, ["INFO:    Setting 'NVIDIA_VISIBLE_DEVICES=all' to emulate legacy GPU binding.", "host: /scratch 41% used"], tb("OSError: [Errno 28] No space left on device: '/opt/app/cache/kernels.bin'"), ["overlay          64M   64M     0 100% /"], alt=("storage",))
case("container.podman", "podman's runtime", ["Error: crun: executable file `torchrun` not found in $PATH: No such file or directory: OCI runtime attempted to invoke a command that was not found"], exit="127:0")
case("container.squash-read", "reading the image fails in the middle of a run", pre, steps("plain", 5), ["SQUASHFS error: zstd decompression failed, data probably corrupt", "SQUASHFS error: Failed to read block 0x1b2c3d: -5"], ["Bus error (core dumped)"], exit="135:0")
case("container.apptainer-missing", "the runtime is not on this node", pre, ["/var/spool/slurmd/job<job>/slurm_script: line 14: apptainer: command not found"], exit="127:0", alt=("environment",))
case("container.toomany", "a registry's rate limit", ["FATAL:   Unable to handle docker://pytorch/pytorch uri: failed to get checksum for docker://pytorch/pytorch: reading manifest latest in docker.io/pytorch/pytorch: toomanyrequests: You have reached your pull rate limit."], exit="255:0")

# ── environment ───────────────────────────────────────────────────────────────────────────────────────────────────

case("environment.module", "a package is missing", pre, tb("ModuleNotFoundError: No module named 'flash_attn'"))
case("environment.import-name", "another version of a package", pre, tb("ImportError: cannot import name 'LlamaFlashAttention2' from 'transformers.models.llama.modeling_llama' (<env>/transformers/models/llama/modeling_llama.py)"))
case("environment.glibc", "built on a newer system", pre, ["./solver: /lib64/libc.so.6: version `GLIBC_2.34' not found (required by ./solver)"], srun_exit(0, 1))
case("environment.cudart", "a library is missing", pre, tb("ImportError: libcudart.so.11.0: cannot open shared object file: No such file or directory"))
case("environment.symbol", "built against another PyTorch", pre, tb("ImportError: <env>/flash_attn_2_cuda.cpython-310-x86_64-linux-gnu.so: undefined symbol: _ZN3c104cuda9SetDeviceEi"))
case("environment.driver-old", "the driver is too old", pre, tb("RuntimeError: The NVIDIA driver on your system is too old (found version 11040). Please update your GPU driver by downloading and installing a new version from the URL"))
case("environment.driver-insufficient", "the same in CUDA's words", pre, ["terminate called after throwing an instance of 'std::runtime_error'", "  what():  CUDA driver version is insufficient for CUDA runtime version"], exit="134:0")
case("environment.kernel-image", "no code for this GPU", pre, tb("RuntimeError: CUDA error: no kernel image is available for execution on the device\nCUDA kernel errors might be asynchronously reported at some other API call", "forward"))
case("environment.not-compiled", "a CPU build on a GPU node", pre, tb("AssertionError: Torch not compiled with CUDA enabled"))
case("environment.lmod", "an unknown module", ['Lmod has detected the following error:  The following module(s) are unknown: "cuda/12.9"', "", "Please check the spelling or version number. Also try \"module spider ...\"", "srun: error: <host>: task 0: Exited with exit code 1"])
case("environment.conda-env", "no such conda environment", ["EnvironmentNameNotFound: Could not find conda environment: train2", "You can list all discoverable environments with `conda info --envs`."], tb("ModuleNotFoundError: No module named 'torch'"))
case("environment.no-gpu", "no device is visible", pre, tb("RuntimeError: No CUDA GPUs are available"))
case("environment.nvml-mismatch", "the driver was updated under the job", pre, ["Failed to initialize NVML: Driver/library version mismatch", "NVML library version: 535.161"], tb("RuntimeError: Unexpected error from cudaGetDeviceCount(). Did you run some cuda functions before calling NumCudaDevices() that might have already set an error? Error 803: system has unsupported display driver / cuda driver combination"))
case("environment.ds-nvcc", "a DeepSpeed op cannot be compiled", pre, tb("deepspeed.ops.op_builder.builder.CUDAMismatchException: >- DeepSpeed Op Builder: Installed CUDA version 11.8 does not match the version torch was compiled with 12.1, unable to compile cuda/cpp extensions without a matching cuda version."))
case("environment.numpy2", "built with another numpy", pre, lines("""
    A module that was compiled using NumPy 1.x cannot be run in
    NumPy 2.0.1 as it may crash. To support both 1.x and 2.x
    versions of NumPy, modules must be compiled with NumPy 2.0.
"""), tb("AttributeError: _ARRAY_API not found"), tb("ImportError: numpy.core.multiarray failed to import"))
case("environment.requires", "a package says what it needs", pre, tb("ImportError: Using `bitsandbytes` 4-bit quantization requires the latest version of bitsandbytes: `pip install -U bitsandbytes`"))
case("environment.jax-cuda", "JAX asked for a GPU it cannot use", pre, tb("RuntimeError: Unable to initialize backend 'cuda': FAILED_PRECONDITION: No visible GPU devices. (you may need to uninstall the failing plugin package, or set JAX_PLATFORMS=cpu to skip this backend.)"))
case("environment.sigill", "another processor", ["/var/spool/slurmd/job<job>/slurm_script: line 9: <pid> Illegal instruction     (core dumped) ./train"], exit="132:0")
case("environment.interpreter", "the interpreter is gone", ["bash: /home/<user>/venv/bin/torchrun: /home/<user>/venv/bin/python3.9: bad interpreter: No such file or directory"], exit="126:0")
case("environment.files", "too many open files", pre, steps("plain", 6), tb("OSError: [Errno 24] Too many open files", "loader"))
case("environment.cxxabi", "an older libstdc++ goes first", pre, tb("ImportError: /lib64/libstdc++.so.6: version `CXXABI_1.3.15' not found (required by <env>/scipy/_lib/_uarray.so)"))
case("environment.pkg", "requirements are checked at start", pre, tb("ImportError: accelerate>=0.26.0 is required for a normal functioning of this module, but found accelerate==0.21.0.\nTry: `pip install transformers -U`"))

# ── data ──────────────────────────────────────────────────────────────────────────────────────────────────────────

case("data.missing-json", "an input is not there", pre, tb("FileNotFoundError: [Errno 2] No such file or directory: '<site>/data/train_v2.jsonl'"))
case("data.image", "a picture cannot be read", pre, steps("timm", 8), tb("PIL.UnidentifiedImageError: cannot identify image file '/data/imagenet/train/n02105855/n02105855_2933.JPEG'", "loader"))
case("data.truncated-image", "half a picture", pre, steps("mm", 6), tb("OSError: image file is truncated (42 bytes not processed)", "loader"))
case("data.json", "a broken line", pre, ["Loading data/train.jsonl"], tb("json.decoder.JSONDecodeError: Expecting ',' delimiter: line 1 column 8192 (char 8191)"))
case("data.csv", "a broken table", pre, tb("pandas.errors.ParserError: Error tokenizing data. C error: Expected 14 fields in line 30211, saw 19"))
case("data.label-assert", "a label out of range on the device", pre, steps("plain", 4), ["../aten/src/ATen/native/cuda/Loss.cu:250: nll_loss_forward_reduce_cuda_kernel_2d: block: [0,0,0], thread: [11,0,0] Assertion `t >= 0 && t < n_classes` failed."] * 3, tb("RuntimeError: CUDA error: device-side assert triggered\nCUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace below might be incorrect.", "backward"), alt=("code_bug",))
case("data.target-range", "the same on the CPU", pre, tb("IndexError: Target 10 is out of bounds.", "forward"), alt=("code_bug",))
case("data.not-found-hf", "no such data set", pre, tb("datasets.exceptions.DatasetNotFoundError: Dataset 'lab/pile-clean' doesn't exist on the Hub or cannot be accessed."))
case("data.parquet", "a damaged parquet file", pre, ["Generating train split:  33%|███▎      | 23337/70000 [00:04<00:09, 4892.80 examples/s]"], tb("pyarrow.lib.ArrowInvalid: Could not open Parquet input source '<Buffer>': Parquet magic bytes not found in footer. Either the file is corrupted or this is not a parquet file."), ["", "The above exception was the direct cause of the following exception:", ""], tb("datasets.exceptions.DatasetGenerationError: An error occurred while generating the dataset"))
case("data.unicode", "not UTF-8", pre, tb("UnicodeDecodeError: 'utf-8' codec can't decode byte 0x8b in position 1: invalid start byte"))
case("data.h5-truncated", "half an HDF5 file", pre, tb("OSError: Unable to synchronously open file (truncated file: eof = 4194304, sblock->base_addr = 0, stored_eof = 81233123)", "loader"))
case("data.tar", "half a shard", pre, steps("plain", 5), tb("tarfile.ReadError: unexpected end of data", "loader"))
case("data.indexed", "Megatron's index is missing", pre, tb("FileNotFoundError: [Errno 2] No such file or directory: '/data/pile/pile_text_document.idx'", "own", "[rank0]: "), torchrun(0))
case("data.empty", "nothing to train on", pre, tb("ValueError: num_samples should be a positive integer value, but got num_samples=0"), alt=("config",))
case("data.nan-input", "NaN stands in the input", pre, tb("ValueError: Input X contains NaN.\nLogisticRegression does not accept missing values encoded as NaN natively."))
case("data.zip", "not a zip file", pre, tb("zipfile.BadZipFile: File is not a zip file", "loader"))
case("data.tfrecord", "a corrupted record", pre, steps("keras", 3), tb("tensorflow.python.framework.errors_impl.DataLossError: corrupted record at 188231 [Op:IteratorGetNext]", "keras"))
case("data.splits", "a data set is not what it was", pre, tb("datasets.exceptions.NonMatchingSplitsSizesError: [{'expected': SplitInfo(name='train', num_bytes=361241546, num_examples=12737), 'recorded': SplitInfo(name='train', num_bytes=332554221, num_examples=9708)}]"))
case("data.cxx-open", "a C++ program cannot open its input", pre, ["ERROR: cannot open training set file 'train.cfg' for reading"], srun_exit(0, 1))
case("data.lmdb", "LMDB", pre, tb("lmdb.CorruptedError: mdb_get: MDB_CORRUPTED: Located page was wrong type", "loader"))
case("data.embedding-assert", "a token beyond the vocabulary", pre, ["../aten/src/ATen/native/cuda/Indexing.cu:1236: indexSelectSmallIndex: block: [3,0,0], thread: [0,0,0] Assertion `srcIndex < srcSelectDimSize` failed."] * 4, tb("RuntimeError: CUDA error: device-side assert triggered", "forward"), alt=("code_bug",))

# ── checkpoint ────────────────────────────────────────────────────────────────────────────────────────────────────

case("checkpoint.size", "another model", pre, tb("RuntimeError: Error(s) in loading state_dict for GPT:\n\tsize mismatch for transformer.wte.weight: copying a param with shape torch.Size([50257, 768]) from checkpoint, the shape in current model is torch.Size([50304, 768]).", "load"), alt=("config",))
case("checkpoint.missing-keys", "keys are missing", pre, tb('RuntimeError: Error(s) in loading state_dict for DistributedDataParallel:\n\tMissing key(s) in state_dict: "module.conv1.weight", "module.bn1.weight". \n\tUnexpected key(s) in state_dict: "conv1.weight", "bn1.weight". ', "load"))
case("checkpoint.central-directory", "half a file", pre, ["=> loading checkpoint 'out/last.pth'"], tb("RuntimeError: PytorchStreamReader failed reading zip archive: failed finding central directory", "load"))
case("checkpoint.unpickle", "not a checkpoint", pre, tb("_pickle.UnpicklingError: invalid load key, '\\x00'.", "load"))
case("checkpoint.eof", "an empty file", pre, ["Resuming from <site>/out/latest.pt"], tb("EOFError: Ran out of input", "load"))
case("checkpoint.safetensors", "half a safetensors file", pre, ["Loading checkpoint shards:  33%|███▎      | 1/3"], tb("safetensors_rust.SafetensorError: Error while deserializing header: MetadataIncompleteBuffer", "hf"))
case("checkpoint.zero-world", "another number of ranks", pre, tb("deepspeed.runtime.zero.utils.ZeRORuntimeException: The checkpoint being loaded used a DP world size of 8 but the current world size is 4. Automatic adjustment of ZeRO's optimizer state partitioning with a new world size is not currently supported."))
case("checkpoint.lightning-gone", "the checkpoint is not there", pre, tb("FileNotFoundError: Checkpoint file not found: <site>/ckpt/epoch=12.ckpt. Aborting training.", "lightning"))
case("checkpoint.tf", "TensorFlow finds no files", pre, tb("tensorflow.python.framework.errors_impl.NotFoundError: Unsuccessful TensorSliceReader constructor: Failed to find any matching files for <site>/ckpt/model.ckpt-12000", "keras"))
case("checkpoint.hf-none", "a folder without a checkpoint", pre, tb("ValueError: Can't find a valid checkpoint at out/checkpoint-2500", "hf"))
case("checkpoint.optimizer", "the optimiser's groups differ", pre, tb("ValueError: loaded state dict contains a parameter group that doesn't match the size of optimizer's group", "load"))
case("checkpoint.orbax", "Orbax", pre, tb("ValueError: Restoring checkpoint failed: tree structure mismatch: user-provided restore item and on-disk value metadata tree structures do not match", "jax"))
case("checkpoint.keras", "keras weights", pre, tb("ValueError: Layer count mismatch when loading weights from file. Model expected 12 layers, found 10 saved layers.", "keras"))
case("checkpoint.weights-only", "PyTorch 2.6 refuses the pickle", pre, tb("_pickle.UnpicklingError: Weights only load failed. This file can still be loaded, to do so you have two options, do those steps only if you trust the source of the checkpoint.\n\tWeightsUnpickler error: Unsupported global: GLOBAL numpy.core.multiarray.scalar was not an allowed global by default.", "load"), alt=("environment", "code_bug"))
case("checkpoint.dcp-meta", "no metadata in the folder", pre, tb("FileNotFoundError: [Errno 2] No such file or directory: '<site>/checkpoints/step-4000/.metadata'", "own", "[rank0]: "), torchrun(0))
case("checkpoint.pickle-short", "pickle ends early", pre, ["loading optimizer state from optimizer.pt"], tb("_pickle.UnpicklingError: pickle data was truncated", "load"))

# ── config ────────────────────────────────────────────────────────────────────────────────────────────────────────

case("config.argparse", "an unknown argument", pre, ["usage: train.py [-h] [--lr LR] [--epochs EPOCHS]", "train.py: error: unrecognized arguments: --lora_rnak 8"], exit="2:0")
case("config.choice", "an impossible choice", pre, ["usage: train.py [-h] --model {vit,resnet}", "train.py: error: argument --model: invalid choice: 'vitt' (choose from 'vit', 'resnet')"], srun_exit(0, 2), exit="2:0")
case("config.hydra", "Hydra's override", ["Could not override 'model.n_layer'.", "To append to your config use +model.n_layer=12", "Key 'n_layer' is not in struct", "    full_key: model.n_layer", "    object_type=dict", "", "Set the environment variable HYDRA_FULL_ERROR=1 for a complete stack trace."])
case("config.omegaconf", "a missing mandatory value", pre, tb("omegaconf.errors.MissingMandatoryValue: Missing mandatory value: data.path\n    full_key: data.path\n    object_type=dict"))
case("config.pydantic", "validation of a configuration", pre, tb("pydantic_core._pydantic_core.ValidationError: 1 validation error for TrainConfig\nlearning_rate\n  Input should be a valid number, unable to parse string as a number [type=float_parsing, input_value='1e-4x', input_type=str]"))
case("config.yaml", "a broken YAML", pre, tb('yaml.scanner.ScannerError: mapping values are not allowed here\n  in "configs/base.yaml", line 14, column 11'))
case("config.ds-batch", "batch sizes do not multiply", pre, tb("AssertionError: Check batch related parameters. train_batch_size is not equal to micro_batch_per_gpu * gradient_acc_step * world_size 64 != 4 * 2 * 4"))
case("config.heads", "heads do not divide", pre, tb("AssertionError: embed_dim must be divisible by num_heads"), alt=("code_bug",))
case("config.megatron-world", "ranks do not divide", pre, tb("AssertionError: world size (12) is not divisible by tensor_model_parallel_size (8)", "own", "[rank0]: "), torchrun(0))
case("config.srun-nodes", "more than the allocation has", pre, ["srun: error: Unable to create step for job <job>: Requested node configuration is not available"], epilog)
case("config.srun-tasks", "more tasks than CPUs", pre, ["srun: error: Unable to create step for job <job>: More processors requested than permitted"])
case("config.srun-mem", "more memory than the job has", pre, ["srun: error: Unable to create step for job <job>: Memory required by task is not available"])
case("config.sbatch-account", "a wrong account", ["sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified"])
case("config.hf-args", "HfArgumentParser", pre, tb("ValueError: Some specified arguments are not used by the HfArgumentParser: ['--max_stepz', '100']"))
case("config.absl", "absl flags", ["FATAL Flags parsing error: Unknown command line flag 'learning_rat'. Did you mean: learning_rate ?", "Pass --helpshort or --helpfull to see help on flags."])
case("config.wandb-key", "no key for wandb", pre, tb("wandb.errors.errors.UsageError: api_key not configured (no-tty). call wandb.login(key=[your_api_key])"))
case("config.lightning", "Lightning's own class of error", pre, tb("lightning.fabric.utilities.exceptions.MisconfigurationException: You requested gpu: [0, 1, 2, 3]\n But your machine only has: [0, 1]", "lightning"))
case("config.unbound", "a variable of the job script", ["/var/spool/slurmd/job<job>/slurm_script: line 22: DATA_ROOT: unbound variable"])
case("config.env-key", "a variable the program needs", pre, tb("KeyError: 'MASTER_ADDR'"), alt=("code_bug", "environment"))
case("config.torchrun-args", "torchrun's own parser", ["usage: torchrun [-h] [--nnodes NNODES] [--nproc-per-node NPROC_PER_NODE]", "torchrun: error: unrecognized arguments: --nprocs_per_node=4"], exit="2:0")
case("config.bf16", "a format this device does not know", pre, tb("ValueError: Your setup doesn't support bf16/gpu. You need torch>=1.10, using Ampere GPU with cuda>=11.0"), alt=("environment",))
case("config.pending", "Slurm will never start it", state="PENDING", exit=None, evidence={"started": False, "state_reason": "QOSMaxGRESPerJob"})

# ── code_bug ──────────────────────────────────────────────────────────────────────────────────────────────────────

for name, error, kind in (
    ("shapes", "RuntimeError: mat1 and mat2 shapes cannot be multiplied (64x4608 and 2048x512)", "forward"),
    ("attribute", "AttributeError: 'NoneType' object has no attribute 'shape'", "own"),
    ("name", "NameError: name 'scheduler' is not defined", "own"),
    ("argument", "TypeError: forward() got an unexpected keyword argument 'attention_mask'", "forward"),
    ("index", "IndexError: list index out of range", "own"),
    ("device", "RuntimeError: Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu!", "forward"),
    ("grad", "RuntimeError: element 0 of tensors does not require grad and does not have a grad_fn", "backward"),
    ("inplace", "RuntimeError: one of the variables needed for gradient computation has been modified by an inplace operation: [torch.cuda.FloatTensor [64, 128]] is at version 2; expected version 1 instead.", "backward"),
    ("assert", "AssertionError", "own"),
    ("local", "UnboundLocalError: local variable 'best' referenced before assignment", "own"),
    ("zero", "ZeroDivisionError: float division by zero", "own"),
    ("tracer", "jax.errors.TracerBoolConversionError: Attempted boolean conversion of traced array with shape bool[].", "jax"),
    ("recursion", "RecursionError: maximum recursion depth exceeded while calling a Python object", "own"),
    ("dict-key", "KeyError: 'val/acc'", "own"),
    ("pickle", "AttributeError: Can't pickle local object 'make_loader.<locals>.<lambda>'", "loader"),
    ("not-implemented", "NotImplementedError: Module [Net] is missing the required \"forward\" function", "forward"),
    ("twice", "RuntimeError: Trying to backward through the graph a second time (or directly access saved tensors after they have already been freed).", "backward"),
):  # fmt: skip
    case(f"code_bug.{name}", "a plain fault of the program", pre, steps("plain", 3), tb(error, kind), epilog)
case("code_bug.ddp-unused", "DDP's unused parameters", pre, ranks("plain", 2, 3), tb("RuntimeError: Expected to have finished reduction in the prior iteration before starting a new one. This error indicates that your module has parameters that were not used in producing loss.", "forward", "[rank1]: "), torchrun(1))
case("code_bug.syntax", "the file does not parse", ['  File "<site>/train.py", line 88', "    def forward(self, x", "               ^", "SyntaxError: '(' was never closed"])
case("code_bug.segv", "a segmentation fault with faulthandler", pre, steps("plain", 9), ["Fatal Python error: Segmentation fault", "", "Thread 0x00007f1b2effd700 (most recent call first):", '  File "<env>/mylib/ops.py", line 44 in apply', "srun: error: <host>: task 0: Segmentation fault (core dumped)"], exit="139:0")
case("code_bug.tf-shape", "TensorFlow's shapes", pre, tb("tensorflow.python.framework.errors_impl.InvalidArgumentError: Graph execution error:\n\nlogits and labels must have the same first dimension, got logits shape [64,10] and labels shape [640]\n\t [[{{node sparse_categorical_crossentropy}}]]", "keras"))
case("code_bug.range-check", "C++ vector", pre, steps("mpi", 6), ["terminate called after throwing an instance of 'std::out_of_range'", "  what():  vector::_M_range_check: __n (which is 12) >= this->size() (which is 12)", "srun: error: <host>: task 5: Aborted (core dumped)"], exit="134:0")
case("code_bug.double-free", "heap corruption", pre, steps("mpi", 8), ["double free or corruption (!prev)", "[<host>:<pid>] *** Process received signal ***", "[<host>:<pid>] Signal: Aborted (6)", "srun: error: <host>: task 2: Aborted (core dumped)"], exit="134:0")
case("code_bug.illegal-access", "the program's own kernel; Xid 31 is its", pre, steps("plain", 8), ["NVRM: Xid (PCI:0000:17:00): 31, pid=8122, name=python, Ch 00000010, intr 00000000. MMU Fault: ENGINE GRAPHICS GPCCLIENT_T1_0 faulted @ 0x7f1b_2c000000."], tb("RuntimeError: CUDA error: an illegal memory access was encountered", "backward"))
case("code_bug.mpi-truncate", "a message longer than its buffer", pre, steps("mpi", 8), ["[<host>:771] *** An error occurred in MPI_Recv", "[<host>:771] *** MPI_ERR_TRUNCATE: message truncated", "[<host>:771] *** MPI_ERRORS_ARE_FATAL (processes in this communicator will now abort,"], srun_exit(4, 15))
case("code_bug.compile", "the compiler's back end", pre, tb("torch._dynamo.exc.BackendCompilerFailed: backend='inductor' raised:\nAssertionError: Buffer buf12 has no users", "forward"))
case("code_bug.swallowed", "COMPLETED, but a traceback is the last word", pre, tb("TypeError: unsupported operand type(s) for +: 'NoneType' and 'int'"), ["Wed Mar  6 10:11:12 CET 2024", "job end"], state="COMPLETED", exit="0:0")
case("code_bug.swallowed-buffered", "progress was buffered and appears after the traceback it came before", pre, tb("IndexError: tuple index out of range"), steps("plain", 12), ["job script finished"], state="COMPLETED", exit="0:0")
case("code_bug.one-rank-then-nccl", "one rank's KeyError, the rest NCCL", pre, ranks("plain", 4, 4), tb("KeyError: 'aux_loss'", "own", "[rank2]: "), watchdog([0, 1, 3]), torchrun(0, -6, signal="SIGABRT"))
case("code_bug.eval-after-train", "training ended and saved; the evaluation after it has the fault", pre, steps("hf", 12), ["{'train_runtime': 611.2, 'train_loss': 1.22, 'epoch': 3.0}", "Saving model checkpoint to out/", "***** Running Evaluation *****"], tb("ValueError: operands could not be broadcast together with shapes (512,) (500,)"))

# ── not_converged, unknown ────────────────────────────────────────────────────────────────────────────────────────

case("not_converged.rl-floor", "the reward stays at its floor", pre, [f"|  {k * 200000:7d} steps | ep_rew_mean -500.00 | ep_len_mean 500.0 | entropy 1.09{k % 10} | value_loss 41.{k} |" for k in range(24)], ["final evaluation over 50 episodes: mean reward -500.00 +/- 0.00, solved 0/50", "model saved: ppo_acrobot.zip"], state="COMPLETED", exit="0:0")
case("not_converged.chance", "accuracy stays at chance", pre, [row for k in range(1, 21) for row in (f"Epoch {k}/20", f"1563/1563 [==============================] - 12s 8ms/step - loss: 2.30{k % 4 + 2} - accuracy: 0.100{k % 3} - val_loss: 2.3026 - val_accuracy: 0.1000")], ["model saved"], state="COMPLETED", exit="0:0")
case("not_converged.cg", "a solver says so", pre, steps("mpi", 30, start=2.0, end=1.9), ["WARNING: CG did not converge in 10000 iterations, relative residual 4.1e-02 (tolerance 1e-08)", "total wall time 811.2 s"], state="COMPLETED", exit="0:0")
case("not_converged.max-iter", "the optimiser reached its limit of iterations", pre, ["BFGS: 1000 iterations", "STOP: TOTAL NO. of ITERATIONS REACHED LIMIT.", "Optimization terminated without converging; final gradient norm 3.1e+01 (target 1.0e-05)"], state="COMPLETED", exit="0:0")
case("not_converged.metrics-flat", "the metrics never moved", pre, ["done"], state="COMPLETED", exit="0:0", metrics={"loss": [0.6931, 0.6932, 0.6931, 0.6931, 0.6932, 0.6931, 0.6931, 0.6931, 0.6932, 0.6931, 0.6931, 0.6931, 0.6931, 0.6932, 0.6931, 0.6931, 0.6931, 0.6931, 0.6931, 0.6931, 0.6931, 0.6931, 0.6932, 0.6931]})
case("not_converged.success-rate", "no episode succeeded", pre, [f"[<now>] update {k} | success_rate 0.000 | return -1.00 | fps 3120" for k in range(0, 400, 20)], ["eval: success 0/100 episodes", "wrote policy.pt"], state="COMPLETED", exit="0:0")
case("not_converged.stated", "the program's own verdict", pre, steps("plain", 20, start=1.2, end=1.19), ["RESULT: model failed to converge after 50 epochs (best val_loss 1.187)"], state="COMPLETED", exit="0:0")
case("unknown.killed-task", "a task was killed and nobody says why", pre, steps("titan", 40), ["srun: error: <host>: task 3: Killed", "srun: Terminating StepId=<job>.0", "srun: error: <host>: tasks 0-2: Terminated", "srun: Force Terminated StepId=<job>.0"], exit="0:9", alt=("oom_host",))
case("unknown.killed-shell", "the shell saw a kill", pre, steps("plain", 20), ["/var/spool/slurmd/job<job>/slurm_script: line 12: <pid> Killed                  python train.py"], exit="137:0", alt=("oom_host",))
case("unknown.child-9", "torchrun saw a kill", pre, ranks("plain", 4, 6), torchrun(1, -9, signal="SIGKILL"), alt=("oom_host",))
case("unknown.exit-code", "a code and no word", pre, steps("mpi", 20), ["srun: error: <host>: task 0: Exited with exit code 17"], exit="17:0")
case("unknown.cut", "the log stops in the middle of a step", pre, steps("hf", 25), exit="1:0")
case("unknown.empty", "an empty log and FAILED", exit="1:0")
case("unknown.launcher-only", "only the launcher speaks", pre, torchrun(3, 1))
case("unknown.nothing", "no state, no end", pre, steps("lightning", 15), state=None, exit=None)
case("unknown.sigterm-nobody", "terminated, state FAILED, nobody says by whom", pre, steps("plain", 16), ["srun: error: <host>: task 0: Terminated"], exit="143:0", alt=("cancelled",))
