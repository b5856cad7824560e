"""Messages collected after the rules were finished, to see how they do at first sight; seen by the rules from then on.

Each is one message of its software in an ordinary log. The first score is recorded in decision 0011.
"""

# ruff: noqa: E501, PLC0207 — messages stand here as their software prints them, in one piece
# fmt: off

from tests.corpus.blocks import Part, epilog, limit, lines, pre, ranks, srun_exit, steps, tb, watchdog
from tests.corpus.made_failures import Made

FRESH: list[Made] = []


def _seen(id_: str, why: str, *parts: Part, state: str | None = "FAILED", exit_: str | None = "1:0", alt: tuple[str, ...] = ()) -> None:
    FRESH.append(Made(f"{id_.split('.')[0]}.f-{id_.split('.')[1]}", id_.split(".")[0], why, parts, state=state, exit=exit_, alt=alt))


# device memory
_seen("oom_gpu.kokkos", "Kokkos refuses", pre, steps("mpi", 5), ["terminate called after throwing an instance of 'Kokkos::Experimental::CudaRawMemoryAllocationFailure'", "  what():  Failed to allocate 12.4 G.  Allocation using cudaMalloc() failed with error: out of memory"], srun_exit(0, 134), exit_="134:0")
_seen("oom_gpu.paddle", "Paddle", pre, steps("plain", 5), tb("SystemError: (Fatal) Operator conv2d raises an paddle::memory::allocation::BadAlloc exception.\nResourceExhaustedError: \n\nOut of memory error on GPU 0. Cannot allocate 1.2GB memory on GPU 0, 31.1GB memory has been allocated and available memory is only 512MB."))
_seen("oom_gpu.mxnet", "MXNet", pre, steps("plain", 6), tb("mxnet.base.MXNetError: [11:02:03] src/storage/./pooled_storage_manager.h:161: cudaMalloc retry failed: out of memory"))
_seen("oom_gpu.rich", "a framed traceback of rich", pre, ["╭───────────────────── Traceback (most recent call last) ──────────────────────╮", "│ /opt/app/train.py:415 in step                                                 │", "│ ❱  415 │   loss.backward()                                                    │", "╰──────────────────────────────────────────────────────────────────────────────╯", "OutOfMemoryError: CUDA out of memory. Tried to allocate 1.50 GiB. GPU 0 has a total capacity of 39.39 GiB"])
_seen("oom_gpu.torchx-prefix", "nested prefixes of a launcher", pre, ["i.finetune/0 [default0]:[rank0]: Traceback (most recent call last):", 'i.finetune/0 [default0]:[rank0]:   File "train.py", line 10, in <module>', "i.finetune/0 [default0]:[rank0]: torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."])
_seen("oom_gpu.onednn-xpu", "Intel's device", pre, steps("plain", 5), tb("RuntimeError: Native API failed. Native API returns: -5 (PI_ERROR_OUT_OF_RESOURCES) -5 (PI_ERROR_OUT_OF_RESOURCES)"))
_seen("oom_gpu.lightgbm", "OpenCL", pre, ["[LightGBM] [Info] Using GPU Device: NVIDIA A100"], tb("lightgbm.basic.LightGBMError: Memory Object Allocation Failure"))
_seen("oom_gpu.jax-2", "a later jaxlib", pre, steps("jax", 6), tb("jax.errors.JaxRuntimeError: RESOURCE_EXHAUSTED: Out of memory allocating 17179869184 bytes.", "jax"))
# host memory
_seen("oom_host.pbs-like", "a site's own watcher", pre, steps("plain", 10), ["[memwatch] job <job> used 258.1 GiB of 256.0 GiB, killing it"], exit_="0:9", alt=("unknown",))
_seen("oom_host.julia", "Julia", pre, ["ERROR: LoadError: OutOfMemoryError()", "Stacktrace:", " [1] GenericMemory"])
_seen("oom_host.r", "R", pre, ["Error: cannot allocate vector of size 7.4 Gb", "Execution halted"])
_seen("oom_host.java", "a JVM side program", pre, ["Exception in thread \"main\" java.lang.OutOfMemoryError: Java heap space", "\tat java.util.Arrays.copyOf(Arrays.java:3332)"])
_seen("oom_host.mpi-killed-nodes", "Slurm names the task", pre, ["Worker 42 terminated.", "srun: error: cn26: task 40: Out Of Memory", "Unhandled Task ERROR: EOFError: read end of file"])
_seen("oom_host.malloc", "a C program", pre, steps("mpi", 6), ["solver: malloc of 68719476736 bytes failed: Cannot allocate memory"], srun_exit(0, 1))
# shared memory
_seen("oom_shm.mpich", "MPICH", pre, ["Fatal error in PMPI_Init_thread: Other MPI error, error stack:", "MPIDI_CH4I_SHM: unable to allocate shared memory segment (write_enough /dev/shm)", "MPIR_Init_thread(467)..........:"], srun_exit(0, 15), alt=("communication",))
_seen("oom_shm.nccl-new", "NCCL 2.21", pre, ["<host>:1:1 [0] misc/shmutils.cc:87 NCCL WARN Error: failed to extend /dev/shm/nccl-K1 to 9637892 bytes, error: No space left on device (28)"], tb("torch.distributed.DistBackendError: NCCL error: unhandled system error", "dist"))
_seen("oom_shm.df", "df stands beside it", pre, tb("OSError: [Errno 28] No space left on device", "loader"), ["tmpfs            64M   64M     0 100% /dev/shm"])
# divergence
_seen("divergence.nequip", "an MD program loses its atoms after training blew up", pre, steps("plain", 4), ["! Found NaN in energies, stopping run"], exit_="1:0")
_seen("divergence.composer", "Composer", pre, steps("plain", 4), tb("RuntimeError: Train loss contains a NaN."))
_seen("divergence.trlx", "an RLHF library", pre, steps("hf", 3), tb("ValueError: KL divergence is nan, training is unstable"))
_seen("divergence.optax", "a check in JAX", pre, steps("jax", 4), tb("AssertionError: NaN detected in gradients at step 1200", "jax"))
_seen("divergence.paddle", "Paddle's check", pre, steps("plain", 5), ["[Hint: There are NAN or INF (num_nan=1024, num_inf=0) in [device=gpu:0, op=softmax_grad, tensor=x@GRAD].]"], tb("PreconditionNotMetError: There are NAN or INF"))
_seen("divergence.coqui", "a speech trainer", pre, [f" | > loss: {2 - k / 9:.3f}" for k in range(6)] + [" | > loss: nan"] * 9, ["! NaN loss. Stopping."])
# timeout, preempted, cancelled
_seen("timeout.hpc-site", "a site's epilog knows the reason", pre, steps("plain", 20), ["slurmstepd-<host>: error: *** JOB <job> ON <host> CANCELLED AT <iso> DUE TO TIME LIMIT ***"], state=None, exit_=None)
_seen("timeout.array", "an array element", pre, steps("hf", 20), ["slurmstepd: error: *** JOB <job>_17 ON <host> CANCELLED AT <iso> DUE TO TIME LIMIT ***"], state="TIMEOUT", exit_="0:15")
_seen("preempted.grace", "Slurm's grace time", pre, steps("plain", 20), ["slurmstepd: error: *** STEP <job>.0 ON <host> CANCELLED AT <iso> DUE TO PREEMPTION ***", "srun: Job step aborted: Waiting up to 92 seconds for job step to finish."], state="CANCELLED", exit_="0:15")
_seen("preempted.spot", "a cloud's spot instance", pre, steps("plain", 20), ["Received spot instance interruption notice, terminating in 120 s"], exit_="143:0", alt=("node_failure",))
_seen("cancelled.julia", "Julia's stack after scancel", pre, steps("mpi", 12), ["slurmstepd: error: *** JOB <job> ON <host> CANCELLED AT <iso> ***", "", "signal (15): Terminated", "in expression starting at /work/run.jl:52", "epoll_wait at /lib64/libc.so.6 (unknown line)"], state="CANCELLED by 1200", exit_="0:15")
_seen("cancelled.dependency", "never eligible", state="CANCELLED by 0", exit_="0:0")
# node, gpu
_seen("node_failure.zero-bytes", "slurmd vanished", pre, ranks("plain", 2, 4), ["srun: error: Node failure on nid001244", "srun: error: nid001244: task 1: Killed", "srun: launch/slurm: _step_signal: Terminating StepId=<job>.0"], state="NODE_FAIL", exit_="0:9")
_seen("node_failure.not-responding", "a node does not answer", pre, steps("plain", 8), ["srun: error: slurm_receive_msgs: [[nid7]:6818] failed: Socket timed out on send/recv operation", "srun: error: Task launch for StepId=<job>.0 failed on node nid7: Socket timed out on send/recv operation", "srun: error: Application launch failed: Socket timed out on send/recv operation"], alt=("communication",))
_seen("node_failure.kernel", "a kernel bug", pre, steps("plain", 8), ["Message from syslogd@<host>:", " kernel:watchdog: BUG: soft lockup - CPU#12 stuck for 23s! [python:8121]"], state="NODE_FAIL", exit_="0:0")
_seen("gpu_hardware.nccl-ecc", "NCCL passes it on", pre, ranks("titan", 2, 4), ["<host>:9:9 [3] NCCL WARN Cuda failure 'uncorrectable ECC error encountered'"], watchdog([0, 1]))
_seen("gpu_hardware.smi", "nvidia-smi -L in the prolog", ["No devices were found", "NVRM: GPU at PCI:0000:b1:00: GPU-11", "NVRM: Xid (PCI:0000:b1:00): 62, pid=0, 32ac 0000 0000"], tb("RuntimeError: No CUDA GPUs are available"))
_seen("gpu_hardware.contained", "a contained memory error", pre, steps("plain", 8), ["NVRM: Xid (PCI:0000:0f:00): 94, pid=7, name=python, Contained: SM (0x1). RST: No, D-RST: No"], tb("RuntimeError: CUDA error: uncorrectable ECC error encountered"))
_seen("gpu_hardware.thermal", "the device was too hot and vanished", pre, steps("plain", 8), ["NVRM: GPU 0000:3b:00.0: GPU has fallen off the bus.", "Unable to determine the device handle for GPU0: 0000:3B:00.0: Unknown Error"], exit_="139:0")
_seen("gpu_hardware.hip", "AMD", pre, steps("titan", 5), ["Memory access fault by GPU node-4 (Agent handle: 0x1) on address 0x7f. Reason: Unknown.", "amdgpu: [gfxhub0] RAS uncorrectable error detected, gpu reset required"], exit_="134:0", alt=("code_bug",))
# communication
_seen("communication.nccl-invalid-usage", "versions of NCCL differ between nodes", pre, ["<host>:1:1 [0] init.cc:761 NCCL WARN Bootstrap : no socket interface found"], tb("torch.distributed.DistBackendError: NCCL error in: NCCLUtils.hpp:219, internal error - please report this issue to the NCCL developers, NCCL version 2.19.3\nncclInternalError: Internal check failed.", "dist"))
_seen("communication.ds-ssh", "DeepSpeed's launcher cannot log in", ["cn04: ssh: connect to host cn04 port 22: Connection timed out", "pdsh@cn01: cn04: ssh exited with exit code 255"], exit_="255:0")
_seen("communication.horovod", "Horovod", pre, steps("keras", 3), tb("horovod.common.exceptions.HorovodInternalError: [gloo/transport/tcp/pair.cc:589] Read error [10.1.2.3]:21: Connection reset by peer"))
_seen("communication.ray", "Ray's head is gone", pre, ["[2024-01-01 00:00:00,000 E 1 1] gcs_rpc_client.h:554: Failed to connect to GCS within 60 seconds. GCS may have been killed."], tb("ray.exceptions.RaySystemError: System error: Failed to connect to GCS"))
_seen("communication.jax-grpc", "JAX", pre, tb("jaxlib.xla_extension.XlaRuntimeError: UNAVAILABLE: connection error: desc = \"transport: Error while dialing: dial tcp 10.0.0.1:8476: connect: connection refused\"", "jax"))
_seen("communication.srun-pmi", "PMI cannot start", ["srun: error: mpi/pmix: error: pmixp_dconn_connect: Cannot establish direct connection to cn02", "srun: error: PMK_KVS_Barrier task launch failed"], alt=("node_failure",))
_seen("communication.port-acc", "the port again", tb("ConnectionError: Tried to launch distributed communication on port `29500`, but another process is utilizing it. Please specify a different port"))
# storage
_seen("storage.zarr", "zarr", pre, steps("jax", 5), tb("OSError: [Errno 122] Disk quota exceeded: '<site>/out.zarr/c/0/0.partial'"))
_seen("storage.rust", "tokenizers", pre, tb("Exception: Disk quota exceeded (os error 122)"))
_seen("storage.bash", "the shell itself", pre, ["/var/spool/slurmd/job<job>/slurm_script: line 12: echo: write error: No space left on device"])
_seen("storage.fopen", "a C++ writer", pre, steps("mpi", 6), ["ERROR on proc 0: Cannot open restart file out/r.1000 for writing: Permission denied (src/write_restart.cpp:88)"], srun_exit(0, 1))
_seen("storage.netcdf", "netCDF over HDF5", pre, tb("RuntimeError: NetCDF: HDF error\nOSError: [Errno -101] NetCDF: HDF error: '<site>/out.nc'"), alt=("data",))
_seen("storage.torch-dcp-async", "an asynchronous save", pre, steps("titan", 5), tb("RuntimeError: [enforce fail at inline_container.cc:664] . unexpected pos 4194304 vs 4194198", "save"))
_seen("storage.lustre-ost", "an object server is gone", pre, tb("OSError: [Errno 5] Input/output error", "loader"), ["LustreError: 11-0: scratch-OST0012-osc: operation ost_read to node failed: rc = -107"])
# container
_seen("container.apptainer-lock", "an image for another machine", ["FATAL:   could not open image train.sif: the image's architecture (arm64) could not run on the host's (amd64)"], exit_="255:0")
_seen("container.shifter", "shifter", ["shifter: Failed to lookup image: docker:team/train:v9. Aborting.", "srun: error: nid1: task 0: Exited with exit code 1"])
_seen("container.charliecloud", "charliecloud", ["ch-run[3012]: error: can't bind: destination not found: /data (ch_core.c:211)"])
_seen("container.udocker", "an overlay cannot be mounted", ["FATAL:   while setting up overlay: failed to mount overlay: while mounting overlay: no such device"], exit_="255:0")
_seen("container.enroot", "enroot", ["[ERROR] No such file or directory: /lustre/images/pt.sqsh"])
# environment
_seen("environment.triton", "no compiler for Triton", pre, tb("RuntimeError: Failed to find C compiler. Please specify via CC environment variable."))
_seen("environment.ptxas", "an old ptxas", pre, tb("RuntimeError: Internal Triton PTX codegen error: \nptxas fatal   : Value 'sm_90a' is not defined for option 'gpu-name'"))
_seen("environment.julia", "a Julia package", ["ERROR: LoadError: ArgumentError: Package CUDA not found in current path.", "- Run `import Pkg; Pkg.add(\"CUDA\")` to install the CUDA package."])
_seen("environment.r", "an R package", ["Error in library(torch) : there is no package called ‘torch’", "Execution halted"])
_seen("environment.mkl", "MKL", pre, ["Error: mkl-service + Intel(R) MKL: MKL_THREADING_LAYER=INTEL is incompatible with libgomp.so.1 library.", "\tTry to import numpy first or set the threading layer accordingly."])
_seen("environment.tf-cudnn", "cuDNN does not fit", pre, ["E tensorflow/compiler/xla/stream_executor/cuda/cuda_dnn.cc:417] Loaded runtime CuDNN library: 8.1.1 but source was compiled with: 8.6.0.  CuDNN library needs to have matching major version and equal or higher minor version."], tb("tensorflow.python.framework.errors_impl.FailedPreconditionError: DNN library initialization failed.", "keras"))
_seen("environment.protobuf", "protobuf", pre, tb("TypeError: Descriptors cannot be created directly.\nIf this call came from a _pb2.py file, your generated code is out of date and must be regenerated with protoc >= 3.19.0."))
_seen("environment.torchvision", "two builds", pre, tb("RuntimeError: operator torchvision::nms does not exist"))
_seen("environment.hf-offline", "a compute node without a network", pre, tb("OSError: We couldn't connect to 'https://hub.example' to load this file, couldn't find it in the cached files and it looks like base-7b is not the path to a directory containing a file named config.json."), alt=("data", "communication", "config"))
_seen("environment.nccl-missing", "PyTorch without NCCL", pre, tb("RuntimeError: Distributed package doesn't have NCCL built in", "dist"))
# data
_seen("data.hf-column", "a column is missing", pre, tb("ValueError: Column to remove ['text'] not in the dataset. Current columns in the dataset: ['content', 'id']"), alt=("config", "code_bug"))
_seen("data.nnunet", "a case is missing", pre, tb("RuntimeError: Could not find a dataset with the ID 42. Make sure the requested dataset ID exists and that nnU-Net knows where raw and preprocessed data are located"))
_seen("data.nifti", "a damaged volume", pre, tb("nibabel.filebasedimages.ImageFileError: Empty file: 'case_0011.nii.gz'"))
_seen("data.cv2", "OpenCV got nothing", pre, tb("cv2.error: OpenCV(4.8.0) /io/opencv/modules/imgproc/src/color.cpp:182: error: (-215:Assertion failed) !_src.empty() in function 'cvtColor'", "loader"))
_seen("data.lammps", "an input of LAMMPS", ["ERROR: Cannot open file structure.dat: No such file or directory (src/reader.cpp:49)", "Last command: read_data structure.dat"])
_seen("data.hdf5-key", "a missing key in HDF5", pre, tb("KeyError: \"Unable to open object (object 'train' doesn't exist)\"", "loader"), alt=("code_bug",))
_seen("data.webdataset", "a shard ends early", pre, tb("tarfile.ReadError: unexpected end of data @ <_io.BufferedReader name='shard-0012.tar'>", "loader"))
# checkpoint
_seen("checkpoint.megatron-shape", "another shape", pre, tb("megatron.core.dist_checkpointing.core.CheckpointingException: Global shape mismatch for loaded (torch.Size([1024, 768])) and expected ((512, 768)) tensor for key model.embedding.position_embeddings.weight"))
_seen("checkpoint.fopen", "a C++ program cannot open the model", pre, ["terminate called after throwing an instance of 'c10::Error'", "  what():  open file failed because of errno 2 on fopen: , file path: model.pt"], exit_="134:0", alt=("data",))
_seen("checkpoint.ds-tag", "DeepSpeed finds no tag", pre, tb("ValueError: Unable to find 'latest' file at out/ckpt/latest, if trying to load latest checkpoint please ensure this file exists or pass an explicit checkpoint tag when loading a checkpoint."))
_seen("checkpoint.flax", "flax", pre, tb("ValueError: The target dict keys and state dict keys do not match, target dict contains keys {'head'} which are not present in state dict at path ./params", "jax"))
_seen("checkpoint.sb3", "a zip of a policy", pre, tb("zipfile.BadZipFile: File is not a zip file"), alt=("data",))
# config
_seen("config.fire", "Python Fire", ["ERROR: Could not consume arg: --lora_rnak", "Usage: train.py <flags>", "  optional flags:        --base_model | --lora_r"], exit_="2:0")
_seen("config.click", "click", ["Usage: train.py [OPTIONS]", "Try 'train.py --help' for help.", "", "Error: No such option: --lora-rnak Did you mean --lora-rank?"], exit_="2:0")
_seen("config.typer", "typer's box", ["Usage: train.py [OPTIONS]", "╭─ Error ──────────────────────────────────────────╮", "│ Invalid value for '--epochs': 'x' is not a valid integer.  │", "╰──────────────────────────────────────────────────╯"], exit_="2:0")
_seen("config.tokens", "a gated model", pre, tb("OSError: You are trying to access a gated repo.\nMake sure to have access to it at https://hub.example/base-7b.\n401 Client Error."), alt=("environment", "data"))
_seen("config.gres", "an impossible GPU type", ["sbatch: error: Batch job submission failed: Requested node configuration is not available"])
_seen("config.lammps", "an unknown style", ["ERROR: Unrecognized pair style 'mace' is part of the ML-MACE package which is not enabled in this LAMMPS binary. (src/force.cpp:275)"], alt=("environment",))
_seen("config.srun-gpus", "tasks and GPUs", ["srun: error: Unable to create step for job <job>: Invalid generic resource (gres) specification"])
# code
_seen("code_bug.kokkos-access", "an illegal address in Kokkos", pre, steps("mpi", 4), ["cudaDeviceSynchronize() error( cudaErrorIllegalAddress): an illegal memory access was encountered /src/Kokkos_Cuda_Instance.cpp:161"], exit_="134:0")
_seen("code_bug.julia", "Julia's method error", ["ERROR: LoadError: MethodError: no method matching forward(::Nothing)", "Stacktrace:", " [1] top-level scope"])
_seen("code_bug.r", "R", ["Error in x[[12]] : subscript out of bounds", "Calls: train -> step", "Execution halted"])
_seen("code_bug.fortran", "Fortran's bounds check", pre, ["At line 212 of file solver.f90", "Fortran runtime error: Index '12' of dimension 1 of array 'u' above upper bound of 11"], exit_="2:0")
_seen("code_bug.cuda-config", "an impossible kernel launch", pre, tb("RuntimeError: CUDA error: invalid configuration argument", "forward"))
_seen("code_bug.fsdp", "FSDP", pre, tb("RuntimeError: 'weight' must be 2-D", "forward"))
_seen("code_bug.jit", "TorchScript", pre, tb("torch.jit.frontend.NotSupportedError: Compiled functions can't take variable number of arguments"))
_seen("code_bug.nan-typo", "a division in the metric, not in training", pre, steps("plain", 4), tb("ZeroDivisionError: division by zero"))
# no learning, unknown
_seen("not_converged.ase", "an optimiser of geometries", pre, ["BFGS:  500  12:11:10   -441.12   0.912", "Geometry optimization did not converge within 500 steps (fmax 0.912 > 0.05)"], state="COMPLETED", exit_="0:0")
_seen("unknown.workers", "only the parent's complaint", pre, tb("RuntimeError: One or more background workers are no longer alive. Exiting. Please check the print statements above for the actual error message"), alt=("oom_host",))
_seen("unknown.torch-elastic-exit", "an unnamed exit", pre, steps("plain", 6), ["srun: error: cn7: task 2: Exited with exit code 9"], exit_="9:0")
# successes
_seen("success.pmix", "PMIX noise", ["[cn7:400139] PMIX ERROR: ERROR in file ../../../../../../src/mca/gds/ds12/gds_ds12_lock_pthread.c at line 169"] * 4, steps("mpi", 20), ["Total wall time: 0:01:11"], state="COMPLETED", exit_="0:0")
_seen("success.nemo", "NeMo's warnings", ["[NeMo W 2024-05-23 11:06:21 nemo_logging:349] megatron: NaN or Inf found in input tensor checks are disabled", "[NeMo E 2024-05-23 11:06:22 error_handler:10] Tokenizer could not be parallelised, using one process"], steps("lightning", 22), ["`Trainer.fit` stopped: `max_steps=1000` reached."], state="COMPLETED", exit_="0:0")
_seen("success.lammps-warn", "LAMMPS warns", ["WARNING: Bond/angle/dihedral extent > half of periodic box length (src/domain.cpp:936)", "WARNING: Communication cutoff 0 is shorter than a bond length based estimate. This may lead to errors."], steps("mpi", 20), ["Loop time of 9.1 on 4 procs", "Total wall time: 0:00:10"], state="COMPLETED", exit_="0:0")
_seen("success.oom-score", "the wrapper lists kernel settings", ["oom_score_adj: 0", "memory.failcnt 0", "oom_kill_disable 0", "under_oom 0"], pre, steps("plain", 20), ["training finished"], state="COMPLETED", exit_="0:0")
_seen("success.grad-clip-inf", "the scaler's first steps in apex", [f"step {k} loss {9 - k / 9:.3f} grad_norm {'inf' if k < 2 else 1.2} loss_scale {65536 >> k}" for k in range(24)], ["training finished"], state="COMPLETED", exit_="0:0")
_seen("success.dask-close", "Dask closes noisily", steps("plain", 20), ["training finished, saved model to out/final.pt", "distributed.comm.core.CommClosedError: in <TCP (closed) Scheduler>: Stream is closed", "distributed.worker - ERROR - Failed to communicate with scheduler during heartbeat."], state="COMPLETED", exit_="0:0")
_seen("success.multi-programs", "two programs in one job; both end well", steps("plain", 12), ["preprocessing finished"], steps("hf", 14), ["{'train_runtime': 11.2, 'train_loss': 1.2, 'epoch': 1.0}"], epilog, state="COMPLETED", exit_="0:0")
_seen("success.limit-words", "a cancelled older job is mentioned", ["found previous log: slurmstepd: error: *** JOB 17 CANCELLED DUE TO TIME LIMIT *** (resuming)"], pre, steps("plain", 22), ["training finished"], state="COMPLETED", exit_="0:0")
_seen("timeout.late-noise", "noise after the limit", pre, steps("mm", 20), limit(), lines("""
    Traceback (most recent call last):
      File "train.py", line 12, in <module>
    RuntimeError: DataLoader worker (pid 12) is killed by signal: Terminated.
"""), state="TIMEOUT", exit_="0:0")


# ── the second wave, written after the rules had learnt from the first ────────────────────────────────────────────

SECOND: list[Made] = []


def _later(
    id_: str, why: str, *parts: Part, state: str | None = "FAILED", exit_: str | None = "1:0", alt: tuple[str, ...] = ()
) -> None:
    SECOND.append(
        Made(
            f"{id_.split('.')[0]}.s-{id_.split('.')[1]}",
            id_.split(".")[0],
            why,
            parts,
            state=state,
            exit=exit_,
            alt=alt,
        )
    )


_later(
    "oom_gpu.tensorrt",
    "TensorRT",
    pre,
    ["[TRT] [E] 2: [virtualMemoryBuffer.cpp::resizePhysical::145] Error Code 2: OutOfMemory (no further information)"],
)
_later(
    "oom_gpu.cudf",
    "a GPU data frame",
    pre,
    tb(
        "MemoryError: std::bad_alloc: out_of_memory: CUDA error at: /opt/include/rmm/mr/device/cuda_memory_resource.hpp"
    ),
)
_later(
    "oom_gpu.deepspeed-moe",
    "rank prefix of pdsh",
    pre,
    [
        "worker-3: Traceback (most recent call last):",
        'worker-3:   File "train.py", line 9, in <module>',
        "worker-3: torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.00 GiB.",
    ],
)
_later("oom_gpu.nvshmem", "NVSHMEM", pre, ["nvshmem: cudaMalloc failed: out of memory, bailing"], exit_="134:0")
_later("oom_host.polars", "polars", pre, ["memory allocation of 17179869184 bytes failed"], exit_="134:0")
_later(
    "oom_host.spark",
    "a worker lost",
    pre,
    [
        "24/01/01 10:00:00 ERROR TaskSchedulerImpl: Lost executor 3: Container killed by YARN for exceeding physical memory limits. 33.1 GB of 33 GB physical memory used."
    ],
    alt=("container",),
)
_later("oom_host.vmem", "a limit on address space", pre, ["libgomp: Out of memory allocating 8192 bytes"])
_later(
    "oom_shm.fairscale",
    "two words",
    pre,
    tb("OSError: [Errno 28] No space left on device: '/dev/shm/nccl-Zz1'", "dist"),
)
_later(
    "divergence.keras-terminate",
    "TerminateOnNaN",
    pre,
    steps("keras", 3),
    ["Batch 112: Invalid loss, terminating training"],
    state="COMPLETED",
    exit_="0:0",
)
_later(
    "divergence.own-error",
    "an exception of the program",
    pre,
    steps("plain", 5),
    tb("trainer.errors.NonFiniteLossError: step 812"),
)
_later(
    "divergence.topic",
    "a sentence",
    pre,
    steps("plain", 4),
    tb("RuntimeError: encountered 12 infinite entries after the optimiser's update"),
)
_later(
    "timeout.flux",
    "a program knows its limit",
    pre,
    steps("plain", 25),
    ["wall time limit reached, stopping without a checkpoint"],
    limit(),
    state="TIMEOUT",
    exit_="0:0",
)
_later(
    "preempted.qos",
    "a quality of service was preempted",
    pre,
    steps("jax", 16),
    limit(why="DUE TO PREEMPTION"),
    ["srun: error: cn2: task 0: Killed"],
    state="PREEMPTED",
    exit_="0:9",
)
_later(
    "node_failure.ecc-host",
    "the host's memory",
    pre,
    steps("plain", 7),
    [
        "[Hardware Error]: Uncorrected error, software containable",
        "EDAC skx MC3: 1 UE memory read error on CPU_SrcID#1_MC#1_Chan#0_DIMM#0",
    ],
    exit_="135:0",
)
_later(
    "gpu_hardware.nvlink-fabric",
    "the fabric is not ready",
    pre,
    tb("RuntimeError: CUDA error: system not yet initialized"),
    ["nvidia-fabricmanager: fatal error: NVSwitch 3 has uncorrectable errors"],
    alt=("environment",),
)
_later(
    "gpu_hardware.pcie",
    "the bus",
    pre,
    steps("plain", 4),
    [
        "pcieport 0000:3a:00.0: AER: Uncorrected (Fatal) error received: 0000:3b:00.0",
        "NVRM: Xid (PCI:0000:3b:00): 79, GPU has fallen off the bus.",
    ],
)
_later(
    "communication.ucc",
    "UCC",
    pre,
    ranks("plain", 2, 4),
    ["[cn1:1:0] ucc_context.c:401 UCC ERROR failed to create tl context for ucp: Timer expired"],
    exit_="134:0",
)
_later(
    "communication.sock",
    "a name with 'Connect'",
    pre,
    tb("cluster.net.PeerConnectionError: rank 4 did not answer for 60 s"),
)
_later(
    "communication.grpc",
    "gRPC",
    pre,
    tb(
        'grpc._channel._InactiveRpcError: <_InactiveRpcError of RPC that terminated with:\n\tstatus = StatusCode.UNAVAILABLE\n\tdetails = "failed to connect to all addresses"\n>'
    ),
)
_later(
    "storage.own",
    "an exception named after a file system",
    pre,
    steps("plain", 4),
    tb("pipeline.io.QuotaExceededException: project p01"),
)
_later(
    "storage.topic",
    "a sentence",
    pre,
    steps("plain", 4),
    tb("RuntimeError: the inode table of the project is exhausted"),
)
_later("storage.cifs", "a broken mount", pre, tb("OSError: [Errno 112] Host is down: '/mnt/data/a.bin'", "loader"))
_later(
    "storage.saving",
    "an odd error while saving",
    pre,
    steps("plain", 5),
    tb("RuntimeError: basic_ios::clear: iostream error", "save"),
)
_later("container.topic", "a wrapper's sentence", pre, ["ERROR: cannot start the container, giving up"])
_later(
    "container.cgroup",
    "runc",
    ["Error: OCI runtime error: crun: controller `memory` is not available under cgroup"],
    exit_="126:0",
)
_later(
    "environment.own",
    "an exception named after versions",
    pre,
    tb("mlkit.compat.VersionConflict: mlkit 2 needs torch>=2.4"),
    alt=("code_bug",),
)
_later(
    "environment.own-2",
    "an exception named after dependencies",
    pre,
    tb("mlkit.compat.DependencyVersionError: found 1.2"),
)
_later("environment.topic", "a sentence", pre, ["ERROR: the linker could not find the CUDA toolkit"])
_later(
    "environment.torch-so",
    "a C++ extension",
    pre,
    tb("ImportError: dlopen: cannot load any more object with static TLS"),
)
_later(
    "environment.hf-flash",
    "an optional package is asked for",
    pre,
    tb(
        "ImportError: FlashAttention2 has been toggled on, but it cannot be used due to the following error: the package flash_attn seems to be not installed."
    ),
)
_later("data.own", "an exception named after shards", pre, tb("streaming.base.ShardCorruptError: shard 12"))
_later("data.own-2", "an exception named after parsing", pre, tb("corpus.reader.ParsingException: line 12"))
_later("data.topic", "a sentence", pre, tb("RuntimeError: 12 annotations have no image"))
_later(
    "data.audio",
    "an audio file",
    pre,
    tb("soundfile.LibsndfileError: Error opening 'a.flac': Format not recognised.", "loader"),
)
_later("checkpoint.own", "an exception named after checkpoints", pre, tb("trainer.ckpt.CheckpointVersionError: 3"))
_later(
    "checkpoint.topic",
    "a sentence",
    pre,
    tb("RuntimeError: cannot go on, resume step 400 is behind the sampler"),
    alt=("code_bug",),
)
_later("checkpoint.keys", "an odd error while loading", pre, tb("KeyError: 'optimizer'", "load"), alt=("code_bug",))
_later("config.own", "an exception named after settings", pre, tb("runner.SettingsError: lr"))
_later("config.topic", "a sentence", pre, tb("ValueError: specify either --steps or --epochs"))
_later(
    "config.enum",
    "an unknown name",
    pre,
    tb("KeyError: \"Unknown optimizer 'adamv', known are adam, adamw\""),
    alt=("code_bug",),
)
_later(
    "config.slurm-time",
    "a limit of the partition",
    ["sbatch: error: Batch job submission failed: Requested time limit is invalid (missing or exceeds some limit)"],
)
_later(
    "config.slurm-qos",
    "a limit of the account",
    [
        "sbatch: error: QOSMaxSubmitJobPerUserLimit",
        "sbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)",
    ],
)
_later(
    "code_bug.rust",
    "Rust",
    pre,
    ["thread 'main' panicked at src/train.rs:88:17:", "index out of bounds: the len is 12 but the index is 12"],
    exit_="101:0",
)
_later(
    "code_bug.go",
    "Go",
    pre,
    ["panic: runtime error: index out of range [12] with length 12", "", "goroutine 1 [running]:"],
    exit_="2:0",
)
_later(
    "code_bug.dataclass",
    "a wrong call",
    pre,
    tb("TypeError: TrainConfig.__init__() got an unexpected keyword argument 'learning_rte'"),
    alt=("config",),
)
_later(
    "code_bug.einsum",
    "einops",
    pre,
    tb('einops.EinopsError:  Error while processing rearrange-reduction pattern "b (h w) c -> b c h w".', "forward"),
)
_later(
    "code_bug.tf-retrace",
    "a list of tensors",
    pre,
    tb("ValueError: Shapes (None, 10) and (None, 12) are incompatible", "keras"),
)
_later(
    "not_converged.own",
    "an exception named after convergence",
    pre,
    steps("mpi", 9),
    tb(
        "scipy.sparse.linalg._eigen.arpack.arpack.ArpackNoConvergence: ARPACK error -1: No convergence (3001 iterations, 0/6 eigenvectors converged)"
    ),
)
_later("not_converged.own-2", "the same with Error", pre, steps("mpi", 9), tb("solver.ConvergenceError: residual 1e-2"))
_later("unknown.quiet", "a code nobody explains", pre, steps("hf", 9), exit_="99:0")
_later("oom_host.topic", "a sentence", pre, tb("RuntimeError: not enough memory to build the index"))
_later("storage.odd-save", "an odd error while saving", pre, steps("plain", 5), tb("RuntimeError: stream closed", "save"))
for k, noise in enumerate(
    (
        [
            'Failed to import from vllm._C with ImportError("libcuda.so.1: cannot open shared object file") (ignored on this platform)'
        ],
        [
            "E0000 00:00:1712345678.123 1234 cuda_blas.cc:1418] Unable to register cuBLAS factory: Attempting to register factory for plugin cuBLAS when one has already been registered"
        ],
        ["WARNING:root:Cannot find checkpoint in out/, starting from scratch"],
        ["[WARNING] rank 3 is a straggler: step time 12.1 s, others 9.9 s (timeout 1800 s)"],
        ["retry 1/5: OSError: [Errno 116] Stale file handle: '/lustre/data/a.bin'", "retry 2/5 succeeded"],
        ["GC: freed 12 objects; uncollectable 0; errors 0"],
        ["validation: 17 of 20000 samples failed the quality filter and are ignored"],
        ["Warning: port 29500 in use, trying 29501"],
        ["INFO preemption signal handlers installed", "INFO will exit with 85 when told to stop"],
        ["nvidia-persistenced failed to initialize. Check syslog for more details. (harmless)"],
        ["mlflow: Registered model 'x' already exists. Creating a new version of this model..."],
        [
            "Token indices sequence length is longer than the specified maximum sequence length for this model (1211 > 512). Running this sequence through the model will result in indexing errors"
        ],
        [
            "Some weights of the model checkpoint were not used when initializing: ['lm_head.weight']",
            "You should probably TRAIN this model on a down-stream task.",
        ],
        [
            "Setting `pad_token_id` to `eos_token_id`:2 for open-end generation.",
            "A decoder-only architecture is being used, but right-padding was detected!",
        ],
        [
            "[rank1]:[W reducer.cpp:1457] Warning: Grad strides do not match bucket view strides. This may indicate grad was not created according to the gradient layout contract"
        ],
        ["slurm_load_jobs error: Invalid job id specified (side query)", "scontrol: error: optional node query failed"],
        ["ALSA lib confmisc.c:855:(parse_card) cannot find card '0'", 'Xlib: extension "GLX" missing on display ":0".'],
        ["CUDA out of memory in the probe with batch 128, trying 64", "probe: batch 64 fits"],
        [
            "Traceback (most recent call last):",
            '  File "/opt/app/plugins.py", line 12, in load',
            "    import extra",
            "ModuleNotFoundError: No module named 'extra'",
            "plugin extra is not there, going on without it",
        ],
        ["worker 3 exited unexpectedly (exit code -11), restarted (1 of 10)"],
        ["JSON decode error in cache, rebuilding cache"],
        ["Loss spike detected at step 3121 (3.1 -> 9.8), batch skipped"],
        ["telemetry: HTTP 403 Forbidden (ignored)"],
        ["AMP: inf or nan found in gradients of step 3, scale 65536 -> 32768"],
        ["slurmstepd: error: task_p_pre_launch: Using sched_affinity for tasks (not an error)"],
        ["W0000 gpu_device.cc:2344] Cannot dlopen some GPU libraries. Skipping registering GPU devices..."],
        ["sacct: error: slurm_persist_conn_open_without_init: failed to open persistent connection (accounting only)"],
        ["requests.exceptions.ConnectionError (attempt 1), retrying in 5 s", "attempt 2 succeeded"],
        ["early evaluation: accuracy at chance (0.10), continuing", "no improvement for 2 epochs, lowering the learning rate"],
    )
):
    _later(
        f"success.noise-{k:02d}",
        "a remark, then the work goes on to its end",
        pre,
        noise,
        steps(("plain", "hf", "timm", "jax")[k % 4], 20),
        ["training finished, saved model to <site>/out/final.pt"],
        epilog,
        state="COMPLETED",
        exit_="0:0",
    )


# ── the third wave: mixtures and borderlines, written after the second ────────────────────────────────────────────

THIRD: list[Made] = []


def _mixed(id_: str, why: str, *parts: Part, state: str | None = "FAILED", exit_: str | None = "1:0", alt: tuple[str, ...] = (), metrics: object = None) -> None:
    THIRD.append(Made(f"{id_.split('.')[0]}.m-{id_.split('.')[1]}", id_.split(".")[0], why, parts, state=state, exit=exit_, alt=alt, metrics=metrics))


_mixed("oom_gpu.error-file", "torchelastic's error file", pre, steps("plain", 6), ['{"message": {"message": "OutOfMemoryError: CUDA out of memory. Tried to allocate 1.2 GiB.", "extraInfo": {"py_callstack": "Traceback ...", "timestamp": "1700000000"}}}'])
_mixed("oom_gpu.json-log", "structured logging", pre, [f'{{"level":"info","step":{k},"loss":{2 - k / 30:.3f}}}' for k in range(20)], ['{"level":"error","msg":"torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 512.00 MiB."}'])
_mixed("oom_gpu.eval-after-save", "training was saved, the evaluation does not fit", pre, steps("hf", 12), ["Saving model checkpoint to out/checkpoint-500", "***** Running Evaluation *****"], tb("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 7.81 GiB.", "hf"))
_mixed("oom_host.kernel-epilog", "a bare kill, and the kernel's word in the epilog", pre, steps("timm", 14), ["srun: error: <host>: task 0: Killed", "[epilog] kernel: Out of memory: Killed process <pid> (python3) total-vm:99112233kB"], exit_="0:9")
_mixed("oom_shm.df-both", "df shows which one is full", pre, tb("OSError: [Errno 28] No space left on device", "loader"), ["Filesystem      Size  Used Avail Use% Mounted on", "/dev/nvme0n1    3.5T  700G  2.8T  20% /scratch", "tmpfs            16G   16G     0 100% /dev/shm"])
_mixed("environment.inotify", "errno 28 of another kind", pre, tb("OSError: [Errno 28] inotify watch limit reached"), alt=("config",))
_mixed("environment.stamped", "every line carries a time stamp", pre, ["2024-05-01T10:00:00.123Z Traceback (most recent call last):", '2024-05-01T10:00:00.123Z   File "train.py", line 3, in <module>', "2024-05-01T10:00:00.124Z     import deepspeed", "2024-05-01T10:00:00.124Z ModuleNotFoundError: No module named 'deepspeed'"])
_mixed("code_bug.stamped", "the same with a fault", pre, steps("plain", 5), ["[2024-05-01 10:00:00] Traceback (most recent call last):", '[2024-05-01 10:00:00]   File "train.py", line 3, in <module>', "[2024-05-01 10:00:00]     main()", "[2024-05-01 10:00:00] KeyError: 'labels_2'"])
_mixed("code_bug.loguru", "an error logged by a logger", pre, steps("plain", 5), ["2024-05-01 10:00:00.123 | ERROR    | __main__:<module>:42 - An error has been caught in function '<module>', process 'MainProcess' (123):", "Traceback (most recent call last):", '> File "train.py", line 42, in <module>', "    main()", "AttributeError: 'Namespace' object has no attribute 'warmup'"])
_mixed("code_bug.worker-segv", "a loader worker crashes", pre, steps("mm", 5), ["ERROR: Unexpected segmentation fault encountered in worker."], tb("RuntimeError: DataLoader worker (pid 1212) is killed by signal: Segmentation fault. ", "loader"))
_mixed("code_bug.group", "an exception group", pre, ["  + Exception Group Traceback (most recent call last):", '  |   File "train.py", line 8, in <module>', "  | ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)", "  +-+---------------- 1 ----------------", "    | Traceback (most recent call last):", '    |   File "train.py", line 3, in f', "    | TypeError: can only concatenate str (not \"int\") to str"])
_mixed("gpu_hardware.node-drained", "a broken device took the node with it", pre, ranks("titan", 4, 4), ["NVRM: Xid (PCI:0000:b1:00): 79, pid=1, GPU has fallen off the bus.", "slurmstepd: error: *** JOB <job> ON <host> CANCELLED AT <iso> DUE TO NODE FAILURE, SEE SLURMCTLD LOG FOR DETAILS ***"], state="NODE_FAIL", exit_="0:0", alt=("node_failure",))
_mixed("communication.hang-then-limit", "watchdogs fired, the launcher never ended, the limit came", pre, ranks("titan", 4, 5), watchdog([0, 1, 2, 3]), limit(), state="TIMEOUT", exit_="0:0", alt=("timeout",))
_mixed("timeout.caught-traceback", "a caught error with its traceback long before the limit", pre, tb("ValueError: bad optional plugin", "own"), ["plugin ignored"], steps("plain", 90), limit(), state="TIMEOUT", exit_="0:0")
_mixed("timeout.usr1-then-limit", "the announcement was not answered", pre, steps("hf", 30), ["slurmstepd: error: *** JOB <job> ON <host> CANCELLED AT <iso> DUE TO TIME LIMIT ***", "User defined signal 1"], state="TIMEOUT", exit_="0:10")
_mixed("timeout.after-oom-skip", "skipped batches all the way", pre, [row for k in range(12) for row in (f"step {k * 100} | loss {2 - k / 20:.3f}", "WARNING: CUDA out of memory, skipping batch")], limit(), state="TIMEOUT", exit_="0:0")
_mixed("preempted.keyboard", "preempted; Python says KeyboardInterrupt", pre, steps("lightning", 14), limit("STEP", "DUE TO PREEMPTION"), tb("KeyboardInterrupt", "lightning"), state="PREEMPTED", exit_="0:15")
_mixed("preempted.second-time", "preempted again in the same file", pre, steps("plain", 6), ["slurmstepd: error: *** JOB <job> ON cn03 CANCELLED AT <iso> DUE TO PREEMPTION ***", "SLURM_RESTART_COUNT=1"], steps("plain", 9), ["slurmstepd: error: *** JOB <job> ON cn05 CANCELLED AT <iso> DUE TO PREEMPTION ***"], state="PREEMPTED", exit_="0:0")
_mixed("cancelled.after-nan", "a person saw no progress and cancelled", pre, steps("plain", 30), ["slurmstepd: error: *** JOB <job> ON <host> CANCELLED AT <iso> ***"], state="CANCELLED by 1044", exit_="0:15")
_mixed("divergence.then-saved", "nan to the end, and a model was saved", pre, steps("timm", 10), [f"Train: 3 [{k * 100}/1251]  Loss: nan (nan)  LR: 1e-3" for k in range(12)], ["saved model to out/final.pth", "*** Best metric: 0.1 (epoch 0)"], state="COMPLETED", exit_="0:0")
_mixed("divergence.grad-nan-metrics", "norms are not finite to the end", pre, ["done"], state="COMPLETED", exit_="0:0", metrics={"loss": [2.0, 1.9, 1.9, 1.8], "grad_norm": [1.0, 2.0, "nan", "nan", "nan"]})
_mixed("container.full-session", "the runtime has no room of its own", ["FATAL:   container creation failed: write /run/apptainer/session: no space left on device"], exit_="255:0")
_mixed("storage.pymp-tmp", "a full /tmp", pre, tb("OSError: [Errno 28] No space left on device: '/tmp/pymp-a1b2'", "loader"))
_mixed("data.after-retries", "reads were retried, then given up", pre, steps("plain", 5), ["WARNING retrying shard 12 (1/3)", "WARNING retrying shard 12 (2/3)"], tb("tarfile.ReadError: unexpected end of data", "loader"))
_mixed("checkpoint.fallback-fails", "both checkpoints are damaged", pre, ["WARNING: cannot load step-00000400, falling back to step-00000300"], tb("RuntimeError: PytorchStreamReader failed reading zip archive: failed finding central directory", "load"))
_mixed("checkpoint.no-weights", "no weights in the folder", pre, tb("OSError: Error no file named model.safetensors, or pytorch_model.bin, found in directory out/checkpoint-9."))
_mixed("config.usage-only", "a shell tool's usage", ["Usage: launch.sh -n NODES -c CONFIG", "launch.sh: illegal option -- q"], exit_="2:0")
_mixed("config.8bit", "settings that exclude each other", pre, tb("ValueError: fp16 and bf16 are mutually exclusive, please specify only one"))
_mixed("not_converged.early-chance", "early stopping at chance", pre, [f"Epoch {k}: val_loss 2.3026 val_acc 0.1000" for k in range(1, 25)], ["EarlyStopping: no improvement, stopping", "training finished"], state="COMPLETED", exit_="0:0")
_mixed("unknown.sigabrt", "aborted without a word", pre, steps("hf", 12), exit_="134:0", alt=("code_bug",))
_mixed("success.retry-then-done", "the job script tried three times", pre, tb("RuntimeError: CUDA error: out of memory"), ["=== attempt 2 ==="], tb("RuntimeError: CUDA error: out of memory"), ["=== attempt 3 ==="], steps("plain", 20), ["training finished"], state="COMPLETED", exit_="0:0")
_mixed("success.spike-log", "the loss leaps and comes back, warned of", pre, steps("plain", 15), ["WARNING loss spike: 3.1 -> 48.0, skipping batch"], steps("plain", 20), ["training finished"], state="COMPLETED", exit_="0:0")
_mixed("success.workers-end", "workers are told to stop at the end", pre, steps("sb3", 8), ["training finished", "(RolloutWorker pid=12) SystemExit: 0", "Shutting down 8 workers", "Killed 8 worker processes"], state="COMPLETED", exit_="0:0")
_mixed("success.eval-errors", "a table of errors at the end", pre, steps("plain", 18), ["Errors checked for 4818 configurations", "Maximal absolute error = 0.0311", "RMS error = 0.0042", "training finished"], state="COMPLETED", exit_="0:0")
_mixed("success.quota-info", "the site prints its quotas", ["quota: /scratch 61% used, 0 of 1000000 inodes exceeded", "quota: /home 99% used, please clean up"], pre, steps("plain", 20), ["training finished"], state="COMPLETED", exit_="0:0")
_mixed("success.cuda-visible", "a probe of devices", ["nvidia-smi: 4 GPUs, 0 with pending retired pages, ECC errors: 0 volatile, 0 aggregate"], pre, steps("hf", 20), ["{'train_runtime': 91.2, 'train_loss': 1.2, 'epoch': 1.0}"], state="COMPLETED", exit_="0:0")
_mixed("success.elastic-scale", "an elastic job loses a worker and goes on", ranks("plain", 2, 4), ["[W] torch.distributed.elastic.rendezvous: node cn3 left, re-forming the group", "[default] Rendezvous complete for workers."], ranks("plain", 2, 9), ["[rank0]: training finished, saved model to out/final.pt"], state="COMPLETED", exit_="0:0")

# Written later: for a new row, and so that a fifth of the corpus stays successes.
_mixed("environment.subprocess-ffmpeg", "a program that is started by name is not there", pre, ["Traceback (most recent call last):", '  File "<site>/data.py", line 61, in read', "    subprocess.run(['ffmpeg', '-i', path])", '  File "/usr/lib/python3.11/subprocess.py", line 548, in run', "    with Popen(*popenargs, **kwargs) as process:", '  File "/usr/lib/python3.11/subprocess.py", line 1955, in _execute_child', "    raise child_exception_type(errno_num, err_msg, err_filename)", "FileNotFoundError: [Errno 2] No such file or directory: 'ffmpeg'"])
_mixed("success.error-column", "a column named error", ["step  loss  rel_error  failures"], [f"{k:4d}  {2 - k / 40:.4f}  {0.3 / (k + 1):.5f}  0" for k in range(40)], ["training finished"], state="COMPLETED", exit_="0:0")
_mixed("success.aborted-trials", "a search aborts bad trials on purpose", pre, steps("plain", 12), ["hyperband: aborted 12 trials below the median, 4 left"], steps("plain", 12), ["training finished"], state="COMPLETED", exit_="0:0")
_mixed("success.refused-then-open", "a connection is refused until the server listens", pre, ["connecting to store at <host>:29500 ... Connection refused, retrying in 1 s", "connected"], steps("plain", 22), ["training finished"], state="COMPLETED", exit_="0:0")
_mixed("success.cannot-pin", "memory cannot be pinned, which is slower", pre, ["WARNING: cannot pin host memory (ulimit -l is 64 KiB), copies will be slower"], steps("plain", 22), ["training finished"], state="COMPLETED", exit_="0:0")
_mixed("success.exceeds-length", "long samples are cut", pre, ["812 samples exceed the maximum length of 2048 tokens and were truncated"], steps("hf", 22), ["{'train_runtime': 91.2, 'train_loss': 1.2, 'epoch': 1.0}"], state="COMPLETED", exit_="0:0")
_mixed("success.error-line-then-work", "an error that is said and passed over", pre, ["ERROR: tensorboard could not start, continuing without it"], steps("plain", 22), ["training finished"], state="COMPLETED", exit_="0:0")
_mixed("success.killed-neighbour", "the site tells of somebody else's process", ["notice: 3 processes of other users were killed on <host> last week for exceeding memory"], pre, steps("plain", 22), ["training finished"], state="COMPLETED", exit_="0:0")
_mixed("success.unable-cache", "a cache cannot be used", pre, ["unable to open the kernel cache /home/u/.cache/k.db: database is locked; compiling anew"], steps("titan", 22), ["training finished"], state="COMPLETED", exit_="0:0")
