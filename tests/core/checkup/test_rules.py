"""Laws of the check-up's rules: over any numbers, and over what other programs print."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.core.checkup.check import BY_NAME, KINDS, Check, Severity, exit_code, failed, in_order, unanswered
from hpc.core.checkup.machine import (
    fits,
    judge_cpu_time,
    judge_open_files,
    judge_optional,
    judge_processes,
    parse_requirement,
)
from hpc.core.checkup.needs import Needs
from hpc.core.checkup.nodes import BROKEN, GOT, REFUSED, Seen, judge_nodes, read_seen
from hpc.core.checkup.storage import (
    Mount,
    Quota,
    judge_access,
    judge_inodes,
    judge_mount_options,
    judge_quota,
    judge_shared,
    judge_space,
    local_locks,
    mount_of,
    parse_mounts,
    parse_quotas,
)
from hpc.core.resources import Resources

SEVERITIES = st.sampled_from(Severity)
CHECKS = st.lists(
    st.builds(Check, st.sampled_from(sorted(BY_NAME)), st.just("x"), severity=SEVERITIES, temporary=st.booleans())
)


@given(CHECKS)
def test_the_exit_code_is_that_of_the_worst(checks: list[Check]) -> None:
    """1 with a lasting check that blocks, 75 where all that block are temporary, 0 without one; order is no matter."""
    blocking = [check for check in checks if check.severity is Severity.BLOCKING]
    code = exit_code(checks)
    assert (code == 0) == (not blocking)
    assert (code == 1) == any(not check.temporary for check in blocking)
    assert exit_code(checks[::-1]) == code
    assert sorted(map(repr, in_order(checks))) == sorted(map(repr, checks))


def test_names_are_said_once_and_every_hang_has_words() -> None:
    """No two checks share a name; whichever hangs or falls over is told, and no worse than its row says."""
    order = list(Severity)
    assert len(BY_NAME) == len(KINDS)
    for kind in KINDS:
        hung, fell = unanswered(kind.name, 3), failed(kind.name, "RuntimeError")
        assert hung.mend
        assert "3 s" in hung.found
        assert order.index(hung.severity) <= max(order.index(kind.worst), order.index(Severity.WARNING))
        assert fell.severity is Severity.WARNING


VERSION = st.lists(st.integers(0, 40), min_size=1, max_size=3).map(lambda parts: ".".join(map(str, parts)))


@given(VERSION, VERSION, VERSION)
def test_versions_are_compared_as_numbers(version: str, low: str, high: str) -> None:
    """As the `packaging` library has it, for the bounds that we write."""
    specifiers = pytest.importorskip("packaging.specifiers")
    for bounds in (f">={low}", f">={low},<{high}", f"=={low}", f"<{high}"):
        assert fits(version, bounds) == specifiers.SpecifierSet(bounds).contains(version)


def test_requirements_are_split() -> None:
    """As pyproject.toml and installed metadata write them."""
    assert parse_requirement("click>=8.1,<9") == ("click", ">=8.1,<9", "")
    assert parse_requirement("ruamel.yaml >=0.18, <0.20") == ("ruamel.yaml", ">=0.18,<0.20", "")
    assert parse_requirement("torch (>=2.9) ; extra == 'train'") == ("torch", ">=2.9", "train")
    assert parse_requirement("pandas-stubs") == ("pandas-stubs", "", "")


@given(st.integers(-1, 5000), st.integers(0, 3000))
def test_more_room_is_never_worse(limit: int, running: int) -> None:
    """Of files, processes and time alike; no limit is the best."""
    order = list(Severity)

    def worth(value: int) -> int:
        return 1 << 40 if value == -1 else value

    for judge in (
        lambda n: judge_open_files(n, -1),
        lambda n: judge_processes(n, -1, running),
        lambda n: judge_cpu_time(n, -1),
    ):
        better, worse = judge(limit if limit == -1 else limit + 1), judge(limit)
        assert order.index(better.severity) <= order.index(worse.severity), worth(limit)
        assert bool(worse.mend) == (worse.severity is not Severity.OK)


@given(st.integers(0, 1 << 22), st.integers(0, 1 << 22))
def test_space_and_inodes_block_at_the_end_only(free: int, more: int) -> None:
    """More room is never judged worse, and what blocks says what would be enough."""
    order = list(Severity)
    for judge in (judge_space, judge_inodes):
        less, roomy = judge(free, "/x", None), judge(free + more, "/x", None)
        assert order.index(roomy.severity) <= order.index(less.severity)
        assert less.severity is Severity.OK or (less.mend and less.expected)


def test_inodes_block_where_the_tasks_would_not_fit() -> None:
    """Few are warned of; fewer than the tasks make, or than one of them, block."""
    needs = Needs("x", tasks=10, resources=(Resources(),))
    found = {free: judge_inodes(free, "/x", needs).severity for free in (10, 399, 400, 999, 1000)}
    assert found == {10: "blocking", 399: "blocking", 400: "warning", 999: "warning", 1000: "ok"}
    assert judge_inodes(41, "/x", None).severity == "warning"


MOUNTS = """\
21 1 0:20 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard
35 21 0:31 / /home rw,nosuid - nfs4 server:/export/home rw,vers=4.2,local_lock=none
36 21 0:32 / /scratch rw - lustre mds@o2ib:/scratch rw,localflock
37 21 0:33 / /my\\040data rw - nfs old:/data rw,vers=3,nolock
39 21 0:35 / /remote rw - fuse.sshfs me@server:/data rw,user_id=0
40 21 0:36 / /gluster rw - fuse.glusterfs server:/volume rw,user_id=0
41 21 0:37 / /nameless rw - fuse program rw,user_id=0
42 21 0:38 / /stick rw - fuseblk /dev/sdb1 rw,user_id=0
38 35 0:34 / /home/me rw - tmpfs tmpfs rw,size=10k
a line that is none
"""


@pytest.mark.parametrize(
    ("folder", "point", "locks"),
    [
        ("/home/you/runs", "/home", ""), ("/home/me/runs", "/home/me", ""), ("/homework", "/", ""),
        ("/scratch", "/scratch", "localflock"), ("/my data/x", "/my data", "nolock"), ("/", "/", ""),
        ("/remote", "/remote", "fuse.sshfs"), ("/gluster", "/gluster", ""), ("/nameless", "/nameless", "fuse"),
        ("/stick", "/stick", ""),
    ],
)  # fmt: skip
def test_a_folder_is_on_the_nearest_mount(folder: str, point: str, locks: str) -> None:
    """Names with spaces included; mount options that keep locks on one machine are named."""
    mount = mount_of(folder, parse_mounts(MOUNTS))
    assert mount is not None
    assert (mount.point, local_locks(mount)) == (point, locks)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("rw,vers=4.2,hard,acregmax=60,acdirmax=60", ""), ("rw,soft", "soft"), ("rw,nocto", "nocto"),
        ("rw,acregmin=3,acdirmax=600", "600 s"), ("rw,softerr,acregmax=120", "soft"),
    ],
)  # fmt: skip
def test_options_that_take_a_guarantee_away_are_named(options: str, said: str) -> None:
    """Of NFS only, and as a warning: an older form is read, names come late, errors meet programs."""
    taken = frozenset(options.split(","))
    check = judge_mount_options(Mount("/x", "nfs4", "server:/x", taken))
    assert (check.severity == "warning") == bool(said)
    assert said in check.found
    assert judge_mount_options(Mount("/x", "ext4", "/dev/x", taken)).severity == "ok"


HOSTS = ["n1", "n2"]


@pytest.mark.parametrize(
    ("folder", "kind", "others", "severity"),
    [
        ("/tmp/me/runs", "ext4", HOSTS, "blocking"), ("/tmpfiles/runs", "ext4", HOSTS, "warning"),
        ("/scratch/runs", "tmpfs", HOSTS, "blocking"), ("/data/runs", "xfs", HOSTS, "warning"),
        ("/tmp/me", "nfs4", HOSTS, "ok"), ("/data", "lustre", HOSTS, "ok"),
        ("/tmp/me", "ext4", [], "ok"), ("/tmp/me", "ext4", None, "ok"),
    ],
)  # fmt: skip
def test_what_nodes_cannot_see_is_no_place_for_runs(
    folder: str, kind: str, others: list[str] | None, severity: str
) -> None:
    """Memory and /tmp of this machine block where nodes are other machines; a disk may be served, and is warned of."""
    check = judge_shared(folder, Mount("/", kind, "source"), others, "site")
    assert check.severity == severity
    assert bool(check.mend) == (severity != "ok")


@pytest.mark.parametrize(
    ("mode", "wants_group", "severity"),
    [
        (0o700, False, "ok"), (0o777, False, "warning"), (0o1777, False, "ok"), (0o700, True, "warning"),
        (0o750, True, "ok"),
    ],
)  # fmt: skip
def test_whom_a_folder_lets_in(mode: int, wants_group: bool, severity: str) -> None:
    """Everybody's is warned of without a sticky bit; the group has to pass where the profile opens runs to it."""
    assert judge_access("/x", 0, 0, mode, wants_group).severity == severity


QUOTA = """Disk quotas for user me (uid 1000):
     Filesystem   space   quota   limit   grace   files   quota   limit   grace
server:/export/home/with/a/long/name
                  900*     800    1000  1700000000  12       0       0       0
/dev/sdb1 5 0 0 0 100* 90 95 7days
"""
LFS = "       /scratch 12345678 0 20971520 - 42 0 1000 -\n"


def test_tables_of_quotas_are_read() -> None:
    """Long names on their own line, stars, graces as numbers or not, and what `lfs quota -q` prints."""
    assert parse_quotas(QUOTA) == [
        Quota("server:/export/home/with/a/long/name", 900, 800, 1000, 12, 0, 0),
        Quota("/dev/sdb1", 5, 0, 0, 100, 90, 95),
    ]
    assert parse_quotas(LFS) == [Quota("/scratch", 12345678, 0, 20971520, 42, 0, 1000)]
    assert parse_quotas("quota: error while getting quota\nnone\n") == []


@given(st.integers(0, 1 << 40), st.integers(0, 1 << 40), st.integers(0, 1 << 40))
def test_a_quota_blocks_when_it_is_used_up(used: int, soft: int, hard: int) -> None:
    """At its limit, or without a hard one at its quota; never where there is none."""
    mount = Mount("/x", "nfs", "server:/x")
    check = judge_quota([Quota("server:/x", used, soft, hard)], mount, None)
    most = (hard >> 10) or (soft >> 10)
    assert (check.severity is Severity.BLOCKING) == (most > 0 and used >> 10 >= most)


@given(st.sampled_from([GOT, REFUSED, BROKEN]), st.sampled_from([None, GOT, REFUSED, BROKEN]), st.booleans())
def test_a_lock_that_two_machines_hold_blocks(flock: int, between: int | None, once: bool) -> None:
    """Between this machine and a node, and between nodes; so does a name that was made twice."""
    seen = Seen("n1", flock=flock, between=between, once=once, memory_mib=512)
    found = {check.name: check for check in judge_nodes([seen, Seen("n2")], 1.0)}
    assert (found["node locks"].severity is Severity.BLOCKING) == (GOT in (flock, between))
    assert (found["node exclusive create"].severity is Severity.BLOCKING) == (not once)


@given(st.floats(-1e6, 1e6), st.floats(0, 100))
def test_a_node_clock_is_judged_by_what_can_be_told(skew: float, waited: float) -> None:
    """What may be the time that passed is no skew."""
    seen = read_seen({"host": "n1", "skew_s": skew, "of a later version": 1})
    found = {check.name: check for check in judge_nodes([seen], waited)}
    assert (found["node clock"].severity is Severity.OK) == (-2 <= skew <= waited + 2)


def test_of_optional_parts_only_those_that_are_needed_are_told_in_full() -> None:
    """What nobody needs now is a word each, not the packages of the documentation's site."""
    missing = {"report": ["pandas"], "docs-site": ["mkdocs"], "mcp": ["mcp"], "wandb": []}
    found = judge_optional(missing, {"report": "the report"})
    assert found.found == "report: pandas missing or too old (the report); not needed here: docs-site, mcp"
    assert "mkdocs missing" in judge_optional({"docs-site": ["mkdocs"]}, {}).found
