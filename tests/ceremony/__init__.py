"""The ceremony of a secret server of our own, with real parts on loopback instead of a target."""
