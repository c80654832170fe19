"""Real parts for the end-to-end tests: the daemon, a sink or a Postfix behind it, and a client. Loopback only; every
process is started here, on its own port and in its own folder, and ended by its pid."""
import atexit
import base64
import itertools
import json
import os
import pwd
import random
import re
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import threading
import time
import urllib.parse

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("GATEPOST_BUILD", os.path.join(ROOT, "build", "asan"))
PASSWORD = "secret of the test"


# What is to be ended when a test that failed has not done it.
started = []


@atexit.register
def end_all():
    for process in started:
        if process.poll() is None:
            process.kill()


# Below the range from which the kernel serves those that do not care; each worker of pytest-xdist has its own part.
WORKERS = 8
WORKER = int(re.sub(r"\D", "", os.environ.get("PYTEST_XDIST_WORKER", "")) or 0) % WORKERS
ports = itertools.cycle(random.sample(range(20000 + WORKER, 32000, WORKERS), 12000 // WORKERS))


def free_port():
    """None is given twice, unless all have been: who asks for one may be slow to listen."""
    while True:
        port = next(ports)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass


def daemon_user():
    """Whom the daemon becomes: never root."""
    return "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name


def open_path(folder):
    """Other users may pass through the folders above: pytest makes them 0700."""
    path = str(folder)
    while path not in ("/", "/tmp"):
        mode = os.stat(path).st_mode
        if mode & 0o055 != 0o055:
            os.chmod(path, mode | 0o055)
        path = os.path.dirname(path)


def wait_port(port, process=None, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process is not None and process.poll() is not None:
            raise RuntimeError("%s ended with %s" % (process.args, process.returncode))
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise RuntimeError("nothing listens on port %d" % port)


def wait_until(condition, what, seconds=60, pause=0.05):
    """Waits for a condition; the bound is only there so that a broken build ends."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(pause)
    raise AssertionError("never happened: %s" % what)


def certificate(folder, name="", subject="/CN=localhost"):
    cert, key = os.path.join(folder, name + "cert.pem"), os.path.join(folder, name + "key.pem")
    if not os.path.exists(cert):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-days", "30", "-subj", subject, "-keyout", key, "-out", cert],
                       check=True, stderr=subprocess.DEVNULL)
        if os.geteuid() == 0:
            shutil.chown(key, "root", pwd.getpwnam(daemon_user()).pw_gid)
            os.chmod(key, 0o640)
    return cert, key


def insecure_context():
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Gatepost:
    """One daemon with its folder. `settings` are lines of the configuration that replace or add keys."""

    def __init__(self, folder, smarthost, settings="", build=BUILD, env=None, wrapper=()):
        self.folder, self.build, self.env, self.wrapper = str(folder), build, env or {}, list(wrapper)
        self.port, self.tls_port, self.smarthost = free_port(), free_port(), smarthost
        self.config = os.path.join(self.folder, "gatepost.conf")
        self.log_path = os.path.join(self.folder, "gatepost.log")
        self.process = None
        open_path(self.folder)
        self.cert, self.key = certificate(self.folder)
        self.configure(settings)

    def configure(self, settings=""):
        ports = self.smarthost if isinstance(self.smarthost, (list, tuple)) else [self.smarthost]
        lines = {
            "hostname": '"mail.example.org"', "domain": '"example.org"',
            "data_dir": '"%s/data"' % self.folder, "control": '"%s/run/control.sock"' % self.folder,
            "user": '"%s"' % daemon_user(), "workers": "2", "auth_iterations": "4096", "retry": '{ "1s", "1s", "2s" }',
        }
        blocks = []
        for line in settings.strip().splitlines():
            key, sep, value = line.partition("=")
            if sep and "{" not in key:
                lines[key.strip()] = value.strip()
            else:
                blocks.append(line)
        text = "".join("%s = %s\n" % item for item in lines.items())
        text += 'tls { certificate = "%s" key = "%s" }\n' % (self.cert, self.key)
        text += 'listen submission { address = { "127.0.0.1" } port = %d tls = starttls }\n' % self.port
        text += 'listen submissions { address = { "127.0.0.1" } port = %d tls = implicit }\n' % self.tls_port
        for n, port in enumerate(ports):
            if not any(b.startswith("smarthost") for b in blocks):
                text += 'smarthost s%d { address = "127.0.0.1" port = %d tls = may }\n' % (n, port)
        text += "\n".join(blocks) + "\n"
        with open(self.config, "w") as f:
            f.write(text)

    def start(self, wait=True, **env):
        log = open(self.log_path, "ab")
        begin = log.tell()
        environment = dict(os.environ, **self.env, **env)
        self.process = subprocess.Popen(
            self.wrapper + [os.path.join(self.build, "server", "gatepost"), "-c", self.config],
            stderr=log, stdout=log, env=environment)
        started.append(self.process)
        log.close()
        if wait:
            self.wait_started(begin)
        return self

    def wait_started(self, begin):
        """Until it says so, which is when clients and gatepostctl are served."""
        def started():
            if self.process.poll() is not None:
                raise RuntimeError("%s ended with %s: %s" % (self.process.args, self.process.returncode, self.log()[-3000:]))
            with open(self.log_path, "rb") as f:
                f.seek(begin)
                return b"event=started" in f.read()
        wait_until(started, "a daemon that has started", pause=0.01)

    def stop(self):
        """TERM, and its exit code: a sanitizer's report makes it non-zero."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(120)
            except subprocess.TimeoutExpired:
                self.process.kill()
        code = self.process.wait()
        self.process = None
        return code

    def kill(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
        if self.process is not None:
            self.process.wait()
        self.process = None

    def restart(self, **env):
        assert self.stop() == 0, self.log()[-3000:]
        return self.start(**env)

    def ctl(self, *words, stdin=None, check=True, rows=False):
        command = [os.path.join(self.build, "server", "gatepostctl"), "-c", self.config]
        if rows:
            command.append("--json")
        done = subprocess.run(command + list(words), input=stdin, capture_output=True, text=True)
        if check and done.returncode != 0:
            raise AssertionError("gatepostctl %s: %d %s" % (words, done.returncode, done.stderr))
        if rows:
            return [json.loads(line) for line in done.stdout.splitlines()]
        return done if not check else done.stdout

    def account(self, *names, password=PASSWORD):
        for name in names:
            self.ctl("account", "add", name, stdin=password + "\n")
        return self

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def events(self, pattern):
        """The lines of the log that match."""
        return [line for line in self.log().splitlines() if re.search(pattern, line)]

    def wait_log(self, pattern, count=1, seconds=60):
        wait_until(lambda: len(self.events(pattern)) >= count, "%d times in the log: %s" % (count, pattern), seconds)
        return self.events(pattern)

    def wait_empty(self, seconds=60):
        wait_until(lambda: not self.queue(), "an empty queue", seconds)

    def signal(self, number):
        self.process.send_signal(number)

    def status(self):
        """A row; the command exits 1 when something is wrong."""
        return self.ctl("status", rows=True, check=False)[0]

    def wait_connections(self, n):
        wait_until(lambda: self.status()["connections"] == n, "%d connections" % n)

    def queue(self):
        return self.ctl("queue", "list", rows=True)

    def client(self, user="alice@example.org", password=PASSWORD, implicit=False, timeout=60, source="127.0.0.1"):
        """smtplib, logged in."""
        source = (source, 0)
        if implicit:
            smtp = smtplib.SMTP_SSL("127.0.0.1", self.tls_port, context=insecure_context(), timeout=timeout,
                                    source_address=source)
        else:
            smtp = smtplib.SMTP("127.0.0.1", self.port, timeout=timeout, source_address=source)
            smtp.starttls(context=insecure_context())
        if user:
            smtp.login(user, password)
        return smtp


class Sink:
    """test/bench/sink: takes everything, keeps a journal."""

    def __init__(self, folder, *options, build=BUILD, port=None):
        self.folder, self.build, self.options = str(folder), build, list(options)
        self.port = port or free_port()
        self.maildir = os.path.join(self.folder, "sinkmail")
        self.journal_path = os.path.join(self.folder, "sink.journal")
        self.process = None

    def start(self, *options):
        os.makedirs(self.maildir, exist_ok=True)
        self.process = subprocess.Popen(
            [os.path.join(self.build, "test", "bench", "sink"), "--port", str(self.port), "--maildir", self.maildir,
             "--journal", self.journal_path] + self.options + list(options), stdout=subprocess.DEVNULL)
        started.append(self.process)
        wait_port(self.port, self.process)
        return self

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait()
            self.process = None

    def mails(self):
        """The files, whole: X-Envelope lines in front."""
        folder = os.path.join(self.maildir, "new")
        if not os.path.isdir(folder):
            return []
        out = []
        for name in sorted(os.listdir(folder)):
            with open(os.path.join(folder, name), "rb") as f:
                out.append(f.read())
        return out

    def journal(self):
        """A list of the fields of each accepted mail: queue id, message id, recipients, bytes, digest."""
        if not os.path.exists(self.journal_path):
            return []
        with open(self.journal_path) as f:
            return [line.split() for line in f.read().splitlines()]


class Rules:
    """A table of Postfix (tcp_table(5)) that changes without a reload: (regex, answer) rows for recipients."""

    def __init__(self):
        self.rows = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        with sock, sock.makefile("rw") as file:
            for line in file:
                key = urllib.parse.unquote(line.strip()[4:])
                whole = "@" in key and not key.endswith("@")  # it also asks for parts of an address
                answer = next((row[1] for row in self.rows if whole and re.search(row[0], key)), None)
                file.write("200 %s\n" % urllib.parse.quote(answer, " ") if answer else "500 none\n")
                file.flush()

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


class Postfix:
    """A real Postfix of our own: smtpd on a port, delivery into Maildirs below its folder."""

    def __init__(self, folder):
        self.folder = os.path.join(str(folder), "postfix")
        self.port = free_port()
        self.maildir = os.path.join(self.folder, "mail", "box")
        self.log_begin = 0
        self.rules = Rules()
        for name in ("etc", "spool", "data", "mail"):
            os.makedirs(os.path.join(self.folder, name))
        open_path(folder)
        nobody = subprocess.run(["id", "-u", "nobody"], capture_output=True, text=True).stdout.strip()
        shutil.chown(os.path.join(self.folder, "data"), "postfix")
        shutil.chown(os.path.join(self.folder, "mail"), int(nobody), "nogroup")
        self.main("")
        with open(os.path.join(self.folder, "etc", "master.cf"), "w") as f:
            f.write("127.0.0.1:%d inet n - n - 100 smtpd\n" % self.port)
            for line in ("pickup unix n - n 60 1 pickup", "cleanup unix n - n - 0 cleanup",
                         "qmgr unix n - n 300 1 qmgr", "tlsmgr unix - - n 1000? 1 tlsmgr",
                         "rewrite unix - - n - - trivial-rewrite", "bounce unix - - n - 0 bounce",
                         "defer unix - - n - 0 bounce", "trace unix - - n - 0 bounce", "verify unix - - n - 1 verify",
                         "flush unix n - n 1000? 0 flush", "proxymap unix - - n - - proxymap",
                         "smtp unix - - n - - smtp", "error unix - - n - - error", "retry unix - - n - - error",
                         "discard unix - - n - - discard", "local unix - n n - - local",
                         "virtual unix - n n - - virtual", "anvil unix - - n - 1 anvil",
                         "scache unix - - n - 1 scache", "postlog unix-dgram n - n - 1 postlogd"):
                f.write(line + "\n")

    def main(self, extra):
        f = self.folder
        cert, key = certificate(f)
        nobody = subprocess.run(["id", "-u", "nobody"], capture_output=True, text=True).stdout.strip()
        group = subprocess.run(["id", "-g", "nobody"], capture_output=True, text=True).stdout.strip()
        text = """
compatibility_level = 3.6
queue_directory = %(f)s/spool
data_directory = %(f)s/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file = %(f)s/maillog
maillog_file_prefixes = %(f)s
myhostname = mta.example.net
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_peername_lookup = no
alias_maps =
alias_database =
virtual_mailbox_domains = regexp:%(f)s/etc/domains
virtual_mailbox_base = %(f)s/mail
virtual_mailbox_maps = regexp:%(f)s/etc/boxes
virtual_uid_maps = static:%(uid)s
virtual_gid_maps = static:%(gid)s
virtual_mailbox_limit = 0
message_size_limit = 52428800
smtpd_recipient_limit = 2000
smtpd_recipient_restrictions = check_recipient_access tcp:127.0.0.1:%(rules)d, permit_mynetworks, reject
smtpd_client_connection_count_limit = 0
smtpd_tls_cert_file = %(cert)s
smtpd_tls_key_file = %(key)s
smtpd_tls_security_level = may
smtp_tls_security_level = none
default_transport = error:loopback only
maximal_queue_lifetime = 1h
enable_original_recipient = yes
%(extra)s
""" % {"f": f, "uid": nobody, "gid": group, "cert": cert, "key": key, "extra": extra,
       "rules": self.rules.port}
        with open(os.path.join(f, "etc", "main.cf"), "w") as out:
            out.write(text)
        with open(os.path.join(f, "etc", "domains"), "w") as out:
            out.write("/./ OK\n")
        with open(os.path.join(f, "etc", "boxes"), "w") as out:
            out.write("/./ box/\n")
        # Postfix waits while a file of its configuration is new.
        for name in ("main.cf", "domains", "boxes"):
            os.utime(os.path.join(f, "etc", name), (1, 1))

    def access(self, *lines):
        """Rules for recipients, as "^bad 550 5.1.1 no such user"; they hold from now on."""
        self.rules.rows = [line.split(" ", 1) for line in lines]

    def run(self, *words):
        return subprocess.run(["postfix", "-c", os.path.join(self.folder, "etc")] + list(words),
                              capture_output=True, text=True)

    def start(self):
        done = self.run("start")
        assert done.returncode == 0, done.stderr
        wait_port(self.port)
        return self

    def stop(self):
        self.run("stop")

    def done(self):
        self.stop()
        self.rules.stop()

    def reload(self):
        done = self.run("reload")
        assert done.returncode == 0, done.stderr

    def forget(self):
        """As if freshly started."""
        self.access()
        self.main("")
        self.reload()
        for name in os.listdir(os.path.join(self.maildir, "new")) if os.path.isdir(self.maildir) else []:
            os.unlink(os.path.join(self.maildir, "new", name))
        with open(os.path.join(self.folder, "maillog")) as f:
            self.log_begin = len(f.read())

    def pid(self):
        with open(os.path.join(self.folder, "spool", "pid", "master.pid")) as f:
            return int(f.read())

    def pids(self):
        """The master and all its children."""
        done = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.pid())], capture_output=True, text=True)
        return [self.pid()] + [int(word) for word in done.stdout.split()]

    def mails(self):
        folder = os.path.join(self.maildir, "new")
        if not os.path.isdir(folder):
            return []
        out = []
        for name in sorted(os.listdir(folder)):
            with open(os.path.join(folder, name), "rb") as f:
                out.append(f.read())
        return out

    def log(self):
        with open(os.path.join(self.folder, "maillog"), errors="replace") as f:
            return f.read()[self.log_begin:]


def plain(user, password=PASSWORD):
    return base64.b64encode(b"\0" + user.encode() + b"\0" + password.encode()).decode()


def message(subject, text="Hello.\n", sender="alice@example.org", to="bob@example.net", extra=""):
    return "From: <%s>\r\nTo: <%s>\r\nSubject: %s\r\n%s\r\n%s" % (
        sender, to, subject, extra, text.replace("\r\n", "\n").replace("\n", "\r\n"))


def hang(pid):
    os.kill(pid, signal.SIGSTOP)


def resume(pid):
    os.kill(pid, signal.SIGCONT)
