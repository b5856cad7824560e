"""The gallery: its list, its page and the shipped experiments agree, and a report that has no answer is refused."""

import importlib.util
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/gallery.md"


@pytest.fixture(scope="module")
def builder() -> ModuleType:
    """``docs/gallery/build.py``, which is no package."""
    spec = importlib.util.spec_from_file_location("gallery_build", ROOT / "docs/gallery/build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_small_experiment_is_in_the_gallery(builder: ModuleType) -> None:
    """A new ``*_small`` experiment is run with the others, after what it starts from or is compared with."""
    shipped = {path.stem: path.read_text() for path in (ROOT / "manifests/experiments").glob("*_small.yaml")}
    assert sorted(builder.EXPERIMENTS) == sorted(shipped)
    for place, name in enumerate(builder.EXPERIMENTS):
        needed = set(re.findall(r"(?:\{run:|baseline_from: )(\w+)", shipped[name]))
        assert needed <= set(builder.EXPERIMENTS[:place])


def test_the_page_has_every_experiment_of_the_list_and_its_picture(builder: ModuleType) -> None:
    """In its order, each with an answer and a picture that is there; no picture is left of another."""
    sections = PAGE.read_text(encoding="utf-8").split("\n## ")[1:]
    assert [re.match(r"\[(\w+)\]", section)[1] for section in sections] == list(builder.EXPERIMENTS)  # type: ignore[index]
    for name, section in zip(builder.EXPERIMENTS, sections, strict=True):
        assert re.search(r"^\*\*[A-Z ]+: .+\*\*$", section, re.MULTILINE)
        assert f"](gallery/{name}.svg)](gallery/{name}.svg)" in section
    pictures = {path.stem for path in (ROOT / "docs/gallery").glob("*.svg")}
    assert pictures == set(builder.EXPERIMENTS)


@pytest.mark.parametrize(
    ("scheduler", "container", "told"),
    [
        ("slurm", {"image": "train-cpu"}, "on Slurm (`lab`), in the image `train-cpu`"),
        ("local", None, "without Slurm, without a container"),
    ],
)
def test_a_section_says_where_its_runs_were_made(
    builder: ModuleType, tmp_path: Path, scheduler: str, container: dict[str, str] | None, told: str
) -> None:
    """As the manifest has it; each section of the page says so."""
    manifest = {"spec": {"container": container}, "cluster": {"name": "lab", "scheduler": scheduler}}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    assert builder.where(tmp_path) == told
    for section in builder.earlier_sections(PAGE).values():
        assert re.search(
            r"^- Run (on Slurm \(`\w+`\)|without Slurm), (in the image `[\w-]+`|without a container)\.$",
            section,
            re.MULTILINE,
        )


def test_what_was_not_run_again_keeps_its_section(builder: ModuleType, tmp_path: Path) -> None:
    """Each section is read back whole; a page that is not there has none."""
    page = tmp_path / "gallery.md"
    page.write_text("# Gallery\n\nText.\n\n## [a](x/a.yaml)\n\n**SUPPORTED: x**\n\n## [b](x/b.yaml)\n\nlast\n")
    found = builder.earlier_sections(page)
    assert found == {"a": "## [a](x/a.yaml)\n\n**SUPPORTED: x**\n\n", "b": "## [b](x/b.yaml)\n\nlast\n"}
    assert builder.earlier_sections(tmp_path / "none.md") == {}


def test_an_experiment_that_still_runs_waits(builder: ModuleType, tmp_path: Path) -> None:
    """Nothing is shown of half of its runs; a failed one has ended."""
    assert not builder.is_collected(tmp_path)
    (tmp_path / "collected").mkdir()
    for outcomes, ended in ((["finished", "running"], False), (["finished", "failed"], True)):
        tasks = [{"outcome": outcome} for outcome in outcomes]
        (tmp_path / "collected/verdicts.json").write_text(json.dumps({"tasks": tasks}))
        assert builder.is_collected(tmp_path) == ended


def test_a_report_without_an_answer_is_refused(builder: ModuleType, tmp_path: Path) -> None:
    """The page is not written of half of it."""
    (tmp_path / "report").mkdir()
    (tmp_path / "report/report.md").write_text("# x\n\n## The verdict in full\n\n![a](front.svg)\n\nDots.\n")
    with pytest.raises(SystemExit, match="does not begin with an answer"):
        builder.section("x", tmp_path)


class Road:
    """The commands as the gallery starts them: each collection is the next of `outcomes`, every other command works."""

    def __init__(self, outcomes: Sequence[dict[str, int]]) -> None:
        self.outcomes = [{"planned": 0, "pending": 0, "running": 0, **each} for each in outcomes]
        self.started: list[tuple[str, ...]] = []

    def run(self, name: str, *arguments: str, accepted: tuple[int, ...] = (0,)) -> str:
        assert 0 in accepted
        self.started.append((name, *arguments))
        return json.dumps({"outcomes": self.outcomes.pop(0)}) if name == "hpc.collect" else "refused: the queue is full"

    def count(self, name: str) -> int:
        return sum(words[0] == name for words in self.started)


@pytest.fixture
def taken(builder: ModuleType, monkeypatch: pytest.MonkeyPatch) -> "type[Road]":
    """`Road`, whose commands are those that the gallery starts; nobody waits."""
    monkeypatch.setattr(builder, "_EVERY_S", 0)

    class Taken(Road):
        def __init__(self, outcomes: Sequence[dict[str, int]]) -> None:
            super().__init__(outcomes)
            monkeypatch.setattr(builder, "run", self.run)

    return Taken


def test_what_a_site_takes_in_portions_is_submitted_until_all_have_run(builder: ModuleType, taken: type[Road]) -> None:
    """It waits for those in the queue, then sends the rest."""
    road = taken([{"planned": 2, "running": 2}, {"planned": 2, "finished": 2}, {"pending": 2}, {"finished": 4}])
    builder.finish("lora_sweep_small")
    assert (road.count("hpc.submit"), road.count("hpc.collect")) == (2, 4)


def test_what_is_not_submitted_ends_it_with_what_was_said(builder: ModuleType, taken: type[Road]) -> None:
    """A section of older runs would be taken for that of these."""
    road = taken([{"planned": 12}, {"planned": 12}])
    with pytest.raises(SystemExit, match="12 of its tasks are not submitted\nrefused: the queue is full"):
        builder.finish("lora_sweep_small")
    assert road.count("hpc.submit") == 2


def test_the_second_look_is_taken_where_one_is_planned(builder: ModuleType, taken: type[Road]) -> None:
    """With the seeds that the file adds, and nowhere else."""
    for name, looks in (("weight_decay_1M_small", 2), ("transfer_source_small", 1)):
        road = taken([{"finished": 3}, {"finished": 5}])
        builder.whole_road(name, ["--cluster", "lab"])
        assert [words[2:] for words in road.started if words[0] == "hpc.plan"] == [
            ("--cluster", "lab"),
            ("--second-look",),
        ][:looks]


def test_only_the_named_experiments_are_run_and_those_have_to_end(
    builder: ModuleType, taken: type[Road], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In the order of the list, and without a page where one has not ended; an unknown name is refused."""
    before = PAGE.read_text(encoding="utf-8")
    monkeypatch.setenv("HPC_ROOT", str(tmp_path))
    road = taken([{"finished": 3}, {"finished": 18}])
    monkeypatch.setattr(sys, "argv", ["build.py", "--run", "transfer_small", "transfer_source_small"])
    with pytest.raises(SystemExit, match=r"not every run has ended.*: transfer_source_small, transfer_small$"):
        builder.main()
    assert [words[1] for words in road.started if words[0] == "hpc.submit"] == [
        "transfer_source_small",
        "transfer_small",
    ]
    monkeypatch.setattr(sys, "argv", ["build.py", "transfer"])
    with pytest.raises(SystemExit, match="2"):
        builder.main()
    assert PAGE.read_text(encoding="utf-8") == before
