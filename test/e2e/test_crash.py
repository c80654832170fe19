"""The crash oracle (TESTS I1-I3, I5, HL15, DU04, DU05): kill -9 under load, restart, again and again; in the end three
journals must agree: what the clients were answered, what the smarthost has, and what the accounts were charged."""
import bisect
import collections
import json
import os
import random
import subprocess
import threading
import time

import pytest
from harness import BUILD, PASSWORD, Gatepost, Sink, wait_port, wait_until
from parallel import Session

LONG = os.environ.get("GATEPOST_LONG", "0") != "0"
USERS = 4
IN_FLIGHT = 16 + 64  # mails on links (connections = 16), outcomes not yet durable (server/dispatch.c)
BIG = 2000000


class JournalSink(Sink):
    """A sink that keeps no mail, only its journal."""

    def start(self, *options):
        self.process = subprocess.Popen(
            [os.path.join(self.build, "test", "bench", "sink"), "--port", str(self.port), "--journal", self.journal_path,
             *self.options, *options], stdout=subprocess.DEVNULL)
        wait_port(self.port, self.process)
        return self


class Load:
    """test/bench/submit, which goes on whatever happens to the daemon."""

    def __init__(self, daemon, name, *options):
        self.journal_path = os.path.join(daemon.folder, name + ".journal")
        self.process = subprocess.Popen(
            [os.path.join(BUILD, "test", "bench", "submit"), "--port", str(daemon.tls_port), "--implicit",
             "--user", "user%d@example.org", "--users", str(USERS), "--pass", PASSWORD, "--messages", "1000000",
             "--lossy", "--json", "--journal", self.journal_path, *options],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def stop(self):
        assert self.process.poll() is None, "the clients have given up: what was killed was idle"
        self.process.terminate()
        out, err = self.process.communicate(timeout=300)
        assert out, err
        return json.loads(out)


# ---- kills, a function each: they return when the daemon is dead ----

hits = collections.Counter()  # of the places, by a death at them


def die_at(place, most):
    """By its own hand, at a place of the code."""
    def kill(daemon, dice):
        try:
            daemon.process.wait(10)
            hits[place] += 1
        except subprocess.TimeoutExpired:
            pass  # so many were not reached in time: it is a random one then
        daemon.kill()
    kill.environment = lambda dice: {"GATEPOST_KILL": "%s:%d" % (place, dice.randint(1, most))}
    return kill


def die_anywhere(daemon, dice):
    time.sleep(dice.uniform(0.0, 2.0))
    daemon.kill()


def die_in_upload(daemon, dice):
    """While two megabytes are on their way in, most of them in the store and without an entry."""
    holds = threading.Event()

    def hold():
        try:
            session = Session(daemon, "user1@example.org")
            if session.begin("held@example.net") == [250, 354]:
                session.send("Subject: held\r\n\r\n" + ("x" * 70 + "\r\n") * (BIG // 72))
            holds.set()
            session.line()
        except (OSError, AssertionError):
            holds.set()

    thread = threading.Thread(target=hold)
    thread.start()
    holds.wait(30)
    time.sleep(dice.uniform(0.02, 0.3))
    daemon.kill()
    thread.join()


die_anywhere.environment = die_in_upload.environment = lambda dice: {}
PLACES = ("commit-before", "commit-after", "done-before", "done-after")
KILLS = [
    (30, die_in_upload),
    (22, die_at("commit-before", 400)),
    (22, die_at("commit-after", 400)),
    (7, die_at("done-before", 200)),
    (7, die_at("done-after", 200)),
    (4, die_at("commit-before", 3)),
    (4, die_at("commit-after", 3)),
    (10, die_anywhere),
]


def plan(kills, dice):
    """At least one of each kind, the upload among the first."""
    order = [kill for weight, kill in KILLS for _ in range(weight - 1)]
    dice.shuffle(order)
    order = [kill for _, kill in KILLS] + order
    while len(order) < kills:
        order += order
    return order[kills - 1::-1]


# ---- what has been written down ----

Sent = collections.namedtuple("Sent", "digest recipients user")
Got = collections.namedtuple("Got", "qid id recipients digest opened answered")
GotOnce = collections.namedtuple("GotOnce", "life answered")


def all_got(sink):
    return [Got(f[0], f[1], f[5].split(","), f[4], int(f[6]), f[7] == "ok") for f in sink.journal()]


def doubles(rows, deaths):
    """How many a kill has caused, by the number of the life that it ended. A double has the same queue id and a kill
    between the two, unless the sink kept its answer to itself."""
    def life(got):
        """Which one it came from: a connection is of one, and its mail may be written down after the kill."""
        return bisect.bisect_left(deaths, got.opened)

    ids, before, doubled = {}, {}, collections.Counter()
    for got in sorted(rows, key=life):
        assert ids.setdefault(got.id, got.qid) == got.qid, "%s has two queue ids" % (got,)
        earlier = {before[got.id, r] for r in got.recipients if (got.id, r) in before}
        before.update({(got.id, r): GotOnce(life(got), got.answered) for r in got.recipients})
        for once in earlier:
            if once.answered:
                assert once.life < life(got), "%s was relayed before, and nobody was killed since" % (got,)
                doubled[once.life] += 1
    return doubled


class Oracle:
    def __init__(self, loads, sink, deaths):
        self.sent, self.acked, self.refused = {}, set(), set()
        for load in loads:
            self.read(load.journal_path)
        self.got = all_got(sink)
        self.deaths = deaths
        self.doubled = collections.Counter()

    def read(self, path):
        with open(path) as f:
            for line in f:
                fields = line.split()
                if fields[0] == "?":
                    self.sent[fields[1]] = Sent(fields[2], int(fields[3]), fields[4])
                elif fields[0] == "!":
                    self.refused.add(fields[1])
                else:
                    self.acked.add(fields[0])

    def unknown(self):
        return self.sent.keys() - self.acked - self.refused

    def i1_nothing_is_lost(self):
        there = collections.defaultdict(set)
        for got in self.got:
            there[got.id].update(got.recipients)
        lost = [i for i in self.acked if len(there[i]) != self.sent[i].recipients]
        assert not lost, "%d answered 250 and lost: %s" % (len(lost), lost[:5])

    def i2_nothing_is_partial_or_made_up(self):
        for got in self.got:
            assert got.id in self.sent, "%s was never sent" % (got,)
            assert got.digest == self.sent[got.id].digest, "%s is not what was sent" % (got,)
            assert got.id not in self.refused, "%s was refused and relayed" % (got,)

    def i5_doubles_were_in_flight(self):
        self.doubled = doubles(self.got, self.deaths)

    def charges(self):
        """Lower bound, upper bound, and what the sink has, of each account."""
        sums = {"user%d@example.org" % n: [0, 0, 0] for n in range(1, USERS + 1)}
        for i in self.acked | self.unknown():
            sums[self.sent[i].user][0] += self.sent[i].recipients if i in self.acked else 0
            sums[self.sent[i].user][1] += self.sent[i].recipients
        for i, _ in {(got.id, r) for got in self.got for r in got.recipients}:
            sums[self.sent[i].user][2] += 1
        return sums


def used(daemon):
    return {row["account"]: [int(n) for n in row["used"].split()] for row in daemon.ctl("account", "list", rows=True)}


class Sweeps:
    """What the start-up sweeps have logged, a dict each; the log is read only once."""

    def __init__(self, path):
        self.path, self.offset, self.all = path, 0, []

    def read(self):
        with open(self.path, errors="replace") as f:
            f.seek(self.offset)
            lines = f.read().splitlines(keepends=True)
        whole = lines if not lines or lines[-1].endswith("\n") else lines[:-1]
        self.offset += sum(len(line.encode(errors="replace")) for line in whole)
        self.all += [dict(word.split("=", 1) for word in line.split() if "=" in word)
                     for line in whole if "event=store-checked" in line]
        return self.all


# ---- the life of the daemon ----

class Loop:
    def __init__(self, daemon, seed):
        self.daemon, self.dice, self.sweeps = daemon, random.Random(seed), Sweeps(daemon.log_path)
        self.deaths, self.restarts, self.uploads = [], [], 0

    def start(self, **env):
        """Until it accepts, and what its sweep found; None when it died before, at a kill point in its own start."""
        began, seen = time.monotonic(), len(self.sweeps.read())
        self.daemon.start(wait=False, **env)
        try:
            wait_port(self.daemon.tls_port, self.daemon.process)
        except RuntimeError:
            assert env and self.daemon.process.poll() == -9, self.daemon.log()[-3000:]
            return None
        self.restarts.append(time.monotonic() - began)
        # A kill may come before the line is written.
        wait_until(lambda: len(self.sweeps.read()) > seen or self.daemon.process.poll() is not None, "the sweep is logged")
        return self.sweeps.all[-1] if len(self.sweeps.all) > seen else None

    def died(self):
        self.deaths.append(int(time.monotonic() * 1000))

    def run(self, kills, uploads):
        order, last = plan(kills, self.dice), None
        time.sleep(1)
        self.daemon.kill()
        self.died()
        while order or self.uploads < uploads:
            kill = order.pop() if order else die_in_upload
            found = self.start(**kill.environment(self.dice))
            if last is die_in_upload and found:
                self.uploads += int(found["orphan_bodies"]) > 0
            kill(self.daemon, self.dice)
            self.died()
            assert len(self.deaths) < 3 * kills, "too few kills meet an upload: %d" % self.uploads
            last = kill


def empty_queue(daemon):
    try:
        wait_until(lambda: not daemon.queue(), "the queue is empty", 120)
    except AssertionError:
        raise AssertionError("the queue does not empty: %s %s" % (
            daemon.ctl("status", check=False).stdout, daemon.log()[-3000:])) from None


def crash(tmp_path, kills, uploads, seed):
    sink = JournalSink(tmp_path, "--fail", "10").start()
    windows = 'limits = { "10000000/30m", "1000000/24h" }'
    daemon = Gatepost(tmp_path, sink.port, "workers = 2\nerrors = 1000\n" + windows).start()
    loads = []
    try:
        daemon.account(*["user%d" % n for n in range(1, USERS + 1)])
        loads += [Load(daemon, "small", "--clients", "16", "--size", "5000", "--recipients", "3", "--reuse", "5",
                       "--pipelining", "--pause", "40"),
                  Load(daemon, "big", "--clients", "6", "--size", str(BIG), "--pause", "400")]
        loop = Loop(daemon, seed)
        loop.run(kills, uploads)
        loop.start()
        totals = [load.stop() for load in loads]
        sink.stop()
        sink.options = []
        sink.start()
        empty_queue(daemon)
        charged = used(daemon)
        assert daemon.stop() == 0, daemon.log()[-5000:]
        daemon.start()
        assert used(daemon) == charged
        assert daemon.stop() == 0, daemon.log()[-5000:]
    finally:
        for load in loads:
            load.process.kill()
        daemon.kill()
        sink.stop()
    return loop, Oracle(loads, sink, loop.deaths), charged, totals


def judge(loop, oracle, charged, kills):
    log = loop.daemon.log()
    assert "Sanitizer" not in log and "runtime error" not in log, log[-10000:]
    for sweep in loop.sweeps.read():
        assert sweep["damaged"] == "0" and sweep["mended"] == "0", sweep
    assert loop.sweeps.all[-1]["entries"] == "0"
    assert len(loop.deaths) >= kills
    assert len(oracle.acked) > len(loop.deaths), "that was no load"
    if kills >= 100:
        assert all(hits[place] for place in PLACES), "never died at one of them: %s" % hits
    assert max(oracle.doubled.values(), default=0) <= IN_FLIGHT
    for account, (least, most, there) in oracle.charges().items():
        for spent in charged[account]:
            assert least <= spent <= most, "%s: charged %d, acknowledged %d to %d" % (account, spent, least, most)
            assert spent == there, "%s: charged %d, relayed %d" % (account, spent, there)


def summary(loop, oracle, charged, totals):
    return ("crash: %d kills (%d with staged bodies; at %s), %d messages sent, %d answered 250, %d refused, %d in flight at a "
            "kill of which %d were queued, %d doubled (at most %d a kill); %d recipients charged; restart to accept %.2f s, at most %.2f s; "
            "clients %s" % (
                len(loop.deaths), loop.uploads, dict(hits), len(oracle.sent), len(oracle.acked), len(oracle.refused),
                len(oracle.unknown()), len(oracle.unknown() & {got.id for got in oracle.got}), sum(oracle.doubled.values()),
                max(oracle.doubled.values(), default=0),
                sum(spent[0] for spent in charged.values()), sum(loop.restarts) / len(loop.restarts), max(loop.restarts),
                [(t["taken"], t["refused"], t["lost"]) for t in totals]))


@pytest.mark.parametrize("kills,uploads", [
    pytest.param(5, 1, marks=pytest.mark.tsan, id="5"),
    pytest.param(500 if LONG else 100, 30, id="all"),
])
def test_crash(tmp_path, capsys, kills, uploads):
    seed = random.randrange(1 << 32)
    hits.clear()
    with capsys.disabled():
        print("crash: seed %d" % seed)
    loop, oracle, charged, totals = crash(tmp_path, kills, uploads, seed)
    oracle.i1_nothing_is_lost()
    oracle.i2_nothing_is_partial_or_made_up()
    oracle.i5_doubles_were_in_flight()
    with capsys.disabled():
        print(summary(loop, oracle, charged, totals))
    judge(loop, oracle, charged, kills)
