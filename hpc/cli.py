"""``hpc <verb>``: the same commands as ``python -m hpc.<verb>``, loaded when they are called."""

import gc
import importlib
import os
import sys
from typing import Any

import click
from click.shell_completion import CompletionItem

COMMANDS = {
    "init": "Set up this repository: write an experiment for its own program.",
    "brief": "Ask what an experiment should find out, and write its brief.",
    "plan": "Check an experiment, freeze its manifest, write the Slurm scripts.",
    "doctor": "Check that everything runs need is in place, and say how to fix it.",
    "submit": "Submit the tasks that are not done yet, to Slurm or this machine.",
    "ls": "List the experiments: age, counts, best value, held or followed.",
    "dash": "Write one page of all experiments, to look at in a browser.",
    "status": "Show where an experiment stands.",
    "logs": "Show what a task printed, follow it, or search the logs of all runs.",
    "collect": "Collect, classify and record every run; retry what can be healed.",
    "follow": "Follow an experiment until nothing is left: collect, retry, report.",
    "hold": "Hold an experiment or single tasks: nothing more starts.",
    "release": "Release held tasks, in Slurm and in this machine's queue.",
    "cancel": "Cancel waiting and running tasks, and the unattended loop.",
    "clean": "Free disk space: show what can be removed, then remove it.",
    "archive": "Archive an experiment as one file that can be checked and restored.",
    "usage": "Compare the resources used with those requested, and suggest values.",
    "report": "Build the statistical report from the collected results.",
    "history": "Keep the experiment log: record runs, ask what was tried.",
    "export": "Export results to wandb, TensorBoard, MLflow, tables or folders.",
    "sync": "Send offline wandb runs; safe to repeat.",
    "adopt": "Import runs that were made without this toolkit.",
    "shell": "Open a shell where a run ran: its container, code and folder.",
    "completion": "Print the completion script for a shell.",
    "reproduce": "Make a run again from its records, and compare the two.",
    "mcp": "Offer the commands as tools to an assistant that speaks MCP.",
    "why": "Explain a failure: a task, a Slurm job, an attempt or a log file.",
}
"""Verb → one line of help, kept here so that `hpc --help` loads none of them; a test holds it against the commands."""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are needed."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run; when a shell asks what to offer, nothing but an answer reaches its prompt, whatever is wrong."""
        if "_HPC_COMPLETE" not in os.environ:
            return super().main(*args, **kwargs)
        try:
            return super().main(*args, **kwargs)
        except Exception:
            sys.exit(1)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Offer verbs from the table, so that none of them is loaded, and options."""
        verbs = [CompletionItem(name, help=line) for name, line in COMMANDS.items() if name.startswith(incomplete)]
        return verbs + click.Command.shell_complete(self, ctx, incomplete)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every verb, in the order of the road."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one verb; None when there is no such verb."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        gc.disable()  # modules stay: looking for garbage among them is a quarter of the time that loading takes
        try:
            command: click.Command = importlib.import_module(f"hpc.{cmd_name}").main
        finally:
            gc.enable()
        command.name = cmd_name
        for each in (command, *getattr(command, "commands", {}).values()):
            each.epilog = (each.epilog or "").replace("python -m hpc.", "hpc ")
            each.help = (each.help or "").replace("python -m hpc.", "hpc ")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Say which verb was nearest to one that is none."""
        if not ctx.resilient_parsing and args[0] not in COMMANDS and not args[0].startswith("-"):
            from hpc.adapters.terminal import width_of
            from hpc.core.breaking import broken
            from hpc.core.errors import nearest

            said = f"Error: there is no command '{args[0]}'; {nearest(args[0], list(COMMANDS))}"
            if sys.stderr.isatty():
                said = broken(said, width_of(sys.stderr))
            ctx.fail(said.removeprefix("Error: "))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(cls=LazyGroup, epilog="Example: hpc plan lora_sweep --cluster lab")
@click.version_option(package_name="hpc-batch", prog_name="hpc")
def main() -> None:
    """Turn one YAML experiment into a Slurm array in containers, heal failures and write an honest report."""


if __name__ == "__main__":
    main()
