"""Knowledge about other people's servers, as data files with lookup and nothing else."""
