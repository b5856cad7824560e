"""`train.control` on a GPU of which it may use so many MiB: its own allocator refuses, as on one that is full.

GPU_MIB python little_memory.py ARGUMENTS
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # started by its path

import torch

from train import control

if __name__ == "__main__":
    whole = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(int(os.environ["GPU_MIB"]) * 2**20 / whole)
    control.main()
