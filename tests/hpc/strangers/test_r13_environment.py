"""R13: what profile and experiment say of the environment reaches the program, bare or in a container."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.core.launch.expansion import UnsetError, expand, expansion_problem, references
from tests.hpc.strangers.repository import SHOWS, Repository
from tests.local_projects import REPO

CLOSED = """#!/bin/bash
# As apptainer or singularity with --cleanenv: only variables with the prefix of its name come in.
printf '%s\\n' "$@" > "$(dirname "$0")/words"
while [[ $1 != *.sif ]]; do shift; done; shift
v=(PATH="$PATH"); while IFS= read -r l; do [[ $l = PREFIX_* ]] && v+=("${l#PREFIX_}"); done < <(env)
exec env -i "${v[@]}" "$@"
"""


@pytest.fixture(params=["bare", "apptainer", "singularity"])
def runs_in(request: pytest.FixtureRequest, repository: Repository) -> tuple[dict[str, str], dict[str, str]]:
    """Fields of a profile and blocks of an experiment: on the host itself, in a container of either kind."""
    if request.param == "bare":
        return {}, {}
    repository.write(f"bin/{request.param}", CLOSED.replace("PREFIX", f"{request.param.upper()}ENV"))
    (repository.folder / "bin" / request.param).chmod(0o755)
    repository.write("x.sif", "")
    return {"apptainer": f"bin/{request.param}"}, {"container": f"{{image: {repository.folder}/x.sif}}"}


PROFILE = "{HF_HOME: /scratch/hf, NCCL_DEBUG: INFO, OMP_NUM_THREADS: 8, PATH: '/site/bin:$PATH'}"
SITE = {"SCRATCH": "/scratch/$USER/a b", "USER": "ada"}


def test_r13_the_profiles_environment_reaches_the_program(
    repository: Repository, runs_in: tuple[dict[str, str], dict[str, str]]
) -> None:
    """Every variable of the profile, in containers too, where the host's PATH alone stays outside."""
    profile, blocks = runs_in
    repository.profile(environment=PROFILE, **profile)
    repository.experiment(**blocks)
    repository.plan()
    repository.on_a_node()
    seen = repository.seen()
    expected = {"HF_HOME": "/scratch/hf", "NCCL_DEBUG": "INFO", "OMP_NUM_THREADS": "8"}
    assert {name: seen.get(name) for name in expected} == expected
    assert seen["PATH"].split(os.pathsep).count("/site/bin") == (0 if blocks else 1)


def test_r13_the_experiment_goes_before_the_profile(
    repository: Repository, runs_in: tuple[dict[str, str], dict[str, str]]
) -> None:
    """A variable of both is the experiment's, and the experiment may build on the profile's."""
    profile, blocks = runs_in
    repository.profile(environment="{HF_HOME: /scratch/hf, DATA: /site/data, A: 1}", **profile)
    repository.experiment(environment="{HF_HOME: /mine, DATA: '$DATA/mine', B: 2}", **blocks)
    repository.plan()
    repository.on_a_node()
    seen = repository.seen()
    assert [seen[name] for name in ("HF_HOME", "DATA", "A", "B")] == ["/mine", "/site/data/mine", "1", "2"]


VALUES = [
    ("$SCRATCH/hf", "/scratch/$USER/a b/hf"),
    ("${SCRATCH}hf", "/scratch/$USER/a bhf"),
    ("/x/$USER:$USER", "/x/ada:ada"),
    ("~/hf", "HOME/hf"),
    ("~", "HOME"),
    ("/a:~/b", "/a:HOME/b"),
    ("a~/b", "a~/b"),
    ("~user/b", "~user/b"),
    ("$$SCRATCH", "$SCRATCH"),
    ("cost: 5$ or $5", "cost: 5$ or $5"),
    ("`touch x`; rm -rf '*' \"q\" \\", "`touch x`; rm -rf '*' \"q\" \\"),
    ("!/#%&*|<>", "!/#%&*|<>"),
]


@pytest.mark.parametrize("whose", ["profile", "experiment"])
def test_r13_values_are_expanded_on_the_node_and_by_no_shell(
    repository: Repository, runs_in: tuple[dict[str, str], dict[str, str]], whose: str
) -> None:
    """Variables and ``~`` mean what they mean there; all else, and what a variable holds, is taken as it stands."""
    profile, blocks = runs_in
    block = "{" + ", ".join(f"V{n}: '{text.replace(chr(39), chr(39) * 2)}'" for n, (text, _) in enumerate(VALUES)) + "}"
    repository.profile(**profile, **({"environment": block} if whose == "profile" else {}))
    repository.experiment(**blocks, **({"environment": block} if whose == "experiment" else {}))
    told = repository.plan()
    assert "note: $SCRATCH (" in told
    assert "is not set on this machine" in told
    assert repository.on_a_node(**SITE) == 0
    seen = repository.seen()
    home = os.environ["HOME"]
    assert [seen[f"V{n}"] for n in range(len(VALUES))] == [text.replace("HOME", home) for _, text in VALUES]
    assert not (repository.folder / "x").exists()


BINDS = [
    ("$SCRATCH", "/scratch/$USER/a b"),
    ("${SCRATCH}/data:/data:ro", "/scratch/$USER/a b/data:/data:ro"),
    ("~/data:/data", "HOME/data:/data"),
    ("/data/$USER:/data/${USER}", "/data/ada:/data/ada"),
    ("/plain", "/plain"),
]


@pytest.mark.parametrize("runs_in", ["apptainer", "singularity"], indirect=True)
def test_r13_binds_are_expanded_on_the_node(
    repository: Repository, runs_in: tuple[dict[str, str], dict[str, str]]
) -> None:
    """Each bind of profile and experiment stands on the command line as the node has it."""
    profile, blocks = runs_in
    listed = [text for text, _ in BINDS]
    repository.profile(**profile, binds=str(listed[:2]))
    image = blocks["container"].strip("{}")
    repository.experiment(container=f"{{{image}, binds: {listed[2:]}}}")
    repository.plan()
    repository.on_a_node(**SITE)
    words = (repository.folder / profile["apptainer"]).with_name("words").read_text().splitlines()
    bound = [words[place + 1] for place, word in enumerate(words) if word == "--bind"]
    assert bound == [text.replace("HOME", os.environ["HOME"]) for _, text in BINDS]
    assert repository.record()["image"]["binds"] == bound


@pytest.mark.parametrize(
    ("fields", "blocks", "said"),
    [
        ({"environment": "{A: $GONE/x}"}, {}, "GONE is not set on"),
        ({}, {"environment": "{A: '${GONE}'}"}, "the experiment's environment gives A: ${GONE}"),
        ({"binds": "[$GONE/x]"}, {"container": "{image: X}"}, "bind $GONE/x"),
        ({"binds": "['$LIST:/x']"}, {"container": "{image: X}"}, "holds a colon or comma"),
        ({"binds": "[$COMMA]"}, {"container": "{image: X}"}, "holds a colon or comma"),
        ({"binds": "['$EMPTY:/x']"}, {"container": "{image: X}"}, "is empty"),
    ],
)
def test_r13_what_a_node_cannot_expand_is_said_and_nothing_runs(
    repository: Repository, fields: dict[str, str], blocks: dict[str, str], said: str
) -> None:
    """No program starts with half of what was asked; the attempt says which variable, where, and what to do."""
    repository.write("x.sif", "")
    if blocks.get("container"):
        fields, blocks = {**fields, "apptainer": "/bin/false"}, {"container": f"{{image: {repository.folder}/x.sif}}"}
    repository.profile(**fields)
    repository.experiment(**blocks)
    repository.plan()
    assert repository.on_a_node(LIST="/a:/b", COMMA="/a,b", EMPTY="") == 2
    assert said in (repository.attempt() / "stderr.log").read_text()
    assert (repository.attempt() / "exit.json").exists()
    assert said in repository.record()["obstacle"]


REFUSED = [
    ("/x/$(hostname)", "holds '$('"),
    ("${SCRATCH:-/tmp}/x", "holds '${SCRATCH:-/tmp}'"),
    ("${}", "holds '${}'"),
    ("$WANDB_API_KEY/x", "names $WANDB_API_KEY, whose value would appear in every task.json"),
    ("${HF_TOKEN}", "names $HF_TOKEN"),
]


@pytest.mark.parametrize(("text", "said"), REFUSED)
def test_r13_what_only_a_shell_or_a_secret_could_fill_is_refused_at_plan(
    repository: Repository, text: str, said: str
) -> None:
    """By name and place, all at once, before anything is submitted."""
    repository.profile(environment=f"{{A: '{text}'}}")
    repository.experiment(environment=f"{{B: '{text}'}}")
    told = repository.plan(expect=2)
    assert f"profile s, environment.A: {said}" in told
    assert f" environment.B: {said}" in told.replace("\n", " ")
    repository.profile(binds=f"['{text}']")
    repository.experiment()
    assert said in repository.plan(expect=2)
    repository.profile()
    repository.experiment(container=f"{{binds: ['{text}']}}")
    told = repository.plan(expect=2)
    assert said in told
    assert "container.binds" in told


def test_r13_a_real_container_sees_the_same(repository: Repository) -> None:
    """Apptainer itself passes every value as it stands, and binds what the node's variables name."""
    image, apptainer = REPO / "images/minimal.sif", REPO / ".lab/apptainer/bin/apptainer"
    if not (image.exists() and apptainer.exists()):
        pytest.skip(f"needs {image} and {apptainer}")
    repository.write("data/x", "bound")
    repository.write("t.py", "print(open('/inside/x').read())\n" + SHOWS)
    odd = '`id`; $$(id) \\ "q" {x} %s'
    repository.profile(
        apptainer=str(apptainer), binds="['$HERE/data:/inside:ro']", environment=f"{{A: '$HERE/a', B: 1, ODD: '{odd}'}}"
    )
    repository.experiment("command: python3 t.py", environment="{B: '$A/b'}", container=f"{{image: {image}}}")
    repository.plan()
    assert repository.on_a_node(HERE=str(repository.folder)) == 0
    assert repository.printed()[0] == "bound"
    seen = json.loads(repository.printed()[1])
    assert (seen["A"], seen["B"]) == (f"{repository.folder}/a", f"{repository.folder}/a/b")
    assert seen["ODD"] == odd.replace("$$", "$")


NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,5}", fullmatch=True)
TEXTS = st.lists(st.one_of(NAMES.map("$%s".__mod__), NAMES.map("${%s}".__mod__), st.text(max_size=6))).map("".join)


@given(TEXTS, st.dictionaries(NAMES, st.text(max_size=12)))
def test_r13_a_value_is_never_read_again(text: str, variables: dict[str, str]) -> None:
    """What is expanded is the text's own references and nothing that a variable holds, for any of both."""
    wanted = {name: variables.get(name, "") for name in (*references(text), "HOME")}
    opaque = {name: f"\0{number}\0" for number, name in enumerate(wanted)}
    pieces = expand(text, opaque)
    for name, mark in opaque.items():
        pieces = pieces.replace(mark, "\1" + name + "\1")
    by_hand = pieces
    for name, value in wanted.items():
        by_hand = by_hand.replace("\1" + name + "\1", value) if "\1" not in value else by_hand
    if not any(set("\0\1") & set(value) for value in (text, *wanted.values())):
        assert expand(text, wanted) == by_hand


@given(st.text(alphabet=st.characters(exclude_characters="$~")))
def test_r13_text_without_dollar_and_tilde_is_itself(text: str) -> None:
    """Nothing else means anything."""
    assert expand(text, {}) == text
    assert references(text) == ()
    assert expansion_problem(text) == ""


def test_r13_an_unset_variable_is_named() -> None:
    """Unset is not empty."""
    with pytest.raises(UnsetError, match="SCRATCH is not set"):
        expand("a$SCRATCH", {"SCRATC": "x"})
    assert expand("a$SCRATCH", {"SCRATCH": ""}) == "a"


@pytest.mark.parametrize(
    ("reference", "stem", "verb"),
    [
        ("docker://pytorch/pytorch:2.5", "pytorch_2.5", "pull"),
        ("docker://ubuntu", "ubuntu", "pull"),
        ("docker://ghcr.io/me/x@sha256:abc", "x_sha256_abc", "pull"),
        ("oras://registry.example/me/x:1", "x_1", "pull"),
        ("library://me/x", "x", "pull"),
        ("shub://me/x", "x", "pull"),
        ("https://example.org/x.sif", "x", "pull"),
        ("docker-archive:/data/x.tar", "x", "build"),
        ("docker-daemon:x:latest", "x_latest", "build"),
        ("oci:/data/x", "x", "build"),
    ],
)
def test_r13_images_that_lie_elsewhere_are_named_with_the_line_that_fetches_them(
    repository: Repository, reference: str, stem: str, verb: str
) -> None:
    """No task fetches an image; the site's own command for doing it once is in the message."""
    repository.profile(apptainer="singularity")
    repository.experiment(container=f"{{image: '{reference}'}}")
    told = " ".join(repository.plan(expect=2).split())
    folder = repository.folder / "images"
    assert f"mkdir -p {folder} && singularity {verb} {folder / stem}.sif" in told
    assert f"write `image: {stem}`" in told


@pytest.mark.parametrize(("vendor", "option"), [("nvidia", "--nv"), ("amd", "--rocm")])
def test_r13_the_profile_says_whose_gpus_a_container_sees(repository: Repository, vendor: str, option: str) -> None:
    """`gpu_vendor: amd` is --rocm; without GPUs there is neither."""
    repository.write("apptainer", CLOSED.replace("PREFIX", "APPTAINERENV"))
    (repository.folder / "apptainer").chmod(0o755)
    repository.write("x.sif", "")
    repository.profile(apptainer="./apptainer", gpu_vendor=vendor)
    repository.experiment(container=f"{{image: {repository.folder}/x.sif}}", resources="{gpus: 1}")
    repository.plan()
    repository.on_a_node()
    words = (repository.folder / "words").read_text().split()
    assert [word for word in words if word in ("--nv", "--rocm")] == [option]


@pytest.mark.parametrize(("program", "code", "said"), [
    ("no-such-program", 127, "no-such-program: command not found"),
    ("./t.py", 126, "./t.py: permission denied"),
    ("/opt/nothing", 127, "/opt/nothing: command not found"),
])  # fmt: skip
def test_a_program_that_cannot_be_started_is_named_as_a_shell_would(
    repository: Repository, program: str, code: int, said: str
) -> None:
    """The attempt ends with a record, and not as if the disk had failed."""
    repository.experiment(f"command: {program}")
    repository.plan()
    assert repository.on_a_node() == code
    assert Path(repository.attempt(), "stderr.log").read_text() == f"hpc: {said}\n"
