"""Data: damaged, empty, missing, out of range."""

from hpc.core.failures.ending import NO_INPUT
from hpc.core.failures.evidence import FailureClass
from hpc.core.failures.rule import RAISED, Role, Rule, Tier, row

F = FailureClass

EARLY: tuple[Rule, ...] = (
    row(
        "data-nothing-given", F.DATA, "empty",
        NO_INPUT,
        "the program found nothing to work on",
        "whether the path, a filter or a pattern of names is wrong",
        confidence=0.85,
    ),
    row(
        "data-read-by-r", F.DATA, "damaged",
        r"^error in (?:scan|read\.\w{1,12}|read_\w{1,12}|fread|readRDS|readLines|vroom|gzfile|file)\(",
        "R could not read an input",
        "whether the file or the call is wrong",
        tier=Tier.FAULT, confidence=0.7,
    ),
    row(
        "data-not-parsed", F.DATA, "damaged",
        r"(?:cannot|can't|could not|unable to|failed to) (?:parse|decode|interpret|convert|deserialize) .{0,80}"
        r"\b(?:records?|lines?|rows?|entry|entries|header|fields?|columns?|string to float)\b"
        r"|(?:unexpected|invalid|illegal) (?:character|byte|tag|field|header|entry|delimiter)\b.{0,60}\b(?:at|in|on) "
        r"(?:line|row|record|position|column|offset|byte)"
        r"|(?:parse|format) error .{0,20}(?:at|in|on) (?:line|row|record)",
        "an input could not be parsed",
        "whether the file is damaged or has another format",
        tier=Tier.FAULT, confidence=0.65,
    ),
)  # fmt: skip
"""Asked right after the rows about memory."""

ROWS: tuple[Rule, ...] = (
    row(
        "bug-index-range", F.CODE_BUG, "index",
        r"ScatterGatherKernel\.cu.{0,160}Assertion `",
        "an index that the program computed is out of range",
        "whether the data led to that index; the device is not at fault",
        confidence=0.7,
    ),
    row(
        "data-label-range", F.DATA, "range",
        r"device-side assert triggered|Assertion `t >= 0 && t < n_classes|target \d+ is out of bounds"
        r"|index out of range in self|srcIndex < srcSelectDimSize|Assertion `.{0,80}index out of bounds",
        "an index (a label or token) is out of range",
        "whether the data or the table's size is wrong; the device is not at fault",
        confidence=0.8,
    ),
    row(
        "data-damaged", F.DATA, "damaged",
        r"UnidentifiedImageError|image file is truncated|truncated file: eof|file signature not found|BadGzipFile"
        r"|BadZipFile|not a gzipped file|compressed file ended|zlib\.error|Arrow(?:Invalid|TypeError|IOError)"
        r"|tarfile\.\w{0,20}Error|no data left in file|unexpected end of (?:data|file|stream)"
        r"|lmdb\.\w{0,30}(?:Corrupt|Invalid|Page)"
        r"|NonMatching(?:Splits|Checksum)|ExpectedMoreSplits|UnexpectedSplits|DatasetGenerationError"
        r"|\b(?:checksum|md5|sha\d{0,3}|crc\d{0,2}|digest|hash)(?:sum)?\b.{0,12}\b(?:mismatch|error|differs?|failed)"
        r"|\bchecksums? (?:do(?:es)?|did) ?n.t match"
        r"|\bchecksums? (?:do(?:es)? not|did not) match"
        r"|format not recogni[sz]ed|not recogni[sz]ed as (?:a|being in a) supported file format|(?:unknown"
        r"|unsupported|invalid|unrecogni[sz]ed) file format|DataLossError"
        r"|UnicodeDecodeError|JSONDecodeError|ParserError|EmptyDataError"
        r"|corrupt(?:ed)? (?:record"
        r"|sample|shard|data|jpeg|image)|magic bytes not found",
        "an input file is damaged or has another format",
        "whether the original is: a copy may be incomplete",
        role=Role.DAMAGED_FILE,
    ),
    row(
        "data-empty", F.DATA, "empty",
        r"num_samples should be a positive integer|dataset is empty|\bempty file\b|file is empty|\.empty\(\)"
        r"|found 0 (?:images|files|samples|files in)"
        r"|empty dataset|no (?:training )?(?:samples|examples|files) found",
        "the data set is empty for this task",
        "whether the path is wrong",
    ),
    row(
        "data-not-found", F.DATA, "missing",
        r"DatasetNotFoundError|no variable named|could not find a dataset|not in the dataset\b|no such column"
        r"|forrtl: severe \((?:24|29|30|36|59|67)\)"
        r"|missing column"
        r"|cannot open (?:input )?file .{0,160}no such file"
        r"|couldn't find (?:a |any )?(?:data|dataset)|couldn't reach .{0,120} on the hub"
        r"|dataset .{0,160}(?:not found|does not exist|doesn't exist)|"
        + RAISED
        + r"FileNotFoundError"
          r"|" + RAISED + r"\w{0,40}PathNotFound\w{0,20}"
          r"|KeyError: \W{0,3}\[.{1,200}\] not (?:found )?in (?:index|axis)"
        r"|(?:OSError|IOError): .{0,60}no such file or directory"
        r"|unable to (?:synchronously )?open (?:file \(unable to open file|object \(object)"
        r"|(?:cannot|can't|can not|could not|couldn't|unable to|failed to) (?:open|read|find"
        r"|locate) (?:the )?(?:\S{1,40} ){0,2}(?:training|data|input"
        r"|corpus|sample|shard|annotation|label)",
        "an input is not where the program looks",
        "whether it exists: a mount or bind may be missing",
        confidence=0.85,
    ),
)  # fmt: skip
