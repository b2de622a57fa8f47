"""Keeps secrets out of what the doctor says, whoever's words it repeats."""

from collections.abc import Callable, Iterator, Mapping
from urllib.parse import urlsplit

from pydantic import BaseModel, SecretStr

from agentic.config.models import Config
from client.hub.plain_text import create_scrubber


def create_redaction(config: Config | None, environ: Mapping[str, str]) -> Callable[[str], str]:
    """A function that hides every secret of the configuration and of the environment."""
    # `create_scrubber` hides what goes by the name of a secret, whatever it looks like.
    named = {f"secret {number}": text for number, text in enumerate(_find_secrets(config))}
    return create_scrubber({**named, **{key: environ[key] for key in environ if _is_secret(key)}})


def _is_secret(variable: str) -> bool:
    words = variable.upper().replace("-", "_").split("_")
    return bool({"KEY", "TOKEN", "SECRET", "PASSWORD", "PASS", "CREDENTIALS", "AUTH"} & {*words})


def _find_secrets(value: object) -> Iterator[str]:
    match value:
        case SecretStr():
            yield value.get_secret_value()
        case BaseModel():
            for name in type(value).model_fields:
                if name != "environment":
                    yield from _find_secrets(getattr(value, name))
        case Mapping():
            for each in value.values():  # pyright: ignore[reportUnknownVariableType]
                yield from _find_secrets(each)  # pyright: ignore[reportUnknownArgumentType]
        case str() if "://" in value:
            yield from _find_in_url(value)
        case _:
            return


def _find_in_url(url: str) -> Iterator[str]:
    try:
        parts = urlsplit(url)
    except ValueError:
        return
    yield from (part for part in (parts.password, parts.query) if part)
    if parts.password:
        yield parts.netloc.rpartition("@")[0]
