"""What can be configured: every option with its keys, ranges and checks. Nothing here imports torch."""
