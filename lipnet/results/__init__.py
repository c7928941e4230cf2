"""What a run leaves behind: ``results.json``, the closing table, figures."""
