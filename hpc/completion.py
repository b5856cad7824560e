"""Print the script by which a shell completes ``hpc``: verbs, options, experiments, tasks, clusters.

eval "$(hpc completion bash)"

in ~/.bashrc; ~/.zshrc takes the same with zsh; for fish: hpc completion fish > ~/.config/fish/completions/hpc.fish
"""

import os
from pathlib import Path

import click

from hpc.console import json_option, print_json, show_text, speaks_plainly
from hpc.core.errors import EXIT_DONE, InputError, nearest

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_HPC_COMPLETE"
"""By which the script asks ``hpc`` what to offer; click has made it of the command's name."""


@click.command(epilog="Example: python -m hpc.completion bash >> ~/.bashrc")
@click.argument("shell", required=False, metavar="[bash|zsh|fish]", shell_complete=lambda *_: list(SHELLS))
@json_option
@speaks_plainly
def main(shell: str | None, as_json: bool) -> int:
    """Print the script that completes `hpc` in a SHELL (default: that of $SHELL)."""
    name = shell or Path(os.environ.get("SHELL", "")).name or "nothing"
    if name not in SHELLS:
        asked = "" if shell else "$SHELL is "
        raise InputError(f"{asked}{name}: completion is for bash, zsh and fish; {nearest(name, SHELLS)}")
    script = script_of(name)
    if as_json:
        print_json({"shell": name, "script": script})
    else:
        show_text(script)
    return EXIT_DONE


def script_of(shell: str) -> str:
    """The script of a shell, as click has it."""
    from click import shell_completion as known

    kinds = {"bash": known.BashComplete, "zsh": known.ZshComplete, "fish": known.FishComplete}
    kind = kinds[shell](click.Command("hpc"), {}, "hpc", VARIABLE)
    return str(kind.source_template % kind.source_vars()).strip()


if __name__ == "__main__":
    main()
