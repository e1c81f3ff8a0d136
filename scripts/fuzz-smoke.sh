#!/usr/bin/env bash
# Runs every fuzz target for a short while: FUZZTIME each, 10s if not set.
set -euo pipefail
cd "$(dirname "$0")/.."
for package in $(go list ./...); do
	for target in $(go test -list '^Fuzz' "$package" | grep '^Fuzz' || true); do
		echo "== $package $target"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-10s}" -parallel "${FUZZPARALLEL:-2}" "$package"
	done
done
