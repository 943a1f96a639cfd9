"""Public keys of custodians whose private halves nobody has kept."""

from __future__ import annotations

AGE = (
    "age189wkvqdpjx6fqt433urhr99x88tns3ss7nt9ycezkgz24t25gycsgfjgwh",
    "age1nvelgjecz9zahytxzansty6mph5weyqnu44g0y92yatdhskz8ekspv29lg",
    "age1deexlgtr2f40zn3q7h50vcta4fuvt52wdhncf900ra7vrhghve7qnhmmt2",
    "age1yxwfztj949ag0z742vgpcfs3k4ny8cehx4ats60svq7ch5w3fsfs7zqzm2",
    "age19m45y8deuuw5aa60nq3xzxregxqy6g95wg9akptjy5xdk20c09ksq6xqap",
)
ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAII8rHU+hJKRBA0XtmgHKE370Pi4PsbG+h7P1kpKnwp2L"
RSA_1024 = (
    "ssh-rsa "
    "AAAAB3NzaC1yc2EAAAADAQABAAAAgQDtnzKriiawEVa+vdfcep664UeEAw4/TJ9sJ2AJY8rlfI+0shKma6sc0Hb"
    "Y+TRvlXOkHcoFzCRrYlooZxSmXUPLBwgzaRsX0jcDvvMPPFHZlxIV93KV1wnFP9fOvA4k2FYz/otvyHj3tFyRp4Bbtx0fH"
    "+Vx8G5IG2sx9FRzmdD1cw=="
)
ECDSA = (
    "ecdsa-sha2-nistp256 "
    "AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBE/7wcn+Jco/IxMkg0qkWsu0"
    "mcbj74nTLDSH9Ph6yiXkLAkFkmciS528cGvCy/ERoODKoEhrIJnDG8OMRalwxnE="
)
NAMES = ("anna", "ben", "carla", "dev.ops@company.com", "emil")
FIVE = dict(zip(NAMES, AGE, strict=True))
"""A custodian for each of five shares."""
UNPROVEN = {"vault.possession_unproven": "the custodians are at other places"}
