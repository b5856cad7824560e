"""The experiment log: what was tried, with which settings, and what came of it."""
