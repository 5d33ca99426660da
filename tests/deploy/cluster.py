"""Three instances with the stores of `cruddur dev`, Redis and a real proxy in front of them, with
writers and followers. rolling.py and stores.py use it.

Each pair of users has one message group, to which both write. Each message has a key of its own,
which is also its body, so that the stored messages can be compared with the sent ones.
"""

import asyncio
import contextlib
import json
import os
import pathlib
import pwd
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid

import aiohttp

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from processes import database, dev, free_port, running, stores, wait_for

ROOT = pathlib.Path(__file__).parents[2]
# Timeout of every wait: far longer than the wait takes on a busy machine.
WAIT_TIMEOUT = 90
INSTANCES = 3
# An event that arrives more than this many seconds after the acknowledgement of its message is late.
LATE = 1
CREATE = """mutation($input: CreateMessageInput!) {
  createMessage(input: $input) {
    __typename
    ... on CreateMessageSuccess { messageEdge { node { uuid messageGroup { uuid } } } }
  }
}"""
FOLLOW = """subscription($after: String) {
  messageCreated(after: $after) { cursor messageEdge { node { uuid body } } }
}"""
PAGE = """query($group: UUID!, $after: String) {
  messages(messageGroupUuid: $group, first: 100, after: $after) {
    edges { node { uuid body } } pageInfo { hasNextPage endCursor }
  }
}"""


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


class User:
    def __init__(self, handle, other):
        self.handle, self.other = handle, other
        self.token = None
        self.group = None


def create_users(places, pairs):
    """Users in pairs, in the database of `dev`."""
    users = []
    for number in range(pairs):
        names = (f"left{number}", f"right{number}")
        users += [User(names[0], names[1]), User(names[1], names[0])]
    connection = database(places["database_url"])
    for user in users:
        connection.run(
            "INSERT INTO public.users (handle, display_name, email, cognito_user_id) "
            "VALUES (:handle, :handle, :email, :sub)",
            handle=user.handle, email=f"{user.handle}@example.com", sub=str(uuid.uuid4()),
        )
    connection.close()
    return users


async def sign_in(session, places, users):
    root = places["issuer"].rsplit("/", 1)[0]
    for user in users:
        async with session.post(f"{root}/token", json={"handle": user.handle}) as response:
            user.token = (await response.json())["access_token"]


class Instance:
    """One `cruddur serve`, always on the same port."""

    def __init__(self, program, environment, log):
        self.port = free_port()
        self.command = [program, "serve", "--listen", f"127.0.0.1:{self.port}"]
        self.environment, self.log = environment, log
        self.process = None

    def start(self):
        self.process = subprocess.Popen(self.command, env=self.environment, stderr=self.log)

    async def ready(self, session):
        await until(lambda: self._is_ready(session), f"port {self.port} is ready")

    async def _is_ready(self, session):
        assert self.process.poll() is None, f"an instance ended with {self.process.returncode}"
        try:
            async with session.get(f"http://127.0.0.1:{self.port}/readyz") as response:
                return response.status == 200
        except aiohttp.ClientError:
            return False

    async def ended(self):
        """The exit code."""
        return await asyncio.wait_for(asyncio.to_thread(self.process.wait), WAIT_TIMEOUT)

    async def restart(self, session):
        """Stops the instance with SIGTERM, as a platform does, and starts it again."""
        self.process.send_signal(signal.SIGTERM)
        code = await self.ended()
        assert code == 0, f"an instance ended with {code}"
        self.start()
        await self.ready(session)


async def until(check, what, seconds=WAIT_TIMEOUT):
    end = time.monotonic() + seconds
    while not await check():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds} s: {what}")
        await asyncio.sleep(0.05)


def nginx(folder, ports, port):
    text = (ROOT / "deploy/nginx.conf").read_text()
    server = "    server 127.0.0.1:4000 max_fails=0;\n"
    assert server in text and "listen 443 ssl;" in text
    text = text.replace(server, "".join(server.replace("4000", str(instance)) for instance in ports))
    text = text.replace("listen 443 ssl;", f"listen 127.0.0.1:{port};")
    text = "\n".join(line for line in text.splitlines() if "ssl_certificate" not in line)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "\n".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    file = folder / "nginx.conf"
    file.write_text(
        f"user root;\nworker_processes 2;\ndaemon off;\npid {folder}/nginx.pid;\nerror_log stderr crit;\n"
        f"events {{ worker_connections 4096; }}\nhttp {{\naccess_log off;\n{temporary}\n{text}\n}}\n"
    )
    return ["nginx", "-e", "stderr", "-c", str(file)]


def haproxy(folder, ports, port):
    text = (ROOT / "deploy/haproxy.cfg").read_text()
    server = "    server cruddur1 127.0.0.1:4000\n"
    bind = "bind :443 ssl crt /etc/haproxy/tls/certificate-and-key.pem alpn h2,http/1.1"
    assert server in text and bind in text
    lines = (f"    server cruddur{instance} 127.0.0.1:{instance}\n" for instance in ports)
    file = folder / "haproxy.cfg"
    file.write_text(text.replace(server, "".join(lines)).replace(bind, f"bind 127.0.0.1:{port}"))
    return ["haproxy", "-db", "-f", str(file)]


PROXIES = {"nginx": nginx, "haproxy": haproxy}


@contextlib.contextmanager
def proxy(name, folder, ports):
    """The URL of a proxy in front of these ports."""
    port = free_port()
    path = os.environ["PATH"] + ":/usr/sbin"
    command = PROXIES[name](folder, ports, port)
    with open(folder / "proxy.log", "wb") as log, running(command, env={"PATH": path}, stderr=log) as process:
        wait_for(port, process)
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def redis(*options):
    """The port of a Redis, and its process."""
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", *options]
    # A replica writes a file.
    with folder() as place, running(command, stdout=subprocess.DEVNULL, cwd=place) as process:
        wait_for(port, process)
        yield port, process


@contextlib.contextmanager
def instances(program, environment, folder):
    with contextlib.ExitStack() as stack:
        log = stack.enter_context(open(folder / "serve.log", "wb"))
        started = [Instance(program, environment, log) for _ in range(INSTANCES)]
        try:
            for instance in started:
                instance.start()
            yield started
        finally:
            for instance in started:
                instance.process.kill()
                instance.process.wait()


@contextlib.contextmanager
def log_of(folder):
    """Prints the number of occurrences of each warning in the instances' log. Fails if the log has errors."""
    try:
        yield
    finally:
        counts = {}
        for line in (folder / "serve.log").read_text().splitlines():
            with contextlib.suppress(ValueError):
                entry = json.loads(line)
                what = (entry["level"], entry["message"], entry.get("cause", entry.get("error", "")))
                counts[what] = counts.get(what, 0) + 1
        for (level, message, cause), count in sorted(counts.items(), key=lambda entry: -entry[1])[:20]:
            print(f"  log: {count} x {level} {message}: {cause}")
    assert not any(level == "ERROR" for level, _, _ in counts), "the log has errors"


@contextlib.contextmanager
def folder():
    with tempfile.TemporaryDirectory(prefix="cruddur-") as name:
        path = pathlib.Path(name)
        path.chmod(0o755)
        yield path


def environment(places, **more):
    """The environment variables of an instance, without a rate limit on messages."""
    return stores(places) | {"CRUDDUR_SEND_RATE": "0", "RUST_LOG": "warn"} | more


def as_unprivileged():
    """Options of a process for a program that does not run as root."""
    if os.geteuid() != 0:
        return {}
    try:
        user = pwd.getpwnam("postgres")
    except KeyError:
        user = pwd.getpwnam("nobody")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


class Load:
    """Writers and followers, and the results of their requests."""

    def __init__(self, session, url, users, followers):
        self.session, self.url, self.users = session, url, users
        self.followers = [Follower(self, users[number % len(users)]) for number in range(followers)]
        # The user and the message's UUID by key.
        self.acknowledged = {}
        # When each message was acknowledged, by its UUID.
        self.acknowledged_at = {}
        self.before = set()
        self.sent = 0
        # The start of each failed request, and its failure.
        self.failures = []
        # The starts of the requests without a response.
        self.in_flight = []
        self.latencies = []
        self.is_over = asyncio.Event()
        self.tasks = []

    async def send(self, user, key):
        """Sends a message once. Returns its UUID, or a description of the failure."""
        body = {"to": {"receiverHandle": user.other}, "body": key, "idempotencyKey": key}
        request = {"query": CREATE, "variables": {"input": body}}
        headers = {"authorization": f"Bearer {user.token}"}
        began = time.monotonic()
        try:
            async with self.session.post(f"{self.url}/graphql", json=request, headers=headers) as response:
                text = await response.text()
                if response.status != 200:
                    return None, f"status {response.status}: {text[:200]}"
        except (aiohttp.ClientError, asyncio.TimeoutError) as error:
            return None, f"{type(error).__name__}: {error}"
        self.latencies.append(time.monotonic() - began)
        response = json.loads(text)
        if response.get("errors"):
            error = response["errors"][0]
            extensions = error.get("extensions", {})
            return None, f"{extensions.get('code')} {extensions.get('outcome')}: {error['message']}"
        node = response["data"]["createMessage"]["messageEdge"]["node"]
        user.group = node["messageGroup"]["uuid"]
        return node["uuid"], None

    async def deliver(self, user):
        """Sends one message until the server acknowledges it, each time with the same key."""
        key = str(uuid.uuid4())
        self.sent += 1
        for attempt in range(50):
            began = time.monotonic()
            self.in_flight.append(began)
            message, failure = await self.send(user, key)
            self.in_flight.remove(began)
            if message:
                self.acknowledged[key] = (user, message)
                self.acknowledged_at[message] = time.monotonic()
                return
            self.failures.append((began, time.monotonic(), failure))
            await asyncio.sleep(min(0.1 * 2**attempt, 2))
        raise TimeoutError(f"a message was not acknowledged: {failure}")

    async def write(self, user, pause):
        await asyncio.sleep(random.uniform(0, 2 * pause))
        while not self.is_over.is_set():
            await self.deliver(user)
            await asyncio.sleep(random.uniform(0, 2 * pause))

    async def start(self, pause):
        """Starts all followers and, when each of them receives events, all writers."""
        self.tasks += [asyncio.create_task(follower.run()) for follower in self.followers]

        async def all_follow():
            self.check_tasks()
            waiting = {follower.user.handle: follower.user for follower in self.followers if not follower.order}
            for user in waiting.values():
                await self.deliver(user)
            return not waiting

        await until(all_follow, "each follower has an event")
        # Some followers subscribed after the first of these messages.
        self.before = set(self.acknowledged)
        self.tasks += [asyncio.create_task(self.write(user, pause)) for user in self.users]

    def delays(self):
        """The time of arrival of each event, and its delay after the acknowledgement in seconds."""
        for follower in self.followers:
            for message, arrival in zip(follower.order, follower.arrivals):
                # The sender of a failed request does not know when its message was written.
                if acknowledged := self.acknowledged_at.get(message):
                    yield arrival, max(0.0, arrival - acknowledged)

    def last_late_event(self):
        return max((arrival for arrival, delay in self.delays() if delay > LATE), default=0.0)

    def check_tasks(self):
        for task in self.tasks:
            if task.done():
                task.result()

    async def stop_writers(self):
        self.is_over.set()
        writers = self.tasks[len(self.followers):]
        await asyncio.wait_for(asyncio.gather(*writers), WAIT_TIMEOUT)

    async def complete(self):
        """Stops the writers, and waits until each follower has each acknowledged message."""
        await self.stop_writers()
        expected = {}
        for key in self.acknowledged.keys() - self.before:
            user, message = self.acknowledged[key]
            expected.setdefault(frozenset((user.handle, user.other)), set()).add(message)

        async def all_have_all():
            self.check_tasks()
            return not any(follower.missing(expected) for follower in self.followers)

        with contextlib.suppress(TimeoutError):
            await until(all_have_all, "all followers have all messages")
        lost_events = sum(len(follower.missing(expected)) for follower in self.followers)
        for task in self.tasks[:len(self.followers)]:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        return lost_events

    async def stored(self):
        """The stored messages, in order, by pair."""
        found = {}
        for user in self.users:
            pair = frozenset((user.handle, user.other))
            if pair in found or user.group is None:
                continue
            found[pair], after = [], None
            while True:
                request = {"query": PAGE, "variables": {"group": user.group, "after": after}}
                headers = {"authorization": f"Bearer {user.token}"}
                async with self.session.post(f"{self.url}/graphql", json=request, headers=headers) as response:
                    page = (await response.json())["data"]["messages"]
                found[pair] += [(edge["node"]["uuid"], edge["node"]["body"]) for edge in page["edges"]]
                if not page["pageInfo"]["hasNextPage"]:
                    break
                after = page["pageInfo"]["endCursor"]
        return found

    async def compare(self):
        """Compares the acknowledged messages with the stored ones and with those that each follower received."""
        lost_events = await self.complete()
        stored = await self.stored()
        bodies = [body for messages in stored.values() for _, body in messages]
        places = {pair: {message: place for place, (message, _) in enumerate(messages)}
                  for pair, messages in stored.items()}
        wrong_order = 0
        for follower in self.followers:
            place = places[frozenset((follower.user.handle, follower.user.other))]
            order = [place[message] for message in follower.order]
            wrong_order += sum(later <= earlier for earlier, later in zip(order, order[1:]))
        return {
            "sent": self.sent,
            "lost": len(set(self.acknowledged) - set(bodies)),
            "duplicated": len(bodies) - len(set(bodies)),
            "events": sum(len(follower.order) for follower in self.followers),
            "events lost": lost_events,
            "events duplicated or out of order": wrong_order,
        }


class Follower:
    """A client that follows its user's messages and resumes after a closed connection."""

    def __init__(self, load, user):
        self.load, self.user = load, user
        # The UUIDs of the received messages, and when they arrived.
        self.order = []
        self.arrivals = []
        self.cursor = None
        self.closed_at = None
        # Seconds from a closed connection to the acknowledgement of the next one.
        self.reconnects = []
        self.errors = []

    def missing(self, expected):
        pair = frozenset((self.user.handle, self.user.other))
        return expected.get(pair, set()) - set(self.order)

    async def run(self):
        attempt = 0
        while True:
            with contextlib.suppress(aiohttp.ClientError, ConnectionError, asyncio.TimeoutError):
                async with self.load.session.ws_connect(
                    f"{self.load.url}/graphql", protocols=["graphql-transport-ws"]
                ) as socket:
                    await self._sign_in(socket)
                    attempt = 0
                    await self._follow(socket)
            if attempt == 0:
                self.closed_at = time.monotonic()
            attempt += 1
            # Clients wait for a random time, so that they do not all reconnect at the same time.
            await asyncio.sleep(random.uniform(0, min(0.25 * 2**attempt, 2)))

    async def _sign_in(self, socket):
        payload = {"authorization": f"Bearer {self.user.token}"}
        await socket.send_json({"type": "connection_init", "payload": payload})
        message = await socket.receive(timeout=30)
        if message.type != aiohttp.WSMsgType.TEXT:
            raise ConnectionError("an instance that stops closes a new socket")
        assert json.loads(message.data)["type"] == "connection_ack", message
        if self.closed_at is not None:
            self.reconnects.append(time.monotonic() - self.closed_at)

    async def _follow(self, socket):
        payload = {"query": FOLLOW, "variables": {"after": self.cursor}}
        await socket.send_json({"id": "1", "type": "subscribe", "payload": payload})
        async for message in socket:
            if message.type != aiohttp.WSMsgType.TEXT:
                break
            message = json.loads(message.data)
            if message["type"] != "next":
                self.errors.append(message)
                return
            payload = message["payload"]
            if payload.get("errors"):
                self.errors.append(payload["errors"])
                return
            event = payload["data"]["messageCreated"]
            self.cursor = event["cursor"]
            self.order.append(event["messageEdge"]["node"]["uuid"])
            self.arrivals.append(time.monotonic())


@contextlib.asynccontextmanager
async def session():
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as opened:
        yield opened


def figures(load, result):
    reconnects = [seconds for follower in load.followers for seconds in follower.reconnects]
    delays = [delay for _, delay in load.delays()]
    return result | {
        "failed requests": len(load.failures),
        "request p50/p99/max, ms": "/".join(
            f"{1000 * value:.0f}" for value in
            (percentile(load.latencies, 0.5), percentile(load.latencies, 0.99), max(load.latencies))
        ),
        "event delay p50/p99/max, ms": "/".join(
            f"{1000 * value:.0f}" for value in
            (percentile(delays, 0.5), percentile(delays, 0.99), max(delays))
        ),
        "reconnects": len(reconnects),
        "reconnect p50/p99/max, s": "/".join(
            f"{value:.2f}" for value in
            (percentile(reconnects, 0.5), percentile(reconnects, 0.99), max(reconnects, default=0.0))
        ),
    }


def report(title, found):
    print(f"\n{title}")
    for name, value in found.items():
        print(f"  {name:36} {value}")
    sys.stdout.flush()
