# SPDX-License-Identifier: GPL-2.0-only
# apt with a state of its own, so that the machine's choice of packages stays untouched;
# apt verifies the archive's signatures. Sourced after common.sh.
# shellcheck shell=bash

# apt_state DIRECTORY ARCHITECTURE: what the functions below use.
apt_state()
{
	STATE=$1
	APT_ARCH=$2
	mkdir -p "$STATE/state" "$STATE/cache/archives/partial" "$STATE/lists/partial"
}

# The Debian mirror of this machine.
mirror()
{
	# shellcheck disable=SC2016	# apt's own variables
	apt-get indextargets --format '$(ORIGIN)|$(CODENAME)|$(REPO_URI)' \
		'Created-By: Packages' 2>/dev/null |
		awk -F'|' '$1 == "Debian" && $2 !~ /-/ { print $3; exit }'
}

# private_apt PROGRAM WORD...
private_apt()
{
	"$1" -o Dir::State="$STATE/state" -o Dir::Cache="$STATE/cache" \
	     -o Dir::State::Lists="$STATE/lists" \
	     -o Dir::State::Status=/dev/null \
	     -o Dir::Etc::SourceList="$STATE/sources.list" \
	     -o Dir::Etc::SourceParts=/dev/null \
	     -o Dir::Etc::Preferences=/dev/null \
	     -o Dir::Etc::PreferencesParts=/dev/null \
	     -o APT::Sandbox::User=root -o Acquire::Languages=none \
	     -o APT::Architecture="$APT_ARCH" -o APT::Architectures="$APT_ARCH" \
	     -o APT::Get::List-Cleanup=false \
	     -o Acquire::Check-Valid-Until=true "${@:2}"
}

source_line()
{
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $1 $2 main"
}

# update_lists MIRROR SUITES: a suite that the mirror does not have is no failure; that
# none is there is.
update_lists()
{
	local suite good=""

	for suite in $2; do
		source_line "$1" "$suite" >"$STATE/sources.list"
		if private_apt apt-get update -o APT::Update::Error-Mode=any; then
			good+=" $suite"
		else
			echo "suite $suite: not usable on this mirror"
		fi
	done
	for suite in $good; do
		source_line "$1" "$suite"
	done >"$STATE/sources.list"
	[ -n "$good" ] || { echo "no suite of $1 can be read"; return 1; }
}
