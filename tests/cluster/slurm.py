"""A real SLURM on this machine's loopback: a controller, two nodes with a stand-in GPU each, one without, no accounts.

It is started by hand from Debian's packages, as root, in about two seconds, and every process of it is ended by its id.
"""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

CONFIGURATION = Path("/etc/slurm/slurm.conf")
"""Where programs look that are given no other place: jobs' steps are not."""

MARK = "# A cluster of tests; whoever finds it here may delete it.\n"
NODES = {"n1": "gpu", "n2": "gpu", "n3": "cpu"}
"""The nodes, and the partition that each is in; one job of partition cpu may take a minute."""
PROGRAMS = ("munged", "mungekey", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol")


def why_not() -> str | None:
    """Why there can be no cluster here, or None."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"no SLURM here ({', '.join(missing)}): apt-get install munge slurmctld slurmd slurm-client, as root"
    if os.geteuid() != 0:
        return "a SLURM of one's own needs root"
    if CONFIGURATION.exists() and not CONFIGURATION.read_text().startswith(MARK):
        return f"{CONFIGURATION} is a real cluster's"
    return None


def wait_for(condition: Callable[[], object], seconds: float, what: str) -> object:
    """What the condition gives once that is true; AssertionError that names what was waited for."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.1)
    raise AssertionError(f"not in {seconds} s: {what}")


def environment_of(pid: str) -> dict[str, str]:
    """The environment of a process as it was started; empty if it is gone."""
    try:
        pairs = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return {}
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair)


class Cluster:
    """The cluster's processes and what one asks of it."""

    def __init__(self, folder: Path) -> None:
        """Start it; what it writes is in `folder`."""
        self.folder = folder
        self.processes: dict[str, subprocess.Popen] = {}
        for name in ("state", *NODES):
            (folder / name).mkdir()
        for name in NODES:
            # Whatever is a character device can be counted as a GPU.
            subprocess.run(["mknod", str(folder / f"{name}-gpu"), "c", "1", "3"], check=True)
        self.configure()
        subprocess.run(["mungekey", "--create", f"--keyfile={folder}/munge.key"], check=True)
        self.start(
            "munged",
            *("munged", "--foreground", "--force", f"--key-file={folder}/munge.key", f"--socket={folder}/munge.socket"),
            *(f"--pid-file={folder}/munged.pid", f"--log-file={folder}/munged.log", f"--seed-file={folder}/munge.seed"),
        )
        wait_for((folder / "munge.socket").exists, 10, "munged's socket")
        self.start("slurmctld", "slurmctld", "-D", "-i")
        for name in NODES:
            self.start(name, "slurmd", "-D", "-N", name)
        wait_for(lambda: self.states() == dict.fromkeys(NODES, "idle"), 30, "idle nodes")

    def configure(self) -> None:
        """Write the configuration: loopback only, short intervals, everything under the cluster's folder."""
        folder = self.folder
        nodes = "".join(
            f"NodeName={name} NodeHostname=localhost NodeAddr=127.0.0.1 Port={17010 + number} CPUs=2 RealMemory=16000"
            f"{' Gres=gpu:1' if partition == 'gpu' else ''}\n"
            for number, (name, partition) in enumerate(NODES.items())
        )
        gpus = "".join(
            f"NodeName={name} Name=gpu File={folder}/{name}-gpu\n"
            for name, partition in NODES.items()
            if partition == "gpu"
        )
        CONFIGURATION.parent.mkdir(exist_ok=True)
        CONFIGURATION.write_text(
            f"{MARK}ClusterName=tests\nSlurmctldHost=localhost(127.0.0.1)\nSlurmUser=root\n"
            f"AuthType=auth/munge\nAuthInfo=socket={folder}/munge.socket\n"
            "SlurmctldPort=17000\nCommunicationParameters=NoInAddrAny,NoCtldInAddrAny\n"
            f"StateSaveLocation={folder}/state\nSlurmdSpoolDir={folder}/%n\n"
            f"SlurmctldPidFile={folder}/slurmctld.pid\nSlurmdPidFile={folder}/%n.pid\n"
            f"SlurmctldLogFile={folder}/slurmctld.log\nSlurmdLogFile={folder}/%n.log\n"
            "ProctrackType=proctrack/linuxproc\nMpiDefault=none\n"
            "SelectType=select/cons_tres\nSelectTypeParameters=CR_Core_Memory\n"
            "GresTypes=gpu\nSlurmdParameters=config_overrides\nReturnToService=2\n"
            "SchedulerType=sched/backfill\nSchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0\n"
            # A job that is told to end has 10 s to do so. What has ended stays in the queue for an hour.
            "KillWait=10\nMinJobAge=3600\n"
            f"{nodes}"
            "PartitionName=gpu Nodes=n1,n2 Default=YES MaxTime=600 State=UP\n"
            "PartitionName=cpu Nodes=n3 MaxTime=1 State=UP\n"
        )
        (CONFIGURATION.parent / "gres.conf").write_text(f"{MARK}AutoDetect=off\n{gpus}")

    def start(self, name: str, *command: str) -> None:
        """Start one of the cluster's processes."""
        log = (self.folder / f"{name}.out").open("a")
        self.processes[name] = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    def stop(self) -> None:
        """End every job and every process."""
        left = [pid for node in NODES for pid in self.processes_of(node)]
        for name in reversed(self.processes):
            self.processes[name].terminate()
            try:
                self.processes[name].wait(10)
            except subprocess.TimeoutExpired:
                self.processes[name].kill()
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        CONFIGURATION.unlink()
        (CONFIGURATION.parent / "gres.conf").unlink()

    def ask(self, *command: str) -> str:
        """The output of one of SLURM's commands."""
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def states(self) -> dict[str, str]:
        """The nodes' states; none as long as the controller does not answer."""
        done = subprocess.run(["sinfo", "-h", "-N", "-o", "%N %t"], capture_output=True, text=True)
        return dict(line.split() for line in done.stdout.splitlines())

    def jobs(self) -> dict[str, dict[str, str]]:
        """What is known of every job, running or ended: {id: {"JobState": ..., "Comment": ..., ...}}."""
        shown = self.ask("scontrol", "--oneliner", "show", "job")
        rows = [dict(re.findall(r"(\S+?)=(\S*)", line)) for line in shown.splitlines()]
        return {row["JobId"]: row for row in rows if "JobId" in row}

    def jobs_of(self, rule: str, *states: str) -> dict[str, dict[str, str]]:
        """The jobs of a rule; only those in the states, if any are given."""
        return {
            job: row
            for job, row in self.jobs().items()
            if re.match(rf"rule_{rule}(_|$)", row["Comment"]) and (not states or row["JobState"] in states)
        }

    def processes_of(self, node: str) -> list[int]:
        """The processes of jobs on a node, SLURM's own keepers of them first."""
        jobs = [job for job, row in self.jobs().items() if row.get("NodeList") == node]
        keepers, own = [], []
        for path in Path("/proc").iterdir():
            if path.name.isdigit():
                try:
                    command = (path / "cmdline").read_bytes().decode(errors="replace")
                except OSError:
                    continue
                keeper = re.match(r"slurmstepd: \[(\d+)\.", command)
                if keeper and keeper[1] in jobs:
                    keepers.append(int(path.name))
                elif environment_of(path.name).get("SLURMD_NODENAME") == node:
                    own.append(int(path.name))
        return keepers + own

    def kill_node(self, node: str) -> None:
        """Let a node die without a word, its daemon and all that runs there.

        The controller would find out by itself half a minute later, and let the jobs begin again two minutes later.
        """
        died = [job for job, row in self.jobs().items() if row.get("NodeList") == node and row["JobState"] == "RUNNING"]
        daemon = self.processes.pop(node)
        daemon.kill()
        daemon.wait()
        for pid in self.processes_of(node):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.ask("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=dead")
        for job in died:
            self.ask("scontrol", "update", f"JobId={job}", "StartTime=now")

    def revive_node(self, node: str) -> None:
        """Start a dead node again; it comes back into service by itself (ReturnToService)."""
        self.start(node, "slurmd", "-D", "-N", node)
        wait_for(lambda: self.states().get(node) in ("idle", "mix", "alloc"), 30, f"{node} is back")
