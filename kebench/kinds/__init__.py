"""Kinds of task, one file each: how a file is read, encoded, predicted, scored and explained."""
