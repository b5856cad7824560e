"""`hpc doctor --write-profile`: six sites that are unlike each other, each described as it is."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from hpc.adapters import slurm_client
from hpc.checkup.slurm import look_at_slurm
from hpc.checkup.write_profile import ask_site, make_profile, write_profile
from hpc.core.checkup.check import Check, Severity
from hpc.core.checkup.site import Allowed, Partition, SiteFacts
from hpc.core.checkup.site_profile import Containers, choose_account, quoted, render_profile
from hpc.core.errors import InputError, TemporaryError
from hpc.experiments.schema import load_profile
from hpc.workspace import Workspace
from tests.hpc.checkup.patients import CLIENTS, SITES, make_patient

DAY = 86400
WHOLE = {"exclusive": ""}
EXPECTED = {
    "typed": {
        "partition": "gpu", "account": "vision", "gpu_type": "a100", "gpu_option": "gres", "memory": "per_node",
        "max_array_size": 1000, "max_time_s": 2 * DAY, "max_memory_mib": 1031000, "directives": {},
    },
    "per_core": {
        "partition": "batch", "account": "chem", "gpu_type": "", "memory": "per_cpu", "max_array_size": 10000,
        "max_time_s": 3 * DAY, "max_memory_mib": 187000,
    },
    "whole_nodes": {
        "partition": "booster", "account": "hai_42", "gpu_option": "none", "memory": "none", "directives": WHOLE,
        "max_array_size": 999, "max_time_s": DAY,
    },
    "mig": {
        "partition": "short", "account": "course", "gpu_type": "a100_1g.5gb", "max_array_size": 500,
        "memory": "per_node", "max_time_s": DAY // 6,
    },
    "no_accounting": {
        "partition": "all", "account": "", "qos": "", "gpu_type": "", "gpu_option": "gres", "memory": "per_gpu",
        "max_array_size": 100, "max_time_s": 0,
    },
    "amd_accounts": {
        "partition": "small-g", "account": "project_462", "gpu_type": "mi250", "gpu_vendor": "amd",
        "memory": "per_cpu", "max_array_size": 2500,
    },
}  # fmt: skip


def workspace_of(folder: Path, monkeypatch: pytest.MonkeyPatch, site: str) -> Workspace:
    """A project before one of the sites."""
    monkeypatch.setenv("PATH", f"{CLIENTS}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_SITE", str(SITES / site))
    monkeypatch.setenv("FAKE_FAULTS", str(folder))
    return Workspace(folder, folder / "runs")


@pytest.mark.parametrize("site", EXPECTED)
def test_a_site_is_described_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, site: str) -> None:
    """The profile reads back by our own reader, and its fields are what the site's answers say."""
    written = make_profile(workspace_of(tmp_path, monkeypatch, site), "here")
    write_profile(written)
    profile = load_profile(tmp_path / "manifests/clusters/here.yaml")
    found = {name: getattr(profile, name) for name in EXPECTED[site]}
    assert found == EXPECTED[site]
    others = [each.name for each in ask_site().partitions if each.name != profile.partition]
    assert all(f"#          {name}: " in written.text for name in others)


@pytest.mark.parametrize("site", EXPECTED)
def test_the_check_up_has_no_objection_to_what_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, site: str
) -> None:
    """With the profile that was written for a site, nothing that Slurm says of it blocks."""
    patient = make_patient(tmp_path, monkeypatch, site)
    write_profile(make_profile(Workspace(tmp_path, tmp_path / "runs"), "written"))
    patient.change(patient.experiment, "gpus: 1", "gpus: 0")
    found = [each for each in look_at_slurm(patient.examined("written")) if isinstance(each, Check)]
    assert {each.name: each.found for each in found if each.severity is Severity.BLOCKING} == {}
    assert {"partition", "array size", "memory rule", "control groups"} <= {each.name for each in found}


def test_an_account_of_another_partition_is_not_chosen() -> None:
    """Nor one that the partition does not take; the default goes first among those that are left."""
    partition = Partition("gpu", denied=("closed",))
    mine = (Allowed("closed", is_default=True), Allowed("elsewhere", "cpu"), Allowed("ours"), Allowed("late", "gpu"))
    chosen = choose_account(SiteFacts(allowed=mine), partition)
    assert chosen is not None
    assert chosen.account == "ours"
    assert choose_account(SiteFacts(allowed=()), partition) is None


def test_nothing_is_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile that is there stays, also one that appears meanwhile; a name that is a path is none."""
    workspace = workspace_of(tmp_path, monkeypatch, "typed")
    written = make_profile(workspace, "here")
    written.path.parent.mkdir(parents=True)
    written.path.write_text("scheduler: slurm  # mine\n")
    with pytest.raises(InputError, match="--write-profile here-2"):
        make_profile(workspace, "here")
    with pytest.raises(InputError, match="not overwritten"):
        write_profile(written)
    with pytest.raises(InputError, match="letters"):
        make_profile(workspace, "../here")
    assert written.path.read_text() == "scheduler: slurm  # mine\n"


def test_without_slurm_nothing_is_made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A controller that does not answer is a temporary error."""
    workspace = workspace_of(tmp_path, monkeypatch, "typed")
    (tmp_path / "scontrol").write_text("echo 'Unable to contact slurm controller' >&2; exit 1\n")
    with pytest.raises(TemporaryError):
        make_profile(workspace, "here")
    assert not (tmp_path / "manifests").exists()


@pytest.mark.parametrize("name", ["on", "007", "1e3", "null", "a b", 'q"uote', "gpu:x", "#1", "-", "ünit"])
def test_any_name_stays_the_text_it_is(name: str) -> None:
    """Names that YAML would read as something else come back as text, or are refused by the reader in words."""
    from hpc.adapters.yaml_file import parse_yaml
    from hpc.experiments.schema import profile_from

    assert parse_yaml(f"x: {quoted(name)}\n", "text").data["x"] == name
    site = SiteFacts("me", {"ClusterName": name}, (Partition(name, is_default=True),))
    text = render_profile(site, Containers("apptainer", "apptainer version 1"), "host", "today")
    try:
        told = profile_from(parse_yaml(text, "p.yaml"), "p").partition
    except InputError as error:
        told = str(error)
    assert told == name or "partition" in told


def test_what_modules_offer_is_a_setup_line() -> None:
    """Where a module brings Apptainer, the profile loads it."""
    text = render_profile(SiteFacts(), Containers(modules=("apptainer/1.3.4",)), "host", "today")
    assert "  - module load apptainer/1.3.4" in text


def test_a_site_is_asked_with_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that hang cost their time-out each, and leave their part out."""
    workspace_of(tmp_path, monkeypatch, "typed")
    monkeypatch.setattr(slurm_client, "QUICK_S", 0.2)
    for client in ("sinfo", "sacctmgr"):
        (tmp_path / client).write_text("exec sleep 60\n")
    site = ask_site()
    assert (site.kinds, site.allowed, len(site.partitions)) == ((), None, 4)
    assert replace(site, config={}).keeps_accounting is False
