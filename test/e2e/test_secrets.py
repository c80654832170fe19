"""Passwords are nowhere: not in memory once the session is over, not in a core, not in a log, not in `ps`."""
import base64
import os
import re
import subprocess

import pytest

from harness import Gatepost, free_port
from raw import Raw, b64, opened

RIGHT = "Wombat-7-lantern-51"
WRONG = "Gherkin-3-obelisk-88"
AS_NAME = "Marzipan-9-trumpet-24"  # typed into the wrong field


def copies(process, words):
    """How often each of `words` lies in the process's memory."""
    found = dict.fromkeys(words, 0)
    with open("/proc/%d/maps" % process.pid) as maps, open("/proc/%d/mem" % process.pid, "rb", 0) as memory:
        for line in maps:
            place = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
            if not place:
                continue
            begin, end = int(place[1], 16), int(place[2], 16)
            if end - begin > 1 << 32:
                continue  # the sanitizer's shadow: a bit a byte, no text
            for at in range(begin, end, 1 << 24):
                try:
                    memory.seek(at)
                    data = memory.read(min(end - at, (1 << 24) + 64))
                except (OSError, ValueError):
                    continue
                for word in words:
                    found[word] += data.count(word)
    return found


def forms(password):
    """In clear, and as each base64 form in which it goes over the wire."""
    plain = base64.b64encode(b"\0alice\0" + password.encode())
    return [password.encode(), base64.b64encode(password.encode()), plain[12:-4]]


@pytest.fixture()
def daemon(tmp_path):
    daemon = Gatepost(tmp_path, free_port(), 'auth_failures = 100\nscreen_exempt = { "127.0.0.0/8" }').start()
    daemon.ctl("account", "add", "alice", stdin=RIGHT + "\n")
    yield daemon
    assert daemon.stop() == 0, daemon.log()[-3000:]


def logins(daemon):
    """Every way in which a password comes to us, right and wrong; half of them by STARTTLS."""
    for n, password in enumerate((RIGHT, WRONG, RIGHT, WRONG)):
        want = "235" if password == RIGHT else "535"
        for by_plain in (True, False):
            raw = Raw(daemon.tls_port, implicit=True) if n < 2 else Raw(daemon.port)
            with raw:
                raw.ehlo()
                if n >= 2:
                    raw.want("STARTTLS", "220")
                    raw.handshake()
                    raw.ehlo()
                if by_plain:
                    raw.want("AUTH PLAIN " + b64("\0alice\0" + password), want)
                else:
                    raw.want("AUTH LOGIN", "334")
                    raw.want(b64("alice"), "334")
                    raw.want(b64(password), want)
                raw.want("QUIT", "221")
    with opened(daemon, user=None) as raw:
        raw.want("AUTH PLAIN " + b64("\0" + AS_NAME + "\0x"), "535")
        raw.want("AUTH LOGIN " + b64(AS_NAME), "334")
        raw.want(b64("x"), "535")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root reads another's memory")
def test_au17_no_copy_stays_in_memory(daemon):
    logins(daemon)
    words = [word for password in (RIGHT, WRONG) for word in forms(password)]
    found = copies(daemon.process, words)
    assert not any(found.values()), found


@pytest.mark.skipif(os.geteuid() != 0, reason="only root reads another's memory")
def test_au17_an_app_password_is_shown_and_gone(daemon):
    secret = daemon.ctl("account", "token", "add", "alice", "scanner", rows=True)[0]["secret"]
    assert copies(daemon.process, [secret.encode()])[secret.encode()] == 0


def test_au17_the_search_finds_what_is_there(daemon):
    """The account's own name is in memory: it is the search that works."""
    with opened(daemon, user=None) as raw:
        raw.want("AUTH PLAIN " + b64("\0alice\0" + RIGHT), "235")
        assert copies(daemon.process, [b"alice@example.org"])[b"alice@example.org"] > 0


def test_au17_no_core_is_written(daemon):
    with open("/proc/%d/limits" % daemon.process.pid) as limits:
        assert re.search(r"Max core file size +0 +0 ", limits.read())
    with open("/proc/%d/status" % daemon.process.pid) as status:
        text = status.read()
    # CoreDumping is 0 while none is written; what forbids one is PR_SET_DUMPABLE, seen by who owns the files of /proc.
    assert "CoreDumping:\t0" in text
    assert os.stat("/proc/%d/environ" % daemon.process.pid).st_uid == 0 or os.geteuid() != 0


def test_au18_nothing_secret_is_said(daemon):
    logins(daemon)
    daemon.wait_log('user="unknown:', 2)
    log = daemon.log()
    for word in forms(RIGHT) + forms(WRONG) + forms(AS_NAME):
        assert word.decode() not in log
    unknown = re.findall(r'event=auth-fail .*user="(unknown:[0-9a-f]{12})"', log)
    assert len(unknown) == 2 and len(set(unknown)) == 1, log[-3000:]
    assert 'user="alice@example.org"' in log
    ps = subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, text=True, check=True).stdout
    for word in (RIGHT, WRONG, AS_NAME):
        assert word not in ps
