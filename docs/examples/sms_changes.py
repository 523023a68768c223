"""The changes to existing files in docs/contributing/add-a-channel.md."""

from pathlib import Path
from types import ModuleType

from pydantic import Field

from hub.model import Channel
from hub.settings import Settings


class SmsSettings(Settings):
    # [start:setting]
    sms_file: Path | None = Field(None, description="File that the SMS channel appends to.")
    # [end:setting]

    def providers(self) -> dict[Channel, bool]:
        return {
            # [start:provided]
            Channel.SMS: self.sms_file is not None,
            # [end:provided]
        }


REQUIRED_SETTINGS = {
    # [start:required]
    Channel.SMS: "HUB_SMS_FILE",
    # [end:required]
}


def load_channels() -> list[ModuleType]:
    # [start:channels]
    from hub.send.channels import email, mobile_push, sms, web_push, webhook

    return [email, mobile_push, sms, web_push, webhook]
    # [end:channels]
