"""The optional parts of the package, and what is said where one is missing."""

import re
import tomllib
from pathlib import Path

import pytest

from hpc.core.extras import EXTRAS, install_modules, missing_package

DECLARED = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
TOOLS = {"dev", "docs-site"}
"""Extras for work on the project: nothing of ours imports what they bring."""
UNIMPORTED = {"ninja"}
"""Tools that an extra brings and nothing imports."""


def package(requirement: str) -> str:
    """The module of a requirement such as ``torch>=2``."""
    name = re.split(r"[<>=!~\[ ]", requirement)[0].replace("-", "_")
    return {"mlflow_skinny": "mlflow", "scikit_learn": "sklearn"}.get(name, name)


@pytest.mark.parametrize("extra", sorted(set(DECLARED["optional-dependencies"]) - TOOLS))
def test_every_package_of_an_extra_has_its_sentence(extra: str) -> None:
    """The table names what pyproject.toml declares: a module that is missing is answered by the line that brings it."""
    modules = {package(each) for each in DECLARED["optional-dependencies"][extra]} - UNIMPORTED
    brought = {module for modules in EXTRAS.values() for module in modules}

    assert modules <= brought
    for module in modules:
        said = missing_package(ModuleNotFoundError(name=f"{module}.inner"), "the report")
        assert said is not None
        assert f"the report needs {module}, which is not installed: python -m pip install 'hpc-batch[" in str(said)


def test_every_module_of_the_table_is_declared() -> None:
    """The table promises nothing that pip would not bring."""
    declared = DECLARED["optional-dependencies"]

    for extra, modules in EXTRAS.items():
        assert set(modules) <= {package(each) for each in declared[extra]}


def test_any_other_module_is_a_bug_of_ours() -> None:
    """Nothing is promised about a module that no extra brings."""
    assert missing_package(ModuleNotFoundError(name="hpc.nonsense"), "the report") is None


def test_what_a_users_program_imports_is_installed_by_the_name_of_its_package() -> None:
    """One line for all of them; no part of ours, which would bring a dozen packages more."""
    assert install_modules(["torch", "sklearn", "yaml"]) == "python -m pip install torch scikit-learn pyyaml"
