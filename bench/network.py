"""The machines of ``bench.machines``: network namespaces on one bridge, whose links can be cut."""

from __future__ import annotations

import os
import subprocess

OURS = ("web1", "web2", "worker1", "worker2", "scheduler1", "scheduler2")
MACHINES = (*OURS, "postgres", "valkey")
NETWORK = "10.77.0"
HOST = f"{NETWORK}.1"  # of this process and the fake SES


def can_run() -> str:
    """Return why this machine cannot run it; '' if it can."""
    if os.geteuid() != 0:
        return "only root may make network namespaces"
    name = f"pm{os.getpid()}probe"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
    return made.stderr.strip()


class Network:
    """A bridge in a namespace of its own, and a namespace for each machine; removed at the end."""

    def __init__(self) -> None:
        self._prefix = f"pm{os.getpid()}"
        self._hub = f"{self._prefix}hub"

    def __enter__(self) -> Network:
        _ip("netns", "add", self._hub)
        self._inside(self._hub, "link", "add", "hub", "type", "bridge")
        self._inside(self._hub, "link", "set", "hub", "up")
        self._plug("host", self._prefix, None, HOST)
        for number, machine in enumerate(MACHINES, 2):
            _ip("netns", "add", self.name(machine))
            self._plug(machine, "eth0", self.name(machine), f"{NETWORK}.{number}")
        return self

    def __exit__(self, *_: object) -> None:
        for machine in MACHINES:
            subprocess.run(["ip", "netns", "del", self.name(machine)], check=False)
        subprocess.run(["ip", "link", "del", self._prefix], check=False)
        subprocess.run(["ip", "netns", "del", self._hub], check=False)

    def name(self, machine: str) -> str:
        """The namespace of a machine."""
        return f"{self._prefix}{machine}"

    def address(self, machine: str) -> str:
        """The address of a machine."""
        return f"{NETWORK}.{MACHINES.index(machine) + 2}"

    def inside(self, machine: str) -> list[str]:
        """The words that run a command on a machine."""
        return ["ip", "netns", "exec", self.name(machine)]

    def set_link(self, machine: str, up: bool) -> None:
        """Cut or heal the link of a machine."""
        self._inside(self._hub, "link", "set", machine, "up" if up else "down")

    def _plug(self, machine: str, link: str, namespace: str | None, address: str) -> None:
        own = ["netns", namespace] if namespace else []
        _ip("link", "add", link, *own, "type", "veth", "peer", "name", machine, "netns", self._hub)
        self._inside(self._hub, "link", "set", machine, "master", "hub", "up")
        run = (lambda *words: self._inside(namespace, *words)) if namespace else _ip
        run("addr", "add", f"{address}/24", "dev", link)
        run("link", "set", link, "up")
        if namespace:
            run("link", "set", "lo", "up")

    def _inside(self, namespace: str, *words: str) -> None:
        _ip("-n", namespace, *words)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)
