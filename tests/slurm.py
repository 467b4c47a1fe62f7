"""A real SLURM of one node on this machine, for the length of a test: Debian's slurm-wlm and munge, loopback only."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.processes import free_port

NEEDS = ("munged", "slurmctld", "slurmd", "sbatch")
LONGEST = 400.0
"""Seconds after which what is waited for has failed."""
CONFIG = """
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={controller}
SlurmdPort={daemon}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ReturnToService=2
KillWait=15
MpiDefault=none
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 State=UNKNOWN
PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def found(name: str) -> str | None:
    """The path of a program, also of one for administrators."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def is_installed() -> bool:
    """Whether the programs of SLURM are here."""
    return all(found(name) for name in NEEDS)


@contextmanager
def running(folder: Path) -> Iterator[None]:
    """SLURM takes jobs meanwhile, for those who have its ``SLURM_CONF`` in their environment.

    Args:
        folder: an empty one, for its state; its path is short, for a socket is in it.
    """
    folder.chmod(0o755)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key, config = folder / "munge.key", folder / "slurm.conf"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    place = {"host": socket.gethostname().split(".")[0], "user": getpass.getuser(), "folder": folder}
    config.write_text(CONFIG.format(**place, controller=free_port(), daemon=free_port()))
    files = [f"--{what}-file={folder}/munge.{what}" for what in ("key", "log", "pid", "seed")]
    munge = ["munged", "--foreground", "--force", f"--socket={folder}/munge.socket", *files]
    daemons = []
    before = os.environ.get("SLURM_CONF")
    os.environ["SLURM_CONF"] = str(config)
    try:
        for command in (munge, ["slurmctld", "-D", "-f", str(config)], ["slurmd", "-D", "-f", str(config)]):
            with (folder / f"{command[0]}.txt").open("w") as log:
                daemons.append(subprocess.Popen([found(command[0]) or "", *command[1:]], stdout=log, stderr=log))
        until(lambda: "idle" in asked("sinfo", "--noheader", "--format=%T"), 60)
        yield
        subprocess.run(["scancel", "--me"], check=True)
        until(lambda: not asked("squeue", "--noheader"))
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
            daemon.wait()
        del os.environ["SLURM_CONF"]
        if before is not None:
            os.environ["SLURM_CONF"] = before


def asked(*command: str) -> str:
    """What a command answers; nothing if it fails."""
    return subprocess.run(command, capture_output=True, text=True).stdout


def restarts(number: str) -> int:
    """How often a job has been put into the queue again; what waits there for its time may start at once."""
    said = dict(text.split("=", 1) for text in asked("scontrol", "show", "job", number).split() if "=" in text)
    if said.get("Reason") == "BeginTime":
        asked("scontrol", "update", f"JobId={number}", "StartTime=now")
    return int(said.get("Restarts", 0))


def until(true: Callable[[], object], within: float = LONGEST) -> None:
    """Wait until something is true.

    Raises:
        TimeoutError: it has not become so within these seconds.
    """
    given_up = time.monotonic() + within
    while not true():
        if time.monotonic() > given_up:
            raise TimeoutError(f"not within {within:.0f} s")
        time.sleep(0.2)
