"""A server on the SDK whose tools change while it runs; it says so in both eras."""

import sys

from mcp.server.mcpserver import Context, MCPServer


def create_changing_server() -> MCPServer:
    server = MCPServer("changing")

    @server.tool()
    async def grow(name: str, context: Context) -> str:
        """Add a tool."""
        server.add_tool(lambda: "grown", name=name, description="grown")
        await context.notify_tools_changed()
        return "grown"

    return server


if __name__ == "__main__":
    if len(sys.argv) > 1:
        create_changing_server().run("streamable-http", port=int(sys.argv[1]))
    else:
        create_changing_server().run("stdio")
