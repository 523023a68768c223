"""`hub rules`: store, list, and test rules."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from hub.cli.api_client import execute, run_or_exit
from hub.cli.target_hub import DEFAULT_DATA, Data, Tenant, Token, Url, fail, resolve_hub

LIST = "query { rules { key name enabled type source category template } }"
TEST = """query ($input: RuleInput!, $event: JSON!) { testRule(input: $input, event: $event) {
  matched reason data simulation { userId decisions { channel step outcome reason dueAt note } } } }"""

app = typer.Typer(
    no_args_is_help=True,
    help="""Store, list, and test rules, which turn events into sends.

    Example: hub rules test rules.yaml event.json""",
)
File = Annotated[Path, typer.Argument(help="A YAML or JSON file with one rule or an array.", show_default=False)]


@app.command()
def apply(
    file: File,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the differences, and store nothing.")] = False,
    url: Url = "",
    token: Token = "",
    tenant: Tenant = "default",
    data: Data = DEFAULT_DATA,
) -> None:
    """Store the rules of a file. Other rules are kept. The command prints the differences.

    Example: hub rules apply rules.yaml
    """
    from hub.cli.apply_files import apply_entries
    from hub.cli.setup_store import RULE, Calls

    rules = _read(file)
    apply_entries(Calls.of(resolve_hub(url, token, data), tenant), [(RULE, rules)], dry_run=dry_run)


@app.command("list")
def list_rules(url: Url = "", token: Token = "", tenant: Tenant = "default", data: Data = DEFAULT_DATA) -> None:
    """List the rules with the type of their events.

    Example: hub rules list
    """
    hub = resolve_hub(url, token, data)
    for rule in run_or_exit(execute(hub.url, hub.service_token(tenant), LIST), hub)["rules"]:
        source = f" from {rule['source']}" if rule["source"] else ""
        text = f"template {rule['template']}" if rule["template"] else "content"
        state = "" if rule["enabled"] else "  disabled"
        print(f"{rule['key']}  {rule['type']}{source}  {rule['category']}  {text}{state}")


@app.command("test")
def run_test(
    file: File,
    event: Annotated[
        Path, typer.Argument(help="A JSON or YAML file with the event, in the JSON format of CloudEvents.")
    ],
    url: Url = "",
    token: Token = "",
    tenant: Tenant = "default",
    data: Data = DEFAULT_DATA,
) -> None:
    """Print what the rules of a file would do with an event. Nothing is stored or sent.

    The exit code is 1 if a rule fits the event and sends nothing, for example because its template does not exist.

    Example: hub rules test rules.yaml event.json
    """
    from hub.cli.setup_files import SetupFileError, fields_of, read_value

    rules = _read(file)
    try:
        values = read_value(event)
    except SetupFileError as error:
        fail(str(error))
    hub = resolve_hub(url, token, data)
    failed = False
    for rule in rules:
        call = execute(hub.url, hub.service_token(tenant), TEST, input=fields_of(rule), event=values)
        result = run_or_exit(call, hub, f"rule {rule.key}")["testRule"]
        _print_test(rule.key, result)
        failed |= result["matched"] and result["reason"] is not None
    if failed:
        sys.exit(1)


def _read(file: Path) -> list[Any]:
    from hub.cli.apply_files import read_files
    from hub.cli.setup_files import SetupFileError
    from hub.cli.setup_store import RULE

    try:
        return read_files(RULE, [file])
    except SetupFileError as error:
        fail(str(error))


def _print_test(key: str, result: dict[str, Any]) -> None:
    from hub.cli.send_preview import print_decisions
    from hub.cli.setup_files import dump

    if result["reason"]:
        print(f"{key}: {'sends nothing' if result['matched'] else 'does not match'}: {result['reason']}")
    else:
        print(f"{key}: sends")
    if result["data"]:
        print("\n".join(f"  {line}" for line in dump({"data": result["data"]}).splitlines()))
    print_decisions(result["simulation"])
