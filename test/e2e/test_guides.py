"""The guides, word for word: their files are written and their commands run on a machine that has a Postfix or an Exim as
Debian ships it, with the old submission ports in use; then a notice goes out and its answer comes back through that MTA.

A fenced block is `conf PATH` (a file) or `sh [NAME]`. Blocks with a name are run where the text says: NAMED below."""
import email
import email.policy
import glob
import mailbox
import os
import re
import shutil
import smtplib
import subprocess

import pytest

from harness import BUILD, Gatepost, PASSWORD, ROOT, certificate, free_port, insecure_context, message, open_path, wait_until
from machine import Machine

# The only blocks whose commands can not be run here; each has one command, and this is what is done instead.
UNRUN = {"systemd": ("systemctl enable --now gatepost", "the daemon is started")}
NAMED = {"relay", "local", "sent", "trial", "answered"} | set(UNRUN)
ANSWERER = "jane@example.org"


def blocks(name):
    """(kind, name or path, text) of each fenced block of a guide."""
    with open(os.path.join(ROOT, "etc", "doc", name)) as f:
        return re.findall(r"^```(\w+) ?(\S*)\n(.*?)^```$", f.read(), re.M | re.S)


def named(guide, name):
    return "".join(text for kind, its, text in blocks(guide) if kind == "sh" and its == name)


class Site:
    """A machine with an MTA behind; `own`: mail.example.org is its own name."""

    def __init__(self, folder, own):
        open_path(folder)
        self.folder, self.own = str(folder), own
        self.machine = Machine(folder, BUILD)
        self.daemon = None
        self.log = os.path.join(self.folder, "gatepost.log")

    def start(self):
        if not self.machine.start():
            pytest.skip("no private mounts and network here: " + self.machine.why)
        run = self.machine.run
        cert, key = certificate(self.folder)
        run("useradd --system gatepost; useradd --create-home --home-dir /var/lib/jane jane; "
            "install -d /etc/gatepost; echo '127.0.0.1 localhost mail.example.org' > /etc/hosts; "
            "printf '%%s\\n' 'postmaster: jane' 'friend: jane' > /etc/aliases; echo example.org > /etc/mailname; "
            "install -m 644 '%s' /etc/gatepost/cert.pem; install -m 640 -g gatepost '%s' /etc/gatepost/key.pem; "
            ": > /etc/resolv.conf; : > /var/mail/jane; chown jane:mail /var/mail/jane; chmod 660 /var/mail/jane" % (cert, key))
        self.mta()

    def block(self, kind, name, text):
        """One block of the guide, as it says."""
        if kind == "conf":
            self.machine.write(name, text)
        elif name in UNRUN:
            assert text == UNRUN[name][0] + "\n"
            self.start_daemon()
        elif not name or name == ("local" if self.own else "relay"):
            self.machine.run(text)

    def follow(self, guide):
        for kind, name, text in blocks(guide):
            assert kind == "conf" or name in NAMED | {""}
            self.block(kind, name, text)

    def start_daemon(self):
        self.daemon = self.machine.spawn("gatepost", self.log)
        wait_until(lambda: "event=started" in self.said(), "a daemon that has started")
        self.machine.run("gatepostctl account add alice@example.org", stdin=PASSWORD + "\n")

    def said(self):
        with open(self.log, errors="replace") as f:
            return f.read()

    def ports(self):
        return {25, 465, 587} & self.machine.listeners()

    def mails(self):
        path = os.path.join(self.folder, "mbox")
        with open(path, "w") as f:
            f.write(self.machine.read("/var/mail/jane"))
        return [email.message_from_bytes(bytes(m), policy=email.policy.default) for m in mailbox.mbox(path)]

    def wait_mail(self, subject):
        def found():
            return [m for m in self.mails() if str(m["Subject"]).startswith(subject)]
        return wait_until(found, "mail to jane: " + subject)[0]

    def send(self, to, subject):
        """As a mail client does, by each of the two ports that were the MTA's."""
        with self.machine.network():
            with smtplib.SMTP_SSL("127.0.0.1", 465, context=insecure_context(), timeout=60) as client:
                client.login("alice@example.org", PASSWORD)
                client.sendmail("alice@example.org", [to], message(subject, to=to))
            with smtplib.SMTP("127.0.0.1", 587, timeout=60) as client:
                client.starttls(context=insecure_context())
                client.login("alice@example.org", PASSWORD)

    def stop(self):
        code = None
        if self.daemon and self.daemon.poll() is None:
            self.daemon.terminate()
            code = self.daemon.wait(120)
        self.machine.stop()
        assert code in (0, None), self.said()[-5000:]

    def check(self, guide):
        """A notice goes out, what is no unlock address is refused, and an answer through the MTA unlocks."""
        self.send("friend@example.org", "through both")
        self.wait_mail("through both")
        self.machine.run(named("postfix.md", "trial"), stdin=PASSWORD + "\n")
        notice = self.wait_mail("Suspended")
        address = email.utils.parseaddr(str(notice["Reply-To"]))[1]
        assert re.fullmatch(r"unlock\+1-[a-z2-7]{26}@mail\.example\.org", address)
        assert self.refuses("nobody-here@mail.example.org")
        with self.machine.network(), smtplib.SMTP("127.0.0.1", 25, timeout=60) as client:
            client.sendmail(ANSWERER, [address], message("Re: Suspended", "UNLOCK\n", sender=ANSWERER, to=address))
        self.wait_mail("Done")
        assert "good" in self.machine.run(named("postfix.md", "answered"))
        # what the MTA has and can not deliver: nobody resolves a name here
        self.send("far@example.net", "too far")
        wait_until(lambda: self.machine.run("gatepostctl relayed alice@example.org --ids").strip().count("\n") == 1, "ids")
        wait_until(self.stuck, "mail that the MTA has not delivered")
        self.machine.run(named(guide, "sent"), check=False)  # Exim complains about what it has delivered
        assert self.held(), self.machine.run("mailq")


class PostfixSite(Site):
    def mta(self):
        """Debian's files, with both submission services on."""
        self.machine.run(
            "cp /usr/share/postfix/master.cf.dist /etc/postfix/master.cf; "
            "sed -i -E '/^#submissions? +inet/,+2s/^#//' /etc/postfix/master.cf; "
            "postconf -e myhostname=%s myorigin=example.org 'mydestination = $myhostname, example.org, localhost' "
            "inet_protocols=ipv4 maillog_file=/var/log/mail.log; newaliases; postfix start"
            % ("mail.example.org" if self.own else "mta.example.net"))
        for port in (25, 465, 587):
            self.machine.wait_listener(port)

    def refuses(self, address):
        with self.machine.network(), smtplib.SMTP("127.0.0.1", 25, timeout=60) as client:
            client.ehlo()
            client.mail(ANSWERER)
            return client.rcpt(address)[0] == 550

    def stuck(self):
        return '"queue_name": "deferred"' in self.machine.run("postqueue -j")

    def held(self):
        return '"queue_name": "hold"' in self.machine.run("postqueue -j")

    def stop(self):
        if self.machine.process and self.machine.process.poll() is None:
            self.machine.run("postfix stop", check=False)
            self.machine.run("cp /var/log/mail.log '%s' || true" % self.folder)
        super().stop()


DEBS = ("exim4-base", "exim4-config", "exim4-daemon-light")
UPDATE = """dc_eximconfig_configtype='internet'
dc_other_hostnames='%s'
dc_local_interfaces=''
dc_readhost=''
dc_relay_domains=''
dc_minimaldns='false'
dc_relay_nets=''
dc_smarthost=''
CFILEMODE='644'
dc_use_split_config='false'
dc_hide_mailname=''
dc_mailname_in_oh='true'
dc_localdelivery='mail_spool'
"""
DEFAULTS = """QUEUERUNNER='combined'
QUEUEINTERVAL='30m'
SMTPLISTENEROPTIONS='-oX 25:465:587 -oP /run/exim4/exim.pid'
"""


def exim_files():
    """Debian's packages, unpacked once: they can not be installed beside Postfix."""
    folder = os.path.join(BUILD, "exim4")
    if not os.path.isdir(os.path.join(folder, "root")):
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        done = subprocess.run(["apt-get", "-qq", "download", *DEBS], cwd=folder, capture_output=True, text=True)
        if done.returncode != 0:
            pytest.skip("Exim can not be downloaded: " + done.stderr.strip()[-200:])
        for deb in glob.glob(os.path.join(folder, "*.deb")):
            subprocess.run(["dpkg", "-x", deb, os.path.join(folder, "unpacked")], check=True)
        os.rename(os.path.join(folder, "unpacked"), os.path.join(folder, "root"))
    return os.path.join(folder, "root")


class EximSite(Site):
    def mta(self):
        """What its packages do at their installation, and 465 and 587 served by the daemon."""
        self.machine.run(
            "cp -a '%s'/etc '%s'/usr '%s'/var /; useradd --system --home-dir /var/spool/exim4 Debian-exim; "
            "install -d -o Debian-exim -g Debian-exim -m 750 /run/exim4 /var/spool/exim4 /var/spool/exim4/db "
            "/var/spool/exim4/input /var/spool/exim4/msglog; install -d -o Debian-exim -g adm -m 2750 /var/log/exim4"
            % ((exim_files(),) * 3))
        self.machine.write("/etc/exim4/update-exim4.conf.conf", UPDATE % "example.org")
        self.machine.write("/etc/default/exim4", DEFAULTS)
        self.machine.write("/etc/exim4/exim4.conf.localmacros", "MAIN_HARDCODE_PRIMARY_HOSTNAME = %s\n"
                           % ("mail.example.org" if self.own else "mta.example.net"))
        self.machine.run("service exim4 start")
        for port in (25, 465, 587):
            self.machine.wait_listener(port)

    def refuses(self, address):
        """As its clients from elsewhere see it; its own machine is asked for nothing."""
        return "failed to verify" in self.machine.run("exim -bv " + address, check=False)

    def stuck(self):
        return "far@example.net" in self.machine.run("exim -bp")

    def held(self):
        return "*** frozen ***" in self.machine.run("exim -bp")


@pytest.mark.parametrize("own", [False, True], ids=["another-name", "its-own-name"])
def test_postfix(tmp_path, own):
    site = PostfixSite(tmp_path, own)
    try:
        site.start()
        site.follow("postfix.md")
        assert site.ports() == {25, 465, 587}
        assert not re.search(r"^sub", site.machine.read("/etc/postfix/master.cf"), re.M)
        site.check("postfix.md")
    finally:
        site.stop()


@pytest.mark.parametrize("own", [False, True], ids=["another-name", "its-own-name"])
def test_exim(tmp_path, own):
    site = EximSite(tmp_path, own)
    try:
        site.start()
        # "the configuration shown there"
        for kind, name, text in blocks("postfix.md"):
            if kind == "conf":
                site.block(kind, name, text)
        site.follow("exim.md")
        site.check("exim.md")
    finally:
        site.stop()


@pytest.mark.parametrize("guide", ["postfix.md", "exim.md"])
def test_all_of_it_is_run(guide):
    """No command hides outside the blocks, and what is not run is on the list above: one command."""
    with open(os.path.join(ROOT, "etc", "doc", guide)) as f:
        text = f.read()
    assert [name for kind, name, _ in blocks(guide) if name in UNRUN] == ["systemd"]
    assert text.count("```") == 2 * len(blocks(guide))
    outside = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    indented = [line for line in outside.splitlines() if line.startswith("    ")]
    assert all("Gatepost --25-->" in line or "----2525-----" in line for line in indented)
    assert re.search(r'"CAUTION: external mail".*stays held', text, re.S)


def indented(guide):
    """The examples of a guide without fences: what stands indented, each between blank lines."""
    with open(os.path.join(ROOT, "etc", "doc", guide)) as f:
        return [re.sub("^    ", "", text, flags=re.M) for text in re.findall(r"(?:^    .*\n)+", f.read(), re.M)]


def test_logins(tmp_path):
    """Every example of the guide about logins: a configuration is taken, a command runs."""
    secret, rules = tmp_path / "ldap.secret", tmp_path / "login_map"
    secret.write_text("a secret\n")
    kinds = {"auth = ": [], "device ": [], "gatepostctl ": [], "# /etc/gatepost/login_map": []}
    for text in indented("logins.md"):
        kind, = (kind for kind in kinds if re.search("^" + kind, text, re.M))
        kinds[kind].append(text)
    assert [len(found) for found in kinds.values()] == [6, 1, 2, 1]
    rules.write_text(kinds["# /etc/gatepost/login_map"][0])
    for text in kinds["auth = "] + kinds["device "]:
        daemon = Gatepost(tmp_path, free_port(), 'login_map = "%s"' % rules)
        with open(daemon.config, "a") as f:
            f.write(text.replace("/etc/gatepost/ldap.secret", str(secret)))
        done = subprocess.run([os.path.join(BUILD, "server", "gatepost"), "-t", "-c", daemon.config], capture_output=True, text=True)
        assert done.returncode == 0 and "good" in done.stdout, (text, done.stderr)
    daemon = Gatepost(tmp_path, free_port()).start().account("alice")
    try:
        for line in "".join(kinds["gatepostctl "]).splitlines():
            daemon.ctl(*line.partition("#")[0].split()[1:])
    finally:
        assert daemon.stop() == 0
