"""Where an image is, and the digest that names it."""

import hashlib
import os

import pytest

from hpc.adapters.images import find_image, pin_image, verify_image
from hpc.core.errors import InputError


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "train.sif"
    path.write_bytes(b"SIF" * 100)
    return path


def test_a_name_is_a_file_in_the_sites_folder(image):
    """`train` is train.sif there, with the SHA-256 of its bytes; a path stands as it is."""
    found = find_image("train", image.parent)
    assert (found.path, found.sha256) == (image, hashlib.sha256(b"SIF" * 100).hexdigest())
    assert find_image(str(image), image.parent / "elsewhere").sha256 == found.sha256


def test_the_recorded_digest_is_taken_only_while_it_fits(image):
    """Size and time fit: no hashing. Rebuilt or edited afterwards: the file itself is hashed."""
    found = image.stat()
    (image.parent / "images.lock.toml").write_text(
        f'[train]\nsha256 = "{"ab" * 32}"\nsize = {found.st_size}\nmtime_ns = {found.st_mtime_ns}\n'
    )
    assert find_image("train", image.parent).sha256 == "ab" * 32
    os.utime(image, (1, 1))
    assert find_image("train", image.parent).sha256 == hashlib.sha256(b"SIF" * 100).hexdigest()


def test_a_later_build_does_not_change_a_pinned_image(image):
    """The pinned name keeps the bytes it was given, when the build renames another file over the first."""
    pinned = pin_image(image, find_image("train", image.parent).sha256)
    assert pin_image(image, find_image("train", image.parent).sha256) == pinned
    rebuilt = image.with_name("rebuilt")
    rebuilt.write_bytes(b"new")
    rebuilt.rename(image)
    assert pinned.read_bytes() == b"SIF" * 100
    assert pin_image(image, "") == image


def test_a_missing_image_is_named_with_those_there_are(image, tmp_path):
    """The message lists the images of the site and says how to come by one; `make` only in a clone that builds it."""
    with pytest.raises(
        InputError, match=r"there is train\. An image is any .*: apptainer build \S+/trian.sif docker://"
    ):
        find_image("trian", image.parent)
    (tmp_path / "containers").mkdir()
    (tmp_path / "containers/small.def").touch()
    with pytest.raises(InputError, match=r"there is train\. Build it: make image IMAGE=small"):
        find_image("small", image.parent, tmp_path)
    with pytest.raises(InputError, match=r"apptainer build"):
        find_image("trian", image.parent, tmp_path)


@pytest.mark.parametrize(
    ("signed_by", "answer", "said"),
    [
        ("keys/public.pem", "exit 0", ""),
        ("keyring", 'test "$2" = --local', ""),
        ("keys/public.pem", "echo 'FATAL: signature not found' >&2; exit 255", "signature not found"),
        ("keys/public.pem", "exit 3", "exit code 3"),
    ],
)
def test_a_signature_is_what_apptainer_says(image, signed_by, answer, said):
    """Its own answer is told, with the command to see more; a folder or an absent Apptainer is no yes."""
    command = image.parent / "apptainer"
    command.write_text(f"#!/bin/sh\n{answer}\n")
    command.chmod(0o700)
    if not said:
        verify_image(image, signed_by, str(command))
        return
    with pytest.raises(InputError, match=said) as raised:
        verify_image(image, signed_by, str(command))
    assert f"verify --key {signed_by} {image}" in str(raised.value)
    for path, apptainer in ((image.parent, str(command)), (image, str(image.parent / "absent"))):
        with pytest.raises(InputError):
            verify_image(path, signed_by, apptainer)
