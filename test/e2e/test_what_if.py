"""gatepostctl what-if: who would have been locked by past mail. Logs of Postfix, rows, and the daemon's own journal."""
import calendar
import gzip
import json
import os
import re
import smtplib
import subprocess
import time

import pytest
from backends import Dovecot
from harness import BUILD, PASSWORD, Gatepost, insecure_context, message, wait_until

CTL = os.path.join(BUILD, "server", "gatepostctl")
T0 = 1795575600  # 2026-11-25T03:00:00Z


def what_if(*words, code=0, zone="UTC", config="/nonexistent"):
    """Events, accounts and the total; or the error."""
    done = subprocess.run([CTL, "-c", config, "--json", "what-if"] + [str(word) for word in words], capture_output=True,
                          text=True, env=dict(os.environ, TZ=zone))
    assert done.returncode == code, done.stderr
    assert not [name for name in os.listdir("/tmp") if name.startswith("gatepost-what-if")]
    if code:
        return done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    kinds = {kind: [row for row in rows if row["row"] == kind] for kind in ("event", "account", "price", "total")}
    assert len(kinds["total"]) == 1 and sum(map(len, kinds.values())) == len(rows)
    return kinds["event"], {row["account"]: row for row in kinds["account"]}, kinds["total"][0]


def stamp(at, form):
    if form == "rfc3339":
        return time.strftime("%Y-%m-%dT%H:%M:%S.123456+00:00", time.gmtime(at))
    return time.strftime("%b %e %H:%M:%S", time.gmtime(at))


class Log:
    """What Postfix would have written."""

    def __init__(self, form="traditional"):
        self.form, self.lines, self.number = form, [], 0

    def line(self, at, service, text):
        self.lines.append("%s mail postfix/%s[%d]: %s" % (stamp(at, self.form), service, 1000 + self.number, text))

    def mail(self, at, account, recipients, client="192.0.2.5", nrcpt=None):
        self.number += 1
        qid = "4F%08X" % self.number
        login = ", sasl_method=PLAIN, sasl_username=" + account if account else ""
        self.line(at, "submission/smtpd", "connect from pc.example.org[%s]" % client)
        self.line(at, "submission/smtpd", "%s: client=pc.example.org[%s]%s" % (qid, client, login))
        self.line(at, "cleanup", "%s: message-id=<%d@example.org>" % (qid, self.number))
        self.line(at, "qmgr", "%s: from=<x@example.org>, size=312, nrcpt=%d (queue active)" % (qid, nrcpt or len(recipients)))
        for recipient in recipients:
            self.line(at + 1, "smtp", "%s: to=<%s>, relay=mx.example.net[198.51.100.1]:25, delay=0.3, delays=0.1/0/0.1/0.1, "
                      "dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 1234)" % (qid, recipient))
        self.line(at + 1, "qmgr", qid + ": removed")
        return self

    def write(self, path, at=T0 + 86400):
        opened = gzip.open(path, "wt") if str(path).endswith(".gz") else open(path, "w")
        with opened as file:
            file.write("\n".join(self.lines) + "\n")
        os.utime(path, (at, at))
        return path


def names(n, begin=0):
    return ["r%d@example.net" % i for i in range(begin, begin + n)]


@pytest.mark.parametrize("form", ["traditional", "rfc3339"])
def test_postfix_log(tmp_path, form):
    log = Log(form)
    for minute in range(30):
        log.mail(T0 + 60 * minute, "alice", names(2, 2 * minute))
    log.mail(T0 + 100, "bob", names(12), client="2001:db8::7")
    log.mail(T0 + 200, "", names(100))  # nobody's
    log.mail(T0 + 300, "carol", names(3), nrcpt=9)
    log.lines.insert(7, "Nov 25 03:00:00 mail dovecot: imap-login: Login: user=<alice>")
    log.lines.insert(9, "what is this")
    path = log.write(tmp_path / "mail.log")
    events, accounts, total = what_if("--limits", "20/30m,50/24h", "--all", path)
    assert [(e["time"], e["account"], e["limit"], e["used"], e["asked"], e["client"]) for e in events] == [
        ("2026-11-25T03:10:00Z", "alice", "20/30m", 20, 2, "192.0.2.5"),
        ("2026-11-25T03:20:00Z", "alice", "20/30m", 20, 2, "192.0.2.5")]
    assert {name: (row["locked"], row["messages"], row["recipients"], row["most"]) for name, row in accounts.items()} == {
        "alice": (2, 30, 60, "60/30m 60/1d"), "bob": (0, 1, 12, "12/30m 12/1d"), "carol": (0, 1, 9, "9/30m 9/1d")}
    assert total["lowest"] == "60/30m 60/1d" and total["locks"] == 2 and total["locked_accounts"] == 1
    assert (total["messages"], total["recipients"], total["accounts"]) == (32, 81, 3)
    assert total["bad_lines"] == 1 and total["first_bad"] == "%s:10" % path
    # What it says is so; one less is too few.
    assert what_if("--limits", "60/30m,60/24h", path)[:2] == ([], {})
    for limits in ("59/30m,60/24h", "60/30m,59/24h"):
        assert [event["account"] for event in what_if("--limits", limits, path)[0]] == ["alice"]
    assert len(what_if("--limits", "20/30m", "--once", path)[0]) == 1


def test_rotated(tmp_path):
    """Files in the order of a shell's *, one of them packed, over the turn of a year, and a message in two of them."""
    new_year = 1798761600  # 2027-01-01T00:00:00Z
    whole = Log().mail(new_year - 86400, "alice", names(5)).mail(new_year - 1, "alice", names(4, 5))
    cut = len(whole.lines) - 4
    old, new = Log(), Log()
    old.lines, new.lines = whole.lines[:cut], whole.lines[cut:]
    new.mail(new_year + 10, "alice", names(5, 9))
    paths = [new.write(tmp_path / "mail.log", new_year + 90000), old.write(tmp_path / "mail.log.1.gz", new_year)]
    events, accounts, total = what_if("--limits", "8/30m", *paths)
    assert [event["time"] for event in events] == ["2027-01-01T00:00:10Z"]
    assert (total["from"], total["messages"], total["recipients"]) == ("2026-12-31T00:00:00Z", 3, 14)
    assert accounts["alice"]["most"] == "9/30m"
    # In any order.
    assert what_if("--limits", "8/30m", *reversed(paths)) == (events, accounts, total)
    # What the wall showed in another zone was another time.
    events = what_if("--limits", "8/30m", *paths, zone="Europe/Berlin")[0]
    assert [event["time"] for event in events] == ["2026-12-31T23:00:10Z"]


def test_rows(tmp_path):
    """Rows of a time and an account are a message, in any order."""
    rows = ["%d\tAlice@Example.Org\tr%d@example.net\t192.0.2.0/24" % (T0 + 60 * (i % 3), i) for i in range(30)]
    rows += ["2026-11-25T03:02:00Z\talice@example.org\tr%d@EXAMPLE.NET" % i for i in range(30)]
    path = tmp_path / "mail.tsv"
    path.write_text("# time, account, recipient\n" + "\n".join(reversed(rows)) + "\n")
    events, accounts, total = what_if("--limits", "25/30m", path)
    assert [(event["time"], event["result"], event["used"], event["asked"]) for event in events] == [
        ("2026-11-25T03:02:00Z", "refused", 20, 30)]
    assert total["messages"] == 3 and total["recipients"] == 50 and total["lowest"] == "50/30m"


# ---- the guard ----

DAY = 86400
OFFICE, PHONE, ELSEWHERE = "192.0.2.0/24", "198.51.100.77", "203.0.113.9"
SURCHARGES = ["list-member", "stranger", "strange-network", "strange-known", "new-network", "shared-network", "country", "refused",
              "trap"]
CLASSIC = ["--price"] + [name + "=0" for name in SURCHARGES]
LIMITS = ("--limits", "500/30m,2000/24h")


class Life:
    """Rows of people at work: forty mails a day to whom they know, and now and then to somebody new."""

    def __init__(self, days):
        self.begin = T0 - T0 % DAY - days * DAY
        self.days, self.rows = days, []
        for person in ("alice", "bob"):
            for day in range(days):
                for n in range(40 if day % 7 < 5 else 2):
                    known = 10 + 3 * day
                    who = "%s-friend%d@example.net" % (person, (n * 7 + day * 11) % known)
                    self.mail(self.begin + day * DAY + 8 * 3600 + n * 660, person, who, PHONE if n % 9 == 8 else OFFICE)
        self.end = self.begin + days * DAY

    def mail(self, at, account, recipient, network=OFFICE):
        self.rows.append("%d\t%s\t%s\t%s" % (at, account, recipient, network))

    def theft(self, n=600, at=None, network=ELSEWHERE, account="alice"):
        for i in range(n):
            self.mail((at or self.end) + 2 * i, account, "victim%d@example.com" % i, network)
        return self

    def write(self, path):
        path.write_text("\n".join(self.rows) + "\n")
        return path


def test_honest_life(tmp_path):
    """Two months at the office: nobody is locked, and the limits that are said to be enough are; half of them are not."""
    path = Life(60).write(tmp_path / "rows")
    events, accounts, total = what_if(*LIMITS, "--all", path)
    assert not events and (total["locks"], total["refused"], total["held"]) == (0, 0, 0)
    assert set(accounts) == {"alice", "bob"} and all(row["recipients"] < 1900 for row in accounts.values())
    # A stranger from a familiar network is 5, and there were some: dearer than by number, but far from the limits.
    most = [int(limit.split("/")[0]) for limit in total["lowest"].split()]
    assert 40 < most[1] < 200 and 3 < most[0] <= most[1]
    assert total["lowest_strangers"].endswith("/7d")
    enough = total["lowest"].replace(" ", ",")
    assert what_if("--limits", enough, path)[0] == []
    assert what_if("--limits", "%d/30m,%d/24h" % (most[0] // 2, most[1] // 2), path)[0]
    # By the classic rule it is the number of recipients: forty, and those of the next day's first 24 minutes.
    assert what_if(*LIMITS, "--classic", path)[2]["lowest"].split()[1] == "43/1d"


def test_theft(tmp_path):
    """A thief writes from elsewhere: he is locked after a few recipients, and the bill says for what."""
    life = Life(60).theft()
    path = life.write(tmp_path / "rows")
    events, accounts, total = what_if(*LIMITS, path)
    first = events[0]
    assert {event["account"] for event in events} == {"alice"} == set(accounts)
    assert total["locked_accounts"] == 1 and total["locks"] == len(events) == accounts["alice"]["locked"]
    assert first["result"] == "locked" and first["client"] == ELSEWHERE and first["limit"] == "500/30m"
    assert 2 * 15 <= calendar.timegm(time.strptime(first["time"], "%Y-%m-%dT%H:%M:%SZ")) - life.end <= 2 * 24
    lines = {line["price"]: line for line in first["lines"]}
    assert set(lines) == {"strange-network", "stranger", "new-network"} and lines["new-network"]["count"] == 1
    assert all(line["sum"] == line["count"] * line["each"] and line["meaning"] for line in lines.values())
    assert [line["sum"] for line in first["lines"]] == sorted((line["sum"] for line in first["lines"]), reverse=True)
    assert 15 <= lines["strange-network"]["count"] <= 25
    assert sum(line["sum"] for line in lines.values()) <= first["used"] + first["asked"] > 500
    # By his network he is dear, not by his number: without surcharges he stops at the classic limit.
    for classic in (CLASSIC, ["--classic"]):
        events = what_if(*LIMITS, *classic, path)[0]
        assert [(e["used"], e["asked"], e["lines"], e["bill"]) for e in events] == [(500, 1, [], "")]
    # A price of one's own.
    again = what_if(*LIMITS, "--price", "strange-network=0", "new-network=0", path)[0][0]
    assert [line["price"] for line in again["lines"]] == ["stranger"] and again["lines"][0]["count"] >= 40
    # People see it, too.
    text = subprocess.run([CTL, "-c", "/nonexistent", "what-if", *LIMITS, str(path)], capture_output=True, text=True).stdout
    for line in first["lines"]:
        assert "%(price)s %(count)d x %(each)d = %(sum)d" % line in text
        assert re.search("(?m)^%(price)s +%(each)d +%(meaning)s" % line, text)


def test_young_history(tmp_path):
    """Before 28 days of history the classic rule holds; --history takes it as there from the first message on."""
    life = Life(14)
    honest = life.write(tmp_path / "honest")
    assert what_if(*LIMITS, "--history", honest)[0] == []
    path = life.theft().write(tmp_path / "rows")
    events = what_if(*LIMITS, path)[0]
    assert [(event["used"], event["asked"], event["lines"]) for event in events] == [(500, 1, [])]
    first = what_if(*LIMITS, "--history", path)[0][0]
    assert calendar.timegm(time.strptime(first["time"], "%Y-%m-%dT%H:%M:%SZ")) - life.end <= 2 * 24
    assert first["account"] == "alice" and "strange-network" in first["bill"]


def test_windows_for_strangers(tmp_path):
    """From where one always is many strangers are held, and the windows that would have been enough are told."""
    daemon = Gatepost(tmp_path, 25)
    path = Life(60).theft(150, network=OFFICE).write(tmp_path / "rows")
    events, accounts, total = what_if("--limits", "5000/30m", path, config=daemon.config)
    assert [(e["result"], e["limit"], e["lines"]) for e in events] == [("held", "100/1d strangers", [])]
    assert accounts["alice@example.org"]["held"] == total["held"] >= 50 and total["locks"] == 0
    day, week = (int(limit.split("/")[0]) for limit in total["lowest_strangers"].split())
    assert 150 <= day <= 160 and day <= week
    daemon.configure("stranger_limits = { %d/24h, %d/7d }" % (day, week))
    assert what_if("--limits", "5000/30m", path, config=daemon.config)[0] == []


def test_dear_at_home(tmp_path):
    """Where one always is surcharges alone lock nobody: what goes beyond the limit by them is held."""
    path = Life(60).theft(40, network=OFFICE).write(tmp_path / "rows")
    events, accounts, total = what_if("--limits", "60/30m,2000/24h", path)
    assert [(e["account"], e["result"], e["limit"], e["lines"]) for e in events] == [("alice", "held", "60/30m", [])]
    assert events[0]["used"] <= 60 < events[0]["used"] + events[0]["asked"]
    assert total["locks"] == 0 and total["held"] == accounts["alice"]["held"] > 1


def test_what_is_declared(tmp_path):
    """A network that is declared familiar is as good as the office."""
    daemon = Gatepost(tmp_path, 25, 'network hotel { addresses = { "203.0.113.0/24" } familiar = yes }')
    path = Life(60).theft(40).write(tmp_path / "rows")
    assert what_if(*LIMITS, path, config=daemon.config)[0] == []
    assert len(what_if(*LIMITS, path)[0]) > 0


def test_said_plainly(tmp_path):
    rows = tmp_path / "rows"
    rows.write_text("%d\talice\tbob@example.net\n" % T0)
    empty, packed = tmp_path / "empty", tmp_path / "packed.gz"
    empty.write_text("nothing\nof interest\n")
    packed.write_bytes(gzip.compress(rows.read_bytes())[:-9])
    for words, error in (([tmp_path / "none"], "none: No such file"), ([tmp_path], "not a file"), ([packed], "packed.gz: can not"),
                         ([empty], "no mail of an account that logged in: 2 lines, 2 of them bad, first %s:1" % empty),
                         ([], "gatepost can not be asked"), (["--price", "nonsense=5", rows], "--price nonsense=5: there is no such price"),
                         (["--nonsense", rows], "--nonsense: not an option")):
        assert error in what_if("--limits", "5/30m", *words, code=1), words
    assert "/nonexistent: No such file or directory (or say --limits)" in what_if(rows, code=1)
    assert "not recipients/time" in what_if("--limits", "5", rows, code=1)


def test_unreadable(tmp_path):
    """As root it drops what it does not need; others have only their own rights."""
    path = tmp_path / "rows"
    path.write_text("%d\talice\tbob@example.net\n" % T0)
    path.chmod(0o600)
    assert what_if("--limits", "5/30m", path)[2]["messages"] == 1
    if os.geteuid() == 0:
        folder = str(tmp_path)
        while folder != "/tmp":
            os.chmod(folder, 0o755)
            folder = os.path.dirname(folder)
        done = subprocess.run(["setpriv", "--reuid=nobody", "--clear-groups", CTL, "-c", "/nonexistent", "what-if", "--limits",
                               "5/30m", str(path)], capture_output=True, text=True)
        assert done.returncode == 1 and "Permission denied" in done.stderr


def test_real_postfix(postfix, tmp_path):
    """The log of a Postfix that lets people log in."""
    users = Dovecot(tmp_path).user("alice@example.org").user("bob@example.org").start()
    postfix.main("smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = dovecot\nsmtpd_sasl_path = %s\n"
                 "smtpd_recipient_restrictions = permit_sasl_authenticated, reject\n"
                 "virtual_alias_maps = inline:{{staff@example.org = u1@example.org, u2@example.org}}" % users.socket)
    postfix.reload()

    def offers_logins():  # an smtpd from before the reload does not
        with smtplib.SMTP("127.0.0.1", postfix.port) as smtp:
            smtp.starttls(context=insecure_context())
            smtp.ehlo()
            return smtp.has_extn("auth")

    def send(user, recipients):
        with smtplib.SMTP("127.0.0.1", postfix.port) as smtp:
            smtp.starttls(context=insecure_context())
            smtp.login(user, PASSWORD)
            smtp.sendmail("alice@example.org", recipients, message("x"))
    try:
        wait_until(offers_logins, "logins")
        send("alice@example.org", names(7) + ["staff@example.org"])
        send("bob@example.org", names(2))
        send("alice@example.org", names(4, 7))
    finally:
        users.done()
    wait_until(lambda: postfix.log().count(": removed") == 3, "three mails delivered")
    zone = os.environ.get("TZ", ":/etc/localtime")
    events, accounts, total = what_if("--limits", "10/30m", "--all", os.path.join(postfix.folder, "maillog"), zone=zone)
    assert [(e["account"], e["used"], e["asked"], e["client"]) for e in events] == [("alice@example.org", 8, 4, "127.0.0.1")]
    assert {name: row["recipients"] for name, row in accounts.items()} == {"alice@example.org": 12, "bob@example.org": 2}
    assert total["messages"] == 3 and total["lowest"] == "12/30m" and "bad_lines" not in total
    assert abs(time.time() - calendar.timegm(time.strptime(total["until"], "%Y-%m-%dT%H:%M:%SZ"))) < 3600


def test_journal(tmp_path, sink):
    """Without a log it is what the daemon has accepted, by its own limits."""
    daemon = Gatepost(tmp_path, sink.port, 'limits = { "100/30m" }\nexempt = { "news@example.org" }').start()
    daemon.account("alice", "news")
    with daemon.client() as smtp:
        for begin in (0, 7):
            smtp.sendmail("alice@example.org", names(7, begin), message("x"))
    with daemon.client("news@example.org") as smtp:
        smtp.sendmail("news@example.org", names(50), message("x"))
    daemon.wait_empty()
    rows = daemon.ctl("journal", rows=True)
    assert [(row["account"], row["count"], len(row["recipients"])) for row in rows] == [
        ("alice@example.org", 7, 7), ("alice@example.org", 7, 7), ("news@example.org", 50, 50)]
    assert daemon.ctl("journal", "--since", "2999-01-01", rows=True) == []
    events, accounts, total = what_if("--all", config=daemon.config)
    assert not events and total["limits"] == "100/30m" and total["lowest"] == "14/30m"
    assert {name: (row["recipients"], row["ruled"]) for name, row in accounts.items()} == {
        "alice@example.org": (14, True), "news@example.org": (50, False)}
    events = what_if("--limits", "10/30m", config=daemon.config)[0]
    assert [(event["account"], event["used"], event["client"]) for event in events] == [("alice@example.org", 7, "127.0.0.1")]
    # People see tables.
    text = daemon.ctl("what-if", "--limits", "10/30m")
    assert "alice@example.org  locked  10/30m  7" in text and "14/30m" in text
    # It needs no daemon, and says so when there is none to ask.
    assert daemon.stop() == 0, daemon.log()[-5000:]
    assert "can not be asked" in what_if(config=daemon.config, code=1)
    path = Log().mail(T0, "alice", names(101)).write(tmp_path / "mail.log")
    events = what_if(path, config=daemon.config)[0]
    assert [(event["account"], event["result"]) for event in events] == [("alice@example.org", "refused")]
