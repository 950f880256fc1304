"""What runs beside the requests: first of all the sequencer."""
