#!/usr/bin/env bash
# Runs the test suite that comes with EventStoreDB's official Go client against
# `recapito eventlog serve`: a copy of the module, in which only the file that starts
# containers is replaced, and one is added that makes the data set of the fixtures. All of
# it runs without TLS, the streams' tests with TLS and a password too. usage: run.sh BINARY [arguments of go test]
# What is left out, and why, stands in docs/eventstoredb.md.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
binary=$(realpath "$1")
shift
module=$(go list -m -f '{{.Dir}}' github.com/EventStore/EventStore-Client-Go/v4)
grpc=$(go list -m -f '{{.Version}}' google.golang.org/grpc)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -R "$module/." "$work"
chmod -R u+w "$work"
cp "$here/containers_test.go.txt" "$work/esdb/containers_test.go"
cp "$here/fixtures_test.go.txt" "$work/esdb/fixtures_test.go"
cd "$work"
rm go.sum
cat > go.mod <<EOF
module github.com/EventStore/EventStore-Client-Go/v4

go 1.22

require (
	github.com/google/uuid v1.6.0
	github.com/stretchr/testify v1.9.0
	google.golang.org/grpc $grpc
)
EOF
export RECAPITO_BINARY=$binary GOFLAGS=-mod=mod

# certificate DIR NAME [arguments]: a key, and a certificate of it
certificate() {
	mkdir -p "certs/$1"
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "/CN=$2" \
		-keyout "certs/$1/$2.key" -out "certs/$1/$2.crt" "${@:3}" 2>/dev/null
}
certificate ca ca
certificate untrusted-ca ca
certificate node node -CA certs/ca/ca.crt -CAkey certs/ca/ca.key \
	-addext 'subjectAltName=DNS:localhost,IP:127.0.0.1' -addext 'basicConstraints=critical,CA:false'

run() { go test -count=1 -timeout 5m "$@" ./esdb; }
EVENTSTORE_INSECURE=true run -run '^(TestStreams|TestPersistentSubscriptions|TestExpectations|TestMisc|TestPositionParsing)$' "$@"
EVENTSTORE_INSECURE=false run -run '^TestStreams$' "$@"
