"""Sockets: name resolution, the address race, TLS, connections. It decides nothing about mail."""
