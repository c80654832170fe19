"""Suspension as one act, and the notice: the daemon with a sink behind it (TESTS.md 3.4)."""
import json
import os
import re
import smtplib
import threading
import time

import pytest

from harness import BUILD, PASSWORD, message, wait_until
from suspension import Site, reply_to


def test_hl21_one_act(site):
    open_session = site.gatepost.client("alice@example.org")
    code, text = site.trip()
    assert code == 550 and text.startswith(b"5.7.1 "), text
    assert b"IT desk, +49 30 1234" in text and b"case 1" in text and len(text) < 200
    assert b"password" in text and b"not sent" in text
    # the other session: 421, without a word from us
    wait_until(lambda: open_session.file and open_session.getreply()[0] == 421, "421 to the idle session")
    open_session.close()
    # a new login works, each MAIL says why
    client = site.gatepost.client("alice@example.org")
    for _ in range(2):
        code, text = client.mail("alice@example.org")
        assert code == 550 and text.startswith(b"5.7.1 "), text
    client.close()
    notice = site.notice()
    assert str(notice["From"]) and str(notice["Auto-Submitted"]) == "auto-generated"
    assert "unlock+1-" in reply_to(notice) or re.search(r"unlock\+[^@]*1-", reply_to(notice))
    body = notice.get_content()
    assert "alice@example.org" in body and "cheap watches" in body and "127.0.0.1" in body
    assert "https" not in body
    time.sleep(1)
    assert len(site.notices()) == 1
    site.send("bob@example.org")
    why = site.gatepost.ctl("account", "why", "alice")
    assert "alice@example.org" in why and reply_to(notice) not in why
    def relayed():
        return site.gatepost.ctl("relayed", "--incident", "1", "--recipients").split()
    gone = wait_until(lambda: len(relayed()) == 5 and relayed(), "the journal of what is gone")
    assert sorted(gone) == ["u%d@example.net" % i for i in range(5)]
    assert len(site.gatepost.ctl("relayed", "--incident", "1", "--ids").split()) == 1
    status = site.gatepost.ctl("status", rows=True)[0]
    assert status["suspended"] == 1 and status["notices_undelivered"] == 0


def test_suspended_at_auth(tmp_path):
    site = Site(tmp_path, "suspended_at = auth\n")
    try:
        site.trip()
        site.notice()
        client = site.gatepost.client(None)
        client.ehlo()
        with pytest.raises(smtplib.SMTPAuthenticationError) as failure:
            client.login("alice@example.org", PASSWORD)
        assert failure.value.smtp_code == 525 and failure.value.smtp_error.startswith(b"5.7.13")
        with pytest.raises(smtplib.SMTPAuthenticationError) as failure:
            client.login("alice@example.org", "wrong")
        assert failure.value.smtp_code == 535
        client.close()
    finally:
        site.stop()


def test_i4_kill_between_the_steps(site):
    def kill():
        site.gatepost.kill()
        site.gatepost.start()

    site.sink.stop()
    for i in range(3):
        site.send(to=["held%d@example.net" % i], subject="held")
    client = site.gatepost.client("alice@example.org")
    client.mail("alice@example.org")
    assert [client.rcpt("x%d@example.net" % i)[0] for i in range(3)] == [250, 250, 550]
    kill()
    assert site.suspended()
    wait_until(lambda: [e["state"] for e in site.gatepost.queue() if e["account"]] == ["held"] * 3, "held")
    site.sink.start()
    address = reply_to(site.notice())
    kill()
    assert site.answer(address) == 250
    kill()
    assert not site.suspended()
    wait_until(lambda: sum(b"Subject: held" in m for m in site.sink.mails()) == 3, "released mail")
    wait_until(lambda: not site.gatepost.queue(), "an empty queue")
    assert len(site.notices()) == 2
    assert site.answer(address) == 250
    assert not site.suspended()


@pytest.mark.tsan
def test_hl03_race_one_suspension(tmp_path):
    site = Site(tmp_path, 'limits = { "50/30m", "2000/24h" }\nnotice_max = { }\n')
    try:
        for round_number in range(3 if "tsan" in BUILD else 20):
            codes = []
            barrier = threading.Barrier(64)

            def one(n):
                client = site.gatepost.client("alice@example.org")
                client.mail("alice@example.org")
                code = client.rcpt("r%d@example.net" % n)[0]
                if code == 250:
                    client.docmd("DATA")
                barrier.wait()
                if code == 250:
                    client.send(b"Subject: race\r\n\r\nx\r\n.\r\n")
                    code = client.getreply()[0]
                codes.append(code)
                client.close()

            threads = [threading.Thread(target=one, args=(n,)) for n in range(64)]
            [t.start() for t in threads]
            [t.join() for t in threads]
            assert sorted(codes) == [250] * 50 + [550] * 14
            assert site.suspended()
            wait_until(lambda: len(site.notices()) == 2 * round_number + 1, "its notice")
            site.gatepost.ctl("account", "unlock", "alice")
            wait_until(lambda: len(site.notices()) == 2 * round_number + 2, "its confirmation")
    finally:
        site.stop()


def links(notice):
    """Of a notice that tells of several: each account's address for UNLOCK."""
    text = notice.get_content()
    cases = re.findall(r"^Case (\d+): (\S+)\r?$", text, re.M)
    found = dict(re.findall(r"<mailto:([^>?]*unlock\.(\d+)-[^>?]*)\?subject=UNLOCK>", text))
    address = {case: to for to, case in found.items()}
    return {account: address[case] for case, account in cases}


def told(site):
    """The accounts of all notices of suspensions, as often as they are told."""
    out = []
    for notice in site.notices():
        one = re.fullmatch(r"Suspended: (\S+) \(case \d+\)", str(notice["Subject"]))
        out += [one[1]] if one else links(notice)
    return out


def test_hl25_a_hundred_at_once(tmp_path, figure):
    """HL25. Each has its own incident, a few mails tell of all, and an honest sender hardly feels it; his medians are printed,
    not judged."""
    site = Site(tmp_path, 'limits = { "1/30m", "2000/24h" }\nsuspend_max = { }\n')
    try:
        names = ["t%d@example.org" % i for i in range(100)]
        site.gatepost.account(*names)
        site.gatepost.ctl("account", "limit", "bob", "100000/30m")

        def honest(count):
            times = []
            client = site.gatepost.client("bob@example.org")
            for i in range(count):
                begun = time.monotonic()
                client.sendmail("bob@example.org", ["x@example.net"], message("honest", sender="bob@example.org"))
                times.append(time.monotonic() - begun)
            client.close()
            return sorted(times)[len(times) // 2] * 1000

        before, during, codes = honest(50), [], []
        clients = []
        for name in names:
            client = site.gatepost.client(name)
            client.sendmail(name, ["first@example.net"], message("first", sender=name))
            client.mail(name)
            clients.append(client)
        barrier = threading.Barrier(21)

        def thieves(mine):
            barrier.wait()
            for client in mine:
                codes.append(client.rcpt("second@example.net")[0])

        threads = [threading.Thread(target=thieves, args=(clients[i::20],)) for i in range(20)]
        [t.start() for t in threads]
        barrier.wait()
        during.append(honest(50))
        [t.join() for t in threads]
        [client.close() for client in clients]
        assert codes == [550] * 100
        figure("HL25: an honest sender's median before %.2f ms, during %.2f ms" % (before, during[0]))
        assert site.gatepost.ctl("status", rows=True)[0]["suspended"] == 100
        wait_until(lambda: len(site.notices()) >= 5, "those that come at once")
        site.gatepost.ctl("clock", "61000")
        wait_until(lambda: len(told(site)) >= 100, "all are told", 60)
        notices = site.notices()
        assert sorted(told(site)) == sorted(names) and len(notices) <= 10
        lists = [n for n in notices if n["Reply-To"] is None]
        assert len(notices) - len(lists) == 5
        wait_until(lambda: not any(e["state"] == "ready" for e in site.gatepost.queue()), "nothing waits")
        # an answer to one address of a list is for that account and for no other
        account, address = list(links(lists[-1]).items())[7]
        assert site.answer(address, text="UNLOCK\n") == 250
        standing = {row["account"]: row["standing"] for row in site.gatepost.ctl("account", "list", rows=True)}
        assert [name for name in names if standing[name] != "suspended"] == [account]
        assert site.gatepost.status()["notices_undelivered"] == 0
    finally:
        site.stop()


def test_hl22_in_data_when_it_trips(site):
    """What is under way in another session ends with 550 at its dot, then 421; nothing of it is queued."""
    inside = site.gatepost.client("alice@example.org")
    inside.mail("alice@example.org")
    assert inside.rcpt("late@example.net")[0] == 250
    assert inside.docmd("DATA")[0] == 354
    inside.send(b"Subject: too late\r\n\r\nfirst half\r\n")
    assert site.trip()[0] == 550
    inside.send(b"second half\r\n.\r\n")
    code, text = inside.getreply()
    assert code == 550 and text.startswith(b"5.7.1 "), text
    assert inside.getreply()[0] == 421
    inside.close()
    site.notice()
    assert not any(b"Subject: too late" in mail for mail in site.sink.mails())


def test_alarm_program(tmp_path):
    """on_suspend is told once, with the facts, on its stdin; mail is not needed for it."""
    told = tmp_path / "data" / "told"
    program = tmp_path / "alarm"
    program.write_text("#!/bin/sh\ncat >> %s\necho >> %s\n" % (told, told))
    program.chmod(0o755)
    site = Site(tmp_path, 'on_suspend = "%s"\n' % program)
    try:
        site.sink.stop()
        site.trip()
        wait_until(lambda: told.exists() and told.read_text().endswith("}\n"), "the alarm")
        site.gatepost.restart()
        facts = [json.loads(line) for line in told.read_text().splitlines()]
        assert len(facts) == 1
        assert facts[0]["account"] == "alice@example.org" and facts[0]["incident"] == 1
        assert facts[0]["subjects"] == ["cheap watches"] and facts[0]["networks"] == ["127.0.0.1"]
        site.sink.start()
    finally:
        site.stop()


def test_alarm_after_a_crash(tmp_path):
    """Killed behind the act and before the alarm: the next start gives it."""
    told = tmp_path / "data" / "told"
    program = tmp_path / "alarm"
    program.write_text("#!/bin/sh\ncat >> %s\necho >> %s\n" % (told, told))
    program.chmod(0o755)
    site = Site(tmp_path, 'on_suspend = "%s"\n' % program)
    try:
        site.send(to=["u%d@example.net" % i for i in range(5)])
        site.gatepost.wait_empty()
        for commit in range(1, 12):  # those of the start come first, then that of the act
            site.gatepost.kill()
            try:
                site.gatepost.start(GATEPOST_KILL="commit-after:%d" % commit)
                client = site.gatepost.client("alice@example.org")
                client.mail("alice@example.org")
                assert client.rcpt("one.more@example.net")[0] != 550
            except (smtplib.SMTPException, OSError, RuntimeError):
                pass
            wait_until(lambda: site.gatepost.process.poll() is not None, "its death")
            assert not told.exists()
            site.gatepost.kill()
            site.gatepost.start()
            if site.suspended():
                break
        wait_until(lambda: told.exists() and told.read_text().endswith("}\n"), "the alarm")
        assert site.suspended() and json.loads(told.read_text())["incident"] == 1
    finally:
        site.stop()


CONTACT = "Contact: IT desk, +49 30 1234"


def test_every_refusal_says_whom_to_ask(tmp_path):
    """Who may not send reads in the client whom to ask, not only who is suspended."""
    site = Site(tmp_path, "sender_check = envelope\n", drop="postmaster")
    try:
        client = site.gatepost.client("alice@example.org")
        refused = [client.mail("bob@example.org")]  # not her name
        client.mail("alice@example.org")
        replies = [client.rcpt("u%d@example.net" % i) for i in range(8)]
        assert [code for code, _ in replies] == [250] * 5 + [550] * 3
        refused.append(replies[5])  # more than ever fits
        client.rset()
        site.send(to=["u%d@example.net" % i for i in range(5)])
        client.mail("alice@example.org")
        refused.append(client.rcpt("one.more@example.net"))  # spent
        for code, text in refused:
            assert code == 550 and CONTACT in text.decode(), text
        assert len({text for _, text in refused}) == 3
        client.close()
    finally:
        site.stop()


def test_notice_undelivered(site):
    """Five minutes without a smarthost: the log says it, status ends with 1, and the text lies beside the store."""
    site.sink.stop()
    site.trip()
    site.gatepost.ctl("clock", "301000")
    wait_until(lambda: "event=notice-undelivered" in site.gatepost.log(), "the event")
    done = site.gatepost.ctl("status", check=False)
    assert done.returncode == 1
    text = open(os.path.join(site.gatepost.folder, "data", "incidents", "1.txt")).read()
    assert "alice@example.org" in text and "cheap watches" in text and "unlock+" not in text
    site.sink.start()
    address = reply_to(site.notice())
    wait_until(lambda: site.gatepost.ctl("status", check=False).returncode == 0, "a good status")
    assert site.answer(address) == 250
    assert not site.suspended()
