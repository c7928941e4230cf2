"""Tasks: what a step is, what is evaluated, what is reported. A folder, or a file, each."""
