"""Writes ``docs/scale.md`` from what was played (``results.json``), measured and checked, with its pictures."""

import json
import re
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.measuring import PROJECT
from benchmarks.simulation import check, figures, study
from benchmarks.simulation.campaign import Habits
from benchmarks.simulation.costs import FEEDING_CALLS, QUIET_CALLS, measured, our_costs
from benchmarks.simulation.policies import Blind, Ours
from benchmarks.simulation.traces import ACME, DAYS, FAULTS, NODES, PHILLY, TRACES

PAGE = PROJECT / "docs" / "scale.md"
PICTURES = PROJECT / "docs" / "scale"
RESULTS = Path(__file__).with_name("results.json")
SMALL = 2_000
AT_ONCE = 4
"""Campaigns played at a time; a million tasks take about a gigabyte."""
WIDTH = 116
"""Characters of a line of prose."""
Row = Mapping[str, Any]
ENDS = ("in vain", "… GPU-hours", "given up, could be healed", "taken for a result")

HEAD = """# A million tasks, by simulation

Written by `python -m benchmarks.simulation --write`; do not edit.

No machine here has 10,000 GPUs. This page asks a model instead: cluster, controller, file system and our
[unattended loop](unattended.md) as discrete events ([simpy](https://simpy.readthedocs.io)). What to try again,
how to divide
arrays, when to look again and when to stop is not modelled: it is the code of `hpc.core` itself that is called.
What tasks
suffer comes from published traces, what our operations cost was counted here, and all that [goes
in](#what-goes-in) has its
source. Single campaigns unless an interval stands beside a number; intervals are 95 % over
{seeds} seeds.

Words: *finished* is the share of tasks with their result among those that could have one. *Goodput* is the work
that is in
results as a share of the time that tasks held GPUs. *In vain* are attempts after the first of tasks that no
retry helps.
*Taken for a result* are failures that nobody would notice.
"""

OUT = """## What the model leaves out

- **Slurm's own scheduling.** Elements begin in the order in which they were submitted, on the next free place.
  Other users,
  priorities, backfill and the controller's own speed are not there: calls are counted, their answers come at once.
- **What a file system does under load.** Operations are counted, not timed. A collection takes its processor
  time, so on a
  slow NFS it takes longer.
- **Runs under way.** A collection looks at them, too; only runs that are over are counted.
- **One program.** Traces mix the jobs of many users; a sweep runs one program, and its failures come in droves. The
  [circuit breaker](retry-policy.md), which then holds the rest, is off in the model. It would only help ours.
- **People.** Nobody mends storage and releases the experiment, reads a declined task, or stops a blind loop by hand.
- **Checkpoints are given to all.** Every policy's next attempt goes on from the last one, an hour apart.
- **Cures work.** Out of memory is mended by up to 2.25 times the memory or a quarter of the micro-batch, drawn evenly;
  whether something passes or lasts is our reading of the traces' rows.
- **The classifier errs as on its corpus**, which was collected to be hard: of everyday failures fewer are
  mistaken. Slurm's
  states stand for what the others see, on the same cases.
- **Successes that are called failures**, 10.5 % of a corpus of successes that sound deadly, are left out for all.
"""


def play_all() -> None:
    """Play every campaign of the page, several at once, and keep the results."""
    parts: list[tuple[str, Callable[[], list[dict[str, Any]]]]] = [
        *(("large", partial(study.large, trace)) for trace in TRACES),
        ("anew", partial(study.were_failures_judged_anew, ACME)),
        ("compared", study.compared),
        ("own", study.at_their_own),
        ("mistaken", study.mistaken),
        ("widths", study.widths),
    ]
    when = time.strftime("%Y-%m-%d", time.gmtime())
    content: dict[str, Any] = {"when": when, "seeds": len(study.SEEDS), "few": study.FEW}
    with ProcessPoolExecutor(AT_ONCE) as pool:
        played = [(name, pool.submit(part)) for name, part in parts]
        for name, future in played:
            content[name] = [*content.get(name, ()), *future.result()]
            print(f"played: {name}", flush=True)
    RESULTS.write_text(json.dumps(_rounded(content)) + "\n", encoding="utf-8")


def _rounded(value: Any) -> Any:
    """Numbers to six digits: nobody reads more."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, Mapping):
        return {key: _rounded(each) for key, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, list) else value


def write() -> None:
    """Write the page and its pictures."""
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    parts = (short, million, policies, not_better, mistakes, wide, checked, inputs)
    head = HEAD.format(seeds=results["seeds"])
    text = "\n".join([head, *(part(results) for part in parts), OUT, small()])
    PAGE.write_text(wrapped(text), encoding="utf-8")


def wrapped(text: str) -> str:
    """Fill the lines of paragraphs and lists; tables, headings and pictures stay as they are."""
    blocks = []
    for block in text.strip().split("\n\n"):
        if block.startswith(("|", "#", "!")):
            blocks.append(block)
            continue
        items = re.split(r"\n(?=- )", block) if block.startswith("- ") else [block]
        blocks.append("\n".join(_filled(" ".join(each.split())) for each in items))
    return "\n\n".join(blocks) + "\n"


def _filled(text: str) -> str:
    """One paragraph or item in lines; links and code are not torn apart."""
    whole = re.sub(r"\[[^]]*\]\([^)]*\)|`[^`]*`", lambda found: found[0].replace(" ", "\0"), text)
    indent = "  " if text.startswith("- ") else ""
    lines = textwrap.fill(whole, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return lines.replace("\0", " ")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, its first column to the left."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([f"| {' | '.join(head)} |", f"|---|{'---:|' * (len(head) - 1)}", *lines, ""])


def percent(value: float | Row) -> str:
    """A share, with its interval where it has one."""
    if isinstance(value, Mapping):
        return f"{100 * value['mean']:.1f} ± {100 * value['half']:.1f} %"
    return f"{100 * value:.1f} %"


def count(value: float | Row) -> str:
    """A number, with its interval where it has one."""
    if isinstance(value, Mapping):
        return f"{value['mean']:,.0f} ± {value['half']:,.0f}"
    return f"{value:,.0f}"


def _of(rows: Sequence[Row], **wanted: object) -> Row:
    """The row that has these values."""
    (row,) = (row for row in rows if all(row[key] == value for key, value in wanted.items()))
    return row


def _largest(results: Row) -> list[Row]:
    most = max(row["tasks"] for row in results["large"])
    return [row for row in results["large"] if row["tasks"] == most]


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:,.0f} min" if seconds >= 300 else f"{seconds:,.0f} s"


def short(results: Row) -> str:
    """What comes out, in a few sentences."""
    most, few = _largest(results), min(row["tasks"] for row in results["large"])
    calls, peak = max(row["calls"] for row in most), max(row["calls_peak"] for row in most)
    own, passing = results["own"], f"{PHILLY.name}, all pass"
    ours, blind = (_of(own, trace=PHILLY.name, policy=name) for name in (Ours.name, Blind.name))
    ours_p, blind_p = (_of(own, trace=passing, policy=name) for name in (Ours.name, Blind.name))
    longest, tasks = max(row["longest_s"] for row in most), most[0]["tasks"]
    return f"""## In short

- **The controller does not notice.** {tasks:,} tasks on {tasks // study.TASKS_A_GPU:,} GPUs start at most
  {calls:.1f} Slurm
  clients a minute on average, {peak:.0f} in the busiest minute: calls follow rounds and arrays, not tasks.
- **The collector does.** Its longest collection takes {_minutes(longest)} of processor time, where {few:,} tasks take
  {_minutes(max(row["longest_s"] for row in results["large"] if row["tasks"] == few))}: every round asks
  of every run whether its files are as they were.
  {_beyond(results)}
- **Results.** With failures as on Philly {percent(ours["finished"])} of what can finish does, by blind retry
  {percent(blind["finished"])}; goodput {percent(ours["goodput"])} beside {percent(blind["goodput"])}. Attempts in vain:
  {count(ours["vain"])} beside {count(blind["vain"])} of {results["few"]:,} tasks.
- **Not better** where every failure passes by itself: blind retry finishes {percent(blind_p["finished"])}, this loop
  {percent(ours_p["finished"])}, because it leaves storage to a person, and takes some failures for what no retry mends.
"""


def _beyond(results: Row) -> str:
    """The first size at which a collection is longer than the time between two looks."""
    every_s = study.site(1_000, PHILLY).every_s
    over = [row["tasks"] for row in results["large"] if row["longest_s"] > every_s]
    if not over:
        return ""
    return f"At {min(over):,} tasks it takes longer than the {every_s / 60:.0f} minutes between two looks."


def million(results: Row) -> str:
    """A million tasks on 10,000 GPUs, and how it grows."""
    rows = _largest(results)
    lines: list[tuple[str, Callable[[Row], str]]] = [
        ("campaign, days", lambda row: f"{row['days']:.1f}"),
        ("attempts", lambda row: count(row["attempts"])),
        ("finished", lambda row: percent(row["finished"])),
        ("goodput", lambda row: percent(row["goodput"])),
        ("attempts lost with their node", lambda row: count(row["lost"])),
        ("rounds of the loop", lambda row: count(row["rounds"])),
        ("arrays submitted", lambda row: count(row["arrays"])),
        ("Slurm clients a minute: mean", lambda row: f"{row['calls']:.2f}"),
        ("… in the busiest minute", lambda row: count(row["calls_peak"])),
        ("metadata operations a second: mean", lambda row: count(row["metadata"])),
        ("… in the busiest minute", lambda row: count(row["metadata_peak"])),
        ("longest collection", lambda row: _minutes(row["longest_s"])),
        ("share of the campaign in which the loop collects", lambda row: percent(row["collector_share"])),
    ]
    tasks = rows[0]["tasks"]
    head = [f"{tasks:,} tasks, {tasks // study.TASKS_A_GPU:,} GPUs", *(row["trace"] for row in rows)]
    picture = figures.draw(
        PICTURES, "growth", 3, partial(figures.by_tasks, rows=results["large"]),
        "Slurm clients in the busiest minute, metadata operations a second and the longest collection, "
        "from 1,000 to a million tasks",
    )  # fmt: skip
    return f"""## A million tasks on 10,000 GPUs

One GPU a task, failures and run times as on three clusters, and our loop.

{table(head, [(name, *map(show, rows)) for name, show in lines])}
{_were_judged_anew(results, rows)}

{picture}
"""


def _were_judged_anew(results: Row, rows: Sequence[Row]) -> str:
    """What the collections would take, were failures not remembered as finished runs are."""
    (then,) = results["anew"]
    now = _of(rows, trace=then["trace"])
    return (
        "Runs that have failed for good are remembered, as finished ones are. Were each collection to judge them anew, "
        f"the longest one on {then['trace']} would take {_minutes(then['longest_s'])} instead of "
        f"{_minutes(now['longest_s'])}, and the campaign {then['days']:.1f} days instead of {now['days']:.1f}: between "
        "two rounds the queue runs dry."
    )


def policies(results: Row) -> str:
    """The three policies, with each trace's own failures and with fewer or more of them."""
    own = [row for row in results["own"] if "all pass" not in row["trace"]]
    pictures = [
        figures.draw(
            PICTURES, what, 2, partial(figures.by_failures, rows=results["compared"], what=what, label=label),
            f"{label} of no retry, blind retry and this loop over the share of attempts that fail, on Acme and Philly",
        )
        for what, label in (("goodput", "goodput"), ("finished", "finished"))
    ]  # fmt: skip
    return f"""## Three ways to answer failures

*No retry*, *blind retry* (everything that did not end with 0 again as it was, up to three times), and *this loop*.
{results["few"]:,} tasks on {results["few"] // study.TASKS_A_GPU} GPUs: while a task takes one GPU, goodput does not
depend on
the size of the cluster.

{_policy_table(own)}
Over the share of attempts that fail for what is in the task, with the causes of two traces; bars are 95 % intervals:

{pictures[0]}

{pictures[1]}
"""


def _policy_table(rows: Sequence[Row]) -> str:
    head = ("", "", "finished", "goodput", "attempts", *ENDS)
    return table(
        head,
        [
            (
                row["trace"], row["policy"], percent(row["finished"]), percent(row["goodput"]), count(row["attempts"]),
                count(row["vain"]), count(row["vain_h"]), count(row["refused"]), count(row["wrong"]),
            )
            for row in rows
        ],
    )  # fmt: skip


def not_better(results: Row) -> str:
    """Where blind retry is as good or better."""
    rows = [row for row in results["own"] if "all pass" in row["trace"]]
    again, ours = (_of(results["own"], trace="Acme", policy=name) for name in (Blind.name, Ours.name))
    return f"""## Where this loop is not better

**Everything passes by itself.** The same share of attempts fails, but only for reasons that go away. Then
trying again is
always right, and each refusal is a loss: this loop gives up what it takes for a bug, leaves full or failing
storage to a
person, and stops after three lost connections in a row without progress.

{_policy_table(rows)}
**Failures die early.** On Acme most are errors of scripts within minutes. Blind retry makes
{count(again["vain"])} attempts in vain, which cost {count(again["vain_h"])} GPU-hours, and finishes
{percent(again["finished"])} of what can finish; ours {percent(ours["finished"])}.

**Only nodes fail.** Then both do the same: see [faults of nodes](#faults-of-nodes).
"""


def mistakes(results: Row) -> str:
    """What errors of the classifier cost."""
    rows = results["mistaken"]
    said = {0.0: "always right", 1.0: "as measured", 2.0: "wrong twice as often"}
    lines = [
        (
            row["trace"], said[row["errors"]], percent(row["finished"]), percent(row["goodput"]), count(row["vain"]),
            count(row["vain_h"]), count(row["refused"]), count(row["wrong"]),
        )
        for row in rows
    ]  # fmt: skip
    each = {row["trace"]: row["vain_h"]["mean"] / max(1.0, row["vain"]["mean"]) for row in rows if row["errors"] == 1.0}
    told = ", ".join(f"{60 * hours:.0f} minutes on {trace}" for trace, hours in each.items())
    return f"""## What the classifier's errors cost

Each failure gets the verdict that the [classifier](failure-classifier.md) gave to a held-out case of the same class.
An attempt in vain holds its GPU for {told}, start-up included. What is given up costs a person's look; what is
taken for a
result is the error that nobody sees.

{table(("", "classifier", "finished", "goodput", *ENDS), lines)}"""


def wide(results: Row) -> str:
    """Faults of nodes over the GPUs of a task."""
    picture = figures.draw(
        PICTURES, "nodes", 1, partial(figures.by_width, rows=results["widths"]),
        "Goodput of no retry, blind retry and this loop over the GPUs of a task when only nodes fail",
    )  # fmt: skip
    rows = [
        (f"{row['gpus']:,}", row["policy"], percent(row["finished"]), percent(row["goodput"]))
        for row in results["widths"]
        if row["gpus"] in (8, 512, 1024)
    ]
    return f"""## Faults of nodes

1,250 nodes of eight GPUs with {1000 * PHILLY.faults_per_node_day:.1f} faults per 1,000 node-days. A task of one
GPU hardly meets one;
a task of 1,024 for a day does half of the time. Whoever goes on from the last checkpoint loses little, blindly or not.

{table(("GPUs of a task", "", "finished", "goodput"), rows)}
{picture}
"""


def checked(_: Row) -> str:
    """The model beside a real Slurm."""
    kept = check.kept()
    machine, real, said = kept["machine"], kept["measured"], kept["modelled"]
    words = {
        "tasks": "tasks", "finished": "finished", "attempts": "attempts",
        "makespan_s": "seconds until the last attempt ended", "arrays": "arrays", "calls": "Slurm clients started",
        "rounds": "rounds of the loop", "collect_cpu_s": "processor seconds of a cold collection",
    }  # fmt: skip
    allowed = {name: "equal" if share == 0 else f"{share:.0%}" for name, share in check.TOLERANCE.items()}
    allowed |= dict.fromkeys(check.BY_ONE, "one")
    allowed |= {name: f"{allowed[name]} and one round" for name in ("makespan_s", "calls")}
    rows = [(word, f"{real[name]:,}", f"{said[name]:,}", allowed.get(name, "")) for name, word in words.items()]
    return f"""## Held against a real Slurm

{real["tasks"]} tasks that sleep two to four seconds, on a Slurm of {machine["nodes"]} nodes with
{machine["slots"]} places each on one machine: one in six has a bug, one in ten runs out of memory, one in ten loses
its connection once. Nobody typed anything after `submit --follow`, and a proxy before each Slurm client counted. The
model was told from the same run's records how long single steps take there (an element's start
{machine["launch_s"]} s, a relay's {machine["relay_s"]} s, a round {machine["round_s"]} s), and none of its totals.

{table(("", "Slurm", "model", "may differ by"), rows)}
`tests/cluster/test_simulation.py` does it again with 36 tasks. Agreement at this size says that the loop is
played as it is;
it says nothing of a file system under a million tasks.
"""


def inputs(_: Row) -> str:
    """Everything that goes in, with its source."""
    rows = [*_of_traces(), *_of_ours()]
    return f"""## What goes in

Causes with counts, classes and what ends them: `benchmarks/simulation/traces.py`. Acme's are Table 3 of arXiv
2403.07648 (its node faults left to the faults of nodes), Philly's Table 7 of Jeon et al. (ATC 2019), RSC-1's the states
its jobs end in. Figures of papers were taken as others quote them, and added up: Philly's rows give its 39,776 trials,
Acme's 281 infrastructure failures are the 11 % of its text. `cluster_summary.csv` is that of InternLM/AcmeTrace
(CC-BY-4.0).

{table(("input", "value", "source"), rows).replace("---:", "---")}"""


def _of_traces() -> Iterator[tuple[str, str, str]]:
    """Inputs that others published, and what is assumed."""
    for trace in TRACES:
        times = f"median {trace.median_s:,.0f} s, mean {trace.mean_s:,.0f} s, log-normal"
        yield f"{trace.name}: run times", times, trace.source
        yield f"{trace.name}: attempts that fail", f"{trace.failing:.1%}, by {len(trace.causes)} causes", "the same"
    of_nodes = f"{FAULTS} faults of {NODES} nodes in {DAYS} days, InfiniteHBD-Trace (Apache-2.0, arXiv 2502.03885)"
    rate = f"{1000 * FAULTS / (NODES * DAYS):.2f} per 1,000 node-days; RSC-1 6.50"
    yield "faults of a node", rate, f"{of_nodes}; arXiv 2410.21680"
    yield "until a node is back", "median 20 h, mean 133 h: twenty quantiles", "the same 584 faults"
    yield "longest run", "7 days", "arXiv 2410.21680"
    yield "between checkpoints", f"{Habits().checkpoint_s / 3600:.0f} h", "as arXiv 2410.21680 assumes for RSC-1"
    yield "start-up of an attempt", f"{Habits().startup_s:.0f} s", "assumed"
    yield "elements queued at most", "two for each GPU; 1,000 in an array", "assumed; the profile's default"


def _of_ours() -> Iterator[tuple[str, str, str]]:
    """Inputs that were counted here."""
    costs, found = our_costs(), measured()
    here = f"`python -m benchmarks.simulation --measure`, {found['when']}, commit {found['commit']}"
    yield "between looks", "10 to 30 minutes", "`follow.every`; `next_interval` of `hpc.core.slurm.successors`"
    clients = f"{QUIET_CALLS}, {FEEDING_CALLS} more to submit; sbatch for arrays and relays"
    yield "Slurm clients of a round", clients, "proxy before a real Slurm's clients, `tests/cluster/test_simulation.py`"
    of_wrapper = f"{costs.wrapper_metadata:,.0f} an attempt below the run folder, our frozen code included"
    yield "metadata operations of the wrapper", of_wrapper, here
    kinds = "a new run", "a finished one known", "a failed one known"
    operations = costs.new_metadata, costs.settled_metadata, costs.failed_metadata
    told = ", ".join(f"{value:,.0f} {kind}" for value, kind in zip(operations, kinds, strict=True))
    yield "metadata operations of a collection", told, here
    times = costs.new_s, costs.settled_s, costs.failed_s
    told = ", ".join(f"{1000 * value:,.2f} ms {kind}" for value, kind in zip(times, kinds, strict=True))
    yield "processor time of a collection", f"{told}; {costs.start_s:.1f} s to start", here
    by_class = "what was said of held-out cases of the same class"
    yield "verdicts", by_class, f"[failure-classifier.md](failure-classifier.md); {here}"


def small_table() -> str:
    """A small campaign of each policy."""
    rows = []
    for name in study.NAMES:
        row = study.figures(study.play(PHILLY, name, SMALL, 0, errors=0.0))
        rows.append(
            (name, percent(row["finished"]), percent(row["goodput"]), count(row["attempts"]), count(row["arrays"]))
        )
    return table(("", "finished", "goodput", "attempts", "arrays"), rows)


def small() -> str:
    """The section of the small campaign."""
    return f"""## A small campaign

`python -m benchmarks.simulation` plays it, and a test: {SMALL:,} tasks on {SMALL // study.TASKS_A_GPU} GPUs
with failures as on Philly, seed 0, and a classifier that is always right.

{small_table()}"""
