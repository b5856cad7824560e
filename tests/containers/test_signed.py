"""`images_signed_by` of a profile, with the real Apptainer: signed, unsigned, signed by another, changed since."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.local_projects import LocalProject, make_project
from tests.parts import REPOSITORY, need

pytestmark = pytest.mark.cluster


@pytest.fixture
def apptainer() -> str:
    """The command."""
    found = os.environ.get("APPTAINER") or shutil.which("apptainer") or REPOSITORY / ".lab/apptainer/bin/apptainer"
    need(Path(found).exists(), "Apptainer: scripts/lab/install-apptainer")
    need((REPOSITORY / "images/minimal.sif").exists(), "images/minimal.sif: containers/build.sh minimal")
    need(shutil.which("openssl"), "openssl")
    return str(found)


@pytest.fixture
def project(tmp_path: Path, apptainer: str) -> LocalProject:
    """A project with an image and two pairs of keys, whose profile asks for the first one's signature."""
    made = make_project(tmp_path / "project")
    (made.folder / "images").mkdir()
    shutil.copy(REPOSITORY / "images/minimal.sif", made.folder / "images/small.sif")
    for name in ("own", "other"):
        key = made.folder / f"{name}.pem"
        subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
        public = ["openssl", "rsa", "-in", key, "-pubout", "-out", made.folder / f"{name}.pub.pem"]
        subprocess.run(public, check=True, capture_output=True)
    profile = f'scheduler: local\napptainer: "{apptainer}"\nimages_signed_by: ./own.pub.pem\n'
    (made.folder / "manifests/clusters/local.yaml").write_text(profile)
    path = made.folder / "manifests/experiments/tiny.yaml"
    path.write_text(path.read_text() + "container: {image: small}\n")
    return made


def test_only_what_the_key_signed_is_planned(project: LocalProject, apptainer: str) -> None:
    """`plan` ends with 2 and says what Apptainer found, until the right key has signed; a changed byte is found."""
    image = project.folder / "images/small.sif"
    unsigned = image.read_bytes()
    assert "signature not found" in project.hpc("plan", "tiny", "--cluster", "local", expect=2)

    for key, expected in (("other", 2), ("own", 0)):
        image.write_bytes(unsigned)
        subprocess.run(
            [apptainer, "sign", "--key", project.folder / f"{key}.pem", image], check=True, capture_output=True
        )
        told = project.hpc("plan", "tiny", "--cluster", "local", expect=expected)
        assert ("is not signed by" in told) == (expected == 2)

    content = bytearray(image.read_bytes())
    content[len(unsigned) // 2] ^= 1
    image.write_bytes(content)
    assert "integrity" in project.hpc("plan", "tiny", "--cluster", "local", expect=2)
