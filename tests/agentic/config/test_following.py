"""What a running server takes up of a changed file, and what it doesn't."""

import os

import pytest

from agentic.config.following import FollowedTools, Reading
from agentic.config.load import load_config
from agentic.config.trust import trust
from tests.agentic.config.conftest import Place

ONE = "tools: {one: {url: 'https://h.example/'}}"
TWO = "tools: {one: {url: 'https://h.example/'}, two: {url: 'https://h.example/2'}}"
SENDS = "tools: {one: {url: 'https://h.example/', token: '${KEY}'}}"


def look_often(followed: FollowedTools, times: int = 12) -> list[Reading]:
    return [reading for _ in range(times) if (reading := followed.look()) is not None]


def follow(place: Place, text: str, **environ: str) -> FollowedTools:
    place.file.write_text(text)
    return FollowedTools(place.load(environ={"MCP_CONFIG_PATH": str(place.file), **environ}))


def test_an_unchanged_file_is_nothing_new(place: Place) -> None:
    followed = follow(place, ONE)
    assert look_often(followed) == []
    os.utime(place.file)
    place.file.write_text(ONE)
    assert look_often(followed) == []


def test_a_change_is_taken_up_once_with_variables_and_overrides_as_at_the_start(
    place: Place,
) -> None:
    followed = follow(place, ONE, T="title", AGENTIC_TOOLS__ONE__TIMEOUT="7")
    place.file.write_text(
        TWO.replace("url: 'https://h.example/2'", "url: 'https://h/', title: '${T}'")
    )
    [reading] = look_often(followed)
    assert reading.problem is None
    assert list(reading.tools) == ["one", "two"]
    assert reading.tools["two"].title == "title"
    assert reading.tools["one"].timeout_seconds == 7


def test_a_file_that_is_put_in_its_place_by_renaming_is_met(place: Place) -> None:
    followed = follow(place, ONE)
    (place.cwd / "new").write_text(TWO)
    (place.cwd / "new").replace(place.file)
    assert [list(each.tools) for each in look_often(followed)] == [["one", "two"]]


def test_a_file_that_grows_while_it_is_looked_at_is_taken_up_when_it_stands_still(
    place: Place,
) -> None:
    followed = follow(place, "tools: {}")
    for n in range(20):
        with place.file.open("w") as file:
            file.write("tools:\n" + "".join(f"  t{m}: {{url: http://h/}}\n" for m in range(n)))
        assert followed.look() is None
    assert [len(each.tools) for each in look_often(followed)] == [19]


@pytest.mark.parametrize("cut", ["", "owner: ada\n", "tools:\n", None])
def test_a_file_that_is_cut_or_gone_for_a_moment_removes_nothing(
    place: Place, cut: str | None
) -> None:
    followed = follow(place, TWO)
    if cut is None:
        place.file.unlink()
    else:
        place.file.write_text(cut)
    assert look_often(followed, 5) == []
    place.file.write_text(TWO)
    assert look_often(followed) == []
    assert list(followed.reading.tools) == ["one", "two"]


def test_tools_that_stay_away_are_gone(place: Place) -> None:
    followed = follow(place, TWO)
    place.file.write_text("tools: {}\n")
    assert look_often(followed) == [Reading({})]


def test_a_file_that_stays_away_is_told_and_keeps_the_tools(place: Place) -> None:
    followed = follow(place, ONE)
    place.file.unlink()
    [reading] = look_often(followed, 30)
    assert list(reading.tools) == ["one"]
    assert reading.problem is not None
    assert "can't be read: No such file" in reading.problem


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tools: {one: {url: 'https://h.example/'}, two: {}}", "tools.two.url: is missing"),
        ("tools: {one: {url: ftp://h}}", "tools.one.url: should be an http or https address"),
        ("tools: [", "mcp.yml:"),
        ("tools: 7", "tools: is a number"),
        ("tools: {one: {url: 'https://${NO}/'}}", "NO"),
    ],
)
def test_a_broken_edit_keeps_the_last_good_tools_and_says_why(
    place: Place, text: str, said: str
) -> None:
    followed = follow(place, ONE)
    place.file.write_text(text)
    [broken] = look_often(followed)
    assert list(broken.tools) == ["one"]
    assert broken.problem is not None
    assert said in broken.problem
    place.file.write_text(ONE)
    assert look_often(followed) == [Reading(broken.tools)]


def test_a_wrong_declaration_costs_its_own_change_only(place: Place) -> None:
    followed = follow(place, TWO)
    place.file.write_text("tools: {one: {url: 7}, three: {url: 'https://h.example/3'}, four: {}}")
    [reading] = look_often(followed)
    assert set(reading.tools) == {"one", "three"}
    assert reading.tools["one"].url == "https://h.example/"
    assert reading.problem is not None
    assert "tools.one.url" in reading.problem
    assert "tools.four.url: is missing" in reading.problem


def test_what_was_wrong_at_the_start_is_told_until_it_is_mended(place: Place) -> None:
    followed = follow(place, "tools: {one: {url: 7}, two: {url: 'https://h.example/'}}")
    assert "tools.one.url" in (followed.reading.problem or "")
    assert look_often(followed) == []
    place.file.write_text(TWO)
    [reading] = look_often(followed)
    assert (list(reading.tools), reading.problem) == (["one", "two"], None)


def test_mistakes_and_commands_outside_of_the_tools_are_not_looked_at(place: Place) -> None:
    followed = follow(place, ONE)
    place.file.write_text(f"{TWO}\nservers: {{evil: {{command: touch, args: [x]}}}}\nmodels: 7\n")
    [reading] = look_often(followed)
    assert list(reading.tools) == ["one", "two"]
    assert "evil" not in followed.config.servers


@pytest.mark.parametrize("is_child", [False, True], ids=["itself", "child"])
def test_a_file_found_by_itself_gains_no_power_until_it_is_trusted(
    place: Place, is_child: bool
) -> None:
    environ = {"KEY": "hunter2"}
    if is_child:
        environ |= {"MCP_CONFIG_PATH": str(place.file), "MCP_CONFIG_BY_ITSELF": "1"}
    followed = FollowedTools(place.load(ONE, environ))
    place.file.write_text(TWO)  # nothing that needs trust
    assert [list(each.tools) for each in look_often(followed)] == [["one", "two"]]
    place.file.write_text(SENDS)
    [held] = look_often(followed)
    assert list(held.tools) == ["one", "two"]
    assert held.problem is not None
    assert "tools.one sends KEY to https://h.example/" in held.problem
    assert "agentic trust" in held.problem
    assert "hunter2" not in held.problem
    trust(load_config({"HOME": str(place.home), "KEY": "x"}, cwd=place.cwd))
    [taken] = look_often(followed)
    assert taken.problem is None
    assert taken.tools["one"].token is not None


def test_what_was_agreed_to_at_the_start_goes_on(place: Place) -> None:
    config = place.load(SENDS, {"KEY": "hunter2"})
    trust(config)
    followed = FollowedTools(config)
    place.file.write_text(SENDS.replace("token:", "timeout: 5, token:"))
    [reading] = look_often(followed)
    assert reading.problem is None
    assert reading.tools["one"].timeout_seconds == 5
