"""A bill of materials (CycloneDX 1.5) of a lock: what `make setup` installs, by version, archive and licence.

    python scripts/sbom.py locks/all.txt > build/sbom.json

Licences are those that the packages installed here state of themselves; a package that is not installed has none.
"""

import importlib.metadata
import json
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

LINE = re.compile(r"(?P<name>[a-z0-9-]+)==(?P<version>\S+) --hash=sha256:(?P<sha256>[0-9a-f]{64})")


def components(lock: str) -> list[dict[str, Any]]:
    """One component a line.

    Raises:
        ValueError: A line is none of a lock.
    """
    found = []
    for line in lock.splitlines():
        if not line or line.startswith("#"):
            continue
        match = LINE.fullmatch(line)
        if not match:
            raise ValueError(f"no line of a lock: {line}")
        name, version, sha256 = match.groups()
        licences = [{"license": {"name": text}} for text in _licence(name)]
        found.append(
            {
                "type": "library", "name": name, "version": version, "purl": f"pkg:pypi/{name}@{version}",
                "hashes": [{"alg": "SHA-256", "content": sha256}], **({"licenses": licences} if licences else {}),
            }
        )  # fmt: skip
    return found


def _licence(name: str) -> list[str]:
    """What an installed package says of its licence."""
    try:
        metadata = importlib.metadata.metadata(name)
    except importlib.metadata.PackageNotFoundError:
        return []
    classifiers = [text.rpartition(" :: ")[2] for text in metadata.get_all("Classifier", []) if "License ::" in text]
    short = metadata.get("License-Expression") or metadata.get("License", "")
    return [short] if short and "\n" not in short else classifiers


def bill(lock: Path) -> dict[str, Any]:
    """The whole document."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    own = {"type": "application", "name": project["name"], "version": project["version"]}
    return {
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "metadata": {"component": own},
        "components": components(lock.read_text(encoding="utf-8")),
    }  # fmt: skip


if __name__ == "__main__":
    json.dump(bill(Path(sys.argv[1])), sys.stdout, indent=1)
    sys.stdout.write("\n")
