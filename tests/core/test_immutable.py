"""A class of ours is to everybody what a frozen dataclass is, for whatever fields; only making it is cheaper."""

import copy
import dataclasses
import pickle
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.core import immutable as module
from hpc.core.immutable import field, fields_of, immutable, mutable, replace
from hpc.core.records.record import Record
from tests.local_projects import command_environment


@immutable
class Base:
    kind: ClassVar[str] = "base"
    first: int
    second: str = "b"

    @property
    def shown(self) -> str:
        return f"{self.first}{self.second}"


@immutable
class Derived(Base):
    third: Mapping[str, Any] = field(default_factory=dict)
    second: str = "c"


@mutable
class Changing:
    items: list[int] = field(default_factory=list)
    name: str = ""


@dataclasses.dataclass(frozen=True)
class AsDataclass(Record):
    own: int = 1


NAMES = st.lists(st.sampled_from(list("abcdefgh")), unique=True, max_size=5)


@given(names=NAMES, without=st.integers(0, 5), data=st.data())
def test_it_answers_as_a_frozen_dataclass(names: list[str], without: int, data: st.DataObject) -> None:
    """Made with any fields, defaults and arguments: same result or the same refusal, same equality, text and hash."""
    defaults = dict.fromkeys(names[without:], 7)

    def made(decorate: Any) -> Any:
        return decorate(type("Made", (), {"__annotations__": dict.fromkeys(names, int), **defaults}))

    ours, theirs = made(immutable), made(dataclasses.dataclass(frozen=True))
    args = data.draw(st.lists(st.integers(0, 3), max_size=len(names) + 1))
    kwargs = data.draw(st.dictionaries(st.sampled_from([*names, "unknown"]), st.integers(0, 3)))
    results = []
    for kind in (ours, theirs):
        try:
            results.append(kind(*args, **kwargs))
        except TypeError:
            results.append(None)
    one, other = results
    assert (one is None) == (other is None)
    if one is None:
        return
    assert repr(one).rpartition(".")[2] == repr(other).rpartition(".")[2]
    assert vars(one) == vars(other)
    assert dataclasses.asdict(one) == dataclasses.asdict(other)
    assert [each.name for each in dataclasses.fields(one)] == names
    assert one == copy.deepcopy(one)
    assert hash(one) == hash(copy.copy(one))
    for name in names:
        assert dataclasses.replace(one, **{name: 99}) == replace(one, **{name: 99}) != one
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(one, name, 1)
        with pytest.raises(dataclasses.FrozenInstanceError):
            delattr(one, name)


def test_fields_are_inherited_in_order() -> None:
    """Those of the base first, a default of the derived class in the place of the base's; class variables are none."""
    assert fields_of(Derived) == (("first", True), ("second", False), ("third", False))
    assert Derived(1) == Derived(1, "c", {})
    assert Derived(1) != Base(1, "c")
    assert Derived(1).shown == "1c"
    assert Derived(1).third is not Derived(1).third
    assert pickle.loads(pickle.dumps(Base(3))) == Base(3)  # noqa: S301


def test_a_mutable_one_changes_and_has_no_hash() -> None:
    """Each has its own list."""
    one = Changing()
    one.items.append(1)
    one.name = "x"
    assert (one.items, Changing().items) == ([1], [])
    with pytest.raises(TypeError):
        hash(one)


def test_dataclasses_and_ours_inherit_from_each_other() -> None:
    """Records that no wrapper reads are dataclasses of a base that is ours; both are read from JSON."""
    assert dataclasses.is_dataclass(AsDataclass)
    assert AsDataclass.from_json({"own": 5}) == AsDataclass(5)
    assert module.has_fields(AsDataclass)
    assert not module.has_fields(int)


def test_the_wrapper_needs_no_dataclasses() -> None:
    """Neither `dataclasses` nor `inspect` is loaded, and nothing is generated when it starts."""
    line = "import sys, hpc.run_task; print({'dataclasses', 'inspect', 'ast'} & {*sys.modules})"
    command = [sys.executable, "-S", "-P", "-c", line]
    assert subprocess.check_output(command, text=True, env=command_environment()) == "set()\n"


def test_a_class_of_which_many_are_made_stays_what_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """After some it has generated code: same values, same defaults, same refusals, also where it was inherited."""
    monkeypatch.setattr(module, "_GENERATED_AFTER", 3)

    @immutable
    class Many:
        first: int
        rest: list[int] = field(default_factory=list)

    class Heir(Many):
        pass

    made = [Heir(1) for _ in range(5)]
    assert Many.__init__ is not module._init
    assert made == [Heir(1, [])] * 5
    assert made[-1].rest is not made[-2].rest
    assert replace(made[-1], first=2) == Heir(2)
    with pytest.raises(TypeError):
        Many()
