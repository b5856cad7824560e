"""Values of a site profile: what an sbatch option can hold is taken as people write it, all else is refused by name."""

import pytest

from hpc.adapters.yaml_file import parse_yaml
from hpc.core.errors import InputError
from hpc.core.profile import ClusterProfile
from hpc.experiments.schema import profile_from

TAKEN = [
    ("12345", "12345"),
    ("a/b", "a/b"),
    ("'#7'", "#7"),
    ("'!gpu'", "!gpu"),
    ("a&b|c*2", "a&b|c*2"),
    ("'[rack1|rack2]'", "[rack1|rack2]"),
    ("~x^y?", "~x^y?"),
    ("naïve", "naïve"),
]
REFUSED = [
    "'a b'",
    '"a\\tb"',
    '"it\'s"',
    "'a\"b'",
    "'a\\b'",
    "$HOME",
    "'`x`'",
    "'50%'",
    "true",
    "1.5",
    "[a]",
    "''",
    '"a\\nb"',
]


def read(text: str) -> ClusterProfile:
    return profile_from(parse_yaml(text, "site.yaml"))


def test_several_partitions_are_a_list() -> None:
    """As sbatch takes them; what one name could not hold the list cannot."""
    assert read("partition: [short, 12]\n").partition == "short,12"
    for wrong in ("[]", "[a b]", "[[a]]"):
        with pytest.raises(InputError, match="partition"):
            read(f"partition: {wrong}\n")


@pytest.mark.parametrize(("text", "value"), TAKEN)
@pytest.mark.parametrize("field", ["account", "partition", "qos", "constraint", "gpu_type"])
def test_words_are_taken_as_people_write_them(field: str, text: str, value: str) -> None:
    """Numbers need no quotes; slashes, hashes and exclamation marks are no reason to refuse."""
    assert getattr(read(f"{field}: {text}\n"), field) == value


@pytest.mark.parametrize("text", REFUSED)
def test_words_that_no_option_line_could_hold_are_refused(text: str) -> None:
    """Quotes, dollars, per cent signs and white space mean something to sbatch or the shell."""
    with pytest.raises(InputError, match="account"):
        read(f"account: {text}\n")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", ""), ("true", ""), ("null", ""), ("10", "10"), ("1.5", "1.5"), ("a b", "a b"), ("'x/#!y'", "x/#!y"),
        ("'+60'", "+60"),
    ],
)  # fmt: skip
def test_directives_take_no_value_numbers_and_texts(text: str, value: str) -> None:
    """An option without a value is written as people expect; what sbatch would cut is quoted in the script."""
    assert read(f"directives: {{nice: {text}}}\n").directives["nice"] == value
    assert dict(read(f"follow: {{directives: {{nice: {text}}}}}\n").follow.directives or {})["nice"] == value


@pytest.mark.parametrize(
    "name", ["mem", "mem-per-cpu", "mem-per-gpu", "gres", "gpus-per-node", "gpus-per-task", "array"]
)
def test_what_the_script_sets_itself_is_no_directive(name: str) -> None:
    """The field that says it is named; for the relay's own as well."""
    for text in (f"directives: {{{name}: 1}}\n", f"follow: {{directives: {{{name}: 1}}}}\n"):
        with pytest.raises(InputError, match="is set by the array script itself"):
            read(text)


def test_left_out_says_nothing_of_relays() -> None:
    """No block means as the tasks, an empty one means none."""
    assert read("directives: {nice: 1}\n").follow.directives is None
    assert read("follow: {directives: {}}\n").follow.directives == {}
