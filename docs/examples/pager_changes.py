"""The changes to existing files in docs/contributing/add-a-channel.md."""

from enum import StrEnum
from types import ModuleType

from pydantic import Field

from hub.model import Channel as ExistingChannel
from hub.settings import Settings
from hub.settings.types import WebURL


class Channel(StrEnum):
    SMS = ExistingChannel.SMS
    WHATSAPP = ExistingChannel.WHATSAPP
    # [start:channel]
    PAGER = "PAGER"
    # [end:channel]


# [start:address]
PHONE_CHANNELS = (Channel.SMS, Channel.WHATSAPP, Channel.PAGER)
# [end:address]


class PagerSettings(Settings):
    # [start:setting]
    pager_url: WebURL = Field("", description="URL of the pager service, such as `https://pager.example.org/messages`.")
    # [end:setting]

    def providers(self) -> dict[Channel, bool]:
        return {
            # [start:provided]
            Channel.PAGER: bool(self.pager_url),
            # [end:provided]
        }


REQUIRED_SETTINGS = {
    # [start:required]
    Channel.PAGER: "HUB_PAGER_URL",
    # [end:required]
}


def load_channels() -> list[ModuleType]:
    # [start:channels]
    from hub.send.channels import discord, email, mobile_push, pager, slack, sms, teams, web_push, webhook, whatsapp

    return [discord, email, mobile_push, pager, slack, sms, teams, web_push, webhook, whatsapp]
    # [end:channels]
