#!/usr/bin/env bash
# Runs the test suite that comes with EventStoreDB's official Go client against
# `recapito eventlog serve`: a copy of the module, in which only the file that starts
# containers is replaced. usage: run.sh BINARY [arguments of go test]
# What is skipped, and why, stands in docs/eventstoredb.md.
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
cd "$work"
rm go.sum
cat > go.mod <<EOF
module github.com/EventStore/EventStore-Client-Go/v4

go 1.21

require (
	github.com/google/uuid v1.6.0
	github.com/stretchr/testify v1.9.0
	google.golang.org/grpc $grpc
)
EOF
skip=$(grep -v '^#' "$here/skip.txt" | paste -sd '|')
export RECAPITO_BINARY=$binary EVENTSTORE_INSECURE=true GOFLAGS=-mod=mod
go test -count=1 -timeout 5m -run '^(TestStreams|TestExpectations|TestMisc|TestPositionParsing)$' -skip "$skip" "$@" ./esdb
