"""What a check-up finds, and what it means: the rules of `hpc doctor`. Pure."""
