"""The dialogues of test/dialogue, over TLS against the daemon; in memory they are played by test/proto/dialogue_test.c."""
import glob
import os
import subprocess
import sys

import pytest

from harness import Gatepost, ROOT, free_port

FOLDER = os.path.join(ROOT, "test", "dialogue")
FILES = sorted(os.path.basename(path)[:-5] for path in glob.glob(os.path.join(FOLDER, "*.smtp")))


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    daemon = Gatepost(tmp_path_factory.mktemp("dialogue"), free_port(), "limits = { }").start()
    daemon.account("alice", password="secret")
    yield daemon
    assert daemon.stop() == 0, daemon.log()[-5000:]


@pytest.mark.parametrize("name", FILES)
def test_dialogue(daemon, name):
    done = subprocess.run([sys.executable, os.path.join(FOLDER, "play.py"), "--port", str(daemon.port), "--tls-port",
                           str(daemon.tls_port), "--timeout", "60", os.path.join(FOLDER, name + ".smtp")],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("ok ")
