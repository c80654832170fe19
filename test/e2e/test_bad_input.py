"""Bad input: each fault ends in one clear line that names place and fault and in a defined exit code, or in 4xx while
running; mail that was accepted is never lost."""
import os
import pwd
import re
import shutil
import subprocess

import pytest

from harness import Gatepost, Sink, daemon_user, free_port, insecure_context, message, wait_until
from raw import Raw, opened

GOOD, GENERAL, DATA_ERROR, UNAVAILABLE, OS_ERROR, CONFIG = 0, 1, 65, 69, 71, 78
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can do that")


def run(daemon, *words, config=None):
    command = [os.path.join(daemon.build, "server", "gatepost"), "-c", config or daemon.config]
    return subprocess.run(daemon.wrapper + command + list(words), capture_output=True, text=True, timeout=60)


def complains(done, code, *words):
    """One line on stderr with all these words, and this exit code."""
    assert done.returncode == code, done
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("gatepost: ")
    for word in words:
        assert word in lines[0], lines[0]


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A good configuration, not started."""
    return Gatepost(tmp_path_factory.mktemp("sound"), free_port())


# What is added to a good file, and what the complaint names beside file and line.
ADDED = [
    ("colour = 1", ["colour", "no such key"]),
    ("listen third { port = 1 tls = implicit colour = 2 }", ["colour"]),
    ("fence { high = 1 }", ["fence"]),
    ("connections = many", ["connections", "many"]),
    ("connections = 0", ["connections", "0"]),
    ("connections = 99999999999999999999", ["connections"]),
    ('limits = { "0/30m" }', ["limits", "0/30m"]),
    ('limits = { "500" }', ["limits", "500"]),
    ('limits = { "500/" }', ["limits"]),
    ('limits = { "500/30x" }', ["limits"]),
    ('limits = { "-5/30m" }', ["limits"]),
    ('limits = { "5/30m", "6/30m" }', ["limits"]),
    ("lifetime = 2", ["lifetime"]),
    ("lifetime = 2d\nlifetime = 3d", ["lifetime", "twice"]),
    ("message_size = 25", ["message_size"]),
    ("message_size = 50MB", ["message_size"]),
    ('exempt = { "@" }', ["exempt"]),
    ('listen submission { port = 1 tls = implicit }', ["submission"]),
    ('listen third { port = 70000 tls = implicit }', ["port"]),
    ('listen third { port = 1 tls = maybe }', ["tls", "maybe"]),
    ('listen third { address = { "localhost" } port = 1 tls = implicit }', ["address", "localhost"]),
    ('smarthost more { address = "" }', ["address"]),
    ('smarthost more { port = 25 }', ["address"]),
    ('smarthost more { address = "127.0.0.1" ', ["does not end"]),
    ('tls { certificate = "/x" key = "/y" }', ["tls", "twice"]),
    ('login_timeout = "5m', []),
    ("= 5", []),
    ("\x01", []),
]


@pytest.mark.parametrize("added,words", ADDED, ids=[a.split("\n")[0][:40].encode("unicode_escape").decode() for a, _ in ADDED])
def test_configuration(sound, tmp_path, added, words):
    path = str(tmp_path / "gatepost.conf")
    shutil.copy(sound.config, path)
    with open(path, "a") as f:
        f.write(added + "\n")
    for mode in ("-t", "-n", None):
        done = run(sound, *([mode] if mode else []), config=path)
        complains(done, CONFIG, path + ":", *words)
        assert re.search(re.escape(path) + r":\d+: ", done.stderr), done.stderr
    ctl = subprocess.run([os.path.join(sound.build, "server", "gatepostctl"), "-c", path, "status"], capture_output=True, text=True)
    assert ctl.returncode == CONFIG and path in ctl.stderr


@pytest.mark.parametrize("removed,words", [
    (r"smarthost .*", ["smarthost"]), (r"hostname .*", []), (r"tls .*", []), (r"listen .*", []), (r".*", []),
])
def test_what_is_missing(sound, tmp_path, removed, words):
    """No smarthost is refused; for the others there is a default, or a line that says so."""
    path = str(tmp_path / "gatepost.conf")
    with open(sound.config) as f, open(path, "w") as out:
        out.write("\n".join(line for line in f.read().splitlines() if not re.fullmatch(removed, line)) + "\n")
    done = run(sound, "-t", config=path)
    if words or done.returncode:
        complains(done, CONFIG, *words)


def test_no_configuration_at_all(sound, tmp_path):
    complains(run(sound, config=str(tmp_path / "none.conf")), CONFIG, "none.conf")
    complains(run(sound, config=str(tmp_path)), CONFIG, str(tmp_path))


def test_command_line(sound):
    for words in (["-x"], ["-c"], ["more"]):
        done = subprocess.run([os.path.join(sound.build, "server", "gatepost")] + words, capture_output=True, text=True)
        assert done.returncode == 64 and "usage:" in done.stderr
    done = run(sound, "-V")
    assert done.returncode == 0 and done.stdout.startswith("gatepost ")
    assert all(name in done.stdout for name in ("OpenSSL", "libuv", "LMDB", "Cyrus"))
    done = run(sound, "-t")
    assert (done.returncode, done.stdout) == (0, sound.config + ": good\n")
    done = run(sound, "-n")
    assert done.returncode == 0 and 'hostname = "mail.example.org"' in done.stdout and "lifetime" not in done.stdout


def test_what_n_prints_is_a_configuration(sound, tmp_path):
    path = str(tmp_path / "gatepost.conf")
    first = run(sound, "-n").stdout
    with open(path, "w") as f:
        f.write(first)
    assert run(sound, "-n", config=path).stdout == first
    assert run(sound, "-t", config=path).returncode == 0


@pytest.mark.parametrize("fault", ["certificate missing", "key missing", "another key", "no certificate", "no key", "unreadable key", "swapped"])
def test_certificate(tmp_path, fault):
    daemon = Gatepost(tmp_path, free_port())
    other = tmp_path / "other"
    other.mkdir()
    stranger = Gatepost(other, free_port())
    named = daemon.key
    if fault == "certificate missing":
        os.unlink(daemon.cert)
        named = daemon.cert
    elif fault == "key missing":
        os.unlink(daemon.key)
    elif fault == "another key":
        shutil.copy(stranger.key, daemon.key)
    elif fault == "no certificate":
        with open(daemon.cert, "w") as f:
            f.write("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        named = daemon.cert
    elif fault == "no key":
        with open(daemon.key, "w") as f:
            f.write("nothing\n")
    elif fault == "unreadable key":
        if os.geteuid() != 0:
            pytest.skip("only root can do that")
        shutil.chown(daemon.key, "root", "root")
        os.chmod(daemon.key, 0o600)
    else:
        os.rename(daemon.key, daemon.key + ".x")
        os.rename(daemon.cert, daemon.key)
        os.rename(daemon.key + ".x", daemon.cert)
        named = daemon.cert
    for words in (["-t"], []):
        complains(run(daemon, *words), CONFIG, named)
    assert not os.path.exists(os.path.join(daemon.folder, "data"))


@root_only
def test_user(tmp_path):
    for user, words in (("no-such-user", ["no-such-user"]), ("root", ["root"])):
        daemon = Gatepost(tmp_path, free_port(), 'user = "%s"' % user)
        done = run(daemon)
        assert done.returncode in (CONFIG, 73), done
        complains(done, done.returncode, *words)


def test_data_dir_in_use(tmp_path):
    """TESTS DU22: the second one ends with 1, and the first does not notice."""
    daemon = Gatepost(tmp_path, free_port()).start().account("alice")
    other = tmp_path / "second"
    other.mkdir()
    second = Gatepost(other, free_port(), 'data_dir = "%s/data"' % daemon.folder)
    complains(run(second), GENERAL, daemon.folder + "/data")
    complains(run(daemon), GENERAL, daemon.folder + "/data")
    with opened(daemon) as raw:
        assert raw.mail(["bob@example.net"], message("x")).startswith("250")
    assert daemon.stop() == 0


def test_port_in_use(tmp_path):
    daemon = Gatepost(tmp_path, free_port()).start()
    other = tmp_path / "second"
    other.mkdir()
    second = Gatepost(other, free_port())
    with open(second.config) as f:
        text = f.read().replace(str(second.tls_port), str(daemon.tls_port))
    with open(second.config, "w") as f:
        f.write(text)
    complains(run(second), UNAVAILABLE, "submissions", str(daemon.tls_port), "in use")
    assert daemon.stop() == 0


def filled(tmp_path, n=20):
    """A daemon that has ended with mail in its queue, and the ids."""
    daemon = Gatepost(tmp_path, free_port(), "limits = { }").start().account("alice")
    with opened(daemon) as raw:
        ids = [raw.mail(["r%d@example.net" % i], message("kept", "text\n" * 2000)).split()[-1] for i in range(n)]
    assert daemon.stop() == 0
    return daemon, ids


def data_of(daemon):
    return os.path.join(daemon.folder, "data", "data.mdb")


def test_store_of_a_newer_gatepost(tmp_path):
    """And of an older one's tools: nothing is written to it."""
    daemon, _ = filled(tmp_path, 1)
    folder = os.path.dirname(data_of(daemon))
    dump = subprocess.run(["mdb_dump", "-s", "meta", folder], check=True, capture_output=True, text=True).stdout
    key = b"schema".hex()
    row = re.search(r" %s\n ([0-9a-f]+)\n" % key, dump)
    subprocess.run(["mdb_load", "-s", "meta", folder], check=True, text=True,
                   input=dump.replace(row.group(0), " %s\n %s\n" % (key, "7f" * (len(row.group(1)) // 2))))
    complains(run(daemon), DATA_ERROR, folder, "newer")
    done = daemon.ctl("account", "list", check=False)
    assert done.returncode == DATA_ERROR and "newer" in done.stderr
    subprocess.run(["mdb_load", "-s", "meta", folder], check=True, input=dump, text=True)
    daemon.start()
    assert len(daemon.queue()) == 1
    assert daemon.stop() == 0


@pytest.mark.parametrize("damage", ["cut in half", "empty of pages", "both meta pages", "text", "schema gone"])
def test_du13_damaged_store(tmp_path, damage):
    """It says which file, and sends nothing that it can not vouch for."""
    daemon, _ = filled(tmp_path)
    path = data_of(daemon)
    size = os.path.getsize(path)
    if damage == "schema gone":
        folder = os.path.dirname(path)
        dump = subprocess.run(["mdb_dump", "-s", "meta", folder], check=True, capture_output=True, text=True).stdout
        key = b"schema".hex()
        subprocess.run(["mdb_load", "-s", "meta", folder], check=True, text=True,
                       input=re.sub(r" %s\n [0-9a-f]+\n" % key, " %s\n %s\n" % (key, "00"), dump))
    else:
        with open(path, "r+b") as f:
            if damage == "cut in half":
                f.truncate(size // 2 // 4096 * 4096)
            elif damage == "empty of pages":
                f.truncate(2 * 4096)
            elif damage == "both meta pages":
                f.write(b"\xff" * 8192)
            else:
                f.write(b"this is no store\n" * 1000)
    complains(run(daemon), DATA_ERROR, os.path.dirname(path))


@pytest.mark.parametrize("fault,code,words", [
    ("pages trashed", DATA_ERROR, "is damaged"),
    ("no permission", OS_ERROR, "Permission denied"),
    ("a folder", OS_ERROR, "Is a directory"),
])
def test_hl19_an_unreadable_store(tmp_path, fault, code, words):
    """HL19. What was charged can not be read: one clear line, an exit code, and nobody is served. Damaged files of other
    kinds are test_du13_damaged_store."""
    daemon, _ = filled(tmp_path)
    path = data_of(daemon)
    if fault == "pages trashed":
        with open(path, "r+b") as f:
            size = f.seek(0, os.SEEK_END)
            f.seek(2 * 4096)
            f.write(b"\xa5" * (size - 2 * 4096))
    elif fault == "no permission":
        os.chmod(path, 0)
        os.chown(path, os.geteuid(), os.getegid())
    else:
        os.rename(path, path + ".away")
        os.mkdir(path)
    # It ends by itself, and its one line is not that it has started.
    complains(run(daemon), code, path, words)


def test_du13_one_meta_page_is_enough(tmp_path):
    """The other one is a commit older; the start-up sweep makes it consistent."""
    daemon, ids = filled(tmp_path)
    with open(data_of(daemon), "r+b") as f:
        f.seek(4096)
        f.write(b"\0" * 4096)
    done = subprocess.Popen([os.path.join(daemon.build, "server", "gatepost"), "-c", daemon.config], stderr=subprocess.PIPE, text=True)
    try:
        done.wait(5)
        assert done.returncode == DATA_ERROR and "data" in done.stderr.read()
    except subprocess.TimeoutExpired:
        assert {row["qid"] for row in daemon.queue()} <= set(ids)
        done.terminate()
        assert done.wait() == 0


def test_du13_a_damaged_row_stops_no_others(tmp_path):
    """A queue entry that can not be read is named in the log, kept, and the rest goes out."""
    daemon, ids = filled(tmp_path, 5)
    folder = os.path.dirname(data_of(daemon))
    dump = subprocess.run(["mdb_dump", "-s", "queue", folder], check=True, capture_output=True, text=True).stdout
    rows = re.findall(r"^ ([0-9a-f]+)\n ([0-9a-f]+)$", dump, re.M)
    assert len(rows) == 5
    key, value = rows[2]
    subprocess.run(["mdb_load", "-s", "queue", folder], check=True, text=True,
                   input=dump.replace(value, "ff" * (len(value) // 2), 1))
    sink = Sink(tmp_path, port=daemon.smarthost).start()
    daemon.start()
    daemon.wait_log("event=store-checked .*damaged=1")
    wait_until(lambda: len(sink.mails()) == 4, "four mails")
    assert [row["state"] for row in daemon.queue()] == ["damaged"]
    assert daemon.stop() == 0
    sink.stop()


def big(daemon, user="alice", size=1000000):
    """The last reply: a full store answers at MAIL already."""
    with opened(daemon, user) as raw:
        reply = raw.ask("MAIL FROM:<%s@example.org>" % user)
        if not reply.startswith("250"):
            return reply
        raw.want("RSET", "250")
        return raw.mail(["bob@example.net"], message("big", ("x" * 75 + "\n") * (size // 76)))


def fill(daemon):
    """How many large mails it takes until it says 452."""
    for accepted in range(40):
        reply = big(daemon)
        if not reply.startswith("250"):
            break
    assert reply.startswith("452 4.3.1"), reply
    return accepted


def test_full_store(tmp_path):
    """452 to those who have much in it; small accounts have the last tenth; all is well again when it has emptied."""
    settings = "limits = { }\nstore_size = 16M\nmessage_size = 2M\nretry = { \"1h\" }"
    port = free_port()
    daemon = Gatepost(tmp_path, port, settings).start().account("alice", "bob")
    accepted = fill(daemon)
    assert 8 <= accepted <= 16
    daemon.wait_log("event=refused .*code=452")
    assert daemon.ctl("status", check=False).returncode == 1
    with opened(daemon, "bob") as raw:
        assert raw.mail(["small@example.net"], message("small"), sender="bob@example.org").startswith("250")
    assert len(daemon.queue()) == accepted + 1
    assert daemon.ctl("account", "show", "alice", rows=True)[0]["queued"] == accepted
    daemon.restart()
    more = fill(daemon)  # what was refused at the mark may fit in now that its own rows are gone
    assert more <= 1
    accepted += more
    sink = Sink(tmp_path, port=port).start()
    daemon.ctl("queue", "flush")
    daemon.wait_empty()
    assert len(sink.mails()) == accepted + 1
    wait_until(lambda: big(daemon).startswith("250"), "room again")
    assert daemon.stop() == 0
    sink.stop()


def small(daemon, user):
    with opened(daemon, user) as raw:
        reply = raw.ask("MAIL FROM:<%s@example.org>" % user)
        if not reply.startswith("250"):
            return reply
        raw.want("RSET", "250")
        return raw.mail(["carol@example.net"], message("small"), sender=user + "@example.org")


def test_hl18_a_full_store_charges_nobody(tmp_path):
    """HL18. 452 for all, so often that charges for it would suspend; when there is room it goes on with the same process.
    That no room turns up only in the commit with the charge is test_du09_no_space_at_a_commit."""
    limits = 'limits = { "10/30m" }\nmessage_size = 4M\nstore_size = %s'
    port = free_port()
    daemon = Gatepost(tmp_path, port, limits % "64M").start().account("alice", "bob")

    def used():
        rows = {row["account"]: row["used"].split()[0] for row in daemon.ctl("account", "list", rows=True)}
        return rows["alice@example.org"], rows["bob@example.org"]

    for _ in range(9):
        assert big(daemon, size=2000000).startswith("250")
    daemon.ctl("queue", "hold", "alice")
    sink = Sink(tmp_path, port=port).start()
    daemon.ctl("queue", "flush")
    assert small(daemon, "bob").startswith("250")
    wait_until(lambda: len(sink.mails()) == 1, "the mail of bob")
    wait_until(lambda: daemon.ctl("status", check=False).returncode == 0, "all is well")
    wait_until(lambda: daemon.status()["store_bytes"] > 16 << 20, "more in it than the smaller size")
    pid = daemon.process.pid
    daemon.configure(limits % "16M")
    daemon.ctl("reload")
    done = daemon.ctl("status", check=False)
    assert done.returncode == 1 and "the store is nearly full" in done.stderr, done
    for user in ("alice", "bob"):
        assert {small(daemon, user)[:9] for _ in range(12)} == {"452 4.3.1"}
        daemon.wait_log("event=refused .*code=452 account=%s@.*reason=STORE_FULL" % user, 12)
    assert used() == ("9", "1") and daemon.status()["suspended"] == 0
    daemon.configure(limits % "64M")
    daemon.ctl("reload")
    assert daemon.ctl("status", check=False).returncode == 0
    assert small(daemon, "alice").startswith("250") and used() == ("10", "1")
    assert {small(daemon, "bob")[:3] for _ in range(9)} == {"250"} and used() == ("10", "10")
    assert small(daemon, "bob").startswith("550 5.7.1")  # limits hold as before
    daemon.ctl("queue", "release", "alice")
    wait_until(lambda: len(sink.mails()) >= 20, "all that was answered with 250")
    assert daemon.process.pid == pid and daemon.stop() == 0
    sink.stop()


def test_one_account_fills_its_share(tmp_path):
    """TESTS RX13: 452 to it alone."""
    daemon = Gatepost(tmp_path, free_port(), "limits = { }\nqueued_bytes = 2M\nmessage_size = 1500K").start().account("alice", "bob")
    assert [big(daemon)[:9] for _ in range(3)] == ["250 2.0.0", "250 2.0.0", "452 4.3.1"]
    with opened(daemon, "bob") as raw:
        assert raw.mail(["x@example.net"], message("other"), sender="bob@example.org").startswith("250")
    assert big(daemon, "bob").startswith("250")
    daemon.ctl("queue", "discard", "alice")
    assert big(daemon).startswith("250")
    assert daemon.stop() == 0


def test_size_declared_and_true(tmp_path):
    """TESTS RX10: a SIZE that is too large is refused at MAIL, one that lies at the end, and both sessions go on."""
    daemon = Gatepost(tmp_path, free_port(), "message_size = 64K").start().account("alice")
    with opened(daemon) as raw:
        raw.want("MAIL FROM:<alice@example.org> SIZE=70000", "552 5.3.4")
        raw.want("MAIL FROM:<alice@example.org> SIZE=10", "250")
        raw.want("RCPT TO:<bob@example.net>", "250")
        raw.want("DATA", "354")
        raw.send(message("lie", ("x" * 75 + "\n") * 1000) + ".\r\n")
        assert raw.reply().startswith("552 5.3.4")
        assert raw.mail(["bob@example.net"], message("small")).startswith("250")
    assert len(daemon.queue()) == 1
    assert daemon.stop() == 0


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    person = pwd.getpwnam(daemon_user())
    words = ["mount", "-t", "tmpfs", "-o", "size=40m,mode=0700,uid=%d,gid=%d" % (person.pw_uid, person.pw_gid), "none", str(folder)]
    if os.geteuid() != 0 or subprocess.run(words, capture_output=True).returncode != 0:
        pytest.skip("no tmpfs can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill_disk(folder):
    path = os.path.join(folder, "filler")
    with open(path, "wb") as f:
        try:
            while True:
                f.write(b"\0" * 65536)
                f.flush()
        except OSError:
            pass
    return path


def test_du09_full_disk(tmp_path, small_disk):
    """4xx while it is full, none of what was accepted is lost, and it goes on when there is room."""
    port = free_port()
    settings = 'limits = { }\nstore_size = 64M\nmessage_size = 2M\nretry = { "1s" }\ndata_dir = "%s"' % small_disk
    daemon = Gatepost(tmp_path, port, settings).start().account("alice")
    accepted = 0
    for n in range(60):
        reply = big(daemon)
        if not reply.startswith("250"):
            break
        accepted += 1
    assert reply[:9] in ("452 4.3.1", "451 4.3.0") and accepted > 5, (reply, accepted)
    filler = fill_disk(str(small_disk))
    for _ in range(5):
        assert big(daemon, size=100)[:2] == "45"
    assert daemon.process.poll() is None, daemon.log()[-2000:]
    os.unlink(filler)
    sink = Sink(tmp_path, port=port).start()
    daemon.wait_empty()
    assert len(sink.mails()) == accepted
    wait_until(lambda: big(daemon).startswith("250"), "room again")
    assert daemon.stop() == 0
    sink.stop()


def test_du09_disk_full_at_start(tmp_path, small_disk):
    filler = fill_disk(str(small_disk))
    daemon = Gatepost(tmp_path, free_port(), 'data_dir = "%s"' % small_disk)
    done = run(daemon)
    assert done.returncode not in (0, 99) and done.returncode > 0
    complains(done, done.returncode, str(small_disk))
    os.unlink(filler)
    daemon.start()
    assert daemon.stop() == 0


@root_only
def test_as_an_ordinary_user(tmp_path):
    """On high ports, with a key of 0640 root:group, and with the admin's tool as the same user."""
    home = tmp_path / "home"
    home.mkdir()
    person = pwd.getpwnam("nobody")
    os.chown(home, person.pw_uid, person.pw_gid)
    settings = 'user = "no-such-user"\ndata_dir = "%s/data"\ncontrol = "%s/run/control.sock"' % (home, home)
    wrapper = ["setpriv", "--reuid", "nobody", "--regid", str(person.pw_gid), "--clear-groups"]
    daemon = Gatepost(tmp_path, free_port(), settings, wrapper=wrapper)
    done = run(daemon, "-t")
    assert done.returncode == 0, done
    daemon.start().account("alice")
    with opened(daemon) as raw:
        assert raw.mail(["bob@example.net"], message("x")).startswith("250")
    assert os.stat(str(home / "data" / "data.mdb")).st_uid == person.pw_uid
    for path in (home / "data", home / "data" / "data.mdb", home / "run" / "control.sock"):
        assert os.stat(str(path)).st_mode & 0o007 == (0o005 if path.name == "run" else 0), path
    assert daemon.stop() == 0
    os.chmod(daemon.key, 0o600)
    complains(run(daemon, "-t"), CONFIG, daemon.key)
    complains(run(daemon), CONFIG, daemon.key)


@root_only
def test_op05_root_is_given_up(tmp_path):
    daemon = Gatepost(tmp_path, free_port()).start()
    with open("/proc/%d/status" % daemon.process.pid) as f:
        status = dict(line.split(":\t", 1) for line in f.read().splitlines() if ":\t" in line)
    uid = pwd.getpwnam(daemon_user()).pw_uid
    assert set(map(int, status["Uid"].split())) == {uid}
    assert set(map(int, status["Groups"].split())) <= {pwd.getpwnam(daemon_user()).pw_gid}
    assert int(status["CapEff"], 16) == 0 and status.get("NoNewPrivs", "1").strip() == "1"
    assert daemon.stop() == 0
