"""What is installed only when asked for: the optional parts of the package, and the sentence where one is missing."""

from collections.abc import Iterable, Mapping

from hpc.core.errors import InputError

EXTRAS: Mapping[str, tuple[str, ...]] = {
    "report": ("matplotlib", "pandas", "scipy"),
    "mcp": ("mcp",),
    "mlflow": ("mlflow",),
    "parquet": ("pyarrow",),
    "wandb": ("wandb",),
    "train": ("accelerate", "deepspeed", "peft", "sklearn", "tokenizers", "torch", "transformers"),
}
"""Part of the package → modules it brings; a module that several bring stands with the first. Held by a test against
pyproject.toml."""

_PACKAGES = {
    "Bio": "biopython", "bs4": "beautifulsoup4", "cv2": "opencv-python-headless", "dateutil": "python-dateutil",
    "dotenv": "python-dotenv", "faiss": "faiss-cpu", "ignite": "pytorch-ignite", "mpl_toolkits": "matplotlib",
    "OpenSSL": "pyopenssl", "PIL": "pillow", "pkg_resources": "setuptools", "skimage": "scikit-image",
    "sklearn": "scikit-learn", "umap": "umap-learn", "yaml": "pyyaml", "zmq": "pyzmq",
}  # fmt: skip
"""Module → the package that brings it, where the two are called otherwise."""


class MissingPackage(InputError):  # noqa: N818  named for what is to be done, as its siblings
    """A package that an optional part brings is not installed."""

    def __init__(self, module: str, wanted_by: str) -> None:
        """Say which package, who wants it, and the line that installs it.

        Args:
            module: As it is imported.
            wanted_by: What cannot be done without, as the beginning of a sentence: ``the report``.
        """
        super().__init__(f"{wanted_by} needs {module}, which is not installed: {install_line(module)}")


def install_line(module: str) -> str:
    """The pip line that brings a module."""
    extra = next((name for name, modules in EXTRAS.items() if module in modules), None)
    return f"python -m pip install 'hpc-batch[{extra}]'" if extra else f"python -m pip install {module}"


def install_modules(modules: Iterable[str]) -> str:
    """The pip line that brings what somebody else's program imports: that, and no more."""
    return f"python -m pip install {' '.join(dict.fromkeys(_PACKAGES.get(each, each) for each in modules))}"


def missing_package(error: ModuleNotFoundError, wanted_by: str) -> MissingPackage | None:
    """The sentence for an import that failed for want of an optional part; None where it is any other module."""
    module = (error.name or "").partition(".")[0]
    known = {each for modules in EXTRAS.values() for each in modules}
    return MissingPackage(module, wanted_by) if module in known else None
