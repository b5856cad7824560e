"""Results for other people's tools: each run as a record, written by one module a tool."""
