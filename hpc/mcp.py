"""Offer the commands as tools to an assistant that speaks MCP, over stdin and stdout.

    python -m hpc.mcp                    reading only
    python -m hpc.mcp --allow-actions    plan, submit, retry, cancel, hold and release, too
    python -m hpc.mcp --json             list the tools, and serve nothing

Needs the optional part ``mcp``. The assistant's program starts it in the project's folder; docs/how-to/assistants.md.
"""

import inspect
from typing import TYPE_CHECKING

import click

from hpc.assistant.tools import ACTING, READING, Tool
from hpc.console import json_option, print_json, speaks_plainly
from hpc.core.errors import EXIT_DONE, HpcError

if TYPE_CHECKING:
    from mcp.server import MCPServer

INSTRUCTIONS = (
    "Tools of hpc-batch, which plans, runs, heals and reports experiments on a cluster. Read before you act: "
    "status, why, results, report. Never submit, retry, cancel or release unless the user has agreed to that step; "
    "report failed runs with every result; a sealed question is never changed once runs have begun. An answer has "
    "exit_code (0 done, 1 something failed, 3 nothing to do), answer and notes."
)


@click.command(epilog="Example: python -m hpc.mcp --json")
@click.option("--allow-actions", is_flag=True, help="Offer the tools that plan, submit, retry, cancel, hold, release.")
@json_option
@speaks_plainly
def main(allow_actions: bool, as_json: bool) -> int:
    """Offer the commands as tools to an assistant that speaks MCP, over stdin and stdout; reading ones by default."""
    offered = (*READING, *ACTING) if allow_actions else READING
    if as_json:
        print_json({"tools": [describe(each) for each in offered]})
        return EXIT_DONE
    make_server(offered).run("stdio")
    return EXIT_DONE


def describe(tool: Tool) -> dict[str, object]:
    """A tool as ``--json`` lists it."""
    return {
        "name": tool.__name__,
        "says": inspect.cleandoc(tool.__doc__ or ""),
        "arguments": list(inspect.signature(tool).parameters),
        "acts": tool in ACTING,
    }


def make_server(offered: tuple[Tool, ...]) -> "MCPServer[None]":
    """The server with these tools; commands run beside its loop, one process each."""
    from mcp.server import MCPServer
    from mcp.types import ToolAnnotations

    server: MCPServer[None] = MCPServer("hpc-batch", instructions=INSTRUCTIONS, log_level="ERROR")
    for tool in offered:
        hints = ToolAnnotations(read_only_hint=tool not in ACTING, open_world_hint=False)
        server.add_tool(
            in_its_own_words(tool), name=tool.__name__, description=inspect.cleandoc(tool.__doc__ or ""),
            annotations=hints, structured_output=False,
        )  # fmt: skip
    return server


def in_its_own_words(tool: Tool) -> Tool:
    """The tool, answering an error by the command's own sentence and nothing before it."""
    import functools

    @functools.wraps(tool)
    def call(*args: object, **kwargs: object) -> object:
        from mcp.types import CallToolResult, TextContent

        try:
            return tool(*args, **kwargs)
        except (HpcError, OSError) as error:
            return CallToolResult(content=[TextContent(type="text", text=str(error))], is_error=True)

    return call  # type: ignore[return-value]  # an error is no text


if __name__ == "__main__":
    main()
