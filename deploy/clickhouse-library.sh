#!/bin/sh
# Fetches the embedded ClickHouse engine (libchdb, about 180 MB to download and
# 570 MB on disk) by npm into the cache folder, checks its SHA-256 and says
# what it did. Running it again costs nothing. The program looks for the
# library where this puts it: $XDG_CACHE_HOME or ~/.cache, then
# recapito/clickhouse/VERSION/libchdb.so (adapters/clickhouse, LibraryPath).
set -eu

version=26.7.3-stable.1 # keep equal to LibraryVersion; a test checks it
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)

say() { echo "clickhouse-library: $*"; }
fail() { echo "clickhouse-library: $*" >&2; exit 1; }

if [ -n "${RECAPITO_CLICKHOUSE_LIBRARY:-}" ]; then
	[ -f "$RECAPITO_CLICKHOUSE_LIBRARY" ] || fail "RECAPITO_CLICKHOUSE_LIBRARY names $RECAPITO_CLICKHOUSE_LIBRARY, which is not there"
	say "using $RECAPITO_CLICKHOUSE_LIBRARY (RECAPITO_CLICKHOUSE_LIBRARY), unchecked"
	exit 0
fi

case $(uname -s)-$(uname -m) in
Linux-x86_64) platform=linux-x64-gnu ;;
Darwin-arm64) platform=darwin-arm64 ;;
Darwin-x86_64) platform=darwin-x64 ;;
*) fail "no engine is published for $(uname -s) on $(uname -m); set clickhouse.url to a ClickHouse server" ;;
esac

folder=${XDG_CACHE_HOME:-$HOME/.cache}/recapito/clickhouse/$version
library=$folder/libchdb.so
checked=$folder/libchdb.so.sha256 # what was found when it was put there

if [ -f "$library" ] && [ -f "$checked" ]; then
	say "already there: $library"
	exit 0
fi

command -v npm >/dev/null 2>&1 || fail "npm is needed to fetch @chdb/lib-$platform; or name a library in RECAPITO_CLICKHOUSE_LIBRARY"
if command -v sha256sum >/dev/null 2>&1; then sum=sha256sum; else sum="shasum -a 256"; fi

mkdir -p "$folder"
work=$(mktemp -d "$folder/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

say "fetching @chdb/lib-$platform $version (about 180 MB) …"
(cd "$work" && npm pack --silent "@chdb/lib-$platform@$version" >/dev/null) ||
	fail "npm could not fetch @chdb/lib-$platform@$version"
tar -xzf "$work"/*.tgz -C "$work" package/libchdb.so || fail "the package holds no libchdb.so"

found=$($sum "$work/package/libchdb.so" | cut -d' ' -f1)
wanted=$(sed -n "s/^\([0-9a-f]\{64\}\)  $platform\$/\1/p" "$here/clickhouse-library.sha256")
if [ -z "$wanted" ]; then
	[ "${RECAPITO_CLICKHOUSE_UNVERIFIED:-}" = 1 ] || fail "no hash is recorded for $platform (found $found): compare it with a source you trust, add it to deploy/clickhouse-library.sha256, or set RECAPITO_CLICKHOUSE_UNVERIFIED=1"
	verdict="not verified, as asked"
elif [ "$found" = "$wanted" ]; then
	verdict="SHA-256 as recorded"
else
	fail "the SHA-256 of the fetched library is $found, not the recorded $wanted; nothing was kept"
fi

# Whole or not at all: the hash's file comes last.
mv "$work/package/libchdb.so" "$library"
echo "$found  libchdb.so" >"$checked"
say "$library ($verdict)"
