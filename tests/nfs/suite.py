"""Everything two hosts do at once on a real NFS, by the project's own functions; run inside `scripts/lab/machine`.

python -m tests.nfs.suite MOUNTS FILE      one of `MOUNTS`: what each did, written as JSON
python -m tests.nfs.suite faults FILE      quota, a holder cut off, the server restarted, soft mounts
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

from tests.nfs.hosts import Host, HostError, lab, on_nfs

MOUNTS = {
    "v4.2": "vers=4.2,actimeo=3",
    "v4.2-60s": "vers=4.2,actimeo=60",
    "v3": "vers=3,actimeo=3",
    "v3-nolock": "vers=3,actimeo=60,nolock",
}
LINES, BARE, CLAIMS, SUBMISSIONS, COUNTS, VERSIONS, ROWS = 25, 100, 8, 4, 8, 40, 300
USER = 1000


class Lab:
    """Two hosts, and what was found."""

    def __init__(self, first: Host, second: Host) -> None:
        self.first, self.second = first, second
        self.hosts = (self.first, self.second)
        self.found: dict[str, Any] = {}

    def note(self, name: str, act: Callable[[], Any]) -> None:
        """Keep what a part came to, or its error, and how long it took."""
        began = time.monotonic()
        try:
            self.found[name] = act()
        except (HostError, TimeoutError) as error:
            self.found[name] = {"error": str(error)}
        print(f"{name}: {time.monotonic() - began:.1f} s", flush=True)  # noqa: T201  the machine's own log

    def mount(self, options: str) -> str:
        """Mount the share on both hosts; a new folder in it."""
        for host in self.hosts:
            host.mount(options)
        base = f"/nfs/{time.monotonic_ns()}"
        self.first.run("make", base)
        return base

    def by_both(self, name: str, *arguments: Any) -> list[Any]:
        """Run a function in two processes on each host, all four at once."""
        calls = [host.start(name, *arguments, f"{host.number}{process}_1") for host in self.hosts for process in (1, 2)]
        return [call.result() for call in calls]


def at_once(lab_: Lab, base: str) -> None:
    """What has to hold on every mount, in a new folder that both hosts have."""
    first, second = lab_.hosts
    folders = {
        name: f"{base}/{name}" for name in ("ledger", "count", "claims", "submissions", "files", "fence", "kill")
    }
    for folder in folders.values():
        first.run("make", folder)
        second.run("exists", f"{folder}/number.json")  # known to be absent from now on

    def ledger() -> list[Any]:
        path = folders["ledger"] + "/l.jsonl"
        lab_.by_both("append", path, LINES)
        return [first.run("lines_of", path), second.run("raw_lines", path)]

    def bare() -> int:
        path, at = folders["ledger"] + "/bare.jsonl", time.time() + 2
        calls = [host.start("append_bare", path, str(host.number), BARE, at) for host in lab_.hosts]
        [call.result() for call in calls]
        return len(first.run("lines_of", path))

    def count() -> list[int]:
        lab_.by_both("count", folders["count"], COUNTS)
        return [host.run("number", folders["count"]) for host in lab_.hosts]

    def claims() -> list[Any]:
        won = lab_.by_both("claim", folders["claims"], CLAIMS)
        return [sorted(chain.from_iterable(won)), second.run("claimed_by", folders["claims"], CLAIMS)]

    def submissions() -> list[Any]:
        got = lab_.by_both("submit", folders["submissions"], SUBMISSIONS)
        return [sorted(chain.from_iterable(got)), first.run("scripts_of", folders["submissions"])]

    def replaced() -> Any:
        path = folders["files"] + "/replaced.json"
        second.run("exists", path)
        writer = first.start("replace", path, VERSIONS, 3000)
        reader = second.start("watch_replaced", path, VERSIONS, 30)
        writer.result()
        return reader.result()

    def metrics() -> list[Any]:
        path = folders["files"] + "/metrics.h5"
        second.run("exists", path)
        writer = first.start("write_metrics", path, ROWS, 0.002)
        reader = second.start("watch_metrics", path, 40)
        return [writer.result(), reader.result()]

    def second_writer() -> list[str]:
        path = folders["files"] + "/alone.h5"
        writer = first.start("write_metrics", path, 10**6, 0.005)
        second.run("appear", path, 30, True)
        refused = second.run("write_metrics", path, 5, 0)
        writer.kill()
        return list(refused)

    def fence() -> list[Any]:
        watching = first.start("watch_attempt", folders["fence"], 30)
        time.sleep(1.5)
        made = second.run("supersede", folders["fence"])
        why, seen = watching.result()
        return [why, seen - made]

    def late() -> list[float]:
        path = folders["files"] + "/late"
        second.run("exists", path)
        first.run("make", path)
        return [second.run("appear", path, 10, True), second.run("is_there", path)]

    def killed() -> float:
        path = folders["kill"] + "/lock"
        holder = first.start("hold", path, 60, folders["kill"] + "/note.json")
        second.run("appear", folders["kill"] + "/note.json", 30, True)
        waiting = second.start("take", path, 50)
        time.sleep(0.5)
        holder.kill()
        began = time.monotonic()
        waiting.result()
        return time.monotonic() - began

    parts = (ledger, bare, count, claims, submissions, replaced, metrics, second_writer, fence, late, killed)
    for part in parts:
        lab_.note(part.__name__, part)
    lab_.note("locks", lambda: first.run("locks", base))


def faults(lab_: Lab) -> None:
    """What has to hold when the server, the network or the room gives out."""
    first, second = lab_.hosts
    base = lab_.mount("vers=4.2,actimeo=3")
    own = Path("/srv/exp/u")
    own.mkdir()
    os.chown(own, USER, USER)
    subprocess.run(["setquota", "-u", str(USER), "0", "1500", "0", "0", "/srv/exp"], check=True)

    def quota() -> dict[str, Any]:
        for name, more in (("replace", ["/nfs/u/kept.json", 1, 10]), ("append", ["/nfs/u/ledger.jsonl", 3, "a"])):
            first.start(name, *more, user=USER).result()
        filled = first.start("fill", "/nfs/u/big", user=USER).result()
        return {"filled": filled, **first.start("write_when_full", "/nfs/u", user=USER).result()}

    def metrics_at_quota() -> list[Any]:
        for path in own.iterdir():
            path.unlink()
        writer = first.start("write_metrics", "/nfs/u/metrics.h5", 3000, 0.001, user=USER)
        time.sleep(0.5)
        second.start("fill", "/nfs/u/big", user=USER).result()
        said = writer.result()
        return [said, second.start("watch_metrics", "/nfs/u/metrics.h5", 2, user=USER).result()]

    def cut_off() -> dict[str, Any]:
        holder = first.start("hold", f"{base}/lock", 16, f"{base}/note.json")
        second.run("appear", f"{base}/note.json", 30, True)
        lab("cut_off 1")
        waited = second.run("take", f"{base}/lock", 50)
        second.run("append", f"{base}/note.jsonl", 2, "b")
        lab("reconnect 1")
        held = holder.result()
        return {"waited": waited, "holder": held, "lines": second.run("lines_of", f"{base}/note.jsonl")}

    def restarted() -> dict[str, Any]:
        appending = [host.start("append", f"{base}/restart.jsonl", 80, str(host.number)) for host in lab_.hosts]
        writer = first.start("write_metrics", f"{base}/metrics.h5", 800, 0.003)
        claiming = second.start("claim", f"{base}/claims", 20, "9_1")
        time.sleep(0.5)
        lab("stop_server")
        time.sleep(1)
        lab("start_server")
        done = [call.result() for call in appending]
        return {
            "appended": done, "claimed": claiming.result(), "metrics": writer.result(),
            "lines": len(second.run("lines_of", f"{base}/restart.jsonl")),
            "rows": second.run("watch_metrics", f"{base}/metrics.h5", 5),
        }  # fmt: skip

    def soft() -> dict[str, Any]:
        first.unmount()
        first.mount("vers=4.2,soft,timeo=10,retrans=1,actimeo=3")
        first.run("replace", f"{base}/kept.json", 1, 10)
        first.run("append", f"{base}/ledger.jsonl", 3, "a")
        writer = first.start("write_metrics", f"{base}/soft.h5", 5000, 0.003)
        time.sleep(1.5)
        lab("cut_off 1")
        away = first.start("replace", f"{base}/kept.json", 2, 10)
        try:
            told = str(away.result())
        except HostError as error:
            told = str(error)
        lab("reconnect 1")
        said = writer.result()
        rows = second.run("watch_metrics", f"{base}/soft.h5", 5)
        return {"told": told, "said": said, "rows": rows, "after": first.run("write_when_full", base)}

    for part in (quota, metrics_at_quota, cut_off, restarted, soft):
        lab_.note(part.__name__, part)


def main() -> None:
    """Run one part and write down what it found."""
    lab_ = Lab(on_nfs(1), on_nfs(2))
    if sys.argv[1] == "faults":
        faults(lab_)
    else:
        for name in sys.argv[1].split(","):
            before, lab_.found = lab_.found, {}
            at_once(lab_, lab_.mount(MOUNTS[name]))
            for host in lab_.hosts:
                host.unmount()
            lab_.found = {**before, name: lab_.found}
    Path(sys.argv[2]).write_text(json.dumps(lab_.found), encoding="utf-8")


if __name__ == "__main__":
    main()
