"""``hpc <verb>``: the same commands as ``python -m hpc.<verb>``, loaded when they are called."""

import gc
import importlib

import click

COMMANDS = {
    "init": "Make this repository ready: an experiment that runs its own program.",
    "brief": "Ask what an experiment is to find out, and write its brief.",
    "plan": "Check an experiment, freeze its manifest, write the Slurm scripts.",
    "doctor": "Look whether all that runs need is there; say how to mend it.",
    "submit": "Submit what is not done yet, to Slurm or to this machine.",
    "ls": "List the experiments: age, counts, best value, held or followed.",
    "status": "Show where an experiment stands.",
    "logs": "Show what a task printed, follow it, or search the logs of all runs.",
    "collect": "Gather, classify and record every run; retry what can be healed.",
    "follow": "Follow an experiment until nothing is left: collect, retry, report.",
    "hold": "Hold an experiment or single tasks: nothing more starts.",
    "release": "Release what is held, in Slurm and in this machine's queue.",
    "cancel": "Cancel what waits or runs, and the unattended loop.",
    "clean": "Make room: say what can go and what stays, then remove it.",
    "archive": "Archive an experiment as one file that can be checked and restored.",
    "usage": "Show what the runs used of what they asked for, and what would do.",
    "report": "Build the statistical report from what was collected.",
    "history": "Keep the experiment log: record runs, ask what was tried.",
    "export": "Export results to wandb, TensorBoard, MLflow, tables or folders.",
    "sync": "Send offline wandb runs; repeat it as often as you like.",
    "adopt": "Take in runs that were made without this toolkit.",
    "shell": "Open a shell where a run ran: its container, code and folder.",
    "why": "Explain a failure: a task, a Slurm job, an attempt or a log file.",
}
"""Verb → one line of help, kept here so that `hpc --help` loads none of them; a test holds it against the commands."""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are needed."""

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
        command.epilog = (command.epilog or "").replace("python -m hpc.", "hpc ")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Say which verb was nearest to one that is none."""
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            from hpc.core.errors import nearest

            ctx.fail(f"there is no command '{args[0]}'; {nearest(args[0], list(COMMANDS))}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(cls=LazyGroup, epilog="Example: hpc plan lora_sweep --cluster lab")
@click.version_option(package_name="hpc-batch", prog_name="hpc")
def main() -> None:
    """From one YAML experiment to a Slurm array in containers, healed failures and an honest report."""


if __name__ == "__main__":
    main()
