"""The criterion of success: what it may say, which configurations it means, whether it is a question, its answer."""

from collections.abc import Callable, Mapping
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpc.core.question.baseline import counterparts
from hpc.core.question.criterion import (
    Comparison,
    Constant,
    Each,
    Not,
    Question,
    Rule,
    Term,
    bind,
    parse_criterion,
    terms,
    truth,
    without_not,
)
from hpc.core.question.falsifiable import holds, objections
from hpc.core.question.ruling import Level, Measured, Ruling, decide, from_table

GRID = [{"lora_rank": rank, "learning_rate": rate} for rank, rate in product((4, 8, 16), (1e-4, 2e-4))]
SWEEP = Question(GRID, ("final_error", "wall_time"), {"lora_rank": 8, "learning_rate": 2e-4}, runs=5, has_margin=True)
CASES = Question(
    [
        {"case": "standard", "model": "mamba", "layers": 2},
        {"case": "ones_conv", "model": "ones", "layers": 2},
        {"case": "transformer", "model": "transformer", "layers": 4},
    ],
    ("ood_acc",),
    {"case": "standard"},
    runs=3,
)
CONTRACT = (
    "relative_change(final_error, lora_rank=16, learning_rate=2e-4 versus lora_rank=8) <= -5% and adjusted_p < 0.05"
)


def bound(text: str, question: Question = SWEEP) -> Rule:
    rule = parse_criterion(text)
    assert objections(rule, question) == ()
    return bind(rule, question)


def meant(text: str, question: Question = SWEEP) -> list[tuple[str, int | None, int | None]]:
    return [(term.function, term.configuration, term.counterpart) for term in terms(bound(text, question))]


# What is meant


def test_the_contracts_example_means_two_configurations_and_one_comparison() -> None:
    """Rank 16 against rank 8 at the same learning rate; the bare p-value is that of the comparison before it."""
    assert meant(CONTRACT) == [("relative_change", 5, 3), ("adjusted_p", 5, 3)]


@pytest.mark.parametrize(
    ("text", "question", "expected"),
    [
        ("verdict(case=ones_conv) == WINNER", CASES, [("verdict", 1, 0)]),
        ("verdict(id=ones_conv) == WINNER", CASES, [("verdict", 1, 0)]),
        ("mean(ood_acc, model=transformer) >= 0.95", CASES, [("mean", 2, None)]),
        ("any(verdict == WINNER)", CASES, [("verdict", 1, 0), ("verdict", 2, 0)]),
        ("all(mean(lora_rank=16) < mean(lora_rank=4))", SWEEP,
         [("mean", 4, None), ("mean", 0, None), ("mean", 5, None), ("mean", 1, None)]),
        ("all(relative_change(lora_rank=16 versus lora_rank=8) <= -5%)", SWEEP,
         [("relative_change", 4, 2), ("relative_change", 5, 3)]),
        ("all(change(learning_rate=2e-4) < 0)", SWEEP, [("change", 1, 3), ("change", 5, 3)]),
    ],
)  # fmt: skip
def test_each_quantity_finds_its_configurations(
    text: str, question: Question, expected: list[tuple[str, int, int | None]]
) -> None:
    """Parameters select one configuration; `all` and `any` range over the rest and never compare one with itself."""
    assert meant(text, question) == expected


def test_a_stored_baseline_stands_outside_the_sweep() -> None:
    """With stored runs as baseline every configuration is compared, and none of the sweep is its counterpart."""
    question = Question(GRID[:2], ("val_loss",), None, has_stored_baseline=True, runs=3)

    assert meant("all(verdict == WINNER)", question) == [("verdict", 0, None), ("verdict", 1, None)]


def test_counterparts_agree_in_what_varies_among_them() -> None:
    """In a grid of systems and trainings the baseline {training: sft} is that of the same system."""
    combinations = [{"system": system, "training": training} for system, training in product("ab", ("sft", "both"))]

    assert counterparts(combinations, {"training": "sft"}) == {0: 0, 1: 0, 2: 2, 3: 2}
    assert counterparts(combinations, {"training": "rl"}) == {}


@pytest.mark.parametrize(
    ("text", "again"),
    [
        ("mean(wall_time, lora_rank=4) ≤ 10 ", "mean(wall_time, lora_rank=4) <= 10"),
        ("n ( lora_rank = 4 , learning_rate=1e-4 ) > 2", "n(lora_rank=4, learning_rate=0.0001) > 2"),
        ("not (p < 5 % or mean<1 and max<2)", "not (p < 5 % or (mean < 1 and max < 2))"),
        ("−5% <= change <= 5%", "-5% <= change and change <= 5%"),
        ("change(x, kept=all versus kept=any) < 0", "change(x, kept=all versus kept=any) < 0"),
        ('mean(x, flag=true, name="a b", other=null) < 1', "mean(x, flag=True, name=a b, other=null) < 1"),
    ],
)
def test_what_is_written_reads_back(text: str, again: str) -> None:
    """Signs as people type them, spaces, percent, chains, quotes: read as meant, and written out in one way."""
    assert parse_criterion(text).text == again


# What is refused


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("relative_change(lora_rank=16) <= -5%", "means 2 configurations; name learning_rate too"),
        ("verdict(lora_rank=16, learning_rate=1e-4)", "is compared with nothing"),
        ("mean(lora_rank=17) < 1", "'lora_rank' is never 17 in this sweep; it takes 4, 8, 16"),
        ("mean(lora_rnk=16) < 1", "'lora_rnk' in mean(lora_rnk=16) is not swept; did you mean 'lora_rank'?"),
        ("mean(final_eror) < 1", "did you mean 'final_error'?"),
        ("maen(lora_rank=4) < 1", "there is no quantity 'maen'; did you mean 'mean'?"),
        ("mean(lora_rank=4", "')' is expected"),
        ("mean(lora_rank=4, lora_rank=8) < 1", "'lora_rank' is given twice"),
        ("mean(lora_rank=) < 1", "a value is expected after 'lora_rank=', not ')'"),
        ("mean = 3", "write == to compare"),
        ("mean < 3 mean > 2", "'mean' is where `and`, `or` or the end is expected"),
        ("mean(lora_rank=4 versus lora_rank=8) < 1", "takes no versus"),
        ("change(lora_rank=8, learning_rate=2e-4) < 1", "compares a configuration with itself"),
        ("all(any(mean < 1))", "cannot be nested"),
        ("all(mean(lora_rank=4) < mean())", "leave different parameters open"),
        ("mean < $", "'$' cannot be read"),
        ("", "is empty"),
        ("(" * 900 + "mean < 1" + ")" * 50, "too many parentheses"),
        ("mean < 1 or " * 100, "1,000 are allowed"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_would_be(text: str, message: str) -> None:
    """A wrong name, value or shape: one sentence that says what was found and what is valid."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the text is what counts
        bind(parse_criterion(text), SWEEP)

    assert message in str(caught.value)


def test_a_comparison_without_a_baseline_is_refused() -> None:
    """Where no baseline is declared, a comparison has to say with what."""
    alone = Question(GRID, ("final_error",))

    with pytest.raises(ValueError, match="none is declared; write versus"):
        bind(parse_criterion("all(verdict == WINNER)"), alone)
    assert meant("all(verdict(lora_rank=16 versus lora_rank=8) == WINNER)", alone)


ONE = "lora_rank=16, learning_rate=2e-4"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"failed({ONE}) >= 0", "is always true: failed lies between 0 and 5"),
        (f"n({ONE}) > 5", "can never be true: n lies between 0 and 5"),
        (f"std({ONE}) < 0", "can never be true: std lies at or above 0"),
        (f"adjusted_p({ONE}) < 0", "can never be true: adjusted_p lies between 0 and 1"),
        (f"adjusted_p({ONE}) <= 1", "is always true"),
        (f"mean({ONE}) < 1 or mean >= 1", "is always true"),
        (f"mean({ONE}) < 1 and mean(final_error, {ONE}) > 2", "can never be true"),
        (f"mean({ONE}) < mean", "can never be true"),
        (f"mean({ONE}) < median < mean", "can never be true"),
        (f"relative_change({ONE}) <= -5% and change > 0", "can never be true"),
        (f"change({ONE}) > 0 or cohens_d <= 0", "is always true"),
        (f"min({ONE}) > 2 and max < 1", "can never be true"),
        (f"mean({ONE}) <= max", "is always true"),
        (f"adjusted_p({ONE}) < 0.01 and not p < 0.05", "treats a large p-value"),
        ("all(verdict == WINNER) or not all(verdict == WINNER)", "is always true"),
        (f"not verdict({ONE}) == WINNER and not verdict == LOSER and not verdict == NEUTRAL", "can never be true"),
        (f"p({ONE}) > 0.05", "treats a large p-value as an answer"),
        (f"not p({ONE}) < 0.05", "treats a large p-value as an answer"),
        (f"0.05 < p({ONE})", "treats a large p-value as an answer"),
        (f"p({ONE}) < mean", "compares a p-value with a quantity"),
        (f"verdict({ONE}) == EQUIVALENT", "never holds: valid: LOSER, NEUTRAL, WINNER"),
        (f"verdict({ONE}) < WINNER", "puts answers in order"),
        (f"mean({ONE}) == WINNER", "compares a number with a word"),
        (f"mean({ONE}) == 0.5", "asks for exact equality"),
        ("5 < 3", "compares two fixed values"),
    ],
)  # fmt: skip
def test_what_always_comes_out_the_same_is_refused(text: str, message: str) -> None:
    """A tautology, a contradiction, a useless part, a large p-value as proof: no question, and told why."""
    rule = parse_criterion(text)
    bind(rule, SWEEP)

    assert message in " ".join(objections(rule, SWEEP))


def test_ties_between_quantities_do_not_refuse_too_much() -> None:
    """Other configurations, or values that can be in order, stay a question."""
    for text in (
        "min(lora_rank=16, learning_rate=2e-4) > 2 and max(lora_rank=4, learning_rate=2e-4) < 1",
        f"min({ONE}) > 1 and max < 2",
        f"mean({ONE}) < median",
        f"change({ONE}) < -0.1 and relative_change <= -5% and cohens_d <= -0.8 and p < 0.01 and adjusted_p < 0.05",
    ):
        assert objections(parse_criterion(text), SWEEP) == ()


def test_a_p_value_alone_can_be_refuted_only_where_equality_can_be_shown() -> None:
    """Without a declared margin no result would ever refute `p < 0.05`; with one, shown equality does."""
    alone = parse_criterion("all(adjusted_p < 0.05)")

    assert "can never be refuted" in " ".join(objections(alone, CASES))
    assert objections(alone, SWEEP) == ()
    assert objections(parse_criterion("all(adjusted_p < 0.05 and change < 0)"), CASES) == ()


@settings(max_examples=40)
@given(
    st.recursive(
        st.tuples(st.sampled_from(["mean", "median"]), st.sampled_from(["<", "<=", ">", ">="]), st.integers(-2, 2)).map(
            lambda made: f"{made[0]}({ONE}) {made[1]} {made[2]}"
        ),
        lambda inner: st.one_of(
            st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(
                lambda made: f"({made[0]} {made[1]} {made[2]})"
            ),
            inner.map(lambda one: f"not ({one})"),
        ),
        max_leaves=5,
    )
)
def test_a_rule_is_refused_exactly_when_trying_every_value_finds_one_answer(text: str) -> None:
    """Against brute force over half steps: what passes the check has a value that meets it and one that does not."""
    rule = parse_criterion(text)
    steps = [step / 2 for step in range(-7, 8)]

    def at(values: Mapping[str, float]) -> bool | None:
        account = from_table({term: Measured.settled(values[term.function]) for term in terms(bind(rule, SWEEP))})
        return decide(bind(rule, SWEEP), [account]).ruling in MET

    found = {at({"mean": mean, "median": median}) for mean in steps for median in steps}

    assert (len(found) == 1) == bool(objections(rule, SWEEP))


# What it answers


def ruling(text: str, *accounts: Mapping[str, Measured], question: Question = SWEEP) -> Ruling:
    """Decide with the same numbers for every configuration: function → what was measured."""
    rule = bound(text, question)
    tables = [from_table({term: account[term.function] for term in terms(rule)}) for account in accounts]
    return decide(rule, tables).ruling


def size(value: float, low: float, high: float) -> Measured:
    return Measured(value, low, high)


MET = (Ruling.SUPPORTED, Ruling.FACE_VALUE)
OPEN_P = Measured(0.3, 0.0, 1.0)
MET_P = Measured(0.01, 0.0, 1.0)


@pytest.mark.parametrize(
    ("change", "p", "expected"),
    [
        (size(-0.07, -0.12, -0.02), MET_P, "SUPPORTED"),
        (size(-0.07, -0.16, 0.02), OPEN_P, "UNDECIDED"),
        (size(-0.03, -0.04, -0.02), MET_P, "REFUTED"),
        (size(0.10, 0.05, 0.15), MET_P, "REFUTED"),
        (size(-0.03, -0.08, 0.02), OPEN_P, "UNDECIDED"),
        (size(-0.07, -0.12, -0.02), Measured.settled(0.3), "REFUTED"),
        (Measured(None), MET_P, "UNDECIDED"),
        (size(0.10, 0.05, 0.15), Measured(None), "REFUTED"),
    ],
)  # fmt: skip
def test_the_contracts_example_is_answered_three_ways(change: Measured, p: Measured, expected: str) -> None:
    """Met by the estimates: SUPPORTED; outside every interval: REFUTED; what intervals leave open: neither."""
    assert ruling(CONTRACT, {"relative_change": change, "adjusted_p": p}) == expected


def test_missing_runs_decide_nothing_by_themselves() -> None:
    """Where the missing runs as worst and as best lead to different answers, it is UNDECIDED and says so."""
    rule = bound(f"mean({ONE}) <= 1")
    (term,) = terms(rule)
    accounts = [from_table({term: size(value, value - 0.1, value + 0.1)}) for value in (0.8, 0.7, 1.4)]

    decision = decide(rule, accounts)

    assert (decision.ruling, decision.hangs_on_missing) == (Ruling.UNDECIDED, True)
    assert decision.clauses[0].met is None
    assert decision.clauses[0].left == size(0.8, 0.8 - 0.1, 0.8 + 0.1)
    assert decide(rule, accounts[:2]).ruling is Ruling.SUPPORTED


@pytest.mark.parametrize(
    ("text", "verdict", "expected"),
    [
        (f"verdict({ONE}) == WINNER", Measured.settled("WINNER"), "SUPPORTED"),
        (f"verdict({ONE}) == WINNER", Measured.settled("NEUTRAL"), "REFUTED"),
        (f"verdict({ONE}) == WINNER", Measured("NEUTRAL", note="2 further seeds are due"), "UNDECIDED"),
        (f"verdict({ONE}) != LOSER", Measured.settled("NEUTRAL"), "MET AT FACE VALUE"),
        (f"verdict({ONE}) != LOSER", Measured.settled("WINNER"), "SUPPORTED"),
        (f"not verdict({ONE}) == LOSER", Measured.settled("LOSER"), "REFUTED"),
    ],
)
def test_a_verdict_is_final_once_no_seeds_are_due(text: str, verdict: Measured, expected: str) -> None:
    """The 2σ rule's word counts as it stands, except while its own further seeds are still to come."""
    assert ruling(text, {"verdict": verdict}) == expected


def test_all_and_any_over_systems_wait_only_for_what_matters() -> None:
    """One open system leaves `all` open unless another fails it, and `any` open unless another meets it."""
    combinations = [{"system": system, "training": training} for system, training in product("ab", ("sft", "both"))]
    question = Question(combinations, ("e",), {"training": "sft"}, runs=3)

    def decided(word: str, first: float) -> Ruling:
        rule = bound(f"{word}(relative_change(training=both) <= -5%)", question)
        table = {term: size(first, first, first) for term in terms(rule) if term.configuration == 1}
        return decide(rule, [from_table(table)]).ruling

    assert [decided("all", -0.1), decided("all", 0.1)] == [Ruling.UNDECIDED, Ruling.REFUTED]
    assert [decided("any", -0.1), decided("any", 0.1)] == [Ruling.SUPPORTED, Ruling.UNDECIDED]


@given(
    st.sampled_from(["<", "<=", ">", ">="]), st.floats(-2, 2), st.floats(0, 1), st.floats(-2, 2), st.floats(0, 1)
)  # fmt: skip
def test_a_rule_and_its_opposite_never_agree(
    operator: str, value: float, width: float, other: float, other_width: float
) -> None:
    """Whatever was measured: a rule and its negation are not both met, and one REFUTED has the other met."""
    left, right = Term("mean", "x", configuration=0), Term("median", "x", configuration=1)
    rule = Comparison(left, operator, right)
    account = from_table({left: size(value, value - width, value + width),
                          right: size(other, other - other_width, other + other_width)})  # fmt: skip
    opposite = parse_criterion(f"not {rule.text}")
    assert truth(opposite, lambda _: True) is False
    one, two = decide(rule, [account]).ruling, decide(Not(rule), [account]).ruling
    assert not {one, two} <= set(MET)
    assert one is not Ruling.REFUTED or two in MET


WIDE, CLEAR = size(-0.06, -0.55, 0.44), size(-0.20, -0.30, -0.10)
SMALL_P, WINS = Measured(0.01, 0.0, 1.0), Measured.settled("WINNER")
MANY = Question([{"a": arm} for arm in range(6)], ("e", "other"), {"a": 0}, runs=3, has_margin=True)


@pytest.mark.parametrize(
    ("text", "change", "expected"),
    [
        ("relative_change(a=1) <= -5%", WIDE, "MET AT FACE VALUE"),
        ("relative_change(a=1) <= -5%", CLEAR, "SUPPORTED"),
        ("relative_change(a=1) <= -5%", Measured(-0.2), "MET AT FACE VALUE"),  # one run: no interval
        ("relative_change(a=1) <= -5% and adjusted_p < 0.05", WIDE, "SUPPORTED"),
        ("relative_change(a=1) <= -5% and 0.05 > adjusted_p(a=1)", WIDE, "SUPPORTED"),
        ("relative_change(a=1) <= -5% and tested == WINNER", WIDE, "SUPPORTED"),
        ("relative_change(a=1) <= -5% and verdict == WINNER", WIDE, "SUPPORTED"),
        ("relative_change(a=1) <= -5% and n >= 3", WIDE, "MET AT FACE VALUE"),
        # A test of something else, or one that everything passes, carries nothing.
        ("relative_change(a=1) <= -5% and adjusted_p(a=2) < 0.05", WIDE, "MET AT FACE VALUE"),
        ("relative_change(a=1) <= -5% and adjusted_p(a=1 versus a=2) < 0.05", WIDE, "MET AT FACE VALUE"),
        ("relative_change(e, a=1) <= -5% and adjusted_p(other, a=1) < 0.05", WIDE, "MET AT FACE VALUE"),
        ("relative_change(a=1) <= -5% and adjusted_p < 0.9", WIDE, "MET AT FACE VALUE"),
        ("relative_change(a=1) <= -5% and (adjusted_p < 0.05 or n >= 1)", WIDE, "MET AT FACE VALUE"),
        # A significant difference is no proof that it is small; shown equality is.
        ("relative_change(a=1) <= 2% and adjusted_p < 0.05", WIDE, "MET AT FACE VALUE"),
        ("relative_change(a=1) <= 2%", CLEAR, "SUPPORTED"),
        # Of six arms one is always lucky: what chooses among them needs what is corrected for it.
        ("any(relative_change <= -5%)", CLEAR, "MET AT FACE VALUE"),
        ("any(relative_change <= -5% and p < 0.05)", WIDE, "MET AT FACE VALUE"),
        ("any(relative_change <= -5% and p < 0.01)", WIDE, "SUPPORTED"),
        ("any(relative_change <= -5% and adjusted_p < 0.05)", WIDE, "SUPPORTED"),
        ("any(verdict == WINNER)", WIDE, "MET AT FACE VALUE"),
        ("any(verdict == WINNER and adjusted_p < 0.05)", WIDE, "SUPPORTED"),
        ("any(verdict != LOSER and adjusted_p < 0.05)", WIDE, "MET AT FACE VALUE"),
        ("any(change < 0 and p < 0.05 and adjusted_p < 0.05)", WIDE, "SUPPORTED"),
        ("any(tested == WINNER)", WIDE, "SUPPORTED"),
        ("all(relative_change <= -5%) and all(adjusted_p < 0.05)", WIDE, "SUPPORTED"),
        ("mean(a=1) < mean(a=2)", CLEAR, "MET AT FACE VALUE"),
        ("mean(a=1) < mean(a=2) and p(a=2 versus a=1) < 0.05", CLEAR, "SUPPORTED"),
        ("not (relative_change(a=1) > -5% or adjusted_p >= 0.05)", WIDE, "SUPPORTED"),
        ("median(a=1) < 0 and max(a=1) < 1", CLEAR, "MET AT FACE VALUE"),
        ("all(failed == 0)", WIDE, "SUPPORTED"),
    ],
)  # fmt: skip
def test_supported_needs_more_than_an_estimate(text: str, change: Measured, expected: str) -> None:
    """An interval, or a test of the same comparison, has to carry each estimate; else it is met at face value."""

    def account(term: Term) -> Measured:
        words = {"verdict": WINS, "tested": WINS, "n": Measured.settled(3.0), "failed": Measured.settled(0.0)}
        if term.function in ("p", "adjusted_p"):
            return Measured(0.009, 0.0, 1.0)
        if term.function == "mean":
            return size(-0.1 - 0.01 * (term.configuration == 1), -0.3, 0.1)
        return words.get(term.function, change)

    assert decide(bind(parse_criterion(text), MANY), [account]).ruling == expected


@pytest.mark.parametrize(
    ("level", "text", "expected"),
    [
        (Level(confidence=0.1), "relative_change(a=1) <= -5%", "MET AT FACE VALUE"),
        (Level(confidence=0.9), "relative_change(a=1) <= -5%", "SUPPORTED"),
        (Level(confidence=0.9, looks=2), "relative_change(a=1) <= -5%", "MET AT FACE VALUE"),
        (Level(looks=2), "relative_change(a=1) <= -5%", "SUPPORTED"),
        (Level(alpha=0.01), "relative_change(a=1) <= -5%", "MET AT FACE VALUE"),
        (Level(alpha=0.9), "tested(a=1) == WINNER", "MET AT FACE VALUE"),
        (Level(alpha=0.9), "p(a=1) < 0.5 and change < 0", "MET AT FACE VALUE"),
    ],
)
def test_narrow_intervals_and_lax_tests_show_nothing(level: Level, text: str, expected: str) -> None:
    """Whoever declares a coverage of 10 % or an error rate of 90 % is not surer for it."""

    def account(term: Term) -> Measured:
        return {"tested": WINS, "p": Measured(0.3, 0.0, 1.0)}.get(term.function, CLEAR)

    assert decide(bind(parse_criterion(text), MANY), [account], level).ruling == expected


def test_numbers_are_read_as_written() -> None:
    """Five percent is 0.05, with or without a space; a count stays a count."""
    rule = parse_criterion("p < 5% and change(n=16) < -2.5 %")

    assert [one.value for one in (side for part in rule.parts for side in (part.left, part.right))  # type: ignore[union-attr]
            if isinstance(one, Constant)] == [0.05, -0.025]  # fmt: skip
    assert terms(rule)[1].of == (("n", 16),)


@pytest.mark.parametrize(
    "text",
    [
        "not (mean < 1)",
        "not (mean < 1 and std >= 2 or n == 3)",
        "not (not (mean <= 1) or not (std != 2 and not (n > 3)))",
        "mean < 1 and not (std > 2 or not n == 3)",
    ],
)
def test_a_rule_without_not_says_the_same(text: str) -> None:
    """For every answer of its quantities, open ones included, the rule without `not` has the truth of the rule."""
    rule = parse_criterion(text)
    changed = without_not(rule)
    assert "not" not in changed.text.split()

    def answers(values: dict[str, float | None]) -> Callable[[Comparison | Each], bool | None]:
        def answer(one: Comparison | Each) -> bool | None:
            assert isinstance(one, Comparison)
            assert isinstance(one.left, Term)
            assert isinstance(one.right, Constant)
            value = values[one.left.function]
            return None if value is None else holds(value, one.operator, one.right.value)

        return answer

    for values in product((None, 0.0, 1.0, 2.0, 3.0, 4.0), repeat=3):
        found = answers(dict(zip(("mean", "std", "n"), values, strict=True)))
        assert truth(rule, found) == truth(changed, found), values
