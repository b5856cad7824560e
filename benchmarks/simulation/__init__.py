"""What a million tasks would do to a cluster, and it to them: a discrete-event model, written as ``docs/scale.md``.

`traces` and `costs` hold what goes in, each number with its source; `cluster`, `controller` and `loop` are the model;
`campaign` plays one; `check` holds it against a real Slurm of one machine; `page` and `figures` write what came out.
"""
