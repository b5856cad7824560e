"""Files that look like secrets are known by name and content; what only sounds like one is not."""

import pytest

from hpc.core.credentials import looks_secret

# Put together here, so that this file itself holds nothing that looks like one.
TOKENS = {
    "a Hugging Face token": "hf_" + "aB3" * 12,
    "a GitHub token": "ghp_" + "a1B2" * 9,
    "a GitLab token": "glpat-" + "x_-9" * 5,
    "an AWS key": "AKIA" + "ABCD" * 4,
    "a Google key": "AIza" + "aB_-3" * 7,
    "a Slack token": "xoxb-" + "12345-" * 5,
    "an API key": "sk-ant-" + "aB3_" * 10,
    "a Weights & Biases key": "WANDB_API_KEY=" + "0a1b" * 10,
    "a private key": "-----BEGIN OPENSSH " + "PRIVATE KEY-----",
}


@pytest.mark.parametrize(
    "name",
    [
        ".env", "deploy/.env", ".env.production", "prod.env", ".netrc", "server.pem", "tls/server.key", "id_rsa",
        "id_ed25519", "credentials", "credentials.json", ".aws/config", "home/.ssh/known_hosts", "kaggle.json",
        "secrets.yaml", "KAGGLE.JSON", ".git-credentials", ".pypirc", "client_secret_1.json",
    ],
)  # fmt: skip
def test_a_name_tells(name: str) -> None:
    """Files that keys, tokens and passwords are usually kept in are known without a look inside."""
    assert looks_secret(name, b"")


@pytest.mark.parametrize(
    "name",
    [
        "train.py", "environment.yaml", ".env.example", "id_rsa.pub", "credentials.py", "keyboard.json", "monkey.txt",
        "docs/secrets.md", "tokenizer.json", "token_counts.csv", "config.yaml",
    ],
)  # fmt: skip
def test_an_ordinary_name_does_not(name: str) -> None:
    """Sources, examples, public keys and tokenizers are copied."""
    assert looks_secret(name, b"api_key = os.environ['KEY']  # hf_hub, sk-learn, AKIA") == ""


@pytest.mark.parametrize(("kind", "token"), TOKENS.items())
def test_a_token_inside_tells(kind: str, token: str) -> None:
    """A token in any file is found, by its kind."""
    assert looks_secret("config.yaml", f'x = 1\nkey = "{token}"\n'.encode()) == f"holds {kind}"


def test_looking_is_linear() -> None:
    """Beginnings of tokens without end cost no more than their length (a hang would end the test)."""
    for unit in ("sk-", "hf_", "xoxb-", "wandb_api_key ", "-----BEGIN ", "A" * 9 + " "):
        assert looks_secret("a.txt", (unit * (1 << 18)).encode()[: 1 << 20]) in (
            "",
            "holds an API key",
            "holds a Slack token",
        )
