"""How batch systems other than Slurm, clouds and container managers say why they ended a job."""

from hpc.core.failures.evidence import FailureClass
from hpc.core.failures.rule import Role, Rule, Tier, row

F = FailureClass

ROWS: tuple[Rule, ...] = (
    row(
        "scheduler-memory", F.OOM_HOST, "cgroup",
        r"\bOOMKilled\b|\bTERM_(?:MEM|SWAP)LIMIT\b|\b(?:mem|vmem|pmem|pvmem|rss|h_vmem|s_vmem|maxvmem"
        r"|memory)\b.{0,40}"
        r"\bexceed(?:s|ed)\b.{0,20}\b(?:limit|request)|\bjob (?:violates|exceeded) .{0,30}\bv?mem\w*"
        r"|\b(?:physical|virtual) memory .{0,12}\d[\d.]* ?[GMT]B of \d[\d.]* ?[GMT]B\b"
        r"|\bkilled by (?:yarn|the resource manager|kubelet|the scheduler) for exceeding memory"
        r"|\bmemory usage .{0,30}(?:over|above|beyond) (?:the )?(?:limit|request)|\bexceeded (?:its )?memory request",
        "the batch system killed it at its memory limit",
        "which process used it",
        needs_failure=True,
    ),
    row(
        "scheduler-time", F.TIMEOUT, "limit",
        r"\bTERM_(?:RUNLIMIT|CPULIMIT|DEADLINE|WINDOW|PROCESSLIMIT)\b|\bPBS: job killed: (?:walltime|cput|ncpus)"
        r"|\b(?:h_rt|s_rt|h_cpu|wall_?time|wall[_ -]?clock(?: time| budget| limit)?|max_?run_?time|elapsed"
        r"|activeDeadlineSeconds"
        r"|job_?time)\b\b.{0,40}"
        r"\b(?:exceed\w*|reached|passed|hit|expired|used up)\b|\b(?:maximum"
        r"|max) wall ?(?:clock )?time (?:was )?reached"
        r"|\bDeadlineExceeded: job|\bjob was active longer than|\bReached (?:the )?(?:wall|time"
        r"|run) ?(?:clock )?limit\b",
        "the batch system ended it at its time limit",
        "whether it was making progress",
        tier=Tier.SYMPTOM, needs_failure=True, role=Role.TIME_LIMIT,
    ),
    row(
        "scheduler-evicted", F.PREEMPTED, "reclaimed",
        r"(?<!client )\b(?:was|got) (?:evicted|preempted|vacated)\b(?!,? or\b)|\bpreempt(?:ed|ing|ion)? (?:by"
        r"|for|due to"
        r"|in favou?r of)\b"
        r"|\b(?:type|reason|status|state)[=:] ?\W?(?:preempt\w*|evicted)\b|\bTERM_(?:PREEMPT|OWNER_KILL)\w*\b"
        r"|\bPod (?:was )?(?:evicted|preempted)\b|\bnode (?:is being )?drained for (?:an? )?(?:higher|reservation)"
        r"|\b(?:higher|more) priority (?:job|user|bank|workload|queue)\b.{0,60}\b(?:tak|claim|need|kill|reclaim)\w*",
        "the batch system gave its place to another job",
        "how much work was lost; that depends on the checkpoints",
        tier=Tier.SYMPTOM, needs_failure=True, role=Role.TAKEN_AWAY,
    ),
    row(
        "scheduler-cancelled", F.CANCELLED, "user",
        r"\b(?:job|task|run|pipeline|workflow|allocation|experiment|trial)\b.{0,30}"
        r"\b(?:deleted|removed|killed|cancell?ed|stopped|held|aborted)"
        r"(?: \w+)? (?:by|via) (?:the )?(?:(?:user|operator|owner|admin\w*|manager|root)\b|\w{2,12} after\b"
        r"|\S{1,30}@\S)"
        r"|\bTERM_(?:OWNER|ADMIN|FORCE_OWNER|FORCE_ADMIN)\b|\bjob was (?:removed|aborted) by (?:the )?\w"
        r"|\bjob was aborted\b.{0,20}by user|\bvia condor_rm\b|\b(?:via|with) (?:qdel|bkill|scancel|condor_rm|kubectl"
        r" delete|flux cancel)\b|\bqdel:? |\bcaused by: SIGINT\b|\bKeyboardInterrupt\b.{0,60}"
        r"\b(?:shut\w*|stopp\w*|received|finishing|exit\w*)|\b(?:caught|received|got) (?:an? )?(?:ctrl-c|interrupt)\b"
        r"|\binterrupted by (?:the )?(?:user|keyboard|ctrl-c)|\b(?:received|caught|got) (?:signal 2|SIGINT)\b",
        "a person ended it",
        "who and why",
        tier=Tier.SYMPTOM, needs_failure=True, confidence=0.85,
    ),
    row(
        "scheduler-node-lost", F.NODE_FAILURE, "node_down",
        r"\bnot responding, setting DOWN\b|\bstate=DOWN\b|\bDOWN\*|\bNOT_RESPONDING\b|\bTERM_(?:ZOMBIE|EXTERNAL)\b"
        r"|\b(?:system|host|node|machine)\b.{0,20}\b(?:is going down|will (?:now )?(?:power off|reboot|shut ?down"
        r"|go down)|going down for|is (?:shutting|powering) (?:down|off))\b"
        r"|\b(?:node|host) \S{1,40} (?:became|becomes|is now|went|was marked|is) (?:unavailable|unreachable"
        r"|unresponsive|down|offline|dead|notready)\b(?!.{0,20}errno)|\bNodeLost\b|\bNodeNotReady\b"
        r"|\b(?:node|host)\b.{0,60}\b(?:drained|set to drain)\b.{0,60}\b(?:killed|lost|terminated|requeued)"
        r"|\b(?:prolog\w*|node health check|NHC)\b.{0,60}\b(?:failed|exit(?:ed)? (?:with )?[1-9]|: exit [1-9])"
        r"|\bpowering off\b|\bfailed to (?:invoke|run|launch) (?:spank |task |job )?prolog"
        r"|\bunable to contact slurmd\b"
        r"|\bslurmd\b.{0,40}\b(?:restarted|died|not running|shut ?down)\b",
        "the batch system lost the node, or took it down",
        "why",
        needs_failure=True, confidence=0.85,
    ),
)  # fmt: skip
