"""Imports what the commands import when they run, and builds the GraphQL schema, in the process from which hub
processes are forked."""

import gc

import hub.api.app
import hub.runtime.intake
import hub.runtime.serve
import hub.runtime.work
from hub.api.schema.root import make_schema
from hub.cli.main import build_app
from hub.runtime.dispatchers import load_channels

SCHEMA = make_schema()
"""Each process makes one API at most, so it need not build the schema again, which takes half of its start."""

setattr(hub.api.app, "make_schema", lambda: SCHEMA)  # noqa: B010 - mypy refuses a plain assignment
build_app()  # imports the modules of all commands
load_channels()
gc.freeze()  # otherwise each process copies the memory of these modules when it collects garbage
