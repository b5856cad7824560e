"""Red flags of a brief: words that leave open what would count, each with the question that closes it. Pure.

A flag is found by what an answer says ("overnight") or by what it lacks: a budget holds a number, a threshold an
amount, a decision two ways. It reads the answers of some questions only: what is vague of a threshold ("lower than
before") is clear of a hypothesis. A flag asks; it refuses nothing.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Flag:
    """One way to leave a question open. Patterns are read whatever the case.

    Attributes:
        name: For messages and `--json`.
        fields: Keys of the answers that are read.
        betrays: What is missing, for the person who wrote it.
        question: What is asked next.
        says: Words that are a flag; empty for none.
        unless: Words beside them that say it after all: "overnight, 8 h" is a budget.
        wants: Words without which an answer is none; empty where it is judged by what it says alone.
    """

    name: str
    fields: tuple[str, ...]
    betrays: str
    question: str
    says: str = ""
    unless: str = ""
    wants: str = ""

    def is_in(self, text: str) -> bool:
        """Whether an answer raises it."""
        said = bool(self.says) and _has(text, self.says) and not (self.unless and _has(text, self.unless))
        return said or (bool(self.wants) and not _has(text, self.wants))


def _has(text: str, pattern: str) -> bool:
    return re.search(pattern, text, re.IGNORECASE) is not None


_NOTHING = r"^\W*(?:none|no|nope|nothing|nil|n/?a|-+)(?: really| at all| known| needed)?\W*$"
_AMOUNT = (
    r"\d\s*(?:%|percent|points?\b|σ|sigma|sd\b|nats?\b|bits?\b|x\b|times\b)"
    r"|(?:at (?:least|most)|by|below|above|under|over|than|within|exceeds?|reach(?:es)?|of|≤|≥|<=?|>=?|=)"
    r"\s*(?:about |~)?[-+]?\d|\d*\.\d+|\d+ or (?:more|less|fewer)"
    r"|\b(?:one|two|three|half|a third|a tenth|twice|double|halve[sd]?)\b.*"
    r"\b(?:points?|percent|deviations?|sigmas?|time|size|cost|nats?|seconds?|error|loss)\b"
    r"|\d\s*σ|\b(?:WINNER|LOSER|EQUIVALENT)\b|\b(?:doubl|halv|tripl)\w+"
    r"|\b(?:below|above|under|lower|higher|less|more|fewer|smaller|larger|better|worse|faster)\b.*\bp-value\b"
)
_P_VALUE = r"\bp(?:-value)?s?\s*(?:<=?|≤|=|below|under|of)\s*\d*\.\d+"
"""A test says that there is a difference, and not that it is worth having."""
_DIRECTION = (
    r"\b(?:low|high|small|larg|bigg|great|few|short|long|fast)(?:er|est)\b|\b(?:less|more) (?:is|than)\b"
    r"|\b(?:below|above|under)\b|\b(?:min|max)(?:imi[sz]e[sd]?|imum|imal)?\b"
    r"|\b(?:fall|rise|drop|grow|improv|reduc|increas|decreas|rais|gain)\w*|\bat (?:least|most)\b|[↓↑≤≥<>]"
)
_CLAIM = (
    r"\b(?:than|against|versus|vs|not|never|nothing|no (?:more|effect)|same|equal\w*|alike|only|every|each|all"
    r"|at (?:least"
    r"|most))\b"
    r"|\b(?:depend|cost|need|lower|rais|rais|increas|decreas|reduc|improv|help|hurt|harm|beat|win|lose|spread"
    r"|stay|learn"
    r"|reach|fail|match|exceed|compos|generali[sz]|transfer|converg|diverg|overfit|drop|fall|rise|grow|shrink|chang"
    r"|scale|saturat|differ|dominat|explain|matter|close|doubl|halv|unchanged|train|predict|outperform|degrad|worsen)\w*"
    r"|\b\w+(?:er|worse|better|best|most|less|more|fewer)\b|\d"
)

FLAGS = (
    Flag(
        "unknown",
        ("goal", "hypothesis", "data", "splits", "known_issues", "model", "baseline", "tuning", "metrics", "success",
         "constraints", "decision", "if_wrong"),
        "this is still open",
        "Who knows, and what must be looked up before the first run?",
        says=r"^\W*(?:the usual|hm+|undecided|not decided|tbd"
        r"|tba|todo|fixme|xxx|later|unclear|whatever|no idea|no clue|not (?:sure|yet)(?: yet)?"
        r"|unknown|skip)"
        r"\W*$|^\W+$|\b(?:don'?t|do not) know\b|\bto be (?:decided|determined|defined|seen)\b|\bnot sure yet\b"
        r"|\bno idea\b",
        unless=r"\bso (?:we|i)\b|\bbecause\b",
    ),
    Flag(
        "no_question",
        ("goal",),
        "whatever the result, it would answer nothing",
        "Which result would be useful, and which would be useless?",
        says=r"\bsee (?:what|how (?:it|they|this|that|well it) (?:do|go|work|look|behave|perform)|where it"
        r"|if (?:any|some)thing)"
        r"|\brun (?:it|this|them)(?: all)? and (?:see|look)|\b(?:we'?ll|we will|let'?s|i'?ll) (?:just )?see\b"
        r"|\bplay(?:ing)? (?:around|with)\b|\bmess(?:ing)? (?:around|with)\b|\bget (?:a|some) (?:feel|sense"
        r"|idea|intuition)\b"
        r"|\bwhat (?:comes out|sticks|happens)\b|\btry (?:it|things|stuff)\b|\binteresting\b|\ba bit\b"
        r"|\bcheck (?:it|this) out\b",
        wants=r"\?|\b(?:whether|which|how|what|when|where|why|who|does|do|is|are|can|if|measure|compar\w+"
        r"|quantify|estimate"
        r"|determine|decide|find|show|reproduce|replicate|prove|rank|choose|bound)\b",
    ),
    Flag(
        "asks",
        ("hypothesis",),
        "a question claims nothing",
        "Which answer do you expect, and what would show that it is wrong?",
        says=r"^(?:which|what|how|does|do|is|are|can|will|why)\b[^.;]*\?\s*$",
    ),
    Flag(
        "hope",
        ("hypothesis", "success", "goal"),
        "a hope cannot be wrong",
        "On which number, by how much, against what? What would show that it does not?",
        says=r"\bshould (?:just |simply |really |also )*(?:work|help|do|be (?:better|fine|good|ok(?:ay)?"
        r"|enough)|improve)\b"
        r"|\bhopefully\b|\bought to\b|\b(?:probably|surely|certainly|obviously) (?:work|help|better|win|improve)s?\b"
        r"|\b(?:might|may|could) (?:be (?:better|good|benefi\w+|useful|worth)|help|work|improve|win)\b"
        r"|\bfingers crossed\b"
        r"|\bhope(?:d)?\b|\b(?:i|we) (?:guess|suppose|bet|believe it)\b|\bsee what\b|\bwe(?:'ll| will) see\b"
        r"|\b(?:good|nice|great|promising) (?:results?|numbers?|performance)\b|^\W*(?:it|this"
        r"|that) (?:just )?(?:works|helps)\W*$",
        unless=r"\b(?:than|against|versus|vs\.?|below|above)\b|\d\s*%",
    ),
    Flag(
        "no_claim",
        ("hypothesis",),
        "no result could contradict it",
        "Which setting changes what, and in which direction?",
        says=rf"{_NOTHING}|\bno (?:expectations?|hypothes[ie]s|idea|opinion|assumptions?)\b|\b(?:don'?t"
        rf"|do not) have (?:one|a hypothesis)\b",
        wants=_CLAIM,
    ),
    Flag(
        "no_threshold",
        ("success",),
        "no number says when it is enough",
        "Which value of which metric would be enough, and which would not?",
        wants=_AMOUNT,
    ),
    Flag(
        "defaults",
        ("model", "tuning", "constraints"),
        "defaults were chosen for other data",
        "Which values does the result depend on, and why do they suit these data?",
        says=r"\bstandard \w+ settings\b|\bas in (?:the|their) (?:repo\w*|code|paper)\b"
        r"|\bdefaults?\b|\b(?:usual|standard|normal|same old|common) (?:one|model|settings?"
        r"|config(?:uration)?s?|values?"
        r"|hyper-?parameters?|setup|recipe)\b|\bout of the box\b|\bwhatever (?:the|it|they|is)\b"
        r"|\bstock (?:settings?|config\w*|values?)\b|\b(?:same|as) (?:\w+ )?as (?:always|ever|before|usual)\b"
        r"|\bwhatever runs\b|\b(?:ships?|comes?|came) with\b|\b(?:everybody|everyone|people|others) (?:use|do"
        r"|take)|\bas usual\b",
        unless=r"\d",
    ),
    Flag(
        "untuned_baseline",
        ("tuning",),
        "a difference may then come from the tuning",
        "How much was the baseline tuned, and how much the new one: same search, same budget?",
        says=r"\bun-?tuned\b|\b(?:not|never|n't)(?: been| be)? tuned\b|\b(?:no|without(?: any)?) tuning\b"
        r"|\bnothing was tuned\b"
        r"|\boff the shelf\b|\bout of the box\b|\bvanilla\b|\bas (?:published|released|(?:it )?is)\b"
        r"|\bfrom (?:the|their) (?:paper|repo\w*)\b"
        r"|\bonly (?:our|the new|the proposed|mine|ours)\b.*\btuned\b|\bonly (?:tuned|searched|optimi[sz]ed)\b",
        unless=r"\b(?:both|neither|each|every|all arms|same (?:search|budget|grid|sweep|number|settings?))\b",
        wants=r"\d|\b(?:both|neither|each|every|all|same|equal\w*|alike|nothing but|no other|one switch|grid"
        r"|sweep|trials?)\b",
    ),
    Flag(
        "off_the_shelf",
        ("baseline",),
        "a difference may then come from the tuning",
        "How much was the baseline tuned, and how much the new one: same search, same budget?",
        says=r"\bun-?tuned\b|\b(?:not|never|n't)(?: been| be)? tuned\b|\b(?:no|without(?: any)?) tuning\b"
        r"|\boff the shelf\b|\bout of the box\b|\bvanilla\b|\bas (?:published|released)\b",
        unless=r"\b(?:both|neither|each|same (?:search|budget|grid|sweep|number|settings?))\b",
    ),
    Flag(
        "no_baseline",
        ("baseline",),
        "a number by itself is neither good nor bad",
        "What would a reader compare it with: today's setting, a linear model, chance?",
        says=r"\bskip\b|^\W*(?:none|no|not|nope|nothing|n/?a|-+)\b(?!-)|^\W*$|\bno baseline\b"
        r"|\b(?:don'?t|do not|does not|doesn'?t) (?:have|need|compare|want)\b|\bnot (?:needed|necessary|applicable)\b"
        r"|\bisn'?t (?:any|one)\b|\b(?:will|to) add\b|\bnot available\b|\bnothing to compare\b"
        r"|\bcompare(?:d)? (?:it )?later\b",
        unless=r"\d|:|\bbut\b",
    ),
    Flag(
        "one_seed",
        ("metrics", "success", "constraints", "tuning"),
        "one run cannot tell the setting from its seed",
        "How many seeds can you afford (at least three), and which configurations would you drop for them?",
        says=r"(?<!than )(?<!not )\b(?:one|1|a single|single|just one|only one) (?:random )?(?:seed|run"
        r"|repetition|repeat|replicate)\b"
        r"(?! (?:takes|costs|needs|lasts|is\b|of \d))|\bseed (?:= ?)?\d+ only\b|\bonly seed\b|\bn ?= ?1\b"
        r"|\bseeds? ?[:=] ?1\b(?![,\d–-])"
        r"|\bno time for (?:more|several|other) seeds\b|\bfixed seed\b|\b(?:same|no) seed\b|\bone each\b"
        r"|\bonce (?:each|per)\b"
        r"|\bwithout (?:seeds|repetitions|repeats)\b|\bsingle-seed\b|\b(?:only|just) (?:have |got )?(?:time"
        r"|compute|money) for one\b",
    ),
    Flag(
        "no_direction",
        ("metrics",),
        "it does not say which way is better",
        "Is a smaller or a larger value better, for each of them?",
        wants=_DIRECTION,
    ),
    Flag(
        "best_of",
        ("metrics", "success"),
        "the best of several looks better than it is",
        "Which single number decides, over all seeds?",
        says=r"\b(?:best|top|luckiest) (?:of|seed|run|checkpoint|epoch|trial)s?\b|\bany of (?:the|these"
        r"|our) (?:metrics|numbers|scores)\b"
        r"|\bwhichever (?:metric|number|score)\b|\bsome (?:metric|number)\b"
        r"|\b(?:best|highest|lowest|top|max\w*|min\w*) (?:[\w-]+ )?(?:over|of|among|across|in|during) (?:all "
        r"|the |every )?(?:runs|seeds|checkpoints|epochs|steps|trials|training)\b"
        r"|\bat least one (?:metric|seed|run)\b",
        unless=r"\b(?:never|not) (?:of )?the best\b|\b(?:on|by) (?:the )?validation\b",
    ),
    Flag(
        "no_end",
        ("constraints",),
        "nothing says when it costs too much",
        "How many GPU or core hours may it cost, when is it needed, and what would you drop if that is not enough?",
        says=r"\bover ?night\b|\b(?:over|during) the (?:weekend|week-end|holidays?)\b|\bas long as (?:it|they"
        r"|we|needed)|\bunlimited\b"
        r"|\bno (?:limits?|constraints?|deadline|restrictions?)\b",
        unless=r"\d+(?:\.\d+)?\s*(?:h\b|hours?|min|days?|weeks?|gpu|core|cpu|runs)",
        wants=r"\d|\b(?:one|two|three|four|five|six|eight|ten|half an?|an|a dozen) (?:\w+[ -]){0,2}(?:hours?"
        r"|days?|nights?|weeks?|gpus?|cores?|minutes?|runs?)\b",
    ),
    Flag(
        "leak",
        ("splits", "data", "tuning", "known_issues"),
        "the test data may have been used for training or selection",
        "Which data decide when to stop and what to keep, and which are used only once, at the end?",
        says=r"\bvalidation (?:set )?(?:equals|is|=) (?:the )?test\b"
        r"|\b(?:tun\w+|select\w*|chos\w+|choos\w+|pick\w*|stopp?\w*|validat\w+|early stopping"
        r"|optimi[sz]\w+)\b[^.;,]{0,25}"
        r"\b(?:on|by|with|using) (?:the |our )?test\b|\bearly stopping[^.;,]{0,20}\btest\b|\btest (?:set|data"
        r"|split) (?:as|for) (?:the |our )?(?:validat|early|tun|select|choos|dev)"
        r"|\bno (?:separate )?(?:validation|dev|held-?out|test) (?:set|split|data)\b|\bno splits?\b"
        r"|\b(?:train\w*|test\w*|evaluat\w+|validat\w+) (?:and \w+ )?on (?:the )?(?:same|training|train|all)\b"
        r"|\bsame (?:data|set|rows|examples) for\b"
        r"|\b(?:random(?:ly)?|shuffled?) (?:split\w*)?[^.;]{0,30}"
        r"\b(?:frames?|time|days?|patients?|subjects?|users?|sentences?|windows?|series|videos?)\b",
        unless=r"\b(?:never|nothing|no test|by (?:patient|subject|user|video|day|time)|nothing is selected)\b",
    ),
    Flag(
        "no_split",
        ("splits",),
        "it does not say what the model has never seen",
        "Which rows are held out, what separates them, and who looks at them when?",
        says=_NOTHING,
        wants=r"\b(?:valid\w*|dev|test\w*|held|hold|fold\w*|anew|generated|simulated|unseen|never|split|published|independent"
        r"|separate\w*|new|fresh|disjoint)\b|\d",
    ),
    Flag(
        "unchecked",
        ("known_issues",),
        "nobody checked, or it does not say who did and for what",
        "Who checked, and for what: duplicates, wrong labels, missing values, one subject in two splits?",
        says=r"\b(?:never|not|haven'?t) looked\b|\beverything(?:'s| is)? (?:fine|ok|clean)\b"
        r"|^\W*(?:none|no|nope|nothing|n/?a|not|-+)\b|\bshould be (?:clean|fine|ok(?:ay)?|good)\b"
        r"|\b(?:looks?|seems?|probably|is|are) (?:clean|fine|ok(?:ay)?|good|al ?right)\b|\bso (?:it'?s )?fine\b"
        r"|\b(?:don'?t|do not) (?:think|believe|expect)\b|\bnot that (?:i|we)\b",
        unless=r"\d|\b(?<!never )(?<!not )"
        r"(?:look|check|hash|search|count|inspect|audit|verif|compar|remov|drop|dedup|test|scan)\w*",
    ),
    Flag(
        "until_it_works",
        ("if_wrong",),
        "searching until something works always finds something",
        "What will you do, and whom will you tell, if it does not hold?",
        says=r"\btweak\w*|\b(?:can'?t|cannot|won'?t|will not) fail\b"
        r"|\b(?:try|retry|add|run|use|take|increas\w+|collect)\b(?: \w+){0,4}? (?:again|more|other|another"
        r"|further|different|larger|number of|seeds)\b"
        r"|\b(?:re)?try (?:again|harder)\b|^\W*(?:then )?(?:we )?re-?run (?:it|this)\b|\blook (?:deeper|closer"
        r"|further)\b|\buntil the (?:effect|result|difference)\b|\buntil it (?:works|does|is|holds)\b|\b(?:tune"
        r"|tuning)\b(?: it| them)? (?:more|further|until|harder)\b"
        r"|\b(?:won'?t|will not|can'?t|cannot|could not|couldn'?t) (?:be|happen|go)(?: wrong)?\b"
        r"|\banother (?:metric|subset|number|test)\b"
        r"|\b(?:metric|subset|setting|seed) (?:where|for which|that|in which)\b|\b(?:impossible|strange"
        r"|unlikely|surpris\w+)\b|\bdebug\b|\bfix it\b|\bbug\b"
        r"|\b(?:leave out|drop|remove|exclude) (?:the )?(?:bad|outlying|failed|worst|odd)?\s?(?:runs?|seeds?"
        r"|outliers?)\b",
        unless=r"\b(?:will|do) not (?:try|add|run|tune)\b|\bnot try\b|\bthen stop\b|\bfurther_seeds\b"
        r"|\breport\b|\bpublish\b",
    ),
    Flag(
        "no_way_out",
        ("if_wrong",),
        "nothing would follow from it",
        "What will you do, and whom will you tell, if it does not hold?",
        says=rf"{_NOTHING}|^\W*(?:too bad|bad luck|shrug|give up|cry|that'?s it|we'?ll see)\W*$",
    ),
    Flag(
        "no_decision",
        ("decision",),
        "the result would change nothing",
        "What will you do for each outcome?",
        says=r"\bcurious|\bcuriosity\b|\bgood to know\b|^\W*(?:none|no|nothing)(?: really| at all"
        r"| in particular)?\W*$|\bsee what\b",
        wants=r"\b(?:whether|which|who|what|if|or|else|unless|instead|rather|depend\w*|how (?:many|much|long"
        r"|large)|when|otherwise)\b",
    ),
    Flag(
        "evasion",
        ("goal", "hypothesis", "data", "splits", "known_issues", "model", "baseline", "tuning", "metrics", "success",
         "constraints", "decision", "if_wrong"),
        "it does not answer what is asked",
        "What would a stranger have to know of it to judge the result?",
        says=r"^\W*(?:(?:we'?ll |let'?s |i'?ll )?(?:just )?(?:run|try) (?:it|this|them)(?: all)?(?: and see.*)?"
        r"|(?:just )?(?:use |take |with )?(?:the |all |its )?defaults?(?: (?:settings|values|config\w*))?"
        r"|(?:it|this|that|they)? ?(?:should|will)(?: just| simply| probably)? (?:work|be fine|be ok(?:ay)?)"
        r"|(?:run it )?over ?night|asap|as soon as possible|as usual|anything(?: goes)?)\W*$",
    ),
)  # fmt: skip
"""Every rule; `tests/core/question/test_vague.py` holds them against answers of both kinds."""


@dataclass(frozen=True)
class Facts:
    """What the experiment's YAML itself says of the question.

    Attributes:
        seeds: Runs one configuration can have, further seeds included.
        has_baseline: Whether anything is compared.
        has_direction: Whether the primary metric says which way is better.
        has_meaningful: Whether the difference worth having is declared.
    """

    seeds: int
    has_baseline: bool
    has_direction: bool
    has_meaningful: bool


def find_flags(field: str, answer: str, names: Sequence[str] = ()) -> tuple[Flag, ...]:
    """Find what an answer leaves open.

    Args:
        field: Key of the question.
        answer: In the user's words.
        names: Swept parameters: ``rank 16`` is a configuration, no threshold.
    """
    text = answer.replace("’", "'")
    if field == "success":
        text = re.sub(_P_VALUE, "p-value", _without_settings(text, names), flags=re.IGNORECASE)
    found = tuple(one for one in FLAGS if field in one.fields and one.is_in(text))
    return found[:-1] if len(found) > 1 and found[-1] is FLAGS[-1] else found  # the others ask for something nearer


def _without_settings(text: str, names: Sequence[str]) -> str:
    """Take configurations out: ``rank 16``, ``lora_rank=16``, ``a learning rate of 1e-3``."""
    for name in names:
        parts = re.split(r"[_.]", name)
        words = sorted({re.escape(name), r"[ _-]".join(map(re.escape, parts)), re.escape(parts[-1])}, key=len)
        text = re.sub(rf"\b(?:{'|'.join(words[::-1])})(?: of)?\s*=?\s*[-+]?\d[\w.+-]*", " ", text, flags=re.IGNORECASE)
    return text


def flags_of_experiment(facts: Facts) -> tuple[Flag, ...]:
    """Find what the YAML leaves open, whatever the answers say."""
    lacks = {
        "one_seed": facts.seeds < 2,
        "no_baseline": not facts.has_baseline,
        "no_direction": not facts.has_direction,
        "no_threshold": not facts.has_meaningful,
    }
    by_name = {one.name: one for one in FLAGS}
    return tuple(by_name[name] for name, is_lacking in lacks.items() if is_lacking)
