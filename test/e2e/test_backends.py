"""Sites keep their users where they are: the daemon with each back end, the real ones of backends.py."""
import os
import signal
import socket
import threading
import time

import pytest

from backends import Dovecot, Saslauthd, Sasldb, Slapd, Sqlite
from harness import Gatepost, PASSWORD, message, plain, wait_until
from raw import opened
from scram import Scram
from test_secrets import copies, forms

# The screen has tests of its own; nothing is believed for longer than it takes to ask.
COMMON = 'screen_exempt = { "127.0.0.0/8" }\nenrol = open\ncache_time = 0s\nauth_failures = 100\njunk = 1000\n'
KINDS = (Saslauthd, Slapd, Dovecot, Sasldb, Sqlite)
ASKED = (Saslauthd, Slapd, Dovecot)  # over a socket, by us


class Site:
    """A back end with alice and bob, and a daemon that asks it."""

    def __init__(self, kind, folder, sink, extra="", **options):
        self.back_end = kind(folder, **options)
        self.folder, self.sink, self.extra, self.daemon = folder, sink, extra, None

    def start(self):
        self.back_end.start()
        self.daemon = Gatepost(self.folder, self.sink.port, COMMON + self.back_end.settings + self.extra).start()
        return self

    def users(self, *names):
        for name in names:
            # PAM without -r knows no domains.
            short = isinstance(self.back_end, Saslauthd) and not self.back_end.realms
            self.back_end.user(name.partition("@")[0] if short else name)
        return self

    def login(self, user, password=PASSWORD):
        with opened(self.daemon, user=None) as raw:
            return raw.auth(user, password)

    def accounts(self):
        return sorted(row["account"] for row in self.daemon.ctl("account", "list", rows=True))

    def done(self):
        code = self.daemon.stop() if self.daemon else 0
        self.back_end.done()
        assert code == 0, self.daemon.log()[-5000:]


@pytest.fixture
def site(tmp_path, sink):
    """site(kind, ...): not started, so that users can be added."""
    made = []

    def make(kind, extra="", **options):
        made.append(Site(kind, tmp_path, sink, extra, **options))
        return made[-1]
    yield make
    for one in made:
        one.done()


# ---- each of them ----

@pytest.mark.parametrize("kind", KINDS)
def test_a_day_with(kind, site):
    """Right, wrong, unknown, and away."""
    here = site(kind).users("alice@example.org", "bob@example.org").start()
    for user in ("alice", "alice@example.org", "Alice@EXAMPLE.org" if kind in (Slapd, Dovecot) else "alice"):
        assert here.login(user).startswith("235 2.7.0"), here.daemon.log()[-3000:]
        for wrong in ("wrong", PASSWORD + "x", PASSWORD[:-1], "", "a" * 1000):
            assert here.login(user, wrong).startswith(("535 5.7.8", "501")), wrong
    assert here.login("nobody").startswith("535 5.7.8")
    for name in ("*", "alice)(uid=*", "al*", "' OR '1'='1", "al\tice", "alice\nbob", "@", "@example.org", "a" * 300):
        assert not here.login(name).startswith("235"), name
    with opened(here.daemon, user=None) as raw:
        assert raw.auth("bob").startswith("235")
        assert raw.mail(["r@example.net"], message("by bob"), sender="bob@example.org").startswith("250")
    assert [a for a in here.accounts() if not a.startswith("al")] == ["bob@example.org"]
    assert "alice@example.org" in here.accounts()
    if kind in ASKED:
        here.back_end.stop()
        assert here.login("alice").startswith("454 4.7.0")
        assert here.login("alice", "wrong").startswith("454 4.7.0")
        here.daemon.wait_log("event=auth-unavailable", 2)
        here.back_end.start()
        assert here.login("alice").startswith("235"), here.daemon.log()[-2000:]


@pytest.mark.parametrize("kind", (Sasldb, Sqlite))
@pytest.mark.parametrize("mechanism", ("SCRAM-SHA-1", "SCRAM-SHA-256"))
def test_scram_where_passwords_are_in_clear(kind, mechanism, site):
    here = site(kind).users("alice@example.org").start()
    for user, password, want in (("alice", PASSWORD, "235"), ("alice@example.org", PASSWORD, "235"), ("alice", "x", "535"),
                                 ("nobody", PASSWORD, "535")):
        with opened(here.daemon, user=None) as raw:
            assert Scram(mechanism, user, password).login(raw).startswith(want), (user, here.daemon.log()[-2000:])


# ---- one person, one account ----

def test_four_spellings_are_one_account(site):
    """Active Directory's names, and the mail address; the directory says who it is."""
    here = site(Slapd, 'postmaster = { "admin@example.org" }\nlimits = { "4/1h" }').users("alice@example.org").start()
    names = ("alice", "EXAMPLE\\alice", "alice@corp.example.org", "alice@example.org")
    for n, name in enumerate(names):
        with opened(here.daemon, user=None) as raw:
            assert raw.auth(name).startswith("235"), name
            assert raw.mail(["r%d@example.net" % n], message("by " + name)).startswith("250"), name
    assert here.accounts() == ["alice@example.org"]
    # The budget is one, and so is the suspension.
    with opened(here.daemon, user=None) as raw:
        assert raw.auth(names[1]).startswith("235")
        assert raw.mail(["r5@example.net"], message("one too many")).startswith("550 5.7.1")
    for name in names:
        with opened(here.daemon, user=None) as raw:
            assert raw.auth(name).startswith("235")
            raw.want("MAIL FROM:<alice@example.org>", "550 5.7.1")


def test_fifty_details_are_one_account(site):
    """PAM says yes to each of them; somebody who knows one password must not have fifty budgets."""
    here = site(Saslauthd).users("alice@example.org").start()
    for n in range(1, 51):
        assert here.login("alice+%d@example.org" % n).startswith("235")
    assert len(set(here.back_end.names())) == 50
    assert here.accounts() == ["alice@example.org"]


def test_saslauthd_without_realms_has_one_domain(site):
    """It looks at "alice" alone: any domain would do, and each be an account."""
    here = site(Saslauthd).users("alice@example.org").start()
    for domain in ("made.up", "example.com", "example.org.", "x@example.com"):
        assert here.login("alice@" + domain).startswith("535"), domain
    assert here.login("alice@Example.Org").startswith("235")
    assert set(here.back_end.names()) == {"alice"} and here.accounts() == ["alice@example.org"]


def test_saslauthd_with_realms_tells_them_apart(site):
    here = site(Saslauthd, realms=True).users("alice@example.org")
    here.back_end.user("alice@b.org", "another password")
    here.start()
    assert here.login("alice").startswith("235")
    assert here.login("alice@b.org").startswith("535")
    assert here.login("alice@b.org", "another password").startswith("235")
    assert here.accounts() == ["alice@b.org", "alice@example.org"]
    assert set(here.back_end.names()) == {"alice@example.org", "alice@b.org"}


def test_saslauthd_and_a_login_map(site, tmp_path):
    """It returns no name: the site's map says whose a typed one is."""
    (tmp_path / "map").write_text("EXAMPLE\\*  *@example.org\n*@corp.example.org *@example.org\n")
    here = site(Saslauthd, 'login_map = "%s"' % (tmp_path / "map"))
    here.back_end.settings = here.back_end.settings.replace("auth_realms = no", "auth_realms = yes")
    here.back_end.user("alice").user("EXAMPLE\\\\alice")
    here.start()
    for name in ("alice", "alice@example.org", "alice@corp.example.org"):
        assert here.login(name).startswith("235"), name
    assert here.accounts() == ["alice@example.org"]


# ---- LDAP ----



def test_ldaps(site):
    here = site(Slapd).users("alice@example.org")
    here.back_end.rules["ldap_uri"] = here.back_end.ldaps
    here.start()
    assert here.login("alice").startswith("235") and here.login("alice", "x").startswith("535")


def test_ldap_asks_the_next_server(site):
    here = site(Slapd).users("alice@example.org")
    here.back_end.rules["ldap_uri"] = '"ldap://127.0.0.1:1 %s"' % here.back_end.ldaps.strip('"')
    here.start()
    assert here.login("alice").startswith("235")


@pytest.mark.parametrize("rule, why", (
    ({"ldap_ca": '"/etc/ssl/certs/ca-certificates.crt"'}, "certificate"),
    ({"ldap_uri": '"ldaps://localhost:%(tls_port)d"'}, "certificate"),
    ({"ldap_starttls": "no"}, "Confidentiality required"),
    ({"ldap_base": '"dc=nowhere"'}, "No such object"),
    ({"ldap_filter": '"(uid=%u"'}, "Bad search filter"),
    ({"ldap_account": "description"}, "description"),
    ({"ldap_password_file": '"%(folder)s/cert.pem"'}, "Invalid credentials"),
    ({"ldap_filter": '"(objectClass=inetOrgPerson)"'}, "more than one"),
), ids=lambda rule: "-".join(rule) if isinstance(rule, dict) else None)
def test_ldap_set_up_wrongly_is_nobodys_wrong_password(rule, why, site):
    """454, and the log says what to look at; no password goes to whom it is not meant for."""
    here = site(Slapd).users("alice@example.org", "bob@example.org")
    values = {"tls_port": here.back_end.tls_port, "folder": here.back_end.folder}
    for key, value in rule.items():
        here.back_end.rules[key] = value if "%u" in value else value % values
    os.chmod(here.back_end.cert, 0o644)
    here.start()
    assert here.login("alice").startswith("454 4.7.0")
    assert why in here.daemon.wait_log("event=auth-unavailable")[0]
    assert PASSWORD not in here.daemon.log() and here.accounts() == []


def test_ldap_of_two_addresses_always_the_same(site):
    here = site(Slapd)
    here.back_end.user("zoe@example.org", PASSWORD, "mail: a.zoe@example.org", "mail: zz@example.org")
    here.start()
    for name in ("zoe", "zoe@example.org", "zz@example.org", "a.zoe@example.org"):
        assert here.login(name).startswith("235")
    assert here.accounts() == ["a.zoe@example.org"]


def test_ldap_an_empty_password_is_never_sent(site):
    """RFC 4513 5.1.2: a bind with a name and without a password succeeds."""
    here = site(Slapd).users("alice@example.org").start()
    assert not here.login("alice", "").startswith("235")
    with opened(here.daemon, user=None) as raw:
        raw.want("AUTH LOGIN", "334")
        raw.want("YWxpY2U=", "334")
        raw.want("", "535")
    assert "uid=alice" not in here.back_end.log()


# ---- Dovecot ----

def test_dovecot_hears_the_client_and_says_who(site):
    here = site(Dovecot).users("alice@example.org")
    here.back_end.user("here@example.org", PASSWORD, "allow_nets=127.0.0.0/8")
    here.back_end.user("there@example.org", PASSWORD, "allow_nets=192.0.2.0/24")
    here.back_end.user("gone@example.org", PASSWORD, "nologin")
    here.back_end.lines["al"] = here.back_end.lines["alice"]
    here.users("bob@example.org").start()
    for user, want in (("al", "235"), ("al@anything.example", "235"), ("here", "235"), ("there", "535"), ("gone", "535")):
        assert here.login(user).startswith(want), user
    assert here.accounts() == ["alice@example.org", "here@example.org"]
    assert "nologin" in here.daemon.wait_log("event=auth-fail", 2)[-1]
    assert "127.0.0.1" in here.back_end.log()


def test_dovecot_has_a_failure_of_its_own(site):
    here = site(Dovecot).users("alice@example.org").start()
    os.chmod(here.back_end.path("users"), 0)
    here.back_end.stop()
    here.back_end.start()
    assert here.login("alice").startswith("454 4.7.0")


# ---- AU15: one that can not be asked ----

class Wrong:
    """A saslauthd that says these bytes to each question, and stays."""

    def __init__(self, path, answer, close):
        self.path, self.answer, self.close = path, answer, close
        self.open = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        os.chmod(path, 0o777)
        self.listener.listen(64)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            sock.recv(4096)
            sock.sendall(self.answer)
            if self.close:
                sock.close()
            else:
                self.open.append(sock)

    def done(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        os.unlink(self.path)


AU15 = {"slow": (b"", False), "garbage": (b"\xff\xfe" * 20, False), "half": (b"\0\x02O", False), "hangs up": (b"\0", True),
        "neither": (b"\0\x05MAYBE", True), "down": None}


@pytest.mark.parametrize("how", AU15)
def test_au15_saslauthd(how, tmp_path, sink):
    """454 within the deadline, nobody's failure, and the others do not notice."""
    path = "/tmp/gatepost-au15.%d" % os.getpid()
    daemon = Gatepost(tmp_path, sink.port, COMMON.replace("auth_failures = 100", "auth_failures = 2") +
                      'auth = saslauthd\nauth_socket = "%s"\nauth_timeout = 2s\n' % path).start()
    peer = Wrong(path, *AU15[how]) if AU15[how] else None
    with opened(daemon, user=None) as raw, opened(daemon, user=None) as other:
        for n in range(3):  # more than auth_failures: the session goes on
            raw.send("AUTH PLAIN %s\r\n" % plain("alice", PASSWORD))
            served = 0  # before the answer to AUTH
            while not raw_has(raw) and served < 90:
                other.want("NOOP", "250")
                served += 1
                time.sleep(0.005)
            assert raw.reply().startswith("454 4.7.0")
            assert served > 5 or how != "slow"
        raw.want("NOOP", "250")
    assert len(daemon.wait_log("event=auth-unavailable", 3)) == 3
    assert not daemon.events("event=auth-fail")
    if peer:
        peer.done()
    assert daemon.stop() == 0, daemon.log()[-5000:]


def raw_has(raw):
    """Whether an answer lies there."""
    if raw.buffer:
        return True
    raw.sock.settimeout(0.001)
    try:
        more = raw.sock.recv(65536)
        raw.buffer += more
        return True
    except (socket.timeout, OSError):
        return False
    finally:
        raw.sock.settimeout(60)


@pytest.mark.parametrize("kind", ASKED)
def test_au15_stopped(kind, site):
    """The real daemon takes the connection and says nothing; afterwards all is as before."""
    here = site(kind, "auth_timeout = 2s").users("alice@example.org").start()
    assert here.login("alice").startswith("235")
    here.back_end.signal(signal.SIGSTOP)
    with opened(here.daemon, user=None) as raw, opened(here.daemon, user=None) as other:
        raw.send("AUTH PLAIN %s\r\n" % plain("alice", PASSWORD))
        served = 0  # before the answer to AUTH
        while not raw_has(raw) and served < 90:
            other.want("NOOP", "250")
            served += 1
            time.sleep(0.005)
        assert served > 5
        assert raw.reply().startswith("454 4.7.0")
    here.back_end.signal(signal.SIGCONT)
    wait_until(lambda: here.login("alice").startswith("235"), "a login again")


# ---- AU17 with them ----

@pytest.mark.skipif(os.geteuid() != 0, reason="only root reads another's memory")
@pytest.mark.parametrize("kind", ASKED)
def test_au17_no_copy_stays(kind, site):
    """libldap frees what it has sent as it is: its memory passes through our hands."""
    here = site(kind).users("bob@example.org")
    right, wrong = "Lantern-5-wombat-17", "Obelisk-8-gherkin-33"
    here.back_end.user("alice" if kind is Saslauthd else "alice@example.org", right)
    here.start()
    for password, want in ((right, "235"), (wrong, "535")) * 3:
        assert here.login("alice", password).startswith(want)
    wait_until(lambda: here.daemon.status()["connections"] == 0, "all sessions gone")
    found = copies(here.daemon.process, [form for word in (right, wrong) for form in forms(word)])
    assert not any(found.values()), found


# ---- believed, and known ----

def test_believed_for_a_minute(site):
    """A printer logs in for each page: the back end is asked once, until forget-login."""
    here = site(Dovecot, "cache_time = 60s").users("alice@example.org").start()
    assert here.login("alice").startswith("235")
    here.back_end.stop()
    assert here.login("alice").startswith("235")
    assert here.login("alice", "wrong").startswith("454")
    here.daemon.ctl("account", "forget-login", "alice")
    assert here.login("alice").startswith("454 4.7.0")


def test_good_and_unknown(site):
    """454 until the admin knows him; the account's name, not the typed one, is what he must know."""
    here = site(Slapd, "enrol = known").users("alice@example.org").start()
    assert here.login("EXAMPLE\\alice").startswith("454 4.7.0")
    assert here.login("alice", "wrong").startswith("535")
    assert here.accounts() == []
    here.daemon.account("alice@example.org", password="not used with this back end")
    assert here.login("EXAMPLE\\alice").startswith("235")
    assert here.login("alice", "not used with this back end").startswith("535")
