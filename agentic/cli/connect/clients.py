"""The MCP clients we know: where each keeps its servers, and in which shape."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

RemoteShape = Literal["typed", "url", "bridge"]
"""`type: http` and `url`; `url` alone; or a command that passes on to the URL."""


@dataclass(frozen=True, slots=True)
class McpClient:
    """One client. `file` and `mac_file` start at the user's folder; None: it has no known place."""

    title: str
    key: str = "mcpServers"
    """Under which its servers stand."""
    names_stdio: bool = False
    """Whether an entry for a command says `type: stdio`."""
    remote: RemoteShape = "typed"
    file: str | None = None
    mac_file: str | None = None
    advice: str = ""
    """What to do after the file has changed."""

    def find_file(self, home: Path) -> Path | None:
        """Where this client keeps what a user set for all folders."""
        place = self.mac_file if sys.platform == "darwin" and self.mac_file else self.file
        return home / place if place else None


CLIENTS: Mapping[str, McpClient] = {
    "claude-desktop": McpClient(
        "Claude Desktop",
        remote="bridge",
        file=".config/Claude/claude_desktop_config.json",
        mac_file="Library/Application Support/Claude/claude_desktop_config.json",
        advice="Quit Claude Desktop and start it again.",
    ),
    "claude-code": McpClient(
        "Claude Code",
        names_stdio=True,
        file=".claude.json",
        advice="Start Claude Code anew; /mcp there shows the servers. For one project only, put it "
        "into .mcp.json in its folder (--file .mcp.json).",
    ),
    "cursor": McpClient(
        "Cursor",
        remote="url",
        file=".cursor/mcp.json",
        advice="Restart Cursor, and switch the servers on in its settings.",
    ),
    "vscode": McpClient(
        "VS Code",
        key="servers",
        names_stdio=True,
        file=".config/Code/User/mcp.json",
        mac_file="Library/Application Support/Code/User/mcp.json",
        advice="In VS Code, `MCP: List Servers` starts and shows them. For one workspace only, put "
        "it into .vscode/mcp.json (--file .vscode/mcp.json).",
    ),
    "generic": McpClient("the client"),
}
