"""The spool in memory: the same promises but durability, for simulations and as the model of the others."""
