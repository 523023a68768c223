"""`hub topics`: list, show, and change topics, and subscribe and unsubscribe users."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import typer

from hub.cli.api_client import ApiError, HubUnreachable, execute, run_or_exit
from hub.cli.target_hub import DEFAULT_DATA, Data, Tenant, Token, Url, fail, resolve_hub

FIELDS = "key name description visible subscribers createdAt"
LIST = f"""query ($search: String, $after: String) {{
  topics(search: $search, first: 100, after: $after) {{ nodes {{ {FIELDS} }} pageInfo {{ hasNextPage endCursor }} }}
}}"""
UPSERT = f"mutation ($input: TopicInput!) {{ upsertTopic(input: $input) {{ {FIELDS} }} }}"
SUBSCRIBE = """mutation ($topic: String!, $users: [ID!]!, $force: Boolean) {
  changed: subscribeToTopic(topic: $topic, users: $users, force: $force)
}"""
UNSUBSCRIBE = """mutation ($topic: String!, $users: [ID!]!) {
  changed: unsubscribeFromTopic(topic: $topic, users: $users)
}"""
BATCH_SIZE = 1000  # users per call
STDIN = Path("-")

app = typer.Typer(
    no_args_is_help=True,
    help="""List, show, and change topics, and subscribe and unsubscribe users.

    Example: hub topics subscribe releases alice bob""",
)
Key = Annotated[str, typer.Argument(help="The key of the topic.", show_default=False)]
Users = Annotated[list[str] | None, typer.Argument(help="The ids of the users.", show_default=False)]
File = Annotated[
    Path | None, typer.Option("--file", help="A file with the ids of users, one per line; - reads standard input.")
]


@app.command("list")
def list_topics(
    search: Annotated[str, typer.Argument(help="List only topics with this text in the key or the name.")] = "",
    url: Url = "",
    token: Token = "",
    tenant: Tenant = "default",
    data: Data = DEFAULT_DATA,
) -> None:
    """List the topics with their names and numbers of subscribers.

    Example: hub topics list
    """
    calls = _Calls(url, token, tenant, data)

    async def print_all() -> None:
        async for topic in calls.topics(search):
            visible = "visible" if topic["visible"] else "invisible"
            print(f"{topic['key']}  {topic['name']}  {visible}  {_count(topic['subscribers'], 'subscriber')}")

    run_or_exit(print_all(), calls.hub)


@app.command()
def show(key: Key, url: Url = "", token: Token = "", tenant: Tenant = "default", data: Data = DEFAULT_DATA) -> None:
    """Show a topic.

    Example: hub topics show releases
    """
    calls = _Calls(url, token, tenant, data)
    topic = run_or_exit(calls.find(key), calls.hub)
    _print_topic(topic or fail(f"This tenant has no topic {key}."))


@app.command()
def upsert(
    key: Key,
    name: Annotated[str | None, typer.Option("--name", help="The display name. Defaults to the key.")] = None,
    description: Annotated[str | None, typer.Option("--description", help="The display text.")] = None,
    visible: Annotated[
        bool | None, typer.Option("--visible/--invisible", help="Show the topic to its subscribers, who may leave it.")
    ] = None,
    url: Url = "",
    token: Token = "",
    tenant: Tenant = "default",
    data: Data = DEFAULT_DATA,
) -> None:
    """Create a topic, or change the named fields of a topic.

    Example: hub topics upsert releases --name Releases --visible
    """
    calls = _Calls(url, token, tenant, data)

    async def change() -> dict[str, Any]:
        given = {"name": name, "description": description, "visible": visible}
        stored = await calls.find(key) or {}
        kept = {field: stored.get(field) if value is None else value for field, value in given.items()}
        topic: dict[str, Any] = (await calls.execute(UPSERT, input={"key": key, **kept}))["upsertTopic"]
        return topic

    _print_topic(run_or_exit(change(), calls.hub))


@app.command()
def subscribe(
    key: Key,
    users: Users = None,
    file: File = None,
    force: Annotated[bool, typer.Option("--force", help="Also subscribe users who left the topic.")] = False,
    url: Url = "",
    token: Token = "",
    tenant: Tenant = "default",
    data: Data = DEFAULT_DATA,
) -> None:
    """Subscribe users to a topic. Users and a topic that do not exist are created. Users who left stay out.

    Example: hub topics subscribe releases --file users.txt
    """
    ids = _read_ids(users, file)
    calls = _Calls(url, token, tenant, data)
    changed = run_or_exit(calls.in_batches(SUBSCRIBE, key, ids, force=force), calls.hub)
    rest = "" if changed == len(ids) else " The others were subscribed before, or have left the topic."
    print(f"{changed:,} of {_count(len(ids), 'user')} subscribed.{rest}")


@app.command()
def unsubscribe(
    key: Key,
    users: Users = None,
    file: File = None,
    url: Url = "",
    token: Token = "",
    tenant: Tenant = "default",
    data: Data = DEFAULT_DATA,
) -> None:
    """Unsubscribe users from a topic.

    Example: hub topics unsubscribe releases alice
    """
    ids = _read_ids(users, file)
    calls = _Calls(url, token, tenant, data)
    changed = run_or_exit(calls.in_batches(UNSUBSCRIBE, key, ids), calls.hub)
    rest = "" if changed == len(ids) else " The others were not subscribed."
    print(f"{changed:,} of {_count(len(ids), 'user')} unsubscribed.{rest}")


class _Calls:
    """The API calls of one command."""

    def __init__(self, url: str, token: str, tenant: str, data: Path) -> None:
        self.hub = resolve_hub(url, token, data)
        self._token = self.hub.service_token(tenant)

    async def execute(self, query: str, **variables: Any) -> dict[str, Any]:
        return await execute(self.hub.url, self._token, query, **variables)

    async def topics(self, search: str) -> AsyncIterator[dict[str, Any]]:
        after = None
        while True:
            page = (await self.execute(LIST, search=search, after=after))["topics"]
            for topic in page["nodes"]:
                yield topic
            if not page["pageInfo"]["hasNextPage"]:
                return
            after = page["pageInfo"]["endCursor"]

    async def find(self, key: str) -> dict[str, Any] | None:
        async for topic in self.topics(key):
            if topic["key"] == key:
                return topic
        return None

    async def in_batches(self, query: str, topic: str, users: list[str], **variables: Any) -> int:
        """Call a mutation for all users. Print the progress. Return the sum of the results."""
        changed = 0
        for start in range(0, len(users), BATCH_SIZE):
            batch = users[start : start + BATCH_SIZE]
            try:
                changed += (await self.execute(query, topic=topic, users=batch, **variables))["changed"]
            except (ApiError, HubUnreachable):
                if start:
                    print(f"The first {start:,} of {len(users):,} users are done.", file=sys.stderr)
                raise
            if len(users) > BATCH_SIZE:
                print(f"{start + len(batch):,} of {len(users):,} users", file=sys.stderr, flush=True)
        return changed


def _read_ids(users: list[str] | None, file: Path | None) -> list[str]:
    """Return the distinct ids of the arguments and the file. Exit if there are none, or if the file cannot be read."""
    lines: list[str] = []
    if file:
        try:
            text = sys.stdin.read() if file == STDIN else file.read_text(encoding="utf-8-sig")
        except OSError as error:
            fail(f"{file} cannot be read: {error.strerror}.")
        except UnicodeDecodeError as error:
            fail(f"{file} cannot be read: {error}.")
        lines = [line.strip() for line in text.split("\n")]
    ids = list(dict.fromkeys(id for id in (*(users or ()), *lines) if id))
    return ids or fail("Name at least one user, or pass --file.", 2)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _print_topic(topic: dict[str, Any]) -> None:
    print(f"{topic['key']}: {topic['name']}")
    if topic["description"]:
        print(topic["description"])
    print(f"{'Visible' if topic['visible'] else 'Invisible'}, {_count(topic['subscribers'], 'subscriber')}")
    print(f"Created {topic['createdAt']}")
