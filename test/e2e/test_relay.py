"""The main job: real clients submit, a real Postfix is the smarthost. Nothing is lost, doubled or changed."""
import collections
import email
import email.policy
import os
import re
import smtplib
import subprocess
import threading

import pytest

from harness import PASSWORD, Gatepost, Postfix, hang, message, resume, wait_until

# What relays tend to break: dots at the start, blanks at the end, lines of 998, bytes beyond ASCII.
NASTY = "\n".join([
    ".", "..", ".a line that begins with a dot", "trailing blanks   ", "\ttab", "", "From the start of an mbox line", "x" * 998,
    "na\u00efve \u20ac \u4f60\u597d", "percent % and backslash \\ and quote \" '", "", "the last line", ""])


@pytest.fixture(scope="module")
def mta(tmp_path_factory):
    postfix = Postfix(tmp_path_factory.mktemp("mta")).start()
    yield postfix
    postfix.done()


@pytest.fixture
def postfix(mta):
    yield mta
    if mta.run("status").returncode:
        mta.start()
    mta.forget()


@pytest.fixture
def daemon(tmp_path, postfix):
    daemon = Gatepost(tmp_path, postfix.port).start().account("alice", "bob")
    yield daemon
    assert daemon.stop() == 0, daemon.log()[-5000:]


class Plan:
    """Who shall get what: recipients never repeat, so each must have just one mail."""

    def __init__(self):
        self.texts = {}

    def mail(self, client, nrecipients):
        """Recipients, and the mail as the client has it (bytes with LF)."""
        begin = len(self.texts)
        recipients = ["r%03d@example.net" % (begin + n) for n in range(nrecipients)]
        body = "%s, recipients from %d on\n%s" % (client, begin, NASTY)
        for recipient in recipients:
            self.texts[recipient] = body.encode()
        head = "From: <alice@example.org>\nTo: <list@example.net>\nSubject: %s %d\nX-Test: kept  as is\n" % (client, begin)
        head += "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n"
        return recipients, head.encode() + body.encode()


def swaks(daemon, folder, recipients, data, implicit):
    path = os.path.join(folder, "swaks.eml")
    with open(path, "wb") as f:
        f.write(data[:-1])  # it adds a line end of its own
    where = ["--port", str(daemon.tls_port), "--tlsc"] if implicit else ["--port", str(daemon.port), "--tls"]
    subprocess.run(["swaks", "--server", "127.0.0.1", "--auth", "LOGIN", "--auth-user", "alice@example.org", "--auth-password",
                    PASSWORD, "--from", "alice@example.org", "--to", ",".join(recipients), "--data", "@" + path] + where,
                   check=True, stdout=subprocess.DEVNULL)


def curl(daemon, folder, recipients, data, implicit):
    path = os.path.join(folder, "curl.eml")
    with open(path, "wb") as f:
        f.write(data.replace(b"\n", b"\r\n"))
    url = "smtps://127.0.0.1:%d" % daemon.tls_port if implicit else "smtp://127.0.0.1:%d" % daemon.port
    words = [word for recipient in recipients for word in ("--mail-rcpt", recipient)]
    subprocess.run(["curl", "-sS", "-k", "--ssl-reqd", "--url", url, "--user", "alice@example.org:" + PASSWORD, "--mail-from",
                    "alice@example.org", "--upload-file", path] + words, check=True)


def msmtp(daemon, folder, recipients, data, implicit):
    secret = os.path.join(folder, "msmtp.secret")
    with open(secret, "w") as f:
        f.write(PASSWORD + "\n")
    port = daemon.tls_port if implicit else daemon.port
    subprocess.run(["msmtp", "--host=127.0.0.1", "--port=%d" % port, "--tls=on", "--tls-starttls=" + ("off" if implicit else "on"),
                    "--tls-certcheck=off", "--auth=on", "--user=alice", "--passwordeval=cat " + secret,
                    "--from=alice@example.org", "--set-from-header=off", "--"] + recipients, input=data, check=True)


def python(daemon, folder, recipients, data, implicit):
    smtp = daemon.client(implicit=implicit)
    assert smtp.sendmail("alice@example.org", recipients, data.replace(b"\n", b"\r\n"), mail_options=["BODY=8BITMIME"]) == {}
    smtp.quit()


def by_recipient(postfix):
    out = collections.defaultdict(list)
    for mail in postfix.mails():
        head = mail.split(b"\n\n", 1)[0].decode("latin-1")
        out[re.search(r"^X-Original-To: (.*)$", head, re.M).group(1)].append(mail)
    return out


def ids(daemon, *words):
    return daemon.ctl("relayed", "alice", *words, "--ids").split()


def test_500_recipients_and_no_more(tmp_path, postfix, daemon):
    """TESTS HL01, HL02: the budget is spent to the last recipient; nothing is lost, doubled or changed."""
    plan = Plan()
    for client, sizes in ((swaks, [10] * 10), (curl, [100]), (msmtp, [100]), (python, [100] + [10] * 10)):
        for n, size in enumerate(sizes):
            recipients, data = plan.mail(client.__name__, size)
            client(daemon, str(tmp_path), recipients, data, n % 2 == 1)
    assert daemon.ctl("account", "show", "alice", rows=True)[0]["used"] == "500 500"

    smtp = daemon.client()
    smtp.ehlo()
    smtp.mail("alice@example.org")
    code, text = smtp.rcpt("one.more@example.net")
    assert code == 550 and text.startswith(b"5.7.1"), (code, text)
    code, text = smtp.docmd("DATA")
    assert code in (550, 554), text
    smtp.quit()
    daemon.wait_log("event=refused .*code=550 .*account=alice")
    daemon.client("bob").sendmail("bob@example.org", ["from.bob@example.net"], message("from bob", sender="bob@example.org"))
    daemon.ctl("clock", str(31 * 60 * 1000))
    daemon.client().sendmail("alice@example.org", ["later@example.net"], message("half an hour later"))

    wait_until(lambda: len(postfix.mails()) >= 502, "502 mails in Postfix's Maildir")
    daemon.wait_empty()
    got = by_recipient(postfix)
    assert sorted(got) == sorted(list(plan.texts) + ["from.bob@example.net", "later@example.net"])
    assert all(len(mails) == 1 for mails in got.values())
    for recipient, text in plan.texts.items():
        head, body = got[recipient][0].split(b"\n\n", 1)
        assert body == text, recipient
        assert b"\nX-Test: kept  as is\n" in head and b"\nReceived: " in head
        assert head.count(b"\nMessage-ID: ") + head.count(b"\nMessage-Id: ") == 1 and head.count(b"\nDate: ") == 1
    assert len(daemon.events("event=queued .*account=alice")) == 24
    check_what_has_gone(postfix, daemon, plan)


def check_what_has_gone(postfix, daemon, plan):
    known = set(re.findall(r"postfix/qmgr\[\d+\]: (\w+): from=<alice@example.org>", postfix.log()))
    assert len(ids(daemon)) == len(set(ids(daemon))) == 24
    assert set(ids(daemon)) == known
    assert set(ids(daemon, "--since", "1h")) == known and set(ids(daemon, "--since", "2020-01-01")) == known
    assert ids(daemon, "--since", "2099-01-01") == []
    recipients = daemon.ctl("relayed", "alice", "--recipients").split()
    assert sorted(recipients) == sorted(list(plan.texts) + ["later@example.net"])
    rows = daemon.ctl("relayed", "alice", rows=True)
    assert len(rows) == 501 and {row["id"] for row in rows} == known
    assert all(row["answer"] and row["qid"] and row["accepted"] for row in rows)
    assert daemon.ctl("relayed", "bob", "--recipients").split() == ["from.bob@example.net"]


def test_relayed_ids_hold_it_in_postfix(postfix, daemon):
    """The recipe of the manual: what has gone is stopped in the MTA behind."""
    postfix.main("defer_transports = virtual")
    postfix.reload()
    smtp = daemon.client()
    for n in range(5):
        smtp.sendmail("alice@example.org", ["r%d@example.net" % n, "s%d@example.net" % n], message("held %d" % n))
    smtp.quit()
    daemon.wait_empty()
    held = subprocess.run(["postsuper", "-c", os.path.join(postfix.folder, "etc"), "-h", "-"], text=True, capture_output=True,
                          input=daemon.ctl("relayed", "alice", "--since", "1h", "--ids"))
    assert held.returncode == 0 and "Placed on hold: 5 messages" in held.stderr, held.stderr


def send(daemon, recipients, subject, sender="alice@example.org", user="alice"):
    smtp = daemon.client(user)
    assert smtp.sendmail(sender, recipients, message(subject)) == {}
    smtp.quit()


def once_each(postfix, recipients):
    def there():
        got = by_recipient(postfix)
        return all(recipient in got for recipient in recipients)
    wait_until(there, "mail for %s" % recipients)
    assert all(len(by_recipient(postfix)[recipient]) == 1 for recipient in recipients)


def test_postfix_stopped(postfix, daemon):
    postfix.stop()
    recipients = ["r%d@example.net" % n for n in range(20)]
    for recipient in recipients:
        send(daemon, [recipient], "while it is stopped")
    daemon.wait_log("event=smarthost-down")
    assert len(daemon.queue()) == 20
    done = daemon.ctl("status", check=False)
    assert done.returncode == 1 and "smarthost" in done.stderr, done
    daemon.restart()
    postfix.start()
    once_each(postfix, recipients)
    daemon.wait_empty()
    assert daemon.ctl("status", rows=True)[0]["smarthost"] == "up"


def test_postfix_hung(postfix, daemon):
    send(daemon, ["before@example.net"], "before")
    once_each(postfix, ["before@example.net"])
    pids = postfix.pids()
    for pid in pids:
        hang(pid)
    recipients = ["r%d@example.net" % n for n in range(10)]
    try:
        for recipient in recipients:
            send(daemon, [recipient], "while it hangs")
        assert len(daemon.queue()) == 10
    finally:
        for pid in pids:
            resume(pid)
    once_each(postfix, recipients)
    daemon.wait_empty()


def test_postfix_says_later(postfix, daemon):
    """TESTS HL08: however often it is tried, it is charged once, and nobody gets a report."""
    postfix.access("^slow 450 4.2.0 come back")
    send(daemon, ["slow1@example.net", "quick@example.net", "slow2@example.net"], "later")
    once_each(postfix, ["quick@example.net"])
    daemon.wait_log("event=deferred .*code=450", 3)
    assert {row["state"] for row in daemon.queue()} == {"ready"}
    states = {r["recipient"]: r["state"] for r in daemon.ctl("queue", "show", daemon.queue()[0]["qid"], rows=True)[1:]}
    assert states == {"slow1@example.net": "pending", "quick@example.net": "sent", "slow2@example.net": "pending"}
    postfix.access()
    once_each(postfix, ["slow1@example.net", "quick@example.net", "slow2@example.net"])
    daemon.wait_empty()
    assert daemon.ctl("account", "show", "alice", rows=True)[0]["used"] == "3 3"
    assert "alice@example.org" not in by_recipient(postfix)


def check_report(mail, qid, failed):
    """RFC 3464, as a program of another author reads it."""
    report = email.message_from_bytes(mail, policy=email.policy.default)
    assert report["Return-Path"] == "<>"
    assert report["To"].addresses[0].addr_spec == "alice@example.org"
    assert report["Auto-Submitted"].startswith("auto-replied") or report["Auto-Submitted"].startswith("auto-generated")
    assert report["Date"] and report["Message-ID"] and report["Subject"] and report["From"]
    assert report.get_content_type() == "multipart/report"
    assert report.get_param("report-type") == "delivery-status"
    text, status, original = report.iter_parts()
    assert text.get_content_type() == "text/plain" and status.get_content_type() == "message/delivery-status"
    assert original.get_content_type() in ("message/rfc822", "text/rfc822-headers")
    blocks = status.get_payload()
    assert blocks[0]["Reporting-MTA"] == "dns; mail.example.org" and blocks[0]["Arrival-Date"]
    rows = {re.sub(r"rfc822; *", "", block["Final-Recipient"]): block for block in blocks[1:]}
    assert sorted(rows) == sorted(failed)
    for recipient, (code, words) in failed.items():
        block = rows[recipient]
        assert block["Action"] == "failed" and block["Status"] == code
        assert block["Diagnostic-Code"].startswith("smtp; 550 ") and words in block["Diagnostic-Code"]
        assert recipient in text.get_content()
    assert qid in mail.decode("latin-1")
    return original


def test_postfix_says_never(postfix, daemon):
    """TESTS SH02, SH04: one report a message, to the sender; the good recipients have the mail."""
    postfix.access("^bad 550 5.1.1 no such user", "^full 550 5.2.2 mailbox is full")
    send(daemon, ["bad1@example.net", "good@example.net", "full@example.net", "bad2@example.net"], "never for some")
    once_each(postfix, ["good@example.net", "alice@example.org"])
    daemon.wait_empty()
    qid = re.search(r"qid=(\w+)", daemon.events("event=queued")[0]).group(1)
    report = by_recipient(postfix)["alice@example.org"][0]
    original = check_report(report, qid, {"bad1@example.net": ("5.1.1", "no such user"),
                                          "bad2@example.net": ("5.1.1", "no such user"),
                                          "full@example.net": ("5.2.2", "mailbox is full")})
    assert original.get_content()["Subject"] == "never for some"
    assert daemon.ctl("account", "show", "alice", rows=True)[0]["used"] == "4 4"
    # OP10: one grep finds all of a message.
    events = {re.search(r"event=([\w-]+)", line).group(1) for line in daemon.events("qid=" + qid)}
    assert events >= {"queued", "relayed", "failed", "report-sent"}


def test_no_report_for_a_null_sender(postfix, daemon):
    postfix.access("^bad 550 5.1.1 no such user")
    send(daemon, ["bad@example.net"], "from nobody", sender="")
    daemon.wait_log("event=failed")
    daemon.wait_empty()
    send(daemon, ["good@example.net"], "a mail behind it")
    once_each(postfix, ["good@example.net"])
    assert set(by_recipient(postfix)) == {"good@example.net"}


def test_report_goes_to_the_login_when_the_sender_is_another(postfix, daemon):
    """TESTS SH13, SH14: a thief's choice of MAIL FROM is not where reports go."""
    postfix.access("^bad 550 5.1.1 no such user")
    send(daemon, ["bad@example.net"], "forged", sender="victim@example.com")
    once_each(postfix, ["alice@example.org"])
    daemon.wait_empty()
    assert set(by_recipient(postfix)) == {"alice@example.org"}


def test_nothing_is_lost_while_all_happens_at_once(postfix, daemon):
    """Stopped, hung, 4xx and well again, under four senders."""
    recipients, lock = [], threading.Lock()

    def sender(name):
        for n in range(25):
            recipient = "%s%d@example.net" % (name, n)
            send(daemon, [recipient], "in the middle of it")
            with lock:
                recipients.append(recipient)
    threads = [threading.Thread(target=sender, args=("t%d." % n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    postfix.stop()
    daemon.wait_log("event=smarthost-down")
    postfix.access(". 451 4.3.0 not just now")
    postfix.start()
    daemon.wait_log("event=deferred .*code=451")
    pids = postfix.pids()
    for pid in pids:
        hang(pid)
    for thread in threads:
        thread.join()
    for pid in pids:
        resume(pid)
    postfix.access()
    assert len(recipients) == 100
    once_each(postfix, recipients)
    daemon.wait_empty()
    assert daemon.ctl("account", "show", "alice", rows=True)[0]["used"] == "100 100"
