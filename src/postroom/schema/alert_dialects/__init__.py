"""What other programs send as alerts, each dialect turned into events."""
