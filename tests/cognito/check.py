"""Tests Cognito IDs in Postgres and Cognito's tokens, with the Cognito emulation of moto.

Usage: check.py <cruddur program>. Needs moto[server], boto3 and pg8000.

A pool of 132 users, in three pages: `update-cognito-user-ids` sets the id of
every one of them, and a token that the pool issues for one of them gets that
user's message groups from `cruddur serve`.
"""

import json
import pathlib
import subprocess
import sys

import boto3

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from processes import ask, database, dev, free_port, running, serving, stores, wait_for

REGION = "eu-central-1"
PASSWORD = "Correct-horse-9"
USERS = [f"user{number:03}" for number in range(132)]


def make_pool(cognito):
    """Returns the pool, its client, and the sub of each user by name."""
    pool = cognito.create_user_pool(PoolName="cruddur")["UserPool"]["Id"]
    client = cognito.create_user_pool_client(
        UserPoolId=pool, ClientName="web", ExplicitAuthFlows=["ALLOW_USER_PASSWORD_AUTH"]
    )["UserPoolClient"]["ClientId"]
    subs = {}
    others = {
        "nameless": [],
        "capitals": [{"Name": "preferred_username", "Value": "CAPITALS"}],
        "stranger": [{"Name": "preferred_username", "Value": "not-in-postgres"}],
        "twin-one": [{"Name": "preferred_username", "Value": "twin"}],
        "twin-two": [{"Name": "preferred_username", "Value": "twin"}],
    }
    named = {name: [{"Name": "preferred_username", "Value": name}] for name in USERS}
    for name, attributes in {**named, **others}.items():
        user = cognito.admin_create_user(UserPoolId=pool, Username=name, UserAttributes=attributes)
        subs[name] = next(a["Value"] for a in user["User"]["Attributes"] if a["Name"] == "sub")
    cognito.admin_set_user_password(UserPoolId=pool, Username=USERS[7], Password=PASSWORD, Permanent=True)
    return pool, client, subs


def make_users(connection):
    for name in [*USERS, "twin", "capitals", "without-user"]:
        connection.run(
            "INSERT INTO public.users (handle, display_name, email, cognito_user_id) "
            "VALUES (:handle, :handle, :email, NULL)",
            handle=name, email=f"{name}@example.com",
        )


def ids(connection):
    rows = connection.run("SELECT handle, cognito_user_id FROM public.users WHERE cognito_user_id IS NOT NULL")
    return {handle: sub for handle, sub in rows if handle in USERS or handle == "twin"}


def update(program, environment, *arguments):
    command = [program, "update-cognito-user-ids", "--json", *arguments]
    return json.loads(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)


def check_update(program, environment, connection, subs):
    tried = update(program, environment, "--dry-run")
    assert tried["changed"] == USERS and ids(connection) == {}, tried
    updated = update(program, environment)
    assert updated["changed"] == USERS and updated["right"] == [], updated
    assert updated["withoutRow"] == ["CAPITALS", "not-in-postgres"], updated
    assert updated["withoutPreferredUsername"] == ["nameless"], updated
    assert updated["heldTwice"] == ["twin"], updated
    assert updated["similar"] == [{"inPool": ["CAPITALS"], "inTable": ["capitals"]}], updated
    assert {"capitals", "without-user"} <= set(updated["withoutUser"]), updated
    assert not {*USERS, "twin"} & set(updated["withoutUser"]), updated
    assert ids(connection) == {name: subs[name] for name in USERS}
    again = update(program, environment)
    assert again["changed"] == [] and again["right"] == USERS, again


def check_serve(program, environment, cognito, client):
    subprocess.run([program, "seed", "--between", USERS[7], USERS[8]], env=environment, check=True, capture_output=True)
    with serving(program, environment) as url:
        signed_in = cognito.initiate_auth(
            ClientId=client,
            AuthFlow="USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": USERS[7], "PASSWORD": PASSWORD},
        )
        token = signed_in["AuthenticationResult"]["AccessToken"]
        document = "{ viewer { handle } messageGroups { edges { node { otherUser { handle } } } } }"
        data = ask(url, token, document)
        assert data["viewer"]["handle"] == USERS[7], data
        others = [edge["node"]["otherUser"]["handle"] for edge in data["messageGroups"]["edges"]]
        assert others == [USERS[8]], data


def main():
    program = sys.argv[1]
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    moto = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with (
        running(moto, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as moto,
        dev(program) as places,
    ):
        wait_for(port, moto)
        cognito = boto3.client(
            "cognito-idp", endpoint_url=endpoint, region_name=REGION,
            aws_access_key_id="local", aws_secret_access_key="local",
        )
        pool, client, subs = make_pool(cognito)
        connection = database(places["database_url"])
        make_users(connection)
        environment = stores(places) | {
            "AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER": endpoint,
            "AWS_COGNITO_USER_POOL_ID": pool,
            "AWS_COGNITO_USER_POOL_CLIENT_ID": client,
            "COGNITO_JWKS_URL": f"{endpoint}/{pool}/.well-known/jwks.json",
        }
        del environment["COGNITO_ISSUER"]
        check_update(program, environment, connection, subs)
        check_serve(program, environment, cognito, client)
        connection.close()
    print(f"the ids of {len(USERS)} users were set, and the server accepts a token of the pool")
    print("1 passed, 0 failed")


if __name__ == "__main__":
    main()
