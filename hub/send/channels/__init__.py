"""One file per channel. Each has

- `CHANNEL`, the channel that it serves;
- `async create_providers(settings, egress, stack)`, which returns its providers in the order they are tried,
  none if nothing is configured. Their resources are entered into `stack`. It raises ValueError for an unusable setting;
- `preview(message)`, which returns the outgoing message as text and HTML. It is pure, and used by `hub dev`.
"""
