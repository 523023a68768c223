"""The URL that Twilio calls, for the senders of messages and for the endpoint that receives the calls."""

CALLBACK_PATH = "/providers/twilio"
RETRY_FRAGMENT = "#rc=5&rp=5xx,ct,rt"
"""Makes Twilio repeat a call that fails, up to five times in 15 seconds.

API: https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides"""
