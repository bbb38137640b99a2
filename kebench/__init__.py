"""kebench: does this language model know medicine, and is it really better than the others?"""

__version__ = "0.1.0"  # its one home; reading it from the installed metadata would slow every command down
