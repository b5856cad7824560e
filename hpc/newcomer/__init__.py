"""Somebody's repository on its first day: which program is there, and what is written for it."""
