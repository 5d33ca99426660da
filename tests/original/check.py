"""Runs the original's queries with its own client library, before and after this server writes.

Usage: check.py <cruddur program>. Needs boto3.

Writes conversations into a running `cruddur dev` the way the original's
services did, reads and answers them over GraphQL, and then runs the original's
two queries on the result: the groups of a user in a year, and the newest 20
messages of a group.
"""

import contextlib
import pathlib
import sys
import uuid
from datetime import datetime, timedelta, timezone

import boto3
from boto3.dynamodb.types import TypeDeserializer

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
import processes

YEAR = str(datetime.now(timezone.utc).year)


def message_groups(client, table, owner):
    """The original's pattern B."""
    answer = client.query(
        TableName=table,
        KeyConditionExpression="pk = :pk AND begins_with(sk, :year)",
        ScanIndexForward=False,
        Limit=20,
        ExpressionAttributeValues={":year": {"S": YEAR}, ":pk": {"S": f"GRP#{owner}"}},
    )
    return [
        {
            "uuid": item["message_group_uuid"]["S"],
            "display_name": item["user_display_name"]["S"],
            "handle": item["user_handle"]["S"],
            "message": item["message"]["S"],
            "created_at": item["sk"]["S"],
        }
        for item in answer["Items"]
    ]


def messages(client, table, group):
    """The original's pattern A."""
    answer = client.query(
        TableName=table,
        KeyConditionExpression="pk = :pk",
        ScanIndexForward=False,
        Limit=20,
        ExpressionAttributeValues={":pk": {"S": f"MSG#{group}"}},
    )
    found = [
        {
            "uuid": item["message_uuid"]["S"],
            "display_name": item["user_display_name"]["S"],
            "handle": item["user_handle"]["S"],
            "message": item["message"]["S"],
            "created_at": item["sk"]["S"],
        }
        for item in answer["Items"]
    ]
    found.reverse()
    return found


def write_conversation(client, table, one, other, count):
    """The original's pattern D, and then C, with its previews kept up to date."""
    group = str(uuid.uuid4())
    start = datetime.now(timezone.utc) - timedelta(hours=2)
    for number in range(count):
        sender = one if number % 2 == 0 else other
        created_at = (start + timedelta(minutes=number)).isoformat()
        put(client, table, pk=f"MSG#{group}", sk=created_at, message=f"original {number + 1}",
            message_uuid=str(uuid.uuid4()), **user(sender))
    for owner, shown in ((one, other), (other, one)):
        put(client, table, pk=f"GRP#{owner['uuid']}", sk=created_at, message_group_uuid=group,
            message=f"original {count}", **user(shown))
    return group


def user(shown):
    return {
        "user_uuid": shown["uuid"],
        "user_display_name": shown["displayName"],
        "user_handle": shown["handle"],
    }


def put(client, table, **attributes):
    item = {name: {"S": value} for name, value in attributes.items()}
    client.put_item(TableName=table, Item=item)


def ask(places, handle, document, **variables):
    return processes.ask(places["graphql"], places["tokens"][handle], document, variables)


CREATE = """mutation($input: CreateMessageInput!) {
  createMessage(input: $input) { ... on CreateMessageSuccess { messageEdge { node { uuid messageGroup { uuid } } } } }
}"""


def check(places):
    client = boto3.client(
        "dynamodb", endpoint_url=places["dynamodb"], region_name=places["region"],
        aws_access_key_id="local", aws_secret_access_key="local",
    )
    table = places["table"]
    people = {
        handle: ask(places, handle, "{ viewer { uuid handle displayName } }")["viewer"]
        for handle in ("tove", "quill", "oddvar")
    }
    tove, quill, oddvar = people["tove"], people["quill"], people["oddvar"]
    with_quill = write_conversation(client, table, tove, quill, 25)
    with_oddvar = write_conversation(client, table, oddvar, tove, 3)

    groups = ask(places, "tove", "{ messageGroups { edges { node { uuid lastMessage { body } } } } }")
    shown = {edge["node"]["uuid"]: edge["node"]["lastMessage"]["body"] for edge in groups["messageGroups"]["edges"]}
    assert shown == {with_quill: "original 25", with_oddvar: "original 3"}, shown

    to_group = {"to": {"messageGroupUuid": with_quill}, "body": "adopted by group"}
    to_handle = {"to": {"receiverHandle": "tove"}, "body": "adopted by handle"}
    ask(places, "tove", CREATE, input=to_group)
    created = ask(places, "oddvar", CREATE, input=to_handle)
    group = created["createMessage"]["messageEdge"]["node"]["messageGroup"]["uuid"]
    assert group == with_oddvar, group

    found = message_groups(client, table, tove["uuid"])
    seen = [(item["uuid"], item["handle"], item["message"]) for item in found]
    assert seen == [
        (with_oddvar, "oddvar", "adopted by handle"),
        (with_quill, "quill", "adopted by group"),
    ], seen
    newest = [item["message"] for item in messages(client, table, with_quill)]
    assert newest == [f"original {number}" for number in range(7, 26)] + ["adopted by group"], newest
    for owner in (quill, oddvar):
        assert len(message_groups(client, table, owner["uuid"])) >= 1
    check_index(client, table, with_quill)
    return len(found) + len(newest)


def check_index(client, table, group):
    """Checks that the index has exactly two rows of the group."""
    answer = client.query(
        TableName=table,
        IndexName="message-group-sk-index",
        KeyConditionExpression="message_group_uuid = :group",
        ExpressionAttributeValues={":group": {"S": group}},
    )
    rows = [{name: TypeDeserializer().deserialize(value) for name, value in item.items()} for item in answer["Items"]]
    assert sorted(row["unread_count"] for row in rows) == [0, 1], rows


@contextlib.contextmanager
def serving(program, places):
    """`serve` over the stores of `dev`, in a table without the marker.

    `dev` writes the marker into its table, which states that every group has a head. The original's
    groups have none, and the server of `dev` has already cached the marker.
    """
    client = boto3.client(
        "dynamodb", endpoint_url=places["dynamodb"], region_name=places["region"],
        aws_access_key_id="local", aws_secret_access_key="local",
    )
    client.delete_item(TableName=places["table"], Key={"pk": {"S": "TABLE#HEADS"}, "sk": {"S": "TABLE"}})
    with processes.serving(program, processes.stores(places)) as url:
        yield {**places, "graphql": url}


def main():
    with processes.dev(sys.argv[1]) as places, serving(sys.argv[1], places) as places:
        compared = check(places)
    print(f"the original's queries read what was written: {compared} items")
    print("1 passed, 0 failed")


if __name__ == "__main__":
    main()
