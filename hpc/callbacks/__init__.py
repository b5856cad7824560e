"""What a training program needs to be stopped and to go on, in a line or two: metrics, checkpoints, exit code 85.

For a plain loop `hpc.callbacks.loop`, for Hugging Face trainers `hpc.callbacks.transformers`, for Lightning
`hpc.callbacks.lightning`. Public, and staying: `loop.Attempt` and the two classes `HpcCallback`.
"""
