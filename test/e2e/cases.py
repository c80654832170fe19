#!/usr/bin/env python3
"""Runs the shared case files (../shared/cases/A, beside the project) against a daemon, with their own runner.

    cases.py [--build DIR] [--only REGEX]

The runner plays the smarthost. Files about limits, and the one that wants two smarthosts, have a daemon of their own. A line
a file: ok, FAIL or skip. Exit status 1 when one failed."""
import argparse
import concurrent.futures
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness

# What later issues bring; each line goes with the feature.
LATER = {
    "05": "BDAT", "06": "BDAT", "07": "BDAT", "08": "BDAT",
    "31": "Bcc is left as the client sent it",
    "79": "DSN extension", "82": "login at the smarthost", "84": "login at the smarthost", "89": "DSN extension",
}
SHARED = os.path.join(os.path.dirname(harness.ROOT), "shared", "cases")
LIMIT = 5
COMMON = """
limits = { "1000000/1m" }
recipients = 1000
retry = { "1s", "1s", "2s" }
errors = 20
"""


class Round:
    """Some files, one daemon, and the ports on which the runner plays its smarthosts."""

    def __init__(self, name, pattern, smarthosts=1, settings="", options=()):
        self.name, self.pattern, self.smarthosts, self.settings, self.options = name, pattern, smarthosts, settings, options


ROUNDS = (
    Round("limits", r"^(53|54|55|59)-", settings='limits = { "%d/30m" }' % LIMIT, options=["--set", "limit=%d" % LIMIT]),
    Round("two", r"^77-", smarthosts=2),
    Round("storm", r"^70-", settings='retry = { "1s", "2s", "4s", "8s" }', options=["--set", "maxconnects=15"]),
    # What the smarthost offers changes from file to file: a link must not outlive one.
    Round("fresh", r"^(78|80|81)-", settings='smarthost mta { address = "127.0.0.1" port = %d tls = may mails = 1 }'),
    Round("suspension", r"^(60|61)-", settings='postmaster = { "postmaster@example.org" }'),
    Round("all", r""),
)


def control(folder, daemon):
    """The commands that the files call, as a script of their own."""
    path = os.path.join(folder, "control")
    ctl = "'%s' -c '%s'" % (os.path.join(daemon.build, "server", "gatepostctl"), daemon.config)
    with open(path, "w") as f:
        f.write("""#!/bin/bash
start() {
    '%s' -c '%s' >> '%s' 2>&1 &
    echo $! > '%s/pid'
    for _ in $(seq 500); do
        (exec 3<> /dev/tcp/127.0.0.1/%d) 2> /dev/null && return 0
        sleep 0.02
    done
    return 1
}
stop() {
    local pid=$(cat '%s/pid')
    kill -$1 $pid || return 1
    while kill -0 $pid 2> /dev/null; do sleep 0.02; done
}
case $1 in
    start) start ;;
    kill) stop KILL ;;
    restart) stop TERM && start ;;
    reload) %s reload ;;
    reset) %s account reset "$2" ;;
    suspend) %s account suspend "$2" ;;
    resume) %s account unlock "$2" ;;
    before) %s queue discard alice@example.org > /dev/null; %s queue flush > /dev/null; %s account reset alice@example.org ;;
esac
""" % (os.path.join(daemon.build, "server", "gatepost"), daemon.config, daemon.log_path, folder, daemon.port, folder,
            ctl, ctl, ctl, ctl, ctl, ctl, ctl))
    os.chmod(path, 0o755)
    return path


def run(which, files, folder, build):
    """The runner's own lines, by file."""
    folder = os.path.join(folder, which.name)
    os.mkdir(folder)
    sinks = [harness.free_port() for _ in range(which.smarthosts)]
    settings = which.settings % sinks[0] if "%d" in which.settings else which.settings
    daemon = harness.Gatepost(folder, sinks, COMMON + settings, build=build)
    script = control(folder, daemon)
    subprocess.run([script, "start"], check=True)
    daemon.account("alice")
    command = [sys.executable, os.path.join(SHARED, "replay.py"), "--port", str(daemon.port), "--user", "alice@example.org",
               "--pass", harness.PASSWORD, "--sink-port", ",".join(map(str, sinks)), "--set", "retry=1", "--set",
               "maxsize=52428800", "--before", script + " before", "--timeout", "30"]
    for name in ("start", "kill", "restart", "reload", "reset", "suspend", "resume"):
        command += ["--cmd", "%s=%s %s" % (name, script, name)]
    done = subprocess.run(command + list(which.options) + files, capture_output=True, text=True)
    with open(os.path.join(folder, "pid")) as f:
        pid = int(f.read())
    os.kill(pid, 15)
    harness.wait_until(lambda: not os.path.exists("/proc/%d" % pid), "the end of the daemon")
    log = daemon.log()
    trouble = "" if "event=stopped" in log and "Sanitizer" not in log and "runtime error" not in log else log[-4000:]
    return done.stdout + done.stderr, trouble


def report(name, output):
    """True when the runner's output for this file is good."""
    rows = re.findall(r"^(ok|FAIL|WARN|skip|FILE) +A/%s:? ?(.*)((?:\n {8}.*)*)" % re.escape(name), output, re.M)
    word, why, more = rows[0] if rows else ("FAIL", "no word of it: " + output[-500:], "")
    if word == "ok":
        print("ok cases/A/" + name)
    elif word == "skip":
        print("skip cases/A/%s %s" % (name, why))
    else:
        print("FAIL cases/A/%s %s%s" % (name, why, more))
        return False
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=harness.BUILD)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    if not os.path.isfile(os.path.join(SHARED, "replay.py")):
        print("skip cases: folder absent")
        return 0
    names = [name for name in sorted(os.listdir(os.path.join(SHARED, "A"))) if name.endswith(".txt") and re.search(options.only, name)]
    good = True
    for name in names:
        if name[:2] in LATER:
            print("skip cases/A/%s later: %s" % (name, LATER[name[:2]]))
    left = [name for name in names if name[:2] not in LATER]
    with tempfile.TemporaryDirectory(prefix="gatepost-cases.") as folder, concurrent.futures.ThreadPoolExecutor(len(ROUNDS)) as pool:
        jobs = []
        for which in ROUNDS:
            mine = [name for name in left if re.search(which.pattern, name)]
            left = [name for name in left if name not in mine]
            if mine:
                files = [os.path.join(SHARED, "A", name) for name in mine]
                jobs.append((which, mine, pool.submit(run, which, files, folder, os.path.abspath(options.build))))
        for which, mine, job in jobs:
            output, trouble = job.result()
            for name in mine:
                good = report(name, output) and good
            if trouble:
                good = False
                print("FAIL cases/%s the daemon's log ends with\n%s" % (which.name, trouble))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
