"""``python -m hpc <verb>``: as ``hpc <verb>``, where only the interpreter is on the path."""

from hpc.cli import main

if __name__ == "__main__":
    main(prog_name="python -m hpc")
