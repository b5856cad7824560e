"""Somebody's program, read and never run: which arguments it takes and which numbers it prints."""
