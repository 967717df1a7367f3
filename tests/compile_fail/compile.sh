#!/usr/bin/env bash
# compile.sh LOG COMMAND...: runs COMMAND, and ends well also if it does not: its words and its exit status are the log.
set -uo pipefail
log="$1"
shift
status=0
LC_ALL=C "$@" >"${log}" 2>&1 || status=$?
echo "exit status ${status}" >>"${log}"
