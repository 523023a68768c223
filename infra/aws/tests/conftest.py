"""The templates that `make infra-aws` has synthesized."""

import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
BUILT = ROOT / "build" / "aws"

Resource = dict[str, Any]


class Template:
    """The template of a stack."""

    def __init__(self, example: str, stack: str) -> None:
        self.path = BUILT / example / f"{stack}.template.json"
        self.content: dict[str, Any] = json.loads(self.path.read_text(encoding="utf-8"))

    def find(self, type: str) -> dict[str, Resource]:
        """Return the properties of the resources of a type, by logical id."""
        return {
            id: resource.get("Properties", {})
            for id, resource in self.content["Resources"].items()
            if resource["Type"] == type
        }

    def one(self, type: str) -> Resource:
        """Return the properties of the only resource of a type."""
        [properties] = self.find(type).values()
        return properties

    def containers(self) -> dict[str, Resource]:
        """Return the definition of the hub's container, by command."""
        definitions = [task["ContainerDefinitions"] for task in self.find("AWS::ECS::TaskDefinition").values()]
        return {one["Command"][0]: one for containers in definitions for one in containers if one["Name"] == "hub"}

    def statements(self, role: str) -> list[Resource]:
        """Return the statements of the policies of the role whose logical id begins with `role`."""
        found = []
        for policy in self.find("AWS::IAM::Policy").values():
            if any(one["Ref"].startswith(role) for one in policy["Roles"]):
                found += policy["PolicyDocument"]["Statement"]
        return found

    def actions(self, role: str) -> set[str]:
        """Return the actions that the role may call."""
        listed = [statement["Action"] for statement in self.statements(role)]
        return {action for one in listed for action in ([one] if isinstance(one, str) else one)}


def values(parts: Any) -> str:
    """Return a text of a template, in which references are the ids of their resources."""
    if isinstance(parts, str):
        return parts
    [(function, argument)] = parts.items()
    if function == "Fn::Join":
        separator, items = argument
        return str(separator).join(values(item) for item in items)
    return f"<{argument if isinstance(argument, str) else '.'.join(map(str, argument))}>"


@pytest.fixture(scope="session")
def hub() -> Template:
    return Template("example", "Hub")


@pytest.fixture(scope="session")
def intake() -> Template:
    return Template("example", "HubIntake")


@pytest.fixture(scope="session")
def stores() -> Template:
    return Template("example", "HubStores")


@pytest.fixture(scope="session")
def alarms() -> Template:
    return Template("example", "HubAlarms")


@pytest.fixture(scope="session")
def network() -> Template:
    return Template("example", "HubNetwork")


@pytest.fixture(scope="session")
def other_hub() -> Template:
    return Template("own-mongo", "Hub")


@pytest.fixture(scope="session")
def own_mongo() -> Template:
    return Template("own-mongo", "HubStores")
