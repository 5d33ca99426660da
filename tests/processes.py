"""Processes of the checks in Python: the program and the servers that it uses, on free ports."""

import contextlib
import json
import os
import random
import socket
import subprocess
import time
import urllib.error
import urllib.request
from urllib.parse import urlsplit


chosen_ports = set()


def free_port():
    """Returns a port below those that the system assigns to clients, so that it stays free while its server is stopped."""
    while True:
        port = random.randrange(15_000, 30_000)
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", port))
            if port not in chosen_ports:
                chosen_ports.add(port)
                return port


def wait_for(port, process, seconds=180):
    """Waits until the process listens on the port."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert process.poll() is None, f"{process.args} ended with {process.returncode}"
        with socket.socket() as attempt:
            if attempt.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError(f"nothing listens on port {port}")


@contextlib.contextmanager
def running(command, **options):
    with subprocess.Popen(command, **options) as process:
        try:
            yield process
        finally:
            process.terminate()


@contextlib.contextmanager
def dev(program):
    """`cruddur dev` on free ports; the addresses that it prints."""
    ports = [argument for name in ("dynamodb", "postgres", "issuer") for argument in (f"--{name}-port", "0")]
    command = [program, "dev", "--json", "--listen", "127.0.0.1:0", *ports]
    with running(command, stdout=subprocess.PIPE, text=True) as process:
        yield json.loads(process.stdout.readline())


def stores(places):
    """The variables with which a command uses the stores and the issuer of `dev`."""
    return {
        "PATH": os.environ["PATH"],
        "RUST_LOG": "error",
        "CRUDDUR_DRAIN_SECONDS": "0",
        "AWS_ENDPOINT_URL_DYNAMODB": places["dynamodb"],
        "DATABASE_URL": places["database_url"],
        "DDB_MESSAGE_TABLE": places["table"],
        "COGNITO_ISSUER": places["issuer"],
        "AWS_COGNITO_USER_POOL_CLIENT_ID": places["client_id"],
    }


@contextlib.contextmanager
def serving(program, environment, *options):
    """`cruddur serve` on a free port; the URL of its API."""
    port = free_port()
    with running([program, "serve", "--listen", f"127.0.0.1:{port}", *options], env=environment) as process:
        wait_for(port, process)
        yield f"http://127.0.0.1:{port}/graphql"


def post(url, token, body, accept="application/json"):
    """Status and body of a request."""
    headers = {"content-type": "application/json", "accept": accept, "authorization": f"Bearer {token}"}
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers), timeout=30)
    except urllib.error.HTTPError as error:
        response = error
    with response:
        # The body of an event stream has no end.
        return response.status, None if accept == "text/event-stream" else json.load(response)


def ask(url, token, query, variables=None):
    """The data of a response without errors."""
    _, response = post(url, token, {"query": query, "variables": variables or {}})
    assert "errors" not in response, response
    return response["data"]


def database(url, **options):
    """A connection to Postgres."""
    import pg8000.native  # Only some checks install it.

    parts = urlsplit(url)
    known = {"user": parts.username, "host": parts.hostname, "port": parts.port, "database": parts.path[1:]}
    return pg8000.native.Connection(**{**known, "password": parts.password, **options})
