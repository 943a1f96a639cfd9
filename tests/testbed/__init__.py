"""The test-bed: an engine, target hosts that are reached over SSH, and a registry that serves the
product's images under their real names. It makes and ends only what it started itself, and what it
makes carries the label of its run.
"""
