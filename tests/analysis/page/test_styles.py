"""The forms of users' own documents: their sections, their place, their numbers; and two experiments side by side."""

import re
from pathlib import Path

import pytest

from analysis.data.frame import load_frame
from analysis.page.styles import style_path, token_scale
from analysis.report import build_styled, build_whenever_collected, main
from tests.analysis.made_experiments import (
    Experiment,
    make_attempt,
    make_finished,
    make_judged,
    make_spec,
    make_task,
)

BASE = {42: 3.1, 137: 3.2, 256: 3.0, 512: 3.15, 1024: 3.05}


def _variance(root: Path, name: str = "rotary", base: float = 0.0, changed: float = -0.5) -> Experiment:
    """A baseline of five seeds and one change with three, at 1,000,000 tokens."""
    spec = make_spec(
        name,
        type="comparison",
        program={"module": "train.control", "args": {"train_tokens": 1_000_000}},
        sweep={"cases": [{"id": "baseline"}, {"id": "rotary"}], "seeds": list(BASE)},
        baseline={"id": "baseline"},
        metrics={"primary": {"name": "val_loss", "goal": "min"}, "secondary": []},
    )
    wanted = [("baseline", seed) for seed in BASE] + [("rotary", seed) for seed in (42, 137, 256)]
    tasks = [make_task({"rotary": case == "rotary"}, seed, f"{case}_S{seed}", case) for case, seed in wanted]
    experiment = Experiment(root, tasks, spec)
    for place, task in enumerate(tasks):
        is_new = task["case"] == "rotary"
        summary = {
            "val_loss": BASE[task["seed"]] + base + (changed + 0.01 * place if is_new else 0.0),
            "wall_time": 100.0 + task["seed"] / 1000 - (20.0 if is_new else 0.0),
        }
        experiment.judged.append(make_finished(experiment, task, summary))
    return experiment


def _headings(text: str) -> list[str]:
    return re.findall(r"^##+ (.*)$", text, flags=re.MULTILINE)


def test_variance_report_has_the_tables_of_its_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/research/experiment_NAME_1M.md: baseline of five, experiment of three, test, wall clock, verdict."""
    monkeypatch.chdir(tmp_path)
    layout = _variance(tmp_path / "runs").write()
    assert main(["rotary", "--root", str(layout.root), "--style", "s3"]) == 0
    text = (tmp_path / "docs/research/experiment_rotary_1M.md").read_text("utf-8")

    assert _headings(text)[:6] == [
        "Baseline statistics (N=5)",
        "Experiment: rotary",
        "Experiment statistics (N=3)",
        "Statistical test",
        "Wall clock",
        "Verdict: WINNER",
    ]
    assert "| val_loss | 3.1 | 0.0790569 | 3 | 3.2 | 5 |" in text
    assert re.search(r"\| val_loss \| -0\.4\d* \| \S+ \| \S+ \| large \| yes \|", text)
    assert "|  | Baseline Mean | Experiment Mean | Delta |" in text
    assert "| wall_time \\[s\\] | 100.1 | 80.14 | -20.0 % |" in text
    assert "Compared over the 3 shared seeds." in text
    assert not (layout.report / "report.html").exists()


def test_baseline_variance_has_a_file_of_its_own(tmp_path: Path) -> None:
    """An experiment of type baseline_variance goes to baseline_variance_1M.md with every seed and every run."""
    experiment = _variance(tmp_path / "runs", name="reference")
    experiment.spec.update(type="baseline_variance", sweep={"seeds": list(BASE)})
    experiment.spec.pop("baseline")
    experiment.asked = experiment.asked[:5]
    experiment.judged = experiment.judged[:5]
    frame = load_frame(experiment.write())

    assert style_path("s3", frame) == Path("docs/research/baseline_variance_1M.md")


@pytest.mark.parametrize(
    ("kind", "name", "file"),
    [
        ("baseline_variance", "baseline_variance_1M", "baseline_variance_1M.md"),
        ("baseline_variance", "baseline_variance_1M_small", "baseline_variance_1M_small.md"),
        ("baseline_variance", "baseline_variance", "baseline_variance_1M.md"),
        ("comparison", "comparison_1M", "experiment_comparison_1M.md"),
        ("comparison", "comparison_11M", "experiment_comparison_11M_1M.md"),
    ],
)
def test_experiments_that_name_their_scale_have_it_once(tmp_path: Path, kind: str, name: str, file: str) -> None:
    """No scale is said twice, and two baselines do not write over each other."""
    experiment = _variance(tmp_path / "runs", name=name)
    experiment.spec["type"] = kind

    assert style_path("s3", load_frame(experiment.write())) == Path("docs/research") / file


@pytest.mark.parametrize(
    ("arguments", "scale"),
    [
        ({"train_tokens": 1_000_000}, "1M"),
        ({"tokens": 2_500_000_000}, "2.5B"),
        ({"epochs": 3}, ""),
        ({"tokens": 512}, "512"),
    ],
)
def test_scale_is_read_from_the_arguments(tmp_path: Path, arguments: dict[str, int], scale: str) -> None:
    """The file's ending is the number of training tokens; experiments without one have none."""
    experiment = _variance(tmp_path / "runs")
    experiment.spec["program"] = {"module": "train.control", "args": arguments}

    assert token_scale(load_frame(experiment.write())) == scale


def test_orchestration_report_has_its_nine_sections(realistic: Experiment) -> None:
    """Header to files, with `configuration -> error` lines best first, the optimum of each parameter and rationales."""
    built = build_styled(realistic.write(), "s1")
    text = built.files[0].read_text("utf-8")

    assert [one for one in _headings(text) if f"## {one}" in text.splitlines()] == [
        "Header",
        "Results summary",
        "Top configurations",
        "Statistical analysis",
        "Resource usage",
        "Comparison tables",
        "Plots",
        "Recommendations",
        "Files generated",
    ]
    assert re.search(r"- 1\\?\. lora_rank=16, learning_rate=0.0002 -\\?> final_error 0.0325", text)
    assert "Rationale:" in text
    assert "**Successful:** 13" in text
    assert (built.files[0].parent / "intervals.svg").is_file()


def test_paper_form_ends_with_the_failed_attempts(realistic: Experiment) -> None:
    """Hypothesis, setup, results, analysis, limitations, failed attempts, in this order, failures with their lines."""
    text = build_styled(realistic.write(), "s2").files[0].read_text("utf-8")
    order = [text.index(f"\n## {one}\n") for one in
             ("Hypothesis", "Setup", "Results", "Analysis", "Limitations", "Failed attempts")]  # fmt: skip

    assert order == sorted(order)
    assert "KeyError: 'theta'" in text[order[-1] :]


def test_two_experiments_are_compared_on_what_they_share(tmp_path: Path) -> None:
    """Shared configurations side by side with a test, and what else differs between the two is listed."""
    first = _variance(tmp_path / "runs", "monday")
    second = _variance(tmp_path / "runs", "tuesday", base=1.0)
    second.provenance["code"] = {"path": "code/cd34", "sha256": "cd34" * 16}
    layouts = [first.write(), second.write()]
    assert main(["--compare", "monday", "tuesday", "--root", str(layouts[0].root)]) == 0
    text = (layouts[0].report / "compare-tuesday.md").read_text("utf-8")

    assert "code.sha256: ab12" in text
    assert re.search(r"\| baseline \| 3\.100 ± 0\.079 \(n=5\) \| 4\.100 ± 0\.079 \(n=5\) \| \+1 \(\+32\.3 %\) ", text)
    assert "worse" in text
    assert (layouts[0].report / "compare-tuesday.svg").is_file()


def test_experiments_that_share_nothing_are_refused(
    tmp_path: Path, realistic: Experiment, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another metric or no common configuration is an error of use that says which."""
    _variance(tmp_path / "runs", "other").write()
    layout = realistic.write()

    assert main(["--compare", "lora_sweep", "other", "--root", str(layout.root)]) == 2
    assert "the primary metrics differ: final_error (min) and val_loss (min)" in capsys.readouterr().err
    assert main(["lora_sweep", "--compare", "lora_sweep", "other", "--root", str(layout.root)]) == 2


def test_watching_builds_after_every_collection_until_all_have_ended(tmp_path: Path) -> None:
    """Once for what is there, once for each new collection, never without one; the last run's end ends it."""
    experiment = _variance(tmp_path / "runs")
    last = experiment.judged[-1]
    experiment.judged[-1] = make_judged(experiment.asked[-1], "running", [make_attempt(experiment.asked[-1], 1, None)])
    layout = experiment.write()
    built: list[str] = []
    pauses: list[int] = []

    def build_once() -> object:
        built.append(build_styled(layout, "s2").findings.counts.sum_text)
        return build_styled(layout, "s2")

    def pause() -> None:
        pauses.append(len(built))
        if len(pauses) == 3:
            experiment.judged[-1] = last
            experiment.write()

    build_whenever_collected(layout, build_once, pause)  # type: ignore[arg-type]

    assert [text.split("=")[1].split("+")[0].strip() for text in built] == ["7 finished", "8 finished"]
    assert pauses == [1, 1, 1]
