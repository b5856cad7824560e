"""Lines that sound like trouble and are said by healthy runs too: one row a family. Data, no procedure.

A line known here is never evidence, whoever says it. A row belongs here only when its message is said *because the
software goes on* (a fallback, a retry, a shell's start-up), never when it merely often is harmless.

To add one: add a row, and a success in ``tests/corpus`` whose log holds the line.
"""

import re

NOISE: tuple[tuple[str, str], ...] = (
    ("login shells", r"^(?:bash|-bash|sh|zsh): \S{0,120}(?:rc|profile|env)\b.{0,80}: |^(?:perl: warning|manpath"
                     r"|stty|tput|xset|Gtk-WARNING)\b|xauth: "
                     r"|setlocale: |cannot change locale"),
    ("downloads of word lists without a network", r"^\[nltk_data\]"),
    ("version control in a folder without one", r"^fatal: (?:not a git repository|detected dubious ownership)"
                                                r"|dubious ownership"),
    ("conda's activation hint", r"^CommandNotFoundError: Your shell has not been properly configured"
                                 r"|^CondaError: Run 'conda init'"),
    ("shell commands on files that need not be there", r"^(?:cp|rm|mv|ls|mkdir|rmdir|cat|touch|ln): (?:cannot|can't"
                                                       r"|can not) .{0,400}(?:no such file|file exists"
                                                       r"|is a directory|not a directory|not empty|not permitted)"),
    ("a side program's lost pipe", r"^(?:tee|grep|tail|head|cat|nvidia-smi dmon): .{0,40}(?:broken pipe|killed)"),
    ("package lists", r"^[\w.-]{2,40} {1,60}\d[\w.]{0,20}$"),
    ("settings that are printed", r"^[ +]{0,12}(?:export )?[A-Za-z_][\w.]{0,60}(?:: |=)(?:true|false|null|none|auto"
                                  r"|raise|skip|warn|ignore|\d[\w.+-]{0,24}|\[.{0,80}\])$"),
    ("traced shell commands", r"^\+{1,3} (?:\[|set |export |ulimit |module |cd |source |srun |python|bash )"),
    ("counters of what did not happen", r"^(?!.{0,400}(?:Error:|Exception:|Traceback)).{0,400}\b(?:0|no"
                                        r"|zero) (?:errors?|failures?|failed|invalid|missing|corrupt\w{0,3})\b"
                                        r"|^\s{0,40}[\w ]{2,60}(?:uncorrectable|correctable|retired|pending"
                                        r"|remapp)[\w ]{0,40}: {1,3}(?:0|no|none|n/a)$"),
    ("pip's remark on conflicts", r"pip's dependency resolver does not currently"
                                  r"|requires .{1,60}, but you have .{1,60} which is incompatible"),
    ("TensorFlow registers plugins twice", r"Unable to register cu\w{2,8} factory|Could not find TensorRT"
                                           r"|could not load dynamic library '(?:libnvinfer|libcudart|libcuda"
                                           r"|libcudnn)"),
    ("TensorFlow looks for a device", r"failed call to cuInit|CUDA_ERROR_NO_DEVICE"
                                      r"|kernel driver does not appear to be running"),
    ("TensorFlow's end of a data set", r"Local rendezvous is aborting with status: (?:OUT_OF_RANGE|CANCELLED)"
                                       r"|End of sequence"),
    ("allocators that go on", r"this is not a failure|exceeds \d{1,3}% of free system memory"
                              r"|Can't reduce memory use below"),
    ("JAX tries back ends", r"^(?!\s*(?:\w+\.)*RuntimeError).{0,120}Unable to initialize backend"
                            r"|No GPU/TPU found, falling back"),
    ("PyTorch's warnings", r"UserWarning|FutureWarning|DeprecationWarning|RuntimeWarning|ConvergenceWarning"
                           r"|UndefinedMetricWarning"
                           r"|^\[W ?\d{0,4}.{0,60}(?:reducer|CUDAAllocatorConfig|NNPACK)"),
    ("a process group left to the interpreter", r"process group has NOT been destroyed|destroy_process_group"),
    ("a monitor that outlives the store", r"Failed to check the .should dump. flag"),
    ("NCCL looks for a network", r"NCCL INFO"),
    ("Open MPI tries a fabric", r"error initializing an OpenFabrics device|help message help-mpi-btl"
                                r"|PMIX ERROR: (?:NO-PERMISSIONS|NOT-FOUND|ERROR in file gds)"
                                r"|ORTE_ERROR_LOG: Data unpack would read past end"),
    ("InfiniBand libraries without a device", r"^libibverbs: Warning"),
    ("wandb goes on without its server", r"^wandb: .{0,40}(?:Network error|WARNING|entering retry"
                                         r"|ERROR Error while calling)"),
    ("Slurm's harmless words", r"couldn't chdir to .{0,200}going to /tmp|^srun: warning"
                               r"|step creation (?:temporarily disabled|still disabled)"
                               r"|TMPDIR \[.{0,200}\] is not writ"
                               r"|Setting TMPDIR to"),
    ("Apptainer's and Singularity's remarks", r"^INFO:\s{2,8}\S|^WARNING: (?:While bind mounting|Skipping mount"
                                              r"|Could not find any|underlay of|.{0,80}not found, will not)"),
    ("OpenFOAM traps exceptions", r"^trapFpe: "),
    ("profilers without permission", r"CUPTI (?:initialization failed|could not)|perf_event_paranoid"),
    ("libraries asked for another verbosity", r"^Unknown option [A-Z_]{3,40}_VERBOSITY="),
    ("optional extensions", r"was installed without --|was compiled without GPU support|async_io requires"
                            r"|op \.{3} \[NO\]|falling back to|\(optional, ignored\)|using eager attention"),
    ("an autotuner drops a choice", r"Ignoring this choice|Reducing block sizes or"),
    ("leaked semaphores", r"resource_tracker: There appear|leaked (?:semaphore|shared_memory) objects"),
    ("rows of tables of numbers",
     r"^\s{0,20}[A-Za-z][\w ()/.-]{1,40}?(?:\s{1,20}\d{1,9}\.\d{1,9}){3,12}\s{0,20}\d{0,9}$"),
    ("the launcher's own bookkeeping", r"restart_count=|attempts left; will restart"),
    ("a shell's report about a monitor", r": {1,2}\d+ Terminated {4,}"),
    ("tests' names", r"::test_\w+ PASSED|\.\.\. (?:ok|passed|skipped|xfail)$"),
    ("Snakemake's reasons to run a rule",
     r"^\s{0,8}reason: (?:missing output|updated input|forced|code has|input files|params|set of|software env)"),
    ("R's list of masked functions", r"^[✖ℹ✔] "),
    ("instructions", r"^(?:If|To) .{0,200}(?:scancel|--mem|resume)"),
)  # fmt: skip

KNOWN_NOISE = re.compile("|".join(f"(?:{pattern})" for _, pattern in NOISE), re.IGNORECASE)


def is_noise(line: str) -> bool:
    """Whether a line, rank prefix taken off, is known to be said by healthy runs."""
    return KNOWN_NOISE.search(line) is not None
