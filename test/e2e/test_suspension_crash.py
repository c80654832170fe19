"""HL15, HL21, UN18: killed at every named point of a suspension, its notice and its end, one at a time and under load:
all of it or nothing of it (hooks build)."""
import collections
import email
import email.policy
import os
import random
import re
import smtplib
import subprocess
import threading
import time

import pytest

from harness import BUILD, PASSWORD, wait_until
from parallel import Session
from test_crash import IN_FLIGHT, Load, Oracle, all_got, doubles
from test_suspension import Site, reply_to

# The start itself commits: the first of those are not ours.
POINTS = ["%s:%d" % (name, number) for name, numbers in (
    ("suspend-before", (1,)), ("suspend-after", (1,)), ("unlock-before", (1,)), ("unlock-after", (1,)), ("sweep", (1, 2)),
    ("commit-before", (3, 4, 5, 6, 7, 8)), ("commit-after", (3, 4, 5, 6, 7, 8)),
    ("done-before", (1, 2, 4, 6)), ("done-after", (1, 2, 4, 6))) for number in numbers]
LONG = os.environ.get("GATEPOST_LONG", "0") != "0"
ROUNDS = 4 if LONG else 1
LONG_QUEUE = 1100  # more than is swept in the commit of the act itself (200) and in one more (500)


def again(site, **env):
    """The daemon is killed, if it is not dead yet, and started again."""
    site.gatepost.kill()
    site.deaths.append(int(time.monotonic() * 1000))
    site.gatepost.start(**env)


def attempt(step):
    """A step that the daemon may not survive."""
    try:
        return step()
    except (smtplib.SMTPException, OSError, AssertionError):
        return None


def trip(site):
    """Mails of one recipient until one is refused: its code."""
    client = site.gatepost.client("alice@example.org")
    code = 250
    for i in range(7):
        client.mail("alice@example.org")
        code = client.rcpt("x%d@example.net" % i)[0]
        if code != 250:
            break
        client.data("Subject: x\r\n\r\nx\r\n")
    client.close()
    return code


class Mails:
    """What the sink has of notices, read as it grows: (word, account, case) -> [the mail, ...]."""

    def __init__(self, sink):
        self.folder, self.seen, self.notices = os.path.join(sink.maildir, "new"), set(), collections.defaultdict(list)
        self.lock = threading.Lock()

    def read(self):
        with self.lock:
            for name in set(os.listdir(self.folder)) - self.seen:
                self.seen.add(name)
                with open(os.path.join(self.folder, name), "rb") as f:
                    if f.readline().rstrip() == b"X-Envelope-From: <>":
                        self.note(f.read())
            return self.notices

    def note(self, raw):
        to, _, raw = raw.partition(b"\n")
        if b"<postmaster@example.org>" not in to:
            return  # a delay is told to its sender: days pass in this test
        mail = email.message_from_bytes(raw, policy=email.policy.default)
        word, account, case = re.fullmatch(r"(.*): (\S+) \(case (\d+)\)", str(mail["Subject"])).groups()
        self.notices[word, account, int(case)].append(mail)


def settle(site):
    """Time for what follows the commit: notice, sweep, results; or for the death, of which it tells."""
    end = time.monotonic() + 3
    while time.monotonic() < end and not attempt(lambda: not site.gatepost.queue()) and site.gatepost.process.poll() is None:
        time.sleep(0.02)
    time.sleep(0.1)
    return site.gatepost.process.poll() is not None


@pytest.mark.parametrize("point", POINTS)
def test_killed_at(tmp_path, point):
    site = Site(tmp_path)
    site.deaths, site.told = [], Mails(site.sink)
    try:
        assert sum(one_life(site, point) for _ in range(ROUNDS)) > 0, "the place was not reached"
    finally:
        site.stop()


def fill(site):
    """So much queued mail that a sweep takes further commits; the budget is spent to the last of it."""
    site.sink.stop()
    site.gatepost.ctl("account", "limit", "alice", "%d/30m" % LONG_QUEUE)
    done = subprocess.run([BUILD + "/test/bench/submit", "--port", str(site.gatepost.tls_port), "--implicit", "--user",
                           "alice@example.org", "--pass", PASSWORD, "--messages", str(LONG_QUEUE), "--clients", "8",
                           "--reuse", "1000", "--pipelining", "--size", "10"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def one_life(site, kill):
    """How often it died at the place."""
    known = told(site)
    if kill.startswith("sweep"):
        fill(site)
    assert site.gatepost.status()["suspended"] == 0
    again(site, GATEPOST_KILL=kill)
    attempt(lambda: trip(site))
    died = settle(site)
    again(site)
    if site.sink.process is None:
        wait_until(lambda: {e["state"] for e in site.gatepost.ctl("queue", "list", "alice", rows=True)} == {"held"}, "all held")
        site.sink.start()
    if not site.suspended():
        # nothing of it: no incident, no notice; the next one trips
        assert site.gatepost.status()["suspended"] == 0
        assert told(site) == known
        assert trip(site) == 550
    assert site.gatepost.status()["suspended"] == 1
    case = "Suspended", "alice@example.org", len(known) // 2 + 1
    wait_until(lambda: told(site) == known | {case}, "the notice")
    address = reply_to(site.told.read()[case][0])
    again(site, GATEPOST_KILL=kill)
    attempt(lambda: site.answer(address, text="UNLOCK\n"))
    died += settle(site)
    again(site)
    if site.suspended():
        # nothing of it: the token is good
        assert told(site) == known | {case}
        assert site.answer(address, text="UNLOCK\n") == 250
    assert not site.suspended()
    both = known | {case, ("Done", *case[1:])}
    wait_until(lambda: told(site) == both, "the confirmation")
    again(site)
    time.sleep(0.3)
    # again only what a kill found between its 250 and our record
    assert told(site) == both
    doubles(all_got(site.sink), site.deaths)
    # What was noted as trips must not turn the reply way off for the next round; the clock is kept by the next commit.
    site.gatepost.ctl("clock", str(25 * 3600 * 1000))
    site.gatepost.ctl("account", "reset", "alice")
    site.gatepost.wait_empty()
    return died


def told(site):
    """What the postmaster knows."""
    return {key for key, mails in site.told.read().items() if mails}


# ---- under load ----

KILLS = 200 if LONG else 60
THIEVES = 6
THREADS = 3
PLACES = [(name, most) for name, most in (
    ("suspend-before", 3), ("suspend-after", 3), ("unlock-before", 3), ("unlock-after", 3),
    ("commit-before", 60), ("commit-after", 60), ("done-before", 40), ("done-after", 40))]


class Thief:
    """Sends until it is stopped; is unlocked, by a reply or by hand; sends again. What it was told is written down."""

    def __init__(self, storm, number):
        self.storm, self.name = storm, "thief%d@example.org" % number
        self.acked, self.refused, self.count = set(), set(), 0
        self.case, self.still = 0, set()  # by which it is suspended, and what of it was at the sink then

    def step(self):
        if self.storm.suspended_by(self.name):
            self.unlock(self.storm.suspended_by(self.name))
        else:
            self.trip()

    def trip(self):
        session = Session(self.storm.daemon, self.name)
        for _ in range(7):
            replies = session.group("MAIL FROM:<%s>" % self.name, "RCPT TO:<x@example.net>", "DATA")
            if replies[2][0] != 354:
                break
            self.count += 1
            mail = "<%d.%s>" % (self.count, self.name)
            session.send("Message-ID: %s\r\nSubject: x\r\n\r\nx\r\n.\r\n" % mail)
            (self.acked if session.reply()[0] == 250 else self.refused).add(mail)
        session.drop()

    def unlock(self, case):
        """What the notice offers, or the command line; an answer that was taken has ended it."""
        key = "Suspended", self.name, case
        wait_until(lambda: self.storm.mails.read()[key] or self.storm.dead(), "the notice of case %d" % case)
        if self.storm.dead():
            return
        if self.case == case:
            assert self.storm.there(self.name) == self.still, "mail of %s has left while it was suspended" % self.name
        notice = self.storm.mails.read()[key][0]
        if notice["Reply-To"] is not None and self.storm.dice.random() < 0.6:
            if self.storm.site.answer(reply_to(notice), text="UNLOCK\n") == 250:
                self.storm.by_reply += 1
                standing = self.storm.daemon.ctl("account", "show", self.name, rows=True)[0]["standing"]
                assert standing == "good" or self.storm.dead(), "a reply did not count"
        elif self.storm.daemon.ctl("account", "unlock", self.name, check=False).returncode == 0:
            self.storm.by_hand += 1

    def check(self):
        """Behind a restart, while nobody else touches it: suspended, or good, and all that belongs to it."""
        case, mails = self.storm.suspended_by(self.name), self.storm.mails
        daemon = self.storm.daemon
        assert (daemon.ctl("account", "show", self.name, rows=True)[0]["standing"] == "suspended") == bool(case)
        if case:
            states = lambda: {e["state"] for e in daemon.ctl("queue", "list", self.name, rows=True)}  # noqa: E731
            wait_until(lambda: states() <= {"held"}, "all of it is held")
            wait_until(lambda: mails.read()["Suspended", self.name, case], "its notice")
            assert not mails.read()["Done", self.name, case]
            self.storm.held += len(daemon.ctl("queue", "list", self.name, rows=True))
        self.case, self.still = case, self.storm.there(self.name) if case else set()
        for word, name, ended in list(mails.read()):
            if word == "Suspended" and name == self.name and ended != case:
                wait_until(lambda: mails.read()["Done", name, ended], "the confirmation of case %d" % ended)
        return case


class Storm:
    def __init__(self, site, seed):
        self.site, self.daemon, self.dice = site, site.gatepost, random.Random(seed)
        self.mails, self.deaths, self.hits = Mails(site.sink), [], collections.Counter()
        self.thieves = [Thief(self, n) for n in range(THIEVES)]
        self.by_reply = self.by_hand = self.held = 0
        self.wrong = []

    def dead(self):
        return self.daemon.process is None or self.daemon.process.poll() is not None

    def suspended_by(self, name):
        """The case, as `why` says it; 0 when it is good."""
        done = self.daemon.ctl("account", "why", name, check=False)
        case = re.search(r"case (\d+)", done.stdout)
        assert case or "is not suspended" in done.stderr, done
        return int(case.group(1)) if case else 0

    def there(self, name):
        """Which mails of a thief the sink has."""
        return {got.id for got in all_got(self.site.sink) if got.id.endswith("." + name + ">")}

    def act(self, thieves):
        """Until the daemon is dead; what failed while it lived was wrong."""
        while not self.dead():
            for thief in thieves:
                try:
                    thief.step()
                except (smtplib.SMTPException, OSError, AssertionError) as failure:
                    # The kill is by now, or the process is just about to be reaped.
                    time.sleep(0.2)
                    if not self.dead():
                        self.wrong.append((thief.name, repr(failure)))

    def life(self, place, most):
        """Thieves come and go until it dies, at the place or (place None) at any moment."""
        kill = {"GATEPOST_KILL": "%s:%d" % (place, self.dice.randint(1, most))} if place else {}
        self.start(**kill)
        threads = [threading.Thread(target=self.act, args=(self.thieves[n::THREADS],)) for n in range(THREADS)]
        [thread.start() for thread in threads]
        try:
            self.daemon.process.wait(20 if place else self.dice.uniform(0.2, 2))
            self.hits[place] += 1
        except subprocess.TimeoutExpired:
            self.hits[None] += 1
            self.daemon.process.kill()
            self.daemon.process.wait()
        self.deaths.append(int(time.monotonic() * 1000))
        [thread.join() for thread in threads]
        assert not self.wrong, self.wrong

    def start(self, **env):
        """Until it serves; or it is dead already, at a place in its own start."""
        try:
            self.daemon.start(**env)
        except RuntimeError:
            assert env, self.daemon.log()[-3000:]

    def check(self):
        """Honest mail goes on meanwhile; then it is killed again, at rest as to suspensions."""
        self.start()
        cases = [thief.check() for thief in self.thieves]
        assert self.daemon.status()["suspended"] == sum(case > 0 for case in cases)
        # a reply counts when there were less than three trips in a day
        self.daemon.ctl("clock", str(25 * 3600 * 1000))
        time.sleep(self.dice.uniform(0, 0.3))
        self.daemon.kill()
        self.hits["at rest"] += 1
        self.deaths.append(int(time.monotonic() * 1000))

    def run(self, kills):
        self.daemon.kill()
        places = PLACES + [(None, 0)] * 2
        while len(self.deaths) < kills:
            for place, most in self.dice.sample(places, len(places)):
                self.life(place, most)
                self.check()

    def finish(self):
        self.start()
        for thief in self.thieves:
            self.daemon.ctl("account", "unlock", thief.name, check=False)


def judge_storm(storm, load):
    """The oracle of honest mail; thieves' mail, all that was answered 250 and nothing that was refused; and each case has
    one notice and one confirmation."""
    rows = all_got(storm.site.sink)
    doubled = doubles(rows, storm.deaths)
    assert max(doubled.values(), default=0) <= IN_FLIGHT
    oracle = Oracle([load], storm.site.sink, storm.deaths)
    oracle.got = [got for got in rows if got.id.endswith("@bench.example>")]
    oracle.i1_nothing_is_lost()
    oracle.i2_nothing_is_partial_or_made_up()
    there = {got.id for got in rows}
    for thief in storm.thieves:
        assert thief.acked <= there, "%s: answered 250 and lost" % thief.name
        assert not thief.refused & there, "%s: refused and relayed" % thief.name
    notices = storm.mails.read()
    of = {word: sorted(case for w, _, case in notices if w == word and notices[w, _, case]) for word in ("Suspended", "Done")}
    assert of["Suspended"] == list(range(1, len(of["Suspended"]) + 1)), "each case has its number, account and notice"
    assert of["Done"] == of["Suspended"]
    for key, mails in notices.items():
        assert key[0] == "Not done" or len({str(mail["Message-ID"]) for mail in mails}) <= 1, key
    twice = sum(len(mails) - 1 for key, mails in notices.items() if mails and key[0] != "Not done")
    assert len(oracle.acked) > len(storm.deaths) and len(of["Suspended"]) > len(storm.deaths) // 6
    return ("storm: %d kills %s; %d honest mails with their 250, %d of thieves; %d cases, ended %d times by reply and %d by "
            "hand; %d times held; relayed twice: %d, of which notices and confirmations: %d" % (
                len(storm.deaths), dict(storm.hits), len(oracle.acked), sum(len(t.acked) for t in storm.thieves),
                len(of["Suspended"]), storm.by_reply, storm.by_hand, storm.held, sum(doubled.values()), twice))


def test_under_load(tmp_path, capsys):
    """Honest accounts send all the time, thieves trip and are unlocked, by reply and by hand, and the kill comes at each
    named place and at any moment."""
    seed = random.randrange(1 << 32)
    site = Site(tmp_path, 'limits = { "10000000/30m" }\nerrors = 1000\nlifetime = 31d\n')
    site.sink.stop()
    site.sink.options = ["--fail", "20", "--delay", "20"]
    site.sink.start()
    storm = Storm(site, seed)
    load = None
    try:
        site.gatepost.account(*["user%d" % n for n in range(1, 5)], *[thief.name for thief in storm.thieves])
        for thief in storm.thieves:
            site.gatepost.ctl("account", "limit", thief.name, "5/30m")
        load = Load(site.gatepost, "honest", "--clients", "8", "--size", "2000", "--recipients", "2", "--reuse", "5",
                    "--pipelining", "--pause", "150")
        storm.run(KILLS)
        storm.finish()
        load.stop()
        site.sink.stop()
        site.sink.options = []
        site.sink.start()
        site.gatepost.wait_empty(120)
        with capsys.disabled():
            print(judge_storm(storm, load) + "; seed %d" % seed)
        for place, _ in PLACES:
            assert storm.hits[place], "never died at %s" % place
        log = site.gatepost.log()
        assert "Sanitizer" not in log and "runtime error" not in log, log[-10000:]
    finally:
        if load:
            load.process.kill()
        site.stop()
