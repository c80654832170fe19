"""on_suspend and on_unlock: programs by the helper, posts over TLS, and what Postfix already took."""
import hashlib
import hmac
import http.server
import json
import os
import pwd
import shutil
import signal
import ssl
import subprocess
import threading

import pytest

from harness import BUILD, Gatepost, ROOT, certificate, daemon_user, message, wait_until
from suspension import SETTINGS, Site, reply_to

KEY = "the key of the test"


class Told:
    """A program and the file in which it says what it was told, a line each: its arguments, then the facts."""

    def __init__(self, folder, name="hook", before=""):
        self.lines = os.path.join(str(folder), name + ".told")
        self.program = os.path.join(str(folder), name)
        with open(self.lines, "w"):
            pass
        os.chmod(self.lines, 0o666)
        with open(self.program, "w") as f:
            f.write("#!/bin/sh\nfacts=$(cat)\n%s\nprintf '%%s\\n' \"$GATEPOST_HOOK|$*|$facts\" >> %s\n" % (before, self.lines))
        os.chmod(self.program, 0o755)

    def __call__(self):
        """(event, arguments, facts) of each."""
        with open(self.lines) as f:
            rows = [line.split("|", 2) for line in f.read().splitlines()]
        return [(event, words, json.loads(facts)) for event, words, facts in rows]

    def wait(self, count):
        wait_until(lambda: len(self()) >= count, "told %d times" % count)
        assert len(self()) == count
        return self()[-1]


class Receiver:
    """Over TLS: answers with the statuses in turn, the last one for ever, and keeps what came."""

    def __init__(self, folder, *statuses, name="receiver"):
        self.statuses, self.came = list(statuses) or [200], []
        self.cert, key = certificate(str(folder), name, "/CN=localhost")
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.came.append((self.path, dict(self.headers), body))
                status = receiver.statuses.pop(0) if len(receiver.statuses) > 1 else receiver.statuses[0]
                self.send_response(status)
                if status // 100 == 3:
                    self.send_header("Location", receiver.url + "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_POST

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            def handle_error(self, *_):
                pass  # a client that believes somebody else

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert, key)
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = "https://localhost:%d" % self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def settings(self, folder, ca=None):
        path = os.path.join(str(folder), "hook.key")
        with open(path, "w") as f:
            f.write(KEY + "\n")
        os.chmod(path, 0o600)
        if os.geteuid() == 0:
            shutil.chown(path, daemon_user())
        return 'on_suspend = "%s/told?a=b"\non_unlock = "%s/told"\nhook_key_file = "%s"\nhook_ca = "%s"\n' % (
            self.url, self.url, path, ca or self.cert)

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def places(tmp_path):
    """Site(extra), ended at last."""
    made = []

    def make(extra):
        made.append(Site(tmp_path, extra))
        return made[-1]
    yield make
    [site.stop() for site in made]


def helper_of(gatepost):
    done = subprocess.run(["ps", "-o", "pid=", "--ppid", str(gatepost.process.pid)], capture_output=True, text=True)
    pids = [int(word) for word in done.stdout.split()]
    assert len(pids) == 1
    return pids[0]


def alive(pid):
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_program_with_arguments(tmp_path, places):
    """Both programs get their arguments as they are, and the facts on stdin; each once."""
    told = Told(tmp_path)
    site = places('on_suspend = { "%s", "on call", "$HOME; x" }\non_unlock = %s\n' % (told.program, told.program))
    site.trip()
    event, words, facts = told.wait(1)
    assert (event, words) == ("on_suspend", "on call $HOME; x")
    assert facts["event"] == "suspended" and facts["incident"] == 1 and facts["account"] == "alice@example.org"
    assert facts["subjects"] == ["cheap watches"] and facts["networks"] == ["127.0.0.1"] and "by" not in facts
    # by an answer
    assert site.answer(reply_to(site.notice()), text="UNLOCK\n") == 250
    event, words, facts = told.wait(2)
    assert (event, words) == ("on_unlock", "")
    assert facts["event"] == "unlocked" and facts["incident"] == 1 and facts["account"] == "alice@example.org"
    assert facts["by"] == "postmaster@example.org" and facts["how"] and facts["opened"] <= facts["ended"]
    # by hand, and with the account
    for incident, user, words in ((2, "bob", ("account", "unlock", "bob")), (3, "jane", ("account", "delete", "jane"))):
        site.gatepost.ctl("account", "suspend", user)
        assert told.wait(2 * incident - 1)[2]["incident"] == incident
        site.gatepost.ctl(*words)
        event, _, facts = told.wait(2 * incident)
        assert event == "on_unlock" and facts["incident"] == incident and facts["by"].startswith("uid ")
    site.gatepost.wait_log("event=alarm-ended hook=on_unlock incident=3 status=0 signal=0")
    site.gatepost.restart()
    site.gatepost.ctl("account", "suspend", "bob")
    assert told.wait(7)[2]["incident"] == 4


def test_how_a_program_ends(tmp_path, places):
    """What fails is logged and not run again; a reload has another one run."""
    told = Told(tmp_path)
    failing = tmp_path / "failing"
    failing.write_text("#!/bin/sh\nexit 3\n")
    failing.chmod(0o755)
    site = places('on_suspend = "%s"\n' % failing)
    site.trip()
    site.gatepost.wait_log("event=alarm-ended hook=on_suspend incident=1 status=3 signal=0")
    failing.unlink()
    site.trip("bob@example.org")
    site.gatepost.wait_log('event=alarm-failed hook=on_suspend incident=2 reason="No such file')
    with open(site.gatepost.config) as f:
        text = f.read()
    with open(site.gatepost.config, "w") as f:
        f.write(text.replace(str(failing), told.program))
    site.gatepost.ctl("reload")
    site.trip("jane@example.org")
    assert told.wait(1)[2]["incident"] == 3
    assert len(site.gatepost.wait_log("event=alarm-", 3)) == 3


def test_what_the_helper_has(tmp_path, places):
    """The daemon's user, and no file of the daemon's: no socket that listens, no store."""
    site = places("")
    pid = helper_of(site.gatepost)
    with open("/proc/%d/status" % pid) as f:
        lines = dict(line.split(":", 1) for line in f.read().splitlines())
    assert lines["Uid"].split() == [str(pwd.getpwnam(daemon_user()).pw_uid)] * 4
    if os.geteuid() == 0:
        links = sorted(os.readlink("/proc/%d/fd/%s" % (pid, fd)) for fd in os.listdir("/proc/%d/fd" % pid))
        own = [link for link in links if link.startswith(("socket:", "anon_inode:"))]
        assert len([link for link in own if link.startswith("socket:")]) == 1 and len(own) == 2, links
        assert not any("/data" in link for link in links)
    site.gatepost.stop()
    wait_until(lambda: not alive(pid), "the end of the helper")
    site.gatepost.start()


def test_one_that_hangs(tmp_path, places):
    """Mail flows, others are told meanwhile; and it is killed with what it has started."""
    pids = tmp_path / "pids"
    pids.touch()
    pids.chmod(0o666)
    told = Told(tmp_path, before='case $facts in *alice@*|*mallory@*) sleep 10000 & echo $$ $! > %s; wait;; esac' % pids)
    site = places('on_suspend = "%s"\nhook_timeout = 1h\n' % told.program)
    site.trip()
    wait_until(lambda: pids.read_text().endswith("\n"), "the program")
    hanging = [int(word) for word in pids.read_text().split()]
    site.trip("bob@example.org")
    assert told.wait(1)[2]["account"] == "bob@example.org"
    site.send("jane@example.org")
    assert all(alive(pid) for pid in hanging)
    with open(site.gatepost.config) as f:
        text = f.read()
    with open(site.gatepost.config, "w") as f:
        f.write(text.replace("hook_timeout = 1h", "hook_timeout = 1s"))
    site.gatepost.ctl("reload")
    pids.write_text("")
    site.trip("mallory@example.org")
    site.gatepost.wait_log('event=alarm-ended hook=on_suspend incident=3 status=0 signal=9 reason="it took too long"')
    late = [int(word) for word in pids.read_text().split()]
    wait_until(lambda: not any(alive(pid) for pid in late), "the end of what it started")
    # The first one has its hour; a stop of the daemon is its end, too.
    site.gatepost.restart()
    wait_until(lambda: not any(alive(pid) for pid in hanging), "the end of the first")
    site.gatepost.wait_log("event=alarm-ended hook=on_suspend incident=1 status=0 signal=9")


@pytest.mark.parametrize("event", ["on_suspend", "on_unlock"])
def test_killed_before_it_ended(tmp_path, places, event):
    """kill -9 while the program runs: it dies as well, and the next start runs it again."""
    pids, go = tmp_path / "pids", tmp_path / "go"
    pids.touch()
    pids.chmod(0o666)
    told = Told(tmp_path, before="test -e %s || { echo $$ > %s; sleep 10000; }" % (go, pids))
    site = places('%s = "%s"\n' % (event, told.program))
    site.trip()
    if event == "on_unlock":
        site.gatepost.ctl("account", "unlock", "alice")
    wait_until(lambda: pids.read_text().endswith("\n"), "the program")
    site.gatepost.kill()
    wait_until(lambda: not alive(int(pids.read_text())), "the end of the program")
    go.touch()
    site.gatepost.start()
    assert told.wait(1)[0] == event
    site.gatepost.wait_log("event=alarm-ended hook=%s incident=1 status=0" % event)
    # Marked: a further start does not run it.
    site.gatepost.restart()
    site.gatepost.ctl("account", "suspend", "bob")
    if event == "on_unlock":
        site.gatepost.ctl("account", "unlock", "bob")
    assert told.wait(2)[2]["incident"] == 2


def test_the_helper_is_gone(tmp_path, places):
    """The log and `status` say so, mail goes on; who was to be told is told after a restart."""
    told = Told(tmp_path)
    site = places('on_suspend = "%s"\n' % told.program)
    os.kill(helper_of(site.gatepost), signal.SIGKILL)
    site.gatepost.wait_log("event=alarm-helper-gone")
    done = site.gatepost.ctl("status", check=False)
    assert done.returncode == 1 and "the helper of on_suspend and on_unlock is gone" in done.stderr
    site.trip()
    site.notice()
    assert site.suspended() and told() == []
    site.gatepost.restart()
    assert told.wait(1)[2]["incident"] == 1
    assert site.gatepost.ctl("status", check=False).returncode == 0


def test_post(tmp_path, places):
    """Signed as the manual says, over TLS."""
    receiver = Receiver(tmp_path)
    site = places(receiver.settings(tmp_path))
    site.trip()
    wait_until(lambda: len(receiver.came) == 1, "a post")
    site.gatepost.ctl("account", "unlock", "alice")
    wait_until(lambda: len(receiver.came) == 2, "another")
    for (path, headers, body), want in zip(receiver.came, (("/told?a=b", "suspended"), ("/told", "unlocked"))):
        facts = json.loads(body)
        assert (path, facts["event"]) == want and facts["account"] == "alice@example.org"
        assert headers["Content-Type"] == "application/json"
        seconds, _, signature = headers["Gatepost-Signature"].partition(",")
        assert seconds.startswith("t=") and seconds[2:].isdigit()
        right = hmac.new(KEY.encode(), seconds[2:].encode() + b"." + body, hashlib.sha256).hexdigest()
        assert signature == "v1=" + right
    site.gatepost.wait_log("event=alarm-ended hook=on_unlock incident=1 http=200 try=1")
    assert KEY not in site.gatepost.log()
    receiver.stop()


def test_post_to_whom_nobody_knows(tmp_path, places):
    """Another CA: nothing is told to it, and the log says so."""
    receiver = Receiver(tmp_path)
    other, _ = certificate(str(tmp_path), "other", "/CN=localhost")
    site = places(receiver.settings(tmp_path, other))
    site.trip()
    line = site.gatepost.wait_log("event=alarm-again hook=on_suspend incident=1 http=0 try=1")[0]
    assert "certificate" in line
    assert receiver.came == []
    # The pause before the next try keeps no stop waiting.
    site.gatepost.restart()
    receiver.stop()


def test_post_is_redirected(tmp_path, places):
    """Told to nobody else, and not tried again."""
    receiver = Receiver(tmp_path, 307)
    site = places(receiver.settings(tmp_path))
    site.trip()
    line = site.gatepost.wait_log("event=alarm-failed hook=on_suspend incident=1 http=307 try=1")[0]
    assert "no redirect is followed" in line
    assert [path for path, _, _ in receiver.came] == ["/told?a=b"]
    receiver.stop()


def test_post_again(tmp_path, places):
    """500, then 200: signed anew, told once."""
    receiver = Receiver(tmp_path, 500, 200)
    site = places(receiver.settings(tmp_path))
    site.trip()
    site.gatepost.wait_log("event=alarm-again hook=on_suspend incident=1 http=500 try=1")
    site.send("bob@example.org")  # nobody waits for it
    site.gatepost.wait_log("event=alarm-ended hook=on_suspend incident=1 http=200 try=2")
    assert len(receiver.came) == 2 and receiver.came[0][2] == receiver.came[1][2]
    assert receiver.came[0][1]["Gatepost-Signature"] != receiver.came[1][1]["Gatepost-Signature"]
    site.gatepost.restart()
    site.gatepost.ctl("account", "unlock", "alice")
    wait_until(lambda: len(receiver.came) == 3, "the end")
    assert json.loads(receiver.came[2][2])["event"] == "unlocked"
    receiver.stop()


def test_post_under_way_at_the_end(tmp_path, places):
    """A receiver that says nothing keeps no stop waiting."""
    receiver = Receiver(tmp_path)
    silent = threading.Event()
    receiver.server.process_request = lambda request, address: silent.set()
    site = places(receiver.settings(tmp_path) + "hook_timeout = 1h\n")
    site.trip()
    assert silent.wait(60)
    site.send("bob@example.org")
    assert site.gatepost.stop() == 0
    site.gatepost.start()
    receiver.stop()


def test_hold_at_smarthost(tmp_path, postfix):
    """etc/examples: what Postfix has of the account is held there, and nothing of others."""
    if os.geteuid() != 0:
        pytest.skip("postsuper is root's")
    script = str(tmp_path / "hold-at-smarthost.sh")
    shutil.copy(os.path.join(ROOT, "etc", "examples", "hold-at-smarthost.sh"), script)
    folder = tmp_path / "data" / "hold"
    postfix.main("defer_transports = virtual")
    postfix.reload()
    settings = "\n".join(line for line in SETTINGS.splitlines() if not line.startswith("listen"))
    gatepost = Gatepost(tmp_path, postfix.port, settings + '\non_suspend = { "%s", "%s", "1" }\n' % (script, folder)).start()
    gatepost.account("alice", "bob", "postmaster")
    bin_dir = tmp_path / "bin"
    bin_dir.mkdir()
    (bin_dir / "gatepostctl").write_text("#!/bin/sh\nexec %s/server/gatepostctl -c %s \"$@\"\n" % (BUILD, gatepost.config))
    (bin_dir / "gatepostctl").chmod(0o755)
    environment = dict(os.environ, MAIL_CONFIG=os.path.join(postfix.folder, "etc"),
                       PATH="%s:%s:/usr/sbin:/sbin" % (bin_dir, os.environ["PATH"]))

    def queue():
        done = subprocess.run(["postqueue", "-c", os.path.join(postfix.folder, "etc"), "-j"], capture_output=True, text=True)
        return [(row["sender"], row["queue_name"]) for row in map(json.loads, done.stdout.splitlines())]

    def at_smarthost(sender, name):
        return sum(1 for row in queue() if row == (sender, name))

    try:
        for user, count in (("alice@example.org", 5), ("bob@example.org", 2)):
            client = gatepost.client(user)
            for i in range(count):
                client.sendmail(user, ["u%d@example.net" % i], message("cheap watches", sender=user))
            client.close()
        gatepost.wait_empty()
        client = gatepost.client("alice@example.org")
        client.mail("alice@example.org")
        assert client.rcpt("one.more@example.net")[0] == 550
        client.close()
        for _ in range(2):  # as the unit gatepost-hold.path starts it
            wait_until(lambda: folder.exists() and os.listdir(folder) == ["1"], "the hook")
            done = subprocess.run([script, "--hold", str(folder)], env=environment, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            assert os.listdir(folder) == []
        assert at_smarthost("alice@example.org", "hold") == 5
        assert at_smarthost("bob@example.org", "hold") == 0 and at_smarthost("bob@example.org", "deferred") == 2
        assert os.listdir(folder) == []
        # a folder that says more than a case
        for name in ("7; touch x", "-rf", "ALL"):
            (folder / name).touch()
        done = subprocess.run([script, "--hold", str(folder)], env=environment, capture_output=True, text=True)
        assert done.returncode == 0 and len(os.listdir(folder)) == 3
    finally:
        code = gatepost.stop()
    assert code == 0, gatepost.log()[-5000:]
