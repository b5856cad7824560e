"""The parts of the report that quote and record: what was asked, how it was set up, limits, files."""

from collections.abc import Mapping, Sequence
from typing import Any

from analysis.data.frame import ExperimentFrame
from analysis.findings.answer import CriterionAnswer
from analysis.findings.deviations import KINDS
from analysis.findings.findings import Findings
from analysis.page.document import Block, Box, Bullets, Code, Facts, Fold, Heading, Links, Section, Table, Text, cell
from analysis.words import pairs_text, plain, plain_json, short_list, show_minute, show_time
from hpc.core.words import counted

_SHOWN_RUNS = 12
_BRIEF_TITLES = {
    "goal": "Goal",
    "hypothesis": "Hypothesis",
    "success": "Criterion of success",
    "data": "Data",
    "splits": "Splits",
    "known_issues": "Known issues of the data",
    "model": "Model",
    "baseline": "Baseline",
    "tuning": "How both were tuned",
    "metrics": "Metrics",
    "constraints": "Constraints",
    "decision": "Decision that depends on it",
    "if_wrong": "If the hypothesis is wrong",
    "stage": "Stage",
}


def verdict_section(findings: Findings) -> Section:
    """What the primary metric shows, in plain words."""
    texts = tuple(
        Text(plain(text), "caution" if text.startswith("Caution:") else ("" if place else "lead"))
        for place, text in enumerate(findings.verdict)
    )
    return Section("verdict", "The verdict in full", (Box(texts, "verdict"),), "Verdict")


def question_section(frame: ExperimentFrame, findings: Findings, answer: CriterionAnswer | None) -> Section:
    """The brief as it was planned, what became of its criterion, and what identifies the experiment."""
    brief = brief_facts(frame)
    stated: tuple[Block, ...] = (Text("No brief is recorded with this experiment."),)
    if brief:
        is_open = answer is None and frame.spec["brief"].get("success")
        quoted = "Quoted from the brief." + (" The criterion of success is quoted, not evaluated." if is_open else "")
        stated = (Facts(brief), Text(quoted, "note"))
    identity = Facts(identity_facts(frame, findings))
    return Section(
        "question",
        "What was asked",
        (Box(stated), *_answer_blocks(answer), *_later_blocks(findings), Heading("Identity"), Box((identity,))),
        "Question",
    )


def _answer_blocks(answer: CriterionAnswer | None) -> tuple[Block, ...]:
    """The criterion and its answer, clause by clause."""
    if answer is None:
        return ()
    return (
        Heading("The criterion and its answer"),
        Box((Text(plain(answer.sentence), "lead"), Facts((("Criterion", plain(answer.criterion)),)))),
        *_clause_table("criterion", answer),
    )


def _later_blocks(findings: Findings) -> tuple[Block, ...]:
    """What was asked only after runs had begun: it explores, whatever it comes out as."""
    later = findings.later
    if later is None:
        return ()
    facts = [("Primary metric", plain(later.primary))]
    facts += [("Criterion", plain(later.answer.criterion))] if later.answer else []
    return (
        Heading(later.headline),
        Box((Text(plain(later.sentence)), Facts(tuple(facts)))),
        *(_clause_table("criterion-later", later.answer) if later.answer else ()),
    )


def _clause_table(name: str, answer: CriterionAnswer) -> tuple[Block, ...]:
    words = {True: ("met", "good"), False: ("not met", "bad"), None: ("open", "warn")}
    rows = []
    for one in answer.clauses:
        word, mark = words[one.met] if one.shown or not one.met else ("met at face value", "warn")
        rows.append((cell(one.text, mark="code"), cell(one.measured), cell(word, mark=mark), cell(one.note or "–")))
    if not rows:
        return ()
    head = ("what the criterion asks", "measured", "as measured", "n, and why it is open")
    return (Table(name, f"The criterion: {answer.ruling.value}", head, tuple(rows), (0, 3)),)


def registration_section(findings: Findings) -> Section:
    """What was sealed before the runs, and everything that was done otherwise."""
    found = findings.registration
    facts = [("Standing", found.headline)]
    facts += [
        (
            f"Seal {place}",
            f"{show_minute(seal.time)}, {seal.digest[:16]}, {counted(seal.attempts_before, 'attempt')} had begun"
            + ("; this one's question is answered" if seal is found.counting and len(found.seals) > 1 else ""),
        )
        for place, seal in enumerate(found.seals, start=1)
    ]
    facts += [("Problem", found.problem)] if found.problem else []
    early = sum(one.is_early for one in found.looks)
    facts.append(("Times results were shown", f"{len(found.looks)}, {early} of them before every run had ended"))
    if found.unchecked:
        facts.append(
            (
                "Not checked",
                f"the folders of {counted(found.unchecked, 'finished run is', 'finished runs are')} not there to "
                "compare with",
            )
        )
    rows = tuple((cell(KINDS[one.kind]), cell(one.text), cell(_named(one.runs))) for one in found.deviations)
    table = Table("deviations", "Deviations from the sealed plan", ("deviation", "what", "runs"), rows, (0, 1, 2))
    shown: Block = table if rows else Text("No deviation was found.")
    told = tuple((name, plain(text)) for name, text in facts)
    return Section("registration", "Registration and deviations", (Box((Facts(told),)), shown), "Registration")


def _named(runs: Sequence[str]) -> str:
    more = f" and {len(runs) - _SHOWN_RUNS} more" if len(runs) > _SHOWN_RUNS else ""
    return ", ".join(runs[:_SHOWN_RUNS]) + more or "–"


def brief_facts(frame: ExperimentFrame) -> tuple[tuple[str, str], ...]:
    """What the brief says, in its own words; nothing where it has but a stage, which stands there unasked."""
    brief = frame.spec.get("brief") or {}
    if brief.keys() <= {"stage"} and brief.get("stage") != "confirmatory":
        return ()
    return tuple((title, plain(str(brief[key]))) for key, title in _BRIEF_TITLES.items() if brief.get(key))


def identity_facts(frame: ExperimentFrame, findings: Findings) -> tuple[tuple[str, str], ...]:
    """What the experiment is called, when it was planned and collected, what was varied."""
    created = (frame.manifest.get("provenance") or {}).get("created")
    return (
        ("Manifest", frame.manifest_sha),
        ("Type", plain(str(frame.spec.get("type") or "not declared"))),
        ("Planned", show_time(created)),
        ("Results collected", show_time(frame.collected)),
        ("Primary metric", primary_text(findings)),
        ("Parameter space", plain(space_text(frame.spec))),
    )


def limitations_section(findings: Findings) -> Section:
    """What the reader has to keep in mind."""
    return Section("limitations", "Limitations", (Bullets(tuple(map(plain, findings.limitations))),), "Limitations")


def checklist_section(findings: Findings) -> Section:
    """What reviewers ask of experiments, filled in."""
    note = (
        "Items 6 to 8 of the NeurIPS paper checklist, in its words. Declare what only the author knows under "
        "`reporting` in the experiment's YAML."
    )
    facts = Facts(tuple((name, plain(text)) for name, text in findings.checklist))
    return Section(
        "checklist", "Checklist for a paper", (Box((facts, Text(plain(note), "note"))),), "Checklist", is_folded=True
    )


def setup_section(frame: ExperimentFrame) -> Section:
    """Program, resources, code, image and versions."""
    blocks = (
        Box((Facts(setup_facts(frame)),)),
        Fold("The whole specification, as planned", (Code(plain_json(frame.planned)),)),
    )
    return Section("setup", "Setup and provenance", blocks, "Setup", is_folded=True)


def files_section(files: Sequence[str]) -> Section:
    """Every file of the report."""
    return Section("files", "Files generated", (Links(tuple(files)),), "Files", is_folded=True)


def primary_text(findings: Findings) -> str:
    """Name the primary metric, its goal, and the difference worth having."""
    if findings.primary is None:
        return "none declared"
    goal = {"min": "lower is better", "max": "higher is better"}[findings.primary.goal]
    meaningful = findings.primary.meaningful
    worth = f"; a difference of {100 * meaningful:g} % is worth having" if meaningful else ""
    return plain(findings.primary.name) + f", {goal}" + worth


def space_text(spec: Mapping[str, Any]) -> str:
    """Write the sweep in one line: ``lora_rank: 4, 8, 16 × seeds: 42, 137, 256``."""
    sweep = spec.get("sweep") or {}
    parts = [
        f"{name}: {short_list(values)}"
        for name, values in {**(sweep.get("grid") or {}), **(sweep.get("zip") or {})}.items()
    ]
    parts += [f"cases: {short_list([case.get('id') for case in sweep['cases']])}"] if sweep.get("cases") else []
    parts += [f"sample: {sweep['sample'].get('n')} points"] if sweep.get("sample") else []
    parts += [f"seeds: {short_list(sweep['seeds'])}"] if sweep.get("seeds") else []
    return " × ".join(parts) or "one configuration"


def setup_facts(frame: ExperimentFrame) -> tuple[tuple[str, str], ...]:
    """What was run, on what, with which code: every fact that is recorded, and 'not recorded' for the others."""
    spec, provenance = frame.spec, frame.manifest.get("provenance") or {}
    git, code, image = (provenance.get(key) or {} for key in ("git", "code", "image"))
    program = spec.get("program") or {}
    commit = str(git.get("commit") or "not recorded")
    state = (" with uncommitted changes" if git.get("dirty") else ", clean") if git else ""
    diff = f" (diff {str(git['diff_sha256'])[:12]})" if git.get("dirty") and git.get("diff_sha256") else ""
    packages = ", ".join(f"{name} {version}" for name, version in sorted((provenance.get("packages") or {}).items()))
    facts = [
        ("Program", str(program.get("module") or program.get("command") or "not recorded")),
        ("Fixed arguments", pairs_text(program.get("args"))),
        ("Resources asked per task", pairs_text(spec.get("resources"))),
        ("Launch", pairs_text(spec.get("launch"))),
        ("Batch", pairs_text(spec.get("batch"))),
        ("Git commit", commit + state + diff),
        ("Code snapshot", str(code.get("sha256") or "not recorded")),
        (
            "Image",
            f"{image.get('name')}, sha256 {image.get('sha256')}" if image else "none: the host's own environment",
        ),
        ("Python", str(provenance.get("python") or "not recorded")),
        ("Packages", packages or "not recorded"),
        ("Cluster", str((frame.manifest.get("cluster") or {}).get("name") or "not recorded")),
    ]
    return tuple((name, plain(text)) for name, text in facts)
