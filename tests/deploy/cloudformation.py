"""A CloudFormation template with parameters put in, as far as ours needs it."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import yaml


class Template:
    """A template as it is with these parameters; what is left out by `AWS::NoValue` is."""

    def __init__(self, path: Path, parameters: Mapping[str, str | int] | None = None) -> None:
        loaded = yaml.load(path.read_text(encoding="utf-8"), _Loader)
        defaults = {name: each["Default"] for name, each in loaded["Parameters"].items()}
        assert set(parameters or {}) <= set(defaults)
        self._values: dict[str, Any] = defaults | dict(parameters or {})
        self._conditions: dict[str, Any] = loaded["Conditions"]
        self.resources: dict[str, dict[str, Any]] = {
            name: each.get("Properties", {})
            for name, each in loaded["Resources"].items()
            if "Condition" not in each or self._holds(each["Condition"])
        }
        self.resources = {name: self._resolve(each) for name, each in self.resources.items()}

    def of_kind(self, name: str) -> list[str]:
        """Names of resources that end so."""
        return [each for each in self.resources if each.endswith(name)]

    def _holds(self, name: str) -> bool:
        return self._resolve(self._conditions[name])

    def _resolve(self, value: Any) -> Any:
        if isinstance(value, _Call):
            return self._call(value.name, value.argument)
        if isinstance(value, dict):
            pairs = cast("dict[str, Any]", value).items()
            return {key: new for key, each in pairs if (new := self._resolve(each)) is not None}
        if isinstance(value, list):
            parts = cast("list[Any]", value)
            return [each for part in parts if (each := self._resolve(part)) is not None]
        return value

    def _call(self, name: str, argument: Any) -> Any:
        match name:
            case "Ref":
                return None if argument == "AWS::NoValue" else self._values.get(argument, argument)
            case "GetAtt":
                return argument
            case "Sub":
                return re.sub(r"\$\{([^}]+)\}", self._put_in, argument)
            case "If":
                condition, yes, no = argument
                return self._resolve(yes if self._holds(condition) else no)
            case "Condition":
                return self._holds(argument)
            case "Equals":
                first, second = self._resolve(argument)
                return first == second
            case "Not":
                return not self._resolve(argument)[0]
            case "And":
                return all(self._resolve(argument))
            case _:
                raise NotImplementedError(name)

    def _put_in(self, found: re.Match[str]) -> str:
        return str(self._call("Ref", found[1]))


class _Call:
    def __init__(self, name: str, argument: Any) -> None:
        self.name = name
        self.argument = argument


class _Loader(yaml.SafeLoader):
    pass


def _construct(loader: _Loader, suffix: str, node: yaml.Node) -> _Call:
    if isinstance(node, yaml.ScalarNode):
        return _Call(suffix, loader.construct_scalar(node))
    assert isinstance(node, yaml.SequenceNode)
    return _Call(suffix, loader.construct_sequence(node, deep=True))


_Loader.add_multi_constructor("!", _construct)  # pyright: ignore[reportUnknownMemberType]
