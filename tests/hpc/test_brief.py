"""`hpc brief`: the questions of phase 0, what is probed, what is written, and what `plan` refuses without it."""

import json
import re
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

import hpc.brief
import hpc.plan
from hpc.adapters.yaml_file import YamlDocument, load_yaml, parse_yaml
from hpc.core.layout import RunLayout
from hpc.core.question.phase_zero import KEYS
from hpc.experiments.briefing import lacking, put_together, read_subject, rewrite, write_brief
from hpc.experiments.schema import experiment_from, load_experiment
from hpc.experiments.sealing import sealed_words
from tests.conversation import converse
from tests.local_projects import command_environment

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/brief.md"
EXPERIMENT = """\
name: ranks
type: hyperparameter_sweep
program: {command: "python3 train.py --rank {rank} --seed {seed}"}   # ours
sweep:
  grid: {rank: [4, 8, 16]}
  seeds: [1, 2, 3]
baseline: {rank: 8}   # the setting of today
metrics:
  primary: {name: loss, goal: min, meaningful: 5%}
  source: {stdout: 'loss: (?P<loss>\\S+)'}
resources: {cpus: 1, mem: 500MB, time: "0:10:00"}
"""
RULE = "relative_change(loss, rank=16 versus rank=8) <= -5% and adjusted_p < 0.05"
ANSWERS = {
    "goal": "Which rank gives the lowest loss?",
    "hypothesis": "Rank 16 lowers loss against rank 8.",
    "data": "TinyStories v2, 2.1 M stories",
    "splits": "as published; test is looked at once",
    "known_issues": "none known; 12 duplicates removed by hash",
    "model": "2 layers of width 128",
    "tuning": "both by the same grid of 4 learning rates",
    "success": "loss at rank 16 at least 5 % below rank 8",
    "constraints": "9 runs of 20 min, by Friday",
    "stage": "confirmatory",
    "decision": "Which rank the next model is trained with.",
    "if_wrong": "Keep rank 8, it is the cheapest.",
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one experiment without a brief, and the current folder."""
    (tmp_path / "manifests/experiments").mkdir(parents=True)
    (tmp_path / "manifests/clusters").mkdir()
    (tmp_path / "manifests/clusters/local.yaml").write_text('scheduler: local\napptainer: ""\n')
    (tmp_path / "manifests/experiments/ranks.yaml").write_text(EXPERIMENT)
    (tmp_path / "train.py").write_text("print('loss: 1')\n")
    (tmp_path / "answers.yaml").write_text(json.dumps(ANSWERS))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HPC_ROOT", raising=False)
    monkeypatch.setenv("HPC_CLUSTER", "local")
    return tmp_path


def brief(*words: str, typed: str = "") -> Result:
    """Run the command on the experiment."""
    return CliRunner().invoke(hpc.brief.main, ["ranks", *words], input=typed)


def written() -> dict[str, Any]:
    """The brief as it stands in the file."""
    return load_yaml(Path("manifests/experiments/ranks.yaml")).data.get("brief", {})


def session() -> tuple[list[str], str]:
    """The documented session: what is typed, and all that stands on the terminal."""
    (text,) = re.findall(r"^```text\n\$ hpc brief ranks\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return [line.strip() for line in re.findall(r"^(?:  >|Is that .*:)(.*)$", text, re.MULTILINE)], text


def test_the_documented_session_is_what_stands_on_a_terminal(project: Path) -> None:
    """Typed into a pseudo-terminal: the screen of docs/brief.md, to the letter, and the brief in the file."""
    typed, screen = session()
    code, seen = converse(["-m", "hpc.brief", "ranks"], typed, project, command_environment())

    assert code == 0
    shown = [line.rstrip() for line in seen.replace("python -m hpc.plan", "hpc plan").splitlines()]
    assert shown == screen.splitlines()
    assert set(written()) == set(KEYS)
    assert [line for line in Path("manifests/experiments/ranks.yaml").read_text().splitlines() if "#" in line] == [
        line for line in EXPERIMENT.splitlines() if "#" in line
    ]


def test_missing_answers_are_named_at_once(project: Path) -> None:
    """Exit code 2, each question with its key, and the file untouched."""
    done = brief("--non-interactive")

    assert done.exit_code == 2
    for key in set(ANSWERS) - {"stage"}:
        assert f"ranks.yaml: {key}: is missing: " in done.stderr
    assert "python -m hpc.brief ranks" in done.stderr
    assert Path("manifests/experiments/ranks.yaml").read_text() == EXPERIMENT
    Path("vague.yaml").write_text("goal: just run it and see\n")
    vague = brief("--from", "vague.yaml", "--non-interactive")
    assert vague.exit_code == 2
    assert "note: goal: whatever the result, it would answer nothing" in vague.stderr


def test_answers_from_a_file_are_written_with_a_rule(project: Path) -> None:
    """Every key; baseline and metrics as the file says them; the threshold as a rule, read back; then nothing to do."""
    done = brief("--from", "answers.yaml", "--non-interactive")

    assert done.exit_code == 0, done.output
    assert written() == {
        **ANSWERS,
        "baseline": "rank=8",
        "metrics": "loss, lower is better, 5 % is worth having; 3 seeds (1, 2, 3)",
        "criterion": RULE,
    }
    assert "SUPPORTED if the mean of loss with rank=16 is at least 5 % below that with rank=8" in done.stdout
    assert "note:" not in done.stderr
    assert brief("--non-interactive").exit_code == 3


def test_a_threshold_that_leaves_a_setting_open_is_given_back_as_the_rules_it_could_mean(project: Path) -> None:
    """Confirming refuses it with the two lines to choose from, and each of them is taken as it stands."""
    text = EXPERIMENT.replace("[4, 8, 16]}", "[4, 8, 16], lr: [0.1, 0.2]}").replace("rank: 8}", "rank: 8, lr: 0.1}")
    Path("manifests/experiments/ranks.yaml").write_text(text.replace("{rank} ", "{rank} --lr {lr} "))
    done = brief("--from", "answers.yaml", "--non-interactive")
    assert done.exit_code == 2
    said = "criterion: is missing: success as a rule that the report evaluates, "
    (line,) = [each for each in done.stderr.splitlines() if said in each]
    every, one = f"all({RULE})", f"any({RULE})"
    assert f"{said}{every} if your threshold has to hold at every other setting, {one} if at one" in line
    for rule in (every, one):
        Path("answers.yaml").write_text(json.dumps({**ANSWERS, "criterion": rule}))
        assert brief("--from", "answers.yaml", "--non-interactive", "--dry-run").exit_code == 0


def test_a_rehearsal_writes_nothing_and_json_is_one_value(project: Path) -> None:
    """Rule, flags and changes are in it; the vague answer is named with its question."""
    Path("answers.yaml").write_text(json.dumps({**ANSWERS, "constraints": "overnight"}))
    done = brief("--from", "answers.yaml", "--dry-run", "--json")
    told = json.loads(done.stdout)

    assert (done.exit_code, told["written"], told["brief"]["criterion"]) == (0, False, RULE)
    assert set(told["changed"]) == set(KEYS)
    assert [(one["answer"], one["flag"]) for one in told["flags"]] == [("constraints", "no_end")]
    assert Path("manifests/experiments/ranks.yaml").read_text() == EXPERIMENT


def test_a_file_of_answers_is_checked_whole(project: Path) -> None:
    """A key that is no question and an answer that is no text: both named, with line and near key."""
    Path("answers.yaml").write_text("goal: 5\nhypothesys: x\n")
    done = brief("--from", "answers.yaml", "--non-interactive")

    assert done.exit_code == 2
    assert "answers.yaml:1: goal: must be text" in done.stderr
    assert "answers.yaml:2: hypothesys: is not a question; did you mean 'hypothesis'?" in done.stderr


def test_a_rule_that_is_none_is_asked_for_again(project: Path) -> None:
    """Said why, until it is one that this experiment can answer; a threshold in words will do."""
    Path("answers.yaml").write_text(json.dumps({**ANSWERS, "success": "loss below what we have, by 5 % or so"}))
    typed = ["", "", "mean(loss, width=3) < 1", "mean(loss, rank=16) >= 0 or mean(loss, rank=16) < 0",
             "rank 16 at least 3 % below rank 8", "y"]  # fmt: skip
    done = brief("--from", "answers.yaml", typed="\n".join(typed) + "\n")

    assert done.exit_code == 0, done.output
    assert "no: 'width' in mean(loss, width=3) is not swept" in done.stderr
    assert done.stderr.count("  no: ") >= 2
    assert written()["criterion"] == RULE.replace("5%", "3%")


def test_what_was_answered_is_not_lost_when_nobody_goes_on(project: Path) -> None:
    """The end of input: nothing written, exit code 2, and the answers in a form that --from reads."""
    done = brief(typed="Which rank gives the lowest loss?\nRank 16: lowers loss #1 against rank 8.\n")

    assert done.exit_code == 2
    assert Path("manifests/experiments/ranks.yaml").read_text() == EXPERIMENT
    kept = re.search(r"^brief:\n(?:  .*\n)+", done.stderr, re.MULTILINE)
    assert kept is not None
    assert parse_yaml(kept[0], "").data["brief"]["hypothesis"] == "Rank 16: lowers loss #1 against rank 8."


def test_an_answer_that_cannot_be_written_is_asked_for_again(project: Path) -> None:
    """Endless, or with a control character: said at once, not when all has been answered."""
    answers = {key: text for key, text in ANSWERS.items() if key != "data"}
    Path("answers.yaml").write_text(json.dumps(answers))
    done = brief(
        "--from", "answers.yaml", typed="\n".join(["d" * 3000, "a\x07b", "TinyStories", "", "", "", "y"]) + "\n"
    )

    assert done.exit_code == 0, done.output
    assert "no: is 3,000 characters long; 1,000 are allowed" in done.stderr
    assert "no: holds the control character" in done.stderr
    assert written()["data"] == "TinyStories"


def test_a_narrow_terminal_breaks_lines_between_words(project: Path) -> None:
    """What is asked fits the terminal, whose own breaks would cut words in two; what was typed is as it was typed."""
    typed, wide = session()
    code, seen = converse(["-m", "hpc.brief", "ranks"], typed, project, command_environment(), columns=44)

    asked = seen.partition("\nbrief:")[0]
    told = [line for line in asked.splitlines() if not line.startswith("  > ")]
    assert code == 0
    assert max(map(len, told)) <= 44
    assert " ".join(asked.split()) == " ".join(wide.partition("\nbrief:")[0].split())


def test_interrupted_is_interrupted(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C: exit code 130, nothing written, and what was answered printed."""

    def pressed(*_: str) -> str:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise click.Abort from None  # as click.prompt does

    monkeypatch.setattr(hpc.brief, "put", pressed)
    done = brief("--from", "answers.yaml")

    assert done.exit_code == 130
    assert "your answers so far" in done.stderr
    assert Path("manifests/experiments/ranks.yaml").read_text() == EXPERIMENT


def test_answers_survive_a_file_that_broke_meanwhile(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody's edit that is no experiment: refused, and the answers are printed for --from."""
    ask = hpc.brief.put

    def edits(*words: str) -> str:
        Path("manifests/experiments/ranks.yaml").write_text(EXPERIMENT.replace("rank: [4", "rang: [4"))
        return ask(*words)

    monkeypatch.setattr(hpc.brief, "put", edits)
    done = brief("--from", "answers.yaml", typed="\n\n\n")

    assert done.exit_code == 2
    assert "  goal: Which rank gives the lowest loss?" in done.stderr


def test_no_is_no(project: Path) -> None:
    """Who does not confirm finds the file as it was."""
    done = brief("--from", "answers.yaml", typed="\n\n\nn\n")

    assert done.exit_code == 3, done.output
    assert Path("manifests/experiments/ranks.yaml").read_text() == EXPERIMENT


def test_a_broken_brief_is_mended(project: Path) -> None:
    """A criterion that `plan` refuses does not keep anybody from being asked for a better one."""
    broken = EXPERIMENT + "brief:\n  criterion: mean(loss, width=3) < 1   # old\n  goal: Which rank?\n"
    Path("manifests/experiments/ranks.yaml").write_text(broken)

    assert (
        "not a declared metric" in brief("--non-interactive").stderr
        or "is not swept" in brief("--non-interactive").stderr
    )
    assert brief("--from", "answers.yaml", "--non-interactive").exit_code == 0
    assert written()["criterion"] == RULE
    assert "# old" in Path("manifests/experiments/ranks.yaml").read_text()


def test_edits_of_others_links_and_permissions_stay(project: Path) -> None:
    """The file is read again before it is written; a link stays a link, a group's file a group's."""
    file = Path("manifests/experiments/ranks.yaml")
    real = file.rename("elsewhere.yaml")
    file.symlink_to(real.resolve())
    real.chmod(0o664)
    subject = read_subject(file)
    real.write_text("# added meanwhile\n" + EXPERIMENT.replace("[1, 2, 3]", "[1, 2, 3, 4]"))
    text, _ = rewrite(subject, put_together(subject, ANSWERS))
    write_brief(subject, text)

    assert file.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o664
    assert real.read_text().startswith("# added meanwhile\nname: ranks")
    assert load_experiment(file).sweep.seeds == (1, 2, 3, 4)


def test_a_sealed_question_is_said_to_be_sealed(project: Path) -> None:
    """Before anything began the next plan takes its place; afterwards a change is a deviation."""
    assert brief("--from", "answers.yaml", "--non-interactive").exit_code == 0
    assert CliRunner().invoke(hpc.plan.main, ["ranks"]).exit_code == 0
    layout = RunLayout(project / "runs", "ranks")
    assert "nothing has begun" in sealed_words(layout)
    (layout.tasks / "rank4_S1/attempt-1").mkdir(parents=True)

    done = brief("--non-interactive")
    assert "1 attempt has begun since: the report answers the question that was sealed" in done.stderr
    assert "deviation" in done.stderr
    assert sealed_words(RunLayout(project / "runs", "other")) == ""


def test_plan_refuses_to_confirm_nothing_and_brief_mends_it(project: Path) -> None:
    """All that is missing at once, the command that asks for it; after it the plan goes through."""
    file = Path("manifests/experiments/ranks.yaml")
    bare = EXPERIMENT.replace("baseline: {rank: 8}   # the setting of today\n", "")
    file.write_text(bare + "brief: {stage: confirmatory}\n")
    refused = CliRunner().invoke(hpc.plan.main, ["ranks", "--dry-run"])

    assert refused.exit_code == 2
    for where in ("brief.hypothesis", "brief.criterion", "baseline"):
        assert f"ranks.yaml: {where}: is missing: " in refused.stderr
    assert "python -m hpc.brief ranks" in refused.stderr
    answers = {**ANSWERS, "baseline": "rank 8, the setting of today", "metrics": "loss, lower is better; 3 seeds"}
    Path("answers.yaml").write_text(json.dumps(answers))
    mended = brief("--from", "answers.yaml", "--non-interactive")
    assert mended.exit_code == 0, mended.output
    assert "add to the file: baseline: {rank: 8}" in mended.stderr
    planned = CliRunner().invoke(hpc.plan.main, ["ranks", "--dry-run"])
    assert planned.exit_code == 0, planned.output


WHOLE = {"hypothesis": "h", "criterion": "mean(loss, rank=16) <= 1", "stage": "confirmatory"}


@pytest.mark.parametrize(
    ("change", "lacks"),
    [
        ({}, ()),
        ({"brief": {"stage": "confirmatory"}}, ("hypothesis", "criterion")),
        ({"brief": {"stage": "exploratory"}, "baseline": None}, ()),
        ({"brief": WHOLE, "baseline": None}, ("baseline",)),
        ({"brief": {**WHOLE, "baseline": "chance, 0.2"}, "baseline": None}, ()),
        ({"brief": {**WHOLE, "criterion": RULE}, "baseline": None}, ()),
        ({"brief": WHOLE, "baseline": None, "analysis": {"baseline_from": "variance"}}, ()),
        ({"brief": WHOLE, "baseline": None, "type": "baseline_variance"}, ()),
    ],
)
def test_what_confirming_needs(change: dict[str, Any], lacks: tuple[str, ...]) -> None:
    """A baseline is declared, stored, in the rule, in words for a number, or the thing that is measured."""
    data = {**parse_yaml(EXPERIMENT, "").data, "brief": WHOLE, **change}
    spec = experiment_from(YamlDocument({name: value for name, value in data.items() if value is not None}))

    assert lacking(spec) == lacks


@pytest.mark.parametrize("path", sorted((ROOT / "manifests/experiments").glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_experiments_lack_nothing_and_are_frozen_as_before(path: Path) -> None:
    """They pass; and the questions that they do not answer leave no trace in the manifest."""
    spec = load_experiment(path, code=ROOT)

    assert lacking(spec) == ()
    assert set(spec.raw["brief"]) == {*load_yaml(path).data["brief"], "stage"}
