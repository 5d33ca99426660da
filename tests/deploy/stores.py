"""Changes the stores while three instances serve: rotates the database password, restarts PgBouncer,
and fails Redis over to its replica.

Usage: stores.py <cruddur program> [--followers 60] [--writers 32]. Needs aiohttp and pg8000, and
redis-server, pgbouncer, nginx and haproxy.

Writers and followers are the same as in rolling.py. Each change may delay requests or make them fail
with `UNAVAILABLE`. No request may fail with `INTERNAL_SERVER_ERROR`, requests must succeed again without
a restart of an instance, and no message or event may be lost or duplicated.
"""

import argparse
import asyncio
import contextlib
import os
import socket
import subprocess
import time
from urllib.parse import urlsplit

import cluster
from processes import database, free_port, running, wait_for

# Duration of the load after the change in seconds: longer than the timeout of a request.
GOES_ON = 12
RECOVERED_WITHIN = 30
# Without the cache, each request looks up its users in Postgres.
WITHOUT_CACHE = {"CRUDDUR_USER_CACHE_SECONDS": "0"}
ROLE = "service"


def create_role(places, password):
    """Creates a role for the instances, without the rights of the owner."""
    connection = database(places["database_url"])
    exists = connection.run("SELECT FROM pg_roles WHERE rolname = :role", role=ROLE)
    connection.run(f"{'ALTER' if exists else 'CREATE'} ROLE {ROLE} LOGIN PASSWORD '{password}'")
    connection.run(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {ROLE}")
    connection.close()


def url_of_role(places, port=None):
    parts = urlsplit(places["database_url"])
    return f"postgres://{ROLE}@{parts.hostname}:{port or parts.port}{parts.path}"


def write_password(file, password):
    """Replaces the file by renaming a new one over it."""
    new = file.with_suffix(".new")
    new.write_text(password)
    new.rename(file)


async def rotate_password(places, file):
    """Rotates the password and closes all connections; the file has the new password after one second."""
    connection = database(places["database_url"])
    connection.run(f"ALTER ROLE {ROLE} PASSWORD 'second'")
    connection.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = :role", role=ROLE)
    connection.close()
    await asyncio.sleep(1)
    write_password(file, "second")


class PgBouncer:
    def __init__(self, places, folder):
        self.port = free_port()
        parts = urlsplit(places["database_url"])
        (folder / "users.txt").write_text(f'"{ROLE}" "first"\n')
        self.file = folder / "pgbouncer.ini"
        self.file.write_text(
            f"[databases]\n* = host={parts.hostname} port={parts.port}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {self.port}\nunix_socket_dir =\n"
            f"auth_type = scram-sha-256\nauth_file = {folder}/users.txt\npool_mode = transaction\n"
            "default_pool_size = 10\nmax_client_conn = 200\n"
        )
        self.process = None

    def start(self):
        path = os.environ["PATH"] + ":/usr/sbin"
        self.process = subprocess.Popen(
            ["pgbouncer", "--quiet", str(self.file)], env={"PATH": path}, cwd="/",
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **cluster.as_unprivileged(),
        )
        wait_for(self.port, self.process)

    async def restart(self):
        self.process.kill()
        self.process.wait()
        await asyncio.sleep(1)
        self.start()


@contextlib.contextmanager
def redis_with_replica(folder):
    """Two Redis servers, and HAProxy, which connects to the master."""
    port = free_port()
    with cluster.redis() as (first, process), cluster.redis("--replicaof", f"127.0.0.1 {first}") as (second, _):
        file = folder / "redis.cfg"
        servers = "\n".join(f"  server redis{server} 127.0.0.1:{server} check inter 500" for server in (first, second))
        file.write_text(
            "defaults\n  mode tcp\n  timeout connect 1s\n  timeout client 1m\n  timeout server 1m\n"
            f"listen redis\n  bind 127.0.0.1:{port}\n  option tcp-check\n  tcp-check send info\\ replication\\r\\n\n"
            f"  tcp-check expect string role:master\n  default-server fall 1 rise 1 on-marked-down shutdown-sessions\n"
            f"{servers}\n"
        )
        path = os.environ["PATH"] + ":/usr/sbin"
        with running(["haproxy", "-db", "-f", str(file)], env={"PATH": path}, stderr=subprocess.DEVNULL) as haproxy:
            wait_for(port, haproxy)
            yield port, process, second


async def fail_over(process, replica):
    """Kills the master, and promotes the replica two seconds later."""
    process.kill()
    process.wait()
    await asyncio.sleep(2)
    with socket.create_connection(("127.0.0.1", replica), timeout=5) as connection:
        connection.sendall(b"REPLICAOF NO ONE\r\n")
        assert connection.recv(64).startswith(b"+OK")


async def check(name, places, environment, folder, change, options):
    """Runs a load, makes the change, and compares the sent, stored and received messages."""
    users = options.users
    with cluster.instances(options.program, environment, folder) as started:
        ports = [instance.port for instance in started]
        async with cluster.session() as session:
            for instance in started:
                await instance.ready(session)
            await cluster.sign_in(session, places, users)
            with cluster.proxy("nginx", folder, ports) as url, cluster.log_of(folder):
                load = cluster.Load(session, url, users, options.followers)
                await load.start(options.pause)
                await asyncio.sleep(1)
                began = time.monotonic()
                await change()
                changed = time.monotonic() - began
                await asyncio.sleep(options.goes_on)
                result = await load.compare()
                last_failure = max((ended for _, ended, _ in load.failures if ended > began), default=began)
                last_late_event = max(load.last_late_event(), began)
                figures = cluster.figures(load, result) | {
                    "seconds of the change": f"{changed:.1f}",
                    "seconds until the last failure": f"{last_failure - began:.1f}",
                    "seconds until the last late event": f"{last_late_event - began:.1f}",
                }
                cluster.report(f"{name}: {len(load.followers)} followers, {len(users)} writers", figures)
                for instance in started:
                    assert instance.process.poll() is None, "an instance has ended"
    assert last_failure - began < RECOVERED_WITHIN, "requests failed until the end"
    other = [failure for _, _, failure in load.failures if "UNAVAILABLE" not in failure]
    assert not other, other[:3]
    for name in ("lost", "duplicated", "events lost", "events duplicated or out of order"):
        assert result[name] == 0, f"{name}: {result[name]}"


async def check_all(places, options):
    with cluster.redis() as (redis, _), cluster.folder() as folder:
        create_role(places, "first")
        password = folder / "password"
        write_password(password, "first")
        with_redis = {"REDIS_URL": f"redis://127.0.0.1:{redis}"}
        with_role = WITHOUT_CACHE | with_redis | {"CRUDDUR_DATABASE_PASSWORD_FILE": str(password)}

        environment = cluster.environment(places, **with_role, DATABASE_URL=url_of_role(places))
        change = lambda: rotate_password(places, password)
        await check("password rotated", places, environment, folder, change, options)

        create_role(places, "first")
        write_password(password, "first")
        pgbouncer = PgBouncer(places, folder)
        pgbouncer.start()
        try:
            url = url_of_role(places, pgbouncer.port)
            environment = cluster.environment(places, **with_role, DATABASE_URL=url)
            await check("PgBouncer restarted", places, environment, folder, pgbouncer.restart, options)
        finally:
            pgbouncer.process.kill()

    with cluster.folder() as folder, redis_with_replica(folder) as (redis, process, replica):
        environment = cluster.environment(places, REDIS_URL=f"redis://127.0.0.1:{redis}")
        change = lambda: fail_over(process, replica)
        await check("Redis failed over", places, environment, folder, change, options)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--followers", type=int, default=60)
    parser.add_argument("--writers", type=int, default=32)
    parser.add_argument("--pause", type=float, default=1.0, help="mean seconds between the messages of a writer")
    parser.add_argument("--goes-on", type=float, default=GOES_ON, help="seconds of load after a change")
    options = parser.parse_args()
    options.program = os.path.abspath(options.program)
    began = time.monotonic()
    with cluster.dev(options.program) as places:
        options.users = cluster.create_users(places, options.writers // 2)
        asyncio.run(check_all(places, options))
    print(f"\n{time.monotonic() - began:.0f} s")
    print("1 passed, 0 failed")


if __name__ == "__main__":
    main()
