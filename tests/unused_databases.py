"""Drops the databases that tests have left. MongoDB creates a database more slowly the more of them it has."""

from pymongo import MongoClient

from hub.platform.embedded_servers import Mongod
from tests.client import Json
from tests.processes import Process

KEPT = {"admin", "config", "local", "hub"}
"""The databases of MongoDB itself and of the shared deployment."""


def drop_unused_databases(mongod: Mongod) -> None:
    """Drop the databases that no running hub process uses."""
    used = {process.environment.get("HUB_MONGO_DATABASE") for process in Process.instances if process.running}
    with MongoClient[Json](mongod.url) as client:
        for name in client.list_database_names():
            if name not in KEPT | used:
                client.drop_database(name)
