"""`hub users import` and `hub users export`."""

import asyncio
import csv
import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from hub.platform.connections import Database
from tests.cli_commands import Command, base_url, run_command
from tests.client import Json, Tenant, eventually
from tests.conftest import scaled
from tests.processes import SECRET, Deployment

USERS = "query ($a: String) { users(first: 100, after: $a) { nodes { id name email phone locale timezone attributes } pageInfo { hasNextPage endCursor } } }"
NONE = {"name": None, "email": None, "phone": None, "locale": "en", "timezone": "UTC", "attributes": None}


async def all_users(tenant: Tenant) -> dict[str, Json]:
    """Return the users by id, without empty fields."""
    users: dict[str, Json] = {}
    after = None
    while True:
        page = (await tenant.execute(USERS, a=after))["users"]
        for node in page["nodes"]:
            users[node["id"]] = {k: v for k, v in node.items() if k != "id" and v != NONE[k]}
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            return users


def options(tenant: Tenant, deployment: Deployment) -> list[str]:
    return ["--url", base_url(deployment), "--tenant", tenant.name]


def run(tenant: Tenant, deployment: Deployment, name: str, *arguments: object) -> Any:
    return run_command("users", name, *map(str, arguments), *options(tenant, deployment), jwt_secret=SECRET)


def write_rows(path: Path, header: list[str], *rows: list[str]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def files(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


async def test_csv_is_imported_with_attributes(tenant: Tenant, deployment: Deployment, tmp_path: Path) -> None:
    await tenant.execute('mutation { upsertUsers(users: [{id: "bob", name: "Bob", email: "b@x.example"}]) { id } }')
    header = ["id", "email", "name", "timezone", "attributes", "attributes.plan", "attributes.seats", "attributes.zip"]
    path = write_rows(
        tmp_path / "users.csv",
        header,
        ["alice", "a@x.example", "Zoë, the first", "Europe/Berlin", '{"a": [1]}', "pro\nor free", "3", "01234"],
        ["bob", "", "Robert", "", "", "", "", '"5"'],
        ["carol", "", "", "", "", "", "true", "1.5"],
        ["alice", "", "Zoë", "", "", "", "", ""],
    )
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    done = run(tenant, deployment, "import", path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("4 users imported in ")
    assert await all_users(tenant) == {
        "alice": {
            "email": "a@x.example",
            "name": "Zoë",
            "timezone": "Europe/Berlin",
            "attributes": {"a": [1], "plan": "pro\nor free", "seats": 3, "zip": "01234"},
        },
        "bob": {"name": "Robert", "email": "b@x.example", "attributes": {"zip": "5"}},
        "carol": {"attributes": {"seats": True, "zip": 1.5}},
    }
    assert files(tmp_path) == [path.name]


async def test_rejected_rows_are_named_and_can_be_imported_after_correction(
    tenant: Tenant, deployment: Deployment, tmp_path: Path
) -> None:
    """The other rows are imported, whatever is wrong: a value, the CSV, the encoding, the JSON."""
    rows = [["id", "email", "timezone", "attributes.a.b"], *([f"u{n}", "", "", ""] for n in range(10))]
    rows[3][1], rows[6][2], rows[8][3], rows[9] = "nobody", "Mars/Base", "1", ["u8", "x"]
    rows.append(["", "c@x.example", "", ""])
    path = write_rows(tmp_path / "users.csv", *rows)
    path.write_bytes(path.read_bytes() + b"\xff,,,\r\n")
    done = run(tenant, deployment, "import", path)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert [line.split(": ")[:2] for line in lines[:-1]] == [
        [f"{path}:4", "email"],
        [f"{path}:7", "timezone"],
        [f"{path}:9", "attributes.a.b"],
        [f"{path}:10", "the row has 2 cells, and the header 4"],
        [f"{path}:12", "id"],
        [f"{path}:13", "this is not UTF-8"],
    ]
    assert "Pass a name such as Europe/Berlin." in lines[1]
    rejected = tmp_path / "users.rejected.csv"
    assert lines[-1] == f"6 rows were rejected. Correct and import: {rejected}"
    assert done.stdout.startswith("6 users imported")
    assert sorted(await all_users(tenant)) == ["u0", "u1", "u3", "u4", "u6", "u9"]
    text = rejected.read_bytes().decode(errors="replace")
    assert text.splitlines()[:2] == ["id,email,timezone,attributes.a.b", "u2,nobody,,"]
    write_rows(rejected, ["id", "email"], ["u2", "n@x.example"])
    assert run(tenant, deployment, "import", rejected).returncode == 0
    assert (await all_users(tenant))["u2"] == {"email": "n@x.example"}
    lines_file = tmp_path / "more.jsonl"
    lines_file.write_text('{"id": "v1", "attributes": {"$a": 1}}\n{"id": \n\n{"id": "v2", "mail": 1}\n{"id": "v3"}')
    done = run(tenant, deployment, "import", lines_file)
    assert [line.rpartition(".jsonl:")[2].split(":")[0] for line in done.stderr.splitlines()[:-1]] == ["1", "2", "4"]
    assert "attributes.$a: The name of an attribute must not begin with $" in done.stderr
    assert (tmp_path / "more.rejected.jsonl").read_text().count("\n") == 3
    assert "v3" in await all_users(tenant)


async def test_row_that_no_request_may_contain_is_rejected_alone(
    tenant: Tenant, deployment: Deployment, tmp_path: Path
) -> None:
    """The error names no user: half a surrogate, or a number that JSON does not have."""
    path = tmp_path / "users.jsonl"
    users: list[Json] = [{"id": f"u{n}", "name": "\ud800" if n in (3, 7) else "N"} for n in range(20)]
    path.write_text("".join(json.dumps(user) + "\n" for user in users) + '{"id": "v", "attributes": {"n": -1e999}}\n')
    done = run(tenant, deployment, "import", path)
    assert [line.split(":")[1] for line in done.stderr.splitlines()[:-1]] == ["4", "8", "21"], done.stderr
    assert done.stdout.startswith("18 users imported")
    assert (await all_users(tenant)).keys() == {f"u{n}" for n in range(20) if n not in (3, 7)}
    csv_path = write_rows(tmp_path / "users.csv", ["id", "attributes.code"], ["w", "1e999"], ["x", "1e9"])
    assert run(tenant, deployment, "import", csv_path).returncode == 0
    users_now = await all_users(tenant)
    assert (users_now["w"], users_now["x"]) == ({"attributes": {"code": "1e999"}}, {"attributes": {"code": 1e9}})


async def test_users_whom_the_hub_refuses_without_a_reason_stop_the_import(
    tenant: Tenant, deployment: Deployment, tmp_path: Path
) -> None:
    path = tmp_path / "users.jsonl"
    path.write_text("".join(json.dumps({"id": f"u{n}", "name": "\ud800"}) + "\n" for n in range(3)))
    done = run(tenant, deployment, "import", path)
    assert done.returncode == 1
    assert done.stderr.startswith("BAD_USER_INPUT (body): ")
    assert files(tmp_path) == [path.name]


async def test_last_row_of_a_user_remains_if_its_id_is_a_number(
    tenant: Tenant, deployment: Deployment, tmp_path: Path
) -> None:
    path = tmp_path / "users.jsonl"
    rows: list[Json] = [{"id": 7 if n % 500 == 0 else f"u{n}", "name": str(n)} for n in range(5_000)]
    rows.append({"id": "7", "name": "last"})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert run(tenant, deployment, "import", path).returncode == 0
    assert (await tenant.execute('{ user(id: "7") { name } }'))["user"]["name"] == "last"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("users.csv", "id,mail\n", ":1: `mail` is not a column. The columns are id, name,"),
        ("users.csv", "name\nx\n", ":1: the column `id` is missing."),
        ("users.csv", "", ":1: the column `id` is missing."),
        ("users.csv", "id,name,id\n", ":1: two columns have the same name."),
        ("users.txt", "", ": the name must end with .csv or .jsonl."),
        ("", "", "missing.csv: No such file or directory."),
    ],
)
async def test_file_that_cannot_be_imported_is_refused_with_the_reason(
    tenant: Tenant, deployment: Deployment, tmp_path: Path, name: str, text: str, message: str
) -> None:
    path = tmp_path / (name or "missing.csv")
    if name:
        path.write_text(text)
    done = run(tenant, deployment, "import", path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("is_killed", [True, False])
async def test_interrupted_import_continues_after_the_last_recorded_row(
    tenant: Tenant, deployment: Deployment, tmp_path: Path, database: Database, is_killed: bool
) -> None:
    """It is killed or stopped with Ctrl-C, and later finds its position. No row is lost, and each rejected row is written once."""
    count = scaled(30_000, 60_000)
    path = tmp_path / "users.jsonl"
    bad = range(500, count, 5_000)
    lines = [{"id": f"u{n:06}", "email": "none" if n in bad else f"u{n}@x.example"} for n in range(count)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    progress = tmp_path / "users.jsonl.progress"

    async def has_rejected() -> bool:
        return progress.exists() and json.loads(progress.read_bytes()).get("rejected", 0) > 1

    async with Command("users", "import", str(path), *options(tenant, deployment), jwt_secret=SECRET) as first:
        await eventually(has_rejected, 60)
        if is_killed:
            first.kill()
        else:
            first.interrupt()
            assert await first.wait(10) == 130
            assert first.err.endswith(" users are imported. Run the same command again to continue.\n")
            assert "Traceback" not in first.err
    position = json.loads(progress.read_bytes())
    assert 0 < position["imported"] < count - len(bad)
    other = run(tenant, deployment, "import", write_rows(tmp_path / "other.csv", ["id"], ["x"]))
    assert other.returncode == 0
    done = await asyncio.to_thread(run, tenant, deployment, "import", path)
    assert f"Continuing after {position['imported'] + position['rejected']:,} rows." in done.stderr
    assert done.stdout.startswith(f"{count - len(bad):,} users imported")
    own = {"_id": {"$gte": f"{tenant.name}/u", "$lt": f"{tenant.name}/v"}}
    assert await database.users.count_documents(own) == count - len(bad)
    rejected = (tmp_path / "users.rejected.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in rejected] == [f"u{n:06}" for n in bad]
    assert not progress.exists()


async def test_last_row_of_a_user_remains(tenant: Tenant, deployment: Deployment, tmp_path: Path) -> None:
    """Also if several batches are written at the same time."""
    count = scaled(5_000, 30_000)
    rows = [["same" if n % 500 == 0 else f"u{n}", str(n)] for n in range(count)]
    rows.append(["same", "last"])
    path = write_rows(tmp_path / "users.csv", ["id", "name"], *rows)
    assert run(tenant, deployment, "import", path).returncode == 0
    found = await tenant.execute('{ user(id: "same") { name } }')
    assert found["user"]["name"] == "last"


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
async def test_exported_users_are_equal_after_an_import(
    tenant: Tenant, deployment: Deployment, tmp_path: Path, suffix: str
) -> None:
    texts = ["", "3", "-", "true", "null", "[x", '"', "a,b\nc", "007", "ü", " x "]
    values: list[Json] = [
        {"n": 2**53 + 1, "f": 0.1, "none": None, "list": [1, {"a": "b"}], "object": {"x": {}}, "flag": False},
        *({"text": text} for text in texts),
    ]
    users = [{"id": f"u{n:03}", "attributes": value} for n, value in enumerate(values)]
    users += [{"id": f"v{n:03}", "name": f'N"{n}', "email": f"{n}@x.example"} for n in range(250)]
    users.append({"id": "w", "phone": "+4915112345678", "locale": "de", "timezone": "Asia/Tokyo"})
    await tenant.execute("mutation ($u: [UserInput!]!) { upsertUsers(users: $u) { id } }", u=users)
    path = tmp_path / f"users.{suffix}"
    done = run(tenant, deployment, "export", path)
    assert (done.returncode, done.stdout) == (0, f"{len(users)} users exported to {path}.\n"), done.stderr
    assert files(tmp_path) == [path.name]
    printed = run(tenant, deployment, "export").stdout.splitlines()
    assert [json.loads(line) for line in printed] == users
    service = ["--token", tenant.token(), "--url", base_url(deployment)]
    with_locales = run_command("users", "export", *service)
    assert "Use an admin token" in with_locales.stderr
    assert json.loads(with_locales.stdout.splitlines()[0]) == users[0] | {"locale": "en", "timezone": "UTC"}
    async with Tenant(f"t{uuid4().hex[:12]}", tenant.urls) as copy:
        imported = run(copy, deployment, "import", path)
        assert imported.returncode == 0, imported.stderr
        assert await all_users(copy) == await all_users(tenant)


async def test_import_with_a_wrong_token_says_so(tenant: Tenant, deployment: Deployment, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "users.csv", ["id"], ["alice"])
    user_token = tenant.token("alice")
    done = run_command("users", "import", str(path), "--url", base_url(deployment), "--token", user_token)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "FORBIDDEN: This operation requires a token with role service or admin.",
        "0 users are imported. Run the same command again to continue.",
    ]
