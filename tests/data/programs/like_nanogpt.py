"""Looks like nanoGPT's train.py: module-level settings, changed by its configurator as --key=value."""

import math

out_dir = "out"
eval_interval = 5
eval_only = False
init_from = "scratch"
batch_size = 12
learning_rate = 6e-4
max_iters = 10
beta1 = 0.9
config_keys = [k for k, v in globals().items() if not k.startswith("_") and isinstance(v, int | float | bool | str)]
exec(open("configurator.py").read())  # noqa: PTH123, S102, SIM115
config = {k: globals()[k] for k in config_keys}

for iter_num in range(max_iters + 1):
    losses = {
        "train": 3.0 / (1 + learning_rate * 100 * iter_num) + math.log(batch_size) / 100,
        "val": 3.1 / (1 + learning_rate * 90 * iter_num),
    }
    if iter_num % eval_interval == 0:
        print(f"step {iter_num}: train loss {losses['train']:.4f}, val loss {losses['val']:.4f}")
    print(f"iter {iter_num}: loss {losses['train']:.4f}, time {1.5:.2f}ms, mfu {2.0:.2f}%")
