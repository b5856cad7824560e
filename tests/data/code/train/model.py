"""A second module, so that there is something to mix up."""
