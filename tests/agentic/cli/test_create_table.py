"""`agentic conversations create-table`, and what it refuses before it asks AWS."""

import pytest

from agentic.cli.create_table import parse_bounds, parse_scheduled, parse_tags
from agentic.cli.failures import UsageError
from servers.conversations.dynamodb_capacity import Bounds, Scheduled
from tests.agentic.cli.real_command import RealCommand
from tests.fakes.dynamodb_server import CREDENTIALS, open_aws_server


def test_units_times_and_tags_are_read() -> None:
    assert parse_bounds("--read-units", "5:100") == Bounds(5, 100)
    assert parse_scheduled("07:00 20:400 10:200") == Scheduled(
        "07:00", Bounds(20, 400), Bounds(10, 200)
    )
    assert parse_tags(["team=support", "why=a=b", "empty="]) == {
        "team": "support",
        "why": "a=b",
        "empty": "",
    }


@pytest.mark.parametrize("text", ["", "5", "5:", "0:5", "9:5", "5:100:7", "-1:5", "a:b"])
def test_units_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="should be the least and the most, such as 5:100"):
        parse_bounds("--read-units", text)


@pytest.mark.parametrize(
    "text", ["", "07:00", "07:00 5:9", "7 5:9 5:9", "24:00 5:9 5:9", "07:00:01 5:9 5:9"]
)
def test_a_schedule_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="should be a time, units of reads and units of writes"):
        parse_scheduled(text)


@pytest.mark.parametrize("text", ["a", "=b", "aws:a=b", "a!=b", f"a={'b' * 257}"])
def test_a_tag_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_tags([text])


@pytest.mark.slow  # four processes
async def test_the_table_of_the_configuration_is_made_once(command: RealCommand) -> None:
    create = "conversations", "create-table"
    with open_aws_server() as address:
        command.configure(
            f"conversations: {{store: dynamodb, table: ours, endpoint_url: {address}}}"
        )
        environment = {**CREDENTIALS, "AWS_REGION": "eu-west-1"}
        made = await command.run(*create, environment=environment)
        assert (made.exit_code, made.output) == (0, "The table ours in eu-west-1 is made.\n")
        assert "Done: its time to live is the attribute t.\n" in made.notes
        again = await command.run(*create, environment=environment)
        assert (again.exit_code, again.notes) == (0, "")
        assert again.output.endswith("is there already, as asked for: nothing was changed.\n")
        other = await command.run(*create, "--capacity", "provisioned", environment=environment)
        assert (other.exit_code, other.output) == (1, "")
        assert "it is not as asked for: its capacity is on demand, not provisioned." in other.notes
    wrong = await command.run(*create, "--read-units", "5:9", environment=environment)
    assert wrong.exit_code == 2
    assert "go with --capacity provisioned" in wrong.notes
