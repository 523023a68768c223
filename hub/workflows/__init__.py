"""Joins the stages: publishing, inbox actions, cancelling, the scheduler, exporting and erasing users."""
