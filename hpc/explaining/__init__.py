"""What `hpc why` says of an attempt, of any log, of a folder of logs, and of cases on standard input."""
