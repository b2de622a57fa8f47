"""Attachments of conversations in DynamoDB, with their bytes in S3."""

import json
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from servers.aws.api import create_api
from servers.conversations.dynamodb_client import create_client
from servers.conversations.dynamodb_opening import DynamoDBSettings, open_dynamodb_store
from servers.conversations.dynamodb_s3 import S3Blobs
from servers.conversations.dynamodb_store import DynamoDBConversationStore
from servers.conversations.dynamodb_upkeep import sweep
from servers.conversations.dynamodb_writes import Writer
from servers.conversations.store_errors import UnavailableError
from servers.conversations.store_values import ConversationUpdate
from tests.fakes.dynamodb_places import in_bucket
from tests.fakes.dynamodb_server import REGION, create_table
from tests.fakes.dynamodb_wire import lose_answer
from tests.fakes.s3_wire import Fault, cut_answer, cut_request, faults, refuse
from tests.ports import free_port
from tests.servers.conversations.contract_of_attachments import ContractOfAttachments, put, read
from tests.servers.conversations.messages import ID, OWNER, in_seconds, user, users

_BUCKET, _LATER = "attachments", "attachments-later"


@pytest.fixture(scope="session")
def s3(aws: str) -> Any:
    api = create_api("x", REGION, aws, service="s3")
    where = {"LocationConstraint": REGION}
    for bucket in (_BUCKET, _LATER):
        api.create_bucket(Bucket=bucket, CreateBucketConfiguration=where)
    return api


@pytest.fixture
def table(api: Any) -> str:
    return create_table(api)


@pytest.fixture
def store(api: Any, s3: Any, table: str) -> DynamoDBConversationStore:
    return open_store(api, s3, table, _BUCKET)


def open_store(api: Any, s3: Any, table: str, current: S3Blobs | str) -> DynamoDBConversationStore:
    client = create_client(api, table)
    return DynamoDBConversationStore(Writer(client, 0, 1), in_bucket(client, s3, current))


@pytest.fixture
def keys(s3: Any, table: str) -> "Keys":
    """Of what lies in the bucket for this table."""

    def find(bucket: str = _BUCKET) -> list[str]:
        found = s3.list_objects_v2(Bucket=bucket, Prefix=f"{table}/").get("Contents", [])
        return [each["Key"] for each in found]

    return find


class TestBytesInS3(ContractOfAttachments):
    """The part of the contract that is about them."""


Keys = Callable[..., list[str]]


async def test_no_bytes_lie_in_the_table(
    api: Any, store: DynamoDBConversationStore, table: str, keys: Keys
) -> None:
    await put(store, b"x" * 1_000)
    (key,) = keys()
    assert ID not in key
    items = api.scan(TableName=table)["Items"]
    assert not [item for item in items if item["sk"]["S"].startswith("Q#")]


async def test_a_deletion_takes_the_bytes_along_and_those_nobody_knows_of(
    s3: Any, store: DynamoDBConversationStore, keys: Keys
) -> None:
    await put(store, b"one")
    await put(store, b"two", "b")
    prefix, _, _ = keys()[0].rpartition("/")
    await put(store, b"other", conversation_id="other")
    s3.put_object(Bucket=_BUCKET, Key=f"{prefix}/never-told-of", Body=b"x")
    await store.delete_conversation(OWNER, ID)
    assert len(keys()) == 1
    assert await read(store, conversation_id="other") == b"other"


async def test_a_deletion_that_was_broken_off_is_gone_on_with(
    api: Any, s3: Any, store: DynamoDBConversationStore, table: str, keys: Keys
) -> None:
    await put(store, b"one")
    broken = open_store(api, s3, table, "no-such-bucket")
    with pytest.raises(UnavailableError, match="the S3 bucket no-such-bucket can't be used"):
        await broken.delete_conversation(OWNER, ID)
    assert len(keys()) == 1
    assert not (await store.delete_conversation(OWNER, ID)).deleted
    assert keys() == []


async def test_what_expires_takes_its_bytes_along(
    store: DynamoDBConversationStore, keys: Keys
) -> None:
    await put(store, b"one")
    await store.update_conversation(OWNER, ID, ConversationUpdate(expires_at=in_seconds(-1)))
    await sweep(store.writer)
    assert keys() == []


async def test_a_rewrite_keeps_them_and_a_new_life_does_not(
    store: DynamoDBConversationStore, keys: Keys
) -> None:
    await put(store, b"one")
    await store.append_messages(OWNER, ID, users(2))
    version = await store.read_version(OWNER, ID)
    await store.save_conversation(OWNER, ID, [user("z", "z")], expected_version=version)
    assert await read(store) == b"one"
    await store.update_conversation(OWNER, ID, ConversationUpdate(expires_at=in_seconds(-1)))
    await store.append_messages(OWNER, ID, users(1))
    assert keys() == []


async def test_bytes_that_were_removed_by_hand_are_told_of(
    s3: Any, store: DynamoDBConversationStore, keys: Keys
) -> None:
    await put(store, b"one")
    s3.put_object(Bucket=_BUCKET, Key=keys()[0], Body=b"")
    with pytest.raises(UnavailableError, match="are missing in the S3 bucket attachments"):
        await read(store)
    s3.delete_object(Bucket=_BUCKET, Key=keys()[0])
    with pytest.raises(UnavailableError, match="are missing in the S3 bucket attachments"):
        await read(store)


async def test_a_bucket_that_is_there_has_no_problems_and_keeps_nothing_of_the_check(
    s3: Any, table: str, keys: Keys
) -> None:
    assert await S3Blobs(s3, _BUCKET, table).find_problems() == []
    assert keys() == []


async def test_a_store_opens_with_its_bucket_or_says_all_that_is_missing(
    aws: str, s3: Any, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", aws)
    settings = DynamoDBSettings(table, REGION, aws, bucket=_BUCKET)
    async with open_dynamodb_store(settings) as store:
        await put(store, b"one")
        assert await read(store) == b"one"
    wrong = DynamoDBSettings("absent", REGION, aws, bucket="no-such-bucket")
    with pytest.raises(UnavailableError) as caught:
        async with open_dynamodb_store(wrong):
            pass
    text = str(caught.value)
    assert "the DynamoDB table absent" in text
    assert "the S3 bucket no-such-bucket can't be used: it is not there" in text


SLOW_DOWN = refuse("SlowDown", 503, "Please reduce your request rate.")
INTERNAL = refuse("InternalError", 500, "We encountered an internal error.")


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (
            refuse("AccessDenied", 403, "is not authorized to perform: s3:PutObject on x"),
            "does not permit s3:PutObject: add it to the IAM policy",
        ),
        (refuse("NoSuchBucket", 404), "it is not there: make it, or correct conversations.attach"),
        (refuse("AuthorizationHeaderMalformed", 400), "another region .*: set conversations.reg"),
        (refuse("ExpiredToken", 400), "the AWS session has expired: sign in anew"),
    ],
)
async def test_a_refusal_names_what_to_mend_and_costs_nothing_that_was_acknowledged(
    s3: Any, store: DynamoDBConversationStore, fault: Fault, told: str
) -> None:
    await put(store, b"one")
    with faults(s3, *[fault] * 50), pytest.raises(UnavailableError, match=told):
        await put(store, b"two", "b")
    assert await read(store) == b"one"
    assert (await store.get_conversation(OWNER, ID)).stats.attachments == 1
    assert (await put(store, b"two", "b")).complete
    assert await read(store, attachment_id="b") == b"two"


@pytest.mark.parametrize(
    "fault", [SLOW_DOWN, INTERNAL, cut_request, lose_answer], ids=["slow", "500", "cut", "lost"]
)
async def test_a_put_goes_on_after_what_passes(
    s3: Any, store: DynamoDBConversationStore, fault: Fault
) -> None:
    with faults(s3, fault, fault) as left:
        assert (await put(store, b"one")).complete
    assert not left
    assert await read(store) == b"one"


@pytest.mark.parametrize(
    "fault", [SLOW_DOWN, INTERNAL, cut_request, cut_answer], ids=["slow", "500", "cut", "half"]
)
async def test_a_read_goes_on_after_what_passes(
    s3: Any, store: DynamoDBConversationStore, fault: Fault
) -> None:
    await put(store, b"one")
    with faults(s3, fault, fault) as left:
        assert await read(store) == b"one"
    assert not left


@pytest.mark.parametrize("fault", [SLOW_DOWN, INTERNAL], ids=["slow", "500"])
async def test_a_bucket_that_stays_busy_is_told_as_such_with_a_time_to_try_again(
    api: Any, s3: Any, table: str, store: DynamoDBConversationStore, fault: Fault
) -> None:
    await put(store, b"one")
    hurried = open_store(api, s3, table, S3Blobs(s3, _BUCKET, table, deadline_seconds=0.1))
    with (
        faults(s3, *[fault] * 1_000),
        pytest.raises(UnavailableError, match="attachments is busy") as caught,
    ):
        await put(hurried, b"one and more")
    assert caught.value.retry_after_seconds
    assert await read(store) == b"one"


async def test_earlier_attachments_stay_where_they_are_when_the_place_is_changed(
    api: Any, s3: Any, table: str, keys: Keys
) -> None:
    places = ("", _BUCKET, _LATER, "")
    for number, place in enumerate(places):
        store = open_store(api, s3, table, place)
        await put(store, b"of %d" % number, f"{number}")
    assert (len(keys(_BUCKET)), len(keys(_LATER))) == (1, 1)
    for place in set(places):
        store = open_store(api, s3, table, place)
        for number in range(len(places)):
            assert await read(store, f"{number}") == b"of %d" % number
            again = await put(store, b"of %d" % number, f"{number}")
            assert again.complete
    assert (len(keys(_BUCKET)), len(keys(_LATER))) == (1, 1)
    await open_store(api, s3, table, _LATER).delete_conversation(OWNER, ID)
    assert (keys(_BUCKET), keys(_LATER)) == ([], [])
    left = [item["sk"]["S"][:2] for item in api.scan(TableName=table)["Items"]]
    assert not {"F#", "N#", "Q#"} & {*left}


@pytest.mark.parametrize("first_bytes", [10, 300_000])
async def test_an_upload_goes_on_in_another_place(
    api: Any, s3: Any, table: str, keys: Keys, first_bytes: int
) -> None:
    begun = open_store(api, s3, table, _BUCKET)
    total = first_bytes + 2
    await put(begun, b"x" * first_bytes, total_size=total)
    store = open_store(api, s3, table, _LATER)
    assert (await put(store, b"yz", offset=first_bytes, total_size=total)).complete
    assert await read(store) == await read(begun) == b"x" * first_bytes + b"yz"
    # Little is written anew together with what follows, and its first place is left.
    assert (len(keys(_BUCKET)), len(keys(_LATER))) == (first_bytes > 10, 1)
    await store.delete_conversation(OWNER, ID)
    assert (keys(_BUCKET), keys(_LATER)) == ([], [])


async def test_a_deletion_that_could_not_empty_an_earlier_bucket_is_gone_on_with(
    api: Any, s3: Any, table: str, keys: Keys
) -> None:
    await put(open_store(api, s3, table, _BUCKET), b"one")
    store = open_store(api, s3, table, "")
    denied = refuse("AccessDenied", 403, "is not authorized to perform: s3:ListBucket on x")
    with (
        faults(s3, denied),
        pytest.raises(UnavailableError, match=r"bucket attachments .*s3:ListBucket: add it"),
    ):
        await store.delete_conversation(OWNER, ID)
    await store.append_messages(OWNER, ID, users(1))
    assert keys() == []


async def test_a_bucket_that_is_gone_is_told_of_and_hinders_no_deletion(
    api: Any, s3: Any, table: str, keys: Keys
) -> None:
    where = {"LocationConstraint": REGION}
    s3.create_bucket(Bucket="short-lived", CreateBucketConfiguration=where)
    await put(open_store(api, s3, table, "short-lived"), b"one")
    store = open_store(api, s3, table, _LATER)
    await put(store, b"two", "b")
    (key,) = keys("short-lived")
    s3.delete_object(Bucket="short-lived", Key=key)
    s3.delete_bucket(Bucket="short-lived")
    with pytest.raises(UnavailableError, match="bucket short-lived can't be used: it is not there"):
        await read(store)
    s3.put_object(Bucket=_LATER, Key=key, Body=b"one")  # as who moves a bucket does
    assert await read(store) == b"one"
    await store.delete_conversation(OWNER, ID)
    assert keys(_LATER) == []


@pytest.mark.parametrize("place", ["", _BUCKET])
async def test_what_a_program_put_that_named_no_place_is_found_and_goes_on(
    api: Any, s3: Any, table: str, keys: Keys, place: str
) -> None:
    await put(open_store(api, s3, table, place), b"one")
    for item in api.scan(TableName=table)["Items"]:
        if item["sk"]["S"].startswith("F#"):
            head = json.loads(item["e"]["S"])
            del head["places"]
            api.put_item(TableName=table, Item={**item, "e": {"S": json.dumps(head)}})
        if item["sk"]["S"].startswith("N#"):
            api.put_item(TableName=table, Item={k: v for k, v in item.items() if k != "b"})
    store = open_store(api, s3, table, _BUCKET)
    assert await read(store) == b"one"
    assert (await put(store, b"one and more")).complete
    assert await read(store) == b"one and more"
    await store.delete_conversation(OWNER, ID)
    assert keys() == []
    assert not [i for i in api.scan(TableName=table)["Items"] if i["sk"]["S"].startswith("Q#")]


async def test_a_server_whose_bucket_was_left_out_of_its_configuration_still_finds_it(
    aws: str, s3: Any, api: Any, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", aws)
    await put(open_store(api, s3, table, _BUCKET), b"one")
    async with open_dynamodb_store(DynamoDBSettings(table, REGION, aws)) as store:
        assert await read(store) == b"one"
        await put(store, b"two", "b")
        assert (await store.delete_conversation(OWNER, ID)).deleted


@pytest.mark.slow  # a table and a bucket that refuse are asked again for three seconds
async def test_who_starts_while_table_and_bucket_refuse_is_told_of_both_soon(
    aws: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", nowhere)
    settings = DynamoDBSettings("talks", REGION, nowhere, bucket=_BUCKET)
    with anyio.fail_after(8), pytest.raises(UnavailableError) as told:
        async with open_dynamodb_store(settings):
            pass
    assert "the DynamoDB table talks" in str(told.value)
    assert "the S3 bucket attachments can't be reached" in str(told.value)
