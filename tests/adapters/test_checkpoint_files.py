"""Checkpoints that cannot be loaded are named with the file and the reason, and nothing of a pickle is run."""

import json
import os
import pickle
import struct
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from hpc.adapters.checkpoint_files import damage_of, damages


def safetensors(path: Path) -> None:
    header = json.dumps({"w": {"dtype": "F32", "shape": [64], "data_offsets": [0, 256]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(256))


def torch_zip(path: Path) -> None:
    """As torch.save writes it: a zip without compression, with a pickle of the object and a file a tensor."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", pickle.dumps({"step": 3, "names": ["w"] * 50}, protocol=2))
        archive.writestr("model/data/0", os.urandom(4096))


def old_torch(path: Path) -> None:
    parts = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, {"w": 1}, ["0"]]
    path.write_bytes(b"".join(pickle.dumps(part, protocol=2) for part in parts) + os.urandom(64))


def hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["w"] = np.arange(1000.0)


def numpy_file(path: Path) -> None:
    np.save(path, np.arange(100.0))


def numpy_zip(path: Path) -> None:
    np.savez(path, w=np.arange(100.0))


def plain_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps({"w": list(range(100))}))


def json_text(path: Path) -> None:
    path.write_text(json.dumps({"step": 3, "names": ["w"] * 30}))


KINDS = [
    (safetensors, "model.safetensors"), (torch_zip, "model.pt"), (torch_zip, "mp_rank_00_model_states.pt"),
    (old_torch, "old.pth"), (hdf5, "model.h5"), (numpy_file, "w.npy"), (numpy_zip, "w.npz"),
    (plain_pickle, "state.pkl"), (json_text, "trainer_state.json"),
]  # fmt: skip


@pytest.mark.parametrize(("write", "name"), KINDS)
def test_a_whole_file_is_fine_and_one_cut_anywhere_is_not(tmp_path, write, name):
    """Cut to nothing, in its header, in its middle and before its last byte."""
    path = tmp_path / name
    write(path)
    whole = path.read_bytes()
    assert damage_of(path) == ""
    cuts = [0, 4, len(whole) // 4, len(whole) // 2, len(whole) - 1]
    if write is old_torch:  # its tensors are not described before them
        cuts = [0, 4, len(whole) // 4]
    for cut in cuts:
        path.write_bytes(whole[:cut])
        assert damage_of(path), f"{name} cut to {cut} of {len(whole)} bytes"


class Trap:
    """A pickle that makes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("name", ["trap.pkl", "trap.pt", ".metadata"])
def test_no_pickle_is_run(tmp_path, name):
    """Plain, inside a zip of torch, and where parts are named."""
    sprung, folder = tmp_path / "sprung", tmp_path / "checkpoint"
    folder.mkdir()
    trap = pickle.dumps(Trap(sprung))
    if name == "trap.pt":
        with zipfile.ZipFile(folder / name, "w") as archive:
            archive.writestr("trap/data.pkl", trap)
    else:
        (folder / name).write_bytes(trap)
    assert list(damages(folder)) == []
    assert not sprung.exists()


def test_parts_that_others_name_have_to_be_there(tmp_path):
    """An index of safetensors, the metadata of torch.distributed, DeepSpeed's tag and its ranks."""
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    safetensors(tmp_path / "model-1.safetensors")
    (tmp_path / ".metadata").write_bytes(pickle.dumps({"storage": ["__0_0.distcp", "__1_0.distcp"]}))
    (tmp_path / "__0_0.distcp").write_bytes(b"x")
    (tmp_path / "latest").write_text("global_step7")
    torch_zip(tmp_path / "zero_pp_rank_0_mp_rank_00_optim_states.pt")
    torch_zip(tmp_path / "zero_pp_rank_2_mp_rank_00_optim_states.pt")
    told = {f"{path.relative_to(tmp_path)} {problem}" for path, problem in damages(tmp_path)}
    assert told == {
        "model-2.safetensors is missing: model.safetensors.index.json names it",
        "__1_0.distcp is missing: .metadata names it",
        "global_step7 is missing: latest names it",
        ". has no optimiser state of rank 1 (model part 00)",
        ". has optimiser states and no model states",
    }


def test_what_is_not_known_is_not_judged_and_an_empty_folder_is(tmp_path):
    """A text of the program's own says nothing; a folder without a file is no checkpoint; a pipe is no file."""
    (tmp_path / "notes.txt").write_text("cut")
    assert list(damages(tmp_path)) == []
    (tmp_path / "empty").mkdir()
    assert [problem for _, problem in damages(tmp_path / "empty")] == ["is an empty folder"]
    os.mkfifo(tmp_path / "model.pt")
    assert "named pipe" in damage_of(tmp_path / "model.pt")
