"""The training loop and what it needs: checkpoints, schedules, logging, seeding. It knows no task."""
