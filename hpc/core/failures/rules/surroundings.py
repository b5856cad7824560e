"""The program's surroundings: packages, libraries, drivers, compilers, licences, limits."""

from hpc.core.failures.evidence import FailureClass
from hpc.core.failures.rule import Rule, Tier, row
from hpc.core.failures.rules.stack import refused_by_library

F = FailureClass

EARLY: tuple[Rule, ...] = (
    row(
        "environment-device-compiler", F.ENVIRONMENT, "compile",
        r"\bnvrtc: error: invalid value for --gpu-arch|\b(?:nvcc|ptxas|hipcc|ptxas) fatal\s{0,3}: .{0,60}"
        r"(?:unsupported|unknown|not defined|unresolved|value 'sm_|architecture|gpu-name)"
        r"|\bunsupported gpu architecture\b|\bdoes not support (?:gpu |the )?architecture\b",
        "the device compiler does not know this device",
        "whether a newer toolkit or another device is meant",
        confidence=0.85,
    ),
    row(
        "environment-no-internet", F.ENVIRONMENT, "offline",
        r"(?:host='|//|resolve (?:host )?'?|connect to (?:server )?)(?:[\w-]{1,40}\.){1,5}(?:co|com|org|net|io|ai"
        r"|edu|gov|eu|int)\b"
        r".{0,400}(?:network is unreachable|name or service not known|temporary failure in name resolution"
        r"|failed to resolve"
        r"|NameResolutionError|no route to host|could not resolve|nodename nor servname)"
        r"|URLError: <urlopen error \[Errno (?:101|-2|-3|113)\]"
        r"|could not resolve host:? (?:[\w-]{1,40}\.){1,5}(?:co|com|org|net|io|ai|edu|gov|eu)\b",
        "a host outside could not be reached at all: this node has no way out",
        "whether a proxy or a login node has one",
        confidence=0.8,
        suggestion="download on a login node and bind the cache into the container, or set the site's proxy",
    ),
    row(
        "environment-mpi-build", F.ENVIRONMENT, "mpi_build",
        r"was not built with \S{1,20}'?s? PMI support|not built with .{0,20}\bPMI[x2]?\b|no PMI2? (?:support|library)"
        r"|MPI_Init_thread.{0,60}(?:different|incompatible) version|mixing .{0,20}MPI implementations",
        "this build of MPI does not work with this launcher",
        "whether another launcher works (mpirun, srun --mpi=…)",
        confidence=0.85,
    ),
    row(
        "environment-cuda-init", F.ENVIRONMENT, "cuda_init",
        r"\berror:? 80[1345678]\b|code=80[1345678]\b|unsupported display driver / cuda driver combination"
        r"|forward compatibility was attempted|cuda\w{0,8}Mps\w{3,30}|CUDA_ERROR_(?:MPS_\w{3,30}|COMPAT_NOT_SUPPORTED"
        r"|SYSTEM_DRIVER_MISMATCH|STUB_LIBRARY)|MPS (?:client|server|control daemon)\b.{0,60}(?:fail|not|error)"
        r"|cudaErrorStubLibrary|is not compatible with the current PyTorch|cudaErrorInsufficientDriver",
        "CUDA could not be initialised: driver, compatibility package and MPS daemon do not match",
        "which of them to change",
        confidence=0.85,
    ),
    row(
        "environment-licence", F.ENVIRONMENT, "licence",
        r"\b(?:licen[cs]e|licensing)\b.{0,80}(?:checkout failed|manager error|error|expired|denied|not found"
        r"|unavailable"
        r"|could not|cannot|invalid|in use|reached|does not exist|server)"
        r"|(?:could not|cannot|unable to|failed to|no) .{0,50}(?:check ?out|obtain|acquire|find|get"
        r"|connect to)? ?(?:a |any |valid )"
        r"?\w{0,20} ?licen[cs]e|all licen[cs]es .{0,30}(?:in use|taken)|maximum number of users .{0,60}reached"
        r"|no \w{1,20} licen[cs]e found|\blicen[cs]ed number of users\b"
        r"|FlexNet Licensing error|FLEXlm error|LM_LICENSE_FILE",
        "the program got no licence: all are in use, it has expired, or the server did not answer",
        "whether a licence will become free",
        confidence=0.85,
        suggestion=("one may come free: submit again later, or ask for it (resources.licenses) so that Slurm waits "
        "for one"),
    ),
    row(
        "environment-headers", F.ENVIRONMENT, "compiler",
        r"fatal error: [\w/.+-]{1,80}\.(?:h|hpp|cuh|mod): no such file|ld: cannot find -l|cannot find crt1\.o"
        r"|undefined reference to `|bad interpreter: no such file",
        "a header, library or interpreter needed to compile or start code was not found",
        "whether loading a module would provide it",
        confidence=0.85,
    ),
    row(
        "environment-other-runtimes", F.ENVIRONMENT, "import",
        r"UnsupportedClassVersionError|ClassNotFoundException|NoClassDefFoundError|can't locate \S{1,80} in @INC"
        r"|no matching distribution found|could not find a version that satisfies|externally-managed-environment"
        r"|loading required package: .{0,60}fail|namespace load failed|package '?\w{1,40}'? (?:is )?not (?:found"
        r"|installed)"
        r"|LibraryNotFound|DistributionNotFound|could not load library (?:lib)?\w|unsatisfied link"
        r"|UnsatisfiedLinkError"
        r"|OCTAVE.{0,40}package .{0,30}(?:not|missing)|undefined function or variable",
        "a package or library is missing or has the wrong version",
        "whether it is installed elsewhere",
        confidence=0.85,
    ),
    row(
        "environment-locale", F.ENVIRONMENT, "locale",
        r"failed to get the python codec|no module named 'encodings'|"
        r"use ASCII as encoding for the environment|unsupported locale setting",
        "the program runs without a UTF-8 locale",
        "nothing else",
        suggestion="set LC_ALL: C.UTF-8 in the profile's environment",
    ),
    row(
        "environment-loaded-twice", F.ENVIRONMENT, "library",
        r"\bOMP: error #\d|multiple copies of the openmp runtime|already (?:initiali[sz]ed|registered|loaded)\W{0,3}$"
        r"|(?:conflicting|duplicate) (?:versions? of|copies of|symbol)",
        "a library was loaded twice, or in two versions",
        "which package brings in the second copy",
        tier=Tier.FAULT, confidence=0.75, unless=lambda frames, _: refused_by_library(frames),
    ),
)  # fmt: skip
"""Asked right after the rows about memory."""

ROWS: tuple[Rule, ...] = (
    row(
        "environment-module-missing", F.ENVIRONMENT, "import",
        r"ModuleNotFoundError|^\S*python\S*: no module named|package \S{1,60} not found in current path"
        r"|there is no package called"
        r"|please (?:pip )?install |(?:pip|conda) install \S|ImportError: (?!.{0,200}circular import)",
        "a package could not be imported",
        "whether it is installed elsewhere",
    ),
    row(
        "environment-library-missing", F.ENVIRONMENT, "library",
        r"error while loading shared libraries|cannot open shared object file|version `[^']{1,60}' not found"
        r"|library not loaded\b|\bGLIBC(?:XX)?_[\d.]+ not found"
        r"|undefined symbol:|symbol lookup error|unable to load any plugin"
        r"|(?:cannot|can't|could not|couldn't|unable to|failed to) (?:find|load|open|locate) .{0,40}plug-?in"
        r"|(?:cannot|can't|could not|couldn't|unable to|failed to) (?:find|load|open|locate"
        r"|dlopen) (?:\S{1,30} ){0,3}?"
        r"\S{0,120}\blib[\w+-]{1,60}\.(?:so|dylib)\b",
        "a shared library or a plug-in is missing or of another version",
        "which of the two is wrong",
    ),
    row(
        "environment-cuda-build", F.ENVIRONMENT, "cuda_build",
        r"nvidia driver on your system is too old|mismatches the version that was used to compile"
        r"|hipErrorNoBinaryForGpu|unsupported gpu architecture"
        r"|couldn't communicate with the nvidia driver|"
        r"not compiled with cuda enabled|CUDAMismatchException|no kernel image is available"
        r"|driver version is insufficient|nvidia driver .{0,40}too old|cuda_home\b.{0,60}not set"
        r"|MissingCUDAException|compiled (?:with|against) .{0,40}(?:but|different) .{0,40}cuda"
        r"|unsupported gnu version|driver/library version mismatch|doesn't have \w{2,8} built in|ptxas fatal"
        r"|(?:was )?built without"
        r"|not built with|library needs to have matching|dnn library initialization failed|ptx codegen error"
        r"|cudnn version incompatibility|not supported on this (?:gpu|device|architecture)"
        r"|only supports? .{0,60}\b(?:gpus?|devices?|architectures?|compute capabilit\w{1,3})\b"
        r"|requires (?:a gpu with )?compute capability",
        "program, CUDA and driver do not match",
        "which one to change",
    ),
    row(
        "environment-no-device", F.ENVIRONMENT, "no_device",
        r"no cuda gpus are available|no cuda-capable device|cuda unknown error|found no nvidia driver"
        r"|no gpu/tpu found|no visible gpu devices",
        "the program sees no usable device",
        "whether the node has none: --nv, CUDA_VISIBLE_DEVICES or a broken driver do the same",
        confidence=0.8,
    ),
    row(
        "environment-offline", F.ENVIRONMENT, "offline",
        r"outgoing traffic has been disabled|LocalEntryNotFoundError|OfflineModeIsEnabled|offline mode is enabled"
        r"|(?:couldn't|could not|cannot|can't) (?:find|connect).{0,160}(?:in the cached files|cached snapshot)"
        r"|ConnectionError: Couldn't reach .{0,200}offline",
        "a model or file is not in the cache, and this node may not download it",
        "whether the name is correct",
        suggestion="download it into the cache on a login node before the job, and bind the cache into the container",
    ),
    row(
        "environment-versions", F.ENVIRONMENT, "versions",
        r"binary incompatibility|numpy\.dtype size changed|module '(?:numpy|jax|torch"
        r"|collections)' has no attribute|compiled using numpy 1\.x cannot be run|incompatible versions? of"
        r"|is incompatible with (?!the layer)|out of date and must be regenerated"
        r"|descriptors cannot be created directly"
        r"|operator \w{1,40}::\w{1,60} does not exist"
        r"|requires (?:at least )?(?:version|python|cuda|torch(?!\.\w)|numpy)\b",
        "two packages have incompatible versions",
        "which of them to change",
        confidence=0.8,
    ),
    row(
        "environment-compiler", F.ENVIRONMENT, "compiler",
        r"error building extension|error compiling objects|ninja is required|command '\[?'?(?:ninja|which|c\+\+"
        r"|g\+\+|nvcc)\b|(?:gcc|g\+\+|nvcc|ninja|c\+\+): (?:command )?not found"
        r"|no such file or directory: '(?:\S*/)?(?:ninja|nvcc|g\+\+|gcc|c\+\+)'|failed to find c compiler"
        r"|RuntimeError: .{0,40}c\+\+ compiler",
        "code that is compiled at start-up could not be compiled",
        "whether the sources are wrong",
    ),
    row(
        "environment-program-missing", F.ENVIRONMENT, "command",
        r"FileNotFoundError: \[Errno 2\] no such file or directory: '[\w.+-]{1,60}'",
        "a program that was to be started is not installed",
        "whether it is installed elsewhere",
        near=r"in _execute_child|/subprocess\.py",
        confidence=0.85,
    ),
    row(
        "environment-program-named", F.ENVIRONMENT, "command",
        r"no such file or directory: '(?:ffmpeg|ffprobe|git|nvcc|gcc|g\+\+|cmake|make|java|perl|R|Rscript"
        r"|samtools|bwa|docker"
        r"|apptainer|singularity|nvidia-smi|rocm-smi|which|sox|espeak|dot|gmx|mpirun|srun|tar|pigz|aria2c|wget|curl)'"
        r"|certificate verify failed|unable to get local issuer certificate",
        "a program or certificate of the system that the run needs is not installed here",
        "whether it is installed elsewhere",
        confidence=0.8,
    ),
    row(
        "environment-modules", F.ENVIRONMENT, "modules",
        r"unable to locate a modulefile|could not create conda environment|could not solve for environment"
        r"|ResolvePackageNotFound|PackagesNotFoundError|UnsatisfiableError|LibMambaUnsatisfiable|no module named '"
        r"|CreateCondaEnvironmentException|"
        r"lmod has detected the following error|modulecmd.{0,40}error|the following module\(s\) are unknown"
        r"|EnvironmentLocationNotFound|could not find conda environment|CondaError|CommandNotFoundError",
        "the module or conda environment could not be loaded",
        "whether later steps needed it",
    ),
    row(
        "environment-site-profile", F.ENVIRONMENT, "profile",
        r"^hpc: setup failed with \d+ at: "
        r"|^hpc: cannot start: .{0,300}(?:variable \w+ is not set on|cannot stand in a bind)",
        "the node does not match the site's profile: a setup line failed, or a variable is not set",
        "whether other nodes of the site have it",
        suggestion="mend the profile's setup, environment or binds, then plan again",
    ),
    row(
        "environment-ulimit", F.ENVIRONMENT, "ulimit",
        r"too many open files|\[errno 24\]|received 0 items of ancdata|watch limit reached|can't start new thread"
        r"|resource temporarily unavailable.{0,60}thread|pthread_create failed",
        "a limit of the operating system (open files, threads) was reached",
        "whether the file system is at fault",
        confidence=0.85,
        suggestion="raise ulimit -n (or use fewer loader workers) in the profile's setup lines",
    ),
    row(
        "environment-illegal-instruction", F.ENVIRONMENT, "cpu",
        r"illegal instruction|requires avx|exec format error|cannot execute binary file|wrong elf class"
        r"|the tensorflow library was compiled to use .{0,40} instructions",
        "the program was built for another processor",
        "which node types work",
    ),
)  # fmt: skip
