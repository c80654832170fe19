"""The end of a suspension: by an answer to the notice, or by hand (TESTS.md 3.5)."""
import os
import re
import smtplib
import threading
import time

import pytest

from harness import Gatepost, free_port, message, wait_until
from peer import Peer
from suspension import POSTMASTER, SETTINGS, Site, reply_to


def test_un01_a_reply_unlocks_once(site):
    site.trip()
    address = reply_to(site.notice())
    assert site.answer(address) == 250
    assert not site.suspended()
    site.send()
    notice = site.notice(2)  # the confirmation
    assert "alice@example.org" in notice.get_content()
    # used: nothing more happens, and the postmaster hears of it
    assert site.answer(address) == 250
    site.notice(3)
    site.send()


def test_un06_un07_un09_who_may(site):
    site.trip()
    address = reply_to(site.notice())
    assert site.answer(address, sender="mallory@example.com") == 250
    assert site.suspended()
    # through submission the login decides, whatever the header says
    client = site.gatepost.client("mallory@example.org")
    client.sendmail(POSTMASTER, [address], message("Re: stopped", "UNLOCK\n", sender=POSTMASTER))
    client.close()
    assert site.suspended()
    client = site.gatepost.client("alice@example.org")
    assert client.mail(POSTMASTER)[0] == 550
    client.close()
    client = site.gatepost.client("jane@example.org")
    client.sendmail("jane@example.org", [address], message("Re: stopped", "thanks, done\n", sender="jane@example.org"))
    client.close()
    assert not site.suspended()


def test_un03_un08_un23_wrong_tokens(site):
    """UN03, UN08, UN23. A wrong token and a harvested address change nothing; nobody without a login is heard on 587."""
    site.trip()
    address = reply_to(site.notice())
    local, _, domain = address.partition("@")
    for i in range(len(local) - 26, len(local), 5):
        wrong = local[:i] + ("a" if local[i] != "a" else "b") + local[i + 1:] + "@" + domain
        assert site.answer(wrong) == 250
        assert site.suspended()
    for other in ("unlock+@mail.example.org", "unlock+x@mail.example.org", "bob@example.net"):
        assert site.answer(other) == 550
    client = site.gatepost.client(None)
    client.ehlo()
    assert client.mail(POSTMASTER)[0] == 530
    client.close()
    assert len(site.notices()) == 1
    assert site.answer(address.upper()) == 250  # a gateway changed the case
    assert not site.suspended()


@pytest.mark.parametrize("headers,envelope", [
    ("Auto-Submitted: auto-replied\r\n", None),
    ("Precedence: bulk\r\n", None),
    ("List-Id: <x.example.org>\r\n", None),
    ("X-Auto-Response-Suppress: All\r\n", None),
    ("", ""),
])
def test_un10_machines(site, headers, envelope):
    site.trip()
    address = reply_to(site.notice())
    assert site.answer(address, headers=headers, envelope=envelope, text="UNLOCK\n") == 250
    assert site.suspended()
    time.sleep(0.5)
    assert len(site.notices()) == 1


@pytest.mark.parametrize("word,suspended,held", [
    ("UNLOCK", False, 0), ("ok!", False, 0), ("Please look at this", False, 3), ("KEEP", False, 3),
    ("DISCARD", False, 0), ("SPAM", True, 0), ("NO", True, 3),
])
@pytest.mark.parametrize("way", ["listener", "submission"])
def test_words_and_held_mail(site, way, word, suspended, held):
    site.sink.stop()
    for i in range(3):
        site.send(to=["held%d@example.net" % i], subject="held")
    client = site.gatepost.client("alice@example.org")
    client.mail("alice@example.org")
    for i in range(3):
        code, _ = client.rcpt("x%d@example.net" % i)
    assert code == 550
    client.close()
    wait_until(lambda: [e["state"] for e in site.gatepost.queue() if e["account"]] == ["held"] * 3, "held")
    site.sink.start()
    address = reply_to(site.notice())
    if way == "listener":
        assert site.answer(address, text=word + "\n\n> quoted\n") == 250
    else:
        client = site.gatepost.client("jane@example.org")
        client.sendmail("jane@example.org", [address],
                        message("Re: Suspended", word + "\n\n> quoted\n", sender="jane@example.org"))
        client.close()
    assert site.suspended() == suspended
    if word in ("UNLOCK", "ok!"):
        wait_until(lambda: sum(b"Subject: held" in m for m in site.sink.mails()) == 3, "released mail")
    wait_until(lambda: len([e for e in site.gatepost.queue() if e["account"]]) == held, "the queue")
    if word == "NO":  # acknowledged
        wait_until(lambda: any("Nothing was changed" in " ".join(n.get_content().split()) for n in site.notices()), "a confirmation")
    if word in ("DISCARD", "SPAM"):
        assert not any(b"Subject: held" in m for m in site.sink.mails())


def test_no_token_for_who_reads_the_postmasters_mail(tmp_path):
    """An account that gets the notices can not let itself go: its own notice has no address to answer to."""
    site = Site(tmp_path, 'postmaster_members = { "alice@example.org", "*@it.example.org" }\n')
    try:
        site.trip()
        notice = site.notice()
        text = " ".join(notice.get_content().split())
        assert notice["Reply-To"] is None and "unlock+" not in text and "mailto:" not in text
        assert "no address to answer to" in text and "gatepostctl account unlock alice@example.org" in text
        site.trip("bob@example.org")
        notice = site.notice(2)
        assert site.answer(reply_to(notice)) == 250
        assert not site.suspended("bob@example.org") and site.suspended()
    finally:
        site.stop()


def test_un22_by_hand(site):
    site.trip()
    site.notice()
    site.gatepost.ctl("account", "unlock", "alice")
    assert not site.suspended()
    site.send()
    site.gatepost.ctl("account", "suspend", "bob")
    assert site.suspended("bob@example.org")
    client = site.gatepost.client("bob@example.org")
    assert client.mail("bob@example.org")[0] == 550
    client.close()
    done = site.gatepost.ctl("account", "unlock", "bob", "--held", "nonsense", check=False)
    assert done.returncode == 1 and site.suspended("bob@example.org")
    site.gatepost.ctl("account", "unlock", "bob", "--held", "keep")
    assert not site.suspended("bob@example.org")


def test_un11_word_required(tmp_path):
    """UN11. A vacation text without marks, or nothing, is no order where a word is asked for; the postmaster hears of it once."""
    site = Site(tmp_path, "unlock_word = required\n")
    try:
        site.trip()
        address = reply_to(site.notice())
        for text in ("I am on holiday until Monday.\n", "", "> unlock\n"):
            assert site.answer(address, text=text) == 250
            assert site.suspended()
        site.notice(2)
        time.sleep(0.5)
        assert len(site.notices()) == 2
        assert site.answer(address, text="Unlock.\n") == 250
        assert not site.suspended()
    finally:
        site.stop()


def test_un19_too_often_for_a_reply(site):
    """UN19. The second suspension in a day is stopped by a reply, ended by the command line only, and its notice says so."""
    site.trip()
    address = reply_to(site.notice())
    assert site.answer(address) == 250
    assert not site.suspended()
    site.notice(2)
    site.trip()
    notice = site.notice(3)
    text = notice.get_content()
    assert "only a command does" in " ".join(text.split()) and "gatepostctl account unlock" in text
    assert "Say SPAM" in text and "Say NO" in text and "Say UNLOCK" not in text
    assert site.answer(address) == 250  # the last incident's token is spent
    address = reply_to(notice)
    assert site.answer(address, text="UNLOCK\n") == 250
    assert site.suspended()
    assert site.answer(address, text="SPAM\n") == 250
    wait_until(lambda: 'order="spam"' in site.gatepost.log(), "the answer")
    assert site.suspended()
    site.gatepost.ctl("account", "unlock", "alice")
    assert not site.suspended()


def test_un15_one_of_many_recipients(site):
    """UN15. The answer is handled for the unlock address, and the mail relayed to the others; none of it is charged twice."""
    site.trip()
    address = reply_to(site.notice())
    client = site.gatepost.client("jane@example.org")
    others = ["friend%d@example.net" % i for i in range(4)]
    client.sendmail("jane@example.org", others[:2] + [address] + others[2:],
                    message("Re: Suspended", "UNLOCK\n", sender="jane@example.org"))
    client.close()
    assert not site.suspended()
    wait_until(lambda: any(b"friend3@example.net" in m for m in site.sink.mails()), "the mail to the others")
    assert not any(b"X-Envelope-To: <unlock" in m for m in site.sink.mails())
    assert site.gatepost.ctl("account", "show", "jane", rows=True)[0]["used"] == "4 4"


def test_un04_used_or_ended_by_hand(site):
    """A token is good once, and for its own incident."""
    site.trip()
    first = reply_to(site.notice())
    site.gatepost.ctl("account", "unlock", "alice")
    site.gatepost.ctl("clock", str(25 * 3600 * 1000))  # a second one within a day is not ended by a reply
    site.trip()
    site.notice(3)  # the first, its end, the second
    assert site.answer(first) == 250
    assert site.suspended()
    second = next(a for a in map(reply_to, site.notices()) if "+2-" in a)
    assert site.answer(second.replace("+2-", "+1-")) == 250
    assert site.suspended()
    assert site.answer(second) == 250
    assert not site.suspended()
    site.gatepost.ctl("account", "suspend", "alice")
    assert site.answer(second, text="UNLOCK\n") == 250
    assert site.suspended()
    verdicts = [re.search('verdict="(.*?)"', line).group(1) for line in site.gatepost.events("event=answer ")]
    assert verdicts.count("done") == 1 and len(verdicts) == 4


def test_un05_two_answers_at_once(site):
    """One state change and one confirmation, by whichever of two loops."""
    site.trip()
    address = reply_to(site.notice())
    barrier = threading.Barrier(8)

    def one():
        barrier.wait()
        assert site.answer(address) == 250

    threads = [threading.Thread(target=one) for _ in range(8)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert not site.suspended()
    assert len(site.gatepost.events('event=answer .*verdict="done"')) == 1
    wait_until(lambda: len(site.notices()) >= 3, "a confirmation, and one word about the others")
    time.sleep(0.5)
    assert sorted(str(n["Subject"]).split(":")[0].split(" ")[0] for n in site.notices()) == ["Done", "Not", "Suspended"]


def test_un12_the_notice_at_the_smarthost(site):
    """UN12. Null return path, marked as a machine's, an id of its own, and nothing that asks for an answer by machine."""
    site.trip()
    notice = site.notice()
    raw = next(m for m in site.sink.mails() if b"Subject: Suspended" in m)
    assert raw.startswith(b"X-Envelope-From: <>\r\n")
    assert raw.count(b"\nX-Envelope-To: <postmaster@example.org>\r\n") == 1
    assert str(notice["Auto-Submitted"]) == "auto-generated"
    assert re.fullmatch(r"<[^<>@\s]+@mail\.example\.org>", str(notice["Message-ID"]))
    assert re.fullmatch(r"unlock\+1-[a-z2-7]{26}@mail\.example\.org", reply_to(notice))
    assert notice["Disposition-Notification-To"] is None and notice["Return-Receipt-To"] is None
    assert len(notice.get_content().splitlines()) < 25


def test_un13_the_notice_bounces(tmp_path):
    """UN13. A smarthost that refuses the postmaster: no report about the report, the incident stays, and the machine says so."""
    peer = Peer().start()
    peer.on("rcpt", "550 5.1.1 no such user", match="postmaster")
    gatepost = Gatepost(tmp_path, peer.port, SETTINGS % free_port()).start().account("alice", "bob")
    try:
        gatepost.ctl("account", "suspend", "alice")
        wait_until(lambda: peer.count("rcpt", "postmaster") > 1, "the notice, refused, and tried again")
        gatepost.ctl("clock", "301000")
        gatepost.wait_log("event=notice-undelivered.*alice@example.org")
        done = gatepost.ctl("status", check=False)
        assert done.returncode == 1 and "undelivered" in done.stdout + done.stderr
        folder = os.path.join(gatepost.folder, "data", "incidents")
        text = open(os.path.join(folder, "1.txt")).read()
        assert "alice@example.org" in text and "unlock+" not in text and not re.search(r"1-[a-z2-7]{26}", text)
        gatepost.restart()
        before = peer.count("rcpt", "postmaster")
        wait_until(lambda: peer.count("rcpt", "postmaster") > before, "one more try")
        # neither a report nor a second notice, and said once
        assert not peer.mails and len(gatepost.queue()) == 1
        assert len(gatepost.events("event=notice-undelivered")) == 1
        assert gatepost.ctl("account", "show", "alice", rows=True)[0]["standing"] == "suspended"
        assert gatepost.ctl("status", check=False).returncode == 1
        # The mailbox is mended: it comes after all, once.
        peer.rules.clear()
        wait_until(lambda: peer.mails, "the notice")
        gatepost.wait_empty()
        assert len(peer.mails) == 1
        gatepost.ctl("account", "unlock", "alice")
        wait_until(lambda: gatepost.ctl("status", check=False).returncode == 0, "a good status")
    finally:
        code = gatepost.stop()
        peer.stop()
    assert code == 0, gatepost.log()[-5000:]


MIME = "MIME-Version: 1.0\r\nContent-Type: %s\r\n"
BODIES = [  # name, header, text, suspended afterwards, held mail afterwards; all of test/replies lies in proto/orders
    ("html", MIME % "text/html", "<p>UNLOCK</p>\r\n", False, 1),
    ("base64", MIME % "text/plain" + "Content-Transfer-Encoding: base64\r\n", "RElTQ0FSRA0K\r\n", False, 0),
    ("qp", MIME % "text/plain" + "Content-Transfer-Encoding: quoted-printable\r\n", "DISC=\r\nARD\r\n", False, 0),
    ("below", "", "> The account was suspended\r\n\r\nDISCARD\r\n", False, 0),
    ("above", "", "spam\r\n\r\n> unlock\r\n", True, 0),
    ("large", MIME % "multipart/mixed; boundary=b",
     "--b\r\nContent-Type: text/plain\r\n\r\nDISCARD\r\n--b\r\nContent-Type: image/png\r\n\r\n" + ("x" * 76 + "\r\n") * 134000
     + "--b--\r\n", False, 0),
    ("pgp", MIME % "multipart/encrypted; boundary=b; protocol=\"application/pgp-encrypted\"",
     "--b\r\nContent-Type: application/octet-stream\r\n\r\nhQEMA\r\n--b--\r\n", False, 1),
    ("smime", MIME % "application/pkcs7-mime", "MIIBwg==\r\n", False, 1),
    ("utf16", MIME % "text/plain; charset=utf-16" + "Content-Transfer-Encoding: base64\r\n", "//5TAFAAQQBNAA==\r\n", False, 1),
]


def test_un14_bodies(tmp_path):
    """UN14. A word that can be read counts; what can not be read deletes nothing, and the confirmation says so."""
    site = Site(tmp_path, "message_size = 20M\nnotice_max = { }\n")
    try:
        site.gatepost.account(*[row[0] for row in BODIES])
        site.sink.stop()
        for name, *_ in BODIES:
            site.send(name + "@example.org", subject="held")
            site.gatepost.ctl("account", "suspend", name)
        site.sink.start()
        wait_until(lambda: len(site.notices()) == len(BODIES), "all notices")
        addresses = {re.search(r"account (\w+)@", n.get_content()).group(1): reply_to(n) for n in site.notices()}
        for name, header, text, suspended, held in BODIES:
            user = name + "@example.org"
            with smtplib.SMTP("127.0.0.1", site.reply_port, timeout=60) as smtp:
                smtp.sendmail(POSTMASTER, [addresses[name]], "From: <%s>\r\nSubject: Re: it\r\n%s\r\n%s" % (
                    POSTMASTER, header, text))
            assert site.suspended(user) == suspended, name
            left = len([e for e in site.gatepost.queue() if e["account"] == user])
            assert left == held, name
        def confirmations(name):
            return [n.get_content() for n in site.notices() if str(n["Subject"]).startswith("Done") and name in n.get_content()]
        for name in ("html", "pgp", "smime", "utf16"):
            wait_until(lambda: confirmations(name + "@"), "the confirmation about " + name)
            assert "could not be read" in " ".join(confirmations(name + "@")[0].split()), name
    finally:
        site.stop()


def test_un17_wrong_tokens_as_the_postmaster(site):
    """Hundreds of guesses change nothing and write to nobody; the right token is as good as before."""
    site.trip()
    address = reply_to(site.notice())
    head, tail = address.split("@")

    sent = []

    def guess(n, count=50):
        with smtplib.SMTP("127.0.0.1", site.reply_port, timeout=60) as smtp:
            for i in range(count):
                wrong = "%s%s@%s" % (head[:-4], "".join("abcdefgh"[(n * 50 + i) >> s & 7] for s in (9, 6, 3, 0)), tail)
                if wrong != address:
                    sent.append(wrong)
                    smtp.sendmail(POSTMASTER, [wrong], "From: <%s>\r\nSubject: Re: x\r\n\r\nUNLOCK\r\n" % POSTMASTER)

    threads = [threading.Thread(target=guess, args=(n,)) for n in range(10)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert site.suspended() and len(site.notices()) == 1
    assert len(site.gatepost.queue()) == 0
    # The log has some of them, and the number of the others.
    site.gatepost.ctl("clock", "60000")
    guess(10, 1)

    def counted():
        return [int(re.search(r"count=(\d+)", line).group(1)) for line in site.gatepost.events("event=unlogged-answers ")]
    wait_until(lambda: len(site.gatepost.events("event=answer ")) + sum(counted()) == len(sent), "a line or a count for each")
    assert counted()
    assert site.answer(address) == 250
    assert not site.suspended()
    site.gatepost.ctl("account", "suspend", "alice")
    site.gatepost.ctl("account", "unlock", "alice")
    assert not site.suspended()


def test_un20_the_counter_after_an_unlock(site):
    """It begins at nought, and held mail that is let go is not charged again."""
    site.sink.stop()
    for i in range(5):
        site.send(to=["held%d@example.net" % i], subject="held")
    client = site.gatepost.client("alice@example.org")
    client.mail("alice@example.org")
    assert client.rcpt("x@example.net")[0] == 550
    client.close()
    site.sink.start()
    assert site.answer(reply_to(site.notice())) == 250
    wait_until(lambda: sum(b"Subject: held" in m for m in site.sink.mails()) == 5, "released mail")
    assert site.gatepost.ctl("account", "show", "alice", rows=True)[0]["used"] == "0 0"
    site.send(to=["a%d@example.net" % i for i in range(5)])


def test_un21_another_secret(site):
    """With the secret lost, no token that is out is good any more; the command line is."""
    site.trip()
    address = reply_to(site.notice())
    assert site.gatepost.stop() == 0
    os.unlink(os.path.join(site.gatepost.folder, "data", "secret"))
    site.gatepost.start()
    assert site.answer(address) == 250
    assert site.suspended()
    assert site.gatepost.events('event=answer .*verdict="wrong token"')
    site.gatepost.ctl("account", "unlock", "alice")
    assert not site.suspended()


def test_un24_only_from_the_peers(tmp_path):
    """The reply listener serves whom it names; the same mail from elsewhere is refused before it says a word."""
    site = Site(tmp_path)
    try:
        site.trip()
        address = reply_to(site.notice())
        text = open(site.gatepost.config).read()
        with open(site.gatepost.config, "w") as f:
            f.write(text.replace('"127.0.0.1/32"', '"127.0.0.2/32"'))
        site.gatepost.restart()
        with pytest.raises((smtplib.SMTPException, OSError)):
            site.answer(address)
        assert site.suspended()
        with smtplib.SMTP("127.0.0.1", site.reply_port, timeout=30, source_address=("127.0.0.2", 0)) as smtp:
            smtp.sendmail("eve@example.net", [address], "From: <eve@example.net>\r\n\r\nUNLOCK\r\n")
            assert site.suspended()
            smtp.sendmail("eve@example.net", [address], "From: <%s>\r\n\r\nUNLOCK\r\n" % POSTMASTER)
            assert not site.suspended()
    finally:
        site.stop()


def test_an_answer_may_be_long(tmp_path):
    """A mailbox quotes the whole notice, with pictures: what is said of its SIZE refuses no answer."""
    site = Site(tmp_path, "message_size = 100K\n")
    try:
        site.trip()
        address = reply_to(site.notice())
        with smtplib.SMTP("127.0.0.1", site.reply_port, timeout=60) as smtp:
            smtp.ehlo("mta.example.org")
            assert smtp.mail(POSTMASTER, ["SIZE=900000"])[0] == 250
            assert smtp.rcpt(address)[0] == 250
            text = "From: <%s>\r\nSubject: Re: it\r\n\r\nUNLOCK\r\n" % POSTMASTER + ("> " + "x" * 70 + "\r\n") * 12000
            assert smtp.data(text)[0] == 250
        assert not site.suspended()
    finally:
        site.stop()


def test_more_cases_than_one_answer_ends(site):
    """Ten in one mail, and the rest in the next: 452 makes an MTA send them again (RFC 5321 4.5.3.1.10)."""
    site.trip()
    address = reply_to(site.notice())
    wrong = ["unlock+%d-%s@mail.example.org" % (n, "a" * 26) for n in range(2, 12)]
    with smtplib.SMTP("127.0.0.1", site.reply_port, timeout=60) as smtp:
        smtp.ehlo("mta.example.org")
        for tags in (wrong, [address]):
            assert smtp.mail(POSTMASTER)[0] == 250
            assert [smtp.rcpt(tag)[0] for tag in tags] == [250] * len(tags)
            if tags == wrong:
                code, text = smtp.rcpt(address)
                assert code == 452 and text.startswith(b"4.5.3"), text
            assert smtp.data("From: <%s>\r\nSubject: Re: it\r\n\r\nUNLOCK\r\n" % POSTMASTER)[0] == 250
            assert site.suspended() == (tags == wrong)


def test_un02_no_token_is_kept(site):
    """UN02. What lies in the data folder and the log unlocks nothing: neither holds a token, whatever became of it."""
    site.trip()
    address = reply_to(site.notice())
    token = address.partition("@")[0][-26:].encode()
    site.answer(address, sender="stranger@example.com")
    site.gatepost.ctl("account", "why", "alice")

    def where():
        files = [os.path.join(at, name) for at, _, names in os.walk(os.path.join(site.gatepost.folder, "data")) for name in names]
        assert any(os.path.basename(path) == "data.mdb" for path in files)
        return [path for path in files + [site.gatepost.log_path] if token in open(path, "rb").read().lower()]

    assert where() == []
    client = site.gatepost.client("jane@example.org")
    client.sendmail("jane@example.org", [address], message("Re: Suspended", "KEEP\n", sender="jane@example.org"))
    client.close()
    assert not site.suspended() and where() == []


def test_un16_what_a_thief_writes(site):
    """UN16. Neither a subject nor a name adds a field, a recipient or an order to the notice."""
    user = "=?utf-8?q?bcc=3a_eve?=@example.org"
    site.gatepost.account(user)
    hostile = "=?utf-8?q?x=0D=0ABcc=3A_eve=40example.net=0D=0A=0D=0AUNLOCK_=E2=80=AE_=3Cscript=3E?="
    site.send(user, ["u%d@example.net" % i for i in range(5)], hostile)
    client = site.gatepost.client(user)
    client.mail(user)
    assert client.rcpt("one.more@example.net")[0] == 550
    client.close()
    body = site.notice().get_content()
    raw = next(m for m in site.sink.mails() if b"Auto-Submitted:" in m)
    head = raw.partition(b"\r\n\r\n")[0].decode("ascii")
    names = re.findall(r"^([A-Za-z-]+):", head, re.M)
    assert sorted(names) == sorted([
        "X-Envelope-From", "X-Envelope-To", "From", "To", "Reply-To", "Subject", "Date", "Message-ID", "Auto-Submitted",
        "MIME-Version", "Content-Type", "Content-Transfer-Encoding"] + ["Received"] * names.count("Received"))
    assert "\nX-Envelope-To: <postmaster@example.org>\r\n" in head
    assert "=?" not in head
    assert user in body and "\u202e" not in body
    assert re.search(r'^Subjects: "x Bcc: eve\[@\]example\[.\]net  UNLOCK \? <scri', body, re.M)
    assert not re.search(r"^\W*(unlock|ok|yes|release|keep|discard|spam|no|stop)\b", body, re.M | re.I)
