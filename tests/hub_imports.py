"""Imports what the commands import when they run, in the process from which hub processes are forked."""

import gc

import hub.api.app
import hub.runtime.intake
import hub.runtime.serve
import hub.runtime.work  # noqa: F401 - not used here
from hub.cli.main import build_app
from hub.runtime.dispatchers import load_channels

build_app()  # imports the modules of all commands
load_channels()
gc.freeze()  # otherwise each process copies the memory of these modules when it collects garbage
