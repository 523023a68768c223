"""A fake desktop for a headless browser. It shows the banners, and tests click on them.

It runs a D-Bus session and implements freedesktop's Desktop Notifications. A click sends the same signal as a real
desktop, so Chromium treats it as a user action."""

import asyncio
import shutil
from asyncio.subprocess import DEVNULL, PIPE

from dbus_fast.aio import MessageBus
from dbus_fast.service import ServiceInterface, dbus_method, dbus_signal

NAME, PATH = "org.freedesktop.Notifications", "/org/freedesktop/Notifications"
DAEMON = shutil.which("dbus-daemon")


class Desktop(ServiceInterface):
    """`banners`: the visible banners by id: title, text, and the action key of each button by its label. The key "" is
    the banner itself. `shown`: the number of banners shown, including replacements."""

    def __init__(self) -> None:
        super().__init__(NAME)
        self.banners: dict[int, tuple[str, str, dict[str, str]]] = {}
        self.shown_count = 0

    async def __aenter__(self) -> "Desktop":
        assert DAEMON
        arguments = ["--session", "--nofork", "--print-address"]
        self._daemon = await asyncio.create_subprocess_exec(DAEMON, *arguments, stdout=PIPE, stderr=DEVNULL)
        assert self._daemon.stdout
        self.address = (await self._daemon.stdout.readline()).decode().strip()
        self._bus = await MessageBus(bus_address=self.address).connect()
        self._bus.export(PATH, self)
        await self._bus.request_name(NAME)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._bus.disconnect()
        await self._bus.wait_for_disconnect()
        self._daemon.terminate()
        await self._daemon.wait()

    def click(self, title: str, button: str = "") -> None:
        """Click the banner, or one of its buttons."""
        [(id, buttons)] = [(id, buttons) for id, (displayed, _, buttons) in self.banners.items() if displayed == title]
        self.ActionInvoked(id, buttons[button])

    @dbus_method()
    def GetCapabilities(self) -> "as":
        return ["actions", "body"]

    @dbus_method()
    def GetServerInformation(self) -> "ssss":
        return ["tests", "hub", "1", "1.2"]

    @dbus_method()
    def Notify(
        self,
        app: "s",
        replaces: "u",
        icon: "s",
        summary: "s",
        body: "s",
        actions: "as",
        hints: "a{sv}",
        timeout: "i",
    ) -> "u":
        self.shown_count += 1
        keys, words = actions[::2], actions[1::2]
        buttons = dict(zip(words, keys, strict=True))
        self.banners[replaces or self.shown_count] = (summary, body, {**buttons, "": "default"})
        return replaces or self.shown_count

    @dbus_method()
    def CloseNotification(self, id: "u") -> None:
        self.banners.pop(id, None)

    @dbus_signal()
    def ActionInvoked(self, id: "u", key: "s") -> "us":
        return [id, key]
