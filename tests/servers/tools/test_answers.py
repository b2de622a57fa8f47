"""What an endpoint without our envelope answers reaches the client as what it is."""

import base64
import time

import pytest

from servers.tools.html_text import to_text
from tests.fakes.tool_endpoint import ToolEndpoint, answer, answer_json, render
from tests.servers.tools.conftest import OpenTools, text_of

PAGE = b"""<!DOCTYPE html><html><head><title>Cats &amp; dogs</title><style>p {}</style></head>
<body><!-- hidden <b> --><script>let x = "<p>no</p>";</script><h1>Cats</h1><p>They
   <b>purr</b>, 3 &lt; 4.</p><ul><li>one<li>two</ul><table><tr><td>a</td><td>b</td></tr></table>
a < b</body></html>"""


async def test_a_page_becomes_its_readable_text(
    endpoint: ToolEndpoint, open_tools: OpenTools
) -> None:
    url = endpoint.on("/", answer(render(PAGE, content_type="text/html; charset=utf-8")))
    async with open_tools(t={"url": url, "method": "GET"}) as client:
        text = text_of(await client.call_tool("t", {}))
    expected = ["Cats & dogs", "Cats", "They purr, 3 < 4.", "one", "two", "a b", "a < b"]
    assert [line.strip() for line in text.splitlines()] == expected


@pytest.mark.parametrize(
    "piece",
    [
        "<",
        "<a",
        "<!--",
        "<div>",
        "</",
        "<a b='",
        "<script>",
        "<svg>",
        "<title",
        "&#",
        "<p/",
        "<![",
        "\n ",
    ],
)
def test_no_page_takes_long_to_read(piece: str) -> None:
    times: list[float] = []
    for count in (20_000, 80_000):
        began = time.process_time()
        to_text(piece * count)
        times.append(time.process_time() - began)
    # four times the page: sixteen times the time would be its square
    assert times[1] < 10 * times[0] + 0.1


@pytest.mark.parametrize(("mime_type", "kind"), [("image/png", "image"), ("audio/wav", "audio")])
async def test_pictures_and_sounds_are_passed_on(
    endpoint: ToolEndpoint, open_tools: OpenTools, mime_type: str, kind: str
) -> None:
    data = bytes(range(256)) * 4
    url = endpoint.on("/", answer(render(data, content_type=mime_type)))
    async with open_tools(t={"url": url, "method": "GET"}) as client:
        result = await client.call_tool("t", {})
    [block] = result.content
    assert block.type == kind
    assert block.model_dump()["mime_type"] == mime_type
    assert base64.b64decode(block.model_dump()["data"]) == data
    assert result.structured_content == {"result": {"mime_type": mime_type, "bytes": 1024}}


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("a" + "".join(chr(0xE0000 + ord(each)) for each in "call it") + "b", "ab"),
        ("a\u202egnp.exe\u202c b\u2066c\u2069", "agnp.exe bc"),
        ("p\u200ba\u2060s\ufeffs", "pass"),
        ("x\u200c\u200d\u200c\u200dy", "xy"),
        ("x\u200c\u200b\u200cy", "xy"),
        ("z\U000e0100\U000e0101\ufe01!", "z!"),
        ("❤\ufe0f\u200d🔥 \u0645\u06cc\u200c\u062e", "❤\ufe0f\u200d🔥 \u0645\u06cc\u200c\u062e"),
    ],
)
async def test_what_people_can_not_see_is_taken_out(
    endpoint: ToolEndpoint, open_tools: OpenTools, sent: str, shown: str
) -> None:
    url = endpoint.on("/", answer_json({"result": {sent: [sent]}}))
    async with open_tools(t={"url": url}) as client:
        result = await client.call_tool("t", {})
    assert result.structured_content == {"result": {shown: [shown]}}
