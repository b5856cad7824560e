"""What an experiment asks of its surroundings, as far as a check-up looks at it."""

from collections.abc import Mapping

from hpc.core.immutable import field, immutable
from hpc.core.resources import Resources


@immutable
class Needs:
    """An experiment as its surroundings see it.

    Attributes:
        name: Of the experiment.
        tasks: How many there are.
        resources: The different amounts that tasks ask for.
        modules: What its program imports and is neither Python's nor the project's own, as far as can be told.
        image: As the experiment names it; None on the host.
        runtime: ``apptainer`` or ``pyxis``.
        inputs: Where → what is linked there, absolute.
        binds: Of profile and experiment, as they are written.
        paths: Argument → absolute path among its values.
        wandb_mode: ``online``, ``offline``, or ``disabled`` where runs are not tracked.
        recorded_image: Path and SHA-256 of the image as it was planned last; empty where it was not.
    """

    name: str
    tasks: int
    resources: tuple[Resources, ...]
    modules: tuple[str, ...] = ()
    image: str | None = None
    runtime: str = "apptainer"
    inputs: Mapping[str, str] = field(default_factory=dict)
    binds: tuple[str, ...] = ()
    paths: Mapping[str, str] = field(default_factory=dict)
    wandb_mode: str = "offline"
    recorded_image: tuple[str, str] = ("", "")

    @property
    def gpus(self) -> int:
        """Most GPUs a task asks for on a node."""
        return max((each.gpus for each in self.resources), default=0)

    @property
    def time_s(self) -> int:
        """Longest time limit a task asks for."""
        return max((each.time_s for each in self.resources), default=0)

    @property
    def disk_mib(self) -> int:
        """Room that all runs need, as declared; the largest amount for each."""
        return self.tasks * max((each.disk_mib for each in self.resources), default=0)

    @property
    def uses_torch(self) -> bool:
        """Whether its program trains with PyTorch."""
        return bool({"torch", "accelerate", "deepspeed"} & set(self.modules))
