"""The expected spread belongs to no question: who learns it later has changed nothing that was sealed."""

from hpc.core.question.seal import sealed_content


def test_a_spread_learnt_later_changes_no_seal() -> None:
    """With and without `analysis.sigma` the same is sealed; another level is another question."""
    plain = sealed_content({"analysis": {"alpha": 0.05}})

    assert sealed_content({"analysis": {"alpha": 0.05, "sigma": 0.2}}) == plain
    assert sealed_content({"analysis": {"alpha": 0.01}}) != plain


def test_checks_before_a_canary_change_no_seal() -> None:
    """They give no number: whoever adds them later asks the same question. Another command is another question."""
    plain = sealed_content({"program": {"command": "a {x}"}})

    assert sealed_content({"program": {"command": "a {x}", "sanity": {"words": "--dry-run"}}}) == plain
    assert sealed_content({"program": {"command": "b {x}", "sanity": {"words": "--dry-run"}}}) != plain
    assert sealed_content({"program": None}) == sealed_content({})
