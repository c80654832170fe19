"""The admin's side: gatepostctl with the daemon up and down, reload, drain, backup."""
import json
import os
import pty
import re
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest

from harness import PASSWORD, Gatepost, Sink, daemon_user, free_port, insecure_context, message, wait_port, wait_until
from raw import Raw, opened


@pytest.fixture
def daemon(tmp_path):
    """Nobody listens behind it: what is accepted stays."""
    daemon = Gatepost(tmp_path, free_port()).start().account("alice", "bob")
    yield daemon
    assert daemon.stop() == 0, daemon.log()[-5000:]


def submit(daemon, recipients=("r@example.net",), user="alice", subject="admin"):
    with opened(daemon, user) as raw:
        reply = raw.mail(recipients, message(subject), sender=user + "@example.org")
        assert reply.startswith("250"), reply
        return reply.split()[-1]


def fails(daemon, code, *words, stdin=None, says=""):
    done = daemon.ctl(*words, stdin=stdin, check=False)
    assert done.returncode == code, (words, done)
    assert len(done.stderr.splitlines()) == 1 or code == 64, done.stderr
    assert says in done.stderr, done.stderr
    return done


def login(daemon, user, password=PASSWORD):
    with opened(daemon, user=None) as raw:
        return raw.auth(user, password)[:3]


# ---- accounts ----

@pytest.mark.parametrize("up", [True, False], ids=["daemon up", "daemon down"])
def test_accounts(tmp_path, up):
    daemon = Gatepost(tmp_path, free_port())
    if up:
        daemon.start()
    assert daemon.ctl("account", "list", rows=True) == []
    daemon.ctl("account", "add", "Carol@Example.ORG", stdin="first\n")
    daemon.ctl("account", "add", "dave", stdin="no line end")
    fails(daemon, 1, "account", "add", "carol", stdin="again\n", says="exists already")
    fails(daemon, 1, "account", "add", "a b@example.org", stdin="x\n", says="a b@example.org")
    fails(daemon, 1, "account", "add", "x" * 250 + "@example.org", stdin="x\n", says="255")
    fails(daemon, 1, "account", "add", "erin", stdin="\n", says="a password has 1 to")
    fails(daemon, 66, "account", "add", "erin", stdin="", says="password")
    fails(daemon, 1, "account", "passwd", "nobody", stdin="x\n", says="no such account")
    for act in ("delete", "show", "reset"):
        fails(daemon, 1, "account", act, "nobody", says="no such account")
    assert [row["account"] for row in daemon.ctl("account", "list", rows=True)] == ["carol@example.org", "dave@example.org"]
    daemon.ctl("account", "passwd", "carol", stdin="second\n")
    daemon.ctl("account", "limit", "carol", "7/1h", "20/1d")
    row = daemon.ctl("account", "show", "carol", rows=True)[0]
    assert (row["limits"], row["own_limits"], row["used"], row["exempt"], row["queued"]) == ("7/1h 20/1d", True, "0 0", False, 0)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", row["created"])
    for bad in (["0/30m"], ["500"], ["5/1h", "6/1h"], ["x"], ["default", "5/1h"]):
        done = fails(daemon, 1, "account", "limit", "carol", *bad)
        assert bad[-1] in done.stderr or bad[0] in done.stderr
    fails(daemon, 1, "account", "limit", "nobody", "5/1h", says="no such account")
    if not up:
        daemon.start()
    assert login(daemon, "carol", "first") == "535" and login(daemon, "carol", "second") == "235"
    assert login(daemon, "dave", "no line end") == "235"
    assert daemon.ctl("account", "show", "carol", rows=True)[0]["limits"] == "7/1h 20/1d"
    daemon.ctl("account", "delete", "carol")
    assert login(daemon, "carol", "second") == "535"
    assert daemon.stop() == 0
    daemon.ctl("account", "delete", "dave")
    assert daemon.ctl("account", "list") .strip() in ("", "account  limits  used  exempt  queued")
    fails(daemon, 69, "queue", "list", says="not running")
    fails(daemon, 69, "status", says="not running")
    fails(daemon, 69, "reload", says="not running")


def test_account_made_while_it_is_down_belongs_to_the_daemon(tmp_path):
    """Root's tool makes no file that the daemon's user can not open."""
    daemon = Gatepost(tmp_path, free_port())
    daemon.account("alice")
    for name in os.listdir(os.path.join(daemon.folder, "data")):
        path = os.path.join(daemon.folder, "data", name)
        assert os.stat(path).st_mode & 0o077 == 0, path
    daemon.start()
    assert login(daemon, "alice") == "235"
    assert daemon.stop() == 0


def test_reset_and_limits_hold_at_once(daemon):
    daemon.ctl("account", "limit", "alice", "2/30m")
    submit(daemon, ["a@example.net", "b@example.net"])
    with opened(daemon) as raw:
        assert raw.mail(["c@example.net"], message("x")).startswith("550 5.7.1")
        daemon.ctl("account", "reset", "alice")
        raw.want("RSET", "250")
        assert raw.mail(["c@example.net"], message("x")).startswith("250")
    assert daemon.ctl("account", "show", "alice", rows=True)[0]["used"] == "1"


# ---- passwords ----

def at_terminal(daemon, words, answers):
    """Runs it at a terminal of its own: what it showed, and its exit code."""
    command = [os.path.join(daemon.build, "server", "gatepostctl"), "-c", daemon.config] + words
    pid, fd = pty.fork()
    if pid == 0:
        os.execv(command[0], command)
    shown = b""
    for answer in answers:
        seen = len(shown)
        while b": " not in shown[seen:]:
            shown += os.read(fd, 1024)
        os.write(fd, answer.encode() + b"\n")
    try:
        while True:
            data = os.read(fd, 1024)
            if not data:
                break
            shown += data
    except OSError:
        pass
    os.close(fd)
    return shown.decode(), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_password_from_a_terminal(daemon):
    shown, code = at_terminal(daemon, ["account", "add", "frank"], ["typed in secret", "typed in secret"])
    assert code == 0 and "typed in secret" not in shown, shown
    assert login(daemon, "frank", "typed in secret") == "235"
    shown, code = at_terminal(daemon, ["account", "passwd", "frank"], ["one", "two"])
    assert code == 65 and "not the same" in shown
    assert login(daemon, "frank", "typed in secret") == "235"


def test_password_never_on_the_command_line(daemon):
    """OP04: there is no argument for it, and what waits for it shows none."""
    fails(daemon, 64, "account", "add", "gina", "secret")
    waiting = subprocess.Popen([os.path.join(daemon.build, "server", "gatepostctl"), "-c", daemon.config, "account", "add", "gina"],
                               stdin=subprocess.PIPE)
    waiting.stdin.write(b"not in the list of processes")
    waiting.stdin.flush()
    for name in ("cmdline", "environ"):
        with open("/proc/%d/%s" % (waiting.pid, name), "rb") as f:
            assert b"not in the list" not in f.read()
    waiting.communicate(b"\n")
    assert waiting.returncode == 0 and login(daemon, "gina", "not in the list of processes") == "235"
    assert "not in the list" not in daemon.log()
    with open(os.path.join(daemon.folder, "data", "data.mdb"), "rb") as f:
        data = f.read()
    assert b"not in the list" not in data and PASSWORD.encode() not in data


# ---- the queue ----

def test_queue(daemon):
    ids = [submit(daemon, ["r%d@example.net" % n], "alice" if n < 3 else "bob") for n in range(5)]
    assert [row["qid"] for row in daemon.queue()] == ids
    assert [row["qid"] for row in daemon.ctl("queue", "list", "bob", rows=True)] == ids[3:]
    rows = daemon.ctl("queue", "show", ids[0], rows=True)
    assert rows[0]["qid"] == ids[0] and rows[0]["from"] == "alice@example.org" and rows[0]["state"] == "ready"
    assert (rows[1]["recipient"], rows[1]["state"]) == ("r0@example.net", "pending")
    daemon.ctl("queue", "hold", ids[0])
    daemon.ctl("queue", "hold", "bob")
    assert [row["state"] for row in daemon.queue()] == ["held", "ready", "ready", "held", "held"]
    assert daemon.ctl("queue", "release", "bob@example.org", rows=True) == [{"entries": 2}]
    daemon.ctl("queue", "discard", ids[1])
    assert [row["qid"] for row in daemon.queue()] == [ids[0]] + ids[2:]
    for act in ("show", "hold", "release", "discard", "flush"):
        fails(daemon, 1, "queue", act, ids[1], says="no such entry")
    fails(daemon, 1, "queue", "show", "what", says="what")
    fails(daemon, 1, "queue", "hold", "a b@c", says="a b@c")
    # Over a restart, and away with a smarthost.
    daemon.restart()
    assert [row["state"] for row in daemon.queue()] == ["held", "ready", "ready", "ready"]
    sink = Sink(daemon.folder, port=daemon.smarthost).start()
    daemon.ctl("queue", "flush")
    wait_until(lambda: len(daemon.queue()) == 1, "only the held one")
    daemon.ctl("queue", "flush")
    assert len(sink.journal()) == 3 and [row["state"] for row in daemon.queue()] == ["held"]
    daemon.ctl("queue", "release", ids[0])
    daemon.wait_empty()
    assert len(sink.journal()) == 4
    sink.stop()
    assert daemon.events('event=command command="queue discard".*who="uid %d"' % os.geteuid())
    assert daemon.ctl("account", "show", "alice", rows=True)[0]["used"] == "3 3"


def test_flush_by_name(tmp_path):
    daemon = Gatepost(tmp_path, free_port(), 'retry = { "1h" }').start().account("alice", "bob")
    submit(daemon), submit(daemon, user="bob")
    daemon.wait_log("event=smarthost-down")
    sink = Sink(tmp_path, port=daemon.smarthost).start()
    assert daemon.ctl("queue", "flush", "alice", rows=True) == [{"entries": 1}]
    daemon.wait_empty()
    assert len(sink.journal()) == 2
    assert daemon.stop() == 0
    sink.stop()


# ---- all of it as rows ----

def test_json_everywhere(daemon):
    qid = submit(daemon)
    submit(daemon, user="bob")
    for words in (["status"], ["account", "list"], ["account", "show", "alice"], ["account", "limit", "alice", "5/1h"],
                  ["account", "reset", "alice"], ["queue", "list"], ["queue", "show", qid], ["queue", "hold", qid],
                  ["queue", "release", qid], ["queue", "flush"], ["queue", "discard", "bob"], ["relayed", "alice"],
                  ["relayed", "alice", "--ids"], ["relayed", "alice", "--recipients"], ["reload"],
                  ["backup", os.path.join(daemon.folder, "json.mdb")], ["account", "delete", "bob"]):
        for place in (0, len(words)):
            if words[0] in ("backup",) and place:
                continue
            if words[:2] == ["account", "delete"] and place:
                continue
            done = daemon.ctl(*words[:place], "--json", *words[place:], check=False)
            assert done.returncode == (1 if words == ["status"] else 0), done  # the smarthost is down
            for line in done.stdout.splitlines():
                assert isinstance(json.loads(line), dict), line


def test_status(daemon):
    row = daemon.status()
    assert row["version"] and row["connections"] == 0 and row["in_flight"] == 0 and row["store_bytes"] > 0
    assert daemon.ctl("status", check=False).returncode == 0
    with opened(daemon):
        daemon.wait_connections(1)
    submit(daemon)
    wait_until(lambda: daemon.ctl("status", check=False).returncode == 1, "the smarthost seen as down")
    assert daemon.status()["smarthost"] == "down" and daemon.status()["reason"]


def test_help_and_wrong_words(daemon):
    done = subprocess.run([os.path.join(daemon.build, "server", "gatepostctl"), "--help"], capture_output=True, text=True, check=True).stdout
    for word in ("status", "account add", "account limit", "queue flush", "relayed", "reload", "backup"):
        assert word in done
    for words in ([], ["nothing"], ["account"], ["account", "add"], ["queue", "show"], ["status", "now"], ["backup"]):
        assert fails(daemon, 64, *words).stderr.startswith("usage:")
    fails(daemon, 1, "relayed", "alice", "--since", "yesterday", says="yesterday")
    fails(daemon, 1, "relayed", "alice", "--what", says="--what")


def test_control_socket_is_not_for_all(daemon):
    if os.geteuid() != 0:
        pytest.skip("only root can be somebody else")
    done = subprocess.run(["setpriv", "--reuid", "65533", "--regid", "65533", "--clear-groups", os.path.join(
        daemon.build, "server", "gatepostctl"), "-c", daemon.config, "status"], capture_output=True, text=True)
    assert done.returncode == 77 and "ermission denied" in done.stderr, done


# ---- reload ----

def test_reload_changes_what_is_new_and_cuts_nothing(daemon):
    """New limits hold for the next transaction; a message under way is finished under the old ones."""
    with opened(daemon) as inside, opened(daemon) as idle:
        reload_inside(daemon, inside, idle)


def reload_inside(daemon, inside, idle):
    inside.want("MAIL FROM:<alice@example.org>", "250")
    for n in range(3):
        inside.want("RCPT TO:<r%d@example.net>" % n, "250")
    inside.want("DATA", "354")
    inside.send("Subject: before\r\n\r\nfirst half\r\n")
    daemon.configure('limits = { "4/30m" }\nrecipients = 2\nmessage_size = 64K')
    daemon.signal(signal.SIGHUP)
    daemon.wait_log("event=reloaded")
    inside.send("second half\r\n.\r\n")
    assert inside.reply().startswith("250")
    idle.want("MAIL FROM:<alice@example.org> SIZE=100000", "552")
    idle.want("MAIL FROM:<alice@example.org>", "250")
    idle.want("RCPT TO:<a@example.net>", "250")
    idle.want("RCPT TO:<b@example.net>", "550 5.7.1")
    idle.want("RSET", "250")
    assert "SIZE 65536" in idle.ehlo()


def test_reload_says_what_needs_a_restart(daemon):
    port = free_port()
    daemon.configure('workers = 1\nlisten third { address = { "127.0.0.1" } port = %d tls = implicit }\nlimits = { "3/30m" }' % port)
    said = daemon.ctl("reload")
    line = daemon.wait_log("event=reloaded .*needs_restart=")[-1]
    for word in ("workers", "listen"):
        assert word in said and word in line
    assert "limits" not in line
    assert daemon.ctl("account", "show", "bob", rows=True)[0]["limits"] == "3/30m"
    submit(daemon)
    daemon.restart()
    wait_port(port, daemon.process)


@pytest.mark.parametrize("broken,line", [("colour = 1", 0), ('limits = { "0/30m" }', 0), ("lifetime = 1d\nlifetime = 2d", 1), ("}", 0)])
def test_reload_of_a_broken_file_changes_nothing(daemon, broken, line):
    """TESTS OP02."""
    with open(daemon.config) as f:
        before = f.read()
    number = len(before.splitlines()) + 1 + line
    with open(daemon.config, "w") as f:
        f.write(before.replace('retry =', 'limits = { "1/30m" }\nretry =') if "limits" not in broken else before)
        f.write(broken + "\n")
    number += 0 if "limits" in broken else 1
    place = "%s:%d:" % (daemon.config, number)
    daemon.signal(signal.SIGHUP)
    assert place in daemon.wait_log("event=reload-failed")[-1]
    # gatepostctl reads the file itself: with the good one it asks the daemon, which has read the broken one.
    broken_path = daemon.config + ".broken"
    shutil.copy(daemon.config, broken_path)
    with open(daemon.config, "w") as f:
        f.write(before)
    assert daemon.ctl("account", "show", "alice", rows=True)[0]["limits"] == "500/30m 2000/1d"
    submit(daemon, ["a@example.net", "b@example.net"])


def test_hup_storm(daemon):
    """Reloads under load: no session is dropped, none waits for ever."""
    stop = threading.Event()
    failures = []

    def client():
        try:
            with opened(daemon) as raw:
                while not stop.is_set():
                    reply = raw.mail(["r@example.net"], message("x"))
                    if not reply.startswith("250"):
                        failures.append(reply)
                        return
                    time.sleep(0.01)
        except Exception as error:  # noqa: BLE001
            failures.append(repr(error))
    daemon.configure("limits = { }")
    daemon.ctl("reload")
    threads = [threading.Thread(target=client) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        daemon.signal(signal.SIGHUP)
        time.sleep(0.03)
    daemon.wait_log("event=reloaded", 2)
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []


# ---- backup ----

def test_backup(daemon, tmp_path):
    """OP12, DU20: taken under load; a second gatepost on the copy has the queue and the accounts."""
    ids = [submit(daemon, ["r%d@example.net" % n]) for n in range(10)]
    stop = threading.Event()

    def client():
        with opened(daemon, "bob") as raw:
            while not stop.is_set():
                raw.mail(["x@example.net"], message("load"), sender="bob@example.org")
                time.sleep(0.005)
    thread = threading.Thread(target=client)
    thread.start()
    path = str(tmp_path / "copy.mdb")
    try:
        daemon.ctl("backup", path)
    finally:
        stop.set()
        thread.join()
    assert os.stat(path).st_mode & 0o077 == 0
    fails(daemon, 73, "backup", path, says="copy.mdb")  # nothing is overwritten
    fails(daemon, 73, "backup", "/nonexistent/copy.mdb", says="nonexistent")
    stat = subprocess.run(["mdb_stat", "-n", "-a", path], capture_output=True, text=True)
    assert stat.returncode == 0 and "Status of queue" in stat.stdout, stat
    other = tmp_path / "other"
    other.mkdir()
    second = Gatepost(other, free_port())
    data = other / "data"
    data.mkdir()
    shutil.move(path, str(data / "data.mdb"))
    if os.geteuid() == 0:
        for where in (data, data / "data.mdb"):
            shutil.chown(str(where), daemon_user())
    data.chmod(0o700)
    second.start()
    assert [row["qid"] for row in second.ctl("queue", "list", "alice", rows=True)] == ids
    assert login(second, "alice") == "235"
    assert second.ctl("account", "show", "alice", rows=True)[0]["used"] == "10 10"
    assert second.stop() == 0


# ---- the end ----

def test_op01_term_drains(daemon):
    """421 to those who are idle, the message under way is finished, the rest refused; exit 0."""
    with opened(daemon) as idle, opened(daemon) as inside, opened(daemon) as in_mail:
        drain(daemon, idle, inside, in_mail)
    assert daemon.process.wait(60) == 0
    assert "event=stopped" in daemon.log()
    daemon.start()
    assert len(daemon.queue()) == 2


def drain(daemon, idle, inside, in_mail):
    for raw in (inside, in_mail):
        raw.want("MAIL FROM:<alice@example.org>", "250")
        raw.want("RCPT TO:<bob@example.net>", "250")
    inside.want("DATA", "354")
    inside.send("Subject: drained\r\n\r\nfirst half\r\n")
    daemon.signal(signal.SIGTERM)
    assert idle.reply().startswith("421 4.3.2") and idle.closed()
    wait_until(lambda: refused(daemon.port) and refused(daemon.tls_port), "closed ports")
    assert daemon.process.poll() is None
    inside.send("second half\r\n.\r\n")
    reply = inside.reply()
    assert reply.startswith("250"), reply
    assert inside.reply().startswith("421 4.3.2") and inside.closed()
    in_mail.want("DATA", "354")
    in_mail.send("Subject: the last\r\n\r\nx\r\n.\r\n")
    assert in_mail.reply().startswith("250")
    assert in_mail.reply().startswith("421 4.3.2")


def refused(port):
    try:
        Raw(port, greet=False).sock.close()
        return False
    except OSError:
        return True


def test_op01_a_drain_has_an_end(tmp_path):
    """A client that hangs in DATA does not hold it up for longer than drain_timeout; a second TERM not even so long."""
    for settings, terms in (("drain_timeout = 1s", 1), ("drain_timeout = 1h", 2)):
        folder = tmp_path / str(terms)
        folder.mkdir()
        daemon = Gatepost(folder, free_port(), settings).start().account("alice")
        raw = opened(daemon)
        raw.want("MAIL FROM:<alice@example.org>", "250")
        raw.want("RCPT TO:<bob@example.net>", "250")
        raw.want("DATA", "354")
        raw.send("Subject: never ends\r\n\r\n")
        for _ in range(terms):
            daemon.signal(signal.SIGTERM)
            daemon.wait_log("event=stopping")
        assert daemon.process.wait(60) == 0
        daemon.start()
        assert daemon.queue() == []
        assert daemon.stop() == 0


def test_op10_one_grep_finds_all_of_a_message(tmp_path):
    sink = Sink(tmp_path).start()
    daemon = Gatepost(tmp_path, sink.port).start().account("alice")
    qid = submit(daemon)
    daemon.wait_log("event=relayed .*qid=" + qid)
    lines = daemon.events("qid=" + qid)
    assert [re.search(r"event=([\w-]+)", line).group(1) for line in lines] == ["queued", "relayed"]
    assert "account=alice@example.org" in lines[0] and "r@example.net" in lines[1]
    assert daemon.stop() == 0
    sink.stop()


def test_op09_nothing_forges_a_line_of_the_log(daemon):
    """What a client sends stands last, quoted and escaped; one event a line."""
    odd = ["a\"b", "event=queued qid=1", "a\u202eb", "\x1b[31m", "x" * 3000, "\\", "=" * 40]
    for text in odd:
        with Raw(daemon.tls_port, implicit=True) as raw:
            raw.send(b"EHLO " + text.encode() + b"\r\n")
            raw.reply()
            raw.ehlo()
            raw.auth(text.replace("\0", ""), "x")
        with opened(daemon) as raw:
            raw.send(b"MAIL FROM:<\"" + text.encode() + b"\"@example.com>\r\n")
            raw.reply()
            raw.send(b"RCPT TO:<\"" + text.encode() + b"\"@example.com>\r\n")
            raw.reply()
    log = daemon.log()
    assert all(c not in log for c in "\u202e\x1b\r\0")
    for line in log.splitlines():
        assert re.match(r"^\d{4}-\d\d-\d\dT[\d:.]+Z event=[\w-]+( |$)", line), line
        assert len(line) < 4096
        # Outside of quotes there is only what we wrote.
        assert re.fullmatch(r'[^ ]+( [\w]+=("([^"\\]|\\.)*"|[^ "]*))*', line), line


def test_op08_files_are_only_ours(tmp_path):
    """Whatever the umask of who starts it."""
    for mask in (0, 0o077):
        folder = tmp_path / oct(mask)
        folder.mkdir()
        daemon = Gatepost(folder, free_port())
        before = os.umask(mask)
        try:
            daemon.start().account("alice")
        finally:
            os.umask(before)
        submit(daemon)
        for root, folders, files in os.walk(os.path.join(daemon.folder, "data")):
            for name in folders + files + ["."]:
                assert os.stat(os.path.join(root, name)).st_mode & 0o077 == 0, name
        assert os.stat(os.path.join(daemon.folder, "run", "control.sock")).st_mode & 0o777 == 0o660
        assert daemon.stop() == 0


def test_op15_ipv6(tmp_path):
    """One port on both families; addresses in the log as everybody writes them."""
    port = free_port()
    daemon = Gatepost(tmp_path, free_port(), """connections_per_network = 2
listen both { address = { "127.0.0.1", "::1" } port = %d tls = implicit }""" % port)
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    daemon.start().account("alice")
    socks = []
    for address in ("::1", "127.0.0.1", "::1"):
        sock = socket.create_connection((address, port))
        sock = insecure_context().wrap_socket(sock)
        assert sock.recv(100).startswith(b"220 ")
        sock.sendall(b"EHLO x\r\n")
        socks.append(sock)
    over = socket.create_connection(("::1", port))
    with pytest.raises((OSError, ssl.SSLError)):
        insecure_context().wrap_socket(over)
    assert daemon.events(r"event=too-many-connections client_ip=::1 .*listener=both")
    for sock in socks:
        sock.close()
    assert daemon.stop() == 0


def test_systemd_is_told(tmp_path):
    """READY when it serves, RELOADING and READY again, STOPPING; priorities in front of lines for the journal."""
    path = str(tmp_path / "notify")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(path)
    os.chmod(path, 0o777)
    listener.settimeout(60)
    daemon = Gatepost(tmp_path, free_port(), env={"NOTIFY_SOCKET": path})
    with open(daemon.log_path, "w") as f:
        info = os.fstat(f.fileno())
    daemon.start(JOURNAL_STREAM="%d:%d" % (info.st_dev, info.st_ino))

    def told(word):
        while True:
            text = listener.recv(4096).decode()
            if word in text.split("\n"):
                return
    told("READY=1")
    daemon.signal(signal.SIGHUP)
    told("RELOADING=1")
    told("READY=1")
    daemon.signal(signal.SIGTERM)
    told("STOPPING=1")
    assert daemon.stop() == 0
    assert all(re.match(r"^<[3-7]>event=", line) for line in daemon.log().splitlines()), daemon.log()
    listener.close()
