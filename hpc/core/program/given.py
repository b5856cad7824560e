"""What a person's own job script gives a first experiment: arguments, values to compare, resources, the site."""

from collections.abc import Mapping

from hpc.core.immutable import field, immutable


@immutable
class Given:
    """How one script starts the program.

    Attributes:
        script: The script, relative to the project.
        words: The arguments it gives, as they stand in a command: quoted, with placeholders for what varies.
        names: The arguments by name, dashes written as underscores.
        grid: Parameter → its values, as written: of loops that are not over seeds.
        in_step: Whether the values of `grid` go in step, one of each a run, and are not crossed.
        seeds: Of a loop over seeds, or of the job array; empty without one.
        open: Parameters whose value the script computes.
        launcher: What starts several processes of it; empty where nothing does.
        resources: For `resources`, as YAML values.
        site: For a site's profile: partition, account and so on.
        setup: For a site's profile: lines that prepare the node.
        others: How many other scripts start it, too.
        starts: How often this one does; what stands here is one of them.
    """

    script: str
    words: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    grid: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    in_step: bool = False
    seeds: tuple[int, ...] = ()
    open: tuple[str, ...] = ()
    launcher: str = ""
    resources: Mapping[str, str | int] = field(default_factory=dict)
    site: Mapping[str, str] = field(default_factory=dict)
    setup: tuple[str, ...] = ()
    others: int = 0
    starts: int = 1
