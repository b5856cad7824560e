"""The brief of an experiment: what its YAML says, what is given besides, what is missing, and how it is written.

The verb `hpc brief` asks; here is what it asks about. `plan` asks here what a confirmatory experiment lacks.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hpc.adapters.files import write_text
from hpc.adapters.yaml_file import YamlDocument, load_yaml, parse_yaml
from hpc.core.errors import InputError, Problem, nearest
from hpc.core.experiment.grid import Combination, combinations
from hpc.core.experiment.spec import ExperimentSpec, Metric
from hpc.core.experiment.values import render_value
from hpc.core.question.baseline import varying_names
from hpc.core.question.criterion import Question, parse_criterion, terms
from hpc.core.question.phase_zero import KEYS, in_order, lacks_for_confirming, unanswered
from hpc.core.question.spoken import speak
from hpc.core.question.threshold import configuration_in, draft_criterion, not_swept, readings, whats_wrong
from hpc.core.question.vague import Facts, Flag, find_flags, flags_of_experiment
from hpc.core.words import counted, few
from hpc.experiments.rewriting import with_block

Brief = Mapping[str, str]
MARK = "\ufeff"
"""What some editors put before a text in UTF-8; it stays where it is."""
_BEHIND = ("type", "name")
"""Keys behind which a new brief goes."""
SHOWN_SEEDS = 5


@dataclass(frozen=True)
class Subject:
    """An experiment whose question is asked.

    Attributes:
        file: Its YAML.
        spec: What the file says without its brief.
        written: The brief as it stands there.
        question: What a criterion can speak of.
        facts: What the file says of the question, whatever the brief says.
    """

    file: Path
    spec: ExperimentSpec
    written: Brief
    question: Question
    facts: Facts

    @property
    def names(self) -> tuple[str, ...]:
        """Swept parameters with several values."""
        return varying_names(self.question.combinations)

    def suggested(self) -> Brief:
        """Answers that the rest of the file gives."""
        found = {"baseline": _baseline_words(self.spec), "metrics": _metric_words(self.spec), "stage": "exploratory"}
        return {name: text for name, text in found.items() if text}


@dataclass(frozen=True)
class Found:
    """A red flag where it was found.

    Attributes:
        key: Of the answer; of the file's own for one that no answer gives.
        flag: What it is.
        is_of_file: Whether the file says so, and no answer.
    """

    key: str
    flag: Flag
    is_of_file: bool = False

    @property
    def text(self) -> str:
        """What is missing, and the question that closes it."""
        where = _FILE_SAYS[self.flag.name] if self.is_of_file else self.key
        return f"{where}: {self.flag.betrays}. {self.flag.question}"

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        named = {"answer": self.key, "flag": self.flag.name, "betrays": self.flag.betrays}
        return {**named, "question": self.flag.question, "of_file": self.is_of_file}


_FILE_SAYS = {
    "one_seed": "sweep.seeds has one seed",
    "no_baseline": "the file declares no `baseline`",
    "no_direction": "metrics.primary.goal is not written (min is taken)",
    "no_threshold": "metrics.primary.meaningful is not written",
}
NOT_SWEPT = "Which of these values do you mean, or should the sweep get another one first?"
_ANSWER_OF = {"one_seed": "metrics", "no_baseline": "baseline", "no_direction": "metrics", "no_threshold": "metrics"}


def read_subject(file: Path, code: Path | None = None) -> Subject:
    """Read an experiment; a brief with mistakes does not matter, since it is asked for.

    Raises:
        InputError: The rest of the file is not valid.
    """
    from hpc.experiments.schema import experiment_from

    document = load_yaml(file)
    data = document.data
    rest = {name: value for name, value in data.items() if name != "brief"} if isinstance(data, dict) else data
    spec = experiment_from(replace(document, data=rest), code=code)
    brief = data.get("brief")
    written = {name: value.strip() for name, value in brief.items() if _is_text(value)} if _is_block(brief) else {}
    question = ask_of(spec)
    return Subject(file, spec, written, question, _facts(spec, document, written))


def ask_of(spec: ExperimentSpec) -> Question:
    """What a criterion of an experiment can speak of."""
    from hpc.core.checks.questions import question_of

    grid: list[Combination] = list(combinations(spec.sweep))
    return question_of(grid, spec.sweep, spec.metrics, spec.baseline, spec.analysis)


def _facts(spec: ExperimentSpec, document: YamlDocument, written: Brief) -> Facts:
    sweep, primary = spec.sweep, spec.metrics.primary
    return Facts(
        seeds=len(sweep.seeds) + len(sweep.further_seeds),
        has_baseline=has_baseline(spec) or has_versus(written.get("criterion", "")),
        has_direction="goal" in document.data["metrics"]["primary"],
        has_meaningful=primary.meaningful is not None or spec.analysis.equivalence is not None,
    )


def has_baseline(spec: ExperimentSpec) -> bool:
    """Whether anything is compared, or the experiment measures a baseline itself."""
    return spec.baseline is not None or bool(spec.analysis.baseline_from) or spec.type == "baseline_variance"


def has_versus(criterion: str) -> bool:
    """Whether a criterion says itself what is compared with what."""
    try:
        return any(term.versus is not None for term in terms(parse_criterion(criterion)))
    except ValueError:
        return False


def lacking(spec: ExperimentSpec) -> tuple[str, ...]:
    """Name what a confirmatory experiment lacks; nothing for one that explores."""
    if spec.brief.get("stage") != "confirmatory":
        return ()
    return lacks_for_confirming(
        spec.brief, has_baseline=has_baseline(spec), has_versus=has_versus(spec.brief.get("criterion") or "")
    )


def read_answers(path: Path) -> Brief:
    """Read answers that were written down: the keys of a brief, by themselves or below ``brief:``.

    Raises:
        InputError: It is no such file; every wrong key at once.
    """
    document = load_yaml(path)
    data = document.data
    inner = ("brief",) if isinstance(data, dict) and list(data) == ["brief"] else ()
    data = data["brief"] if inner else data
    if not isinstance(data, dict):
        raise InputError(f"holds no answers; write KEY: answer for {', '.join(KEYS)}", document.source)
    problems = [
        document.problem((*inner, key), f"is not a question; {nearest(key, KEYS)}") for key in data if key not in KEYS
    ]
    problems += [
        document.problem((*inner, key), "must be text; put it in quotes")
        for key, value in data.items()
        if key in KEYS and value is not None and not isinstance(value, str)
    ]
    if problems:
        raise InputError(sorted(problems, key=lambda one: one.line), document.source)
    return {key: value.strip() for key, value in data.items() if _is_text(value)}


def put_together(subject: Subject, given: Brief) -> dict[str, str]:
    """What the brief says once the given answers are in it, with what the file itself suggests and a drafted rule."""
    brief = {**subject.suggested(), **subject.written, **given}
    if "criterion" not in given and (drafted := draft_rule(subject, brief)):
        brief["criterion"] = drafted
    return in_order(brief)


def draft_rule(subject: Subject, brief: Brief) -> str:
    """The rule to suggest: the one that is there, unless the threshold was changed and can be read."""
    kept = brief.get("criterion", "")
    if kept and brief.get("success") == subject.written.get("success"):
        return kept
    alpha = subject.spec.analysis.alpha
    return draft_criterion(brief.get("success", ""), subject.question, subject.spec.metrics.primary, alpha) or kept


def refuse_missing(subject: Subject, brief: Brief, name: str) -> None:
    """Refuse a brief with open questions, all named.

    Raises:
        InputError: Questions that have no answer; a rule that is none.
    """
    rule_wanted = f"success as a rule that the report evaluates, {rule_hint(subject, brief)}"
    problems = [
        Problem(f"is missing: {rule_wanted if one.key == 'criterion' else f'{one.question} ({one.hint})'}", one.key)
        for one in unanswered(brief)
    ]
    if rule := brief.get("criterion"):
        problems += [Problem(said, "criterion") for said in whats_wrong(rule, subject.question)]
    if not problems:
        return
    last, command = problems[-1], f"python -m hpc.brief {name}"
    remedy = f"answer in a terminal: {command}; or write a line KEY: answer for each into a file: {command} --from FILE"
    raise InputError([*problems[:-1], Problem(last.message, last.where, remedy=remedy)], str(subject.file))


def flags_in(subject: Subject, brief: Brief) -> tuple[Found, ...]:
    """Every red flag: of the answers, then of the file."""
    told = [Found(key, flag) for key in KEYS for flag in flags_of(subject, key, brief.get(key, ""))]
    seen = {(one.key, one.flag.name) for one in told}
    return (*told, *(one for one in flags_of_file(subject, brief) if (one.key, one.flag.name) not in seen))


def flags_of(subject: Subject, key: str, answer: str) -> tuple[Flag, ...]:
    """The red flags of one answer; a claim about a value that does not run is one."""
    stranger = not_swept(answer, subject.question) if key in ("hypothesis", "success") else ""
    unswept = (Flag("not_swept", (key,), stranger, NOT_SWEPT),) if stranger else ()
    return (*find_flags(key, answer, subject.names), *unswept) if answer else ()


def flags_of_file(subject: Subject, brief: Brief) -> tuple[Found, ...]:
    """The red flags of the file; a baseline that is named in words is one."""
    answer = brief.get("baseline", "")
    if has_versus(brief.get("criterion", "")) or (answer and not find_flags("baseline", answer)):
        subject = replace(subject, facts=replace(subject.facts, has_baseline=True))
    return tuple(Found(_ANSWER_OF[flag.name], flag, is_of_file=True) for flag in flags_of_experiment(subject.facts))


def undeclared_baseline(subject: Subject, brief: Brief) -> str:
    """Say how a configuration that the brief calls the baseline is declared; empty where there is nothing to say."""
    if has_baseline(subject.spec):
        return ""
    chosen = configuration_in(brief.get("baseline", ""), subject.question)
    written = ", ".join(f"{name}: {render_value(value)}" for name, value in chosen.items())
    return f"to have every configuration compared with it, add to the file: baseline: {{{written}}}" if written else ""


def read_back(subject: Subject, brief: Brief) -> str:
    """The rule in words; empty without one."""
    if not brief.get("criterion"):
        return ""
    return speak(parse_criterion(brief["criterion"]), subject.spec.metrics.primary.name, subject.names)


def rule_hint(subject: Subject, brief: Brief) -> str:
    """What to write where the threshold is no rule yet: what it could mean, else a rule of this experiment."""
    success, metric = brief.get("success", ""), subject.spec.metrics.primary
    if found := readings(success, subject.question, metric, subject.spec.analysis.alpha):
        return f"{found[0]} if your threshold has to hold at every other setting, {found[1]} if at one"
    return f"such as {example_rule(subject)}"


def example_rule(subject: Subject) -> str:
    """A rule that this experiment could answer, to write one's own by."""
    metric = subject.spec.metrics.primary
    sign = "<= -" if metric.goal == "min" else ">= "
    amount = f"{100 * metric.meaningful:g}%" if metric.meaningful else "5%"
    base = subject.spec.baseline or {}
    other = next(
        (one for one in subject.question.combinations if any(one.get(name) != value for name, value in base.items())),
        {},
    )
    chosen = {name: other[name] for name in (base or subject.names) if name in other}
    of = ", ".join([metric.name, *(f"{name}={render_value(value)}" for name, value in chosen.items())])
    if not base and not subject.spec.analysis.baseline_from:
        bound = "<=" if metric.goal == "min" else ">="
        return f"mean({of}) {bound} 0.1"
    return f"relative_change({of}) {sign}{amount} and adjusted_p < {subject.spec.analysis.alpha:g}"


def not_an_answer(key: str, answer: str) -> str:
    """Say why a text cannot stand in a brief (endless, control characters); empty where it can."""
    from pydantic import ValidationError

    from hpc.experiments.models.question import BriefModel

    try:
        BriefModel.model_validate({key: answer})
    except ValidationError as error:
        found = error.errors(include_url=False)[0]
        return str(found.get("ctx", {}).get("text", found["msg"]))
    return ""


def rewrite(subject: Subject, brief: Brief, code: Path | None = None) -> tuple[str, tuple[str, ...]]:
    """Return the file's text with the brief in it, and which answers are new; nothing is written.

    The file is read again: somebody may have edited it while questions were answered.

    Raises:
        InputError: What would come out is no experiment, or the block cannot be changed in place.
    """
    from hpc.experiments.schema import experiment_from

    text = _text_of(subject.file)
    new = with_block(text.removeprefix(MARK), str(subject.file), "brief", brief, KEYS, _BEHIND)
    experiment_from(parse_yaml(new, str(subject.file)), code=code)
    changed = tuple(key for key in KEYS if brief.get(key) != subject.written.get(key) and brief.get(key))
    return (MARK if text.startswith(MARK) else "") + new, changed


def write_brief(subject: Subject, text: str) -> None:
    """Put a text in place of the file, whole, with the permissions it has; a link stays one."""
    path = subject.file.resolve()
    mode = path.stat().st_mode & 0o777
    write_text(path, text)
    path.chmod(mode)


def _text_of(path: Path) -> str:
    return path.read_bytes().decode("utf-8")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_block(value: object) -> bool:
    return isinstance(value, dict)


def _baseline_words(spec: ExperimentSpec) -> str:
    if spec.analysis.baseline_from:
        return f"the stored runs of {spec.analysis.baseline_from}"
    return ", ".join(f"{name}={render_value(value)}" for name, value in (spec.baseline or {}).items())


def _metric_words(spec: ExperimentSpec) -> str:
    """``final_error, lower is better, 5 % is worth having; beside it control_cost (lower); 3 seeds (1, 2, 3)``."""
    primary, sweep = spec.metrics.primary, spec.sweep
    parts = [f"{primary.name}, {_better(primary)} is better"]
    if primary.meaningful is not None:
        parts[0] += f", {100 * primary.meaningful:g} % is worth having"
    if spec.metrics.secondary:
        parts.append("beside it " + ", ".join(f"{one.name} ({_better(one)})" for one in spec.metrics.secondary))
    parts.append(f"{counted(len(sweep.seeds), 'seed')} ({few(list(map(str, sweep.seeds)), SHOWN_SEEDS)})")
    if sweep.further_seeds:
        parts[-1] += f", and {counted(len(sweep.further_seeds), 'further seed')} where they do not settle it"
    return "; ".join(parts)


def _better(metric: Metric) -> str:
    return "lower" if metric.goal == "min" else "higher"
