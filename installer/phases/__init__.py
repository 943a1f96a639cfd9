"""The only code that sequences effects; every phase is a generator of events."""
