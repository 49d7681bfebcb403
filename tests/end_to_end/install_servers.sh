#!/bin/sh
# Installs what the tests of the connectors talk to, each into a folder of its own under .venv: Azurite (by npm) and moto
# (into its own environment, since boto3 does not go with the lock). What cannot be installed is said; its tests are skipped.
cd "$(dirname "$0")/../.." || exit 0
VENV="${VENV:-.venv}"
if [ ! -x "$VENV/azurite/node_modules/.bin/azurite-blob" ]; then
    if command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1; then
        echo "Installing Azurite for the tests of the Azure connector"
        mkdir -p "$VENV/azurite"
        npm install --prefix "$VENV/azurite" --no-audit --no-fund --silent 'azurite@^3.35.0' >/dev/null 2>&1 ||
            echo "Azurite could not be installed: the tests of the Azure connector are skipped."
    else
        echo "No node and npm here: the tests of the Azure connector are skipped. To run them: sudo apt-get install nodejs npm"
    fi
fi
if ! "$VENV/moto/bin/python" -c 'import moto.server' >/dev/null 2>&1; then
    echo "Installing moto for the tests of the S3 connector"
    { "$VENV/bin/python" -m venv "$VENV/moto" &&
        "$VENV/moto/bin/python" -m pip --disable-pip-version-check install --quiet 'moto[s3]>=5.2.5' flask flask-cors; } >/dev/null 2>&1 ||
        echo "moto could not be installed: the tests of the S3 connector are skipped."
fi
exit 0
