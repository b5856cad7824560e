"""Numbers: NaN in the input is the data's fault, NaN in the loss the run's."""

from hpc.core.failures.evidence import FailureClass
from hpc.core.failures.rule import Role, Rule, Tier, named, row

F = FailureClass

_UNSTABLE = (
    r"\blost atoms: original|non-numeric (?:atom|pressure|box|temperature)|out of range atoms"
    r"|bond atoms? \S.{0,40}missing"
    r"|too many (?:LINCS|SETTLE) warnings|LINCS WARNING\b|can ?not be settled|atoms? (?:is |are )?moving too fast"
    r"|(?:simulation|system|integration|solution|run|solver) (?:has become|became|is|went"
    r"|may be) (?:numerically )?unstable"
    r"|(?:simulation|system) (?:is |has )?(?:blow(?:ing|n)|blew) up|particle coordinates? is nan"
    r"|coordinate\w* (?:is|are) nan"
    r"|\bvlimit exceeded|constraint failure in RATTLE|coordinate resetting .{0,20}cannot be accomplished"
    r"|points exceeded cfl|\bcfl\b.{0,40}(?:exceed|violat|too (?:large|high)|> ?1)"
    r"|courant (?:number |limit |condition )?.{0,40}(?:exceed|too|violat)|\bhas (?:an )?invalid value nan\b"
    r"|\binvalid value nan at\b"
    r"|DIVERGED_(?:NANORINF|DTOL|BREAKDOWN)|nan or inf norm|Foam::sigFpe|floating point exception|floating invalid"
    r"|\bsolver bl(?:ew|own) up|\bcfl ?[=:] ?\d[\d.]*e\+\d|\bSIGFPE\b|negative (?:density|pressure|energy"
    r"|jacobian|volume)\b.{0,40}(?:cell|element|zone|detected|found|at )"
    r"|(?:time ?step|\bdt\b).{0,30}(?:too small|below (?:the )?(?:minimum|limit)|underflow|went to zero)"
    r"|domain decomposition .{0,80}shifted too much|solution (?:has )?diverged|\bdivergence detected\b"
)

EARLY: tuple[Rule, ...] = (
    row(
        "divergence-simulation", F.DIVERGENCE, "unstable",
        _UNSTABLE,
        "the simulation became numerically unstable",
        "whether the time step, the initial state or the input caused it",
        confidence=0.85,
    ),
)  # fmt: skip
"""Asked right after the rows about memory."""

ROWS: tuple[Rule, ...] = (
    row(
        "data-not-a-number", F.DATA, "nan_in_input",
        r"\b(?:labels?|targets?|features?|columns?|inputs?|data|x|y)\b.{0,24}\bcontains?\b.{0,12}\b(?:nan"
        r"|infinity|null)"
        r"|input (?:\w+ )?contains (?:nan|infinity)|(?:nan|non-finite|inf)s? (?:values? )?(?:were )?(?:found"
        r"|detected|present)? ?in (?:the )?(?:input|raw|source|data)\b ?(?:file|set|batch|tensor|array)?|(?:data"
        r"|input)(?:set)? (?:file )?\S{0,80} ?(?:contains|has) (?:\d+ )?(?:nan|non-finite)",
        "the input contains values that are not numbers",
        "whether the model would train well without them",
        role=Role.BAD_INPUT,
    ),
    row(
        "divergence-guard", F.DIVERGENCE, "guard",
        r"(?:training|loss|model|run) (?:has )?diverged|"
        + named(r"NaN|Nan|NonFinite|NotFinite|Diverge|FloatingPoint"),
        "the program's own guard saw a loss or gradient that is not finite",
        "why: learning rate, data order and precision all do this",
        confidence=0.97,
    ),
    row(
        "divergence-loss-not-finite", F.DIVERGENCE, "loss",
        r"loss is (?:nan|inf\b|infinite|not finite|non-finite)|loss became (?:infinite|nan|inf)|(?:nan|inf|invalid"
        r"|non-finite|infinite) loss\b(?!.{0,30}skip)|loss returned in `training_step` is nan|non-finite (?:loss"
        r"|gradients?)|loss (?:exploded|has become nan)|lossnan",
        "a loss that is not a finite number stopped the program",
        "its cause",
    ),
    row(
        "divergence-ended-it", F.DIVERGENCE, "stopped",
        r"\b(?:nans?|infs?|non-?finite|diverg(?:ed|ence|ing)|blow\w* up|blew up|unstable)\b.{0,80}\b(?:abort"
        r"|stopping|stopped"
        r"|terminat(?:ing|ed)|giving up|exiting|quitting|killing|leaving|halting"
        r"|break\w* out)\w{0,3}\b(?!.{0,40}(?:skip|retry|batch|worker"
        r"|member))"
        r"|\b(?:abort|stopp|terminat|exit)\w{2,3}\b.{0,60}\b(?:nans?|non-?finite|diverg(?:ed|ence)|blew up"
        r"|blow-up)\b",
        "the program ended itself because its numbers were not finite, or left all bounds",
        "why: step size, initial state, precision and input all do this",
        confidence=0.85,
    ),
    row(
        "divergence-gradient-not-finite", F.DIVERGENCE, "gradient",
        r"found (?:nan|inf) in (?:local )?(?:grad|forward loss|params)|(?:gradients?|grad norm"
        r"|norm of order \S+) .{0,60}(?:is|are) (?:nan|non-finite|infinite)"
        r"|returned nan values in its \d+th output|nan (?:and/or inf )?(?:values )?(?:detected|found) in (?:grad"
        r"|param|weight|layer|`|model)|detected nan and/or inf values in",
        "gradients or activations are not finite",
        "which step made them so",
    ),
    row(
        "divergence-loss-scale", F.DIVERGENCE, "loss_scale",
        r"loss scale already at minimum|minimum loss scale reached|loss scale .{0,40}(?:below"
        r"|reached) (?:the )?minim",
        "mixed precision found no scale at which gradients stay finite",
        "whether the run diverges in full precision too",
    ),
    row(
        "divergence-scale-vanished", F.DIVERGENCE, "loss_scale",
        r"ZeroDivisionError",
        "the loss scale was halved until it reached zero",
        "whether the run diverges in full precision too",
        near=r"reducing loss scale to \S*e-\d|loss scale: 0\.0\b",
        confidence=0.85,
    ),
    row(
        "divergence-bad-probabilities", F.DIVERGENCE, "distribution",
        r"probability tensor contains either `?inf`?, `?nan`?|found invalid values:"
        r"|invalid value \(nan\) encountered|unexpected result (?:nan|inf)|tensor had (?:nan|inf)"
        r"|parameter contains nan",
        "values that are not finite reached a distribution or a checked operation",
        "whether training made them: the input may hold them",
        confidence=0.85,
    ),
    row(
        "divergence-words", F.DIVERGENCE, "words",
        r"\b(?:loss|gradients?|energ\w{1,4}|kl\w{0,12}|divergence|grad[_ ]norm|logits?|weights?|activations?"
        r"|rewards?)\b.{0,40}"
        r"\b(?:is|are|contains?|became|becomes|has|have|turned|went)\b.{0,12}\b(?:nans?|inf|infinite|non-?finite)\b"
        r"|\b(?:nans?|infs?|non-?finite values?)\b (?:or inf )?(?:values? )?(?:was |were )?(?:detected|found"
        r"|encountered|occurred)?"
        r" ?in (?:the )?(?:loss|grad|energ|activation|logit|weight|param|output|model)|\bnan loss\b"
        r"|there are nan or inf|num_nan=[1-9]",
        "the program says that a quantity of the training is not finite",
        "whether this is what ended it",
        tier=Tier.FAULT,
        needs_failure=True,
        confidence=0.75,
    ),
)  # fmt: skip
