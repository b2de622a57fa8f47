"""Reads the configuration as far as it can be read, and says what is wrong with the rest."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from agentic.cli.compose import read_config
from agentic.cli.doctor.findings import Finding
from agentic.cli.failures import UsageError
from agentic.config.findings import ConfigError
from agentic.config.models import Config
from agentic.config.trust import needs_trust

_SECTIONS = [name for name, info in Config.model_fields.items() if not info.exclude]
_NOT_TRUSTED = "Until then nothing is looked at that would act by it: servers, models, the bot."


@dataclass(frozen=True, slots=True)
class Reading:
    """What could be read. `config` lacks the sections that are wrong; None: nothing is readable."""

    config: Config | None
    is_whole: bool
    may_act: bool
    """Whether what it says may be done: it is trusted."""
    findings: list[Finding]


def read_configuration(environ: Mapping[str, str], path: Path | None) -> Reading:
    """Read what `agentic` would with this environment, and `--config` if it was given."""
    try:
        config = read_config(environ, path)
    except (ConfigError, UsageError) as error:
        lines = error.findings if isinstance(error, ConfigError) else (str(error),)
        fix = "Correct that, and run `agentic doctor` again."
        findings = [Finding("config", "problem", line, fix) for line in lines]
        config, is_whole = _read_rest(environ, path), False
    else:
        where = "no mcp.yml: defaults and the environment" if config.path is None else config.path
        findings, is_whole = [Finding("config", "ok", str(where))], True
    if config is None:
        return Reading(None, is_whole, may_act=False, findings=findings)
    findings += _look_into(config)
    distrust = _find_distrust(config)
    return Reading(config, is_whole, may_act=not distrust, findings=findings + distrust)


def _read_rest(environ: Mapping[str, str], path: Path | None) -> Config | None:
    """The sections that are right by themselves."""

    def read(sections: list[str]) -> Config | None:
        try:
            return read_config(environ, path, sections)
        except (ConfigError, UsageError):
            return None

    return read([name for name in _SECTIONS if read([name]) is not None])


def _look_into(config: Config) -> Iterator[Finding]:
    for warning in config.warnings:
        yield Finding("config", "warning", warning, f"Change it in {config.path or 'that place'}.")
    for name, findings in config.broken_tools.items():
        for text in findings:
            fix = "Correct that; until then the tool is left out."
            yield Finding(f"tools/{name}", "problem", text, fix)
    for name in config.waiting_sources:
        yield Finding(
            f"tools/{name}",
            "warning",
            "its OpenAPI document was not got yet",
            "Run `agentic tools list`, which starts the server that gets it.",
        )
    for name, tool in config.tools.items():
        if tool.missing_variables:
            missing = ", ".join(tool.missing_variables)
            yield Finding(
                f"tools/{name}",
                "warning",
                f"its credential is left out: {missing} is not set",
                f"Set {missing} where the servers start, then start them again.",
            )


def _find_distrust(config: Config) -> list[Finding]:
    try:
        risks = needs_trust(config)
    except ConfigError as error:
        return [Finding("config", "problem", str(error), f"{error.findings[0]}.")]
    if not risks:
        return []
    summary = f"{config.path} lay in this folder and is not trusted. By it, {'; '.join(risks)}"
    return [Finding("config", "problem", summary, f"Agree by `agentic trust`. {_NOT_TRUSTED}")]
