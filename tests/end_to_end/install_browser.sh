#!/bin/sh
# Installs Debian's Chromium for the browser tests when it is missing and the user is root; otherwise says that they are skipped.
command -v chromium >/dev/null 2>&1 && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing chromium for the browser tests"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; } >/dev/null 2>&1 && exit 0
fi
echo "No chromium here: the browser tests are skipped. To run them: sudo apt-get install chromium"
exit 0
