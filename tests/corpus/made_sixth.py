"""A sixth wave: one message each, of as many programs as came to mind, in a traceback or alone; written before scoring.

What it scored at first sight stands in decision 0011. Part of it stays held out: see `tests.corpus.score.is_held_out`.
"""

# ruff: noqa: E501 — messages stand here as their software prints them, in one piece
# fmt: off

from tests.corpus.blocks import Part, pre, steps, tb
from tests.corpus.made_failures import Made

PYTHON: dict[str, list[tuple[str, str]]] = {
    "oom_gpu": [
        ("bnb", "RuntimeError: CUDA driver error: out of memory"),
        ("cupy", "cupy.cuda.memory.OutOfMemoryError: Out of memory allocating 4,294,967,296 bytes (allocated so far: 12,884,901,888 bytes)."),
        ("numba", "numba.cuda.cudadrv.driver.CudaAPIError: [2] Call to cuMemAlloc results in CUDA_ERROR_OUT_OF_MEMORY"),
        ("npu", "RuntimeError: NPU out of memory. Tried to allocate 2.00 GiB (NPU 0; 60.97 GiB total capacity; 58.02 GiB already allocated)"),
        ("hpu", "RuntimeError: [Rank:0] FATAL ERROR :: MODULE:PT_DEVMEM Allocation failed for size::2147483648 (2048)MB"),
        ("cudf", "MemoryError: std::bad_alloc: out_of_memory: CUDA error at: /include/rmm/mr/device/cuda_memory_resource.hpp:70: cudaErrorMemoryAllocation out of memory"),
        ("xgboost", "xgboost.core.XGBoostError: [10:02:11] /workspace/src/tree/updater_gpu_hist.cu:781: Exception in gpu_hist: NCCL failure? Memory allocation error on worker 0: cudaErrorMemoryAllocation: out of memory"),
    ],
    "oom_host": [
        ("polars", "pyo3_runtime.PanicException: memory allocation of 8589934592 bytes failed"),
        ("arrow", "pyarrow.lib.ArrowMemoryError: malloc of size 17179869184 failed"),
        ("memerr", "MemoryError"),
        ("mmap", "OSError: [Errno 12] Cannot allocate memory: mmap of 68719476736 bytes"),
        ("joblib", "joblib.externals.loky.process_executor.TerminatedWorkerError: A worker process managed by the executor was unexpectedly terminated. This could be caused by a segmentation fault while calling the function or by an excessive memory usage causing the Operating System to kill the worker."),
    ],
    "divergence": [
        ("kl", "RuntimeError: NaN or Inf in KL penalty, aborting PPO update"),
        ("flow", "ValueError: Normalizing flow produced non-finite log_prob at step 812"),
        ("detr", "AssertionError: Loss is nan, stopping training"),
        ("jraph", "FloatingPointError: non-finite gradients in update step"),
        ("sampler", "ValueError: Energy is not finite after step 91: the simulation has blown up"),
        ("amp", "RuntimeError: Loss is inf or nan for 20 consecutive steps, giving up"),
        ("box", "AssertionError: [831] invalid boxes: predictions contain NaN, the model has diverged"),
    ],
    "communication": [
        ("grpc", "grpc._channel._InactiveRpcError: <_InactiveRpcError of RPC that terminated with: status = StatusCode.UNAVAILABLE details = \"failed to connect to all addresses\">"),
        ("redis", "redis.exceptions.ConnectionError: Error 111 connecting to head:6379. Connection refused."),
        ("gaierror", "socket.gaierror: [Errno -3] Temporary failure in name resolution"),
        ("timeoutinit", "RuntimeError: Timed out initializing process group in store based barrier on rank: 1, for key: store_based_barrier_key:1 (world_size=8, worker_count=7, timeout=0:30:00)"),
        ("dask", "distributed.comm.core.CommClosedError: in <TCP (closed) Client->Scheduler local=tcp://10.0.0.1:41 remote=tcp://10.0.0.2:8786>: Stream is closed"),
        ("ssl", "requests.exceptions.SSLError: HTTPSConnectionPool(host='site.example', port=443): Max retries exceeded with url: /x (Caused by SSLError(SSLEOFError(8, 'EOF occurred in violation of protocol')))"),
        ("proxy", "urllib3.exceptions.ProxyError: ('Unable to connect to proxy', OSError('Tunnel connection failed: 503 Service Unavailable'))"),
        ("nccl-version", "torch.distributed.DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:1691, internal error, NCCL version 2.18.1"),
        ("mpi4py", "mpi4py.MPI.Exception: MPI_ERR_PROC_FAILED: Process Failure"),
    ],
    "storage": [
        ("fsspec", "OSError: [Errno 28] No space left on device: '/scratch/cache/huggingface/datasets/tmp81'"),
        ("zarr-lock", "OSError: [Errno 116] Stale file handle"),
        ("quota-py", "OSError: [Errno 122] Disk quota exceeded"),
        ("mkdir", "PermissionError: [Errno 13] Permission denied: '/projects/p81/out'"),
        ("rofs", "OSError: [Errno 30] Read-only file system: '/data/cache/index.npy'"),
        ("filelock", "filelock._error.Timeout: The file lock '/home/u/.cache/x.lock' could not be acquired."),
        ("nolock", "OSError: [Errno 37] No locks available"),
        ("toolong", "OSError: [Errno 36] File name too long: 'out/lr=1e-4,wd=0.1/ckpt'"),
        ("badwrite", "OSError: 1048576 requested and 524288 written"),
    ],
    "environment": [
        ("nomodule", "ModuleNotFoundError: No module named 'apex'"),
        ("dll", "ImportError: libcudnn.so.9: cannot open shared object file: No such file or directory"),
        ("glibcxx", "ImportError: /usr/lib64/libstdc++.so.6: version `GLIBCXX_3.4.30' not found"),
        ("arch", "RuntimeError: CUDA error: no kernel image is available for execution on the device"),
        ("pkg", "importlib.metadata.PackageNotFoundError: No package metadata was found for bitsandbytes"),
        ("bnb", "RuntimeError: CUDA Setup failed despite GPU being available. Please run the following command to get more information: python -m bitsandbytes"),
        ("jaxver", "RuntimeError: jaxlib is version 0.4.7, but this version of jax requires version >= 0.4.14."),
        ("npdtype", "ValueError: numpy.dtype size changed, may indicate binary incompatibility. Expected 96 from C header, got 88 from PyObject"),
        ("npattr", "AttributeError: module 'numpy' has no attribute 'bool'."),
        ("setuptools", "ModuleNotFoundError: No module named 'pkg_resources'"),
        ("tfcuda", "tensorflow.python.framework.errors_impl.InternalError: cudaGetDevice() failed. Status: CUDA driver version is insufficient for CUDA runtime version"),
        ("triton-cc", "subprocess.CalledProcessError: Command '['/usr/bin/gcc', '/tmp/tmpq/main.c', '-O3', '-shared', '-fPIC', '-lcuda', '-o', '/tmp/tmpq/launcher.so']' returned non-zero exit status 1."),
        ("ninja", "RuntimeError: Ninja is required to load C++ extensions"),
        ("python", "SyntaxError: future feature annotations is not defined"),
        ("toomany", "OSError: [Errno 24] Too many open files: '/data/shard-812.bin'"),
        ("ffmpeg", "FileNotFoundError: [Errno 2] No such file or directory: 'ffmpeg'"),
        ("java", "RuntimeError: Java gateway process exited before sending its port number; JAVA_HOME is not set"),
        ("spacy", "OSError: [E050] Can't find model 'en_core_web_sm'. It doesn't seem to be a Python package or a valid path to a data directory."),
    ],
    "data": [
        ("label", "IndexError: Target 12 is out of bounds."),
        ("index", "IndexError: index out of range in self"),
        ("tfds", "tensorflow_datasets.core.registered.DatasetNotFoundError: Dataset cifar11 not found."),
        ("gz", "EOFError: Compressed file ended before the end-of-stream marker was reached"),
        ("gzip-bad", "gzip.BadGzipFile: Not a gzipped file (b'<h')"),
        ("zlib", "zlib.error: Error -3 while decompressing data: incorrect data check"),
        ("nifti", "nibabel.filebasedimages.ImageFileError: Cannot work out file type of \"case_0081.nii.gz\""),
        ("dicom", "pydicom.errors.InvalidDicomError: File is missing DICOM File Meta Information header or the 'DICM' prefix is missing from the header."),
        ("utf8", "UnicodeDecodeError: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
        ("schema", "datasets.exceptions.DatasetGenerationCastError: An error occurred while generating the dataset. All the data files must have the same columns, but at some point there are 2 new columns"),
        ("checksum", "tensorflow_datasets.core.download.checksums_lib.NonMatchingChecksumError: Artifact x, downloaded to y, has wrong checksum"),
        ("folder", "FileNotFoundError: Found no valid file for the classes empty_class. Supported extensions are: .jpg, .jpeg, .png"),
        ("npy", "ValueError: cannot reshape array of size 81221 into shape (1000,128)"),
        ("npz", "ValueError: Cannot load file containing pickled data when allow_pickle=False"),
        ("lmdb", "lmdb.CorruptedError: mdb_txn_begin: MDB_CORRUPTED: Located page was wrong type"),
        ("grib", "cfgrib.dataset.DatasetBuildError: multiple values for unique key"),
        ("annotations", "FileNotFoundError: [Errno 2] No such file or directory: '/data/coco/annotations/instances_train2017.json'"),
    ],
    "checkpoint": [
        ("missing", "FileNotFoundError: [Errno 2] No such file or directory: 'out/checkpoint-1200/pytorch_model.bin'"),
        ("unfit", "RuntimeError: Error(s) in loading state_dict for ViT:\n\tsize mismatch for head.weight: copying a param with shape torch.Size([1000, 768]) from checkpoint, the shape in current model is torch.Size([10, 768])."),
        ("zip", "RuntimeError: PytorchStreamReader failed reading file data/81: file read failed"),
        ("tf-ckpt", "tensorflow.python.framework.errors_impl.DataLossError: Unable to open table file ckpt/model-812.data-00000-of-00001: Data loss: not an sstable (bad magic number): perhaps your file is in a different file format and you need to use a different restore operator?"),
        ("keras-h5", "ValueError: Layer count mismatch when loading weights from file. Model expected 12 layers, found 14 saved layers."),
        ("nemo", "FileNotFoundError: [Errno 2] No such file or directory: 'ckpts/step=800-last.ckpt'"),
        ("flax", "flax.errors.InvalidCheckpointError: Cannot restore from checkpoint ckpt/800"),
        ("fsdp", "RuntimeError: Failed to validate global plan, checkpoint state_dict has other shapes"),
        ("lightning-ver", "KeyError: 'pytorch-lightning_version'"),
    ],
    "config": [
        ("choice", "ValueError: Unknown optimizer: adamm. Choose from adam, adamw, sgd"),
        ("range", "ValueError: dropout probability has to be between 0 and 1, but got 1.3"),
        ("heads", "ValueError: hidden_size (768) must be divisible by num_attention_heads (11)"),
        ("yaml", "yaml.parser.ParserError: while parsing a block mapping in \"conf.yaml\", line 3, column 1"),
        ("omega", "omegaconf.errors.ConfigAttributeError: Key 'lr' is not in struct"),
        ("ds", "deepspeed.runtime.config_utils.DeepSpeedConfigError: Expected a string path to an existing deepspeed config, or a dictionary"),
        ("neg", "ValueError: Invalid learning rate: -0.001"),
        ("required", "KeyError: 'Environment variable DATA_ROOT is not set'"),
        ("attr", "pydantic.error_wrappers.ValidationError: 1 validation error for Args batch_size value is not a valid integer"),
        ("hf-arg", "ValueError: --load_best_model_at_end requires the save and eval strategy to match, but found Evaluation strategy: epoch Save strategy: steps"),
        ("wandb", "wandb.errors.CommError: Error communicating with wandb backend: permission denied (entity not found)"),
        ("gated", "huggingface_hub.errors.GatedRepoError: 403 Client Error. Cannot access gated repo"),
        ("precision", "ValueError: bf16 mixed precision is not supported on this device, use fp16"),
        ("toml", "tomllib.TOMLDecodeError: Invalid value (at line 3, column 9)"),
        ("absl", "absl.flags._exceptions.UnrecognizedFlagError: Unknown command line flag 'lrr'. Did you mean: lr ?"),
    ],
    "code_bug": [
        ("none", "TypeError: 'NoneType' object is not iterable"),
        ("name", "NameError: name 'optimizer' is not defined"),
        ("unpack", "ValueError: too many values to unpack (expected 2)"),
        ("broadcast", "ValueError: operands could not be broadcast together with shapes (32,10) (31,10)"),
        ("einsum", "RuntimeError: einsum(): subscript b has size 8 for operand 1 which does not broadcast with previously seen size 16"),
        ("grad", "RuntimeError: element 0 of tensors does not require grad and does not have a grad_fn"),
        ("inplace", "RuntimeError: one of the variables needed for gradient computation has been modified by an inplace operation"),
        ("recursion", "RecursionError: maximum recursion depth exceeded while calling a Python object"),
        ("tfshape", "tensorflow.python.framework.errors_impl.InvalidArgumentError: Incompatible shapes: [32,10] vs. [31,10]"),
        ("jaxshape", "TypeError: dot_general requires contracting dimensions to have the same shape, got (128,) and (256,)."),
        ("pickle", "_pickle.PicklingError: Can't pickle <function <lambda> at 0x7f1>: attribute lookup <lambda> on __main__ failed"),
        ("assert", "AssertionError"),
        ("notimpl", "NotImplementedError: Module [Block] is missing the required \"forward\" function"),
        ("halfcpu", "RuntimeError: \"addmm_impl_cpu_\" not implemented for 'Half'"),
        ("ddp", "RuntimeError: Expected to mark a variable ready only once."),
        ("view", "RuntimeError: view size is not compatible with input tensor's size and stride (at least one dimension spans across two contiguous subspaces). Use .reshape(...) instead."),
        ("cudnn-shape", "RuntimeError: Calculated padded input size per channel: (2 x 2). Kernel size: (3 x 3). Kernel size can't be greater than actual input size"),
    ],
}  # fmt: skip

PLAIN: dict[str, list[tuple[str, str, str]]] = {
    "oom_host": [("dmesg", "kernel: Out of memory: Killed process 8121 (python) total-vm:81221344kB", "137:0"), ("cuda-launch", "slurmstepd: error: *** JOB <job> ON <host> CANCELLED AT <iso> DUE TO MEMORY LIMIT ***", "0:9")],
    "node_failure": [("epilog", "slurmstepd: error: *** JOB <job> ON <host> CANCELLED AT <iso> DUE TO NODE FAILURE, SEE SLURMCTLD LOG FOR DETAILS ***", "0:0"), ("powerdown", "srun: error: Node failure on <host>", "0:9")],
    "storage": [("bash-quota", "/var/spool/slurmd/job<job>/slurm_script: line 9: cannot create temp file for here-document: No space left on device", "1:0"), ("rsync", "rsync: [receiver] write failed on \"/scratch/u/data/x.bin\": Disk quota exceeded (122)", "11:0"), ("fortran", "forrtl: severe (38): error during write, unit 12, file /scratch/u/out.dat", "38:0"), ("gsutil", "slurmstepd: error: Could not open stdout file /home/u/logs/x.out: No such file or directory", "1:0")],
    "container": [("apptainer-mount", "FATAL:   container creation failed: mount /proc/self/fd/3->/var/singularity/mnt/session/rootfs error: while mounting image: failed to mount squashfs filesystem: input/output error", "255:0"), ("oci", "FATAL:   While making image from oci registry: error fetching image to cache: while building SIF from layers: conveyor failed to get: unauthorized", "255:0"), ("charlie", "ch-run[811]: error: can't open namespace: Operation not permitted", "1:0"), ("podman", "Error: crun: creating cgroup directory `/sys/fs/cgroup/x`: Permission denied: OCI permission denied", "126:0")],
    "environment": [("modulecmd", "ModuleCmd_Load.c(213):ERROR:105: Unable to locate a modulefile for 'cuda/12.9'", "1:0"), ("elf", "./solver: /lib64/libc.so.6: version `GLIBC_2.34' not found (required by ./solver)", "1:0"), ("mpi-lib", "./solver: error while loading shared libraries: libmpi.so.40: cannot open shared object file: No such file or directory", "127:0"), ("permission-exec", "/var/spool/slurmd/job<job>/slurm_script: line 12: ./train.sh: Permission denied", "126:0"), ("interpreter", "/var/spool/slurmd/job<job>/slurm_script: /opt/venv/bin/torchrun: /opt/old/bin/python: bad interpreter: No such file or directory", "126:0"), ("nvcc-arch", "nvcc fatal   : Unsupported gpu architecture 'compute_90'", "1:0")],
    "config": [("getopt", "train: unrecognized option '--learning-rte'", "2:0"), ("make-target", "error: argument --gpus: expected one argument", "2:0"), ("hydra", "Error merging 'config.yaml' with schema", "1:0"), ("srun-cpu", "srun: error: Unable to create step for job <job>: More processors requested than permitted", "1:0"), ("sbatch-part", "sbatch: error: invalid partition specified: gpuu", "1:0"), ("lua", "sbatch: error: lua: You must request at least one GPU in this partition", "1:0")],
    "code_bug": [("segv", "/var/spool/slurmd/job<job>/slurm_script: line 9: 81221 Segmentation fault      (core dumped) ./solver in.dat", "139:0"), ("fpe", "Program received signal SIGFPE: Floating-point exception - erroneous arithmetic operation.", "136:0"), ("asan", "==8121==ERROR: AddressSanitizer: heap-buffer-overflow on address 0x602000000050", "1:0"), ("rust", "thread 'main' panicked at 'index out of bounds: the len is 3 but the index is 3', src/main.rs:12:9", "101:0"), ("free", "free(): invalid pointer", "134:0"), ("fortran-bound", "Fortran runtime error: Index '11' of dimension 1 of array 'a' above upper bound of 10", "2:0"), ("julia-bounds", "ERROR: LoadError: BoundsError: attempt to access 3-element Vector{Int64} at index [4]", "1:0")],
    "communication": [("ofi", "Abort(1615759) on node 0 (rank 0 in comm 0): Fatal error in PMPI_Init: Other MPI error, error stack: OFI addrinfo() failed", "15:0"), ("ssh", "ssh: connect to host cn7 port 22: No route to host", "255:0"), ("ucx-unreach", "[1711.2] [<host>:811:0] select.c:627  UCX  ERROR no active messages transport to <no debug data>: Unsupported operation", "1:0"), ("psm", "PSM3 was unable to open the device: <host>.1.hfi1_0: Connection timed out", "1:0"), ("tcp-btl", "[<host>][[31021,1],3][btl_tcp_endpoint.c:626:mca_btl_tcp_endpoint_recv_connect_ack] received unexpected process identifier: Connection reset by peer", "1:0")],
    "gpu_hardware": [("rocm", "amdgpu 0000:c1:00.0: amdgpu: ring gfx timeout, GPU reset begin!", "134:0"), ("xid-61", "NVRM: Xid (PCI:0000:1a:00): 61, pid=811, name=python, Internal micro-controller halt", "1:0"), ("nvswitch", "nvidia-nvswitch0: SXid (PCI:0000:c5:00.0): 20034, Fatal, Link 30 LTSSM Fault Up", "1:0")],
    "data": [("lammps", "ERROR: Incorrect format in Atoms section of data file: 12 O 0.1 (src/atom.cpp:1044)", "1:0"), ("nfs-in", "Error: cannot open input file: /data/in/POSCAR", "1:0")],
    "timeout": [("pbs", "=>> PBS: job killed: walltime 3610 exceeded limit 3600", "271:0"), ("sge", "slurmstepd: error: *** STEP <job>.0 ON <host> CANCELLED AT <iso> DUE TO TIME LIMIT ***", "0:15")],
}

SIXTH: list[Made] = [
    Made(f"{category}.g-{name}", category, "one message in a traceback", (pre, steps("plain", 3), tb(text)) if i % 2 else (pre, tb(text)))
    for category, cases in PYTHON.items()
    for i, (name, text) in enumerate(cases)
]
SIXTH += [
    Made(f"{category}.g-p-{name}", category, "one message alone", (*_before, [text]), exit=exit_)
    for category, plain in PLAIN.items()
    for i, (name, text, exit_) in enumerate(plain)
    for _before in ([(pre, steps("mpi", 6))] if i % 2 else [(pre,)])
]
ALSO: dict[str, tuple[str, ...]] = {
    "environment.g-python": ("code_bug",), "environment.g-spacy": ("data",), "config.g-wandb": ("communication", "environment"),
    "config.g-gated": ("environment", "data"), "config.g-precision": ("environment",), "data.g-npy": ("code_bug",),
    "data.g-index": ("code_bug",), "oom_host.g-joblib": ("unknown", "code_bug"), "checkpoint.g-tf-ckpt": ("data",),
    "code_bug.g-p-fpe": ("divergence",), "storage.g-toolong": ("config",), "environment.g-ffmpeg": ("data",),
    "environment.g-p-permission-exec": ("storage",), "environment.g-p-nvcc-arch": ("config",), "data.g-npz": ("code_bug",),
    "communication.g-ssl": ("environment",), "communication.g-proxy": ("config",), "code_bug.g-p-asan": (),
    "code_bug.g-cudnn-shape": ("data", "config"), "data.g-grib": ("code_bug",), "divergence.g-box": ("code_bug",),
    "environment.g-triton-cc": ("code_bug",), "config.g-required": ("code_bug", "environment"),
}
"""Classes a careful reader could defend."""
SIXTH = [Made(c.id, c.category, c.why, c.parts, state=c.state, exit=c.exit, alt=ALSO.get(c.id, ())) for c in SIXTH]

TRAPS: tuple[str, ...] = (
    "INFO: retrying after ConnectionResetError (1 of 5)", "WARNING: shard 12 unreadable, skipped", "nan_to_num replaced 0 values",
    "cuda out of memory retries: 0", "loaded 812 error reports for training", "killed_samples=0 timed_out=0", "resuming: ignoring missing key(s) ['head.bias']",
    "UserWarning: The given NumPy array is not writable", "W0000 00:00:1 gpu_device.cc:2344] Cannot dlopen some GPU libraries. Please make sure the missing libraries mentioned above are installed properly",
    "fatal: not a git repository (or any of the parent directories): .git", "slurmstepd: error: couldn't chdir to `/home/u/x': No such file or directory: going to /tmp instead",
    "srun: warning: can't run 1 processes on 2 nodes, setting nnodes to 1", "Could not find platform independent libraries <prefix>", "[W NNPACK.cpp:64] Could not initialize NNPACK! Reason: Unsupported hardware.",
    "early stopping patience exhausted counter: 0/5", "OMP: Info #276: omp_set_nested routine deprecated", "validation error: 0.0312 (best 0.0311)", "test error rate 3.1 %",
    "WARNING: no NUMA support, continuing without", "Exception ignored in atexit callback: <function _exit_function at 0x7f>", "libibverbs: Warning: couldn't load driver 'libmlx5-rdmav34.so'",
    "note: dropping 3 rows with invalid labels", "GPU 0: ECC errors 0, retired pages 0", "Failed to detect number of TPUs: [Errno 2] No such file or directory (ignored)",
    "huggingface/tokenizers: disabling parallelism to avoid deadlocks...", "step timing: data 0.01 s, no timeout", "rm: cannot remove 'tmp': No such file or directory", "mkdir: cannot create directory 'out': File exists",
    "checkpoint is 3 h old, but not stale", "failure injection is off", "[rank0]: using fallback all-reduce: nvls not supported", "I tensorflow: This TensorFlow binary is optimized to use available CPU instructions; To enable AVX512_VNNI, rebuild TensorFlow",
    "loss scaling: overflow at step 3, scale 65536 -> 32768", "DeprecationWarning: an error will be raised in a future version", "terminating 4 prefetch workers (end of epoch)", "sampler exhausted, restarting it",
)  # fmt: skip
_END: Part = ["saved model to <site>/out/final.pt", "training finished"]
SIXTH += [
    Made(f"success.g-{i:02d}", "success", "one line that sounds deadly", (pre, [text], steps("plain", 16), _END), state="COMPLETED", exit="0:0")
    for i, text in enumerate(TRAPS)
]
