"""Those who keep a site's users, the real daemons and files: saslauthd with a PAM service of its own, slapd, Dovecot's
auth service, sasldb2, SQLite. Each has its folder, its socket or port, and the lines of a configuration that name it
(`settings`). Nothing of the machine's own is used or changed, but for one file in /etc/pam.d that is taken away again."""
import os
import shutil
import signal
import socket
import subprocess
import time
import uuid

import pytest

from harness import PASSWORD, free_port, open_path, started, wait_port, wait_until


def need_root(what):
    if os.geteuid() != 0:
        pytest.skip("%s is started as root only" % what)


def can_connect(path):
    try:
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(path)
            return True
    except OSError:
        return False


class BackEnd:
    """A daemon in the foreground, in a process group of its own."""
    process = None

    def __init__(self, folder):
        self.folder = os.path.join(str(folder), type(self).__name__.lower())
        os.makedirs(self.folder, exist_ok=True)
        open_path(self.folder)
        self.log_path = os.path.join(self.folder, "log")

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def write(self, name, text, mode=0o644):
        with open(self.path(name), "w") as f:
            f.write(text)
        os.chmod(self.path(name), mode)
        return self.path(name)

    def run(self, *command):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        started.append(self.process)

    def wait(self, ready):
        def come():
            assert self.process.poll() is None, self.log()[-3000:]
            return ready()
        wait_until(come, "%s is there" % type(self).__name__)
        return self

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def signal(self, number):
        """All processes of the daemon: stopped ones are a daemon that does not answer."""
        os.killpg(self.process.pid, number)

    def stop(self):
        if self.process is not None:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                pass
            self.wait_gone()
            self.process.wait()
            self.process = None

    def wait_gone(self):
        """Killed, all of them: a child that is late would take the socket of the next instance away."""
        end = time.monotonic() + 5  # where nobody reaps orphans they stay in the table
        while time.monotonic() < end:
            try:
                self.signal(signal.SIGKILL)
            except ProcessLookupError:
                return
            self.process.poll()
            time.sleep(0.01)

    def done(self):
        self.stop()


class Saslauthd(BackEnd):
    """-a pam; the PAM service asks a script, which takes any +detail and sleeps for who is called slow. `realms`: -r."""

    def __init__(self, folder, realms=False):
        need_root("saslauthd")
        super().__init__(folder)
        self.realms = realms
        self.service = "gatepost-test-" + uuid.uuid4().hex[:8]
        self.socket = self.path("mux")
        self.asked = self.path("asked")
        self.passwords = {}
        check = self.write("check", "#!/bin/sh\nread -r word\n"
                           "echo \"$PAM_USER\" >> %s\n"
                           "case $PAM_USER in slow*) sleep 60 ;; esac\n"
                           "grep -qxF \"$(echo \"$PAM_USER\" | sed 's/+[^@]*//') $word\" %s\n"
                           % (self.asked, self.path("users")), 0o755)
        self.pam = "/etc/pam.d/" + self.service
        with open(self.pam, "w") as f:
            f.write("auth required pam_exec.so quiet expose_authtok %s\naccount required pam_permit.so\n" % check)
        self.settings = 'auth = saslauthd\nauth_socket = "%s"\nauth_service = "%s"\nauth_realms = %s\n' % (
            self.socket, self.service, "yes" if realms else "no")

    def user(self, name, password=PASSWORD):
        self.passwords[name] = password
        self.write("users", "".join("%s %s\n" % row for row in self.passwords.items()), 0o600)
        return self

    def start(self):
        self.run("/usr/sbin/saslauthd", "-a", "pam", "-m", self.folder, "-n", "10", "-d", *(["-r"] if self.realms else []))
        return self.wait(lambda: can_connect(self.socket))

    def names(self):
        """Whom PAM was asked about."""
        if not os.path.exists(self.asked):
            return []
        with open(self.asked) as f:
            return f.read().split("\n")[:-1]

    def done(self):
        self.stop()
        os.unlink(self.pam)


class Slapd(BackEnd):
    """One database, with LDAPS and STARTTLS, and an attribute or two of Active Directory's."""
    base = "dc=example,dc=org"
    searcher, secret = "cn=gatepost,dc=example,dc=org", "the secret of the searcher"

    def __init__(self, folder, ldap="ldap_starttls = yes\n", search=None):
        super().__init__(folder)
        self.port, self.tls_port = free_port(), free_port()
        self.cert, self.key = self.path("cert.pem"), self.path("key.pem")
        # A name: to libldap "localhost" is the machine's own.
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
                        "30", "-subj", "/CN=ldap", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", self.key, "-out",
                        self.cert], check=True, capture_output=True)
        os.makedirs(self.path("db"), exist_ok=True)
        self.entries = []
        self.config = self.write("slapd.conf", """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
attributetype ( 1.2.840.113556.1.4.221 NAME 'sAMAccountName' EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.656 NAME 'userPrincipalName' EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
objectclass ( 1.2.840.113556.1.5.9 NAME 'adUser' AUXILIARY MAY ( sAMAccountName $ userPrincipalName ) )
pidfile %(f)s/pid
modulepath /usr/lib/ldap
moduleload back_mdb
TLSCertificateFile %(cert)s
TLSCertificateKeyFile %(key)s
TLSVerifyClient never
security simple_bind=%(bind)d
database mdb
suffix "%(base)s"
rootdn "cn=root,%(base)s"
directory %(f)s/db
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="%(searcher)s" read by * none
""" % {"f": self.folder, "cert": self.cert, "key": self.key, "base": self.base, "searcher": self.searcher,
       "bind": 128 if "starttls" in ldap else 0})
        self.entry(self.base, "objectClass: dcObject", "objectClass: organization", "o: Example")
        self.entry(self.searcher, "objectClass: applicationProcess", "objectClass: simpleSecurityObject",
                   "userPassword: " + self.secret)
        password = self.write("secret", self.secret + "\n", 0o644)
        self.rules = {
            "auth": "ldap", "ldap_uri": '"ldap://127.0.0.1:%d"' % self.port, "ldap_ca": '"%s"' % self.cert,
            "ldap_base": '"%s"' % self.base, "ldap_bind_dn": '"%s"' % self.searcher, "ldap_password_file": '"%s"' % password,
            "ldap_starttls": "yes", "ldap_account": "mail",
            "ldap_filter": '"(|(sAMAccountName=%n)(userPrincipalName=%u)(mail=%u)(uid=%u))"',
        }

    @property
    def settings(self):
        return self.with_rules()

    def with_rules(self, **rules):
        return "".join("%s = %s\n" % row for row in dict(self.rules, **rules).items())

    @property
    def ldaps(self):
        return '"ldaps://127.0.0.1:%d"' % self.tls_port

    def entry(self, dn, *lines):
        self.entries.append("dn: %s\n%s\n" % (dn, "\n".join(lines)))
        return self

    def user(self, name, password=PASSWORD, *lines):
        """`name` as alice@example.org: its uid, its account name at Windows, and an address; `lines`: more addresses."""
        uid, _, domain = name.partition("@")
        return self.entry("uid=%s,%s" % (uid, self.base), "objectClass: inetOrgPerson", "objectClass: adUser", "cn: " + uid,
                          "sn: " + uid, "uid: " + uid, "sAMAccountName: " + uid,
                          "userPrincipalName: %s@corp.example.org" % uid, "mail: " + name, *lines, "userPassword: " + password)

    def start(self):
        self.write("data.ldif", "\n".join(self.entries))
        if not os.listdir(self.path("db")):
            subprocess.run(["/usr/sbin/slapadd", "-q", "-f", self.config, "-l", self.path("data.ldif")], check=True,
                           capture_output=True)
        self.run("/usr/sbin/slapd", "-d", "stats", "-f", self.config, "-h",
                 "ldap://127.0.0.1:%d ldaps://127.0.0.1:%d" % (self.port, self.tls_port))
        wait_port(self.port, self.process)  # its log may tell of an earlier start
        return self


class Dovecot(BackEnd):
    """The auth service alone, with a passwd-file."""

    def __init__(self, folder):
        need_root("Dovecot")
        super().__init__(folder)
        # A UNIX socket's path is short, pytest's folders are not.
        self.run_dir = "/tmp/gatepost-dovecot." + uuid.uuid4().hex[:8]
        os.mkdir(self.run_dir, 0o755)
        self.socket = os.path.join(self.run_dir, "auth-client")
        self.lines = {}
        self.config = self.write("dovecot.conf", """
base_dir = %(run)s
state_dir = %(f)s/state
log_path = %(f)s/log
info_log_path = %(f)s/log
auth_verbose = yes
auth_failure_delay = 0
auth_mechanisms = plain login
protocols =
ssl = no
passdb {
  driver = passwd-file
  args = username_format=%%n %(f)s/users
}
passdb {
  driver = passwd-file
  args = username_format=%%u %(f)s/more
}
userdb {
  driver = static
  args = uid=65534 gid=65534 home=/nonexistent
}
service auth {
  unix_listener auth-client {
    mode = 0666
  }
}
""" % {"run": self.run_dir, "f": self.folder})
        self.write("more", "")
        self.settings = 'auth = dovecot\nauth_socket = "%s"\n' % self.socket

    def user(self, name, password=PASSWORD, extra=""):
        """`extra` are fields such as "allow_nets=192.0.2.0/24"."""
        self.lines[name.partition("@")[0]] = "{PLAIN}%s::::::%s user=%s" % (password, extra, name)
        self.write("users", "".join("%s:%s\n" % row for row in self.lines.items()))
        return self

    def start(self):
        self.run("/usr/sbin/dovecot", "-F", "-c", self.config)
        return self.wait(lambda: can_connect(self.socket))

    def done(self):
        self.stop()
        shutil.rmtree(self.run_dir, ignore_errors=True)


class Sasldb(BackEnd):
    """A file of saslpasswd2's."""

    def __init__(self, folder):
        super().__init__(folder)
        self.file = self.path("sasldb2")
        self.settings = 'auth = sasldb\nsasldb = "%s"\n' % self.file

    def user(self, name, password=PASSWORD):
        user, _, realm = name.partition("@")
        subprocess.run(["/usr/sbin/saslpasswd2", "-p", "-c", "-f", self.file, "-u", realm, user], input=password, text=True,
                       check=True, capture_output=True)
        os.chmod(self.file, 0o644)
        return self

    def start(self):
        return self

    def stop(self):
        os.rename(self.file, self.file + ".away")


class Sqlite(BackEnd):
    def __init__(self, folder):
        super().__init__(folder)
        self.file = self.path("users.db")
        self.sql("CREATE TABLE users (name TEXT PRIMARY KEY, password TEXT)")
        self.settings = ('auth = sql\nsql_engine = sqlite3\nsql_database = "%s"\n' % self.file +
                         "sql_select = \"SELECT password FROM users WHERE name = '%u@%r'\"\n")

    def sql(self, text):
        subprocess.run(["sqlite3", self.file, text], check=True)
        os.chmod(self.file, 0o644)

    def user(self, name, password=PASSWORD):
        self.sql("INSERT INTO users VALUES ('%s', '%s')" % (name, password))
        return self

    def start(self):
        return self

    def stop(self):
        os.rename(self.file, self.file + ".away")
