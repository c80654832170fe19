"""No 250 before the commit is durable, and what a disk that fails does to us (TESTS DU01, DU06, DU07, DU09, HL16), by strace."""
import os
import re
import subprocess

import pytest

from harness import Gatepost, free_port, message, wait_until
from raw import opened


class Strace:
    """Attached to the daemon; ends with the block."""

    def __init__(self, daemon, *options):
        self.path = os.path.join(daemon.folder, "strace.%d" % free_port())
        self.pid = daemon.process.pid
        self.process = subprocess.Popen(["strace", "-f", "-qq", "-o", self.path, "-p", str(self.pid)] + list(options),
                                        stderr=subprocess.DEVNULL)

    def is_attached(self):
        tasks = os.listdir("/proc/%d/task" % self.pid)
        for task in tasks:
            with open("/proc/%d/task/%s/status" % (self.pid, task)) as f:
                if re.search(r"^TracerPid:\t0$", f.read(), re.M):
                    return False
        return True

    def __enter__(self):
        wait_until(lambda: self.process.poll() is not None or self.is_attached(), "strace attached")
        if self.process.poll() is not None:
            pytest.skip("strace can not attach here")
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait()

    def lines(self):
        with open(self.path, errors="replace") as f:
            return f.read().splitlines()


@pytest.fixture
def daemon(tmp_path):
    # A process that is being traced can not look for its leaks.
    options = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
    daemon = Gatepost(tmp_path, free_port(), 'retry = { "1h" }', env={"ASAN_OPTIONS": options}).start().account("alice")
    with opened(daemon) as raw:
        assert raw.mail(["first@example.net"], message("warm")).startswith("250")
    daemon.wait_log("event=smarthost-down")
    yield daemon
    daemon.kill()


def test_hl16_du01_durable_before_250(daemon):
    """HL16. Data pages, fdatasync, the meta page (LMDB opens that with O_DSYNC), and only then the reply to the dot. After a
    power cut there is what was synced: so a mail that has its 250 is there, and its charge, which is in the same commit. Not
    shown: a start from a file in which pages that were not synced are missing or torn, and a disk that lies about its syncs."""
    with opened(daemon) as raw:
        raw.want("MAIL FROM:<alice@example.org>", "250")
        raw.want("RCPT TO:<bob@example.net>", "250")
        raw.want("DATA", "354")
        with Strace(daemon, "-e", "trace=write,writev,pwritev,pwrite64,fdatasync,msync", "-e", "signal=none") as strace:
            raw.send("Subject: durable\r\n\r\ntext\r\n.\r\n")
            assert raw.reply().startswith("250")
        lines = [re.sub(r"^\d+ +", "", line) for line in strace.lines()]
    first_sync = next(n for n, line in enumerate(lines) if line.startswith("fdatasync("))
    meta = next(n for n, line in enumerate(lines) if line.startswith("pwrite64(") and n > first_sync)
    data = [n for n, line in enumerate(lines) if re.match(r"p?writev\(", line)]
    replies = [n for n, line in enumerate(lines) if re.match(r'write\(\d+, "\\27\\3\\3', line)]
    assert len(replies) == 1, lines
    assert min(data) < first_sync < meta < replies[0], lines
    daemon.kill()
    daemon.start()
    assert len(daemon.queue()) == 2
    assert daemon.ctl("account", "show", "alice", rows=True)[0]["used"] == "2 2"


@pytest.mark.parametrize("call", ["fdatasync", "pwrite64", "writev,pwritev,pwrite64"])
def test_du07_a_commit_that_fails(daemon, call):
    """451, an end with a code for the supervisor, and nothing of it after a restart; the rest is there."""
    with opened(daemon) as raw, opened(daemon) as other:
        with Strace(daemon, "-e", "trace=" + call, "-e", "inject=%s:error=EIO" % call):
            reply = raw.mail(["bob@example.net"], message("lost"))
            assert reply.startswith("451 4.3.0"), reply
            assert other.reply().startswith("421 4.3.2")
            assert daemon.process.wait(60) == 71
    assert daemon.events("event=commit-failed .*Input/output error")
    daemon.start()
    assert len(daemon.queue()) == 1
    assert daemon.ctl("account", "show", "alice", rows=True)[0]["used"] == "1 1"
    with opened(daemon) as raw:
        assert raw.mail(["bob@example.net"], message("again")).startswith("250")


def test_du09_no_space_at_a_commit(daemon):
    """4xx, and it lives: when there is space again it goes on, with nothing lost and nothing charged."""
    call = "writev,pwritev,pwrite64"
    with opened(daemon) as raw:
        with Strace(daemon, "-e", "trace=" + call, "-e", "inject=%s:error=ENOSPC" % call):
            for _ in range(3):
                assert raw.mail(["bob@example.net"], message("no space"))[:9] in ("452 4.3.1", "451 4.3.0")
        assert daemon.process.poll() is None
        assert daemon.ctl("account", "show", "alice", rows=True)[0]["used"] == "1 1"
        assert raw.mail(["bob@example.net"], message("space again")).startswith("250")
    assert len(daemon.queue()) == 2
    daemon.restart()
    assert len(daemon.queue()) == 2
