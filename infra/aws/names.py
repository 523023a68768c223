"""Values that the stacks and the tests share. Nothing is imported, so tests do not need CDK."""

REDIS_PREFIX = "{hub}:"
"""All keys have one hash tag, so a cluster keeps them in one slot."""
REDIS_USER = "hub"
REDIS_ACCESS = f"on ~{REDIS_PREFIX}* &{REDIS_PREFIX}* +@all -@admin -@dangerous +info"
"""The hub's own keys and channels only. `hub doctor` reads the version and the memory with `info`."""
REDIS_PORT = 6380
MAX_RECEIVES = 5
"""Receipts of a message after which SQS moves it to the dead-letter queue."""
INTAKE_MAX_TASKS = MAX_RECEIVES - 1
"""An outage of MongoDB may cost a message one receipt per process, so there are fewer processes than receipts."""
BODY_MAX_BYTES = 4 << 20
"""The default of HUB_SEND_MANY_MAX_BYTES."""
TOO_LARGE = (
    "^0*([1-9][0-9]{7,}|[5-9][0-9]{6}|4[2-9][0-9]{5}|419[5-9][0-9]{3}|4194[4-9][0-9]{2}|41943[1-9][0-9]|419430[5-9])$"
)
"""Matches the text of a number above BODY_MAX_BYTES."""
BODY_RULES = {
    "SizeRestrictions_BODY": "SizeRestrictions_Body",
    "CrossSiteScripting_BODY": "CrossSiteScripting_Body",
    "GenericLFI_BODY": "GenericLFI_Body",
    "GenericRFI_BODY": "GenericRFI_Body",
    "EC2MetaDataSSRF_BODY": "EC2MetaDataSSRF_Body",
}
"""The rules of AWSManagedRulesCommonRuleSet that inspect bodies, with the labels of the requests that they find."""
DATA_PATHS = ("/graphql", "/events", "/providers/")
"""`/events` receives up to 256 KiB per event, and `/providers/` receives the messages of SES and Twilio."""
