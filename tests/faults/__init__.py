"""Faults and load: what was answered stays true when processes, databases and disks fail."""
