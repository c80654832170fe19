"""Guessers are shut out, honest people are not: the screen of a running daemon (AU13, AU14, A-52). A guesser has an address
of his own in 127.0.0.0/8. Refusals are held back for seconds, so guesses go out several at a time."""
import re
import threading
import time

import pytest

from harness import Gatepost, PASSWORD, free_port
from raw import Raw, b64
from test_fail2ban import found

SETTINGS = 'postmaster = { "postmaster@example.org" }\nconnections_per_network = 1000\nconnections = 1000\n'
OWNER = "127.0.0.1"


@pytest.fixture
def daemon(tmp_path, sink):
    daemon = Gatepost(tmp_path, sink.port, SETTINGS).start()
    daemon.account("alice", "bob", "carol")
    yield daemon
    assert daemon.stop() == 0, daemon.log()[-5000:]


def connect(daemon, source):
    """A session from that address, or None: it is not let in."""
    raw = Raw(daemon.port, source=source)
    if raw.greeting.startswith("220"):
        return raw.starttls()
    assert raw.greeting.startswith("421 4.7.0"), raw.greeting
    assert raw.closed()
    return None


def attempt(daemon, source, user, password):
    """The reply to AUTH; "421" when there is no session to say it in, or when it is cut meanwhile."""
    try:
        raw = connect(daemon, source)
        if raw is None:
            return "421"
        with raw:
            return raw.auth(user, password) or "421"
    except (OSError, AssertionError):
        return "421"


def attempts(daemon, tries, at_once=5):
    """Replies to (source, user, password), in their order."""
    replies = [None] * len(tries)

    def work(first):
        for n in range(first, len(tries), at_once):
            replies[n] = attempt(daemon, *tries[n])

    threads = [threading.Thread(target=work, args=(n,)) for n in range(at_once)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return replies


def notices(sink, subject):
    return [mail for mail in sink.mails() if ("Subject: " + subject).encode() in mail]


def wait_notice(daemon, sink, subject):
    daemon.wait_empty()
    found = notices(sink, subject)
    assert len(found) == 1, sink.mails()
    return found[0].decode()


def test_au13_a_spray_from_one_address(daemon, sink, tmp_path):
    assert attempt(daemon, OWNER, "alice", PASSWORD).startswith("235")
    guesser = "127.3.3.3"
    begun = time.monotonic()
    replies = attempts(daemon, [(guesser, "user%d" % n, "Winter2026!") for n in range(200)])
    assert 8 <= sum(r.startswith("535") for r in replies) <= 20, replies
    assert replies[-150:] == ["421"] * 150
    assert time.monotonic() - begun > 5  # those before were held back
    block, = daemon.events("event=screen-block ")
    # Of one in thirty too many names share a bit: then he is stopped as a guesser, two tries later.
    assert re.search(r"client_ip=127\.3\.3\.3 network=127\.3\.3\.3 reason=(spray|guesses) failures=\d+ accounts=\d+ until=\S+Z$", block), block
    assert found(tmp_path, [block], "normal") == [guesser]  # by fail2ban
    row, = daemon.ctl("screen", "list", rows=True)
    assert row["network"] == guesser and row["by"] == "screen"
    assert daemon.status()["shut_out"] == 1
    # Nobody else is hit, not even its neighbour.
    assert attempt(daemon, "127.3.3.4", "bob", PASSWORD).startswith("235")
    assert attempt(daemon, OWNER, "alice", PASSWORD).startswith("235")
    text = wait_notice(daemon, sink, "Logins shut out")
    assert "127.3.3.3" in text and "gatepostctl screen remove" in text and "Reply-To" not in text
    # Names that nobody has are not written down.
    assert not re.search("user[0-9]", text) and not daemon.events('(user|account)="user[0-9]')


def test_au13_one_account_from_everywhere(daemon, sink):
    assert attempt(daemon, OWNER, "alice", PASSWORD).startswith("235")
    tries = [("127.%d.%d.1" % (1 + n // 200, n % 200), "alice", "guess %d" % n) for n in range(200)]
    replies = attempts(daemon, tries, at_once=20)
    refused = sum(r.startswith("535") for r in replies)
    assert 20 <= refused <= 60 and all(r.startswith(("535 5.7.8", "454 4.7.0")) for r in replies), replies
    assert not daemon.events("event=screen-block ")
    assert re.search(r'event=screen-guess client_ip=\S+ failures=20 until=\S+Z account="alice@example.org"$',
                     daemon.events("event=screen-guess ")[0])
    # The right password tells nobody anything, but at its owner's; other accounts are as they were.
    assert attempt(daemon, "127.9.9.9", "alice", PASSWORD).startswith("454 4.7.0")
    assert attempt(daemon, "127.9.9.9", "ALICE@example.org", PASSWORD).startswith("454 4.7.0")
    assert attempt(daemon, OWNER, "alice", PASSWORD).startswith("235")
    assert attempt(daemon, "127.9.9.9", "bob", PASSWORD).startswith("235")
    assert "alice@example.org" in wait_notice(daemon, sink, "An account is being guessed")
    daemon.ctl("clock", str(2 * 3600 * 1000))
    assert attempt(daemon, "127.9.9.9", "alice", PASSWORD).startswith("235")


def test_au14_blocks_survive_a_restart(daemon):
    guesser = "127.4.4.4"
    attempts(daemon, [(guesser, "alice", "guess %d" % n) for n in range(12)])
    daemon.ctl("screen", "add", "127.5.0.0/16", "2h")
    daemon.ctl("screen", "add", "127.6.0.0/16")
    for how in (daemon.restart, lambda: (daemon.kill(), daemon.start())):
        how()
        rows = {row["network"]: row for row in daemon.ctl("screen", "list", rows=True)}
        assert set(rows) == {guesser, "127.5.0.0/16", "127.6.0.0/16"}
        assert rows[guesser]["by"] == "screen" and rows["127.5.0.0/16"]["by"] == "hand"
        for source in (guesser, "127.5.9.9", "127.6.9.9"):
            assert connect(daemon, source) is None
    # An end: by time, or by hand. A next time is longer.
    daemon.ctl("clock", str(3 * 3600 * 1000))
    assert connect(daemon, "127.5.9.9") and connect(daemon, guesser)
    assert connect(daemon, "127.6.9.9") is None
    done = daemon.ctl("screen", "remove", "127.6.9.9", check=False)
    assert done.returncode != 0 and "still in 127.6.0.0/16" in done.stderr
    daemon.ctl("screen", "remove", "127.6.0.0/16")
    assert connect(daemon, "127.6.9.9")
    assert daemon.ctl("screen", "remove", "127.6.0.0/16", check=False).returncode != 0
    attempts(daemon, [(guesser, "bob", "again %d" % n) for n in range(12)])
    until = time.mktime(time.strptime(daemon.ctl("screen", "list", rows=True)[0]["until"], "%Y-%m-%dT%H:%M:%SZ"))
    assert 20 * 3600 < until - time.mktime(time.gmtime()) < 28 * 3600


def test_a52_a_success_clears_nothing(daemon):
    guesser = "127.7.7.7"
    replies, stopped = [], False
    while not stopped and len(replies) < 50:
        replies += attempts(daemon, [(guesser, "carol" if n % 2 else "Carol", "guess %d" % (len(replies) + n)) for n in range(5)])
        stopped = not attempt(daemon, guesser, "alice", PASSWORD).startswith("235") or not all(r.startswith("535") for r in replies)
    assert stopped and 10 <= sum(r.startswith("535") for r in replies) <= 25, replies
    assert attempt(daemon, "127.8.8.8", "alice", PASSWORD).startswith("235")


def test_the_same_wrong_password_is_one_failure(daemon):
    for _ in range(12):
        with connect(daemon, "127.7.7.8") as raw:
            assert raw.auth("alice", "the old one").startswith("535")
            assert raw.ask("AUTH LOGIN " + b64("alice@example.org")).startswith("334")
            assert raw.ask(b64("the old one")).startswith("535")
    assert attempt(daemon, "127.7.7.8", "alice", PASSWORD).startswith("235")


def test_a_block_ends_sessions(daemon):
    waiting, working = connect(daemon, "127.9.1.1"), connect(daemon, "127.9.1.1")
    assert working.auth("alice").startswith("235")
    # The screen's own: those that are logged in go on.
    attempts(daemon, [("127.9.1.1", "bob", "guess %d" % n) for n in range(25)])
    assert waiting.reply().startswith("421 4.7.0") and waiting.closed()
    working.want("NOOP", "250")
    # An admin's: all of them go, and other networks stay.
    other = connect(daemon, "127.9.2.1")
    daemon.ctl("screen", "add", "127.9.1.0/24", "1h")
    assert working.reply().startswith("421 4.7.0") and working.closed()
    other.want("NOOP", "250")


def test_a_blocked_address_keeps_its_owners(daemon):
    shared = "127.9.3.1"  # one address, many people behind it
    assert attempt(daemon, shared, "alice", PASSWORD).startswith("235")
    attempts(daemon, [(shared, "carol", "guess %d" % n) for n in range(25)])
    assert [row["network"] for row in daemon.ctl("screen", "list", rows=True)] == [shared]
    assert attempt(daemon, shared, "bob", PASSWORD).startswith("454 4.7.0")
    assert attempt(daemon, shared, "alice", PASSWORD).startswith("235")
    assert daemon.events('event=auth-guarded .* reason="the address is shut out" user="bob@example.org"')
    daemon.ctl("screen", "add", shared, "1h")
    assert connect(daemon, shared) is None


@pytest.mark.parametrize("words", [("10.0.0.1/8",), ("nonsense",), ("10.0.0.0/8", "0h"), ("10.0.0.0/8", "1x"), ("10.0.0.0/8", "h"),
                                   ("10.0.0.0/8", "-1h"), ("10.0.0.0/8", "999999d")])
def test_add_says_what_is_wrong(daemon, words):
    done = daemon.ctl("screen", "add", *words, check=False)
    assert done.returncode != 0 and words[-1].encode() in done.stderr.encode()
    assert not daemon.ctl("screen", "list", rows=True)


def test_exempt_networks_are_not_seen(tmp_path):
    daemon = Gatepost(tmp_path, free_port(), SETTINGS + 'screen_exempt = { "127.2.0.0/16" }\n').start()
    daemon.account("alice")
    with Raw(daemon.port, source="127.2.2.2") as raw:
        raw.starttls()
        assert raw.auth("alice", "wrong").startswith("535")
    assert all(r.startswith("535") for r in attempts(daemon, [("127.2.2.2", "u%d" % n, "x") for n in range(40)], at_once=4))
    assert not daemon.events("event=screen-")
    assert daemon.stop() == 0
