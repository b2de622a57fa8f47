"""From an HTTP request to a method and its parameters, and from a refusal to an answer."""

from collections.abc import Mapping
from typing import Any

from tests.fakes.telegram.forms import Form, Upload, read_form
from tests.fakes.telegram.http import HttpAnswer, HttpRequest
from tests.fakes.telegram.methods import find_method, read_parameters
from tests.fakes.telegram.refusals import RefusedError, bad_request


def read_request(
    name: str, request: HttpRequest
) -> tuple[str, dict[str, Any], Mapping[str, Upload]]:
    """The method by its real name, its parameters and files.

    Raises:
        RefusedError: There is no such method, or it can't be read.
    """
    if request.is_too_large:
        raise RefusedError(413, "Request Entity Too Large")
    method = find_method(name)
    if method is None:
        raise RefusedError(404, "Not Found: method not found")
    try:
        form: Form = read_form(request)
    except ValueError as error:
        raise bad_request(str(error)) from None
    return method.__api_method__, read_parameters(method, form), form.files


def error_answer(status: int, description: str, parameters: dict[str, Any]) -> HttpAnswer:
    """What Telegram answers when it does not do what was asked."""
    body: dict[str, Any] = {"ok": False, "error_code": status, "description": description}
    if parameters:
        body["parameters"] = parameters
    return HttpAnswer(status, body)
