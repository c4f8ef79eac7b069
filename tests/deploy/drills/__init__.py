"""Drills: functions that take a Drill, break something, and say what became of it."""
