"""What a retry hook is given and what it answers with: import these records from here (docs/retry-policy.md).

    from hpc.hooks import Evidence, Retry, Declined, Verdict

    def decide(evidence: Evidence, verdict: Verdict, planned: Retry | Declined):
        ...

The names below are public and stay. Where they are defined is not.
"""

from hpc.core.failures.evidence import Evidence, FailureClass, LogLine, Verdict
from hpc.core.retry.records import Decision, Declined, Retry
from hpc.core.slurm.states import SlurmState

__all__ = ["Decision", "Declined", "Evidence", "FailureClass", "LogLine", "Retry", "SlurmState", "Verdict"]
