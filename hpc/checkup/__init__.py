"""The check-up of `hpc doctor`: what is looked at, bounded in time; what it means is said by `hpc.core.checkup`."""
