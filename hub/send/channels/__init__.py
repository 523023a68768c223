"""One file per channel. Each has

- `CHANNEL`, the word it serves;
- `async opened(settings, egress, stack)`, which answers its providers in the order they are tried, none where nothing
  is configured; what they hold open is entered into `stack`. Raises ValueError for a setting that can't be used;
- `shown(message)`, what would leave, as text and HTML for people: pure, for the catcher of `hub dev`.
"""
