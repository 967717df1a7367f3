#!/bin/sh
# Runs the program given as the first argument, so that a binary can be a test as well (gyre_cc_bench).
exec "$@"
