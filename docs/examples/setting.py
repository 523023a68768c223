"""The setting of docs/contributing/add-a-setting.md."""

from pydantic import Field

from hub.settings import Settings
from hub.settings.types import Seconds


class ExampleSettings(Settings):
    # [start:field]
    export_max_age_s: Seconds = Field(3600, description="Age at which a prepared export is deleted.")
    # [end:field]
