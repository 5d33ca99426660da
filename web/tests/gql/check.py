"""Python's gql, with the schema that it asks the server for."""

import json
import os
import uuid

# docs: gql
from gql import Client, gql
from gql.transport.exceptions import TransportQueryError, TransportServerError
from gql.transport.requests import RequestsHTTPTransport


def client_of(url: str, token: str) -> Client:
    headers = {"Authorization": f"Bearer {token}"}
    # The client validates documents against the server's schema before it sends them.
    return Client(transport=RequestsHTTPTransport(url, headers=headers), fetch_schema_from_transport=True)


CREATE_MESSAGE = gql("""
    mutation ($input: CreateMessageInput!) {
      createMessage(input: $input) {
        __typename
        ... on CreateMessageSuccess { messageEdge { node { uuid } } messageGroupEdge { node { uuid } } }
        ... on Problem { message }
      }
    }
""")
# docs: end

MESSAGE_GROUPS = gql("""
    query ($first: Int, $after: String) {
      messageGroups(first: $first, after: $after) {
        edges { node { otherUser { handle } } }
        pageInfo { hasNextPage endCursor }
      }
    }
""")
MESSAGES = gql("""
    query ($uuid: UUID!, $before: String) {
      messages(messageGroupUuid: $uuid, last: 2, before: $before) {
        edges { node { body } }
        pageInfo { hasPreviousPage startCursor }
      }
    }
""")
RECEIVER = gql("query ($handle: String!) { user(handle: $handle) { messageGroup { uuid } } }")


def step(name: str) -> None:
    print(f"  {name}", flush=True)


def execute(client: Client, document, **variables):
    document.variable_values = variables
    return client.execute(document)


def main() -> None:
    places = json.loads(os.environ["CRUDDUR_PLACES"])
    luu = client_of(places["graphql"], places["tokens"]["luu"])

    handles, after = [], None
    while True:
        page = execute(luu, MESSAGE_GROUPS, first=1, after=after)["messageGroups"]
        handles += [edge["node"]["otherUser"]["handle"] for edge in page["edges"]]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert handles == ["unamused", "mirabel"], handles
    step("lists the message groups a page at a time, most recently active first")

    group = execute(luu, RECEIVER, handle="mirabel")["user"]["messageGroup"]["uuid"]
    bodies, before = [], None
    while True:
        page = execute(luu, MESSAGES, uuid=group, before=before)["messages"]
        bodies = [edge["node"]["body"] for edge in page["edges"]] + bodies
        before = page["pageInfo"]["startCursor"]
        if not page["pageInfo"]["hasPreviousPage"]:
            break
    assert len(bodies) == 3, bodies
    step("reads a group from its newest message back to its first")

    sent = {"to": {"messageGroupUuid": group}, "body": "by gql", "idempotencyKey": str(uuid.uuid4())}
    first = execute(luu, CREATE_MESSAGE, input=sent)
    assert first["createMessage"]["__typename"] == "CreateMessageSuccess", first
    assert execute(luu, CREATE_MESSAGE, input=sent) == first
    step("sends to a group, once for a key")

    sent = {"to": {"receiverHandle": "tove"}, "body": "by gql"}
    created = execute(luu, CREATE_MESSAGE, input=sent)["createMessage"]
    found = execute(luu, RECEIVER, handle="tove")["user"]["messageGroup"]
    assert found == created["messageGroupEdge"]["node"], found
    step("sends to a new receiver by handle")

    for to, body, typename in [
        ({"messageGroupUuid": group}, " ", "InvalidMessageBody"),
        ({"messageGroupUuid": str(uuid.uuid4())}, "x", "MessageGroupNotFound"),
        ({"receiverHandle": "nobody-at-all"}, "x", "ReceiverNotFound"),
        ({"receiverHandle": "luu"}, "x", "CannotMessageYourself"),
    ]:
        refused = execute(luu, CREATE_MESSAGE, input={"to": to, "body": body})["createMessage"]
        assert refused["__typename"] == typename and refused["message"], refused
    step("is refused with a type")

    try:
        execute(luu, MESSAGES, uuid=group, before="not a cursor")
        raise AssertionError("a cursor that is none is taken")
    except TransportQueryError as error:
        assert error.errors[0]["extensions"]["code"] == "BAD_USER_INPUT", error
    try:
        execute(client_of(places["graphql"], "expired"), MESSAGE_GROUPS)
        raise AssertionError("a token that is none is taken")
    except (TransportQueryError, TransportServerError) as error:
        assert "401" in str(error) or "UNAUTHENTICATED" in str(error), error
    step("fails with a code")


main()
