"""What a smarthost can do to us (TESTS SH*), played by peer.py: deferred, never lost; told once, never doubled."""
import os
import subprocess
import time

import pytest

from harness import Gatepost, free_port, message, wait_until
from peer import DROP, RESET, SILENT, Peer
from raw import opened


@pytest.fixture
def peer():
    peer = Peer().start()
    yield peer
    peer.stop()


@pytest.fixture
def daemon(tmp_path, peer):
    daemon = Gatepost(tmp_path, peer.port).start().account("alice")
    yield daemon
    peer.well()
    assert daemon.stop() == 0, daemon.log()[-5000:]


def send(daemon, subject, recipients=("bob@example.net",), sender="alice@example.org", text="Hello.\n"):
    with opened(daemon) as raw:
        reply = raw.mail(recipients, message(subject, text), sender=sender)
        assert reply.startswith("250 2.0.0 Queued as "), reply
        return reply.split()[-1]


def arrives(peer, subject, n=1):
    wait_until(lambda: len(peer.got(subject)) >= n, "%d mails at the smarthost" % n)
    return peer.got(subject)


def hurry(daemon):
    """Until the queue is empty, without waiting for the retry times."""
    def empty():
        daemon.ctl("queue", "flush")
        return not daemon.queue()
    wait_until(empty, "an empty queue")


def test_sh01_no_answer_to_the_dot(peer, daemon):
    """It may have arrived: sent again, with the same Message-ID and Received, and said so in the log."""
    seen = []
    peer.on("dot", lambda connection: seen.append(connection) or DROP, times=1)
    qid = send(daemon, "sh01")
    mail = arrives(peer, "sh01")[0]
    daemon.wait_empty()
    assert len(seen) == 1 and len(peer.got("sh01")) == 1 and peer.reports() == []
    assert peer.count("dot", "Subject: sh01") == 2
    texts = {argument for _, stage, argument, _ in peer.events if stage == "dot"}
    assert len(texts) == 1 and qid.encode() in mail.header()
    assert daemon.events("event=deferred .*qid=%s .*may have arrived" % qid)


@pytest.mark.parametrize("stage", ["connect", "ehlo", "mail", "rcpt", "data", "dot"])
def test_sh02_later(peer, daemon, stage):
    peer.on(stage, "451 4.3.0 not now", times=2)
    send(daemon, "later")
    arrives(peer, "later")
    daemon.wait_empty()
    assert len(peer.got("later")) == 1 and peer.reports() == []


@pytest.mark.parametrize("stage", ["mail", "rcpt", "data", "dot"])
def test_sh02_never(peer, daemon, stage):
    """One report a message, not one a recipient or a retry."""
    peer.on(stage, "554 5.7.0 never", match="" if stage in ("data",) else "alice@example.org" if stage == "mail" else
            "bob" if stage == "rcpt" else "Subject: never", times=2 if stage == "rcpt" else 1)
    qid = send(daemon, "never", ("bob1@example.net", "bob2@example.net"))
    daemon.wait_empty()
    assert len(peer.reports()) == 1 and peer.got("never") == []
    report = peer.reports()[0]
    assert report.recipients == ["alice@example.org"]
    assert report.data.count(b"Final-Recipient: rfc822;") == 2 and report.data.count(b"Status: 5.7.0") == 2
    assert qid.encode() in report.data


@pytest.mark.parametrize("stage", ["connect", "ehlo"])
def test_sh02_no_service_is_no_verdict_on_a_mail(peer, daemon, stage):
    """A greeting or EHLO that is refused for good says nothing about the mail."""
    peer.on(stage, "554 5.3.2 no service here", times=2)
    peer.on("ehlo", DROP, times=0)
    send(daemon, "no service")
    arrives(peer, "no service")
    daemon.wait_empty()
    assert peer.reports() == []


@pytest.mark.parametrize("stage", ["connect", "ehlo", "mail", "rcpt", "data", "dot"])
@pytest.mark.parametrize("fault", ["421 4.3.2 going down", DROP, RESET])
def test_sh03_cut_at_any_point(peer, daemon, stage, fault):
    peer.on(stage, fault, times=1)
    send(daemon, "cut")
    hurry(daemon)
    assert len(peer.got("cut")) == 1 and peer.reports() == []


def test_sh04_mixed_results(peer, daemon):
    """250 once, 450 again and alone, 550 in one report; a kill in between changes none of it."""
    peer.on("rcpt", "450 4.2.0 later", match="slow")
    peer.on("rcpt", "550 5.1.1 no such user", match="bad")
    send(daemon, "mixed", ["good@example.net", "slow@example.net", "bad1@example.net", "bad2@example.net"])
    arrives(peer, "mixed")
    daemon.wait_log("event=deferred .*code=450")
    daemon.kill()
    daemon.start()
    daemon.wait_log("event=deferred .*code=450", 2)
    peer.well()
    mails = arrives(peer, "mixed", 2)
    daemon.wait_empty()
    assert [mail.recipients for mail in mails] == [["good@example.net"], ["slow@example.net"]]
    assert len(peer.reports()) == 1
    assert b"bad1@example.net" in peer.reports()[0].data and b"bad2@example.net" in peer.reports()[0].data


@pytest.mark.parametrize("stage,said", [
    ("mail", "250 2.1.0 ok\r\n250 2.1.0 ok again"),        # two replies to one command
    ("data", "354 go ahead\r\n250 2.0.0 Ok: queued as EARLY"),  # accepted before it was sent
    ("data", "250 2.0.0 Ok: queued as WRONG"),             # no 354
    ("connect", "220 ready\r\n250 injected"),
    ("ehlo", "250-peer\r\n250 PIPELINING\r\n250 2.1.0 ok"),
])
def test_sh05_out_of_step(peer, daemon, stage, said):
    """An answer that nobody asked for is no acceptance: what counts is the one to our final dot."""
    peer.on(stage, said, times=1)
    send(daemon, "step")
    hurry(daemon)
    assert len(peer.got("step")) == 1 and peer.reports() == []


@pytest.mark.parametrize("said", [
    ("250 ", "x" * 1000000), ("", "".join("250-%d\r\n" % n for n in range(100000)) + "250 end"), ("250-two\r\n550 codes",), ("ok",),
    ("250 nul \0 here",), ("250 8-bit \xff\xfe",), ("99 short",), ("250",), ("abc def",), ("\r\n250 behind a blank line",),
    ("600 what",), ("250 bare\n250 LF",),
], ids=lambda parts: parts[0][:8].encode("unicode_escape").decode())
def test_sh06_odd_replies(peer, daemon, said):
    """Bounded, a line of its own in the log, and the mail is neither lost nor returned."""
    said = "".join(said)
    peer.on("dot", said, times=1, match="Subject: odd")
    send(daemon, "odd")
    wait_until(lambda: peer.count("dot", "Subject: odd") >= 1, "a first try")
    hurry(daemon)
    assert peer.reports() == []
    assert peer.count("dot", "Subject: odd") <= 2
    for line in daemon.log().splitlines():
        assert len(line) < 4096 and line.split(" ")[1].startswith("event="), line[:300]


def test_sh06_reply_text_forges_nothing(peer, daemon):
    """TESTS OP09, SH15: a hostile reply stays in its quotes, in the log and in the report."""
    peer.on("rcpt", "550 5.1.1 no\x1b[31m \xe2\x80\xae\"event=relayed qid=1\t\x07 Bcc: x", match="bad")
    qid = send(daemon, "hostile", ["bad@example.net"])
    daemon.wait_empty()
    assert all(b not in daemon.log() for b in ("\x1b", "\x07", "\u202e"))
    assert not daemon.events("^[^ ]* event=relayed.*qid=1 ")
    report = peer.reports()[0]
    assert all(byte in (9, 10, 13) or 32 <= byte < 127 for byte in report.data)
    assert b"\r\nBcc:" not in report.data and qid.encode() in report.data


def test_sh11_one_that_is_silent_stops_no_others(peer, daemon):
    peer.on("mail", SILENT, times=1)
    send(daemon, "silent")
    wait_until(lambda: peer.count("mail") >= 1, "a link that hangs")
    for n in range(5):
        send(daemon, "others")
    arrives(peer, "others", 5)
    assert peer.got("silent") == []
    peer.cut()
    arrives(peer, "silent")
    daemon.wait_empty()
    assert len(peer.got("silent")) == 1


def test_sh11_reset_in_the_text(peer, daemon):
    """A large mail, cut again and again in its middle."""
    peer.on("text", RESET, times=3, skip=4)
    send(daemon, "large", text="x" * 900 + "\n" + ("y" * 70 + "\n") * 30000)
    mail = arrives(peer, "large")[0]
    daemon.wait_empty()
    assert len(peer.got("large")) == 1 and len(mail.body()) == 902 + 72 * 30000


def test_sh12_down_and_up_again(tmp_path):
    """500 wait; when the smarthost is back all are due at once, over no more links than allowed, none twice."""
    peer = Peer()
    daemon = Gatepost(tmp_path, peer.port, """limits = { }
retry = { "1s", "1h" }
smarthost mta { address = "127.0.0.1" port = %d tls = may connections = 4 }""" % peer.port).start().account("alice")
    with opened(daemon) as raw:
        for n in range(500):
            assert raw.mail(["r%d@example.net" % n], message("waiting")).startswith("250")
    daemon.wait_log(r"event=smarthost-down .*retry_ms=3\d{6}")
    status = daemon.ctl("status", rows=True, check=False)
    assert status[0]["smarthost"] == "down" and status[0]["reason"] and len(daemon.queue()) == 500
    peer.start()
    one = daemon.queue()[0]["qid"]
    daemon.ctl("queue", "flush", one)  # one is tried now, and shows that the smarthost is back
    wait_until(lambda: len(peer.got("waiting")) >= 500, "500 mails", 120)
    daemon.wait_empty()
    assert sorted(mail.recipients[0] for mail in peer.mails) == sorted("r%d@example.net" % n for n in range(500))
    assert peer.connections <= 4 + 500 // 100 + 1
    assert daemon.events("event=smarthost-up")
    assert daemon.stop() == 0
    peer.stop()


def test_sh12_no_storm_while_it_is_down(peer, daemon):
    """One probe a back-off, not one a mail."""
    peer.on("connect", "421 4.3.2 not now")
    for n in range(20):
        send(daemon, "storm")
    wait_until(lambda: peer.connections >= 4, "some probes")
    begin, at = peer.connections, time.monotonic()
    wait_until(lambda: time.monotonic() - at > 4, "four seconds")
    assert peer.connections - begin <= 5
    peer.well()
    arrives(peer, "storm", 20)
    daemon.wait_empty()
    assert len(peer.got("storm")) == 20


def switches(daemon):
    """How often the delivery thread went to sleep."""
    tasks = "/proc/%d/task" % daemon.process.pid
    for task in os.listdir(tasks):
        with open("%s/%s/status" % (tasks, task)) as f:
            status = f.read()
        if status.startswith("Name:\tdelivery\n"):
            return int(status.split("\nvoluntary_ctxt_switches:\t")[1].split("\n")[0])
    raise AssertionError("no delivery thread")


def test_rx12_idle_while_it_is_down(tmp_path):
    """What is due waits for the probe, not for a timer that fires all the time."""
    peer = Peer().start()
    peer.on("dot", "451 4.3.0 later")
    daemon = Gatepost(tmp_path, peer.port, 'retry = { "1s", "1s", "1h" }').start().account("alice")
    for _ in range(5):
        send(daemon, "due")
    daemon.wait_log("event=deferred", 5)
    peer.stop()
    daemon.wait_log(r"event=smarthost-down .*retry_ms=3\d{6}")
    before, at = switches(daemon), time.monotonic()
    wait_until(lambda: time.monotonic() - at > 1, "a second")
    assert switches(daemon) - before < 100
    assert daemon.stop() == 0


def test_sh13_lifetime(tmp_path):
    """Down for longer than the lifetime: one report when it is back; none for a null sender."""
    peer = Peer()
    daemon = Gatepost(tmp_path, peer.port, 'lifetime = 1m').start().account("alice")
    qid = send(daemon, "too late", ["a@example.net", "b@example.net"])
    send(daemon, "from nobody", sender="")
    send(daemon, "forged", sender="victim@example.com")
    daemon.wait_log("event=smarthost-down")
    daemon.ctl("clock", str(61 * 1000))
    daemon.wait_log("event=expired .*qid=" + qid)
    assert peer.mails == []
    peer.start()
    wait_until(lambda: len(peer.reports()) == 2, "two reports")
    daemon.wait_empty()
    assert [report.recipients for report in peer.reports()] == [["alice@example.org"]] * 2
    assert len(peer.mails) == 2
    report = next(report for report in peer.reports() if qid.encode() in report.data)
    assert report.data.count(b"Final-Recipient: rfc822;") == 2
    assert report.data.count(b"Status: 4.4.7") + report.data.count(b"Status: 5.4.7") == 2
    assert daemon.stop() == 0
    peer.stop()


def test_sh13_a_report_that_is_refused_is_not_reported(peer, daemon):
    peer.on("rcpt", "550 5.1.1 no such user")
    send(daemon, "both are bad", ["bad@example.net"])
    daemon.wait_log("event=report-refused")
    daemon.wait_empty()
    assert peer.mails == [] and peer.count("rcpt", "alice@example.org") == 1


def test_sh14_report_on_a_large_mail_returns_headers_only(peer, daemon):
    peer.on("rcpt", "550 5.1.1 no such user", match="bad")
    send(daemon, "large", ["bad@example.net"], text=("secret" * 10 + "\n") * 2000)
    daemon.wait_empty()
    report = peer.reports()[0]
    assert len(report.data) < 50 * 1024
    assert b"text/rfc822-headers" in report.data and b"secretsecret" not in report.data


def hosts_wrapper(tmp_path, text):
    """The daemon sees this /etc/hosts; None where that cannot be had."""
    path = os.path.join(tmp_path, "hosts")
    with open(path, "w") as f:
        f.write(text)
    script = 'mount --bind "$0" /etc/hosts && exec "$@"'
    words = ["unshare", "--mount", "sh", "-c", script, path]
    done = subprocess.run(words + ["getent", "ahosts", "mta.test"], capture_output=True, text=True)
    return words if "127.0.0." in done.stdout else None


@pytest.mark.parametrize("dead", ["127.0.0.2", "::1"])
def test_sh17_first_address_is_dead(tmp_path, dead):
    """The next one is tried in the same attempt."""
    wrapper = hosts_wrapper(tmp_path, "127.0.0.1 localhost mta.test\n%s mta.test\n" % dead)
    if not wrapper:
        pytest.skip("no mount namespace to be had")
    peer = Peer().start()
    daemon = Gatepost(tmp_path, peer.port, 'smarthost mta { address = "mta.test" port = %d tls = may }' % peer.port,
                      wrapper=wrapper).start().account("alice")
    for n in range(6):
        send(daemon, "two addresses")
    arrives(peer, "two addresses", 6)
    daemon.wait_empty()
    assert not daemon.events("event=smarthost-down")
    peer.stop()
    send(daemon, "all dead")
    daemon.wait_log("event=smarthost-down")
    peer.start()
    arrives(peer, "all dead")
    assert daemon.stop() == 0
    peer.stop()


def test_sh18_links_are_reused(tmp_path, peer):
    daemon = Gatepost(tmp_path, peer.port, """limits = { }
smarthost mta { address = "127.0.0.1" port = %d tls = may connections = 1 mails = 10 }""" % peer.port).start().account("alice")
    with opened(daemon) as raw:
        for n in range(35):
            assert raw.mail(["r%d@example.net" % n], message("reuse")).startswith("250")
    arrives(peer, "reuse", 35)
    daemon.wait_empty()
    by_link = {}
    for mail in peer.mails:
        by_link[mail.connection] = by_link.get(mail.connection, 0) + 1
    assert sorted(by_link.values()) == [5, 10, 10, 10] and peer.connections == 4
    assert daemon.stop() == 0


def test_sh18_rset_refused_and_idle_links_closed(peer, daemon):
    peer.on("rset", "502 5.5.1 not here")
    peer.on("rcpt", "550 5.1.1 no such user", match="bad")
    for n in range(10):
        send(daemon, "one of many", ["bad%d@example.net" % n if n % 3 == 0 else "r%d@example.net" % n])
        if n % 2:
            wait_until(lambda: len(daemon.queue()) == 0, "all done")
            peer.cut()  # every idle link
    daemon.wait_empty()
    assert sorted(mail.recipients[0] for mail in peer.got("one of many")) == sorted("r%d@example.net" % n for n in range(10) if n % 3)
    assert len(peer.reports()) == 4


@pytest.mark.parametrize("caps", [(), ("PIPELINING",), ("8BITMIME",), ("SIZE 0", "ENHANCEDSTATUSCODES"), ("pipelining", "size", "8bitmime")])
def test_sh10_fewer_extensions(tmp_path, caps):
    """No keyword is used that was not offered."""
    peer = Peer(caps=caps).start()
    daemon = Gatepost(tmp_path, peer.port).start().account("alice")
    for n in range(3):
        send(daemon, "plain", ["a@example.net", "b@example.net"])
    arrives(peer, "plain", 3)
    daemon.wait_empty()
    said = [argument for _, stage, argument, _ in peer.events if stage == "mail"]
    names = {cap.split()[0].upper() for cap in caps}
    assert all(("SIZE=" in argument) <= ("SIZE" in names) for argument in said)
    assert all(("BODY=" in argument) <= ("8BITMIME" in names) for argument in said)
    assert daemon.stop() == 0
    peer.stop()


def test_starttls_when_it_is_offered(tmp_path, daemon):
    """tls = may: TLS where it is offered, none where it is not or fails; must: never without."""
    certificate = (daemon.cert, daemon.key)
    with_tls, broken = Peer(certificate=certificate).start(), Peer(certificate=certificate).start()
    broken.on("starttls", "454 4.7.0 not available")
    without = Peer().start()
    for port, mode, tls in ((with_tls.port, "may", "TLSv1.3"), (without.port, "may", "none"), (broken.port, "may", "none"),
                            (with_tls.port, "must", "TLSv1.3"), (with_tls.port, "none", "none")):
        other = str(tmp_path / ("%s%d" % (mode, port)))
        os.mkdir(other)
        relay = Gatepost(other, port, 'smarthost mta { address = "127.0.0.1" port = %d tls = %s }' % (port, mode))
        relay.start().account("alice")
        send(relay, "tls " + mode)
        relay.wait_log("event=relayed")
        assert relay.events("event=smarthost-link .*tls=%s" % tls), (mode, relay.log())
        assert relay.stop() == 0
    for peer in (without, broken):
        other = str(tmp_path / ("must%d" % peer.port))
        os.mkdir(other)
        relay = Gatepost(other, peer.port, 'smarthost mta { address = "127.0.0.1" port = %d tls = must }' % peer.port)
        relay.start().account("alice")
        before = len(peer.mails)
        send(relay, "must")
        relay.wait_log("event=smarthost-down")
        assert len(peer.mails) == before and len(relay.queue()) == 1
        assert relay.stop() == 0
        peer.stop()
    with_tls.stop()


def test_case_77_the_second_smarthost(tmp_path):
    """The first greets with 554: the mail goes by the second, and by the first again when that is well."""
    first, second = Peer().start(), Peer().start()
    first.on("connect", "554 5.3.2 no service here")
    daemon = Gatepost(tmp_path, [first.port, second.port]).start().account("alice")
    send(daemon, "by the second")
    arrives(second, "by the second")
    daemon.wait_empty()
    assert first.mails == [] and second.reports() == []
    assert daemon.ctl("status", check=False).returncode == 0
    first.well()
    def by_first():
        send(daemon, "by the first")
        daemon.wait_empty()
        return first.got("by the first")
    wait_until(by_first, "the first smarthost in use again")
    second.stop()
    send(daemon, "without the second")
    arrives(first, "without the second")
    assert daemon.stop() == 0
    first.stop()


def test_null_port_is_no_loss_of_order(tmp_path):
    """DU23: what waited longest goes first."""
    peer = Peer(free_port())
    daemon = Gatepost(tmp_path, peer.port, """limits = { }
smarthost mta { address = "127.0.0.1" port = %d tls = may connections = 1 }""" % peer.port).start().account("alice")
    ids = [send(daemon, "n%02d" % n) for n in range(20)]
    daemon.wait_log("event=smarthost-down")
    daemon.restart()
    peer.start()
    daemon.wait_empty()
    order = [next(qid for qid in ids if qid.encode() in mail.header()) for mail in peer.mails]
    assert order == ids
    assert daemon.stop() == 0
    peer.stop()
