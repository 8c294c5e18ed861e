# SPDX-License-Identifier: GPL-2.0-only
# Shared by the scripts of this directory: where things are, what --help says, how a
# step runs with its output in a log, and how an error is said.
# shellcheck shell=bash

set -euo pipefail

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD=${BUILD:-$TOP/build}
CACHE=${PRESERVE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/preserve}
LOGS=$BUILD/logs

# usage: prints the comment that a script opens with.
usage()
{
	sed -n '4,/^# shellcheck\|^[^#]\|^$/{/^# shellcheck\|^[^#]\|^$/!s/^# \{0,1\}//p}' "$0"
}

case ${1:-} in -h|--help) usage; exit ;; esac
mkdir -p "$BUILD" "$CACHE" "$LOGS"

# die MESSAGE [NEXT STEP]: one line that says what failed, one what to do.
die()
{
	printf 'error: %s\n' "$1" >&2
	[ $# -lt 2 ] || printf '  next: %s\n' "$2" >&2
	exit 1
}

say()
{
	printf '%s\n' "$*" >&2
}

as_root()
{
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		die "root is needed for: $*" "run as root, or install sudo"
	fi
}

# The number of commits, which orders versions; 1 where git does not know it.
commits()
{
	git -C "$TOP" rev-list --count HEAD 2>/dev/null || echo 1
}

# step NAME COMMAND...: runs the command with its output in a log file and a
# line that shows that it is alive: rewritten on a terminal, one in 30 s if not.
# $hint is the next step when it fails.
step()
{
	local name=$1 log start pid rc=0 said tty=
	shift
	[ ! -t 2 ] || tty=1
	log=$LOGS/$(tr -cs 'a-zA-Z0-9._\n' - <<<"$name").log
	start=$SECONDS
	said=$start
	"$@" >"$log" 2>&1 </dev/null &
	pid=$!
	# A job in the background ignores the interrupt key.
	trap 'kill "$pid" 2>/dev/null; exit 130' INT TERM
	while kill -0 "$pid" 2>/dev/null; do
		if [ -n "$tty" ]; then
			printf '\r  %-44s %4d s ' "$name" $((SECONDS - start)) >&2
		elif [ $((SECONDS - said)) -ge 30 ]; then
			printf '  %-44s %4d s ...\n' "$name" $((SECONDS - start)) >&2
			said=$SECONDS
		fi
		sleep 0.2
	done
	wait "$pid" || rc=$?
	trap - INT TERM
	[ -z "$tty" ] || printf '\r' >&2
	[ "$rc" = 0 ] ||
		die "$name failed: $(grep -vE '^[[:space:]]*$' "$log" | tail -n 1); log: $log" \
		    "${hint:-read the log}"
	printf '  %-44s %4d s\n' "$name" $((SECONDS - start)) >&2
}
