"""The engine: takes messages in, makes attempts, tells what happened. Imports ports, never an adapter."""
