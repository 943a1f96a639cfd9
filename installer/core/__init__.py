"""Data and pure functions. Nothing here touches a disk, a clock, a network or a random source."""
