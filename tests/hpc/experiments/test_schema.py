"""What people write wrongly is answered with what they need to know; what they write rightly becomes a record."""

import contextlib
import copy
import json
import re
import time
from pathlib import Path

import pytest

from hpc.adapters.yaml_file import YamlDocument, parse_yaml
from hpc.core.errors import InputError
from hpc.core.experiment.grid import expand
from hpc.core.experiment.program import Preflight, Watch
from hpc.core.experiment.spec import Breaker, Divergence, RetryPolicy, Sanity
from hpc.core.resources import Pack
from hpc.experiments import sections
from hpc.experiments.models.experiment import ExperimentModel
from hpc.experiments.models.profile import ProfileModel
from hpc.experiments.overrides import Overrides
from hpc.experiments.reference import field_reference, inner_model, json_schema
from hpc.experiments.schema import declared_metrics, experiment_from, load_experiment, load_profile, profile_from
from tests.machine import slowness

ROOT = Path(__file__).parents[3]
BROKEN = ROOT / "tests/data/broken"
EXPERIMENTS = sorted((ROOT / "manifests" / "experiments").glob("*.yaml"))
CLUSTERS = sorted((ROOT / "manifests" / "clusters").glob("*.yaml"))
CODE = ROOT / "tests/data/code"

MINIMAL = """
name: small
type: comparison
program: {module: train.control, args: {epochs: 1}}
sweep: {grid: {lora_rank: [4, 8], learning_rate: [1e-4, 2e-4]}, seeds: [1, 2]}
metrics: {primary: {name: final_error}}
run_name: "R{lora_rank}_LR{learning_rate}_S{seed}"
"""


def load(text, *assignments, **overrides):
    """Read an experiment from its text."""
    return experiment_from(parse_yaml(text, "x.yaml"), Overrides(tuple(assignments), **overrides))


def problems(text, *assignments, **overrides):
    """Return every message about an experiment's text."""
    with pytest.raises(InputError) as caught:
        load(text, *assignments, **overrides)
    return str(caught.value).splitlines()


# Broken files


@pytest.mark.parametrize("name", sorted(path.stem for path in BROKEN.glob("*.yaml")))
def test_each_broken_file_gives_exactly_the_message_a_user_needs(name, monkeypatch):
    """Every broken file is refused with the whole text beside it; a missing text fails."""
    monkeypatch.chdir(BROKEN)

    with pytest.raises(InputError) as caught:
        load_experiment(Path(f"{name}.yaml"), code=CODE)

    assert str(caught.value) + "\n" == Path(f"{name}.expected").read_text(encoding="utf-8")
    assert caught.value.exit_code == 2


def test_there_are_many_broken_files_and_none_without_its_text():
    """The collection of mistakes is not lost, and no expectation is left without its file."""
    broken = {path.stem for path in BROKEN.glob("*.yaml")}

    assert len(broken) >= 70
    assert {path.stem for path in BROKEN.glob("*.expected")} == broken


def test_all_mistakes_are_reported_at_once_in_the_order_of_the_file():
    """One reading finds the mistakes of every section, sorted by line, each with its line."""
    lines = problems((BROKEN / "many_at_once.yaml").read_text(encoding="utf-8"))

    numbers = [int(line.split(":")[1]) for line in lines]
    assert len(lines) >= 5
    assert numbers == sorted(numbers)
    assert min(numbers) >= 1


# Whole files


@pytest.mark.parametrize(
    "path", sorted((ROOT / "manifests" / "experiments").glob("*.yaml")), ids=lambda path: path.stem
)
def test_every_shipped_experiment_is_valid(path):
    """The examples a newcomer copies pass their own checks, metrics of our modules included."""
    spec = load_experiment(path, code=ROOT)

    assert spec.name == path.stem
    assert expand(spec)


@pytest.mark.parametrize("path", CLUSTERS, ids=lambda path: path.stem)
def test_every_shipped_profile_is_valid(path):
    """The cluster profiles pass their own checks and are called as their files are."""
    assert load_profile(path).name == path.stem


def test_the_annotated_profile_explains_every_field():
    """A newcomer finds each field of a profile in the commented example."""
    text = (ROOT / "manifests" / "clusters" / "example-a100.yaml").read_text(encoding="utf-8")

    assert [name for name in ProfileModel.model_fields if not re.search(rf"^(# )?{name}:", text, re.MULTILINE)] == []


def test_declared_ranges_arrive_in_the_record(tmp_path):
    """Each system with what counts as 0 and as 1 there; the file as it was written is kept with it."""
    path = tmp_path / "ranges.yaml"
    text = (BROKEN / "range_of_systems.yaml").read_text(encoding="utf-8")
    path.write_text(text.replace("{pendulm: [0, 1],", "{acrobot: [-5, 0.5], pendulum: [0, 1],"), encoding="utf-8")
    spec = load_experiment(path)

    assert spec.metrics.primary.ranges == (("acrobot", -5.0, 0.5), ("pendulum", 0.0, 1.0), ("cartpole", 0.0, 10.0))
    assert spec.raw["metrics"]["primary"]["range"]["acrobot"] == [-5, 0.5]


def test_the_example_of_the_contract_becomes_the_record_it_describes():
    """Every value of the shipped sweep arrives in the record, in the record's units."""
    spec = load_experiment(ROOT / "manifests" / "experiments" / "lora_sweep.yaml")

    assert spec.program.module == "train.control"
    assert spec.resources.memory_mib == 32 * 1024
    assert spec.resources.time_s == 2 * 3600
    assert spec.metrics.primary.meaningful == pytest.approx(0.05)
    assert spec.baseline == {"lora_rank": 8, "learning_rate": 2e-4}
    assert spec.batch is not None
    assert (spec.batch.global_size, spec.batch.micro, spec.batch.parameter) == (64, 16, "micro_batch_size")
    assert spec.launch.processes is None
    assert spec.wandb == {"project": "control-llm", "mode": "offline"}
    assert [task.run_name for task in expand(spec)[:4]] == [
        "R4_LR0.0001_S42",
        "R4_LR0.0001_S137",
        "R4_LR0.0001_S256",
        "R4_LR0.0002_S42",
    ]


@pytest.mark.parametrize("text", [
    MINIMAL,
    MINIMAL + "baseline: {lora_rank: 4}\nbatch: {global: 8, micro: 2}\ntracking: {wandb: {project: p}}\n",
    MINIMAL + "batch: {global: 8, micro: 2, shape: [lora_rank]}\nretry: {breaker: off, hook: 'mine:decide', "
    "divergence: {lower_learning_rate: 0.1, set: {clip: 0.5}, mixed_precision: no}, exclude_nodes: {hours: 2}}\n",
    MINIMAL + "retry: {divergence: lower_learning_rate, breaker: {same: 2}}\n",
    "name: s\ntype: comparison\nprogram: {module: a.b, args: {x: null, y: [1, 2]}}\nmetrics: {primary: {name: m}}\n"
    "sweep: {sample: {n: 5, space: {lr: {log: [1e-5, 1e-2]}, act: {choices: [a, null]}}}}\n",
    "name: c\ntype: training_ablation\nprogram: {module: a.b}\nmetrics: {primary: {name: m}}\n"
    "sweep: {cases: [{id: one, n: 1}, {id: two, n: 2}]}\nbaseline: {id: one}\nrun_name: '{id}_S{seed}'\n",
])  # fmt: skip
def test_what_the_manifest_keeps_reads_back_as_the_same_experiment(text):
    """The spec in a manifest, through JSON, gives the same record and the same tasks again."""
    spec = load(text)

    again = experiment_from(YamlDocument(json.loads(json.dumps(spec.raw)), source="manifest.json"))

    assert again == spec
    assert expand(again) == expand(spec)


def test_blocks_that_can_be_said_in_a_word():
    """`report`, `lower_learning_rate` and `off` mean what they always meant; nothing said means report and breaker."""
    assert load(MINIMAL).retry == RetryPolicy()
    said = load(MINIMAL + "retry: {divergence: report, breaker: off}\n").retry
    assert (said.divergence, said.breaker) == (None, None)
    assert load(MINIMAL + "retry: {divergence: lower_learning_rate}\n").retry.divergence == Divergence(0.5)
    assert load(MINIMAL + "retry: {breaker: {share: 0}}\n").retry.breaker == Breaker(share=0)
    editors = json.dumps(json_schema()["$defs"]["RetryModel"])
    assert all(word in editors for word in ("report", "lower_learning_rate", "off"))


def test_a_run_name_is_made_from_all_parameters_when_none_is_given():
    """Leaving the run name out gives a unique one over every parameter and the seed."""
    spec = load(MINIMAL.replace('run_name: "R{lora_rank}_LR{learning_rate}_S{seed}"', ""))

    assert expand(spec)[0].run_name == "lora_rank4_learning_rate0.0001_S1"


def test_a_case_may_be_called_by_its_id_and_is_a_case_afterwards():
    """`id` in baseline and run name means the case, as it is written in the list of cases."""
    spec = load(
        "name: c\ntype: training_ablation\nprogram: {module: a.b}\nmetrics: {primary: {name: m}}\n"
        "sweep: {cases: [{id: ones_conv, n: 1}, {id: standard, n: 2}]}\nbaseline: {id: standard}\nrun_name: '{id}'\n"
    )

    assert spec.baseline == {"case": "standard"}
    assert [(task.run_name, task.case, task.parameters) for task in expand(spec)] == [
        ("ones_conv", "ones_conv", {"n": 1}),
        ("standard", "standard", {"n": 2}),
    ]


def test_a_baseline_may_name_some_of_the_parameters():
    """A baseline that leaves parameters open selects every configuration that agrees with it."""
    assert load(MINIMAL + "baseline: {lora_rank: 8}\n").baseline == {"lora_rank": 8}


def test_strings_that_shells_love_are_allowed_as_values_and_refused_as_names():
    """A hostile value reaches the program as one argument, and never names a folder."""
    text = MINIMAL.replace("lora_rank: [4, 8]", r"""lora_rank: ["$(touch x)", "a'; rm -rf b", "käse"]""")

    assert (
        len(
            load(
                text, "run_name=LR{learning_rate}_S{seed}_{lora_rank:.0s}x", "sweep.grid.lora_rank=['$(touch x)']"
            ).sweep.grid["lora_rank"]
        )
        == 1
    )
    assert all("run_name" in line for line in problems(text))


# Overrides


def test_set_changes_a_value_before_it_is_checked():
    """`--set` reads its value as YAML, reaches into blocks that are not there yet, and is checked like the file."""
    spec = load(MINIMAL, "resources.mem=64GB", "sweep.grid.learning_rate=[1e-3]", "program.args.epochs=5")

    assert spec.resources.memory_mib == 64 * 1024
    assert spec.sweep.grid["learning_rate"] == (1e-3,)
    assert spec.raw["program"]["args"] == {"epochs": 5}


def test_seeds_and_limits_have_flags_of_their_own():
    """`--seeds` and `--resource-limits` replace what the file says, in the spelling users know."""
    spec = load(MINIMAL, seeds="7, 8,9", resource_limits="gpu:1,mem:32GB,time:24:00:00")

    assert spec.sweep.seeds == (7, 8, 9)
    assert (spec.resources.gpus, spec.resources.memory_mib, spec.resources.time_s) == (1, 32 * 1024, 86400)


def test_mistakes_on_the_command_line_say_which_flag():
    """A wrong override is reported with the flag it came from and the nearest valid key, without a line of the file."""
    assert problems(MINIMAL, "resources.memm=3GB") == [
        "x.yaml: resources.memm: unknown key; did you mean 'mem'? (valid: cpus, disk, for, gpus, mem, nodes, time)"
        " (from --set resources.memm=3GB)"
    ]
    assert problems(MINIMAL, "name", "=3", "resources.mem=[", "name.first=x") == [
        "--set name: write key=value, such as resources.mem=64GB",
        "--set =3: write key=value, such as resources.mem=64GB",
        "--set resources.mem=[: the value ends or goes on where a value is missing; close the list or mapping, or "
        "write the value",
        "--set name.first=x: 'name' is one value and holds no 'first'",
    ]
    assert problems(MINIMAL, seeds="1,two") == [
        "x.yaml: sweep.seeds[1]: must be a whole number, not the text 'two' (from --seeds 1,two)"
    ]
    assert problems(MINIMAL, resource_limits="gpu:1,memo:3,time") == [
        "--resource-limits memo:3: there is no 'memo'; did you mean 'mem'? (valid: cpu, cpus, disk, gpu, gpus, mem, "
        "memory, node, nodes, time)",
        "--resource-limits time: write name:value, such as gpu:1,mem:32GB,time:24:00:00",
    ]


def test_every_mistake_on_the_command_line_is_named_at_once():
    """A flag nobody knows, a value of the wrong kind, a mistake of the file: none hides another."""
    said = problems(f"{MINIMAL}retri: {{}}\n", "name", resource_limits="gpu:x,foo:1,time:soon", seeds="a")
    parts = [
        "--set name: write key=value",
        "no 'foo'",
        "not the text 'x'",
        "resources.time",
        "not the text 'a'",
        "'retry'",
    ]
    assert all(any(part in line for line in said) for part in parts), said
    assert len(said) == len(parts)


def test_overrides_leave_the_document_as_it_was():
    """Applying changes copies; the same document can be read again without them."""
    document = parse_yaml(MINIMAL, "x.yaml")

    experiment_from(document, Overrides(("name=other",)))

    assert experiment_from(document).name == "small"


# Profiles


def test_a_profile_reports_everything_at_once():
    """Mistakes in a cluster profile come with line, nearest name and the field that says it properly."""
    text = (
        'scheduler: slrm\npartiton: gpu\nmax_time: forever\naccount: "a b\\n#SBATCH --exclusive"\n'
        'directives: {mem: 32GB, mail-type: "FAIL $x"}\nenvironment: {API_KEY: x}\nsetup: ["a\\nb"]\n'
    )
    with pytest.raises(InputError) as caught:
        profile_from(parse_yaml(text, "site.yaml"))

    lines = str(caught.value).splitlines()
    assert lines[0] == (
        "site.yaml:1: scheduler: the text 'slrm' is not one of its values; did you mean 'slurm'? (valid: local, slurm)"
    )
    assert lines[1].startswith("site.yaml:2: partiton: unknown key; did you mean 'partition'?")
    assert [line.split(": ")[1] for line in lines[2:]] == [
        "max_time", "account", "directives.mem", "directives.mail-type", "environment.API_KEY", "setup[0]",
    ]  # fmt: skip
    assert "say it with resources.mem" in str(caught.value)


# Own modules


def test_metrics_of_a_module_are_read_without_running_it():
    """A module that would raise when imported still tells its metrics; anything but a plain literal tells nothing."""
    assert declared_metrics((CODE / "train" / "control.py").read_text(encoding="utf-8")) == (
        "final_error", "control_cost", "training_time",
    )  # fmt: skip
    assert declared_metrics("METRICS: tuple[str, ...] = ('a',)") == ("a",)
    assert declared_metrics("METRICS = tuple(open('x'))") is None
    assert declared_metrics("x = 1") is None
    assert declared_metrics("def (") is None


def test_programs_from_elsewhere_may_write_any_metric():
    """A module outside this project and a command without a source are not second-guessed."""
    text = MINIMAL.replace("train.control", "their.trainer").replace("final_error", "anything")

    assert experiment_from(parse_yaml(text, "x.yaml"), code=CODE).metrics.primary.name == "anything"


# Generated documents


def test_every_field_has_a_description():
    """The field reference explains each field: none is empty."""
    for model in (ExperimentModel, ProfileModel):
        for block in re.findall(r"^\| `.*$", field_reference(model), re.MULTILINE):
            assert re.search(r"\| [^|]*\w[^|]*(\|[^|]*)*\|$", block), block


def test_the_reference_names_every_key_of_the_contract():
    """What the shipped example writes is what the reference describes."""
    reference = field_reference()

    for key in ("name", "if_wrong", "command", "where", "sample", "meaningful", "stdout", "disk", "zero_stage",
                "global", "accumulation", "binds", "min_micro", "divergence", "project", "environment"):  # fmt: skip
        assert f"| `{key}` |" in reference


def test_the_json_schema_knows_required_keys_and_refuses_others():
    """An editor that reads the schema completes the keys and marks unknown ones."""
    editors = json_schema()

    assert set(editors["required"]) == {"name", "type", "program", "sweep", "metrics"}
    assert editors["additionalProperties"] is False
    assert "global" in editors["$defs"]["BatchModel"]["properties"]


# Size


def test_ten_thousand_tasks_are_validated_and_expanded_within_a_second():
    """A sweep of 10,000 tasks costs under a second of processor time, checks included."""
    text = MINIMAL.replace("lora_rank: [4, 8]", f"lora_rank: {list(range(100))}").replace(
        "[1e-4, 2e-4]", str([n / 1000 for n in range(1, 51)])
    )
    load(MINIMAL)  # models are built once
    began = time.process_time()

    spec = load(text)
    tasks = expand(spec)
    spent = time.process_time() - began

    assert len(tasks) == 10_000
    assert len({task.task_id for task in tasks}) == 10_000
    assert spent < slowness()


# Every kind of mistake has its words

ODD = (
    *(None, True, 0, -1, 2**70, 1.5, float("nan"), float("inf"), "", "x", "a\nb", "x" * 2000, "1", "1.5"),
    *([], [None], [[]], [1], ["x", 2], [2**70], {}, {"x": 1}, {"x": {}}, {"x": [1]}, {"": 1}, {"factor": "2"}),
)  # fmt: skip


def blocks(model, path=()):
    """Return the path of every block of a file that holds keys."""
    yield path, model
    for name, field in model.model_fields.items():
        inner = inner_model(field.annotation)
        if inner is not None:
            yield from blocks(inner, (*path, field.alias or name))


def with_value(base, path, value):
    """Return a copy of the data with a value put somewhere, blocks made on the way."""
    data = copy.deepcopy(base)
    place = data
    for step in path[:-1]:
        place = place.setdefault(step, {})
    place[path[-1]] = value
    return data


@pytest.mark.parametrize("model", [ExperimentModel, ProfileModel])
def test_no_mistake_is_answered_in_the_words_of_a_library(model, monkeypatch):
    """Whatever is put into whichever field: every kind of mistake the models can find has our own words."""
    kinds = set()
    message = sections._message
    monkeypatch.setattr(sections, "_message", lambda *given: kinds.add(given[-1]["type"]) or message(*given))
    base = parse_yaml(MINIMAL, "x").data if model is ExperimentModel else {}
    read = experiment_from if model is ExperimentModel else profile_from
    fields = [
        (*path, field.alias or name) for path, block in blocks(model) for name, field in block.model_fields.items()
    ]
    for path in fields:
        for odd in ODD:
            with contextlib.suppress(InputError):
                read(YamlDocument(with_value(base, path, odd), source="x"))

    assert len(kinds) >= 8
    assert kinds - {*sections._MESSAGES, "extra_forbidden", "missing", "literal_error"} == set()


@pytest.mark.parametrize(
    ("written", "sanity"),
    [("--sanity", Sanity("--sanity")), ('{words: "--check {seed}", time: "0:30:00"}', Sanity("--check {seed}", 1800))],
)
def test_checks_before_a_canary_make_no_other_task(written, sanity):
    """In a word or as a block; tasks keep their ids, so what was run before stands; written down it reads the same."""
    plain, spec = load(MINIMAL), load(MINIMAL.replace("epochs: 1}}", f"epochs: 1}}, sanity: {written}}}"))

    assert (plain.sanity, spec.sanity) == (None, sanity)
    assert "sanity" not in plain.raw["program"]
    assert spec.program == plain.program
    assert [task.task_id for task in expand(spec)] == [task.task_id for task in expand(plain)]
    assert load(json.dumps(spec.raw)).sanity == sanity


def test_what_packs_nothing_is_frozen_as_it_was_before_there_were_packs():
    """A manifest holds `pack` only where the file has it: earlier plans keep their digests."""
    text = (ROOT / "manifests/experiments/lora_sweep.yaml").read_text(encoding="utf-8")
    assert "pack" not in load(text).raw
    packed = load(text, "pack.tasks=8", "pack.at_once=4")
    assert (packed.raw["pack"], packed.pack) == ({"tasks": 8, "at_once": 4}, Pack(8, 4))


@pytest.mark.parametrize(
    ("written", "watch"),
    [
        ("off", None),
        ("{silent: 90s, slower_than: 3x, act: resume}", Watch(90, 3.0, "resume")),
        ("{act: end}", Watch(1200, 0.0, "end")),
        ('{silent: "2:00:00", act: false}', Watch(7200)),
    ],
)
def test_a_watch_is_read(written, watch):
    """Written down it reads the same; without a word it is watched, and plans from before keep their digests."""
    spec = load(f"{MINIMAL}watch: {written}\n")

    assert (spec.watch, load(MINIMAL).watch) == (watch, Watch())
    assert load(json.dumps(spec.raw)).watch == watch
    assert "watch" not in load(MINIMAL).raw


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("{silent: soon}", "'soon' is not a time limit"),
        ("{slower_than: 0.5x}", "is 0.5; a factor is above 1"),
        ("{slower_than: much}", "must be a factor such as 3x"),
        ("{act: kill}", "valid: end, resume"),
        ("{act: true}", "valid: end, resume"),
        ("{patience: 3}", "unknown"),
    ],
)
def test_a_watch_that_makes_no_sense_is_refused(written, said):
    [problem] = problems(f"{MINIMAL}watch: {written}\n")

    assert said in problem


@pytest.mark.parametrize(
    ("written", "preflight"),
    [
        ("true", Preflight()),
        ("false", None),
        ("{gpu: H100, all_reduce: false, shm: 1GB, time: 30s}", Preflight("H100", True, False, 1024, 30)),
    ],
)
def test_a_gate_is_read(written, preflight):
    """Written down it reads the same; without a word there is none, and plans from before keep their digests."""
    spec = load(f"{MINIMAL}preflight: {written}\n")

    assert (spec.preflight, load(MINIMAL).preflight) == (preflight, None)
    assert load(json.dumps(spec.raw)).preflight == preflight
    assert "preflight" not in load(MINIMAL).raw
