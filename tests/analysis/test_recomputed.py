"""Every number of `report --json`, recomputed from the experiment's files by code that shares nothing with the report.

`raw_experiment` reads the files, `recomputing` has the statistics. A number that nothing here recomputes fails, and so
does a recomputer that no document has a number for.
"""

import ast
import contextlib
import io
import json
import math
import re
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.report import main
from hpc.core.layout import RunLayout
from hpc.experiments.sealing import seal_plan
from tests.analysis.made_experiments import BRIEF, Experiment, make_finished, make_spec, make_task, make_verdict
from tests.analysis.made_types import SEEDS, TYPES, make_cells
from tests.analysis.raw_experiment import RawExperiment
from tests.analysis.recomputing import Near
from tests.analysis.recomputing_usage import PARTS

LOSS = {"name": "loss", "goal": "min", "meaningful": "5%"}
Path_ = tuple[str, ...]
"""Keys and places that lead to a number."""


# Experiments beside those of the types, for what these do not have


def make_two_looks(root: Path) -> Experiment:
    """Three seeds and two further ones; the question changed after runs had begun; one went on, one ran other code."""
    metrics = {"primary": LOSS, "secondary": [{"name": "rate", "goal": "max"}]}
    spec = make_spec(
        "two_looks", type="comparison", baseline={"arm": 0}, metrics=metrics, run_name="A{arm}_S{seed}",
        brief={**BRIEF, "criterion": "relative_change(loss, arm=1 versus arm=0) <= -5%"},
        sweep={"grid": {"arm": [0, 1]}, "seeds": list(SEEDS[:3]), "further_seeds": list(SEEDS[3:])},
    )  # fmt: skip
    tasks = [make_task({"arm": arm}, seed, f"A{arm}_S{seed}") for arm in (0, 1) for seed in SEEDS]
    experiment = Experiment(root, tasks, spec)
    rng = np.random.default_rng(2)
    for task in tasks:
        level = 3.0 - 0.05 * task["parameters"]["arm"]
        told = {"loss": level + 0.1 * rng.normal(), "rate": 0.5 + 0.1 * rng.random()}
        experiment.judged.append(make_finished(experiment, task, told))
    made = experiment.judged
    slices = [{**made[1]["attempts"][0], "verdict": make_verdict("preempted")}, dict(made[1]["attempts"][0])]
    made[1]["attempts"] = [slices[0], {**slices[1], "attempt": 2, "elapsed_s": 77.0, "resumed_from_attempt": 1}]
    made[2]["attempts"][0] |= {"code_sha256": "f" * 64, "peak_gpu_memory_mib": 900.0}
    made[6]["attempts"][0]["verdict"]["warnings"] = ["the loss rose at the end"]
    manifest = {**experiment.manifest(), "sha256": "a"}
    seal_plan(experiment.layout, manifest)
    experiment.layout.task(tasks[0]["run_name"]).attempt(1).home.mkdir(parents=True)
    laxer = "relative_change(loss, arm=1 versus arm=0) <= -1%"
    experiment.spec = {**spec, "brief": {**spec["brief"], "criterion": laxer}}
    seal_plan(experiment.layout, {**manifest, "spec": experiment.spec})
    return experiment


def make_scores(root: Path) -> Experiment:
    """Systems with a declared range, more is better; some runs lie beyond it, one method lost a run."""
    systems, methods = ("hopper", "walker", "ant"), {"sac": 0.5, "ppo": 0.62, "td3": 0.98}
    ranges = {name: [0, 100] for name in systems}
    spec = make_spec(
        "scores", type="cross_system", baseline={"method": "sac"}, brief={"stage": "exploratory"}, run_name="{seed}",
        metrics={"primary": {"name": "return", "goal": "max", "range": ranges}, "secondary": []},
        sweep={"grid": {"system": list(systems), "method": list(methods)}, "seeds": [1, 2, 3, 4]},
        analysis={"correction": "bh", "confidence": 0.9, "alpha": 0.1},
    )  # fmt: skip
    cells = [({"system": system, "method": method}, None) for system, method in product(systems, methods)]
    return make_cells(root, spec, cells, (1, 2, 3, 4), "return", lambda one, _: 100 * methods[one["method"]],
                      spread=0.1, troubles={5: "divergence", 30: "node_failure"})  # fmt: skip


def make_orders(root: Path) -> Experiment:
    """Systems whose values lie on both sides of 0: nothing but the order of runs compares."""
    spec = make_spec(
        "orders", type="cross_system", baseline={"method": "a"}, brief={"stage": "exploratory"}, run_name="{seed}",
        metrics={"primary": {"name": "gain", "goal": "max"}, "secondary": []},
        sweep={"grid": {"system": ["x", "y"], "method": ["a", "b", "c"]}, "seeds": [1, 2, 3]},
    )  # fmt: skip
    levels = {"a": -1.0, "b": 0.5, "c": 2.0}
    cells = [({"system": system, "method": method}, None) for system, method in product("xy", levels)]
    return make_cells(root, spec, cells, (1, 2, 3), "gain", lambda one, _: levels[one["method"]], spread=1.5)


def make_many_runs(root: Path) -> Experiment:
    """Twelve seeds of two arms: bootstrap intervals, more arrangements than can be gone through; nothing recorded."""
    seeds = tuple(range(12))
    spec = make_spec(
        "many_runs", type="comparison", baseline={"arm": "a"}, brief={"stage": "exploratory"}, run_name="{seed}",
        metrics={"primary": {"name": "loss", "goal": "min", "meaningful": "2%"}, "secondary": []},
        sweep={"grid": {"arm": ["a", "b"]}, "seeds": list(seeds)}, analysis={"equivalence": "10%"},
    )  # fmt: skip
    cells = [({"arm": arm}, None) for arm in "ab"]
    levels = {"a": 2.0, "b": 1.99}
    experiment = make_cells(root, spec, cells, seeds, "loss", lambda one, _: levels[one["arm"]], spread=0.03)
    experiment.records_what_ran = False
    for place, task in enumerate(experiment.judged[:9]):  # the rest was not measured
        measured = {"cpu_seconds": 300.0 + place, "cpus": 4, "nodes": 1, "gpu_busy": 0.4 + place / 50,
                    "gpu_energy_j": 9e4 + place, "peak_gpu_memory_mib": 900.0 + place}  # fmt: skip
        spans = {"queue_s": 11.0 + place, "startup_s": 5.0, "rolled_back_s": 3.0 + place, "checkpoint_s": 2.0}
        task["attempts"] = [{**one, **measured, **spans} for one in task["attempts"]]
    return experiment


def make_on_stored(root: Path) -> Experiment:
    """Three seeds of two arms against the five runs of a stored baseline, two of whose seeds they do not have."""
    stored = make_spec(
        "stored", type="baseline_variance", baseline=None, brief={"stage": "exploratory"}, run_name="{seed}",
        metrics={"primary": LOSS, "secondary": []}, sweep={"seeds": list(SEEDS)},
    )  # fmt: skip
    make_cells(root, stored, [({}, None)], SEEDS, "loss", lambda *_: 3.0).write()
    spec = make_spec(
        "on_stored", type="comparison", baseline=None, brief={"stage": "exploratory"}, run_name="{seed}",
        metrics={"primary": LOSS, "secondary": []},
        sweep={"grid": {"norm": ["rms", "none"]}, "seeds": list(SEEDS[:3])}, analysis={"baseline_from": "stored"},
    )  # fmt: skip
    cells = [({"norm": norm}, None) for norm in ("rms", "none")]
    return make_cells(root, spec, cells, SEEDS[:3], "loss", lambda one, _: 2.9 if one["norm"] == "rms" else 3.01)


def make_sampled(root: Path) -> Experiment:
    """A sampled number of many values, cut into parts, one zipped to it, and a choice; no configuration is repeated."""
    rates = np.random.default_rng(8).uniform(0.1, 1.0, 24).round(3).tolist()
    spec = make_spec(
        "sampled", baseline=None, brief={"stage": "exploratory"}, run_name="{seed}",
        metrics={"primary": LOSS, "secondary": []}, sweep={"seeds": [1]},
    )  # fmt: skip
    cells = [({"rate": rate, "decay": rate / 8, "kind": "ab"[place % 2]}, None) for place, rate in enumerate(rates)]
    return make_cells(
        root, spec, cells, (1,), "loss", lambda one, _: 1 + (one["rate"] - 0.4) ** 2, troubles={7: "timeout"}
    )


MADE = {
    **TYPES, "two_looks": make_two_looks, "scores": make_scores, "orders": make_orders, "many_runs": make_many_runs,
    "on_stored": make_on_stored, "sampled": make_sampled,
}  # fmt: skip


# Which number is recomputed by what

ESTIMATE = ("n", "missing", "mean", "std", "low", "high", "level", "median", "iqm", "minimum", "maximum")
ENDS = ("value", "low", "high")
COMPARISON = (
    "n", "n_baseline", "reference", "difference", "low", "high", "relative_percent", "relative_low", "relative_high",
    "difference_of_all", "mean_of_all", "error", "t", "df", "p", "p_adjusted", "cohens_d", "z", "pairs", "p_welch",
    "p_paired", "p_rank", "p_permutation", "p_smallest", "p_equivalence", "p_equivalence_adjusted",
    *(f"{name}.{end}" for name in ("d", "hedges_g", "cliffs_delta", "improvement") for end in ENDS), "aso.violation",
    "aso.bound",
)  # fmt: skip
CONFIGURATION = (
    "number", "planned", "failed.*", "unfinished", "altered", "cautions.*", "baseline",
    *(f"estimate.{name}" for name in ESTIMATE), *(f"secondary.*.{name}" for name in ESTIMATE),
    *(f"comparison.{name}" for name in COMPARISON),
    *(f"secondary_comparisons.*.{name}" for name in COMPARISON if not name.startswith("p_equivalence")),
    "bootstrap.value", "bootstrap.low", "bootstrap.high", "bootstrap.level", "judgement.rule.false_alarm",
    "judgement.tested.level", "judgement.tested.further_seeds", "judgement.tested.further_seeds_any",
    *(f"robustness.readings.*.{name}" for name in ("n", "n_baseline", "relative_percent", "improvement", "p_adjusted")),
)  # fmt: skip
BEST = (
    "of", *(f"{one}.{name}" for one in ("result", "rival", "ties.*") for name in CONFIGURATION),
    *(f"selection.{name}" for name in ("chosen", "of", "apparent", "held_out", "optimism", "folds", "level",
                                       "optimism_low", "optimism_high", "wild")),
    *(f"selection.ranks.*.{name}" for name in ("place", "rank", "low", "high", "first")),
)  # fmt: skip
METHOD = (
    "n", "n_baseline", "diverged", "missing", "wins", "rank", "ranks.*", "by_system.*", "p", "df", "p_rank",
    "p_adjusted", "p_equivalence", "floor", "profile.*", "profile_low.*", "profile_high.*",
    *(f"{name}.{end}" for name in ("score", "score_iqm", "gap", "effect", "iqm", "improvement") for end in ENDS),
)  # fmt: skip
SHARE = ("share", "low", "high", "p", "p_adjusted")
SECTIONS: Mapping[str, tuple[str, ...]] = {
    "counts": ("planned", "finished", "failed.*", "running", "pending", "never_started", "several.*", "attempts.*",
               "altered", "without_value", "retried", "healed", "continued"),
    "configurations.*": CONFIGURATION,
    "best": BEST,
    "best_by_system.*": BEST,
    "over_systems": ("points.*", "level", "alpha", "critical_difference", *(f"methods.*.{name}" for name in METHOD),
                     *(f"omnibus.{name}" for name in ("statistic", "f", "p", "floor"))),
    "importance": ("runs", "noise", "level",
                   *(f"{one}.*.{name}" for one in ("parameters", "interactions") for name in SHARE),
                   "parameters.*.best", "parameters.*.improvement_percent", "parameters.*.p_best",
                   *(f"parameters.*.levels.*.{name}" for name in ("value", "n", "mean", "low", "high")),
                   "interactions.*.cells.*.*"),
    "healed.*": ("row",),
    "continued.*": ("row", "attempt", "continued_in", "elapsed_s"),
    "cautions": ("finished", "unknown.*"),
    "resources": ("forecast_h", "gpu_hours_asked", "mean_run_s", "runs_timed", "peak_memory_mib", "peak_gpu_memory_mib",
                  "memory_asked_mib", "gpu_hours", "cpu_hours",
                  *(f"by_verdict.*.{name}" for name in ("attempts", "gpu_hours", "cpu_hours"))),
    "usage": (
        "ettr", *(f"{one}.{name}" for one in ("split", "runs.*.split") for name in (*PARTS, "runs", "ettr")),
        *(f"runs.*.{name}" for name in (
            "attempts", "longest_s", "time_s", "peak_memory_mib", "memory_mib", "cores", "cpus", "gpu_busy",
            "peak_gpu_memory_mib", "gpus", "energy_j", "time_share", "memory_share", "cpu_share",
        )),
    ),
    "registration": tuple(f"looks.*.{name}" for name in ("time", "collected", "ended", "planned")),
    "criterion_later": ("begun",),
    "newer_than_collected": ("",),
}  # fmt: skip
"""Part of the document, recomputed by the attribute of `RawExperiment` of that name → the numbers in it."""
PATTERNS = tuple(f"{part}.{name}".rstrip(".") for part, names in SECTIONS.items() for name in names)


@cache
def _expressions() -> tuple[tuple[str, "re.Pattern[str]"], ...]:
    return tuple((one, re.compile(re.escape(one).replace(r"\*", r"[^\0]*").replace(r"\.", "\0"))) for one in PATTERNS)


@cache
def recomputers_of(path: Path_) -> tuple[str, ...]:
    """The patterns that name a number."""
    return tuple(name for name, expression in _expressions() if expression.fullmatch("\0".join(path)))


def leaves(value: Any, path: Path_ = ()) -> Iterator[tuple[Path_, Any]]:
    """Every number and null of a document, with the way to it; booleans and texts are no numbers."""
    if isinstance(value, Mapping):
        for name, one in value.items():
            yield from leaves(one, (*path, str(name)))
    elif isinstance(value, list | tuple):
        for place, one in enumerate(value):
            yield from leaves(one, (*path, str(place)))
    elif value is None or (not isinstance(value, bool | str) and isinstance(value, int | float | np.number | Near)):
        yield path, value


def recomputed(raw: RawExperiment) -> dict[Path_, Any]:
    """Every number that the document should have; null where nothing can be computed."""
    parts = {name.removesuffix(".*"): getattr(raw, name.removesuffix(".*")) for name in SECTIONS}
    return dict(leaves(parts))


def agrees(told: Any, expected: Any) -> bool:
    """Whether a number is what was recomputed; one of resampling lies within its chance."""
    if told is None or expected is None:
        return told is expected
    if isinstance(expected, Near):
        return bool(abs(told - expected.value) <= expected.within + 1e-9)
    return math.isclose(told, expected, rel_tol=1e-8, abs_tol=1e-14)


def find_faults(document: Mapping[str, Any], expected: Mapping[Path_, Any]) -> list[str]:
    """Say what is wrong in a document: numbers nobody checks, missing ones, and those that come out otherwise."""
    told = dict(leaves(document))
    faults = []
    for path, value in told.items():
        names = recomputers_of(path)
        shown = ".".join(path)
        if value is None and (not names or path not in expected):
            continue
        if len(names) != 1:
            faults.append(f"{shown}: a number {'nobody checks' if not names else f'of {names}'}")
        elif path not in expected:
            faults.append(f"{shown}: {value}, and there should be none")
        elif not agrees(value, expected[path]):
            faults.append(f"{shown}: {value}, recomputed {expected[path]}")
    faults += [
        f"{'.'.join(path)}: not there, recomputed {value}"
        for path, value in expected.items() if value is not None and path not in told and recomputers_of(path)
    ]  # fmt: skip
    return faults


Told = tuple[dict[str, Any], dict[Path_, Any]]
"""A document, and what should stand in it."""


@pytest.fixture(scope="session")
def documents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Told]:
    """What `report --json` prints of each experiment, and what was recomputed; made once."""
    found = {}
    for name, make in MADE.items():
        root = tmp_path_factory.mktemp(name)
        layout: RunLayout = make(root / "runs").write()
        printed = io.StringIO()
        words = [layout.experiment, "--root", str(root / "runs"), "--style", "s3", "--out", str(root / "out"), "--json"]
        with contextlib.redirect_stdout(printed):
            assert main(words) == 0
        found[name] = json.loads(printed.getvalue()), recomputed(RawExperiment(layout.home))
    return found


@pytest.mark.parametrize("name", MADE)
def test_every_number_is_what_other_code_makes_of_the_same_runs(documents: dict[str, Told], name: str) -> None:
    """From counts to profiles over systems: each is recomputed, none is left, none is missing."""
    assert find_faults(*documents[name]) == []


def test_every_recomputer_has_a_number(documents: dict[str, Told]) -> None:
    """Each kind of number stands in one of the documents; the best ones are configurations like all others."""
    paths = {path for document, _ in documents.values() for path, value in leaves(document) if value is not None}
    used = {name for path in paths for name in recomputers_of(path)}
    idle = [one for one in PATTERNS if one not in used and not re.match(r"best.*\.(result|rival|ties\.\*)\.", one)]
    assert idle == []
    assert {"best.rival.number", "best.result.number", "best_by_system.*.result.number"} <= used


def test_the_recomputers_share_nothing_with_the_report() -> None:
    """They import numpy, scipy, h5py and each other."""
    for name in ("raw_experiment", "recomputing", "recomputing_systems", "recomputing_usage"):
        tree = ast.parse((Path(__file__).parent / f"{name}.py").read_text(encoding="utf-8"))
        named = {one.module for one in ast.walk(tree) if isinstance(one, ast.ImportFrom)}
        named |= {alias.name for one in ast.walk(tree) if isinstance(one, ast.Import) for alias in one.names}
        ours = {
            one for one in named if one and one.split(".")[0] in ("analysis", "hpc", "train", "tests", "benchmarks")
        }
        assert ours <= {
            "tests.analysis",
            *(f"tests.analysis.recomputing{part}" for part in ("", "_systems", "_usage")),
        }, name


def changed(document: Any, path: Path_, value: Any) -> Any:
    """The document with one number changed."""
    if not path:
        return value
    first, *rest = path
    if isinstance(document, list):
        return [changed(one, tuple(rest), value) if str(place) == first else one for place, one in enumerate(document)]
    return {**document, first: changed(document[first], tuple(rest), value)}


def test_one_percent_more_is_named(documents: dict[str, Told]) -> None:
    """Of each kind one is changed by 1 %, of those of resampling by twice its chance: it is named, and nothing else."""
    first: dict[str, tuple[str, Path_]] = {}
    for name in sorted(documents, key=lambda one: len(documents[one][1])):  # small ones are searched fast
        document, _ = documents[name]
        for path, value in leaves(document):
            if value is not None and recomputers_of(path):
                first.setdefault(recomputers_of(path)[0], (name, path))
    for name, path in first.values():
        document, expected = documents[name]
        value = dict(leaves(document))[path]
        wanted = expected[path]
        away = 2 * wanted.within + 1e-6 if isinstance(wanted, Near) else 0.01 * (abs(value) or 1.0)
        broken = changed(document, path, value + away)
        assert [one.split(":")[0] for one in find_faults(broken, expected)] == [".".join(path)]


def test_a_number_nobody_checks_is_named(documents: dict[str, Told]) -> None:
    """A new field fails until somebody recomputes it; so does a number that vanished."""
    document, expected = documents["comparison"]
    place = ("configurations", "1", "comparison")
    more = changed(document, place, {**document["configurations"][1]["comparison"], "new": 0.5})
    gone = changed(document, place, None)

    assert find_faults(more, expected) == ["configurations.1.comparison.new: a number nobody checks"]
    assert any(one.startswith("configurations.1.comparison.p: not there") for one in find_faults(gone, expected))
