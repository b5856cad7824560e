"""submitit's Slurm executor for one small job that runs a command line: its options, its script, its submission.

A job of submitit's own reads a pickle that is put into its place only after sbatch answered: who dies in between leaves
a job that waits for it in vain. This one needs nothing but its script.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Submit = Callable[[Path], str]
"""sbatch: a script in, a job id out."""


def submit_command(folder: Path, script: Path, command: str, options: Mapping[str, Any], submit: Submit) -> str:
    """Render the script of a job with submitit and submit it; give the job id.

    Args:
        folder: Where its output goes, and submitit's files.
        script: File to write.
        command: Shell text of the job.
        options: Parameters of `submitit.SlurmExecutor`.
        submit: Calls sbatch; what it raises is raised here.
    """
    import submitit

    class CommandExecutor(submitit.SlurmExecutor):
        """Submits a script of ours, by a client of ours that has a time-out and knows Slurm's refusals."""

        def submit_command(self) -> str:
            script.write_text(self._make_submission_file_text(command, script.stem), encoding="utf-8")
            return submit(script)

    folder.mkdir(parents=True, exist_ok=True)
    executor = CommandExecutor(folder=folder)
    executor.update_parameters(**options)
    return executor.submit_command()
