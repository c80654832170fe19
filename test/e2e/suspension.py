"""A daemon that suspends, the sink that gets its notices, and those who answer them."""
import email
import email.policy
import smtplib

from harness import Gatepost, Sink, free_port, message, wait_until

POSTMASTER = "postmaster@example.org"
SETTINGS = """
limits = { "5/30m", "2000/24h" }
postmaster = { "postmaster@example.org" }
may_unlock = { "jane@example.org", "*@it.example.org" }
contact = "IT desk, +49 30 1234"
listen reply { address = { "127.0.0.1" } port = %d tls = none role = reply peers = { "127.0.0.1/32" } }
"""


class Site:
    """A daemon that suspends, with the sink behind it and the reply listener in front."""

    def __init__(self, folder, extra="", drop="-"):
        """`drop`: the key of SETTINGS that is left out."""
        self.reply_port = free_port()
        self.sink = Sink(folder).start()
        settings = [line for line in (SETTINGS % self.reply_port).splitlines(True) if not line.startswith(drop)]
        self.gatepost = Gatepost(folder, self.sink.port, "".join(settings) + extra).start()
        self.gatepost.account("alice", "bob", "jane", "postmaster", "mallory")

    def stop(self):
        code = self.gatepost.stop()
        self.sink.stop()
        assert code == 0, self.gatepost.log()[-5000:]

    def send(self, user="alice@example.org", to=("bob@example.net",), subject="hello", text="Hello.\n"):
        client = self.gatepost.client(user)
        try:
            return client.sendmail(user, list(to), message(subject, text, sender=user))
        finally:
            client.close()

    def trip(self, user="alice@example.org"):
        """Spends the budget, then one more: the reply of that one."""
        self.send(user, ["u%d@example.net" % i for i in range(5)], "cheap watches")
        client = self.gatepost.client(user)
        client.mail(user)
        reply = client.rcpt("one.more@example.net")
        client.close()
        return reply

    def notices(self, word="stopped"):
        """The notices that the sink has, parsed, without the envelope lines."""
        out = []
        for raw in self.sink.mails():
            head, _, rest = raw.partition(b"\n")
            if b"<>" not in head:
                continue
            while rest.startswith(b"X-Envelope-To"):
                rest = rest.partition(b"\n")[2]
            out.append(email.message_from_bytes(rest, policy=email.policy.default))
        return out

    def notice(self, count=1):
        wait_until(lambda: len(self.notices()) >= count, "notice %d" % count)
        return self.notices()[count - 1]

    def suspended(self, user="alice@example.org"):
        return self.gatepost.ctl("account", "show", user, rows=True)[0]["standing"] == "suspended"

    def answer(self, address, sender=POSTMASTER, envelope=None, subject="Re: stopped", text="", headers=""):
        """An answer as the site's MTA hands it in."""
        with smtplib.SMTP("127.0.0.1", self.reply_port, timeout=30) as smtp:
            smtp.ehlo("mta.example.org")
            assert smtp.mail(sender if envelope is None else envelope)[0] == 250
            code = smtp.rcpt(address)[0]
            if code != 250:
                return code
            return smtp.data("From: <%s>\r\nTo: <%s>\r\nSubject: %s\r\n%s\r\n%s" % (
                sender, address, subject, headers, text.replace("\n", "\r\n")))[0]


def reply_to(notice):
    return email.utils.parseaddr(str(notice["Reply-To"]))[1]
