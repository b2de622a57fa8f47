"""Where in a request the parameters of a tool go, and whether they can go there."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from agentic.config.findings import KeyPath, WrongFieldError
from agentic.config.templates import Template, parse_template
from agentic.config.tool_auth import is_credential_name
from agentic.config.tool_parameters import ParameterConfig, find_required


@dataclass(frozen=True, slots=True)
class Places:
    """The templates of a request."""

    path: Template
    url_query: Template
    query: Mapping[str, Template]
    headers: Mapping[str, Template]
    """Those that are no credentials, by their names as they were written."""

    @property
    def names(self) -> frozenset[str]:
        """The parameters that have a place here; the others go where `body` says."""
        return frozenset(name for _, each in self.iterate() for name in each.names)

    def iterate(self) -> Iterator[tuple[KeyPath, Template]]:
        """All of them, each with the field it was declared in."""
        yield ("url",), self.path
        yield ("url",), self.url_query
        yield from ((("query", name), each) for name, each in self.query.items())
        yield from ((("headers", name), each) for name, each in self.headers.items())

    @classmethod
    def find(cls, url: str, query: Mapping[str, str], headers: Mapping[str, SecretStr]) -> "Places":
        """Take the declared texts apart.

        Raises:
            WrongFieldError: One has a place where none can be, or a lone brace.
        """
        parts = urlsplit(url)
        if any(brace in parts.netloc for brace in "{}"):
            raise WrongFieldError(("url",), "may have {parameters} in path and query only")
        return cls(
            path=_parse(("url",), parts.path),
            url_query=_parse(("url",), parts.query),
            query={name: _parse(("query", name), text) for name, text in query.items()},
            headers={
                name: _parse(("headers", name), value.get_secret_value().strip())
                for name, value in headers.items()
                if not is_credential_name(name)
            },
        )


def check_places(
    places: Places,
    parameters: Mapping[str, ParameterConfig],
    listed: Sequence[str] | None,
    body: str,
    body_parameter: str | None = None,
) -> None:
    """Check that each place has a parameter that fits, and that the rest can be sent.

    Raises:
        WrongFieldError: Something does not.
    """
    steps = places.path.fill("{{{}}}".format).split("/")
    if any(unquote(each) in (".", "..") for each in steps):
        raise WrongFieldError(
            ("url",), "has a step . or .. in its path; write the path it leads to"
        )
    required = find_required(parameters, listed)
    for field, template in places.iterate():
        for name in template.names:
            _check_place(field, name, parameters)
            if not _may_be_absent(field, template, parameters[name]):
                _check_always_there(field, name, parameters[name], required)
    rest = {name: each for name, each in parameters.items() if name not in places.names}
    if body_parameter is not None:
        _check_body_parameter(body_parameter, body, parameters, rest)
    _check_rest(rest, places, body)


def _check_rest(rest: Mapping[str, ParameterConfig], places: Places, body: str) -> None:
    if body in ("form", "none"):
        for name, parameter in rest.items():
            _check_flat(("parameters", name), parameter)
    if body == "none":
        for name in places.query:
            if name in rest:
                raise WrongFieldError(
                    ("query", name), f"is a parameter's name, too; write {name}: '{{{name}}}'"
                )


def check_credentials(
    headers: Mapping[str, SecretStr], parameters: Mapping[str, ParameterConfig]
) -> None:
    """Check that no credential has a place for a parameter.

    Raises:
        WrongFieldError: One has.
    """
    for name, value in headers.items():
        text = value.get_secret_value()
        if is_credential_name(name) and any(f"{{{each}}}" in text for each in parameters):
            raise WrongFieldError(
                ("headers", name),
                "names the parameter of a call, and a model may know no credential; use auth",
            )


def _check_body_parameter(
    name: str,
    body: str,
    parameters: Mapping[str, ParameterConfig],
    rest: Mapping[str, ParameterConfig],
) -> None:
    field: KeyPath = ("body_parameter",)
    if body != "json":
        raise WrongFieldError(field, "goes with body: json")
    if name not in rest:
        why = "has a place already" if name in parameters else "is no parameter"
        raise WrongFieldError(field, f"names {name}, which {why}")
    if others := ", ".join(each for each in rest if each != name):
        raise WrongFieldError(
            field, f"is all of the body, so these need a place in url, query or headers: {others}"
        )


def _parse(field: KeyPath, text: str) -> Template:
    try:
        return parse_template(text)
    except ValueError as error:
        raise WrongFieldError(field, str(error)) from None


def _check_place(field: KeyPath, name: str, parameters: Mapping[str, ParameterConfig]) -> None:
    if name not in parameters:
        known = ", ".join(parameters) or "none"
        raise WrongFieldError(
            field, f"has a place for {{{name}}}, which is no parameter; there are: {known}"
        )
    _check_flat(("parameters", name), parameters[name])


def _may_be_absent(field: KeyPath, template: Template, parameter: ParameterConfig) -> bool:
    """Whether what stands there is one parameter alone: it goes with its value."""
    is_alone = template.only_name is not None
    return is_alone and (
        field[0] == "query" or (field[0] == "headers" and not _is_repeated(parameter))
    )


def _check_always_there(
    field: KeyPath, name: str, parameter: ParameterConfig, required: Collection[str]
) -> None:
    if _is_repeated(parameter):
        raise WrongFieldError(
            field,
            f"has a place for one value, and {name} is an array: give it a separator, such as ','",
        )
    if parameter.nullable or not (name in required or parameter.has_default):
        raise WrongFieldError(
            field, f"needs {name} in each call: make it required, not nullable, or give a default"
        )


def _check_flat(field: KeyPath, parameter: ParameterConfig) -> None:
    items = parameter.items
    is_list = parameter.type == "array" and items is not None and _is_scalar(items)
    if not (_is_scalar(parameter) or is_list):
        raise WrongFieldError(
            field,
            "can't be sent as a word: it should be a string, number or boolean, or an array with "
            "such items (or use body: json)",
        )


def _is_scalar(parameter: ParameterConfig) -> bool:
    return parameter.type not in (None, "array", "object")


def _is_repeated(parameter: ParameterConfig) -> bool:
    return parameter.type == "array" and parameter.separator is None
