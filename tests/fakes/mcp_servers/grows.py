"""An older server whose tools change while it runs: `grow` adds one and says so."""

from tests.fakes.mcp_servers.wire import send, serve, text, tool


def main() -> None:
    tools = [tool("grow")]

    def call(_name: str, _arguments: object) -> dict[str, object] | None:
        tools.append(tool(f"grown_{len(tools)}"))
        send({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
        return text("grown")

    serve(lambda _cursor: {"tools": tools}, call)


if __name__ == "__main__":
    main()
