"""Checks the CloudFormation template against the settings of the program, and creates it in moto.

Usage: stack.py <cruddur program>. Needs cfn-lint, moto[server], boto3 and pg8000.

- Every environment variable of the template's containers is a setting of the command that the
  container runs, and no required setting is missing.
- The roles allow exactly the actions of the tested policies in deploy/.
- moto creates the template's table, user pool and roles. `schema-load --prod` finds the table as
  expected, and a token of the pool signs in to `serve`.
"""

import json
import os
import pathlib
import re
import subprocess
import sys

import boto3
from cfnlint.decode import cfn_yaml
from program import check_variables

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from processes import ask, database, dev, free_port, running, serving, wait_for

ROOT = pathlib.Path(__file__).parents[2]
REGION = "eu-central-1"
PASSWORD = "Correct-horse-9"


def template():
    return json.loads(json.dumps(cfn_yaml.load(str(ROOT / "deploy/cloudformation.yaml"))))


def variables(container):
    return {entry["Name"] for entry in container.get("Environment", []) + container.get("Secrets", [])}


def check_settings(program, resources):
    containers = {
        container["Name"]: container
        for container in resources["TaskDefinition"]["Properties"]["ContainerDefinitions"]
    }
    for name, command in (("migrate", "migrate"), ("cruddur", "serve")):
        check_variables(program, command, variables(containers[name]), f"the container {name}")

    # With the template's variables alone, `serve` fails at a store (1) and not at its arguments (2).
    values = {name: "1" for name in variables(containers["cruddur"])} | {
        "AWS_COGNITO_USER_POOL_ID": "eu-central-1_Example01",
        "AWS_COGNITO_USER_POOL_CLIENT_ID": "client",
        "DDB_MESSAGE_TABLE": "cruddur-messages",
        "DATABASE_URL": "postgres://cruddur@127.0.0.1:1/cruddur",
        "CRUDDUR_CORS_ORIGIN": "https://cruddur.example",
        "CRUDDUR_APP": "on",
        "CRUDDUR_APP_SIGN_IN_ORIGIN": "https://cruddur.auth.eu-central-1.amazoncognito.com",
        "CRUDDUR_DATABASE_PASSWORD_FILE": "/dev/null",
        "CRUDDUR_DATABASE_WAIT_SECONDS": "0",
        "CRUDDUR_TRUSTED_PROXIES": "10.0.0.0/8",
        "REDIS_URL": "rediss://:password@127.0.0.1:1",
        "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "PATH": os.environ["PATH"],
    }
    done = subprocess.run([program, "serve"], env=values, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, (done.returncode, done.stderr)


def actions(statements):
    found = set()
    for statement in statements:
        action = statement["Action"]
        found |= {action} if isinstance(action, str) else set(action)
    return found


def check_roles(resources):
    for role, policy, file in (("TaskRole", "serve", "iam-serve"), ("OperatorRole", "operate", "iam-operate")):
        policies = {entry["PolicyName"]: entry for entry in resources[role]["Properties"]["Policies"]}
        tested = json.loads((ROOT / f"deploy/{file}.json").read_text())["Statement"]
        allowed = actions(policies[policy]["PolicyDocument"]["Statement"])
        assert allowed == actions(tested), f"{role} and deploy/{file}.json differ: {allowed ^ actions(tested)}"


def client(service, endpoint):
    return boto3.client(
        service, endpoint_url=endpoint, region_name=REGION, aws_access_key_id="local", aws_secret_access_key="local"
    )


def without_functions(value, known):
    """A value of the template with its references replaced by the values to which they refer."""
    if isinstance(value, list):
        return [without_functions(entry, known) for entry in value]
    if not isinstance(value, dict):
        return value
    if "Ref" in value:
        return known[value["Ref"]]
    if "Fn::GetAtt" in value:
        return known[".".join(value["Fn::GetAtt"])]
    if "Fn::Sub" in value:
        return re.sub(r"\$\{([^}]+)\}", lambda name: known[name[1]], value["Fn::Sub"])
    return {key: without_functions(entry, known) for key, entry in value.items()}


def create_pool(resources, cognito):
    """The pool and its client. moto's CloudFormation supports neither, so this function creates them with
    the same properties by Cognito's API, whose parameters have the same names."""
    known = {"AWS::StackName": "cruddur", "FrontEndOrigin": "https://cruddur.example"}
    known["ApiDomainName"] = "messages.cruddur.example"
    properties = without_functions(resources["UserPool"]["Properties"], known)
    pool = cognito.create_user_pool(PoolName=properties.pop("UserPoolName"), **properties)["UserPool"]
    known["UserPool"] = pool["Id"]
    properties = without_functions(resources["UserPoolClient"]["Properties"], known)
    app = cognito.create_user_pool_client(**properties)["UserPoolClient"]
    return pool, app["ClientId"]


def create_stack(resources, pool, endpoint):
    """Creates the table and the roles; returns their physical IDs."""
    roles = ("TaskRole", "OperatorRole")
    known = {
        "UserPool.Arn": pool["Arn"],
        "Database.MasterUserSecret.SecretArn": f"arn:aws:secretsmanager:{REGION}:123456789012:secret:database",
        "Table.Arn": f"arn:aws:dynamodb:{REGION}:123456789012:table/cruddur-messages",
        "AWS::Partition": "aws",
        "AWS::AccountId": "123456789012",
    }
    part = {name: without_functions(resources[name], known) for name in roles} | {"Table": resources["Table"]}
    # moto loads a service at its first call, and its CloudFormation supports only loaded services.
    client("dynamodb", endpoint).list_tables()
    client("iam", endpoint).list_roles()
    cloudformation = client("cloudformation", endpoint)
    document = {"AWSTemplateFormatVersion": "2010-09-09", "Resources": part}
    cloudformation.create_stack(
        StackName="cruddur", TemplateBody=json.dumps(document), Capabilities=["CAPABILITY_IAM"]
    )
    rows = cloudformation.describe_stack_resources(StackName="cruddur")["StackResources"]
    created = {row["LogicalResourceId"]: row["PhysicalResourceId"] for row in rows}
    assert set(created) == {*roles, "Table"}, created
    # moto ignores this property of a table in a template.
    expiry = resources["Table"]["Properties"]["TimeToLiveSpecification"]
    client("dynamodb", endpoint).update_time_to_live(TableName=created["Table"], TimeToLiveSpecification=expiry)
    return created


def sign_in(cognito, pool, app):
    """A user of the pool and an access token of that user."""
    cognito.admin_create_user(
        UserPoolId=pool,
        Username="ada@example.com",
        UserAttributes=[
            {"Name": "email", "Value": "ada@example.com"},
            {"Name": "name", "Value": "Ada"},
            {"Name": "preferred_username", "Value": "ada"},
        ],
    )
    cognito.admin_set_user_password(UserPoolId=pool, Username="ada@example.com", Password=PASSWORD, Permanent=True)
    answer = cognito.admin_initiate_auth(
        UserPoolId=pool,
        ClientId=app,
        AuthFlow="ADMIN_USER_PASSWORD_AUTH",
        AuthParameters={"USERNAME": "ada@example.com", "PASSWORD": PASSWORD},
    )
    return answer["AuthenticationResult"]["AccessToken"]


def check_stack(program, resources, endpoint, database_url):
    cognito = client("cognito-idp", endpoint)
    pool, app = create_pool(resources, cognito)
    created = create_stack(resources, pool, endpoint)
    environment = {
        "PATH": os.environ["PATH"],
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "DATABASE_URL": database_url,
        "DDB_MESSAGE_TABLE": created["Table"],
        "AWS_COGNITO_USER_POOL_ID": pool["Id"],
        "AWS_COGNITO_USER_POOL_CLIENT_ID": app,
        "COGNITO_JWKS_URL": f"{endpoint}/{pool['Id']}/.well-known/jwks.json",
    }
    loaded = subprocess.run([program, "schema-load", "--prod"], env=environment, capture_output=True, text=True)
    assert loaded.returncode == 0, (loaded.stdout, loaded.stderr)
    print(loaded.stdout.splitlines()[0])

    connection = database(database_url)
    connection.run("INSERT INTO public.users (handle, display_name, email) VALUES ('ada', 'Ada', 'ada@example.com')")
    connection.close()
    token = sign_in(cognito, pool["Id"], app)
    subprocess.run([program, "update-cognito-user-ids"], env=environment, check=True, capture_output=True)

    with serving(program, environment) as url:
        viewer = ask(url, token, "{ viewer { handle } }")["viewer"]
    assert viewer == {"handle": "ada"}, viewer


def main():
    program = str(pathlib.Path(sys.argv[1]).resolve())
    stack = template()
    check_settings(program, stack["Resources"])
    check_roles(stack["Resources"])
    port = free_port()
    moto = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with (
        running(moto, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as moto,
        dev(program) as places,
    ):
        wait_for(port, moto)
        check_stack(program, stack["Resources"], f"http://127.0.0.1:{port}", places["database_url"])
    print("the template's settings, roles, table and user pool match the program")
    print("1 passed, 0 failed")


if __name__ == "__main__":
    main()
