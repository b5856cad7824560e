"""R5: threads are cores ÷ processes, and whoever sets the number otherwise is obeyed: nearest to the program wins."""

import pytest

from tests.hpc.strangers.repository import Repository

CPUS = [
    ("{cpus: 1}", "auto", "1"),
    ("{cpus: 2}", "auto", "2"),
    ("{cpus: 16}", "auto", "16"),
    ("{cpus: 16, gpus: 4}", "auto", "16"),
    ("{cpus: 16, gpus: 4}", "4", "4"),
    ("{cpus: 7}", "2", "3"),
    ("{cpus: 2}", "3", "1"),
]


@pytest.mark.parametrize(("resources", "processes", "threads"), CPUS)
def test_r5_cores_are_shared_among_the_processes(
    repository: Repository, resources: str, processes: str, threads: str
) -> None:
    """The program sees the node's cores divided by its processes, at least one; `plan` says the number."""
    repository.experiment(resources=resources, launch=f"{{processes: {processes}}}")
    assert f"OMP_NUM_THREADS={threads}\n" in repository.plan()
    repository.on_a_node()
    assert repository.seen()["OMP_NUM_THREADS"] == threads
    assert repository.record()["environment"]["OMP_NUM_THREADS"] == threads


OWN = [
    ({"caller": "5"}, "5"),
    ({"profile": "6"}, "6"),
    ({"experiment": "7"}, "7"),
    ({"caller": "5", "profile": "6"}, "6"),
    ({"caller": "5", "experiment": "7"}, "7"),
    ({"profile": "6", "experiment": "7"}, "7"),
    ({"caller": "5", "profile": "6", "experiment": "7"}, "7"),
    ({"setup": "8"}, "8"),
    ({"caller": "5", "setup": "8"}, "8"),
    ({"setup": "8", "profile": "6"}, "6"),
    ({"setup": "8", "experiment": "7"}, "7"),
]


@pytest.mark.parametrize(("given", "seen"), OWN)
def test_r5_the_users_number_goes_before_ours(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, given: dict[str, str], seen: str
) -> None:
    """Experiment before profile before setup lines before the caller's shell before cores ÷ processes."""
    profile = {"setup": f"['export OMP_NUM_THREADS={given['setup']}']"} if "setup" in given else {}
    if "profile" in given:
        profile["environment"] = f"{{OMP_NUM_THREADS: {given['profile']}}}"
    if "caller" in given:
        monkeypatch.setenv("OMP_NUM_THREADS", given["caller"])
    repository.profile(**profile)
    blocks = {"environment": f"{{OMP_NUM_THREADS: {given['experiment']}}}"} if "experiment" in given else {}
    repository.experiment(**blocks)
    told = repository.plan()
    repository.on_a_node()
    assert repository.seen()["OMP_NUM_THREADS"] == seen
    if "setup" not in given:
        assert f"OMP_NUM_THREADS={seen}, as your environment says" in told


@pytest.mark.parametrize("name", ["ACCELERATE_USE_CPU", "DS_ACCELERATOR", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"])
def test_r5_no_other_default_of_ours_goes_before_the_users(repository: Repository, name: str) -> None:
    """What the experiment says of the device and of other libraries' threads reaches the program as it stands."""
    repository.experiment(environment=f"{{{name}: mine}}")
    repository.plan()
    repository.on_a_node()
    assert repository.seen()[name] == "mine"
