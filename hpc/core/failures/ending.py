"""What a program says of its own end: that it did all it was to do, or that it did not. Pure, linear.

An exit code of 0 says little: job scripts, pipes and loops swallow the code of what they ran. A statement with content
(what was written, how many of how many, a final score) is said by the program; a date or "bye" is said by any script,
and proves nothing.
"""

import re

from hpc.core.failures.engine import Finder

_DID = (
    r"wrote|written|saved|exported|stored|archived|uploaded|synced|merged|committed|produced|created|copied|moved"
    r"|answered|completed?|succeeded|success(?:ful(?:ly)?)?|passed|converged|reached|verified|match(?:es|ed)?"
    r"|finished|unpacked|extracted|downloaded|collected|generated|rendered|computed|simulated|converted|mapped"
    r"|aligned"
    r"|indexed|installed|assembled|recovered|solved|drained|published|registered|archivé|tuned|sampled|fitted"
    r"|ranked|aggregated"
    r"|satisfied|identical|resolved|processed|fertig|gespeichert|abgeschlossen|geschrieben|terminée?s?"
    r"|enregistrée?s?|écrite?s?"
    r"|guardad[oa]s?|completad[oa]s?|escrit[oa]s?|salvat[oi]|scritt[oi]|completat[oi]"
)
_FILES = (
    r"(?:csv|tsv|json|jsonl|ya?ml|txt|md|html|pdf|png|svg|gif|npy|npz|h5|hdf5|nc|zarr|parquet|feather|pkl|pickle"
    r"|joblib"
    r"|rds|rda|rdata|mat|jld2|pt|pth|ckpt|onnx|safetensors|gguf|bin|dat|xyz|pdb|gro|xtc|vtu|vtk|root|fits|bam"
    r"|vcf|gff3?"
    r"|fa|fasta|fastq|gz|zip|tar|tif|tiff|nii|wav|mp4|xlsx|tex|vtm|exr|db|sqlite|bed|mcool|lance)"
)
_SCORES = (
    r"(?:accuracy|acc|auc|auroc|f1|dice|iou|miou|m?ap|rmse|mae|mse|r2|bleu|rouge\S{0,3}|perplexity|ppl|score"
    r"|reward|return"
    r"|psnr|ssim|wer|cer|fid|energy|recall|precision|median|coefficient|speed-?up|throughput|performance"
    r"|bandwidth|latency|[gt]flop\S{0,4}|objective"
    r"|chi2\S{0,4}|rmsd|availability|uptime|coverage|yield|likelihood|evidence|drag|lift)"
)
_WELL = Finder(
    rf"\b(?:{_DID})\b|\b(?:writing|saving) (?:\w+ ){{0,3}}(?:final|results?|summary|report|output|samples)\b"
    r"|\b100(?:\.0+)? ?%|\b\d{1,12}/\d{1,12} \[|\bnormal (?:end|termination|exit)\b|\bfin normale\b"
    r"|\bexit success\b|^PASS(?:ED)?\b|\bfinali[sz]ed? ok\b|\bjob done\b"
    r"|\b(?:final|test|best|cv|overall|mean|average|eval)\b.{0,40}[=: ][-+]?\d+\.\d"
    rf"|\b{_SCORES}\b\)?(?: (?:is|of|on|over|at|\w{{1,12}}))?\s{{0,8}}[=:]?\s{{0,8}}[-+]?\d+\.\d"
    rf"|(?:\b(?:in|to|into|see|as)|->|=>|→"
    rf"|:) {{0,2}}['\"]?\S{{0,200}}\w\.{_FILES}['\"]?(?: \([^)]{{0,60}}\))?\W{{0,3}}$"
    r"|(?:->|=>|→) {0,2}\S{0,200}\w\.[a-z][a-z0-9]{1,9}$"
    r"|\b(?:outputs?|results?|figures?|tables?|reports?|artifacts?|predictions|plots?|findings)\b.{0,30}"
    r"\b(?:in|below|under|at|to) \S{0,100}/"
    r"|^> ?(?:write|save|ggsave)\w{0,12}[.(]|\bwriting (?:wave\w{1,12}|chgcar|output|coordinates|results?)$"
    r"|\bexit(?:ed|ing)? normally\b"
    r"|^\{['\"][\w@/. -]{1,40}['\"]: ?[\d.]+"
    r"|完成|成功|保存|終了しました|正常終了"
)
_WHOLE = Finder(
    r"\b(?:all|every|each)\b.{0,60}\b(?:done|passed|present|merged|complete\w*|finished|succeeded|ok|match\w*"
    r"|processed"
    r"|written|saved|verified|correct|valid|recovered|rendered|computed|solved|kept|good)\b"
    r"|checksums?\b.{0,20}\b(?:ok|match\w*|correct)|\b(?:verified|verify)\b"
    r"|\b0 (?:differ\w*|failed|failures|errors|missing|given up|lost)\b|\bno (?:errors|failures|differences)\b"
    r"|\bnormal (?:end|termination|exit)\b|\bfin normale\b|\bexit success\b"
    r"|\b(?:complete(?:d)?|finished|succeeded) successfully|\bsuccessfully (?:completed|finished)"
    r"|\bsuccessful (?:termination|completion|end)\b|\b(?:terminated|ended) normally\b|\breturned status 0\b"
    r"|\d \w[^,]{0,40}, 0 (?:left|remaining|to do|to go|pending)\b"
)
_COUNT = re.compile(r"(?<![\d.])(\d{1,12}) ?(?:/|of|out of) ?(\d{1,12})(?![\d.]*\d)")
_THINGS_DONE = re.compile(
    r"(?<![\w.,/:-])[1-9][\d,]{0,14} (?:\w{1,20} ){0,2}[a-z]{2,20}s (?:were |have been )?(?P<done>[a-z]{2,20}ed)\b",
    re.IGNORECASE,
)
_NOT_DONE = re.compile(
    r"(?:fail|skip|crash|abort|kill|drop|corrupt|damag|expect|requir|request|need|remain|exceed|terminat|tim"
    r"|start|submit"
    r"|queu|alloc|detect|us|schedul|launch|spawn|connect|initial|configur|reject|ignor|exhaust|interrupt"
    r"|cancel|miss|los"
    r"|error|timed|block|affect|reserv|limit|mask|excluded|retri|delay|stopp|pass|evict|encounter|rais|unresolv)\w*",
    re.IGNORECASE,
)
"""What is done to things before there is a result, or instead of one."""
_EACH = re.compile(
    r"(?<![\d.])([2-9]|\d{2,12}) [a-z][\w-]{1,24}[,:;]? (?:and |of which )?\1 (?:\w{1,20}[- ]){0,2}?"
    r"(?:with exit 0|ok|good|fine|done|valid|\w{2,20}ed)\b",
    re.IGNORECASE,
)
"""So many things, and as many of them good."""
_OF_SCORE = re.compile(r"(\d\.\d{1,12} ?%?) \(\d{1,12} ?/ ?\d{1,12}\)")
_ARROW = re.compile(r"(?:->|=>|→) {0,2}\S{0,200}$")
_FILE = re.compile(r"(?<!\S)\S{0,200}/\S{0,200}\w\.\w{2,10}(?=[\s,;:)'\"]|$)")
_COUNTED_TROUBLE = re.compile(
    r"(?<![\d.])\d{1,12} (?:\w{1,20} ){0,2}(?:failures|errors|warnings|crashes|faults|aborts|kills)\b", re.IGNORECASE
)
_NOTHING_WRONG = re.compile(
    r"\b(?:0|no|zero|without(?: any)?|none) (?:\w{1,20} ){0,2}(?:errors?|fail\w*|missing|lost|given up|differ\w*"
    r"|problems?"
    r"|warnings?|rejected|skipped|invalid)\b|\b(?:errors?|fail\w*|missing|skipped|rejected)\W{1,4}0\b(?![.\d])",
    re.IGNORECASE,
)
_NOT = Finder(
    r"\b(?:not|never|nothing|fail\w*|errors?|abort\w*|unsuccess\w*|incomplete\w*|cannot|can't|couldn't|unable"
    r"|partial\w*"
    r"|none|no|without|terminated|killed|kill|nan|retry\w*|start(?:ed|ing)?|todo|remaining|pending|will|would|to be"
    r"|until|before|waiting)\b|n't\b"
)
_THINGS = (
    r"(?:samples?|examples?|rows?|records?|steps?|batches|images?|files?|sequences?|items?|reads?|particles?|frames?"
    r"|documents?|epochs?|iterations?|events?|structures?|molecules?)"
)
_TRIES = (
    r"(?:trials?|fits?|folds?|runs?|seeds?|jobs?|tasks?|configurations?|workers?|experiments?|cases?|members?"
    r"|replicas?"
    r"|simulations?|chunks?|samples?|stages?|shards?)"
)
NOTHING = (
    rf"\ball (?:of )?(?:the )?(?:\d{{1,9}} )?{_TRIES} (?:have |has |were )?(?:failed|crashed|aborted|errored"
    rf"|skipped)\b"
    rf"|\b(?:0|no|none of (?:the )?\d{{1,9}}) {_TRIES} (?:were |was |have |has )?(?:completed?|succeeded|finished"
    r"|successful|ok|passed|usable|done)\b"
    r"|\b\d{1,9} ?(?:/|of|out of) ?\d{1,9} (?:\w{1,20} ){0,2}(?:failed|crashed|aborted|errored)\b"
    r"|\b0 ?(?:/|of|out of) ?[1-9]\d{0,8} (?:\w{1,20} ){0,2}(?:were )?(?:succeeded|ok|passed|completed?"
    r"|finished|processed|written|done|usable|valid|successful)\b"
    r"|\bnothing (?:was )?(?:saved|written|produced|exported|trained|processed|evaluated)\b"
    r"|\b(?:generated|processed|answered|scored|completed|finished|evaluated|converted|written|wrote|read|loaded"
    r"|trained|merged|aligned|mapped|downloaded|rendered|collected) 0 ?(?:/|of|out of) ?[1-9]\d{0,8}\b"
    rf"|\b(?:trained|evaluated|processed|fitted|fit) (?:\w{{1,12}} ){{0,2}}0 {_THINGS}\b"
    rf"|\b0 {_THINGS} (?:were )?(?:trained|evaluated|processed|written|loaded|used|left after|left to train|remain)\b"
    rf"|\b0 ?(?:/|of|out of) ?[1-9]\d{{0,8}} (?:\w{{1,20}} ){{0,2}}(?:evaluated|scored|solved|merged|converted"
    rf"|trained"
    r"|aligned|mapped|rendered|simulated|assembled|computed|answered|uploaded|downloaded|indexed)\b"
)
NO_INPUT = (
    r"\bfound 0 (?:\w{1,20} )?(?:images?|files?|samples?|examples?|records?|rows?|sequences?|documents?"
    r"|frames?|pairs?"
    r"|videos?|shards?|items?|utterances?)(?:\W{0,2}$|\W{1,2}(?:in|under|for|at|below|belonging|from|inside"
    r"|within)\b)"
    r"|^\W{0,3}(?:0|no) (?:\w{1,20} )?(?:images?|files?|samples?|examples?|records?|sequences?|inputs?) "
    r"(?:were |was )?(?:found|match(?:ed|ing)?)(?:\W{0,2}$|\W{1,2}(?:in|under|for|at|below|matching|by|from"
    r"|inside|within)\b)"
    r"|\b(?:train(?:ing)?|input|total|whole)(?: ?(?:set|split|data(?:set)?))?(?: size)?\W{1,3}(?:0|zero) (?:samples?"
    r"|images?"
    r"|examples?|reads?|records?|rows?|files?|sequences?|pairs?|tokens?)\b"
    r"|\b(?:number|num|no\.?|count|#)[ _]?(?:of[ _])?(?:train(?:ing)?|input|total)[ _](?:samples?|images?"
    r"|examples?|reads?"
    r"|records?|rows?|files?|sequences?|tokens?|batches)\W{1,3}0(?:$|[^\d.,]|[.,](?:$|\D))"
    r"|\b(?:samples?|images?|examples?|reads?|records?|rows?|tokens?|sequences?|batches) (?:seen|processed"
    r"|loaded|read"
    r"|used|consumed)\W{1,3}0(?:$|[^\d.,]|[.,](?:$|\D))"
    r"|\b(?:input|total) (?:reads?|records?|samples?|rows?|sequences?)\W{1,3}0(?:$|[^\d.,]|[.,](?:$|\D))"
    r"|\b0 (?:\w{1,20} ){0,2}\w{2,20}s (?:left|remain\w*) after\b"
    r"|\b(?:epoch|step)\b.{0,20}\b0 batches\b|\blen\(\w{0,20}(?:train|data)\w{0,12}\)\W{1,4}0\b"
)
"""What a program says that was given nothing to work on."""
TESTS_FAILED = (
    r"\b[1-9]\d{0,6} (?:tests? )?(?:failed|errors?)\b.{0,60}\b\d{1,7} (?:tests? )?passed\b"
    r"|\b\d{1,7} (?:tests? )?passed\b.{0,40}\b[1-9]\d{0,6} (?:tests? )?(?:failed|errors?)\b"
    r"|^=+ .{0,40}\b[1-9]\d{0,6} (?:failed|errors?)\b.{0,60} in [\d.]+ ?s\b"
    r"|^FAILED \(.{0,80}(?:failures|errors)=[1-9]|\b[1-9]\d{0,6} tests? failed out of \d"
    r"|^\[  FAILED  \] [1-9]\d{0,6} tests?\b|^ ?[1-9]\d{0,6} FAILED TESTS?\b|^test result: FAILED"
    r"|\btests run: ?\d{1,7}, (?:failures: ?[1-9]|failures: ?0, errors: ?[1-9])"
    r"|^tests?: {1,10}[1-9]\d{0,6} failed\b|\btest cases: ?\d.{0,60}\b[1-9]\d{0,6} failed\b"
)
"""How test runners of several languages say that some tests failed."""
_TESTS_PASSED = Finder(
    r"^=* ?\d{1,7} passed\b(?:,? \d{1,7} (?:skipped|xfailed|xpassed|warnings?|deselected|rerun"
    r"|subtests? passed)){0,6}"
    r"(?: in .{1,40})?=*$|\b100% tests passed\b|^\[  PASSED  \] [1-9]\d{0,6} tests?\b"
    r"|^test result: ok\b|\ball \d{0,7} ?tests? (?:have |were )?(?:passed|ok|succeeded)\b"
    r"|^tests?: {1,10}\d{1,7} passed\b"
    r"|\btests run: ?\d{1,7}, failures: ?0, errors: ?0\b|^all tests passed"
)
BADLY = (
    r"\b(?:workflow|pipeline|job|run|model|training|simulation|analysis|calculation|program|solver|script|build"
    r"|experiment"
    r"|application|execution|optimi[sz]ation|campaign|sweep|evaluation|conversion|assembly)\b.{0,60}"
    r"\b(?:has failed|have failed|failed|was aborted|aborted|(?:ended|exited|terminated|finished|completed"
    r"|stopped) (?:with"
    r"|due to|on|after) (?:an? )?(?:\w{1,20} )?(?:errors?|failures?|problems?)|is incomplete|incomplete|crashed"
    r"|given up"
    r"|unsuccessful\w*|terminated abnormally|did not (?:finish|complete|succeed|run|train|start))\b"
    r"|\b(?:job|run|program|process) will (?:now )?(?:abort|terminate|exit)\b|\b(?:giving up|gave up|bailing out"
    r"|(?:can ?not|can't|unable to) (?:continue|proceed|go on)"
    r"|abnormal termination"
    r"|abnormally terminated|exit(?:ed|ing)? with errors?|abort(?:ing|ed) (?:the )?(?:run|job|simulation|program"
    r"|training"
    r"|calculation|execution))\b"
    r"|^\W{0,4}(?:execution halted|build fail(?:ed|ure)|error stop|error termination|compilation (?:aborted"
    r"|terminated))\b"
    r"|^stop [1-9]\d{0,3}$|\bBEGIN failed--|^\W{0,4}(?:unhandled|uncaught) (?:exception|error)\b"
    r"|^\W{0,4}abort(?:ed|ing)?[:!]|\berror executing process\b|\bterminated with an error exit status\b"
    r"|\bno (?:\w{1,20} ){0,2}(?:results?|output|model|checkpoint|predictions?|solution"
    r"|files?)\b.{0,24}\b(?:written|saved"
    r"|produced|left|generated|created|exported)\b"
)


SAID_CODE = (
    r"^(?:\S{1,40} ){0,4}\S{0,30}\b(?:exit(?:ed)?|end(?:ed)?|finish(?:ed)?|return(?:ed)?|fail(?:ed)?|stop(?:ped)?"
    r"|quit)(?: with)?(?: (?:exit|return|error))?"
    r" ?(?:code|status)(?: (?:is|was|of))?[ :=]{1,3}-?[1-9]\d{0,2}\W{0,3}$"
    r"|^(?:\S{1,40} ){0,4}\S{0,30}\b(?:exit|rc|exit_?code|exit_?status|return_?code)(?: ?[:=] ?"
    r"| )-?[1-9]\d{0,2}\W{0,3}$"
)
"""How a job script says that what it ran gave a code of failure."""


_NOTHING, _BADLY, _NO_INPUT = Finder(NOTHING), Finder(BADLY), Finder(NO_INPUT)
_FAILED_TESTS, _SAID_CODE = Finder(TESTS_FAILED), Finder(SAID_CODE)
_NONE = Finder("|".join(f"(?:{pattern})" for pattern in (NO_INPUT, NOTHING)))
_BAD_END = Finder("|".join(f"(?:{pattern})" for pattern in (TESTS_FAILED, BADLY, NO_INPUT, NOTHING, SAID_CODE)))
"""What some of the others find, asked once of the many lines in which none of them does."""
_TRIES_AGAIN = Finder(
    r"\b(?:attempt|try|retry|tries|retries)\b|\b(?:died|dead|lost|crash\w*|load\w*|connect\w*|wait\w*|spawn\w*)\b"
)
_REPEATED = Finder(
    r"\b(?:is|are|was|were|will be|being) (?:retried|repeated|resubmitted)\b|\bretrying\b|\bwill retry\b"
)
_EARLIER = Finder(r"\b(?:previous|earlier|prior|former|old) (?:run|job|attempt|execution|simulation)\b")
_COUNTED = r"(?<![\d.,])(\d{1,3}(?:,\d{3}){1,4}|\d{1,15}) (?:\w{1,20} ){0,2}"
_OK = re.compile(r"OK(?: \([\w=, ]{1,60}\))?$")
_GOOD_PARTS = re.compile(
    _COUNTED + r"(?:ok|good|passed|succeeded|successful|valid|done|written|kept|processed|completed|finished|clean"
    r"|intact|readable|converted|merged|recovered)\b",
    re.IGNORECASE,
)
_BAD_PARTS = re.compile(
    _COUNTED + r"(?:bad|failed|corrupt\w{0,4}|damaged|broken|unreadable|missing|invalid|left out|skipped|rejected"
    r"|flagged|lost|given up|errors?)\b",
    re.IGNORECASE,
)
_STEPS = re.compile(
    r"\b(?:steps?|epochs?|iterations?|iters?|batch(?:es)?|updates?|eta"
    r"|trials? done)\b",
    re.IGNORECASE,
)
_SCRIPTS = re.compile(
    r"^\W*(?:all )?(?:done|finished|ended?|completed?|success|(?:job|script|task|step)(?: (?:done|ended|over))?"
    r"|exit(?!(?:ed|ing)? normally)\w*"
    r"|\+ echo"
    r"|fertig|ende|terminé|termine|hecho|listo|fin|fatto|完成|完了)\b"
    r"(?:.{0,60}\b\d{1,2}:\d\d\b.{0,30}|\W*(?:in|after) [\d.:]{1,12} ?\w{0,8})?\W*$"
    r"|^\W*(?:the |my |all |this )?(?:\w{1,20} )?(?:stages?|steps?|jobs?|tasks?|scripts?|commands?) "
    r"(?:is |are |was |were |have |has )?(?:all )?(?:done|finished|completed?|over|ended|through)\W*$"
    r"|^\W*everything (?:is )?(?:done|finished)\W*$|^\W*(?:job|script) (?:run )?(?:ended|completed?"
    r"|finished) \w{2,4} "
    r"|\bjob script\b|^(?:elapsed|real|user|sys|date|host)\b",
    re.IGNORECASE,
)
"""What a job script says whatever became of the program: that it is done, and when."""


def ends_well(text: str) -> bool:
    """Whether a line says that something was done, with content: what, how many of how many, which score."""
    if _is_empty(text):
        return False
    if (
        _says_each(text)
        or ends_in_most(text)
        or (_is_all(text) and not _TRIES_AGAIN.found(text) and not _NOT.found(_without_zeros(text)))
    ):
        return True
    return (
        (_WELL.found(text) or _counts_done(text))
        and not (_SCRIPTS.search(text) and text.strip() != "JOB DONE.")
        and not _NOT.found(_without_zeros(text))
        and not _is_part(text)
    )


def _counts_done(text: str) -> bool:
    """Whether a line counts things to which something was done: `812 files pushed`."""
    return any(not _NOT_DONE.match(m["done"]) for m in _THINGS_DONE.finditer(text))


_LISTING = re.compile(r"[-dl][r-][w-][xsS-][r-][w-][xsS-][r-][w-][xtT-][.+@]? +\d")
"""A file as ``ls -l`` lists it: whatever its name is."""


def _is_empty(text: str) -> bool:
    """Whether a line says no more than a word, lists a file, or is a command that the shell prints as it runs it."""
    return (
        text.startswith(("+ ", "++ "))
        or _LISTING.match(text) is not None
        or (" " not in text.strip() and "." not in text.strip(" .") and text.isascii())
    )


def ends_whole(text: str) -> bool:
    """Whether a line says that everything was done, or was checked and is right."""
    if _is_empty(text):
        return False
    if _says_each(text) or ends_in_most(text):
        return True
    if not _WHOLE.found(text) and not ((_WELL.found(text) or _counts_done(text)) and _is_all(text)):
        return False
    return not _NOT.found(_without_zeros(text)) and not _is_part(text) and not _SCRIPTS.search(text)


def ends_badly(text: str) -> bool:
    """Whether a line says of the whole run that it did not do what it was to do."""
    if not _BAD_END.found(text):
        return _all_are_bad(text)
    if _FAILED_TESTS.found(text) or ends_with_nothing(text):
        return True
    if _SAID_CODE.found(text) and not text.startswith("srun"):
        return True
    if not _BADLY.found(text) or _EARLIER.found(text) or _REPEATED.found(text):
        return False
    return _BADLY.found(_without_zeros(text))


def tests_passed(text: str) -> bool:
    """Whether a line is a test runner's word that all tests did what they were to do: errors are part of that."""
    return _TESTS_PASSED.found(text) or _OK.match(text) is not None


def ends_in_most(text: str) -> bool:
    """Whether a line counts parts that came out right, and the others are fewer than `FEW` of them."""
    good = sum(int(m[1].replace(",", "")) for m in _GOOD_PARTS.finditer(text))
    bad = sum(int(m[1].replace(",", "")) for m in _BAD_PARTS.finditer(text))
    if good and bad:
        return bad < FEW * (good + bad) and not _FAILED_TESTS.found(text)
    counts = [(int(m[1]), int(m[2])) for m in _COUNT.finditer(text)]
    most = bool(counts) and all((1 - FEW) * b < a < b for a, b in counts)
    return most and not _STEPS.search(text) and not _BAD_PARTS.search(_COUNT.sub("", text)) and not _NOTHING.found(text)


def ends_with_nothing(text: str) -> bool:
    """Whether a line says that nothing of what was tried came to anything: what is written afterwards is empty."""
    if not _NONE.found(text):
        return _all_are_bad(text)
    if _NO_INPUT.found(text) or _all_are_bad(text):
        return True
    if not _NOTHING.found(text):
        return False
    counts = _COUNT.findall(text)
    return not counts or any(a in (b, "0") for a, b in counts)


def _all_are_bad(text: str) -> bool:
    """Whether a line counts as many bad parts as there are."""
    wholes = {int(m[2]) for m in _COUNT.finditer(text)} - {0}
    bad = _BAD_PARTS.search(_COUNT.sub(lambda m: m[1], text)) if wholes else None
    if bad is None or int(bad[1].replace(",", "")) not in wholes:
        return False
    return not (_TRIES_AGAIN.found(text) or _REPEATED.found(text))


def fails_few(text: str) -> bool:
    """Whether a line counts failures of parts, fewer than `FEW` of them: what a program reports of its items."""
    counts = _COUNT.findall(text) if _NOTHING.found(text) else []
    return bool(counts) and all(0 < int(a) < FEW * int(b) for a, b in counts)


ANSWERS = {
    10: re.compile(r"(?:s )?SATISFIABLE$|VERIFICATION FAILED$"),
    20: re.compile(r"(?:s )?UNSATISFIABLE$"),
    30: re.compile(r"(?:s )?OPTIMUM FOUND$"),
}
"""Exit code → the answer it stands for, of solvers that keep to the conventions of their competitions."""
FEW = 0.1
"""Share of failed parts below which a run has done what it was to do."""


def _without_zeros(text: str) -> str:
    text = _NOTHING_WRONG.sub("·", _FILE.sub("·", text))
    return _COUNTED_TROUBLE.sub("·", text) if _ARROW.search(text) else text  # what was counted was written down


def _is_all(text: str) -> bool:
    return any(m[1] == m[2] and m[1] != "0" for m in _COUNT.finditer(text))


def _says_each(text: str) -> bool:
    """Whether a line counts things, and as many of them good."""
    return _EACH.search(text) is not None and not _NOT.found(_without_zeros(text))


def _is_part(text: str) -> bool:
    """Whether a line counts fewer than all, and nothing whole beside it."""
    counts = [(m[1], m[2]) for m in _COUNT.finditer(_OF_SCORE.sub(r"\1", text))]
    return bool(counts) and not any(a == b for a, b in counts)
