"""Reads collected results, judges them and writes the report; never writes into a run."""
