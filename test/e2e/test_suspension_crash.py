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
from parallel import Session, together
from suspension import POSTMASTER, Site, reply_to
from test_crash import IN_FLIGHT, USERS, Load, Oracle, all_got, doubles, empty_queue

# The start itself commits: the first of those are not ours.
POINTS = ["%s:%d" % (name, number) for name, numbers in (
    ("suspend-before", (1,)), ("suspend-after", (1,)), ("unlock-before", (1,)), ("unlock-after", (1,)), ("sweep", (1, 2)),
    ("commit-before", (3, 4, 5, 6, 7, 8)), ("commit-after", (3, 4, 5, 6, 7, 8)),
    ("done-before", (1, 2, 3, 4)), ("done-after", (1, 2, 3, 4))) for number in numbers]
LONG = os.environ.get("GATEPOST_LONG", "0") != "0"
ROUNDS = 4 if LONG else 1
TRIES = 6  # lives: how many results go into one commit is not ours to say, and with few commits the last is not reached
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
        deaths = [one_life(site, point) for _ in range(ROUNDS)]
        while not any(deaths) and len(deaths) < TRIES:
            deaths.append(one_life(site, point))
        assert any(deaths), "the place was not reached"
    finally:
        site.stop()


def submit_queue(site, user, *options):
    """So much that a sweep takes further commits, while nobody takes it."""
    site.gatepost.ctl("account", "limit", user, "%d/30m" % LONG_QUEUE)
    done = subprocess.run([BUILD + "/test/bench/submit", "--port", str(site.gatepost.tls_port), "--implicit", "--user", user,
                           "--pass", PASSWORD, "--messages", str(LONG_QUEUE), "--clients", "8", "--reuse", "1000",
                           "--pipelining", "--size", "10", *options], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def one_life(site, kill):
    """How often it died at the place."""
    known = told(site)
    if kill.startswith("sweep"):
        site.sink.stop()
        submit_queue(site, "alice@example.org")  # the budget is spent to the last of it
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

KILLS = 300 if LONG else 60
THIEVES = 4
ACCOUNTS = 2 * KILLS  # of each thief: one is stopped once
PAUSE = (0.1, 1.5)  # a life that ends at no place of the code, in seconds
# Where, how many of a hundred, and the latest time of its being reached.
PLACES = [("suspend-before", 14, 5), ("suspend-after", 14, 5), ("unlock-before", 14, 5), ("unlock-after", 14, 5),
          ("commit-before", 11, 150), ("commit-after", 11, 150), ("done-before", 6, 60), ("done-after", 6, 60),
          (None, 10, 0)]


def fnv64(data):
    value = 14695981039346656037
    for byte in data:
        value = (value ^ byte) * 1099511628211 % (1 << 64)
    return value


def milliseconds():
    """The clock of the sink's journal."""
    return int(time.monotonic() * 1000)


class Gone(OSError):
    """The daemon is no more."""


class Thief:
    """Spends the budget of an account until it is stopped, and is let go again: by a reply, or by hand. Then the next one.
    What it was told is written down, and must be so after the kill."""

    def __init__(self, number, site):
        self.number, self.site = number, site
        self.journal_path = os.path.join(site.gatepost.folder, "thief%d.journal" % number)
        self.journal = open(self.journal_path, "w")
        self.done, self.sent, self.since = [], 0, 0
        self.state, self.account = "trying", self.name(0)

    def name(self, n):
        return "t%d-%d@example.org" % (self.number, n)

    def note(self, mark, identity):
        body = identity + "\r\n"
        self.journal.write("%s%s %016x 1 %s\n" % (mark, identity, fnv64(body.encode()), self.account))
        self.journal.flush()

    def stopped(self, since):
        self.state, self.since = "stopped", since

    def let_go(self):
        self.done.append(self.account)
        self.state, self.account = "trying", self.name(len(self.done))

    def learn(self, suspended):
        """What became of it, after a kill."""
        assert suspended or self.state != "stopped", "%s: nobody let it go" % self.account
        if suspended:
            self.stopped(self.site.deaths[-1])
        elif self.state == "ending":
            self.let_go()

    def live(self):
        """As long as the daemon does."""
        try:
            while len(self.done) < ACCOUNTS:
                self.trip() if self.state == "trying" else self.end()
        except OSError:
            pass  # of which smtplib's are some

    def trip(self):
        session = Session(self.site.gatepost, self.account)
        try:
            while self.send(session):
                pass
        finally:
            session.drop()
        self.stopped(milliseconds())

    def send(self, session):
        """False when the account is stopped."""
        said = session.group("MAIL FROM:<%s>" % self.account, "RCPT TO:<x@example.net>", "DATA")
        if said[1][0] == 550:
            assert "case" in said[1][1], said
            return False
        assert [code for code, _ in said] == [250, 250, 354], said
        self.sent += 1
        identity = "<%s/%d@thief.example>" % (self.account, self.sent)
        self.note("? ", identity)
        session.send("From: <%s>\r\nMessage-ID: %s\r\n\r\n%s\r\n.\r\n" % (self.account, identity, identity))
        code, text = session.reply()
        assert code == 250, text
        self.note("", identity)
        return True

    def nothing_leaves(self):
        late = [got for got in all_got(self.site.sink)
                if got.id.startswith("<%s/" % self.account) and got.opened > self.since]
        assert not late, "on links opened while it was stopped: %s" % late

    def notice(self):
        wait_until(lambda: self.site.dead() or self.account in self.site.told("Suspended"), "its notice")
        if self.site.dead():
            raise Gone()
        return self.site.told("Suspended")[self.account][0]

    def end(self):
        notice = self.notice()
        self.nothing_leaves()
        self.state = "ending"
        if len(self.done) % 2:
            by_hand(self.site.gatepost, "unlock", self.account)
        else:
            assert self.site.answer(reply_to(notice), text="UNLOCK\n") == 250
        self.let_go()


def by_hand(daemon, *words):
    done = daemon.ctl("account", *words, check=False)
    if done.returncode != 0:
        wait_until(lambda: daemon.process.poll() is not None, "it failed because the daemon died: " + done.stderr)
        raise Gone()


class LongThief(Thief):
    """One whose queue is long, with everything done by hand: killed in the middle of what takes more than one commit."""

    def name(self, n):
        return "long-%d@example.org" % n

    def fill(self):
        submit_queue(self.site, self.account, "--lossy", "--journal", self.journal_path)

    def trip(self):
        by_hand(self.site.gatepost, "suspend", self.account)
        self.stopped(milliseconds())

    def end(self):
        self.nothing_leaves()
        self.state = "ending"
        by_hand(self.site.gatepost, "unlock", self.account)
        self.let_go()


class Crowd(Site):
    """Honest accounts that send all the time, thieves among them, and a smarthost that is neither quick nor faultless."""

    def __init__(self, folder, seed):
        super().__init__(folder, "errors = 1000\nsuspend_max = { }\nnotice_max = { }\n")
        self.folder, self.dice, self.deaths, self.loads = folder, random.Random(seed), [], []
        self.hits = collections.Counter()
        self.sink.options = ["--fail", "8", "--delay", "20"]
        self.mails = Mails(self.sink)
        self.sink.stop()
        self.thieves = [Thief(n, self) for n in range(THIEVES)]
        self.long = LongThief(THIEVES, self)
        self.everyone = [*self.thieves, self.long]
        self.open_accounts()

    def open_accounts(self):
        honest = ["user%d@example.org" % (n + 1) for n in range(USERS)] + [self.long.account]
        path = str(self.folder / "passwd")
        with open(path, "w") as f:
            for name in honest + [t.name(n) for t in self.thieves for n in range(ACCOUNTS)]:
                f.write("%s:{PLAIN}%s\n" % (name, PASSWORD))
        self.gatepost.ctl("account", "import", "passwd-file", path)
        for name in honest:
            self.gatepost.ctl("account", "limit", name, "10000000/30m")

    def load(self):
        """It gives up when the daemon is away for long: then there is another."""
        if not self.loads or self.loads[-1].process.poll() is not None:
            self.loads.append(Load(self.gatepost, "honest%d" % len(self.loads), "--clients", "6", "--size", "2000",
                                   "--recipients", "2", "--reuse", "5", "--pipelining", "--pause", "40"))

    # ---- a life ----

    def dead(self):
        return self.gatepost.process.poll() is not None

    def start(self, env):
        """False when it died in its own start."""
        try:
            self.gatepost.start(**env)
        except RuntimeError:
            assert env and self.gatepost.process.poll() == -9, self.gatepost.log()[-3000:]
            return False
        self.load()
        return True

    def end_life(self, seconds):
        """By its own hand at a place of the code, or by ours: true when it was its own."""
        process = self.gatepost.process
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return False
        assert process.returncode == -9, self.gatepost.log()[-5000:]
        return True

    def live(self, thieves, place, seconds):
        """One life: what the last one left is looked at, then all go on until it ends."""
        env = {"GATEPOST_KILL": place} if place else {}
        if not (self.start(env) and self.look()):
            thieves = []
        deeds = [lambda: self.end_life(seconds)] + [thief.live for thief in thieves]
        there = together(len(deeds), lambda n: deeds[n]())[0]
        self.gatepost.kill()
        self.deaths.append(milliseconds())
        self.hits[place.partition(":")[0] if place and there else "anywhere"] += 1

    # ---- what must be so after each ----

    def look(self):
        """False when it died meanwhile: then the next life shows what there is."""
        try:
            rows = self.gatepost.ctl("account", "list", rows=True)
            counted = self.gatepost.status()["suspended"]
            queue = self.gatepost.queue()
        except (AssertionError, IndexError, ValueError):
            wait_until(self.dead, "gatepostctl failed because the daemon died")
            return False
        suspended = {row["account"] for row in rows if row["standing"] == "suspended"}
        for thief in self.everyone:
            thief.learn(thief.account in suspended)
        # the ledgers, the incidents, the queue, and what the clients were told
        assert suspended == {thief.account for thief in self.everyone if thief.state == "stopped"}
        assert counted == len(suspended)
        for entry in queue:
            if entry["account"] and not entry["account"].startswith("long"):
                assert (entry["state"] == "held") == (entry["account"] in suspended), entry
        return self.swept() and (self.sink.process is None or self.all_told(suspended))

    def swept(self):
        """A long queue takes its time."""
        account, state = self.long.name(0), "ready" if self.long.done else "held"
        if self.long.state == "trying" and not self.long.done:
            return True
        wait_until(lambda: self.dead() or {e["state"] for e in self.entries(account)} <= {state}, "the sweep has ended")
        return not self.dead()

    def entries(self, account):
        return self.gatepost.ctl("queue", "list", account, rows=True, check=False)

    def told(self, word):
        """Of each account the mails of which this is the word."""
        told = collections.defaultdict(list)
        for (first, account, _), mails in list(self.mails.read().items()):
            if first == word:
                told[account] += mails
        return told

    def all_told(self, suspended):
        """Of each case one notice, of each that has ended one confirmation, and nothing else."""
        ended = {account for thief in self.everyone for account in thief.done}
        for word, accounts in (("Suspended", suspended | ended), ("Done", ended)):
            wait_until(lambda: self.dead() or accounts <= self.told(word).keys(), "%s: all are told" % word)
            told = self.told(word)
            assert not told.keys() - accounts, "%s: what did not happen is told" % word
            assert all(len({str(mail["Message-ID"]) for mail in mails}) == 1 for mails in told.values()), told
        assert not self.told("Not done")
        return not self.dead()

    def finish(self):
        """All are let go, and all mail goes its way."""
        self.start({})
        self.look()
        for thief in self.thieves:
            if thief.state == "stopped":
                thief.end()
        self.loads[-1].stop()
        self.sink.stop()
        self.sink.options = []
        self.sink.start()
        empty_queue(self.gatepost)
        assert self.look() and not any(thief.state == "stopped" for thief in self.thieves)


def plan(dice):
    order = [place and "%s:%d" % (place, dice.randint(1, most))
             for place, weight, most in PLACES for _ in range(KILLS * weight // 100)]
    dice.shuffle(order)
    return order


def judge(crowd):
    """What was answered 250 is there, and twice only with a kill in between; cases have numbers in a row."""
    oracle = Oracle([*crowd.loads, *crowd.everyone], crowd.sink, crowd.deaths)
    notices = [got for got in oracle.got if got.recipients == [POSTMASTER]]
    oracle.got = [got for got in oracle.got if got.recipients != [POSTMASTER]]
    oracle.i1_nothing_is_lost()
    oracle.i2_nothing_is_partial_or_made_up()
    oracle.i5_doubles_were_in_flight()
    assert max(oracle.doubled.values(), default=0) <= IN_FLIGHT
    told_twice = sum(doubles(notices, crowd.deaths).values())
    cases = sorted(case for word, _, case in crowd.mails.read() if word == "Suspended")
    assert cases == list(range(1, len(cases) + 1))
    log = crowd.gatepost.log()
    assert "Sanitizer" not in log and "runtime error" not in log, log[-10000:]
    return "%d kills %s; %d cases; %d messages answered 250; relayed twice: %d messages, %d notices and confirmations" % (
        len(crowd.deaths), dict(crowd.hits), len(cases), len(oracle.acked), sum(oracle.doubled.values()), told_twice)


def test_killed_under_load(tmp_path, figure):
    seed = random.randrange(1 << 32)
    print("seed %d" % seed)
    crowd = Crowd(tmp_path, seed)
    try:
        crowd.long.fill()
        crowd.gatepost.kill()
        crowd.deaths.append(milliseconds())
        crowd.live([crowd.long], "sweep:1", 20)
        crowd.live([], "sweep:1", 20)
        crowd.sink.start()
        places = plan(crowd.dice)
        for n, place in enumerate(places):
            crowd.live(crowd.thieves, place, 20 if place else crowd.dice.uniform(*PAUSE))
            if n == len(places) // 2:
                crowd.live([crowd.long], "sweep:1", 20)
                crowd.live([], "sweep:1", 20)
        crowd.finish()
        assert crowd.gatepost.stop() == 0, crowd.gatepost.log()[-5000:]
        figure("%s; seed %d" % (judge(crowd), seed))
        assert crowd.hits.keys() == {"sweep", *(place or "anywhere" for place, _, _ in PLACES)}, crowd.hits
    finally:
        for load in crowd.loads:
            load.process.kill()
        crowd.stop()
