"""One experiment as it lies in its files, and every number that `report --json` should tell of it.

The runs' values come from results.h5, what became of them from verdicts.json, what was asked from manifest.json; the
statistics from `recomputing`. Nothing of ``analysis`` is imported: a mistake would have to be made twice.
"""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tests.analysis import recomputing, recomputing_systems, recomputing_usage
from tests.analysis.recomputing import Near, Numbers, Plan, Runs

LOST = ("divergence", "not_converged")
UNFINISHED = ("running", "pending", "planned")


class RawExperiment:
    """An experiment's folder, read with json and h5py."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = json.loads((folder / "manifest.json").read_text())
        self.verdicts = json.loads((folder / "collected/verdicts.json").read_text())
        self.spec = self.manifest["spec"]
        by_id = {task["task_id"]: task for task in self.verdicts["tasks"]}
        self.tasks = [by_id[task["task_id"]] for task in self.manifest["tasks"]]
        with h5py.File(folder / "collected/results.h5") as file:
            ids = list(file["tasks/task_id"].asstr()[:])
            self.values = {
                str(data.attrs["name"]): dict(zip(ids, data[:].tolist(), strict=True))
                for data in file.get("summary", {}).values()
            }

    # What was asked

    @property
    def metrics(self) -> list[tuple[str, str]]:
        """Name and goal of each metric, the primary one first."""
        declared = self.spec["metrics"]
        return [(one["name"], one.get("goal", "min")) for one in (declared["primary"], *declared["secondary"])]

    @cached_property
    def plan(self) -> Plan:
        told = self.spec.get("analysis") or {}
        margin = told.get("equivalence") or self.spec["metrics"]["primary"].get("meaningful")
        share = float(margin.rstrip("%")) / 100 if margin else None
        _, goal = self.metrics[0]
        return Plan(goal, told.get("alpha", 0.05), told.get("correction", "holm"), told.get("confidence", 0.95), share)

    @cached_property
    def members(self) -> list[list[int]]:
        """Rows of each configuration, in the order of first appearance."""
        keys = [json.dumps([task.get("case"), task["parameters"]], sort_keys=True) for task in self.tasks]
        return [[row for row, one in enumerate(keys) if one == key] for key in dict.fromkeys(keys)]

    @cached_property
    def combinations(self) -> list[dict[str, Any]]:
        """Parameters of each configuration, with its case as ``id``."""
        first = [self.tasks[rows[0]] for rows in self.members]
        return [{**({"id": one["case"]} if one.get("case") else {}), **one["parameters"]} for one in first]

    @cached_property
    def left_open(self) -> list[str]:
        """Parameters in which the declared baselines differ."""
        return varying([self.combinations[number] for number in self._meant])

    @property
    def _meant(self) -> list[int]:
        declared = self.spec.get("baseline")
        return [number for number, one in enumerate(self.combinations) if declared and declared.items() <= one.items()]

    @cached_property
    def baseline_of(self) -> dict[int, int]:
        """Number → the baseline with the same values of what the baseline leaves open."""
        told = {tuple(self.combinations[number][name] for name in self.left_open): number for number in self._meant}
        found = {
            number: told.get(tuple(one.get(name) for name in self.left_open))
            for number, one in enumerate(self.combinations)
        }
        return {number: base for number, base in found.items() if base is not None}

    @cached_property
    def system_names(self) -> list[str]:
        """What raw values do not compare between."""
        if "range" in self.spec["metrics"]["primary"]:
            return ["system"]
        return self.left_open if self.spec["type"] in ("cross_system", "transfer_learning") else []

    @cached_property
    def systems(self) -> list[str]:
        """System of each configuration; empty texts without."""
        return [", ".join(str(one[name]) for name in self.system_names) for one in self.combinations]

    # What came of it

    def usable(self, row: int) -> bool:
        return self.tasks[row]["outcome"] == "finished" and not self.tasks[row]["altered"]

    def value(self, row: int, metric: str) -> float:
        """The value that may be compared, NaN without."""
        told = self.values.get(metric, {}).get(self.tasks[row]["task_id"], math.nan)
        return told if self.usable(row) else math.nan

    def runs(self, number: int, metric: str) -> Runs:
        rows = {self.tasks[row]["seed"]: row for row in self.members[number]}
        told = {seed: self.tasks[row] for seed, row in rows.items()}
        altered = {
            seed: self.values[metric][one["task_id"]]
            for seed, one in told.items() if one["altered"] and one["outcome"] == "finished"
        }  # fmt: skip
        return Runs(
            values={seed: self.value(row, metric) for seed, row in rows.items()},
            failed=frozenset(seed for seed, one in told.items() if one["outcome"] == "failed"),
            lost=frozenset(seed for seed, one in told.items() if one["failure_class"] in LOST),
            altered=altered,
        )

    @cached_property
    def attempts(self) -> list[dict[str, Any]]:
        """Every attempt with its row, its fate, and the attempt that went on from it."""
        found = []
        for row, task in enumerate(self.tasks):
            after = {one.get("resumed_from_attempt"): one["attempt"] for one in task["attempts"]}
            for one in task["attempts"]:
                word = (one["verdict"] or {}).get("category")
                taken = word in ("preempted", "node_failure") or (one["verdict"] or {}).get("cause") == "checkpointed"
                goes_on = after.get(one["attempt"], 0)
                fate = "open" if word is None else "success" if word == "success" else "failed"
                if fate == "failed" and goes_on and taken and task["outcome"] == "finished":
                    fate = "continued"
                found.append({**one, "row": row, "fate": fate, "continued_in": goes_on, "word": word})
        return found

    # Numbers of the document

    @cached_property
    def counts(self) -> Numbers:
        words = Counter(task["outcome"] for task in self.tasks)
        failed = Counter(task["failure_class"] for task in self.tasks if task["outcome"] == "failed")
        several = Counter(filter(None, (self._course(row) for row in range(len(self.tasks)))))
        metric, _ = self.metrics[0]
        rows = range(len(self.tasks))
        return {
            "planned": len(self.manifest["tasks"]),
            "finished": words["finished"],
            "failed": dict(failed),
            "running": words["running"],
            "pending": words["pending"],
            "never_started": words["planned"],
            "several": dict(several),
            "attempts": dict(Counter(one["fate"] for one in self.attempts)),
            "altered": sum(task["altered"] for task in self.tasks),
            "without_value": sum(self.usable(row) and not math.isfinite(self.value(row, metric)) for row in rows),
            "retried": sum(several.values()),
            "healed": several["healed"],
            "continued": several["continued"],
        }

    def _course(self, row: int) -> str:
        fates = [one["fate"] for one in self.attempts if one["row"] == row]
        outcome = self.tasks[row]["outcome"]
        if len(fates) < 2:
            return ""
        if outcome != "finished":
            return "failed" if outcome == "failed" else "open"
        return "healed" if "failed" in fates else "continued" if "continued" in fates else "repeated"

    @cached_property
    def looks(self) -> Numbers | None:
        """What a second look costs; None where the number of seeds is fixed."""
        sweep = self.spec["sweep"]
        if not sweep.get("further_seeds"):
            return None
        return recomputing.second_look(len(sweep["seeds"]), len(sweep["further_seeds"]), self.plan.alpha)

    @property
    def level(self) -> float | Near:
        """What adjusted p-values have to lie below."""
        return self.looks["level"] if self.looks else self.plan.alpha

    def family(self, metric: str) -> dict[int, tuple[Runs, Runs]]:
        """Number of a compared configuration → its runs and its baseline's; one object for one baseline."""
        stored = (self.spec.get("analysis") or {}).get("baseline_from")
        every = [self.runs(number, metric) for number in range(len(self.members))]
        if stored:
            content = json.loads((self.folder.parent / f".baselines/{stored}.json").read_text())
            told = zip(content["seeds"], content["metrics"][metric], strict=True)
            base = Runs({seed: math.nan if value is None else value for seed, value in told})
            return {number: (one, base) for number, one in enumerate(every)}
        return {number: (every[number], every[base]) for number, base in self.baseline_of.items() if number != base}

    @cached_property
    def configurations(self) -> list[Numbers]:
        (metric, _), *others = self.metrics
        plan, level = self.plan, self.level.value if isinstance(self.level, Near) else self.level
        family = self.family(metric)
        compared = recomputing.compare_family(list(family.values()), plan)
        read = recomputing.readings(list(family.values()), compared, plan) if family else []
        words = [recomputing.tested_word(one, level) for one in compared]
        share = level / max(1, words.count("INCONCLUSIVE"))
        beside = {}
        for name, goal in others:
            pairs = self.family(name)
            told = recomputing.compare_family(list(pairs.values()), replace(plan, goal=goal, margin=None))
            beside[name] = dict(zip(pairs, told, strict=True))
        found = []
        for number, rows in enumerate(self.members):
            tasks = [self.tasks[row] for row in rows]
            values = [self.value(row, metric) for row in rows]
            failed = Counter(task["failure_class"] for task in tasks if task["outcome"] == "failed")
            several = sum(map(math.isfinite, values)) >= 10
            found.append({
                "number": number, "planned": len(rows), "failed": dict(failed), "system": self.systems[number],
                "unfinished": sum(task["outcome"] in UNFINISHED for task in tasks),
                "altered": sum(task["altered"] and task["outcome"] == "finished" for task in tasks),
                "cautions": self._cautions(rows, metric),
                "estimate": recomputing.estimate(values, plan.level),
                "secondary": {
                    name: recomputing.estimate([self.value(row, name) for row in rows], plan.level)
                    for name, _ in others
                },
                "secondary_comparisons": {name: told[number] for name, told in beside.items() if number in told},
                "baseline": self.baseline_of.get(number) if number in family else None,
                "bootstrap": recomputing.bca(np.array(values)[np.isfinite(values)], plan.level) if several else None,
                "comparison": None, "judgement": None, "robustness": None,
            })  # fmt: skip
        for number, one, word, again in zip(family, compared, words, read, strict=True):
            seeds = recomputing.further_seeds(one, share, plan.margin) if word == "INCONCLUSIVE" else (None, None)
            alarm = recomputing.rule_alarm(one)
            found[number] |= {
                "comparison": one,
                "judgement": {
                    "rule": {"false_alarm": self.looks["alarm"] if self.looks and alarm is not None else alarm},
                    "tested": {"level": self.level, "further_seeds": seeds[0], "further_seeds_any": seeds[1]},
                },
                "robustness": {"readings": again} if again else None,
            }
        return found

    def _cautions(self, rows: Sequence[int], metric: str) -> Numbers:
        """Runs in the mean that ran other code than the manifest names, and those with warnings."""
        mine = [self.tasks[row]["attempts"][-1] for row in rows if math.isfinite(self.value(row, metric))]
        code = self.manifest["provenance"]["code"]["sha256"]
        found = {
            "from other code": sum("code_sha256" in one and one["code_sha256"] != code for one in mine),
            "with warnings": sum(bool(one["verdict"].get("warnings")) for one in mine),
        }
        return {name: count for name, count in found.items() if count}

    def best_among(self, numbers: Sequence[int]) -> Numbers | None:
        """The best mean of configurations that lost no run, its ties, a better one that lost some, its correction."""
        metric, goal = self.metrics[0]
        sign = 1 if goal == "min" else -1
        means = {
            number: sign * one["mean"] for number in numbers
            if (one := self.configurations[number]["estimate"])["mean"] is not None
        }  # fmt: skip
        if not means:
            return None
        complete = [number for number in means if not self.configurations[number]["estimate"]["missing"]]
        among = complete or list(means)
        chosen, first = min(among, key=means.__getitem__), min(means, key=means.__getitem__)

        def same(one: int) -> bool:
            return math.isclose(means[one], means[chosen], rel_tol=1e-12)

        width = max(len(self.members[number]) for number in among)
        samples = {
            number: ([self.value(row, metric) for row in self.members[number]] + [math.nan] * width)[:width]
            for number in among
        }
        return {
            "result": self.configurations[chosen],
            "of": len(means),
            "rival": None if same(first) else self.configurations[first],
            "ties": [self.configurations[one] for one in among if one != chosen and same(one)],
            "selection": recomputing.selection(samples, goal, self.plan.level),
        }

    @cached_property
    def best(self) -> Numbers | None:
        return None if self.system_names else self.best_among(range(len(self.members)))

    @cached_property
    def best_by_system(self) -> list[Numbers | None]:
        if not self.system_names:
            return []
        return [
            self.best_among([number for number, one in enumerate(self.systems) if one == system])
            for system in dict.fromkeys(self.systems)
        ]

    @cached_property
    def over_systems(self) -> Numbers | None:
        if not self.left_open:
            return None
        metric, _ = self.metrics[0]
        runs: dict[str, dict[str, Runs]] = {}
        for number in self.baseline_of:
            one = dict(self.combinations[number])
            system = ", ".join(str(one.pop(name)) for name in self.left_open)
            runs.setdefault(str(one), {})[system] = self.runs(number, metric)
        baseline = dict(self.combinations[self._meant[0]])
        for name in self.left_open:
            baseline.pop(name)
        declared = self.spec["metrics"]["primary"].get("range") or {}
        ranges = {system: (float(low), float(high)) for system, (low, high) in declared.items()}
        return recomputing_systems.over_systems(runs, str(baseline), self.plan, ranges)

    @cached_property
    def importance(self) -> Numbers | None:
        metric, _ = self.metrics[0]
        names = dict.fromkeys(name for task in self.tasks for name in task["parameters"])
        columns = {name: [task["parameters"].get(name) for task in self.tasks] for name in names}
        cases = [task.get("case") for task in self.tasks]
        if len(set(cases)) > 1:
            kept = {n: c for n, c in columns.items() if len(set(zip(cases, c, strict=True))) > len(set(cases))}
            columns = {"case": cases, **kept}
        if not any(len(set(column)) > 1 for column in columns.values()):
            return None
        number_of = {row: number for number, rows in enumerate(self.members) for row in rows}
        values = np.array([self.value(row, metric) for row in range(len(self.tasks))])
        values, has_zero = self._comparable(values, [self.systems[number_of[row]] for row in range(len(self.tasks))])
        return recomputing.importance(
            columns, [number_of[row] for row in range(len(self.tasks))], values, self.plan, self.system_names,
            has_zero=has_zero,
        )  # fmt: skip

    def _comparable(self, values: recomputing.Floats, systems: Sequence[str]) -> tuple[recomputing.Floats, bool]:
        """Scores, else ratios to the system's geometric mean, else deviations in units of its spread."""
        made = values.copy()
        declared = self.spec["metrics"]["primary"].get("range")
        positive = bool((values[np.isfinite(values)] > 0).all())
        for system in set(systems) if self.system_names else ():
            mine = np.isfinite(values) & (np.array(systems) == system)
            one = values[mine]
            if declared:
                low, high = declared[system]
                made[mine] = (one - low) / (high - low)
            else:
                made[mine] = one / np.exp(np.log(one).mean()) if positive else (one - one.mean()) / one.std()
        return made, positive or bool(declared) or not self.system_names

    @cached_property
    def healed(self) -> list[Numbers]:
        return [{"row": row} for row in range(len(self.tasks)) if self._course(row) == "healed"]

    @cached_property
    def continued(self) -> list[Numbers]:
        kept = ("row", "attempt", "continued_in", "elapsed_s")
        return [{name: one[name] for name in kept} for one in self.attempts if one["fate"] == "continued"]

    @cached_property
    def cautions(self) -> Numbers:
        rows = [row for row in range(len(self.tasks)) if self.usable(row)]
        keys = {"code": "code_sha256", "image": "image_sha256", "launch": "launch", "manifest": "manifest_sha"}
        unknown = {
            aspect: sum(not any(key in one for one in self.tasks[row]["attempts"]) for row in rows)
            for aspect, key in keys.items()
        }
        return {"finished": len(rows), "unknown": {name: count for name, count in unknown.items() if count}}

    @cached_property
    def resources(self) -> Numbers:
        asked = self.spec["resources"]
        hours, minutes, seconds = map(int, asked["time"].split(":"))
        limit = hours + minutes / 60 + seconds / 3600
        spent: dict[str, list[dict[str, Any]]] = {}
        for one in self.attempts:
            name = {"open": "open", "continued": f"continued ({one['word']})"}.get(one["fate"], one["word"])
            spent.setdefault(name, []).append(one)
        fates = ("success", "continued", "failed", "open")
        order = sorted(spent, key=lambda name: (fates.index(spent[name][0]["fate"]), -len(spent[name]), name))
        by_verdict = [
            {
                "attempts": len(spent[name]),
                "gpu_hours": sum(one["gpu_seconds"] for one in spent[name]) / 3600,
                "cpu_hours": sum(one["elapsed_s"] for one in spent[name]) * asked["cpus"] * asked["nodes"] / 3600,
            }
            for name in order
        ]
        highest = max(self.attempts, key=lambda one: one["peak_memory_mib"] or 0)
        useful = [one for one in self.attempts if one["fate"] in ("success", "continued")]
        times = [
            sum(one["elapsed_s"] for one in useful if one["row"] == row)
            for row, task in enumerate(self.tasks) if task["outcome"] == "finished"
        ]  # fmt: skip
        on_gpu = [one["peak_gpu_memory_mib"] for one in self.attempts if one.get("peak_gpu_memory_mib")]
        return {
            "by_verdict": by_verdict,
            "gpu_hours": sum(one["gpu_hours"] for one in by_verdict),
            "cpu_hours": sum(one["cpu_hours"] for one in by_verdict),
            "forecast_h": len(self.tasks) * asked["nodes"] * asked["gpus"] * limit,
            "gpu_hours_asked": sum(one["gpus"] * asked["nodes"] * one["time_s"] for one in self.attempts) / 3600,
            "mean_run_s": float(np.mean(times)) if times else None,
            "runs_timed": len(times),
            "peak_memory_mib": highest["peak_memory_mib"],
            "peak_gpu_memory_mib": max(on_gpu, default=None),
            "memory_asked_mib": highest["memory_mib"],
        }

    @cached_property
    def usage(self) -> Numbers:
        return recomputing_usage.usage_of(self.tasks)

    @cached_property
    def registration(self) -> Numbers:
        told = [json.loads(line) for line in (self.folder / "looks.jsonl").read_text().splitlines()]
        ended = sum(task["outcome"] in ("finished", "failed") for task in self.tasks)
        now = {"collected": self.verdicts["collected"], "ended": ended, "planned": len(self.tasks)}
        return {"looks": [{"time": one["time"], **now} for one in told]}

    @cached_property
    def criterion_later(self) -> Numbers | None:
        """How many runs had begun when the question was put that is asked now."""
        if not (self.folder / "seal.json").is_file():
            return None
        later = json.loads((self.folder / "seal.json").read_text())["entries"][-1]
        starts = [min(one["started"] for one in task["attempts"]) for task in self.tasks if task["attempts"]]
        return {"begun": sum(start < later["time"] for start in starts)}

    @property
    def newer_than_collected(self) -> int:
        """Tasks not finished whose folder holds the end of an attempt; none of the made ones has a folder."""
        return len(list(self.folder.glob("tasks/*/attempt-*/exit.json")))


def varying(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Parameters in which some configurations differ."""
    names = dict.fromkeys(name for one in found for name in one)
    return [name for name in names if len({repr(one.get(name)) for one in found}) > 1]
