"""Which files look as if they held a secret: by their names, and by what stands in them. Pure."""

import re
from fnmatch import fnmatchcase
from pathlib import PurePath

MOST_BYTES = 1 << 20
"""So much of a file's beginning is looked at."""

_NAMES = (
    ".env", ".env.*", "*.env", ".envrc", ".netrc", "_netrc", ".pgpass", ".git-credentials", ".npmrc", ".pypirc",
    ".htpasswd",
    "*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.kdbx", "*.ppk", "*.keytab", "id_rsa*", "id_dsa*", "id_ecdsa*",
    "id_ed25519*", "credentials", "credentials.*", ".credentials*", "kaggle.json", "service_account*.json",
    "client_secret*.json", "secrets.*", ".wandb_api_key", "wandb_key*", "hf_token*",
)  # fmt: skip
_FOLDERS = frozenset({".aws", ".ssh", ".gnupg", ".kube", ".docker", ".azure", ".gcloud"})
_HARMLESS = ("*.pub", "*.py", "*.md", "*.rst", "*.example", "*.sample", "*.template", "*.dist", "*.j2")
_CONTENTS = {
    "a Hugging Face token": rb"\bhf_[A-Za-z0-9]{30,}",
    "a GitHub token": rb"\bgh[pousr]_[A-Za-z0-9]{36}|\bgithub_pat_\w{40,}",
    "a GitLab token": rb"\bglpat-[\w-]{20}",
    "an AWS key": rb"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "a Google key": rb"\bAIza[\w-]{35}",
    "a Slack token": rb"\bxox[abprs]-[\w-]{20}",
    "an API key": rb"\bsk-(?:ant-|proj-)?[A-Za-z0-9_-]{32,}",
    "a Weights & Biases key": rb"(?i)\bwandb_api_key\b[\"']?\s{0,9}[=:]\s{0,9}[\"']?[0-9a-f]{40}\b",
    "a private key": rb"-----BEGIN (?:[A-Z]{2,9} ){0,3}PRIVATE KEY-----",
}
_ANY = re.compile(b"|".join(b"(?:%s)" % pattern.replace(b"(?i)", b"") for pattern in _CONTENTS.values()), re.IGNORECASE)


_WORDS = frozenset({
    "KEY", "APIKEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "CREDENTIAL", "CREDENTIALS",
})  # fmt: skip


def names_secret(variable: str) -> bool:
    """Whether an environment variable is called as secrets are: ``HF_TOKEN``, ``WANDB_API_KEY``."""
    return bool(_WORDS & set(variable.upper().split("_")))


def looks_secret(name: str, content: bytes) -> str:
    """Why a file looks like a secret, such as ``its name`` or ``holds a GitHub token``; empty where it does not.

    Args:
        name: Path inside the project.
        content: Its beginning, `MOST_BYTES` at most.
    """
    path = PurePath(name)
    own = path.name.lower()
    is_harmless = any(fnmatchcase(own, pattern) for pattern in _HARMLESS)
    if _FOLDERS & {part.lower() for part in path.parts[:-1]}:
        return "its folder"
    if not is_harmless and any(fnmatchcase(own, pattern) for pattern in _NAMES):
        return "its name"
    if _ANY.search(content) is None:  # one search for all: case and kind are asked of the few that remain
        return ""
    return next((f"holds {kind}" for kind, pattern in _CONTENTS.items() if re.search(pattern, content)), "")


def hide_secrets(text: str) -> str:
    """A text with ``***`` in the place of whatever in it looks like a key or token."""
    return _ANY.sub(b"***", text.encode("utf-8", "surrogateescape")).decode("utf-8", "replace")
