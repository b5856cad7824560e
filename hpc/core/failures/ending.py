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
    r"|finished"
    r"|satisfied|identical|resolved|processed|fertig|gespeichert|terminée?|enregistrée?s?|guardado|completado"
)
_WELL = Finder(
    rf"\b(?:{_DID})\b|\b(?:writing|saving) (?:\w+ ){{0,3}}(?:final|results?|summary|report|output|samples)\b"
    r"|\b100(?:\.0+)? ?%|\b\d{1,12}/\d{1,12} \[|\bnormal (?:end|termination|exit)\b|\bfin normale\b"
    r"|\bexit success\b|^PASS(?:ED)?\b|\bfinali[sz]ed? ok\b|\bjob done\b"
    r"|\b(?:final|test|best|cv|overall|mean|average|eval)\b.{0,40}[=: ][-+]?\d+\.\d"
    r"|^\{['\"][\w@/. -]{1,40}['\"]: ?[\d.]+"
    r"|完成|成功|保存|終了しました|正常終了"
)
_WHOLE = Finder(
    r"\b(?:all|every|each)\b.{0,60}\b(?:done|passed|present|merged|complete\w*|finished|succeeded|ok|match\w*"
    r"|processed"
    r"|written|saved|verified|correct)\b|checksums?\b.{0,20}\b(?:ok|match\w*|correct)|\b(?:verified|verify)\b"
    r"|\b0 (?:differ\w*|failed|failures|errors|missing|given up|lost)\b|\bno (?:errors|failures|differences)\b"
    r"|\bnormal (?:end|termination|exit)\b|\bfin normale\b|\bexit success\b"
    r"|\b(?:complete(?:d)?|finished|succeeded) successfully|\bsuccessfully (?:completed|finished)"
)
_COUNT = re.compile(r"(?<![\d.])(\d{1,12}) ?(?:/|of|out of) ?(\d{1,12})(?![\d.]*\d)")
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
    rf"|\b0 ?(?:/|of|out of) ?[1-9]\d{{0,8}} (?:{_TRIES} |{_THINGS} )?(?:were )?(?:succeeded|ok|passed|completed?"
    r"|finished|processed|written|done|usable|valid|successful)\b"
    r"|\bnothing (?:was )?(?:saved|written|produced|exported|trained|processed|evaluated)\b"
    rf"|\b(?:trained|evaluated|processed|fitted|fit) (?:\w{{1,12}} ){{0,2}}0 {_THINGS}\b"
    rf"|\b0 {_THINGS} (?:were )?(?:trained|evaluated|processed|written|loaded|used|left)\b"
)
BADLY = (
    r"\b(?:workflow|pipeline|job|run|model|training|simulation|analysis|calculation|program|solver|script|build"
    r"|experiment"
    r"|application|execution|optimi[sz]ation|campaign|sweep|evaluation|conversion|assembly)\b.{0,60}"
    r"\b(?:has failed|have failed|failed|was aborted|aborted|(?:ended|exited|terminated|finished|completed"
    r"|stopped) (?:with"
    r"|due to|on|after) (?:an? )?(?:\w{1,20} )?(?:errors?|failures?|problems?)|is incomplete|incomplete|crashed"
    r"|unsuccessful\w*|terminated abnormally|did not (?:finish|complete|succeed|run|train|start))\b"
    r"|\b(?:job|run|program|process) will (?:now )?(?:abort|terminate|exit)\b|\b(?:giving up|gave up|bailing out"
    r"|(?:can ?not|can't|unable to) (?:continue|proceed|go on)"
    r"|abnormal termination"
    r"|abnormally terminated|exit(?:ed|ing)? with errors?|abort(?:ing|ed) (?:the )?(?:run|job|simulation|program"
    r"|training"
    r"|calculation|execution))\b"
    r"|\bno (?:\w{1,20} ){0,2}(?:results?|output|model|checkpoint|predictions?)\b.{0,24}\b(?:written|saved"
    r"|produced|left|generated|created|exported)\b"
)


_NOTHING, _BADLY = Finder(NOTHING), Finder(BADLY)
_SCRIPTS = re.compile(
    r"^\W*(?:all )?(?:done|finished|ended?|completed?|success|job|script|task|step|exit\w*|\+ echo)\b"
    r"(?:.{0,60}\b\d{1,2}:\d\d\b.{0,30}|\W*(?:in|after) [\d.:]{1,12} ?\w{0,8})?\W*$"
    r"|\bjob script\b|^(?:elapsed|real|user|sys|date|host)\b",
    re.IGNORECASE,
)
"""What a job script says whatever became of the program: that it is done, and when."""


def ends_well(text: str) -> bool:
    """Whether a line says that something was done, with content: what, how many of how many, which score."""
    return (
        _WELL.found(text) and not _SCRIPTS.search(text) and not _NOT.found(_without_zeros(text)) and not _is_part(text)
    )


def ends_whole(text: str) -> bool:
    """Whether a line says that everything was done, or was checked and is right."""
    if not _WHOLE.found(text) and not (_WELL.found(text) and _is_all(text)):
        return False
    return not _NOT.found(_without_zeros(text)) and not _is_part(text) and not _SCRIPTS.search(text)


def ends_badly(text: str) -> bool:
    """Whether a line says of the whole run that it did not do what it was to do."""
    return (_BADLY.found(text) and _BADLY.found(_without_zeros(text))) or ends_with_nothing(text)


def ends_with_nothing(text: str) -> bool:
    """Whether a line says that nothing of what was tried came to anything: what is written afterwards is empty."""
    if not _NOTHING.found(text):
        return False
    counts = _COUNT.findall(text)
    return not counts or any(a in (b, "0") for a, b in counts)


def fails_few(text: str) -> bool:
    """Whether a line counts failures of parts, fewer than `FEW` of them: what a program reports of its items."""
    counts = _COUNT.findall(text) if _NOTHING.found(text) else []
    return bool(counts) and all(0 < int(a) < FEW * int(b) for a, b in counts)


FEW = 0.1
"""Share of failed parts below which a run has done what it was to do."""


def _without_zeros(text: str) -> str:
    return _NOTHING_WRONG.sub("·", text)


def _is_all(text: str) -> bool:
    return any(m[1] == m[2] and m[1] != "0" for m in _COUNT.finditer(text))


def _is_part(text: str) -> bool:
    """Whether a line counts fewer than all, and nothing whole beside it."""
    counts = [(m[1], m[2]) for m in _COUNT.finditer(text)]
    return bool(counts) and not any(a == b for a, b in counts)
