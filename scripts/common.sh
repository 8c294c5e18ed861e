# SPDX-License-Identifier: GPL-2.0-only
# Shared by the scripts of this directory: where things are, how a step runs
# with its output in a log, and how an error is said.
# shellcheck shell=bash

set -euo pipefail

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD=${BUILD:-$TOP/build}
CACHE=${PRESERVE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/preserve}
LOGS=$BUILD/logs
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

# step NAME COMMAND...: runs the command with its output in a log file and a
# line that shows that it is alive.
step()
{
	local name=$1 log start pid rc=0
	shift
	log=$LOGS/$(tr -cs 'a-zA-Z0-9._\n' - <<<"$name").log
	start=$SECONDS
	"$@" >"$log" 2>&1 </dev/null &
	pid=$!
	while [ -t 2 ] && kill -0 "$pid" 2>/dev/null; do
		printf '\r  %-44s %4d s ' "$name" $((SECONDS - start)) >&2
		sleep 1
	done
	wait "$pid" || rc=$?
	[ ! -t 2 ] || printf '\r' >&2
	if [ "$rc" != 0 ]; then
		tail -n 5 "$log" | sed 's/^/    /' >&2
		die "$name failed (exit $rc)" "read $log"
	fi
	printf '  %-44s %4d s\n' "$name" $((SECONDS - start)) >&2
}
