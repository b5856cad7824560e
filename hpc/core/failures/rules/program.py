"""The program's own errors that have a meaning of their own."""

from hpc.core.failures.ending import NOTHING, TESTS_FAILED
from hpc.core.failures.evidence import FailureClass
from hpc.core.failures.rule import RAISED, Rule, Tier, named, row
from hpc.core.failures.rules.stack import ends_in

F = FailureClass

EARLY: tuple[Rule, ...] = (
    row(
        "bug-tests-failed", F.CODE_BUG, "tests",
        TESTS_FAILED,
        "a test runner reported tests that failed",
        "whether the code or the tests are wrong",
        confidence=0.85,
    ),
    row(
        "bug-launch-resources", F.CODE_BUG, "launch",
        r"launch[ _]out[ _]of[ _]resources|\binvalid configuration argument|too many resources requested for launch",
        "a kernel asks for more registers, threads or shared memory than a block may have",
        "whether another launch configuration would do",
        tier=Tier.FAULT, confidence=0.75,
    ),
    row(
        "peer-pipe-closed", F.UNKNOWN, "launcher",
        RAISED + r"(?-i:EOFError|BrokenPipeError|ConnectionResetError)\b",
        "a process found the pipe to its partner closed",
        "why the partner ended",
        tier=Tier.TRACE, stack=ends_in(r"multiprocessing/(?:connection|queues|managers|pool|reduction)\.py"),
        confidence=0.4,
    ),
    row(
        "bug-nothing-succeeded", F.CODE_BUG, "none_succeeded",
        NOTHING,
        "the program reported that everything it tried failed",
        "the cause; each attempt printed its own message",
        tier=Tier.TRACE, confidence=0.5,
    ),
)  # fmt: skip
"""Asked right after the rows about memory."""

POINTS_ELSEWHERE = row(
    "cascade-points-elsewhere", F.UNKNOWN, "launcher",
    RAISED + r"(?-i:\w*(?:Error|Exception))\b.{0,200}?(?:\b(?:see|check|look at|refer to|inspect)\b.{0,40}"
    r"\b(?:above|stack ?trace|traceback|logs?|root cause|output)\b|\broot cause (?:above|below)\b"
    r"|\b(?:workers?|child(?:ren)?|sub-?process(?:es)?|ranks?|engines?|actors?|tasks?|processes) (?:\S{1,20} )?"
    r"(?:has |have )?(?:died|exited|crashed|failed|terminated|was lost)\b(?!.{0,80}: \w))",
    "an exception only reports what another process had said before",
    "the cause: the other's own words",
    tier=Tier.TRACE, confidence=0.4,
)  # fmt: skip
"""Asked after topics."""

ROWS: tuple[Rule, ...] = (
    row(
        "bug-pickling", F.CODE_BUG, "pickling",
        r"can't pickle (?:local object|<function|<class|\w{1,40} object)|cannot pickle '",
        "something that cannot be pickled was to be sent to another process",
        "nothing else",
    ),
    row(
        "bug-script-syntax", F.CODE_BUG, "syntax",
        r"syntax error near unexpected token|: syntax error: |unexpected EOF while looking for matching"
        r"|bad substitution$"
        r"|can't locate object method|undefined subroutine|global symbol .{1,60} requires explicit"
        r"|unrecognized function or variable|index exceeds the number of|array indices must be positive"
        r"|arrays have incompatible sizes|not enough input arguments|operator is invalid for atomic"
        r"|undefined function '",
        "a script or program is wrong in itself",
        "whether the code or what it was given is at fault",
        tier=Tier.FAULT, confidence=0.8,
    ),
    row(
        "bug-program-words", F.CODE_BUG, "exception",
        r"\bdivision by (?:zero|0)\b|was not declared in this scope|non-numeric argument to"
        r"|^\S{1,200}\.(?:c|cc|cpp|cu|cxx|f|f90|F90|h|hpp|rs|go|java"
        r"|scala):\d{1,6}(?::\d{1,4})?: error: (?!.{0,200}no such file)",
        "the program divided by zero, or its source does not compile",
        "whether the code or its input is wrong",
        tier=Tier.FAULT, needs_failure=True, confidence=0.75,
    ),
    row(
        "bug-make-failed", F.CODE_BUG, "compile",
        r"^(?:g?make|ninja)(?:\[\d+\])?: \*\*\* .{0,200}\berror \d|^ninja: build stopped",
        "a program was not built",
        "whether its source or the environment is at fault",
        tier=Tier.FAULT, confidence=0.7,
    ),
    row(
        "bug-shapes", F.CODE_BUG, "shapes",
        r"shapes cannot be multiplied|size of tensor a \(\d+\) must match|must match the size of tensor b"
        r"|shape '\[.{0,80}\]' is invalid for input|sizes of tensors must match|could not be broadcast together"
        r"|incompatible shapes|shape mismatch|mat1 and mat2 must have|incompatible with the layer"
        r"|expected (?:min_)?ndim="
        r"|expected all tensors to be on the same device|expected scalar type|dimension out of range",
        "tensors of incompatible shape, type or device were combined",
        "whether code or configuration chose them",
        tier=Tier.FAULT,
    ),
    row(
        "bug-autograd", F.CODE_BUG, "autograd",
        r"does not require grad and does not have a grad_fn|modified by an inplace operation"
        r"|expected to have finished reduction|backward through the graph a second time|marked (?:as )?ready twice",
        "the computation graph is used wrongly",
        "nothing else",
        tier=Tier.FAULT,
    ),
    row(
        "bug-device-memory-access", F.CODE_BUG, "illegal_access",
        r"illegal memory access|misaligned address|memory access fault by gpu|unspecified launch failure"
        r"|\bxid\b(?: \([^)]{0,40}\))?:? ?(?:13|31|43|45)\b",
        "device code accessed memory that it does not own",
        "whose code: the program's, a library's, or (seldom) a failing device's",
        tier=Tier.FAULT,
        confidence=0.7,
    ),
    row(
        "bug-segfault", F.CODE_BUG, "segfault",
        r"(?<!caused by a )segmentation fault|sigsegv|signal 11\b|general protection",
        "native code accessed memory that it does not own",
        "whose code",
        tier=Tier.FAULT,
        confidence=0.75,
    ),
    row(
        "bug-heap", F.CODE_BUG, "heap",
        r"AddressSanitizer|use-after-free|double free|free\(\): |malloc\(\): |corrupted (?:size vs|double-linked"
        r"|unsorted)|invalid next size"
        r"|munmap_chunk|stack smashing"
        r"|heap-buffer-overflow|pure virtual method called",
        "native code damaged its own memory",
        "whose code, and when",
        tier=Tier.FAULT,
        confidence=0.8,
    ),
    row(
        "bug-mpi-call", F.CODE_BUG, "mpi",
        r"\bMPI_ERR_(?:TRUNCATE|ARG|COUNT|TYPE|RANK|ROOT|COMM|BUFFER|TAG|OP|GROUP|REQUEST|TOPOLOGY|DIMS)\b"
        r"|message truncated",
        "an MPI call's arguments do not match those of its partner",
        "which rank is wrong",
        tier=Tier.FAULT,
        confidence=0.75,
    ),
    row(
        "not-converged-statement", F.NOT_CONVERGED, "stated",
        r"\b(?:did|does|has|have) not (?:yet )?converged?\b|failed to converge|\bnot converged\b|without converg"
        r"|\b(?:not|no) (?:any )?better than (?:a |the )?(?:random|chance|guessing|coin|baseline|untrained"
        r"|constant|majority|mean|average|median|prior|null|dummy|naive|climatology|persistence)\b"
        r"|\b(?:did not|didn't|does not|doesn't|never|fail(?:s|ed) to) (?:exceed|beat|outperform|surpass"
        r"|improve (?:on|over|upon)"
        r"|rise above|get above|leave) (?:a |the )?(?:random|chance|guessing|majority|untrained|trivial|constant)"
        r"|\b(?:still|stayed|remains?|stuck|is|performance) at (?:the )?(?:chance|random)\b|\b(?:learned"
        r"|learnt) nothing\b"
        r"|solved 0/\d|no convergence(?! criteri)|convergence (?:criteri\w{1,3} )?(?:was |were "
        r"|is )?(?:not (?:reached"
        r"|achieved|met"
        r"|satisfied)|failure|judged unlikely)|too many attempts made for this increment|\bnot converging\b"
        r"|(?:agent|policy|model|network|it) (?:did not|didn't|has not) learn|\b(?:scf|newton|solver|optimi[sz]er"
        r"|geometry)\b"
        r".{0,40}\b(?:did not|failed to|not) (?:converge|reach)|"
        + named(r"Convergence|NotConverged"),
        "the program itself reported that it did not converge",
        "whether more steps would help",
        tier=Tier.FAULT,
    ),
    row(
        "not-converged-words", F.NOT_CONVERGED, "words",
        r"\b(?:maximum|max\.?|limit on the) (?:allowed )?(?:number of |no\. of )?(?:\w{1,20} )?(?:iterations"
        r"|cycles|sweeps"
        r"|function evaluations)(?: limit)?\b.{0,24}\b(?:reached|exceeded|hit|exhausted)\b"
        r"|\biteration limit (?:was |has been )?(?:reached|exceeded|hit)\b"
        r"|\b(?:residuals?|fmax|forces?|gradient(?: norm)?|error|change|delta|gap)\b.{0,40}\b(?:still|above"
        r"|larger than"
        r"|greater than|exceeds?|remains|>)\b.{0,24}\b(?:tolerance|threshold|tol|convergence|criterion)\b"
        r"|\b(?:tolerance|threshold|target|criteri\w{1,3}|required accuracy|goal) (?:was |were |is |of \S{1,12} "
        r"|has been )?"
        r"(?:not|never) (?:been )?(?:reached|met|attained|achieved|satisfied)\b"
        r"|\bno improvement (?:over|since"
        r"|from|on) (?:the )?"
        r"(?:first|start|beginning|initial|baseline|chance|random)\b"
        r"|\b(?:loss|reward|return|accuracy|score|model|agent|policy|network)\b.{0,24}\b(?:(?:did|has|have|does|is"
        r"|was) ?(?:not|n't)"
        r"|never) (?:\w{1,12} )?(?:decreas\w*|learn\w*|chang\w*|mov\w*|rise\w*|rose|increas\w*|leave|left)\b"
        r"|\b(?:stay|remain|stuck|still|end|hover|are|is|was)\w{0,3} (?:\w{1,12} )?(?:at|around"
        r"|near) (?:the )?(?:level of )?"
        r"(?:chance|random|guessing)\b|\b(?:indistinguishable from|same as|equal to|equals"
        r"|no different from) (?:a |the )?"
        r"(?:random|chance|guess\w*|untrained|majority|initial(?: value)?)\b|\brandom guess(?:ing|es)?$"
        r"|\bpredict\w* (?:only |always |all )?(?:the |a )?(?:one|single|majority|same|constant)(?: class| label"
        r"| value)?\b"
        r"|\ball predictions (?:are |were )?(?:the same|identical|constant|equal|zero|of (?:one|a single) class"
        r"|class \d)"
        r"|\b(?:mode|posterior|representation|embedding|dimensional|codebook|entropy|policy|training) collapse"
        r"(?:d| detected| suspected|:|$)|\bcollapsed (?:to|into|onto) (?:a |one )?(?:single|constant|point|one"
        r"|zero)\b",
        "the program says of its result that it is no better than where it began, or short of its aim",
        "whether more steps would help",
        tier=Tier.FAULT, needs_failure=True, confidence=0.7,
    ),
    row(
        "cascade-child-failed", F.UNKNOWN, "launcher",
        RAISED
        + r"(?:ChildFailedError|CalledProcessError|SignalException|ProcessExitedException|ProcessRaisedException"
        r"|BrokenProcessPool|TerminatedWorkerError|InvocationTargetException|ExecutionException|TaskFailedException"
        r"|CompositeException|RemoteException|SparkException: job aborted due to stage failure|RayTaskError"
        r"|RayActorError|ActorDiedError"
        r"|WorkerCrashedError)\b|DataLoader worker \(pid.{0,40}exited unexpectedly"
        r"|background workers are no longer alive"
        r"|DataLoader worker .{0,40}killed by signal: (?:terminated|aborted)|mpi_abort was invoked|SystemExit\b",
        "a child process failed",
        "the cause; the child's own message is missing",
        tier=Tier.TRACE,
        confidence=0.4,
    ),
)  # fmt: skip
