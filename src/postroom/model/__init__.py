"""Values of the domain: frozen, valid by construction, without SQL, JSON or HTTP."""
