#!/usr/bin/env bash
# Prints the first Python of version 3.10 to 3.13 that really runs; PYTHON=... chooses one.
set -u
for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11 python3.10 python; do
    if "$candidate" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' >/dev/null 2>&1; then
        command -v "$candidate"
        exit 0
    fi
done
echo "No Python from 3.10 to 3.13 found: install one, or name it: make PYTHON=/path/to/python3.12 ..." >&2
exit 1
