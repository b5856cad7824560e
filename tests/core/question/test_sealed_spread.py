"""The expected spread belongs to no question: who learns it later has changed nothing that was sealed."""

from hpc.core.question.seal import sealed_content


def test_a_spread_learnt_later_changes_no_seal() -> None:
    """With and without `analysis.sigma` the same is sealed; another level is another question."""
    plain = sealed_content({"analysis": {"alpha": 0.05}})

    assert sealed_content({"analysis": {"alpha": 0.05, "sigma": 0.2}}) == plain
    assert sealed_content({"analysis": {"alpha": 0.01}}) != plain
