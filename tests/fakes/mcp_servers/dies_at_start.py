"""Says why on standard error, with its secret, and exits."""

import os
import sys

if __name__ == "__main__":
    secret = os.environ.get("FAKE_TOKEN", "")
    sys.stderr.write(f"starting\nfake: error: the token \x1b[31m{secret}\x1b[0m was refused\n")
    sys.exit(1)
