"""The verbs without a screen. What a script reads goes to stdout, progress to stderr."""
