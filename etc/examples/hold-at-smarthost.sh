#!/bin/sh
# Holds, at a Postfix on this machine, what it has already taken from an account that is suspended.
#
#   install -D -m 755 etc/examples/hold-at-smarthost.sh /usr/local/libexec/hold-at-smarthost.sh
#   install -m 644 etc/examples/gatepost-hold.* /etc/systemd/system/
#   systemctl enable --now gatepost-hold.path
#
# and in gatepost.conf, then systemctl reload gatepost:
#
#   on_suspend = { "/usr/local/libexec/hold-at-smarthost.sh", "/var/lib/gatepost/hold" }
#
# A hook is the daemon's user, in the daemon's sandbox; the queue of Postfix is root's. So there are two parts, and all
# that goes from the first to the second is the number of a case:
#
#   hold-at-smarthost.sh FOLDER [SECONDS]    the hook: leaves the number in FOLDER, and once more after SECONDS (20),
#                                            for what was being handed over at that moment
#   hold-at-smarthost.sh --hold FOLDER       root, started by gatepost-hold.path: holds what is of the cases there
#
# What it holds is what `gatepostctl relayed --incident N` tells: the account's mail of the window that it broke, and all
# since. `postsuper -H` lets it go, `postsuper -d` deletes it.
set -eu

leave() {
    number=$(sed -n 's/^{[^}]*"incident":\([0-9][0-9]*\).*/\1/p')
    [ -n "$number" ] || { echo "hold-at-smarthost: no incident on stdin" >&2; exit 65; }
    mkdir -p -- "$1"
    : > "$1/$number"
    { sleep "${2:-20}"; : > "$1/$number"; } > /dev/null 2>&1 &
}

# Never ALL, which postsuper would take for all that it has.
hold() {
    ids=$(gatepostctl relayed --incident "$1" --ids) || return 1
    printf '%s\n' "$ids" | grep -xE '[0-9A-Za-z]{5,30}' | postsuper -h - || true
}

if [ "${1:-}" = --hold ] && [ $# = 2 ]; then
    cd -- "$2"
    status=0
    for number in $(ls | grep -xE '[0-9]{1,18}'); do
        # First: a case that comes again meanwhile is another one.
        rm -f -- "$number"
        hold "$number" || { : > "$number"; status=1; }
    done
    exit $status
elif [ $# = 1 ] || [ $# = 2 ]; then
    leave "$@"
else
    echo "usage: hold-at-smarthost.sh FOLDER [SECONDS] | --hold FOLDER" >&2
    exit 64
fi
