"""The table of what logs say when something went wrong: one row a message, most specific first. Data, no procedure.

A line is given to the first row that recognises it, so the order is part of the table: messages that name a cause
stand above the words of launchers and of other ranks, those above exceptions of no special meaning. Which of several
recognised lines decides is not settled here but in `hpc.core.failures.classify`.

To add a rule: add a row to the family it belongs to (`hpc/core/failures/rules/`), and a log in ``tests/corpus`` that
fires it (a test fails until there is one).
"""

from hpc.core.failures.rule import Rule
from hpc.core.failures.rules import (
    asked,
    container,
    data,
    ended,
    files,
    hardware,
    last,
    memory,
    numbers,
    program,
    ranks,
    schedulers,
    surroundings,
)  # fmt: skip

LOG_RULES: tuple[Rule, ...] = (
    *memory.ROWS,
    *surroundings.EARLY, *hardware.EARLY, *schedulers.ROWS,
    *ended.EARLY, *asked.EARLY, *numbers.EARLY, *ranks.EARLY, *data.EARLY,
    *program.EARLY,
    *numbers.ROWS,
    *hardware.ROWS,
    *ended.ROWS,
    *container.ROWS,
    *surroundings.ROWS,
    *files.ROWS,
    *asked.ROWS,
    *data.ROWS,
    *ranks.ROWS,
    *program.ROWS,
    *last.ROWS,
)  # fmt: skip
