"""How models know tools."""

import re

from hypothesis import given
from hypothesis import strategies as st

from client.hub.names import create_server_prefix, create_tool_name

LEGAL = re.compile(r"[A-Za-z0-9_-]{1,64}")


def test_an_ordinary_tool_keeps_its_name() -> None:
    assert create_tool_name(create_server_prefix("github"), "list_issues") == "github__list_issues"


def test_a_dotted_tool_is_shortened_with_a_hash() -> None:
    name = create_tool_name("github", "issues.list")
    assert re.fullmatch(r"github__issues_list_[0-9a-f]{8}", name)


def test_tools_that_look_alike_have_names_of_their_own() -> None:
    names = {
        create_tool_name("s", tool) for tool in ("a.b", "a b", "a_b", "a/b", "a" * 90, "a" * 91)
    }
    assert len(names) == 6


def test_no_server_can_take_the_names_of_another() -> None:
    assert create_server_prefix("a_") != "a_"
    assert create_tool_name(create_server_prefix("a_"), "b") != create_tool_name(
        create_server_prefix("a"), "_b"
    )


@given(server=st.text(min_size=1, max_size=300), tool=st.text(min_size=1, max_size=300))
def test_every_name_is_one_that_models_take(server: str, tool: str) -> None:
    prefix = create_server_prefix(server)
    name = create_tool_name(prefix, tool)
    assert LEGAL.fullmatch(name)
    assert name == create_tool_name(create_server_prefix(server), tool)
    assert name.startswith(f"{prefix}__")
    assert "__" not in prefix
    assert not prefix.endswith("_")
