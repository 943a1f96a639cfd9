"""Fixtures that more than one area uses."""

pytest_plugins = ["tests.testbed.fixtures"]
