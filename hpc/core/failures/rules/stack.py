"""Whose fault an exception is that says little itself: the stack tells what the program was doing. One row a place.

Asked of exceptions no row knows by their words. What counts is where the stack ends: the calls below the last one in
the user's own files, and that one itself; a framework's calls above it stand in every traceback.
"""

import re
from collections.abc import Callable, Sequence

from hpc.core.failures.evidence import FailureClass
from hpc.core.failures.reading.parts import Frame
from hpc.core.failures.rule import RAISED, Rule, Tier, row

F = FailureClass

_INSTALLED = re.compile(
    r"(?:site|dist)-packages/|/lib/python\d|^<frozen |/(?:ana|mini)?conda\d?/lib/|/miniforge\d?/lib/"
)


_SAVES = re.compile(r"_?(?:save|write|dump|to_(?:csv|parquet|hdf))")


def ends_in(paths: str = "", functions: str = "", *, own: str = "", own_files: str = "") -> Callable[..., bool]:
    """Return the condition that a stack ends at such a place.

    Args:
        paths: Pattern of installed files below the last call in an own file.
        functions: Pattern of whole function names there.
        own: Pattern of the function of the last call in an own file.
        own_files: Pattern of the name of that file.
    """
    in_path, in_function = re.compile(paths or r"(?!)"), re.compile(functions or r"(?!)")
    in_own, in_own_file = re.compile(own or r"(?!)"), re.compile(own_files or r"(?!)")

    def holds(frames: Sequence[Frame]) -> bool:
        last = _last_own(frames)
        below = frames[last + 1 :] if last >= 0 else frames[-4:]
        if any(_SAVES.match(frame.function) for frame in below):
            return False
        if any(in_path.search(frame.path) or in_function.fullmatch(frame.function) for frame in below):
            return True
        if last < 0:
            return False
        mine = frames[last]
        name = mine.function.rpartition(".")[2].strip("()")
        return bool(in_own.fullmatch(name) or in_own_file.fullmatch(mine.path.rpartition("/")[2]))

    return holds


def _last_own(frames: Sequence[Frame]) -> int:
    return max((i for i, frame in enumerate(frames) if frame.path and not _INSTALLED.search(frame.path)), default=-1)


def _was_importing(frames: Sequence[Frame]) -> bool:
    """Whether it was raised while an installed package was being loaded."""
    last = _last_own(frames)
    below = frames[last + 1 :]
    return any(frame.function == "<module>" and _INSTALLED.search(frame.path) for frame in below)


def _was_constructing(frames: Sequence[Frame]) -> bool:
    """Whether it was raised by the constructor of an installed class that the program's own file called."""
    last = _last_own(frames)
    below = frames[last + 1 :]
    return last >= 0 and 0 < len(below) <= 2 and all(frame.function == "__init__" for frame in below)


def _raised(names: str, but: str = "(?!)") -> str:
    """Return the pattern of exceptions of these names whose message speaks of nothing else."""
    return RAISED + rf"(?-i:{names})\b(?: ?:|$)(?!.{{0,300}}(?:{but}))"


_THINGS = (
    r"(?:data\w*|images?|samples?|audio|videos?|csv|json\w*|labels?|annotations?|shards?|corpus|splits?|features?"
    r"|np[yz]"
    r"|h5\w*|parquet|records?|rows?|lines?|examples?|items?|files?|frames?|tokens?|vocab\w*|graphs?|molecules?"
    r"|batch\w*)"
)
_CALLED_OFF = (
    r"KeyError|ValueError|TypeError|AttributeError|AssertionError|IndexError|LookupError|RuntimeError|Exception"
)

STACK_RULES: tuple[Rule, ...] = (
    row(
        "stack-import", F.ENVIRONMENT, "import",
        _raised(r"AttributeError|TypeError|SyntaxError|ValueError|OSError|RuntimeError|KeyError|NameError"),
        "an installed package failed while it was being imported",
        "which package has the wrong version",
        tier=Tier.FAULT, stack=_was_importing, confidence=0.7,
    ),
    row(
        "stack-checkpoint", F.CHECKPOINT, "loading",
        _raised(_CALLED_OFF + r"|EOFError|OSError|struct\.error|ModuleNotFoundError"),
        "the program was reading a checkpoint",
        "whether the file or the code that reads it is at fault",
        tier=Tier.FAULT, confidence=0.65,
        stack=ends_in(
            r"torch/serialization\.py|safetensors/|orbax/|flax/(?:serialization|training/checkpoints)"
            r"|torch/distributed/checkpoint/",
            r"load_state_dict|_load_from_state_dict|set_rng_state|set_state_dict",
            own=r"_?(?:load|resume|restore)\w{0,20}_?(?:checkpoint|ckpt|state|states|weights|pretrained|optimizer"
            r"|model)"
            r"|_?(?:resume|restore)\w{0,20}|load_(?:checkpoint|ckpt)\w{0,20}",
        ),
    ),
    row(
        "stack-config", F.CONFIG, "reading",
        _raised(_CALLED_OFF + r"|NotImplementedError"),
        "the program was reading its settings",
        "whether the settings or the code that reads them are at fault",
        tier=Tier.FAULT, confidence=0.65,
        stack=ends_in(
            r"/(?:yaml|omegaconf|hydra|configparser|tomllib|toml|tomli|jsonargparse|pydantic|dacite|draccus|gin|tyro"
            r"|ml_collections|simple_parsing|confuse|dynaconf)/|/(?:argparse|configparser|os)\.py",
            own=r"_?(?:load|read|parse|get|make|build|create|validate|check|resolve|merge|update|setup|process|from)_?"
            r"(?:\w{1,20}_)?(?:config\w{0,10}|cfg|args|arguments|settings|options|opts|hparams|hyperparam\w*|yaml"
            r"|toml"
            r"|flags|spec)|__post_init__|from_yaml|from_dict",
            own_files=r"\w{0,20}(?:config|configs|configuration|cfg|settings|options|arguments|args|hparams|flags)\.py",
        ),
    ),
    row(
        "stack-data", F.DATA, "reading",
        _raised(r"KeyError|ValueError|IndexError|AssertionError|EOFError|OSError|IOError|RuntimeError|StopIteration"
                r"|struct\.error|Exception|LookupError", r"\b(?:cuda|device|gradients?|fork|process|thread|socket)\b"),
        "the program was reading its data",
        "whether the data or the code that reads it is at fault",
        tier=Tier.FAULT, confidence=0.6,
        stack=ends_in(
            r"/(?:PIL|h5py|pyarrow|webdataset|zarr|nibabel|soundfile|librosa|pydicom|tifffile|imageio|rasterio"
            r"|netCDF4"
            r"|tensorflow_datasets|lmdb|decord|anndata|rdkit|Bio|ase/io|MDAnalysis)/"
            r"|pandas/(?:io|core/indexes)/|datasets/(?:builder|load|packaged_modules|features|table|iterable_dataset)"
            r"|torchvision/(?:io|datasets)|torchaudio/|sklearn/utils/validation|/(?:csv|gzip|lzma|tarfile"
            r"|zipfile)\.py"
            r"|torch/utils/data/_utils/collate|numpy/lib/(?:npyio|format|_npyio_impl|_format_impl)",
            own=r"__getitem__|_?(?:load|read|parse|decode|open|fetch|get)_(?:\w{1,20}_)?" + _THINGS
            + r"|prepare_data|_?preprocess\w{0,20}|_?collate\w{0,20}|build_vocab\w{0,12}|_?tokenize\w{0,20}",
        ),
    ),
    row(
        "stack-constructor", F.CONFIG, "value",
        _raised(r"ValueError|AssertionError|TypeError",
                r"\b(?:nan|tensor|shape|cuda|device|positional|keyword|unexpected)"),
        "the constructor of an installed class rejected a value",
        "whether the value came from the settings or the code",
        tier=Tier.FAULT, confidence=0.55, stack=_was_constructing,
    ),
)  # fmt: skip
