"""A machine of its own, for tests of what an admin types: private mounts over /etc, /usr and /var, an empty /run, and a
network that is nothing but a loopback. Paths and ports are the true ones, and nothing of it is left behind."""
import contextlib
import ctypes
import os
import subprocess

from harness import started, wait_until

CLONE_NEWNET = 0x40000000
PREPARE = r"""
set -e
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$1"
for d in etc usr var; do
    mkdir "$1/$d.up" "$1/$d.work"
    mount -t overlay overlay -o "lowerdir=/$d,upperdir=$1/$d.up,workdir=$1/$d.work" "/$d"
done
mount -t tmpfs -o mode=755 tmpfs /run
ip link set lo up
echo ready
exec sleep infinity
"""


class Machine:
    """None where the kernel does not let us: see `start`."""

    def __init__(self, folder, build):
        self.folder, self.build = str(folder), build
        self.process = None

    def start(self):
        """False with a reason in `why` when there can be no such machine."""
        layer = os.path.join(self.folder, "layer")
        os.mkdir(layer)
        self.process = subprocess.Popen(["unshare", "--mount", "--net", "bash", "-c", PREPARE, "machine", layer],
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        started.append(self.process)
        self.why = self.process.stdout.readline().strip()
        if self.why != "ready":
            return False
        for name in ("gatepost", "gatepostctl"):
            self.run("ln -s '%s' /usr/sbin/%s" % (os.path.join(self.build, "server", name), name))
        return True

    def command(self, script):
        return ["nsenter", "--mount", "--net", "--target", str(self.process.pid), "bash", "-c",
                "set -e -o pipefail; export PATH=/usr/sbin:/usr/bin:/sbin:/bin; cd /; " + script]

    def run(self, script, stdin="", check=True):
        """What bash makes of it, as root; what it has said, errors too."""
        done = subprocess.run(self.command(script), input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert not check or done.returncode == 0, "%s\n%d: %s" % (script, done.returncode, done.stdout)
        return done.stdout

    def spawn(self, script, log):
        with open(log, "ab") as out:
            process = subprocess.Popen(self.command("exec " + script), stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        started.append(process)
        return process

    def write(self, path, text):
        self.run("mkdir -p \"$(dirname '%s')\"; cat > '%s'" % (path, path), stdin=text)

    def read(self, path):
        return self.run("cat '%s' 2> /dev/null || true" % path)

    def listeners(self):
        """The TCP ports that somebody listens on."""
        rows = self.run("cat /proc/self/net/tcp /proc/self/net/tcp6").splitlines()
        return {int(row.split()[1].rpartition(":")[2], 16) for row in rows if len(row.split()) > 3 and row.split()[3] == "0A"}

    def wait_listener(self, port):
        wait_until(lambda: port in self.listeners(), "a listener on %d" % port)

    @contextlib.contextmanager
    def network(self):
        """Sockets that are made in here are on its network."""
        libc = ctypes.CDLL(None, use_errno=True)
        with open("/proc/self/ns/net") as here, open("/proc/%d/ns/net" % self.process.pid) as there:
            assert libc.setns(there.fileno(), CLONE_NEWNET) == 0
            try:
                yield
            finally:
                assert libc.setns(here.fileno(), CLONE_NEWNET) == 0

    def stop(self):
        """Ends what was started here: all processes of its network namespace, and with them its mounts."""
        if self.process is None:
            return
        mine = os.readlink("/proc/%d/ns/net" % self.process.pid) if self.process.poll() is None else None
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                if os.readlink("/proc/%s/ns/net" % pid) == mine:
                    os.kill(int(pid), 9)
        self.process.wait()
