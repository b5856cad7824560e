"""The container's command line: everything that protects it stands there, and no value of a variable does."""

from hpc.adapters.apptainer import Image, container_environment, exec_argv

IMAGE = Image("apptainer", "/images/train.sif", ("/data:/data:ro",), (("/runs/a,b:c", True), ("/runs/t", False)))


def test_the_whole_line():
    """Closed environment, no evaluation, own process ids, our folders mounted, the site's bound, then the program."""
    assert exec_argv(IMAGE, ("python", "-c", "$(x)"), working_folder="/runs/code", gpus=2) == (
        "apptainer", "-q", "exec", "--cleanenv", "--no-eval", "--no-home", "--pid", "--nv",
        "--mount", 'type=bind,"source=/runs/a,b:c","destination=/runs/a,b:c",ro',
        "--mount", 'type=bind,"source=/runs/t","destination=/runs/t"',
        "--bind", "/data:/data:ro", "--pwd", "/runs/code", "/images/train.sif", "python", "-c", "$(x)",
    )  # fmt: skip
    assert "--nv" not in exec_argv(IMAGE, ("x",), working_folder="/", gpus=0)


def test_variables_pass_by_environment():
    """A secret's value is in no argument: it goes in under the prefix that passes --cleanenv."""
    assert container_environment({"WANDB_API_KEY": "private"}) == {"APPTAINERENV_WANDB_API_KEY": "private"}
