#!/bin/sh
# Ruff and mypy over the scripts and over the tests' helpers: `npm run check:python`. The two live in .cache/lint.
set -eu
cd "$(dirname "$0")"
lint=../../.cache/lint
[ -x "$lint/bin/python" ] || ../../.venv/bin/python -m venv "$lint"
"$lint/bin/pip" install --quiet --disable-pip-version-check ruff==0.17.6 mypy==2.4.1
"$lint/bin/ruff" check --config pyproject.toml . ../../test/reference-backend
"$lint/bin/ruff" format --config pyproject.toml --check . ../../test/reference-backend
"$lint/bin/mypy" --python-executable ../../.venv/bin/python
