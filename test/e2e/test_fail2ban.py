"""The fail2ban filter, on our own log: every failure is seen with its address, nothing that a client says is."""
import os
import re
import shutil
import subprocess

import pytest

from harness import Gatepost, ROOT, free_port, plain
from raw import Raw, b64, opened

FORGED = ['x" client_ip=192.0.2.9 user="y', "a\\", "event=auth-fail client_ip=192.0.2.8 user=", "n\u00e9e\x01\x7f", "x" * 400,
          'q" cut=1\nevent=auth-fail client_ip=192.0.2.7 sid=1 user="z']


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fail2ban")
    daemon = Gatepost(folder, free_port(), 'auth_failures = 100\nscreen_exempt = { "127.0.0.0/8" }').start()
    daemon.account("alice")
    with opened(daemon, user=None) as raw:
        for name in FORGED + ["alice@example.org"]:
            raw.want("AUTH PLAIN " + b64("\0" + name + "\0wrong password"), "5")
        raw.want("AUTH LOGIN " + b64("alice"), "334")
        raw.want(b64("wrong"), "535")
        assert raw.auth().startswith("235")
    with Raw(daemon.port) as raw, Raw(daemon.port) as browser:
        raw.ask('EHLO x" client_ip=192.0.2.6 user="')
        browser.ask("GET / HTTP/1.1")
    assert daemon.stop() == 0
    return daemon.log().splitlines()


def found(folder, lines, mode):
    """The addresses that fail2ban finds in them, one a failure."""
    config = folder / "config"
    shutil.copytree("/etc/fail2ban", config)
    shutil.copy(os.path.join(ROOT, "etc/fail2ban/gatepost.conf"), config / "filter.d")
    log = folder / "log"
    log.write_text("\n".join(lines) + "\n")
    done = subprocess.run(["fail2ban-regex", "-c", str(config), "-o", "ip", str(log), "gatepost[mode=%s]" % mode],
                          capture_output=True, text=True, check=True)
    return done.stdout.split()


def as_journal(line):
    """What journalctl and rsyslog make of it."""
    return "Nov 25 07:57:43 mail gatepost[4711]: " + line.split(" ", 1)[1]


@pytest.mark.parametrize("dress", [str, as_journal])
def test_our_failures_and_no_others(tmp_path, lines, dress):
    failures = [line for line in lines if " event=auth-fail " in line]
    assert len(failures) == len(FORGED) + 2
    got = found(tmp_path, [dress(line) for line in lines], "normal")
    assert got == ["127.0.0.1"] * len(failures)


def test_other_protocols_when_asked_for(tmp_path, lines):
    assert found(tmp_path, lines, "aggressive").count("127.0.0.1") == len(FORGED) + 3


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1"])
def test_any_address(tmp_path, lines, address):
    line = [line for line in lines if " event=auth-fail " in line][-1]
    assert found(tmp_path, [re.sub(r"client_ip=\S+", "client_ip=" + address, line)], "normal") == [address]


@pytest.mark.parametrize("event", ["login-suspended", "login", "refused", "auth-unavailable"])
def test_nobody_else(tmp_path, lines, event):
    """The owner's own phone is never banned for a suspension."""
    line = [line for line in lines if " event=auth-fail " in line][-1]
    assert found(tmp_path, [line.replace("event=auth-fail", "event=" + event)], "aggressive") == []
