"""The commands and examples of the documentation run. `make check` compares them with the pages; `make front` checks their types."""

import asyncio
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from docs.examples.read_marks import test_read_notification_is_not_unread  # noqa: F401 - pytest runs it
from docs.examples.setting import ExampleSettings
from hub.model import Role
from tests.cli_commands import SERVES, Command, environment
from tests.client import Tenant
from tests.conftest import NODE
from tests.doc_pages import DOCS, ROOT, example_pages, text_of
from tests.forked_shell_commands import forked_hub_program

EXAMPLES = DOCS / "examples"
SCRIPT = ROOT / "infra" / "checks" / "examples.py"


def test_example_setting_reads_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_JWT_SECRET", "s" * 32)
    monkeypatch.setenv("HUB_EXPORT_MAX_AGE_S", "60")
    assert ExampleSettings().export_max_age_s == 60


async def test_example_client_prints_a_new_notification(tenant: Tenant, node: str, tmp_path: Path) -> None:
    (tmp_path / "node_modules").symlink_to(NODE / "node_modules")
    script = shutil.copy(EXAMPLES / "watch.mjs", tmp_path)
    process = await asyncio.create_subprocess_exec(
        node, script, tenant.urls[0], tenant.token("alice"), stdout=subprocess.PIPE
    )
    assert process.stdout
    try:
        async with asyncio.timeout(60):
            assert await process.stdout.readline() == b"0 unread\n"
            await tenant.send("alice", title="Hello")
            assert await process.stdout.readline() == b"ADDED Hello 1 unread\n"
    finally:
        process.kill()
        await process.wait()


@pytest.mark.skipif(not shutil.which("curl"), reason="the examples call curl")
@pytest.mark.timeout(900)
async def test_documented_commands_work(folder: Path) -> None:
    blocks = re.findall(r"```sh\n(.*?)```", text_of(*example_pages()), re.DOTALL)
    (folder / "docs").symlink_to(DOCS)
    async with Command("dev", "--port", "0", cwd=folder) as hub, forked_hub_program() as program:
        url = (await hub.wait_for_output(SERVES))[1]
        script = "\n".join(blocks).replace("http://127.0.0.1:8000", url).replace(".venv/bin/hub", str(program))
        done = await asyncio.to_thread(
            subprocess.run,
            ["bash", "-c", script],
            cwd=folder,
            env=environment(),
            text=True,
            capture_output=True,
            timeout=800,  # about a hundred commands
        )
    assert done.stderr == ""
    assert '"errors"' not in done.stdout
    for words in (
        '"duplicate":false',
        '"title":"While you were away"',
        '"changed":1',
        '"email":"carol@example.org"',
        '"kind":"DELIVERY"',
        "All is well.",
    ):
        assert words in done.stdout


async def test_graphql_examples_succeed_with_the_token_of_graphiql(tenant: Tenant) -> None:
    blocks = re.findall(r"```graphql\n(.*?)```", text_of(*example_pages()), re.DOTALL)
    assert len(blocks) > 5
    await tenant.send("alice")
    headers = {"authorization": f"Bearer {tenant.token('alice', role=Role.ADMIN)}"}
    for block in blocks:
        response = await tenant.execute_raw(block, headers=headers)
        assert "errors" not in response, (block, response)


def _replace(path: Path, old: str, new: str) -> None:
    source = path.read_text()
    assert source.count(old) == 1, f"{path.name}: {old!r}"
    path.write_text(source.replace(old, new))


def _insert(path: Path, anchor: str, text: str, *, before: bool = False) -> None:
    source = path.read_text()
    assert source.count(anchor) == 1, f"{path.name}: {anchor!r}"
    path.write_text(source.replace(anchor, text + anchor if before else anchor + text))


def _section(name: str, indent: int) -> str:
    code = (EXAMPLES / "pager_changes.py").read_text().partition(f"[start:{name}]\n")[2].partition("[end:")[0]
    lines = code.splitlines()[:-1]
    return "".join(f"{' ' * indent}{line.strip()}\n" for line in lines if line.strip())


async def test_channel_of_the_guide_sends(tmp_path: Path) -> None:
    """A copy of the hub gets the channel of docs/contributing/add-a-channel.md, and its test passes there."""
    for folder in ("hub", "tests"):
        ignored = shutil.ignore_patterns("node_modules", "__pycache__", "front", "browser")
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    hub = tmp_path / "hub"
    _insert(hub / "model" / "channels.py", "\n\nclass DeviceKind(StrEnum)", _section("channel", 4), before=True)
    _replace(hub / "decide" / "plan.py", "PHONE_CHANNELS = (Channel.SMS, Channel.WHATSAPP)\n", _section("address", 0))
    _insert(hub / "api" / "schema" / "enums.py", '    SMS="A text', '    PAGER="The pager.",\n', before=True)
    _insert(hub / "settings" / "delivery.py", "    smtp_url: ", _section("setting", 4), before=True)
    settings = hub / "settings" / "__init__.py"
    _insert(settings, "        Channel.MOBILE_PUSH,\n", "        Channel.PAGER,\n")
    _insert(settings, "            Channel.WEBHOOK: self.personal_webhooks,\n", _section("provided", 12))
    _insert(hub / "cli" / "environment_checks.py", "REQUIRED_SETTINGS = {\n", _section("required", 4))
    dispatchers = hub / "runtime" / "dispatchers.py"
    source = dispatchers.read_text()
    start = source.index("    from hub.send.channels import")
    _replace(dispatchers, source[start : source.index("]\n", start) + 2], _section("channels", 4))
    shutil.copy(EXAMPLES / "pager.py", hub / "send" / "channels")
    shutil.copy(EXAMPLES / "test_pager.py", tmp_path / "tests")
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_pager.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_examples_check_finds_a_block_that_differs_or_has_no_file(tmp_path: Path) -> None:
    (tmp_path / "docs" / "examples").mkdir(parents=True)
    (tmp_path / "docs" / "examples" / "a.js").write_text("const a = 1;\n")
    readme = tmp_path / "README.md"

    def check(*options: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, SCRIPT, *options], cwd=tmp_path, capture_output=True, text=True, check=False
        )

    readme.write_text("<!-- example: a.js -->\n```js\nconst a = 2;\n```\n")
    assert "README.md: a block differs from its file" in check().stdout
    assert check("--write").returncode == 0
    assert "const a = 1;" in readme.read_text()
    assert check().returncode == 0
    readme.write_text("```python\nimport this\n```\n")
    assert "README.md: a python block has no file" in check().stdout
    readme.write_text("<!-- example: b.js -->\n```js\n```\n")
    assert "b.js does not exist" in check().stdout
