"""Events and reports as text and bytes. Nothing here can change a run."""
