"""All that one store holds is in the other afterwards, once, whatever came between."""

from pathlib import Path

import pytest

from tests.agentic.cli.migrate.two_stores import Kind, everything, fill, open_two


@pytest.mark.parametrize(
    ("source", "target"), [("file", "file"), ("model", "file"), ("file", "model")]
)
async def test_everything_of_all_owners_arrives_and_a_second_run_reads_no_history(
    tmp_path: Path, source: Kind, target: Kind
) -> None:
    async with open_two(tmp_path, source, target) as two:
        await fill(two.source)
        before = await everything(two.source)
        tally = await two.migrate()
        assert await everything(two.source) == await everything(two.target) == before
        assert tally.problems() == []
        assert tally.count() == {"copied": 12}
        assert (tally.messages_copied, tally.attachments_copied) == (136, 2)
        rows = tally.to_json()["conversations"]
        assert {row["messages"] for row in rows} == {0, 3, 31}
        assert len({row["sha256"] for row in rows}) == len(rows)

        again = await two.migrate()
        assert again.count() == {"unchanged": 12}
        assert again.to_json()["conversations"] == [{**row, "outcome": "unchanged"} for row in rows]
        assert two.called("target") == {"list_conversations", "list_deliveries"}
        assert "export_conversation" not in two.called("source")
        assert await everything(two.target) == before
