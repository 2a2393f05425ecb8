#!/bin/sh
# Puts the programs that the tests need on this machine where that is allowed, and says loudly what is missing.
set -eu
missing=""
need() { # name of the Debian package, then a test that it is there
	package=$1; shift
	if "$@" >/dev/null 2>&1; then return 0; fi
	if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
		echo "installing $package"
		{ apt-get install -y -q "$package" || { apt-get update -q && apt-get install -y -q "$package"; }; } >/dev/null 2>&1 || true
	fi
	"$@" >/dev/null 2>&1 || missing="$missing $package"
}
need softhsm2 test -e /usr/lib/softhsm/libsofthsm2.so
need chromium sh -c 'command -v chromium || command -v chromium-browser || command -v google-chrome'
if [ -n "$missing" ]; then
	echo "*** NOT THERE:$missing. The tests that need it will be skipped, each saying so. To run them: apt-get install$missing"
fi
