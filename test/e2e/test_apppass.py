"""App passwords: send-only secrets of an account, with names, limits and networks of their own."""
import glob
import os

import pytest
from harness import PASSWORD, Gatepost, message, wait_until
from raw import Raw
from test_import import may_login, scram

SETTINGS = 'limits = { "10/30m" }\npostmaster = { "postmaster@example.org" }'


@pytest.fixture
def daemon(tmp_path, sink):
    daemon = Gatepost(tmp_path, sink.port, SETTINGS).start().account("alice", "bob")
    yield daemon
    assert daemon.stop() == 0, daemon.log()[-5000:]


def token(daemon, name="scanner", *words, account="alice"):
    return daemon.ctl("account", "token", "add", account, name, *words, rows=True)[0]["secret"]


def session(daemon, secret, user="alice"):
    raw = Raw(daemon.port).starttls()
    assert raw.auth(user, secret).startswith("235")
    return raw


def send(daemon, secret, n=1, user="alice"):
    with session(daemon, secret, user) as raw:
        return raw.mail(["u%d@example.net" % i for i in range(n)], message("scan"))


def show(daemon, account="alice"):
    return daemon.ctl("account", "show", account, rows=True)[0]


def tokens(daemon, account="alice"):
    return daemon.ctl("account", "token", "list", account, rows=True)


def test_it_sends_and_is_named(daemon, sink):
    secret = token(daemon)
    assert secret.startswith("gp-") and len(secret) == 33
    assert send(daemon, secret, 3).startswith("250")
    assert may_login(daemon, "alice", PASSWORD)
    # As people type it; and by LOGIN, as many devices do.
    for typed in (secret.upper(), "GP-" + secret[3:].replace("-", "")):
        assert may_login(daemon, "alice@example.org", typed), typed
    with daemon.client("alice", secret) as client:
        assert client.noop()[0] == 250
    assert show(daemon)["used"] == "3"
    assert len(daemon.wait_log("event=queued.*apppass=scanner")) == 1
    daemon.wait_empty()
    assert len(sink.mails()) == 1
    # A wrong one, somebody else's, and by a mechanism that needs a verifier: no.
    assert not may_login(daemon, "alice", secret[:-1] + ("a" if secret[-1] != "a" else "b"))
    assert not may_login(daemon, "bob", secret)
    with Raw(daemon.port) as raw:
        assert not scram(raw.starttls(), "alice@example.org", secret).startswith("235")


def test_nobody_can_read_it_again(daemon):
    secret = token(daemon)
    daemon.ctl("account", "token", "list", "alice")
    may_login(daemon, "alice", secret)
    assert daemon.stop() == 0
    letters = secret[3:].replace("-", "")
    for path in glob.glob(os.path.join(daemon.folder, "data", "*")) + [daemon.log_path]:
        if os.path.isfile(path):
            with open(path, "rb") as f:
                data = f.read()
            assert secret.encode() not in data and letters.encode() not in data, path
    daemon.start()
    assert may_login(daemon, "alice", secret)


def test_a_limit_of_its_own_suspends_nobody(daemon):
    secret = token(daemon, "scanner", "4/1h")
    assert send(daemon, secret, 5).startswith("550 5.5.3")
    assert send(daemon, secret, 4).startswith("250")
    assert send(daemon, secret, 1).startswith("550 5.7.1")
    assert show(daemon)["standing"] == "good"
    assert tokens(daemon)[0]["used"] == "4" and show(daemon)["used"] == "4"
    assert send(daemon, PASSWORD, 6).startswith("250")
    daemon.restart()
    daemon.ctl("clock", str(31 * 60 * 1000))  # the account's are back, the scanner's not
    assert send(daemon, secret, 1).startswith("550 5.7.1")
    daemon.ctl("clock", str(32 * 60 * 1000))
    assert send(daemon, secret, 4).startswith("250")


def test_the_account_is_suspended_by_its_budget(daemon):
    secret, other = token(daemon), token(daemon, "phone")
    with session(daemon, other) as raw:
        assert send(daemon, secret, 10).startswith("250")
        assert send(daemon, secret, 1).startswith("550 5.7.1")
        wait_until(lambda: show(daemon)["standing"] == "suspended", "a suspension")
        assert raw.ask("MAIL FROM:<alice@example.org>")[:3] in ("421", "550")
    why = daemon.ctl("account", "why", "alice").replace("\n", " ")
    assert '"scanner"' in why and "account token delete alice@example.org scanner" in why
    with session(daemon, secret) as raw:
        assert raw.ask("MAIL FROM:<alice@example.org>").startswith("550 5.7.1")
    daemon.ctl("account", "unlock", "alice")
    assert send(daemon, secret, 1).startswith("250")


def test_only_from_its_networks(daemon):
    here = token(daemon, "here", "--from", "10.0.0.0/8", "127.0.0.0/8")
    there = token(daemon, "there", "20/1h", "--from", "192.0.2.7", "2001:db8::/32")
    assert may_login(daemon, "alice", here)
    assert not may_login(daemon, "alice", there)
    rows = {row["name"]: row for row in tokens(daemon)}
    assert rows["there"]["from"] == "192.0.2.7 2001:db8::/32" and rows["there"]["limits"] == "20/1h"
    assert rows["here"]["from"] == "10.0.0.0/8 127.0.0.0/8" and rows["here"]["limits"] == "unlimited"


def test_deleting_it_cuts_its_sessions(daemon):
    secret, other = token(daemon), token(daemon, "phone")
    idle, middle, phone, own = (session(daemon, s) for s in (secret, secret, other, PASSWORD))
    middle.want("MAIL FROM:<alice@example.org>", "250")
    daemon.ctl("account", "token", "delete", "alice", "scanner")
    for raw in (idle, middle):
        assert raw.ask("RCPT TO:<bob@example.net>").startswith("421")
    for raw in (phone, own):
        raw.want("MAIL FROM:<alice@example.org>", "250")
        raw.want("RCPT TO:<bob@example.net>", "250")
    assert not may_login(daemon, "alice", secret)
    assert may_login(daemon, "alice", other)
    # One of the same name is another one.
    again = token(daemon)
    assert again != secret and not may_login(daemon, "alice", secret) and may_login(daemon, "alice", again)


def test_the_password_of_the_account_is_another_thing(daemon):
    secret = token(daemon)
    with session(daemon, secret) as raw, session(daemon, PASSWORD) as own:
        daemon.ctl("account", "passwd", "alice", stdin="a new one\n")
        assert own.ask("NOOP").startswith("421")
        raw.want("NOOP", "250")
        daemon.ctl("account", "delete", "alice")
        assert raw.ask("NOOP").startswith("421")
    daemon.account("alice")
    assert tokens(daemon) == [] and not may_login(daemon, "alice", secret)


def test_it_ends_no_suspension(daemon):
    """Whoever has a scanner's password must not answer for the postmaster."""
    daemon.account("postmaster")
    secret = token(daemon, account="postmaster")
    daemon.ctl("account", "suspend", "alice")
    case = int(daemon.ctl("account", "why", "alice").split("(case ")[1].split(")")[0])
    with session(daemon, secret, "postmaster") as raw:
        raw.mail(["unlock+%d.abcdefghijklmnopqrstuvwxyz@mail.example.org" % case],
                 message("Re: suspended", "UNLOCK\n", sender="postmaster@example.org"), sender="postmaster@example.org")
    assert show(daemon)["standing"] == "suspended"


def test_what_is_refused(daemon):
    token(daemon)
    for words, say in ((("alice", "scanner"), "one of that name"), (("eve", "x"), "no such account"),
                       (("alice", "a/b"), "a name is"), (("alice", "x", "5"), "5:"), (("alice", "x", "--from"), "--from"),
                       (("alice", "x", "--from", "10.0.0.1/8"), "10.0.0.1/8"), (("alice", "x", "5/1h", "6/1h"), "same window")):
        done = daemon.ctl("account", "token", "add", *words, check=False)
        assert done.returncode == 1 and say in done.stderr, (words, done.stderr)
    for words in (("alice", "toaster"), ("bob", "scanner")):
        assert daemon.ctl("account", "token", "delete", *words, check=False).returncode == 1
    for n in range(31):
        token(daemon, "n%d" % n)
    assert daemon.ctl("account", "token", "add", "alice", "more", check=False).returncode == 1
    assert len(tokens(daemon)) == 32


def test_while_the_daemon_is_down(daemon):
    assert daemon.stop() == 0
    secret = token(daemon)
    token(daemon, "phone")
    daemon.ctl("account", "token", "delete", "alice", "phone")
    assert [row["name"] for row in tokens(daemon)] == ["scanner"]
    daemon.start()
    assert send(daemon, secret).startswith("250")
