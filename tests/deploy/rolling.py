"""Tests rolling restarts and a killed instance, behind nginx and HAProxy with the files of deploy/.

Usage: rolling.py <cruddur program> [--followers 200] [--writers 64] [--rounds 2] [--drain 5]
[--proxy nginx|haproxy]. Needs aiohttp and pg8000, and redis-server, nginx and haproxy.

Three instances share the stores of `cruddur dev` and a Redis. While writers send messages with
idempotency keys and followers subscribe over WebSockets, the script restarts the instances with SIGTERM,
one after the other. No request may fail. Then it freezes and kills one instance: only requests in flight
may fail, and each of them must succeed when its writer sends it again with the same key. At the end, each
acknowledged message must be stored exactly once, and each follower must have received each message once
and in order.
"""

import argparse
import asyncio
import os
import signal
import time

import cluster

# Tolerance in seconds for the start of a request in flight, because the proxy receives a request shortly
# after its writer has sent it.
MOMENT = 0.05
BACK_WITHIN = 2
# A request that began after an instance was frozen and has no response after this many seconds is in flight at it.
FROZEN = 2


async def rolling_restart(load, started, options):
    began = time.monotonic()
    for _ in range(options.rounds):
        for instance in started:
            await instance.restart(load.session)
            load.check_tasks()
    return time.monotonic() - began


async def kill(load, instance):
    """Kills an instance that has requests in flight, and starts it again. Returns the time at which it had ended."""
    instance.process.send_signal(signal.SIGSTOP)
    frozen = time.monotonic()

    async def is_in_flight():
        return any(frozen < began < time.monotonic() - FROZEN for began in load.in_flight)

    await cluster.until(is_in_flight, "a request is in flight at the frozen instance")
    instance.process.kill()
    await instance.ended()
    killed = time.monotonic()
    await asyncio.sleep(2)
    instance.start()
    await instance.ready(load.session)
    return killed


async def check(name, program, options):
    with (
        cluster.dev(program) as places,
        cluster.redis() as (redis, _),
        cluster.folder() as folder,
    ):
        users = cluster.create_users(places, options.writers // 2)
        environment = cluster.environment(
            places,
            REDIS_URL=f"redis://127.0.0.1:{redis}",
            CRUDDUR_DRAIN_SECONDS=str(options.drain),
            # A debug build takes longer than the default of 3 s to open ten connections on a busy machine.
            CRUDDUR_DATABASE_TIMEOUT_MS="8000",
            CRUDDUR_TRUSTED_PROXIES="127.0.0.1",
        )
        with cluster.instances(program, environment, folder) as started:
            ports = [instance.port for instance in started]
            async with cluster.session() as session:
                for instance in started:
                    await instance.ready(session)
                await cluster.sign_in(session, places, users)
                with cluster.proxy(name, folder, ports) as url, cluster.log_of(folder):
                    await check_load(name, cluster.Load(session, url, users, options.followers), started, options)
        if name == "haproxy":
            # HAProxy must stop using an instance because it drains, and not because it is unreachable.
            drained = (folder / "proxy.log").read_text().count("DOWN, reason: Layer7")
            assert drained >= options.rounds * cluster.INSTANCES, (folder / "proxy.log").read_text()


async def check_load(name, load, started, options):
    await load.start(options.pause)
    warm = len(load.failures)
    seconds = await rolling_restart(load, started, options)
    of_restarts = load.failures[warm:]
    restarts = [seconds for follower in load.followers for seconds in follower.reconnects]
    await asyncio.sleep(1)
    killed = await kill(load, started[0])
    of_kill = load.failures[warm + len(of_restarts):]
    result = await load.compare()
    of_kill += load.failures[warm + len(of_restarts) + len(of_kill):]
    in_flight = [failure for failure in of_kill if failure[0] <= killed + MOMENT]
    errors = [error for follower in load.followers for error in follower.errors]
    figures = cluster.figures(load, result) | {
        "restarts": options.rounds * len(started),
        "seconds of the rolling restarts": f"{seconds:.0f}",
        "failed requests during restarts": len(of_restarts),
        "longest reconnect during restarts, s": f"{max(restarts, default=0):.2f}",
        "failed requests after the kill": len(of_kill),
        "of these in flight at the kill": len(in_flight),
    }
    cluster.report(f"{name}: {len(load.followers)} followers, {len(load.users)} writers", figures)
    for began, ended, failure in load.failures[:20]:
        print(f"  failed: {began - killed:+.2f} to {ended - killed:+.2f} s from the end of the instance: {failure}")
    assert not of_restarts, "requests failed during the rolling restart"
    assert len(in_flight) == len(of_kill), "a request failed that was not in flight at the kill"
    assert of_kill, "no request was in flight at the kill"
    assert not errors, errors[:3]
    assert restarts, "no follower had to reconnect"
    assert max(restarts) < options.back_within, f"a follower was away for {max(restarts):.2f} s"
    for name in ("lost", "duplicated", "events lost", "events duplicated or out of order"):
        assert result[name] == 0, f"{name}: {result[name]}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--followers", type=int, default=200)
    parser.add_argument("--writers", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--drain", type=int, default=5)
    parser.add_argument("--pause", type=float, default=2.0, help="mean seconds between the messages of a writer")
    parser.add_argument("--back-within", type=float, default=BACK_WITHIN)
    parser.add_argument("--proxy", choices=cluster.PROXIES)
    options = parser.parse_args()
    began = time.monotonic()
    for name in [options.proxy] if options.proxy else cluster.PROXIES:
        asyncio.run(check(name, os.path.abspath(options.program), options))
    print(f"\n{time.monotonic() - began:.0f} s")
    print("1 passed, 0 failed")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: exit(1))
    main()
