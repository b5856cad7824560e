"""Between the ranks, every vendor's: symptoms, unless nothing deeper is found."""

from hpc.core.failures.evidence import FailureClass
from hpc.core.failures.rule import Rule, Tier, row

F = FailureClass

_STARTING_MPI = (
    r"\bPMIX_ERR_(?:LOST|UNREACH|TIMEOUT|COMM)\w*|PMI[X2]?_?Init\w{0,10}\b.{0,60}(?:fail|error)"
    r"|\bPMIX? ERROR: (?:UNREACH|OUT-OF|TIMEOUT|LOST)|OPAL ERROR: \w"
    r"|fatal error in (?:internal_|P?MPI_)\w{0,4}Init|MPID\w{0,20}_init_hook|error occurred in MPI_Init\b"
    r"|MPI_INIT failed|PML add procs failed|unable to reach each other for"
    r"|ORTE (?:daemon has unexpectedly failed|was unable to reliably start)|PRTE (?:daemon|has lost)"
    r"|lost connection to .{0,40}(?:orted|prted|hydra_pmi_proxy)|hydra_pmi_proxy.{0,60}(?:fail|error)"
    r"|HYDU?_\w{2,30} \(.{1,120}\): .{0,60}(?:error|fail|unable)"
)
_COLLECTIVES = (
    r"\b(?:HCCL|hccl api|RCCL|oneCCL|CCL_ERROR|HorovodInternalError|MSCCL|ACCL|CNCL|XCCL|BKCL|NVSHMEM)\b.{0,80}"
    r"(?:error|fail|exception|timed? ?out|has been|abort|condition)"
    r"|\bHccl[A-Z]\w{1,40}\b.{0,60}(?:error|fail)|\b(?:all_?reduce|all_?gather|reduce_?scatter)\b.{0,40}(?:failed"
    r"|timed out)"
    r"|\bEI00\d\d\b|CCL_ERROR\||getting socket times out"
    r"|watchdog (?:hang|got stuck|thread (?:got stuck|terminated(?!.{0,60}cuda (?:error|failure))))"
    r"|heartbeat of its watchdog"
    r"|heartbeat monitor timed out"
    r"|tensors were submitted to be reduced.{0,120}subset of ranks|^missing ranks:|stall detected, shutting down"
    r"|tim(?:ed|e) ?out\b.{0,60}\b(?:process group|barrier|rank|rx|incoming connection|peer|all ?reduce|collective)\b"
    r"|barrier\b.{0,60}timed out|timeout check failed: rank"
    r"|failed to recv,? got 0 bytes|wait timeout after \d{1,12} ?ms, keys?:|collective .{0,80}timed out"
    r"|DEADLINE_EXCEEDED: Barrier|Barrier timed out|rank\w{0,2} (?:\S{1,12} )?failed to (?:reach|pass|join)"
    r"|\brank \d{1,7} (?:has not|has never|did not|didn't|never|does not|failed to) (?:yet )?(?:reach|arriv"
    r"|join|respond|answer"
    r"|check|enter|show)\w*"
    r"|(?:some|other|remote|peer) (?:ranks?|workers?|process(?:es)?) (?:did not|didn't|never|failed to)"
    r" (?:join|reach|respond|arrive|connect|check in)"
)

EARLY: tuple[Rule, ...] = (
    row(
        "bug-collective-mismatch", F.CODE_BUG, "collective",
        r"mismatch between collectives on ranks|mismatched collectives?|collective .{0,40}(?:does not|doesn't) match"
        r"|ranks? (?:are )?(?:calling|running) different collectives?",
        "the ranks call different collective operations",
        "which rank took the wrong branch",
        tier=Tier.FAULT, confidence=0.85,
    ),
    row(
        "communication-start-up", F.COMMUNICATION, "start_up",
        _STARTING_MPI,
        "the MPI processes could not reach one another at start-up",
        "whether the network, the launcher or a dead process is to blame",
        tier=Tier.SYMPTOM, confidence=0.8,
    ),
    row(
        "communication-vendor", F.COMMUNICATION, "collective",
        _COLLECTIVES,
        "a collective operation failed, or its watchdog reported a missing rank",
        "the cause; most often a rank that died of something else",
        tier=Tier.SYMPTOM, confidence=0.8,
    ),
    row(
        "communication-lost-node", F.COMMUNICATION, "lost",
        r"marked dead because the detector has missed|raylet .{0,40}(?:died|is dead)"
        r"|lost connection to (?:the )?(?:worker|node"
        r"|driver|scheduler|head)|(?:worker|executor|node) \S{1,80} (?:is )?(?:lost|unreachable|disassociated)"
        r"|missed too many heartbeats",
        "a node or worker stopped answering",
        "whether the node or the network failed",
        tier=Tier.SYMPTOM, confidence=0.7,
    ),
    row(
        "rank-left-silently", F.CODE_BUG, "rank_exit",
        r"process rank \d{1,7}\b.{0,80}exiting improperly|node \S{1,80} exiting improperly"
        r"|exiting without calling \W?finali"
        r"|has exited due to process rank|MPI_ABORT was invoked on rank|application called MPI_Abort\(",
        "one rank exited, and the launcher stopped the others",
        "the cause; that rank printed no message",
        tier=Tier.TRACE, confidence=0.5,
    ),
    row(
        "communication-mpi", F.COMMUNICATION, "mpi",
        r"fatal error in (?:internal_)?P?MPI_\w{1,40}: other mpi error|MPIDI_CH3I_Progress"
        r"|psm2?_\w{1,40} returned error"
        r"|\bOFI \w+ (?:\w+ )?failed|MPIDI\w{0,40}OFI|\bPSM2?\b.{0,60}(?:error|fail)|MPI_ERR_(?:OTHER|INTERN"
        r"|UNKNOWN|PROC_FAILED|REVOKED)"
        r"|mca_btl_tcp\w{0,40}:|mca_oob_tcp\w{0,40}:",
        "a message between MPI ranks could not be delivered",
        "whether the network or a dead rank is to blame",
        tier=Tier.SYMPTOM,
        confidence=0.8,
    ),
)  # fmt: skip
"""Asked right after the rows about memory."""

ROWS: tuple[Rule, ...] = (
    row(
        "communication-port", F.COMMUNICATION, "port",
        r"EADDRINUSE|address already in use|errno: 98",
        "the rendezvous port was taken by another program",
        "whether the network is at fault",
        tier=Tier.SYMPTOM,
    ),
    row(
        "communication-rendezvous", F.COMMUNICATION, "rendezvous",
        r"Rendezvous(?:Timeout|Connection|Closed|State)?Error|timed out after \d+ seconds waiting for clients"
        r"|client socket has (?:timed out|failed to connect)|DistStoreError|DistNetworkError"
        r"|(?:failed|unable|cannot|could not|couldn't)(?: to)? (?:connect|reach|establish)\b|PMK_KVS"
        r"|pmixp?_\w{1,40}: |ssh: connect to host"
        r"|failed to connect/validate to host|barrier timed out|coordination service|connectFullMesh failed"
        r"|store->get\(|monitoredBarrier",
        "ranks did not find each other",
        "whether the network, a name or a dead rank is to blame",
        tier=Tier.SYMPTOM,
    ),
    row(
        "communication-collective", F.COMMUNICATION, "collective",
        r"watchdog caught collective operation timeout|collective ops is aborted|UnavailableError|\w{0,20}RpcError\b"
        r"|UNAVAILABLE: |failed to connect to all"
        r"|DistBackendError|nccl(?:system|remote|internal|unhandled\w*"
        r"|invalidusage)?error|nccl error|nccl communicator was aborted|gloo.{0,20}transport"
        r"|connect(?:ion)? (?:reset|closed|refused)(?: by peer)?|connection timed out|broken pipe|socket timeout"
        r"|heartbeatmonitor|timed out waiting \d+ms for (?:recv|send) operation|rccl error",
        "a collective operation failed",
        "the cause; most often a rank that died of something else",
        tier=Tier.SYMPTOM,
        confidence=0.8,
    ),
    row(
        "communication-fabric", F.COMMUNICATION, "fabric",
        r"^\W{0,4}(?:\w{1,40}\.){0,4}(?:timeout|TimeoutError): (?:the read operation )?timed out"
        r"|stream is closed$|\bno answer from\b"
        r"|\b(?:connection|contact) (?:to|with) .{1,60} (?:was |is )?lost\b|"
        r"curl: \((?:5|6|7|18|28|35|52|55|56)\)|unable to resolve host|kex_exchange_identification|bad gateway"
        r"|\bHTTP\S{0,8}(?: error)?:? ?50[0234]\b|service (?:temporarily )?unavailable|gateway time-?out"
        r"|\b(?-i:SlowDown)\b"
        r"|(?:operation|request|read|connection) timed out|too many requests|\b429 client error|"
        r"\bunresponsive receiver\b|\bNCCL WARN NET/|\breachable by .{0,30} but handshake failed|IBV_WC_\w+"
        r"|ibv_\w+ .{0,40}fail|transport retry count\w* exceeded|completion[ _]with[ _]err"
        r"|unhandled timeout error|\bUC[CXPST]\s{1,4}ERROR|\bmlx5\S* .{0,60}(?:error|fail)"
        r"|orte has lost communication|libfabric.{0,60}(?:error|fail)|no route to host|network is (?:unreachable"
        r"|down)|temporary failure in name resolution|name or service not known|CommError|ConnectTimeout"
        r"|max retries exceeded with url"
        r"|ReadTimeout|MaxRetryError|failed to resolve|\bhost is unreachable\b"
        r"|\bE(?:HOSTUNREACH|NETUNREACH|CONNREFUSED|CONNRESET|TIMEDOUT|PIPE)\b|\bno (?:reply|response"
        r"|answer) from (?:rank"
        r"|node|peer|worker|host)|\bbrokers? (?:are |is )?down\b|\bIncompleteRead\b|\bport error\b"
        r"|\bdial tcp\b.{0,160}(?:timeout|refused|no route|reset)"
        r"|\battaching to node\b|\bloss of manager\b|\bconnect timed out\b|\bRNR retry\b"
        r"|StatusCode\.(?:UNAVAILABLE|DEADLINE_EXCEEDED)",
        "the network between nodes (or to a service) failed",
        "whether the fault lasts",
        tier=Tier.SYMPTOM,
        confidence=0.8,
    ),
)  # fmt: skip
