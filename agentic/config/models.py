"""The frozen models that `mcp.yml` and the environment become."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator

from agentic.config.bot import BotConfig
from agentic.config.frozen import Frozen
from agentic.config.rules import (
    BucketName,
    EntryName,
    Headers,
    Key,
    Owner,
    Seconds,
    ServerName,
    TableName,
    Url,
    VariableName,
)
from agentic.config.tool_source import SourceConfig, SourceName
from agentic.config.tool_steps import StepsConfig
from agentic.config.tools import ToolConfig, ToolName


class ToolFilter(Frozen):
    """Which of a foreign server's tools exist for us, by shell patterns on the tool's own name."""

    allow: list[str] = Field(default_factory=lambda: ["*"])
    deny: list[str] = Field(default_factory=list)


class OAuthConfig(Frozen):
    """How to get into a server that wants a person's consent, given by `agentic login NAME`."""

    client_id: str | None = None
    """Of a client registered by hand; absent: one is registered at the first login."""
    client_secret: SecretStr | None = None
    client_metadata_url: Url | None = None
    """Of a document that describes us, for authorization servers that take no registrations."""
    redirect_port: int = Field(default=41_890, gt=0, le=65_535)
    """The browser comes back to http://127.0.0.1:PORT/callback."""


class ServerConfig(Frozen):
    """One MCP server the assistant connects to: a command (stdio) or a URL (streamable HTTP)."""

    command: str | None = None
    args: list[str] = Field(default_factory=list, repr=False)
    env: dict[VariableName, SecretStr] = Field(default_factory=dict)
    cwd: Path | None = None
    url: Url | None = Field(default=None, repr=False)
    headers: Headers = Field(default_factory=dict)
    token_file: Path | None = None
    """A file with a token, sent as `Authorization: Bearer …`; read anew for each connection."""
    oauth: OAuthConfig | None = None
    tools: ToolFilter = Field(default_factory=ToolFilter)
    offer_to_model: bool | list[str] = True
    timeout_seconds: Seconds = Field(default=60.0, alias="timeout", description="Of one call.")
    ours: bool | None = None
    """Whether this is a server of this project, told for which owner a call acts.

    Absent: it is when it is started as `agentic serve …`, or is reached by URL under one of our
    names.
    """
    enabled: bool = True
    missing_variables: tuple[str, ...] = Field(default=(), exclude=True)
    """Variables that its headers and environment name and that are not set; those are left out."""

    @model_validator(mode="after")
    def _check_way(self) -> Self:
        if (self.command is None) == (self.url is None):
            raise ValueError("should have either a command (stdio) or a url (HTTP)")
        return self


class Price(Frozen):
    """Money per million tokens."""

    input: float = Field(ge=0)
    output: float = Field(ge=0)


class ModelConfig(Frozen):
    """A language model by the user's own name for it."""

    provider: Literal["anthropic", "openai", "ollama", "bedrock", "local", "scripted"]
    model: str | None = None
    base_url: Url | None = Field(default=None, repr=False)
    api_key: Key | None = None
    """Absent: the provider's usual variable, then the keys file."""
    region: str | None = None
    """For `bedrock`. Absent: AWS_REGION, AWS_DEFAULT_REGION, then the AWS profile's."""
    max_output_tokens: int | None = Field(default=None, gt=0)
    """Absent: what is usual for the model."""
    context_tokens: int | None = Field(default=None, gt=0)
    """The model's window; absent: what is known of the model, else a careful default."""
    temperature: float | None = None
    price: Price | None = None
    timeout_seconds: Seconds = Field(
        default=120.0, alias="timeout", description="Without any news from the model."
    )
    script: Path | None = None
    """For `scripted`: a YAML file of replies."""
    path: Path | None = None
    """For `local`: a GGUF file of the user's own; absent: known weights by `model`."""


class ModelsConfig(Frozen):
    """Models by name, and which one answers."""

    default: str | None = None
    by_name: dict[EntryName, ModelConfig] = Field(default_factory=dict)


class ConversationsConfig(Frozen):
    """Where conversations live."""

    store: Literal["file", "dynamodb"] = "file"
    directory: Path = Path("~/.local/share/agentic/conversations")
    durability: Literal["always", "interval"] = "always"
    seal_after_megabytes: int | None = Field(default=8, gt=0, le=1_024)
    """A conversation's file that has grown to this is compressed, and a new one begun; null: never.
    """
    compression_level: int = Field(default=3, ge=1, le=19)
    """Of zstd."""
    expire_idle_days: float | None = Field(default=None, gt=0, le=36_500)
    """A conversation that nothing was written to for so long is removed; null: never."""
    table: TableName = "agentic-conversations"
    """For `dynamodb`: the table, which `agentic conversations create-table` makes."""
    region: str | None = None
    """For `dynamodb`. Absent: AWS_REGION, AWS_DEFAULT_REGION, then the AWS profile's."""
    endpoint_url: Url | None = Field(default=None, repr=False)
    """For `dynamodb`: another service that speaks as it does; absent: AWS's own."""
    listing_shards: int = Field(default=1, ge=1, le=64)
    """For `dynamodb`: over how many partitions the listing of one owner is spread."""
    attachments_bucket: BucketName | None = None
    """For `dynamodb`: an S3 bucket for the bytes of attachments; absent: in the table.

    Not to be changed once there are some: they are looked for where this says.
    """


class AccessConfig(Frozen):
    """Who may come in over HTTP."""

    tokens_file: Path | None = None
    """What `agentic token` keeps (hashes, names, owners, scopes): an SQLite file.

    The name of a JSON file stands for the one beside it, into which its tokens were taken over.
    Absent: `tokens.sqlite3` in the data directory, or the table of conversations.
    """
    delegate_token_file: Path | None = None
    """Where `serve … --http` puts a token for the bot at its first start."""
    allowed_hosts: list[str] = Field(default_factory=list)
    """Names, with or without a port, by which clients reach the servers, beside loopback's."""
    allowed_origins: list[str] = Field(default_factory=list)
    """Of web pages that may call the servers, such as https://assistant.example."""
    calls_per_minute: int = Field(default=12_000, gt=0, le=1_000_000)
    """By one token, over all servers."""


class LimitsConfig(Frozen):
    """What one turn may take. Reaching one ends the turn with a sentence that names it."""

    max_steps: int = Field(default=16, gt=0)
    turn_timeout_seconds: Seconds = 300.0
    max_turn_tokens: int = Field(default=400_000, gt=0)
    max_turn_cost: float | None = Field(default=None, gt=0)
    tool_timeout_seconds: Seconds = 60.0
    question_timeout_seconds: Seconds = 600.0
    """How long a person has for a yes; the turn's own time stands still meanwhile."""
    max_tool_result_characters: int = Field(default=50_000, gt=0)
    history_messages: int = Field(default=200, gt=0)


class AgentConfig(Frozen):
    """A named way to answer: its own instructions and model."""

    instructions: str | None = None
    model: str | None = None


class Config(Frozen):
    """All of `mcp.yml`, with the environment applied; every path absolute.

    The fields that are excluded from dumps are what the loader found out; no file can set them.
    """

    owner: Owner = "owner"
    data_directory: Path = Path("~/.local/share/agentic")
    cache_directory: Path = Path("~/.cache/agentic")
    """What can be fetched again: the weights of embedded models."""
    servers: dict[ServerName, ServerConfig] = Field(default_factory=dict)
    tools: dict[ToolName, ToolConfig] = Field(default_factory=dict)
    """With those of the sources, once their documents are read."""
    models: ModelsConfig = Field(default_factory=ModelsConfig)
    conversations: ConversationsConfig = Field(default_factory=ConversationsConfig)
    access: AccessConfig = Field(default_factory=AccessConfig)
    bot: BotConfig = Field(default_factory=BotConfig)
    limits: LimitsConfig = Field(default_factory=LimitsConfig)
    agents: dict[EntryName, AgentConfig] = Field(default_factory=dict)

    sources: dict[SourceName, SourceConfig] = Field(default_factory=dict, exclude=True)
    """In the file they stand under `tools`, too."""
    composed: dict[ToolName, StepsConfig] = Field(default_factory=dict, exclude=True)
    """Tools of steps; the same."""
    waiting_sources: tuple[str, ...] = Field(default=(), exclude=True)
    """Those whose document was not got yet: a tools server that runs does that."""
    documents: Mapping[Path, str] = Field(default_factory=dict[Path, str], exclude=True)
    """The files that sources were read from, with the SHA-256 of each; empty: not there."""
    path: Path | None = Field(default=None, exclude=True)
    """The file that was read, None for defaults."""
    found_by_itself: bool = Field(default=False, exclude=True)
    """`./mcp.yml` was found in the current folder and not named by anybody: it may need trust."""
    sha256: str = Field(default="", exclude=True)
    """Of the file's content as it was read, and of the documents beside it that it names."""
    state: str = Field(default="", exclude=True)
    """The same of all documents, so that a change of one is noticed."""
    risks: tuple[str, ...] = Field(default=(), exclude=True)
    """What a file found by itself would do that needs trust, in words."""
    warnings: list[str] = Field(default_factory=list, exclude=True)
    broken_tools: Mapping[str, tuple[str, ...]] = Field(default_factory=dict, exclude=True)
    """Declarations that can't be used, by name, and what is wrong: they are not in `tools`."""
    config_directory: Path = Field(default=Path("~/.config/agentic"), exclude=True)
    section_variables: Mapping[str, frozenset[str]] = Field(default_factory=dict, exclude=True)
    """Top-level section (`tools`, `conversations`, …) → names of the variables it expands."""
    environment: Mapping[str, str] = Field(default_factory=dict, exclude=True, repr=False)
    """The variables the process was started with; the only place that holds them."""
