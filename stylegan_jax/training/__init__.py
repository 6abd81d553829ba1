"""Progressive training: schedule, losses, step, loop, checkpoints."""
