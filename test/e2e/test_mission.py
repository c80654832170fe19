"""The mission, with a real Postfix as the smarthost that delivers the postmaster's mail and hands his answers to the reply
listener; the settings are those of etc/doc/postfix.md. Gatepost is killed and started again between the steps."""
import email
import email.policy
import os
import re
import smtplib
import subprocess
import time

import pytest

from harness import Gatepost, PASSWORD, ROOT, free_port, message, wait_until

POSTMASTER = "postmaster@example.org"
SETTINGS = """
limits = { "500/30m", "2000/24h" }
notice_max = { }
recipients = 500
postmaster = { "postmaster@example.org" }
may_unlock = { "jane@example.org" }
contact = "IT desk, +49 30 1234"
listen reply { address = { "127.0.0.1" } port = %d tls = none role = reply peers = { "127.0.0.1/32" } }
"""


class Mission:
    def __init__(self, folder, postfix):
        self.postfix, self.reply_port = postfix, free_port()
        guide = open(os.path.join(ROOT, "etc", "doc", "postfix.md")).read()
        # the guide's own lines, with this test's port and folder
        route = re.search(r"printf '%s\\n' '(.*)' >", guide).group(1).replace("2525", str(self.reply_port))
        path = os.path.join(postfix.folder, "etc", "transport.regexp")
        with open(path, "w") as f:
            f.write(route + "\n")
        assert "transport_maps = regexp:" in guide
        postfix.main("transport_maps = regexp:%s" % path)
        assert postfix.run("reload").returncode == 0
        self.gatepost = Gatepost(folder, postfix.port, SETTINGS % self.reply_port).start()
        self.gatepost.account("alice", "bob", "jane", "postmaster")

    def kill(self):
        self.gatepost.kill()
        self.gatepost.start()

    def notices(self):
        out = []
        for raw in self.postfix.mails():
            mail = email.message_from_bytes(raw, policy=email.policy.default)
            if str(mail["Auto-Submitted"]) == "auto-generated":
                out.append(mail)
        return sorted(out, key=lambda m: str(m["Message-ID"]))

    def of(self, subject):
        """The notices whose subject begins so, the oldest first."""
        return [n for n in self.notices() if str(n["Subject"]).startswith(subject)]

    def wait(self, subject, count):
        wait_until(lambda: len(self.of(subject)) == count, "%d notices %s" % (count, subject), 120)
        return self.of(subject)

    def count(self, marker):
        return sum(marker.encode() in raw for raw in self.postfix.mails())

    def through_postfix(self, to, sender=POSTMASTER, envelope=None, subject="Re: Suspended", text="", headers=""):
        with smtplib.SMTP("127.0.0.1", self.postfix.port, timeout=60) as smtp:
            smtp.sendmail(sender if envelope is None else envelope, [to],
                          "From: <%s>\r\nTo: <%s>\r\nSubject: %s\r\n%s\r\n%s" % (sender, to, subject, headers, text))

    def suspended(self):
        return self.gatepost.ctl("account", "show", "alice", rows=True)[0]["standing"] == "suspended"

    def answers(self):
        return self.gatepost.log().count("event=answer")


def reply_to(notice):
    return email.utils.parseaddr(str(notice["Reply-To"]))[1]


@pytest.fixture
def mission(tmp_path, postfix):
    mission = Mission(tmp_path, postfix)
    yield mission
    assert mission.gatepost.stop() == 0, mission.gatepost.log()[-5000:]


def many(tag, n):
    return ["%s%d@example.net" % (tag, i) for i in range(n)]


def test_mission(mission):
    gatepost = mission.gatepost
    # 500 recipients through real clients
    common = ["--auth-user", "alice@example.org", "--auth-password", PASSWORD, "--from", "alice@example.org"]
    for i in range(10):
        subprocess.run(["swaks", "--server", "127.0.0.1", "--port", str(gatepost.port), "--tls", "--to",
                        ",".join(many("swaks%d-" % i, 10)), "--header", "Subject: mission swaks"] + common,
                       check=True, capture_output=True)
    mail = os.path.join(gatepost.folder, "mail")
    with open(mail, "w", newline="") as f:
        f.write(message("mission curl"))
    command = ["curl", "-sS", "-k", "--ssl-reqd", "smtp://127.0.0.1:%d/client" % gatepost.port, "--user",
               "alice@example.org:" + PASSWORD, "--mail-from", "alice@example.org", "-T", mail]
    for to in many("curl", 100):
        command += ["--mail-rcpt", to]
    subprocess.run(command, check=True)
    client = gatepost.client(implicit=True)
    for i in range(3):
        client.sendmail("alice@example.org", many("py%d-" % i, 100), message("mission python"))
    other = gatepost.client()
    wait_until(lambda: sum(mission.count("mission " + who) for who in ("swaks", "curl", "python")) == 500, "500 arrivals", 180)
    # the 501st, and the other open session
    client.mail("alice@example.org")
    code, text = client.rcpt("one.more@example.net")
    assert code == 550 and text.startswith(b"5.7.1") and b"IT desk" in text
    client.close()
    wait_until(lambda: other.getreply()[0] == 421, "421 to the other session")
    other.close()
    notice = mission.wait("Suspended", 1)[0]
    mission.kill()
    late = gatepost.client()
    assert late.mail("alice@example.org")[0] == 550
    late.close()
    bob = gatepost.client("bob@example.org")
    bob.sendmail("bob@example.org", ["x@example.net"], message("from bob", sender="bob@example.org"))
    bob.close()
    address = reply_to(notice)
    # machines and bounces do nothing
    before = mission.answers()
    mission.through_postfix(address, headers="Auto-Submitted: auto-replied\r\n", subject="Out of office", text="I am away.\r\n")
    mission.through_postfix(address, envelope="", text="Your message could not be delivered.\r\n")
    wait_until(lambda: mission.answers() == before + 2, "two answers")
    assert mission.suspended()
    mission.kill()
    # strangers and wrong tokens neither
    mission.through_postfix(address, sender="mallory@example.com", text="UNLOCK\r\n")
    mission.wait("Not done", 1)
    assert mission.suspended()
    # the postmaster's answer, whose case a gateway has changed
    mission.through_postfix(address.upper(), text="unlock\r\n\r\n> The account alice@example.org was suspended\r\n")
    wait_until(lambda: not mission.suspended(), "the unlock")
    mission.wait("Done", 1)
    mission.kill()
    assert not mission.suspended()
    alice = gatepost.client()
    alice.sendmail("alice@example.org", ["again@example.net"], message("mission again"))
    alice.close()
    wait_until(lambda: mission.count("mission again") == 1, "mail after the unlock")
    # a second answer does nothing
    mission.through_postfix(address, text="SPAM\r\n")
    time.sleep(1)
    assert not mission.suspended()
    assert len(mission.of("Suspended")) == 1


def test_held_mail_through_submission(mission):
    """Postfix is stopped for a moment: what is queued is held, and goes by the word of a login that may."""
    gatepost = mission.gatepost
    gatepost.ctl("account", "limit", "alice", "5/30m")
    mission.postfix.stop()
    client = gatepost.client()
    for i in range(5):
        client.sendmail("alice@example.org", ["held%d@example.net" % i], message("mission held"))
    client.mail("alice@example.org")
    assert client.rcpt("x@example.net")[0] == 550
    client.close()
    mission.kill()
    wait_until(lambda: [e["state"] for e in gatepost.queue() if e["account"]] == ["held"] * 5, "held mail")
    mission.postfix.start()
    address = reply_to(mission.wait("Suspended", 1)[0])
    assert mission.count("\nSubject: mission held") == 0
    jane = gatepost.client("jane@example.org")
    jane.sendmail("jane@example.org", [address, "friend@example.net"],
                  message("Re: Suspended", "Thanks, I have looked at it.\n", sender="jane@example.org"))
    jane.close()
    wait_until(lambda: not mission.suspended(), "the unlock")
    # no word: held mail stays, and the other recipient has the mail
    assert [e["state"] for e in gatepost.queue() if e["account"] == "alice@example.org"] == ["held"] * 5
    wait_until(lambda: mission.count("I have looked at it") == 1, "the mail to the friend")
    gatepost.ctl("queue", "release", "alice@example.org")
    wait_until(lambda: mission.count("\nSubject: mission held") == 5, "released mail", 120)
    ids = gatepost.ctl("relayed", "alice", "--ids").split()
    assert len(ids) == 5 and all(i in mission.postfix.log() for i in ids)


WORDS = [  # what the answer says, suspended afterwards, held mail afterwards
    ("unlock", "UNLOCK", False, 0), ("yes", "Yes!", False, 0), ("nothing", "", False, 0), ("keep", "KEEP", False, 1),
    ("other", "Thank you, I call him.", False, 1), ("discard", "DISCARD", False, 0), ("spam", "Spam", True, 0),
    ("no", "NO", True, 1),
]


def test_every_word(mission):
    """Each word by both ways, through Postfix in a case that a gateway has changed; wrong answers before it change nothing.
    A kill between all steps."""
    gatepost = mission.gatepost
    users = {"%s-%s" % (name, way): (way, *row) for name, *row in WORDS for way in ("mta", "submission")}
    gatepost.account(*users)
    mission.postfix.stop()
    for user in users:
        client = gatepost.client(user + "@example.org")
        client.sendmail(user + "@example.org", ["x@example.net"], message("words " + user, sender=user + "@example.org"))
        client.close()
        gatepost.ctl("account", "suspend", user)
    mission.kill()
    mission.postfix.start()
    notices = {re.search(r"account (\S+)@", n.get_content()).group(1): n for n in mission.wait("Suspended", len(users))}

    def state(user):
        account = user + "@example.org"
        return (gatepost.ctl("account", "show", account, rows=True)[0]["standing"] == "suspended",
                len([e for e in gatepost.queue() if e["account"] == account]))

    for user, (way, word, suspended, held) in users.items():
        address = reply_to(notices[user])
        wrong = re.sub(r"(.)@", lambda m: ("b" if m.group(1) == "a" else "a") + "@", address)
        before = mission.answers()
        mission.through_postfix(wrong, text="UNLOCK\r\n")
        mission.through_postfix(address, sender="eve@example.com", text="UNLOCK\r\n")
        bob = gatepost.client("bob@example.org")  # who says that he is the postmaster
        bob.sendmail("bob@example.org", [address], message("Re: it", "UNLOCK\n", sender=POSTMASTER))
        bob.close()
        wait_until(lambda: mission.answers() == before + 3, "three answers")
        assert state(user) == (True, 1), user
        mission.kill()
        if way == "mta":
            mission.through_postfix(address.upper(), text=word + "\r\n\r\n> Reply with a word\r\n")
        else:
            jane = gatepost.client("jane@example.org")
            jane.sendmail("jane@example.org", [address], message("Re: it", word + "\n", sender="jane@example.org"))
            jane.close()
        wait_until(lambda: mission.answers() == before + 4, "the answer to the notice about " + user)
        mission.kill()
        wait_until(lambda: state(user) == (suspended, held), "the end that %s asks for" % user)
    for user, (_, _, suspended, held) in users.items():
        released = not suspended and not held and "discard" not in user
        # a kill between Postfix's 250 and our record of it sends once more
        wait_until(lambda: (mission.count("Subject: words %s\n" % user) > 0) == released, "what was held of " + user)
    assert len(mission.of("Suspended")) == len(users)
