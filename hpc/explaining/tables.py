"""The page of failure classes, ``docs/failure-classes.md``, from the tables in code."""

from hpc.core.failures.classify import ADVICE, SUCCESS_RULES, classify
from hpc.core.failures.diagnosis import BY_CAUSE, BY_SIGN, DIAGNOSES
from hpc.core.failures.evidence import Evidence, FailureClass
from hpc.core.failures.fact_rules import FACT_RULES
from hpc.core.retry.actions import ACTIONS
from hpc.core.slurm.states import SlurmState
from hpc.explaining.explained import describe_action


def render_failure_table() -> str:
    """``docs/failure-classes.md``, from the tables in code."""
    parts = (_classes_part(), _diagnosis_part(), _rules_part(), _success_part(), _states_part())
    return "\n".join(line for part in parts for line in part) + "\n"


def _classes_part() -> list[str]:
    head = [
        "# Failure classes",
        "",
        "Generated from `hpc/core/failures/` (classify, rules) and `hpc/core/retry/actions.py`; do not edit.",
        "Root cause goes before symptom, evidence before state, and what is unknown is never a success.",
        "",
        "| class | meaning | what a retry changes | what a person does |",
        "|---|---|---|---|",
    ]
    return head + [
        _row_of(f"`{category}`", ADVICE[category].meaning, _retry_cell(category), ADVICE[category].suggestion)
        for category in FailureClass
    ]


def _diagnosis_part() -> list[str]:
    rows = [
        *((f"`{category}`", found) for category, found in DIAGNOSES.items() if found.steps),
        *((f"`{category}`, {cause}", found) for (category, cause), found in BY_CAUSE.items()),
        *((f"a curve: {sign.value.replace('_', ' ')}", found) for sign, found in BY_SIGN.items()),
    ]
    return [
        "", "## Likely causes and debugging steps", "",
        "From `hpc/core/failures/diagnosis.py`, printed by `hpc why`; the likeliest cause and the cheapest step first.",
        "", "| class or sign | likely causes | what to look at |", "|---|---|---|",
        *(_row_of(name, "<br>".join(found.causes), "<br>".join(found.steps)) for name, found in rows),
    ]  # fmt: skip


def _retry_cell(category: FailureClass) -> str:
    action = ACTIONS.get(category)
    return describe_action(action.action, action.changes, action.reason) if action else "—"


def _rules_part() -> list[str]:
    from hpc.core.failures.log_rules import LOG_RULES

    head = ["| rule | class | cause | proves | leaves open |", "|---|---|---|---|---|"]
    facts = [_row_of(f"`{r.id}`", r.category, r.cause, r.proves, r.leaves_open) for r in FACT_RULES]
    logs = [
        _row_of(f"`{r.id}`", r.category, r.cause, f"{r.tier.name.lower()}", r.proves, r.leaves_open) for r in LOG_RULES
    ]
    return [
        "", "## What states, exit records and metrics prove", "", *head, *facts,
        "", "## What log lines prove", "",
        "A line belongs to the first row that recognises it. *root* names a cause, *fault* is the program's own error,",
        "*symptom* is said by others once somebody is dead, *trace* only shows that something ended badly.", "",
        "| rule | class | cause | tier | proves | leaves open |", "|---|---|---|---|---|---|", *logs,
    ]  # fmt: skip


def _success_part() -> list[str]:
    rows = [_row_of(f"`{rule}`", meaning) for rule, meaning in SUCCESS_RULES.items()]
    return ["", "## What proves success", "", "| rule | shown by |", "|---|---|", *rows]


def _states_part() -> list[str]:
    head = ["", "## A Slurm state alone", "", "| state | class when nothing else is known |", "|---|---|"]
    ended = [state for state in SlurmState if state.is_finished]
    return head + [_row_of(f"`{state}`", classify(Evidence(state=state)).category) for state in ended]


def _row_of(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
