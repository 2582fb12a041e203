#!/usr/bin/env bash
# Writes pages of made-up reports and opens them in a real headless Chromium: deploy/dev/page-test/run.sh. Needs Node 20 or later and Chromium, which is looked
# for on the PATH (CHROMIUM names another one; on Debian: apt-get install chromium). Playwright drives it and downloads no browser of its own.
# With SCREENSHOTS=DIR pictures of the pages are left there, to be looked at.
set -euo pipefail
cd "$(dirname "$0")"

CHROMIUM=${CHROMIUM:-$(command -v chromium || command -v chromium-browser || command -v google-chrome)} || { echo 'page-test: there is no chromium on the PATH' >&2; exit 1; }
export CHROMIUM
PAGES=$(mktemp -d "${TMPDIR:-/tmp}/verdict-pages.XXXXXX")
export PAGES
trap 'rm -rf "$PAGES"' EXIT

[ -d node_modules/playwright-core ] && [ -d node_modules/axe-core ] || npm ci --no-audit --no-fund --loglevel=error
go run . "$PAGES"
node --test --test-reporter=spec page.test.mjs
