"""How tasks fail and how long they take, from published traces: each number with its source, none of them ours.

- Acme: Q. Hu et al., "Characterization of Large Language Model Development in the Datacenter", arXiv 2403.07648:
  Table 3 (failures by reason), and ``data/cluster_summary.csv`` of InternLM/AcmeTrace (CC-BY-4.0), which also has the
  job times of Philly and Helios.
- RSC-1: A. Kokolis et al., "Revisiting Reliability in Large-Scale Machine Learning Research Clusters",
  arXiv 2410.21680: states in which jobs end, failures per node-day.
- Philly: M. Jeon et al., "Analysis of Large-Scale Multi-Tenant GPU Clusters for DNN Training Workloads", USENIX ATC
  2019: Table 7 (trials by reason, and their share of the run time until a failure).
- InfiniteHBD: 584 faults of 400 nodes in 348 days, with their repair: stepfun-ai/InfiniteHBD-Trace (Apache-2.0), of
  C. Shou et al., arXiv 2502.03885. Only the statistics below are kept here.
"""

import math
from dataclasses import dataclass, replace
from enum import StrEnum

from hpc.core.failures.evidence import FailureClass

F = FailureClass
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0


class Kind(StrEnum):
    """What ends a failure."""

    PASSES = "passes"  # by itself: the next attempt may be struck by another one
    MENDED = "mended"  # by the right change alone: unchanged, every attempt fails
    LASTS = "lasts"  # by nothing that a retry does


@dataclass(frozen=True)
class Cause:
    """One row of a table of failures.

    Attributes:
        name: As the authors call it.
        category: The class it has to be named in our terms.
        kind: What ends it.
        weight: Failures counted.
        share: It strikes somewhere in this first share of the task's time.
        mean_s: Or, where above 0, so long after the start, exponentially distributed.
    """

    name: str
    category: FailureClass
    kind: Kind
    weight: float
    share: float = 1.0
    mean_s: float = 0.0


@dataclass(frozen=True)
class Trace:
    """A population of jobs.

    Attributes:
        name: Cluster it was taken on.
        median_s, mean_s: Run time of its GPU jobs; between them lies one log-normal distribution.
        failing: Share of its jobs that fail, faults of nodes not counted.
        causes: Why.
        faults_per_node_day: Faults that take a node with all that runs on it.
        source: Where the four stand.
    """

    name: str
    median_s: float
    mean_s: float
    failing: float
    causes: tuple[Cause, ...]
    faults_per_node_day: float
    source: str

    @property
    def sigma(self) -> float:
        """Standard deviation of the logarithm of the run time."""
        return math.sqrt(2 * math.log(self.mean_s / self.median_s))


EARLY_S = 3 * MINUTE
"""Mean time to failure of Acme's script errors: Table 3 has 0.7 to 4.3 minutes for the rows that we could check."""
STARTING_S = 14.5 * MINUTE
"""Of its framework errors, "mostly at startup": 14.5 minutes, the row of ZeroDivisionError."""

_ACME = (
    # Infrastructure. NVLink (54), CUDA (21), node failure (16) and ECC (12) are left to the faults of nodes.
    Cause("NetworkError", F.COMMUNICATION, Kind.PASSES, 12),
    Cause("ConnectionError", F.COMMUNICATION, Kind.PASSES, 147),
    Cause("S3StorageError", F.STORAGE, Kind.PASSES, 10),
    Cause("NCCLTimeoutError", F.COMMUNICATION, Kind.PASSES, 6),
    Cause("NCCLRemoteError", F.COMMUNICATION, Kind.PASSES, 3),
    # Framework
    Cause("DataloaderKilled", F.OOM_HOST, Kind.MENDED, 6),
    Cause("OutofMemoryError", F.OOM_GPU, Kind.MENDED, 14, mean_s=STARTING_S),
    Cause("AttributeError", F.CODE_BUG, Kind.LASTS, 67, mean_s=STARTING_S),
    Cause("RuntimeError", F.CODE_BUG, Kind.LASTS, 65, mean_s=STARTING_S),
    Cause("AssertionError", F.CODE_BUG, Kind.LASTS, 105, mean_s=STARTING_S),
    Cause("ValueError", F.CONFIG, Kind.LASTS, 33, mean_s=STARTING_S),
    Cause("ZeroDivisionError", F.CODE_BUG, Kind.LASTS, 5, mean_s=STARTING_S),
    Cause("ModelLoadingError", F.DATA, Kind.LASTS, 104, mean_s=EARLY_S),
    Cause("DatasetLoadingError", F.DATA, Kind.LASTS, 5, mean_s=EARLY_S),
    # Script
    Cause("FileNotFoundError", F.DATA, Kind.LASTS, 568, mean_s=EARLY_S),
    Cause("OSError", F.DATA, Kind.LASTS, 266, mean_s=EARLY_S),
    Cause("TypeError", F.CODE_BUG, Kind.LASTS, 620, mean_s=EARLY_S),
    Cause("NameError", F.CODE_BUG, Kind.LASTS, 18, mean_s=EARLY_S),
    Cause("PermissionError", F.DATA, Kind.LASTS, 7, mean_s=EARLY_S),
    Cause("ImportError", F.ENVIRONMENT, Kind.LASTS, 111, mean_s=EARLY_S),
    Cause("KeyError", F.CODE_BUG, Kind.LASTS, 260, mean_s=EARLY_S),
    Cause("SyntaxError", F.CODE_BUG, Kind.LASTS, 10, mean_s=EARLY_S),
    Cause("ArgumentError", F.CONFIG, Kind.LASTS, 3, mean_s=EARLY_S),
    Cause("CalledProcessError", F.CODE_BUG, Kind.LASTS, 4, mean_s=EARLY_S),
    Cause("IndexError", F.CODE_BUG, Kind.LASTS, 23, mean_s=EARLY_S),
)

TRIALS = 39_776
"""Of Philly's Table 7, all rows."""


def _philly(name: str, category: FailureClass, kind: Kind, trials: float, of_time: float) -> Cause:
    """A row of Philly's Table 7: its shares of the trials and of the time until a failure say how late it strikes."""
    return Cause(name, category, kind, trials, share=min(1.0, of_time / (trials / TRIALS)))


_PHILLY = (
    _philly("CPU out of memory", F.OOM_HOST, Kind.MENDED, 12_076, 0.0662),
    _philly("Incorrect inputs", F.DATA, Kind.LASTS, 9_690, 0.3043),
    _philly("Semantic error", F.ENVIRONMENT, Kind.LASTS, 2_943, 0.0922),
    _philly("Core dump", F.CODE_BUG, Kind.LASTS, 2_912, 0.0335),
    _philly("Invalid mem access", F.CODE_BUG, Kind.LASTS, 2_602, 0.0382),
    _philly("Model ckpt error", F.STORAGE, Kind.PASSES, 1_995, 0.2173),
    _philly("CUDA failure", F.ENVIRONMENT, Kind.LASTS, 1_484, 0.0062),
    _philly("Syntax error", F.CODE_BUG, Kind.LASTS, 1_132, 0.0019),
    _philly("Traceback from crash", F.CODE_BUG, Kind.LASTS, 777, 0.0234),
    _philly("MPI error", F.COMMUNICATION, Kind.PASSES, 634, 0.0370),
    _philly("GPU out of memory", F.OOM_GPU, Kind.MENDED, 487, 0.0108),
    _philly("MPI runtime failure", F.COMMUNICATION, Kind.PASSES, 478, 0.1463),
    _philly("Permission error", F.DATA, Kind.LASTS, 299, 0.0007),
    _philly("Import error", F.ENVIRONMENT, Kind.LASTS, 148, 0.0006),
    _philly("Job preempted", F.PREEMPTED, Kind.PASSES, 147, 0.0166),
    _philly("CUDA init failed", F.GPU_HARDWARE, Kind.PASSES, 141, 0.0003),
    _philly("Model diverged", F.DIVERGENCE, Kind.LASTS, 84, 0.0001),
    # Half of what had no signature is taken to pass: nobody knows.
    Cause("No signature (passes)", F.UNKNOWN, Kind.PASSES, 842),
    Cause("No signature (lasts)", F.UNKNOWN, Kind.LASTS, 842),
)


def _scaled(causes: tuple[Cause, ...], to: float) -> tuple[Cause, ...]:
    """The same causes with weights that sum to `to`."""
    whole = sum(cause.weight for cause in causes)
    return tuple(replace(cause, weight=cause.weight * to / whole) for cause in causes)


_RSC = (
    *_scaled(_ACME, 24.0),  # FAILED, "application exit code": divided as Acme's
    Cause("PREEMPTED", F.PREEMPTED, Kind.PASSES, 10.0),
    Cause("REQUEUED", F.PREEMPTED, Kind.PASSES, 2.0),
    Cause("TIMEOUT", F.TIMEOUT, Kind.PASSES, 0.6),
    Cause("OUT_OF_MEMORY", F.OOM_HOST, Kind.MENDED, 0.1),
)

FAULTS, NODES, DAYS = 584, 400, 348
MEASURED_FAULTS = FAULTS / (NODES * DAYS)
"""Faults a node and day of the InfiniteHBD trace: 0.0042, between RSC-2's 0.00234 and RSC-1's 0.00650."""
REPAIR_H = (
    0.0, 0.21, 0.27, 0.75, 1.48, 2.71, 3.99, 9.39, 14.47, 18.44,
    25.07, 32.82, 42.28, 57.35, 65.7, 90.09, 141.2, 234.06, 482.25, 1308.74,
)  # fmt: skip
"""Hours until a node came back: the middles of twenty equal parts of the 584; median 20.4, mean 132.8."""

ACME = Trace(
    "Acme", 122.0, 1414.3, 0.429, _ACME, MEASURED_FAULTS,
    "Seren's GPU jobs and their share of failures: cluster_summary.csv; reasons: arXiv 2403.07648, Table 3",
)  # fmt: skip
PHILLY = Trace(
    "Philly", 874.0, 18_006.1, 0.305, _PHILLY, MEASURED_FAULTS,
    "GPU jobs and their share of failures: cluster_summary.csv; reasons: Jeon et al., Table 7",
)  # fmt: skip
RSC1 = Trace(
    "RSC-1", 206.0, 6651.7, 0.367, _RSC, 6.50e-3,
    "states of jobs and 6.50 faults per 1,000 node-days: arXiv 2410.21680; job times, which it does not have: Helios, "
    "cluster_summary.csv",
)  # fmt: skip
TRACES = (ACME, PHILLY, RSC1)


def only_passing(trace: Trace) -> Trace:
    """The same jobs with the same share of failures, all of which pass by themselves."""
    return replace(trace, causes=tuple(cause for cause in trace.causes if cause.kind is Kind.PASSES))
