"""The parts of the report about runs: what happened to each, failures with their evidence, hours used and wasted."""

from collections.abc import Callable, Sequence

from analysis.data.frame import ExperimentFrame
from analysis.data.lineage import Fate
from analysis.figures.drawing import Drawing
from analysis.findings.attempts import FailedAttempt
from analysis.findings.findings import Findings
from analysis.findings.flow import find_flow, say_flow
from analysis.findings.resources import ResourceUse
from analysis.findings.usage import Usage
from analysis.page.carried import carry_csv
from analysis.page.document import (
    Bar,
    Block,
    Box,
    Bullets,
    Cell,
    Facts,
    Fold,
    Heading,
    Picture,
    Section,
    Table,
    Text,
    Tiles,
    cell,
)
from analysis.page.run_table import run_table
from analysis.words import (
    cut_note,
    plain,
    round_parts,
    run_link,
    share_text,
    show_duration,
    split_hours,
)
from hpc.core.forecast.forecast import say_memory
from hpc.core.words import amount

MAX_FAILURES = 100


def runs_section(findings: Findings, drawings: Sequence[Drawing]) -> Section:
    """What happened to every run, with sums that add up."""
    counts = findings.counts
    tiles = (
        (counts.planned, "planned"),
        (counts.finished, "finished"),
        (counts.failed_total, "failed"),
        (counts.running + counts.pending, "running or pending"),
        (counts.never_started, "never started"),
        (counts.retried, "several attempts"),
        (counts.healed, "healed"),
        (counts.continued, "merely continued"),
        (counts.altered, "altered"),
    )
    blocks: list[Block] = [
        Tiles(tuple((str(number), words) for number, words in tiles)),
        Bar(_parts(findings)),
        Text(f"{counts.sum_text}.", "lead"),
        Text(
            f"Among these, runs with more than one attempt: {counts.several_text}. Altered: {counts.altered}. Attempts "
            f"of all runs: {counts.attempts_text}."
        ),
        *(Picture(one) for one in drawings if one.topic == "flow"),
        Bullets(tuple(plain(text) for text in say_flow(find_flow(findings)))),
    ]
    if findings.healed:
        blocks += [Heading("Healed runs"), _healed_table(findings)]
    if findings.continued:
        blocks += [
            Heading("Continued attempts"),
            Text(
                "Checkpointed on request, preempted or lost with their node, then continued by a later attempt: these "
                "are not failures, and their hours belong to the result.",
                "note",
            ),
            _continued_table(findings),
        ]
    return Section("runs", "What happened to every run", tuple(blocks), "Runs")


def failures_section(findings: Findings) -> Section:
    """Every failed attempt with class, evidence and what was done, and what each class cost."""
    if not findings.failures:
        return Section("failures", "Failures and their evidence", (Text("No attempt failed."),), "Failures")
    blocks = (_class_table(findings), _failure_table(findings.failures))
    return Section("failures", "Failures and their evidence", blocks, "Failures")


def resources_section(frame: ExperimentFrame, findings: Findings, drawings: Sequence[Drawing]) -> Section:
    """Hours used and wasted, forecast against actual, and when the attempts ran."""
    blocks: list[Block] = [Box((Facts(tuple((name, plain(text)) for name, text in resource_facts(frame, findings))),))]
    blocks += [Picture(one) for one in drawings if one.topic == "resources"]
    if findings.resources.by_verdict:
        blocks.append(Fold("Hours by outcome of the attempt", (_spending_table(findings.resources),)))
    usage = findings.usage
    if usage.runs:
        blocks += [Heading("Used and requested"), Bullets(tuple(plain(text) for text in say_usage(usage)))]
        blocks.append(Fold("Each run: used and requested", (_usage_table(usage),)))
    return Section("resources", "Resources", tuple(blocks), "Resources")


def say_usage(usage: Usage) -> tuple[str, ...]:
    """Where the time went, energy, and what would do for the next sweep."""
    energy = (usage.energy,) if usage.energy else ()
    told = (*usage.time, *energy, *(f"next time: {each}" for each in usage.advice))
    return tuple(f"{each[0].upper()}{each[1:]}" for each in told)


def _usage_table(usage: Usage) -> Table:
    """A row for each run, the longest first; what was not measured is a dash."""
    has_gpus = any(one.gpus for one in usage.runs)
    rows = []
    for one in sorted(usage.runs, key=lambda run: -(run.longest_s or 0.0))[:MAX_FAILURES]:
        row = [
            cell(one.run_name),
            cell(one.attempts),
            _measured(one.longest_s, show_duration),
            _measured(one.time_share, _percent),
            _measured(one.peak_memory_mib, say_memory),
            _measured(one.memory_share, _percent),
            _measured(one.cores, "{:.2f}".format),
            _measured(one.cpu_share, _percent),
        ]
        if has_gpus:
            row += [_measured(one.gpu_busy, _percent), _measured(one.peak_gpu_memory_mib, say_memory)]
        rows.append((*row, _measured(usage.ettr.get(one.run_name), _percent)))
    head = [
        "run",
        "attempts",
        "longest attempt",
        "of limit",
        "memory",
        "of memory requested",
        "cores busy",
        "of cores requested",
    ]
    head += ["GPU busy", "GPU memory"] if has_gpus else []
    note = cut_note(len(usage.runs), MAX_FAILURES, "runs", "verdicts.json")
    return Table("usage", "Used and requested; –: not measured", (*head, "ETTR"), tuple(rows), (), note)


def _measured(value: float | None, say: Callable[[float], str]) -> Cell:
    return cell("–") if value is None else cell(say(value), value)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def every_run_section(frame: ExperimentFrame, findings: Findings, runs: str) -> Section:
    """The table of all runs, and all that is known of them (`runs`, a CSV) to take away."""
    carried = carry_csv(frame.layout.experiment, runs)
    return Section("every-run", "Every run", (carried, run_table(frame, findings)), "Every run")


def _parts(findings: Findings) -> tuple[tuple[str, int, str], ...]:
    counts = findings.counts
    parts = [("finished", counts.finished, "good")]
    parts += [(plain(f"failed: {name}"), count, "bad") for name, count in counts.failed.items()]
    parts += [("running", counts.running, "open"), ("pending", counts.pending, "open")]
    parts += [("never started", counts.never_started, "idle")]
    return tuple(one for one in parts if one[1])


def _healed_table(findings: Findings) -> Table:
    rows = tuple(
        (
            cell(one.run_name),
            cell(" → ".join(one.classes)),
            cell(one.how),
            cell("altered, kept out of means" if one.altered else "as asked", mark="warn" if one.altered else ""),
        )
        for one in findings.healed[:MAX_FAILURES]
    )
    return Table("healed", "Healed runs", ("run", "failed as", "what was changed", "the run is"), rows, (2,),
                 cut_note(len(findings.healed), MAX_FAILURES, "healed runs", "runs.csv"))  # fmt: skip


def _continued_table(findings: Findings) -> Table:
    rows = tuple(
        (
            cell(one.run_name, link=run_link(one.directory) if one.directory else ""),
            cell(one.attempt),
            cell(one.ended_as),
            cell(f"attempt {one.continued_in}" + ("" if one.has_result else ", the run has not finished yet")),
            cell(show_duration(one.elapsed_s), one.elapsed_s),
        )
        for one in findings.continued[:MAX_FAILURES]
    )
    return Table("continued", "Continued attempts", ("run", "attempt", "ended as", "continued in", "time"), rows, (),
                 cut_note(len(findings.continued), MAX_FAILURES, "continued attempts", "verdicts.json"))  # fmt: skip


def _class_table(findings: Findings) -> Table:
    """One row per failure class: attempts, runs lost for good, hours wasted."""
    use = findings.resources
    hours = {one.category: one.gpu_hours if use.has_gpu else one.cpu_hours for one in use.failed}
    *parts, _ = _hours_cells(list(hours.values()))
    cells = dict(zip(hours, parts, strict=True))
    attempts = {one.category: one.attempts for one in use.failed}
    runs: dict[str, set[int]] = {}
    for one in findings.failures:
        runs.setdefault(one.category, set()).add(one.row)
    total = sum(hours.values())
    rows = tuple(
        (
            cell(name, mark="bad"),
            cell(attempts[name]),
            cell(len(runs.get(name, ()))),
            cell(findings.counts.failed.get(name, 0)),
            cells[name],
            cell(share_text(hours[name], total) if total else "–", hours[name]),
        )
        for name in sorted(hours, key=lambda one: (-hours[one], one))
    )
    unit = "GPU hours" if use.has_gpu else "core hours"
    head = ("class", "failed attempts", "runs touched", "runs lost", f"{unit} wasted", "share of the waste")
    return Table("waste", f"{unit} wasted by failure class", head, rows)


def _failure_table(failures: Sequence[FailedAttempt]) -> Table:
    rows = tuple(
        (
            cell(one.run_name, link=run_link(one.directory) if one.directory else ""),
            cell(one.attempt),
            cell(one.category + (f" ({one.cause})" if one.cause else ""), mark="bad"),
            cell(one.rule),
            cell((f"{one.where}: " if one.where else "") + (one.evidence or "no line; " + one.summary), mark="code",
                 link=_log_link(one)),
            cell(one.action),
        )
        for one in failures[:MAX_FAILURES]
    )  # fmt: skip
    return Table("failures", "Failed attempts with their evidence",
                 ("run", "attempt", "class", "rule", "evidence", "action and why"), rows, (4, 5),
                 cut_note(len(failures), MAX_FAILURES, "failed attempts", "verdicts.json"))  # fmt: skip


def _log_link(one: FailedAttempt) -> str:
    """Where the evidence stands, if it is one of the run's own logs."""
    source = one.where.split(":", 1)[0]
    is_own = source.startswith(("stdout", "stderr"))
    return f"{run_link(one.directory)}/{source}.log" if one.directory and is_own else ""


def resource_facts(frame: ExperimentFrame, findings: Findings) -> list[tuple[str, str]]:
    """What was used, what of it was wasted, and how that compares with what was asked for."""
    use = findings.resources
    facts = []
    if use.has_gpu:
        facts += [
            ("GPU hours used", _hours_sum(use, gpu=True)),
            ("GPU hours requested", f"{amount(use.gpu_hours_asked, 'h')} (GPUs × time limit, all attempts)"),
        ]
    else:
        facts.append(("GPU hours used", "none: no attempt requested a GPU"))
    facts.append(("Core hours used", f"{_hours_sum(use, gpu=False)}; elapsed time × cores requested"))
    facts.append(_forecast_fact(use))
    facts += _time_facts(frame, use)
    asked = f" of {use.memory_asked_mib:.0f} MiB requested" if use.memory_asked_mib else ""
    peak = "not recorded" if use.peak_memory_mib is None else f"{use.peak_memory_mib:.0f} MiB{asked}"
    facts.append(("Peak host memory", peak))
    if use.peak_gpu_memory_mib is not None:
        facts.append(("Peak GPU memory", f"{use.peak_gpu_memory_mib:.0f} MiB"))
    return facts


def _forecast_fact(use: ResourceUse) -> tuple[str, str]:
    """What planning announced against what it came to."""
    used, unit = (use.gpu_hours, "GPU h") if use.has_gpu else (use.cpu_hours, "core h")
    words = f"at most {amount(use.forecast_h, unit)} (every task its whole limit); {amount(used, unit)} used"
    words = f"{words} ({share_text(used, use.forecast_h)})"
    return "Forecast and actual use", f"{use.learned}. {words[0].upper()}{words[1:]}" if use.learned else words


def _time_facts(frame: ExperimentFrame, use: ResourceUse) -> list[tuple[str, str]]:
    """Time asked for against time used."""
    mean = f"{show_duration(use.mean_run_s)} (n={use.runs_timed}), continued attempts included"
    facts = [("Mean time of a finished run", mean)]
    limits = frame.attempts["time_s"].dropna()
    if use.mean_run_s and len(limits):
        limit = float(limits.median())
        facts.append(
            (
                "Requested and used",
                f"time limit {show_duration(limit)} (median of the attempts); a finished run used "
                f"{share_text(use.mean_run_s, limit)} of it on average",
            )
        )
    return facts


def _hours_sum(use: ResourceUse, *, gpu: bool) -> str:
    """Write where the hours went, as a sum: ``5.20 h = 4.00 h in results (1.00 h of it in continued attempts) + …``."""
    exact = [one.gpu_hours if gpu else one.cpu_hours for one in use.by_verdict]
    split, hours = split_hours(exact), dict.fromkeys(Fate, 0.0)
    for one, value in zip(use.by_verdict, split.parts, strict=True):
        hours[Fate(one.fate)] += value
    continued = hours[Fate.CONTINUED]
    lost = sum(value for one, value in zip(use.by_verdict, exact, strict=True) if Fate(one.fate) is Fate.FAILED)
    used = f"{split.write(hours[Fate.SUCCESS] + continued)} in results"
    used += f" ({split.write(continued)} of it in continued attempts)" if continued else ""
    still_open = f" + {split.write(hours[Fate.OPEN])} in open ones" if hours[Fate.OPEN] else ""
    wasted = f"{split.write(hours[Fate.FAILED])} in failed attempts ({share_text(lost, sum(exact))})"
    return f"{split.write(split.total)} = {used} + {wasted}{still_open}"


def _hours_cells(hours: Sequence[float]) -> list[Cell]:
    """Cells of hours that add up, as they read and in files; the last is the sum."""
    split, (digits, places) = split_hours(hours), round_parts(hours)
    rows = zip((*split.parts, split.total), (*digits, sum(digits)), (*hours, sum(hours)), strict=True)
    return [Cell(split.write(shown), repr(float(exact)), file=f"{number:.{places}f}") for shown, number, exact in rows]


def _spending_table(use: ResourceUse) -> Table:
    *gpu, gpu_sum = _hours_cells([one.gpu_hours for one in use.by_verdict])
    *cpu, cpu_sum = _hours_cells([one.cpu_hours for one in use.by_verdict])
    rows = [
        (cell(one.category), cell(one.attempts), *hours) for one, *hours in zip(use.by_verdict, gpu, cpu, strict=True)
    ]
    total = (cell("sum", mark="strong"), cell(sum(one.attempts for one in use.by_verdict)), gpu_sum, cpu_sum)
    head = ("outcome of the attempt", "attempts", "GPU hours", "core hours")
    return Table("spending", "Hours by outcome of the attempt", head, (*rows, total))
