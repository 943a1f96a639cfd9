"""One port, one vendor, one file. Nothing else imports a vendor library."""
