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

INSTALLED = re.compile(
    r"(?:site|dist)-packages/|/lib/python\d|^<frozen |/(?:ana|mini)?conda\d?/lib/|/miniforge\d?/lib/"
)


_SAVES = re.compile(r"_?(?:save|write|dump|create_dataset|to_(?:csv|parquet|hdf|feather|sql|json|excel|zarr|netcdf))")
_BY_ITSELF = re.compile(r"(?:raise|assert)\b")
_OF_ARGUMENTS = re.compile(r"(?:Value|Type|Assertion|NotImplemented|Key|Attribute|Index)Error\b")
_HAPPENED = re.compile(
    r"\btim(?:ed[ -]|e-?)out\b|\b(?:refused|reset|closed|lost|unreachable|died|disconnected)\b|\berrno\b|\bi/o\b"
    r"|\b(?:no space|quota exceeded|disk full|stale|read-only)\b|\bbytes\b|\bwrite (?:failed|error)\b|\bfailed writ",
    re.IGNORECASE,
)
"""What befalls a program, as opposed to what it was asked for."""


def refused_by_library(frames: Sequence[Frame]) -> bool:
    """Whether an installed package refused something of its own accord: no system, device or peer did."""
    return bool(frames and INSTALLED.search(frames[-1].path) and _BY_ITSELF.match(frames[-1].code))


def argued_by_library(frames: Sequence[Frame], text: str) -> bool:
    """Whether an installed package refused what it was given, and names nothing that befell it."""
    return bool(_OF_ARGUMENTS.match(text)) and refused_by_library(frames) and not _HAPPENED.search(text)


_OF_SYSTEM = re.compile(
    r"(?:OS|IO|FileNotFound|FileExists|Permission|BlockingIO|BrokenPipe|Timeout|Connection\w{0,10})Error\b"
)
_OF_COMPILED = re.compile(r"\benforce fail\b|\w\.(?:cc|cpp|cu|c):\d")
"""What a call into the system, or into compiled code, came back with: no `raise` of Python's chose the words."""


def refused_to_save(frames: Sequence[Frame], text: str) -> bool:
    """Whether an installed package would not write what it was given; a file system had no part in it."""
    is_from_below = _OF_SYSTEM.match(text) or _OF_COMPILED.search(text)
    return not is_from_below and refused_by_library(frames) and not _HAPPENED.search(text)


def ends_in(
    paths: str = "",
    functions: str = "",
    *,
    own: str = "",
    own_files: str = "",
    own_code: str = "",
    below: str = "",
    raised: str = "",
) -> Callable[..., bool]:
    """Return the condition that a stack ends at such a place.

    Args:
        paths: Pattern of installed files below the last call in an own file.
        functions: Pattern of whole function names there.
        own: Pattern of the function of the last call in an own file.
        own_files: Pattern of the name of that file.
        own_code: Pattern of the line of code there, where it is quoted and nothing was called below it.
        below: The same, whatever was called below it.
        raised: Pattern of the installed file and function, `file.py:function`, of the innermost call.
    """
    in_path, in_function = re.compile(paths or r"(?!)"), re.compile(functions or r"(?!)")
    in_own, in_own_file = re.compile(own or r"(?!)"), re.compile(own_files or r"(?!)")
    in_code, in_any_code = re.compile(own_code or r"(?!)"), re.compile(below or r"(?!)")
    raised_in = re.compile(raised or r"(?!)")

    def holds(frames: Sequence[Frame]) -> bool:
        last = _last_own(frames)
        called = frames[last + 1 :] if last >= 0 else frames[-4:]
        if any(_SAVES.match(frame.function) for frame in called):
            return False
        if any(in_path.search(frame.path) or in_function.fullmatch(frame.function) for frame in called):
            return True
        if called and raised_in.search(f"{called[-1].path}:{called[-1].function}"):
            return True
        if last < 0:
            return False
        mine = frames[last]
        if in_any_code.search(mine.code) or (not called and in_code.search(mine.code)):
            return True
        name = mine.function.rpartition(".")[2].strip("()")
        return bool(in_own.fullmatch(name) or in_own_file.fullmatch(mine.path.rpartition("/")[2]))

    return holds


def _last_own(frames: Sequence[Frame]) -> int:
    return max((i for i, frame in enumerate(frames) if frame.path and not INSTALLED.search(frame.path)), default=-1)


def _was_importing(frames: Sequence[Frame]) -> bool:
    """Whether it was raised while an installed package was being loaded."""
    last = _last_own(frames)
    below = frames[last + 1 :]
    return any(frame.function == "<module>" and INSTALLED.search(frame.path) for frame in below)


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

_SETTINGS = r"(?:cfg|config|conf|args|opts?|options|settings|hparams|params)"
_READS_SETTINGS = (
    rf"\b(?:int|float|bool|Path)\({_SETTINGS}\b|\b{_SETTINGS}(?:\.\w+|\[[^\]]{{1,40}}\]){{0,4}}\[['\"]"
    r"|\b(?:[A-Z][A-Z0-9_]{3,}|\w{0,20}(?:[Rr]egistry|factory|builders|_map|zoo|[Cc]hoices))\[|\bgetattr\("
)
_READS_LINES = (
    r"\b(?:line|row|rec|record|fields?|parts|cols|columns|item|sample|example|entry|ann|meta|header|df)\b"
    r"(?:\[|\.(?:split|strip|rstrip)\b)|\bfor \w+(?:, ?\w+)* in (?:csv|json)\b|\bjson\.loads\(|\.split\("
)
_OPENS_DATA = (
    r"\b(?:np\.(?:fromfile|loadtxt|genfromtxt)|pd\.read_\w{1,12}|json\.loads?|h5py\.File|Image\.open|\w{0,8}\.?imread"
    r"|torchaudio\.load|sf\.read|librosa\.load|nib\.load|xr\.open\w{0,12}|csv\.\w{0,8}[Rr]eader)\("
)
_LOADS_STATE = (
    r"\b(?:pickle|dill|torch|joblib|np|numpy|json|h5py)\.(?:load|File)\(.{0,120}(?:resum|ckpt|check|restart"
    r"|state|snap"
    r"|weight|latest|last|model|backend)|\b[A-Z]\w{1,30}\.(?:load|restore|load_from_checkpoint)\(|load_state_dict\("
    r"|load_weights\(|\brestore\w{0,12}\(|\bresume\w{0,12}\("
)
_LOADS = (
    r"_?load_(?:\w{1,20}_)?(?:checkpoint|safetensors|state_dict)\w{0,20}|_?get_(?:resolved_)?checkpoint_\w{0,20}files"
)
"""Functions of libraries that read saved state."""
LOADING_STATE = ends_in(
    r"torch/serialization\.py|safetensors/|orbax/|flax/(?:serialization|training/checkpoints)"
    r"|torch/distributed/checkpoint/"
    r"|stable_baselines3/common/save_util",
    r"load_state_dict\w{0,20}|_load_from_state_dict|load_from_zip_file|load_weights\w{0,20}|" + _LOADS,
    below=_LOADS_STATE,
    own=r"_?(?:resume|restore)\w{0,20}|_?load_(?:checkpoint|ckpt|state|weights|snapshot)\w{0,20}",
)  # fmt: skip
"""Whether a stack ends where saved state is loaded."""

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
            r"load_state_dict\w{0,20}|_load_from_state_dict|set_rng_state|set_state_dict|" + _LOADS, below=_LOADS_STATE,
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
            r"|ml_collections|simple_parsing|confuse|dynaconf)/|/(?:hf_argparser|argparse|configparser|os)\.py"
            r"|<frozen os>",
            own_code=_READS_SETTINGS, below=r"\bos\.environ\b",
            own=r"_?(?:load|read|parse|get|make|build|create|validate|check|resolve|merge|update|setup|process|from)_?"
            r"(?:\w{1,20}_)?(?:config\w{0,10}|cfg|args|arguments|settings|options|opts|hparams|hyperparam\w*|yaml"
            r"|toml"
            r"|flags|spec)|__post_init__|from_yaml|from_dict",
            raised=r"(?:configuration_\w+|\w*config(?:s|uration|_utils|_args)?|\w*_validator|device_parser"
            r"|\w*_connector|training_args|arguments|arg_utils|settings|hparams)\.py:(?!\w*(?:load|download|from_pre))"
            r"|:(?:__?post_init__|post_init|_{0,2}validate_(?:args|arguments|config\w*|init\w*|architecture|environment"
            r"|settings|options)|_check_(?:config|args)\w{0,30}|_sanitize_parameters)$",
            own_files=r"\w{0,20}(?:config|configs|configuration|cfg|settings|options|arguments|args|hparams|flags)\.py",
        ),
    ),
    row(
        "stack-data", F.DATA, "reading",
        _raised(r"KeyError|ValueError|IndexError|AssertionError|EOFError|OSError|IOError|RuntimeError|StopIteration"
                r"|struct\.error|Exception|LookupError", r"\b(?:cuda|device|gradients?|fork|process|thread"
                r"|socket)\b"),
        "the program was reading its data",
        "whether the data or the code that reads it is at fault",
        tier=Tier.FAULT, confidence=0.6,
        stack=ends_in(
            r"/(?:PIL|h5py|pyarrow|webdataset|zarr|nibabel|soundfile|librosa|pydicom|tifffile|imageio|rasterio"
            r"|netCDF4"
            r"|tensorflow_datasets|lmdb|decord|anndata|rdkit|Bio|ase/io|MDAnalysis)/"
            r"|pandas/(?:io|core/indexes)/|datasets/(?:builder|load|packaged_modules|features|table|iterable_dataset)"
            r"|torchvision/(?:io|datasets)|torchaudio/|sklearn/utils/validation|/(?:csv|gzip|lzma|_strptime|tarfile"
            r"|zipfile)\.py"
            r"|torch/utils/data/_utils/collate|numpy/lib/(?:npyio|format|_npyio_impl|_format_impl)",
            own_code=_READS_LINES, below=_OPENS_DATA,
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
TABLE_LACKS = row(
    "data-table-nan", F.DATA, "nan", RAISED + r"(?-i:ValueError)\b.{0,300}\b(?:nans?|infinity|missing values)\b",
    "a package for tables met values that are missing or not finite",
    "whether the input or the code before it left them",
    tier=Tier.FAULT, stack=ends_in(raised=r"/(?:pandas|sklearn|xarray|polars|statsmodels)/"), confidence=0.6,
)  # fmt: skip
"""Asked before topics: where tables are, NaN stands for what is missing."""
LIBRARY_REFUSED = row(
    "config-library-refused", F.CONFIG, "library",
    _raised(r"ValueError|NotImplementedError",
            r"\b(?:tensors?|shapes?|dim(?:ension)?s?|dtypes?|arrays?|ndim|axis|scalar|ind(?:ex|ices)|grad\w*|length|sizes?"
            r"|subclass\w*|method|instance|callable|iterable|elements?|override|overrid\w+|call(?:ed|ing)?"
            r"|nodes?|modules?|layers?|graph|buffer|operands?|broadcast|no (?:\w{1,20} ){1,4}yet|\d-?D)\b|<class '"),
    "an installed package refused what it was given, of its own accord",
    "whether the value came from the settings or the code",
    tier=Tier.FAULT, stack=refused_by_library, confidence=0.5,
)  # fmt: skip
"""Asked after topics."""
