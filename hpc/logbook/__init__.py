"""The experiment log: kept, written as a page, and asked."""
