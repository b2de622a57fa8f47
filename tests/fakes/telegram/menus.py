"""The bot's menus of commands, by the place and language that they are for."""

import json
import re
from collections.abc import Mapping
from typing import Any

from tests.fakes.telegram.refusals import bad_request

_MAX_COMMANDS = 100
_NAME = re.compile(r"[a-z0-9_]{1,32}")
_MAX_DESCRIPTION_CHARACTERS = 256

Command = dict[str, str]


class Menus:
    """What people see behind the menu button."""

    def __init__(self) -> None:
        self._menus: dict[tuple[str, str], list[Command]] = {}

    @property
    def default(self) -> list[Command]:
        """For everybody who has no menu of their own."""
        return self._menus.get(_key({}), [])

    def set_commands(self, parameters: Mapping[str, Any]) -> bool:
        """`setMyCommands`."""
        commands = parameters["commands"]
        if len(commands) > _MAX_COMMANDS:
            raise bad_request("BOT_COMMANDS_TOO_MUCH")
        for command in commands:
            if not _NAME.fullmatch(command["command"].removeprefix("/")):
                raise bad_request("BOT_COMMAND_INVALID")
            if not 1 <= len(command["description"]) <= _MAX_DESCRIPTION_CHARACTERS:
                raise bad_request("BOT_COMMAND_DESCRIPTION_INVALID")
        self._menus[_key(parameters)] = commands
        return True

    def get_commands(self, parameters: Mapping[str, Any]) -> list[Command]:
        """`getMyCommands`."""
        return self._menus.get(_key(parameters), [])

    def delete_commands(self, parameters: Mapping[str, Any]) -> bool:
        """`deleteMyCommands`."""
        self._menus.pop(_key(parameters), None)
        return True


def _key(parameters: Mapping[str, Any]) -> tuple[str, str]:
    scope = parameters.get("scope") or {"type": "default"}
    return json.dumps(scope, sort_keys=True), parameters.get("language_code") or ""
